#include "diff/source.h"

static int state_tip(void *ctx, uint32_t *out, struct shrewd_error *err) {
    struct shr_block_record record;
    int code = shr_reader_tip(ctx, &record, err);
    *out = code == 0 ? record.height : 0;
    return code;
}

static int state_hash(void *ctx, struct shr_hash *out, uint32_t height, struct shrewd_error *err) {
    struct shr_block_record record;
    int code = shr_reader_block(ctx, &record, height, err);
    if (code == 0) {
        *out = record.hash;
    }
    return code;
}

static int state_root(void *ctx, struct shr_hash *out, uint32_t height, struct shrewd_error *err) {
    struct shr_block_record record;
    int code = shr_reader_block(ctx, &record, height, err);
    if (code == 0 && !record.has_root) {
        code = shr_fail(err, SHREWD_NO_ROOT, "it keeps no state root for height %u", height);
    }
    if (code == 0) {
        *out = record.root;
    }
    return code;
}

static int state_nodes(void *ctx, struct shr_block_record *block, struct shr_root_node *out,
                       const struct shr_node_path *paths, size_t n, uint32_t height,
                       struct shrewd_error *err) {
    return shr_reader_nodes(ctx, block, out, paths, n, height, err);
}

static int state_keys(void *ctx, struct shr_block_record *block, struct shr_key_list *out,
                      const struct shr_key_range *range, struct shrewd_error *err) {
    return shr_reader_keys(ctx, block, out, range, err);
}

static int state_changed(void *ctx, struct shr_block_record *block, struct shr_key_list *out,
                         const struct shr_key_range *range, struct shrewd_error *err) {
    return shr_reader_changed(ctx, block, out, range, err);
}

static int state_value(void *ctx, struct shr_buf *out, struct shr_bytes key, uint32_t height,
                       struct shrewd_error *err) {
    return shr_reader_get(ctx, out, key, height, err);
}

static void state_close(void *ctx) {
    shr_reader_close(ctx);
}

int shr_diff_state(struct shr_diff_source *out, struct shr_state *state, const char *name,
                   struct shrewd_error *err) {
    static const struct shr_diff_ops ops = {
        .tip = state_tip,
        .hash_at = state_hash,
        .root_at = state_root,
        .nodes = state_nodes,
        .keys = state_keys,
        .changed = state_changed,
        .value = state_value,
        .close = state_close,
    };
    struct shr_reader *reader = NULL;
    int code = shr_reader_open(&reader, state, err);
    *out = (struct shr_diff_source){0};
    if (code == 0) {
        *out = (struct shr_diff_source){.ops = &ops, .ctx = reader, .name = name};
    }
    return code;
}

void shr_diff_source_close(struct shr_diff_source *source) {
    if (source->ops != NULL) {
        source->ops->close(source->ctx);
    }
    *source = (struct shr_diff_source){0};
}
