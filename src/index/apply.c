#include "index/apply.h"

#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>

struct block_run {
    const struct shr_apply *apply;
    struct shr_writes *writes;
    size_t bytes; /* flushed */
};

static int run_get(void *ctx, struct shr_buf *value, struct shr_bytes key,
                   struct shrewd_error *err) {
    const struct shr_apply *apply = ((const struct block_run *)ctx)->apply;
    return apply->get != NULL ? apply->get(apply->get_ctx, value, key, err)
                              : shr_state_get_latest(apply->state, value, key, err);
}

static int run_put(void *ctx, struct shr_bytes key, struct shr_bytes value,
                   struct shrewd_error *err) {
    struct block_run *run = ctx;
    if (key.len + value.len > SHR_FLUSH_BYTES_MAX - run->bytes ||
        run->writes->n_pairs >= SHR_FLUSH_PAIRS_MAX) {
        return shr_fail(err, SHREWD_LIMIT,
                        "the module flushed more than %u MiB or %u pairs in one block",
                        SHR_FLUSH_BYTES_MAX >> 20, SHR_FLUSH_PAIRS_MAX);
    }
    run->bytes += key.len + value.len;
    shr_writes_add(run->writes, key, value);
    return 0;
}

static void run_log(void *ctx, struct shr_bytes text) {
    const struct block_run *run = ctx;
    shr_info("guest", "block %" PRIu32 ": %.*s", run->apply->height,
             (int)(text.len > 4096 ? 4096 : text.len), (const char *)text.data);
}

static int not_indexed(const struct shr_apply *apply, int code, struct shrewd_error *err) {
    char hash[SHR_HASH_HEX_LEN + 1];
    shr_hash_hex(hash, &apply->hash);
    return shr_fail_in(err, code, "block %" PRIu32 " (%s) was not indexed", apply->height, hash);
}

int shr_apply_run(const struct shr_apply *apply, struct shr_writes **out,
                  struct shrewd_error *err) {
    struct block_run run = {.apply = apply, .writes = shr_writes_new(apply->height, &apply->hash)};
    struct shr_guest_host host = {.ctx = &run, .get = run_get, .put = run_put, .log = run_log};
    struct shr_guest_call call = {
        .entry = "_start",
        .height = apply->height,
        .payload = apply->block,
        .host = &host,
    };
    uint64_t start = shr_now_ns();
    int code = apply->run != NULL ? apply->run(apply->run_ctx, &call, err)
                                  : shr_guest_index(apply->module, &call, err);
    if (apply->guest_ns != NULL) {
        *apply->guest_ns = shr_now_ns() - start;
    }
    if (code == 0) {
        struct shr_block_change change = shr_writes_change(run.writes);
        code = shr_state_check_change(&change, err);
    }
    if (code != 0) {
        shr_writes_free(run.writes);
        return not_indexed(apply, code, err);
    }
    run.writes->block_bytes = apply->block.len;
    *out = run.writes;
    return 0;
}

int shr_apply_block(const struct shr_apply *apply, struct shrewd_error *err) {
    struct shr_writes *writes = NULL;
    int code = shr_apply_run(apply, &writes, err);
    if (code != 0) {
        return code;
    }
    struct shr_block_change change = shr_writes_change(writes);
    code = shr_state_apply(apply->state, &change, apply->sync, err);
    shr_writes_free(writes);
    return code == 0 ? 0 : not_indexed(apply, code, err);
}
