#include "view/view.h"

#include "base/clock.h"
#include "base/log.h"
#include "chain/block.h"
#include "index/apply.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LOG_SHOWN 4096 /* bytes of one message of a guest */

/* One version of the state, as a guest sees it. */
struct seen {
    struct shr_reader *reader;
    uint32_t height;
    const char *view;
};

static int seen_get(void *ctx, struct shr_buf *value, struct shr_bytes key,
                    struct shrewd_error *err) {
    const struct seen *seen = ctx;
    return shr_reader_get(seen->reader, value, key, seen->height, err);
}

static void seen_log(void *ctx, struct shr_bytes text) {
    const struct seen *seen = ctx;
    shr_info("guest", "view %s at %" PRIu32 ": %.*s", seen->view, seen->height,
             (int)(text.len > LOG_SHOWN ? LOG_SHOWN : text.len), (const char *)text.data);
}

int shr_view_open(struct shr_reader **out, struct shr_version *at, struct shr_state *state,
                  uint32_t height, struct shrewd_error *err) {
    struct shr_block_record record;
    struct shr_reader *reader = NULL;
    int code = shr_reader_open(&reader, state, err);
    if (code != 0) {
        return code;
    }
    if (shr_reader_head(reader, &at->height, &at->hash) &&
        (height == SHR_LATEST || height == at->height)) { /* nearly always, and read already */
        *out = reader;
        return 0;
    }
    code = height == SHR_LATEST ? shr_reader_tip(reader, &record, err)
                                : shr_reader_held(reader, &record, height, err);
    if (code != 0) {
        shr_reader_close(reader);
        return code;
    }
    *at = (struct shr_version){.height = record.height, .hash = record.hash};
    *out = reader;
    return 0;
}

/* Tells a call whose time was up from one whose answer is too large, and names that flag. */
static int explain(int code, const struct shr_deadline *deadline, struct shrewd_error *err) {
    if (code != SHREWD_LIMIT) {
        return code;
    }
    if (deadline->at_ns != 0 && shr_now_ns() >= deadline->at_ns) {
        return shr_fail(err, SHREWD_TIMEOUT, "the call did not end in time");
    }
    if (err != NULL) {
        size_t len = strlen(err->message);
        snprintf(err->message + len, sizeof err->message - len, " (--view-result-mb)");
    }
    return code;
}

int shr_view_run(struct shr_instance *instance, struct shr_buf *out, struct shr_reader *reader,
                 uint32_t height, const struct shr_view_call *call,
                 const struct shr_deadline *deadline, struct shrewd_error *err) {
    struct seen seen = {.reader = reader, .height = height, .view = call->view};
    struct shr_guest_host host = {.ctx = &seen, .get = seen_get, .log = seen_log};
    struct shr_guest_call guest = {
        .entry = call->view,
        .height = height,
        .payload = call->input,
        .host = &host,
        .version = shr_reader_version(reader, height),
    };
    return explain(shr_instance_view(instance, out, &guest, deadline, err), deadline, err);
}

/* The same with reads that somebody else answers. */
struct answered {
    struct seen seen; /* no reader */
    shr_view_get_fn *get;
    void *ctx;
};

static int answered_get(void *ctx, struct shr_buf *value, struct shr_bytes key,
                        struct shrewd_error *err) {
    const struct answered *answered = ctx;
    return answered->get(answered->ctx, value, key, err);
}

static void answered_log(void *ctx, struct shr_bytes text) {
    struct answered *answered = ctx;
    seen_log(&answered->seen, text);
}

int shr_view_run_on(struct shr_instance *instance, struct shr_buf *out, shr_view_get_fn *get,
                    void *get_ctx, uint32_t height, const struct shr_view_call *call,
                    const struct shr_deadline *deadline, struct shrewd_error *err) {
    struct answered answered = {
        .seen = {.height = height, .view = call->view}, .get = get, .ctx = get_ctx};
    struct shr_guest_host host = {.ctx = &answered, .get = answered_get, .log = answered_log};
    struct shr_guest_call guest = {
        .entry = call->view, .height = height, .payload = call->input, .host = &host};
    return explain(shr_instance_view(instance, out, &guest, deadline, err), deadline, err);
}

/* How a preview runs `_start`: as indexing does, but to be ended when its time is up. */
struct start {
    struct shr_module *module;
    const struct shr_deadline *deadline;
    uint32_t log_lines_max;
};

static int run_start(void *ctx, const struct shr_guest_call *call, struct shrewd_error *err) {
    const struct start *start = ctx;
    struct shr_instance_limits limits = {.log_lines_max = start->log_lines_max};
    struct shr_instance *instance = NULL;
    int code = shr_instance_new(&instance, start->module, &limits, err);
    if (code == 0) {
        code = shr_instance_index(instance, call, start->deadline, err);
    }
    if (code == SHREWD_LIMIT && shr_now_ns() >= start->deadline->at_ns) {
        code = shr_fail(err, SHREWD_TIMEOUT, "the block was not indexed in time");
    }
    shr_instance_free(instance);
    return code;
}

/* The view on what the block has made, in a fresh instance as well. */
static int view_on_top(struct shr_state *fork, struct shr_module *module,
                       const struct shr_instance_limits *limits, struct shr_buf *out,
                       uint32_t height, const struct shr_view_call *call,
                       const struct shr_deadline *deadline, struct shrewd_error *err) {
    struct shr_reader *reader = NULL;
    struct shr_instance *instance = NULL;
    int code = shr_reader_open(&reader, fork, err);
    if (code == 0) {
        code = shr_instance_new(&instance, module, limits, err);
    }
    if (code == 0) {
        code = shr_view_run(instance, out, reader, height, call, deadline, err);
    }
    shr_instance_free(instance);
    shr_reader_close(reader);
    return code;
}

int shr_view_preview(struct shr_module *module, const struct shr_instance_limits *limits,
                     struct shr_buf *out, struct shr_reader *base, uint32_t height,
                     struct shr_bytes block, const struct shr_view_call *call,
                     const struct shr_deadline *deadline, struct shrewd_error *err) {
    struct shr_state *fork = NULL;
    struct start start = {
        .module = module, .deadline = deadline, .log_lines_max = limits->log_lines_max};
    struct shr_apply apply = {
        .module = module,
        .height = height + 1,
        .block = block,
        .run = run_start,
        .run_ctx = &start,
    };
    if (block.len < SHR_HEADER_SIZE) {
        return shr_fail(err, SHREWD_BAD_BLOCK,
                        "a block to preview has at least a header of %d bytes, and this has %zu",
                        SHR_HEADER_SIZE, block.len);
    }
    int code = shr_state_open_fork(&fork, shr_store_new_memory(), base, height, NULL, false, err);
    if (code != 0) {
        return code;
    }
    shr_sha256d(&apply.hash, shr_bytes(block.data, SHR_HEADER_SIZE));
    apply.state = fork;
    code = shr_apply_block(&apply, err);
    if (code == 0) {
        code = view_on_top(fork, module, limits, out, height + 1, call, deadline, err);
    }
    shr_state_close(fork);
    return code;
}
