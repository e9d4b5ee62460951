#include "index/apply.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdlib.h>

/* What a block may flush. Fixed, so that every machine agrees on which block is too much. */
#define FLUSH_BYTES_MAX (128u << 20)
#define FLUSH_PAIRS_MAX (16u << 20)

/* A flushed pair, as offsets: the arena moves while it grows. */
struct pair_at {
    size_t key_at, key_len;
    size_t value_at, value_len;
};

struct block_run {
    const struct shr_apply *apply;
    struct shr_buf arena;
    struct pair_at *pairs;
    size_t n_pairs, cap;
};

static int run_get(void *ctx, struct shr_buf *value, struct shr_bytes key,
                   struct shrewd_error *err) {
    struct block_run *run = ctx;
    return shr_state_get_latest(run->apply->state, value, key, err);
}

static int run_put(void *ctx, struct shr_bytes key, struct shr_bytes value,
                   struct shrewd_error *err) {
    struct block_run *run = ctx;
    if (key.len + value.len > FLUSH_BYTES_MAX - run->arena.len || run->n_pairs >= FLUSH_PAIRS_MAX) {
        return shr_fail(err, SHREWD_LIMIT,
                        "the module flushed more than %u MiB or %u pairs in one block",
                        FLUSH_BYTES_MAX >> 20, FLUSH_PAIRS_MAX);
    }
    if (run->n_pairs == run->cap) {
        run->cap = run->cap == 0 ? 1024 : run->cap * 2;
        run->pairs = shr_realloc_array(run->pairs, run->cap, sizeof *run->pairs);
    }
    struct pair_at *pair = &run->pairs[run->n_pairs++];
    pair->key_at = run->arena.len;
    pair->key_len = key.len;
    shr_buf_add(&run->arena, key);
    pair->value_at = run->arena.len;
    pair->value_len = value.len;
    shr_buf_add(&run->arena, value);
    return 0;
}

static void run_log(void *ctx, struct shr_bytes text) {
    struct block_run *run = ctx;
    shr_info("guest", "block %" PRIu32 ": %.*s", run->apply->height,
             (int)(text.len > 4096 ? 4096 : text.len), (const char *)text.data);
}

static int commit(const struct block_run *run, struct shrewd_error *err) {
    const struct shr_apply *apply = run->apply;
    struct shr_pair *pairs = shr_alloc_array(run->n_pairs, sizeof *pairs);
    for (size_t i = 0; i < run->n_pairs; i++) {
        const struct pair_at *at = &run->pairs[i];
        pairs[i].key = shr_bytes(run->arena.data + at->key_at, at->key_len);
        pairs[i].value = shr_bytes(run->arena.data + at->value_at, at->value_len);
    }
    struct shr_block_change change = {
        .height = apply->height,
        .hash = apply->hash,
        .pairs = pairs,
        .n_pairs = run->n_pairs,
    };
    int code = shr_state_apply(apply->state, &change, apply->sync, err);
    free(pairs);
    return code;
}

int shr_apply_block(const struct shr_apply *apply, struct shrewd_error *err) {
    struct block_run run = {.apply = apply};
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
        code = commit(&run, err);
    }
    if (code != 0) {
        char hash[SHR_HASH_HEX_LEN + 1];
        shr_hash_hex(hash, &apply->hash);
        code =
            shr_fail_in(err, code, "block %" PRIu32 " (%s) was not indexed", apply->height, hash);
    }
    shr_buf_free(&run.arena);
    free(run.pairs);
    return code;
}
