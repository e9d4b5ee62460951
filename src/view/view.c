#include "view/view.h"

#include "base/error.h"
#include "base/log.h"
#include "chain/block.h"
#include "index/apply.h"

#include <inttypes.h>

/* One version of the state, as a guest sees it. */
struct version {
    struct shr_reader *reader;
    uint32_t height;
    const char *view;
};

static int version_get(void *ctx, struct shr_buf *value, struct shr_bytes key,
                       struct shrewd_error *err) {
    const struct version *version = ctx;
    return shr_reader_get(version->reader, value, key, version->height, err);
}

static void version_log(void *ctx, struct shr_bytes text) {
    const struct version *version = ctx;
    shr_info("guest", "view %s at %" PRIu32 ": %.*s", version->view, version->height,
             (int)(text.len > 4096 ? 4096 : text.len), (const char *)text.data);
}

/* Fails unless the state after `*height` is held; SHR_LATEST becomes the tip. */
static int resolve_height(struct shr_reader *reader, uint32_t *height, struct shrewd_error *err) {
    struct shr_block_record record;
    if (*height != SHR_LATEST) {
        return shr_reader_block(reader, &record, *height, err);
    }
    int code = shr_reader_tip(reader, &record, err);
    if (code == 0) {
        *height = record.height;
    }
    return code;
}

static int run_at(struct shr_reader *reader, struct shr_module *module, struct shr_buf *out,
                  const struct shr_view_call *call, uint32_t height, struct shrewd_error *err) {
    struct version version = {.reader = reader, .height = height, .view = call->view};
    struct shr_guest_host host = {.ctx = &version, .get = version_get, .log = version_log};
    struct shr_guest_call guest = {
        .entry = call->view,
        .height = height,
        .payload = call->input,
        .host = &host,
        .memory_max = call->limits.memory_max,
        .result_max = call->limits.result_max,
    };
    return shr_guest_view(module, out, &guest, err);
}

int shr_view_run(struct shr_state *state, struct shr_module *module, struct shr_buf *out,
                 const struct shr_view_call *call, struct shrewd_error *err) {
    struct shr_reader *reader = NULL;
    uint32_t height = call->height;
    int code = shr_reader_open(&reader, state, err);
    if (code != 0) {
        return code;
    }
    code = resolve_height(reader, &height, err);
    if (code == 0) {
        code = run_at(reader, module, out, call, height, err);
    }
    shr_reader_close(reader);
    return code;
}

/* The state after `height` with room above it in memory: what a preview writes dies with it. */
static int preview_at(struct shr_reader *base, struct shr_module *module, struct shr_buf *out,
                      struct shr_bytes block, const struct shr_view_call *call, uint32_t height,
                      struct shrewd_error *err) {
    struct shr_state *fork = NULL;
    struct shr_reader *reader = NULL;
    struct shr_apply apply = {.module = module, .height = height + 1, .block = block};
    int code = shr_state_open_fork(&fork, shr_store_new_memory(), base, height, NULL, false, err);
    if (code != 0) {
        return code;
    }
    shr_sha256d(&apply.hash, shr_bytes(block.data, SHR_HEADER_SIZE));
    apply.state = fork;
    code = shr_apply_block(&apply, err);
    if (code == 0) {
        code = shr_reader_open(&reader, fork, err);
    }
    if (code == 0) {
        code = run_at(reader, module, out, call, height + 1, err);
    }
    shr_reader_close(reader);
    shr_state_close(fork);
    return code;
}

int shr_view_preview(struct shr_state *state, struct shr_module *module, struct shr_buf *out,
                     struct shr_bytes block, const struct shr_view_call *call,
                     struct shrewd_error *err) {
    struct shr_reader *base = NULL;
    uint32_t height = call->height;
    if (block.len < SHR_HEADER_SIZE) {
        return shr_fail(err, SHREWD_BAD_BLOCK,
                        "a block to preview has at least a header of %d bytes, and this has %zu",
                        SHR_HEADER_SIZE, block.len);
    }
    int code = shr_reader_open(&base, state, err);
    if (code != 0) {
        return code;
    }
    code = resolve_height(base, &height, err);
    if (code == 0) {
        code = preview_at(base, module, out, block, call, height, err);
    }
    shr_reader_close(base);
    return code;
}
