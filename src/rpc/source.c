#include "rpc/source.h"

#include "lib/lib.h"
#include "rpc/start.h"

static int source_tip(void *ctx, struct shr_block_record *out, struct shrewd_error *err) {
    return shr_state_tip(shr_lib_state(ctx), out, err);
}

static int source_block(void *ctx, struct shr_block_record *out, uint32_t height,
                        struct shrewd_error *err) {
    return shr_state_block(shr_lib_state(ctx), out, height, err);
}

static int source_view(void *ctx, struct shr_buf *out, const struct shr_view_call *call,
                       const _Atomic bool *cancel, struct shrewd_error *err) {
    return shr_views_call(shr_lib_views(ctx), out, call, cancel, err);
}

static int source_preview(void *ctx, struct shr_buf *out, struct shr_bytes block,
                          const struct shr_view_call *call, const _Atomic bool *cancel,
                          struct shrewd_error *err) {
    return shr_views_preview(shr_lib_views(ctx), out, block, call, cancel, err);
}

static bool source_cached(void *ctx, struct shr_buf *out, const struct shr_view_call *call) {
    return shr_views_cached(shr_lib_views(ctx), out, call);
}

static bool source_quick(void *ctx, struct shr_buf *out, const struct shr_view_call *call) {
    return shr_views_quick(shr_lib_views(ctx), out, call);
}

static int source_prove(void *ctx, struct shr_proved *out, const struct shr_bytes *keys, size_t n,
                        uint32_t height, struct shrewd_error *err) {
    return shr_prove_as_held(out, shr_lib_state(ctx), keys, n, height, err);
}

static int source_prove_view(void *ctx, struct shr_view_proved *out,
                             const struct shr_view_call *call, const _Atomic bool *cancel,
                             struct shrewd_error *err) {
    return shr_views_prove(shr_lib_views(ctx), out, call, cancel, err);
}

static int source_nodes(void *ctx, struct shr_block_record *block, struct shr_root_node *out,
                        const struct shr_node_path *paths, size_t n, uint32_t height,
                        struct shrewd_error *err) {
    struct shr_reader *reader = NULL;
    int code = shr_reader_open(&reader, shr_lib_state(ctx), err);
    if (code == 0) {
        code = shr_reader_nodes(reader, block, out, paths, n, height, err);
        shr_reader_close(reader);
    }
    return code;
}

static int source_keys(void *ctx, struct shr_block_record *block, struct shr_key_list *out,
                       const struct shr_key_range *range, struct shrewd_error *err) {
    struct shr_reader *reader = NULL;
    int code = shr_reader_open(&reader, shr_lib_state(ctx), err);
    if (code == 0) {
        code = shr_reader_keys(reader, block, out, range, err);
        shr_reader_close(reader);
    }
    return code;
}

static int source_changed(void *ctx, struct shr_block_record *block, struct shr_key_list *out,
                          const struct shr_key_range *range, struct shrewd_error *err) {
    struct shr_reader *reader = NULL;
    int code = shr_reader_open(&reader, shr_lib_state(ctx), err);
    if (code == 0) {
        code = shr_reader_changed(reader, block, out, range, err);
        shr_reader_close(reader);
    }
    return code;
}

static void source_stats(void *ctx, struct shr_views_stats *out) {
    shr_views_stats(shr_lib_views(ctx), out);
}

static int source_info(void *ctx, struct shrewd_info *out, struct shrewd_error *err) {
    return shrewd_info(ctx, out, err);
}

struct shr_rpc_source shr_rpc_source_for(struct shrewd *shrewd) {
    return (struct shr_rpc_source){.ctx = shrewd,
                                   .tip = source_tip,
                                   .block = source_block,
                                   .view = source_view,
                                   .preview = source_preview,
                                   .cached = source_cached,
                                   .quick = source_quick,
                                   .prove = source_prove,
                                   .prove_view = source_prove_view,
                                   .nodes = source_nodes,
                                   .keys = source_keys,
                                   .changed = source_changed,
                                   .stats = source_stats,
                                   .info = source_info};
}

int shr_server_start(struct shr_server **out, struct shrewd *shrewd,
                     const struct shr_server_options *options, struct shrewd_error *err) {
    struct shr_rpc_source source = shr_rpc_source_for(shrewd);
    return shr_server_start_on(out, &source, options, err);
}
