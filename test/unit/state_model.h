/* state_model.h: a naive model of the versioned state, for its tests: a chain is a list of blocks,
 * each a list of writes; every question is answered by walking the list. */
#ifndef SHR_TEST_STATE_MODEL_H
#define SHR_TEST_STATE_MODEL_H

#include "root_model.h"
#include "state_help.h"

#include "state/state.h"

#define CHAIN_MAX 48

struct model_block {
    struct shr_hash hash;
    struct shr_buf *keys, *values;
    size_t n;
};

struct chain {
    uint32_t start;
    struct model_block blocks[CHAIN_MAX];
    size_t n;
};

static inline void chain_pop(struct chain *chain) {
    struct model_block *block = &chain->blocks[--chain->n];
    for (size_t i = 0; i < block->n; i++) {
        shr_buf_free(&block->keys[i]);
        shr_buf_free(&block->values[i]);
    }
    free(block->keys);
    free(block->values);
    *block = (struct model_block){0};
}

static inline void chain_free(struct chain *chain) {
    while (chain->n > 0) {
        chain_pop(chain);
    }
}

static inline struct model_block *chain_push(struct chain *chain, size_t n) {
    assert_true(chain->n < CHAIN_MAX);
    struct model_block *block = &chain->blocks[chain->n++];
    *block = (struct model_block){.n = n};
    block->keys = shr_alloc_array(n + 1, sizeof *block->keys);
    block->values = shr_alloc_array(n + 1, sizeof *block->values);
    return block;
}

/* A copy of the first n blocks. */
static inline void chain_copy(struct chain *out, const struct chain *chain, size_t n) {
    *out = (struct chain){.start = chain->start};
    for (size_t b = 0; b < n; b++) {
        const struct model_block *from = &chain->blocks[b];
        struct model_block *to = chain_push(out, from->n);
        to->hash = from->hash;
        for (size_t i = 0; i < from->n; i++) {
            shr_buf_add(&to->keys[i], shr_buf_bytes(&from->keys[i]));
            shr_buf_add(&to->values[i], shr_buf_bytes(&from->values[i]));
        }
    }
}

/* The value of a key after the first n blocks; NULL when absent. */
static inline const struct shr_buf *chain_get(const struct chain *chain, struct shr_bytes key,
                                              size_t n) {
    for (size_t b = n; b-- > 0;) {
        const struct model_block *block = &chain->blocks[b];
        for (size_t i = block->n; i-- > 0;) {
            if (shr_bytes_eq(shr_buf_bytes(&block->keys[i]), key)) {
                return &block->values[i];
            }
        }
    }
    return NULL;
}

static inline int bytes_order(const void *a, const void *b) {
    return shr_bytes_cmp(*(const struct shr_bytes *)a, *(const struct shr_bytes *)b);
}

/* The distinct keys of blocks first..n-1 that start with `prefix`, sorted; caller frees. */
static inline struct shr_bytes *chain_keys(const struct chain *chain, size_t first, size_t n,
                                           struct shr_bytes prefix, size_t *n_keys) {
    size_t total = 0;
    for (size_t b = first; b < n; b++) {
        total += chain->blocks[b].n;
    }
    struct shr_bytes *keys = shr_alloc_array(total + 1, sizeof *keys);
    size_t all = 0;
    for (size_t b = first; b < n; b++) {
        for (size_t i = 0; i < chain->blocks[b].n; i++) {
            struct shr_bytes key = shr_buf_bytes(&chain->blocks[b].keys[i]);
            if (shr_bytes_starts(key, prefix)) {
                keys[all++] = key;
            }
        }
    }
    qsort(keys, all, sizeof *keys, bytes_order);
    *n_keys = 0;
    for (size_t i = 0; i < all; i++) {
        if (*n_keys == 0 || !shr_bytes_eq(keys[*n_keys - 1], keys[i])) {
            keys[(*n_keys)++] = keys[i];
        }
    }
    return keys;
}

/* What the record of the chain's block b must say. */
static inline void chain_record(const struct chain *chain, size_t b, struct shr_block_record *out) {
    *out = (struct shr_block_record){.height = chain->start + (uint32_t)b,
                                     .hash = chain->blocks[b].hash};
    size_t n = 0;
    free(chain_keys(chain, 0, b + 1, NO_BYTES, &n));
    out->total_keys = n;
    struct shr_bytes *written = chain_keys(chain, b, b + 1, NO_BYTES, &n);
    for (size_t i = 0; i < n; i++) {
        const struct shr_buf *before = chain_get(chain, written[i], b);
        const struct shr_buf *after = chain_get(chain, written[i], b + 1);
        if (before == NULL || !shr_bytes_eq(shr_buf_bytes(before), shr_buf_bytes(after))) {
            out->n_keys++;
            out->key_bytes += written[i].len;
            out->value_bytes += after->len;
        }
    }
    free(written);
}

/* The state root after the first n blocks. */
static inline void chain_root(const struct chain *chain, size_t n, struct shr_hash *out) {
    struct root_model model = {0};
    size_t n_keys = 0;
    struct shr_bytes *keys = chain_keys(chain, 0, n, NO_BYTES, &n_keys);
    for (size_t i = 0; i < n_keys; i++) {
        root_model_put(&model, keys[i], shr_buf_bytes(chain_get(chain, keys[i], n)));
    }
    root_model_root(&model, out);
    root_model_free(&model);
    free(keys);
}

/* A random block on top of the chain. Some writes repeat a key, and some a value. */
static inline void chain_grow(struct chain *chain, struct rng *rng) {
    size_t n = rng_below(rng, 30);
    size_t before = chain->n;
    struct model_block *block = chain_push(chain, n);
    uint64_t salt[4] = {rng_next(rng), rng_next(rng), rng_next(rng), rng_next(rng)};
    memcpy(block->hash.b, salt, sizeof salt);
    for (size_t i = 0; i < n; i++) {
        rng_key(rng, &block->keys[i]);
        const struct shr_buf *now = chain_get(chain, shr_buf_bytes(&block->keys[i]), before);
        if (now != NULL && rng_below(rng, 4) == 0) {
            shr_buf_set(&block->values[i], shr_buf_bytes(now));
        } else {
            rng_value(rng, &block->values[i]);
        }
    }
}

/* Applies the chain's last n blocks together; the call's result. */
static inline int chain_apply_lasts(struct shr_state *state, const struct chain *chain, size_t n,
                                    struct shrewd_error *err) {
    struct shr_block_change *changes = shr_alloc_array(n + 1, sizeof *changes);
    struct shr_pair **pairs = shr_alloc_array(n + 1, sizeof *pairs);
    for (size_t b = 0; b < n; b++) {
        const struct model_block *block = &chain->blocks[chain->n - n + b];
        pairs[b] = shr_alloc_array(block->n + 1, sizeof **pairs);
        for (size_t i = 0; i < block->n; i++) {
            pairs[b][i].key = shr_buf_bytes(&block->keys[i]);
            pairs[b][i].value = shr_buf_bytes(&block->values[i]);
        }
        changes[b].height = chain->start + (uint32_t)(chain->n - n + b);
        changes[b].hash = block->hash;
        changes[b].pairs = pairs[b];
        changes[b].n_pairs = block->n;
    }
    int code = shr_state_apply_many(state, changes, n, false, err);
    for (size_t b = 0; b < n; b++) {
        free(pairs[b]);
    }
    free(pairs);
    free(changes);
    return code;
}

/* Applies the chain's last block; the call's result. */
static inline int chain_apply_last(struct shr_state *state, const struct chain *chain,
                                   struct shrewd_error *err) {
    return chain_apply_lasts(state, chain, 1, err);
}

/* --- Comparing --- */

static inline void assert_record(const struct shr_block_record *got, const struct chain *chain,
                                 size_t b) {
    struct shr_block_record want;
    chain_record(chain, b, &want);
    assert_int_equal(got->height, want.height);
    assert_true(shr_hash_eq(&got->hash, &want.hash));
    if (got->has_root) { /* a fork's own blocks have none */
        chain_root(chain, b + 1, &want.root);
    }
    assert_true(shr_hash_eq(&got->root, &want.root));
    assert_int_equal(got->n_keys, want.n_keys);
    assert_int_equal(got->key_bytes, want.key_bytes);
    assert_int_equal(got->value_bytes, want.value_bytes);
    assert_int_equal(got->total_keys, want.total_keys);
}

struct each_check {
    const struct chain *chain;
    size_t n_blocks;
    struct shr_bytes *keys;
    size_t n, at, stop_after;
};

static inline enum shr_scan_step each_compare(void *ctx, struct shr_bytes key,
                                              struct shr_bytes value) {
    struct each_check *check = ctx;
    assert_true(check->at < check->n && check->at < check->stop_after);
    assert_bytes(key, check->keys[check->at++]);
    assert_bytes(value, shr_buf_bytes(chain_get(check->chain, key, check->n_blocks)));
    return check->at == check->stop_after ? SHR_SCAN_DONE : SHR_SCAN_MORE;
}

static inline void check_each(struct shr_reader *reader, const struct chain *chain, size_t b,
                              struct shr_bytes prefix, size_t stop_after) {
    struct each_check check = {.chain = chain, .n_blocks = b + 1, .stop_after = stop_after};
    check.keys = chain_keys(chain, 0, b + 1, prefix, &check.n);
    assert_ok(
        shr_reader_each(reader, prefix, chain->start + (uint32_t)b, each_compare, &check, err));
    assert_int_equal(check.at, check.n < stop_after ? check.n : stop_after);
    free(check.keys);
}

static inline void check_get(struct shr_reader *reader, const struct chain *chain, size_t b,
                             struct shr_bytes key) {
    struct shr_buf value = {0};
    const struct shr_buf *want = chain_get(chain, key, b + 1);
    int code = shr_reader_get(reader, &value, key, chain->start + (uint32_t)b, NULL);
    assert_int_equal(code, want != NULL ? 0 : SHREWD_NOT_FOUND);
    if (want != NULL) {
        assert_bytes(shr_buf_bytes(&value), shr_buf_bytes(want));
    }
    shr_buf_free(&value);
}

/* Everything a reader can say, against a chain it should equal. */
static inline void check_reader(struct shr_reader *reader, const struct chain *chain,
                                struct rng *rng) {
    struct shr_block_record record;
    uint32_t start = chain->start, next = start + (uint32_t)chain->n;
    assert_int_equal(shr_reader_first_height(reader), start);
    assert_fails(shr_reader_block(reader, &record, next, err), SHREWD_ABOVE_TIP, "not indexed");
    assert_fails(shr_reader_block(reader, &record, start - 1, err), SHREWD_BELOW_START, "first");
    if (chain->n == 0) {
        assert_fails(shr_reader_tip(reader, &record, err), SHREWD_NOT_FOUND, "no block");
        return;
    }
    assert_ok(shr_reader_tip(reader, &record, err));
    assert_record(&record, chain, chain->n - 1);
    struct shr_buf key = {0};
    for (int i = 0; i < 6; i++) {
        size_t b = rng_below(rng, (uint32_t)chain->n);
        assert_ok(shr_reader_block(reader, &record, start + (uint32_t)b, err));
        assert_record(&record, chain, b);
        for (int j = 0; j < 8; j++) {
            rng_key(rng, &key);
            check_get(reader, chain, b, shr_buf_bytes(&key));
        }
        rng_key(rng, &key);
        if (key.len > 2) {
            key.len = 2;
        }
        check_each(reader, chain, b, shr_buf_bytes(&key),
                   rng_below(rng, 3) == 0 ? 1 + rng_below(rng, 4) : SIZE_MAX);
    }
    check_each(reader, chain, rng_below(rng, (uint32_t)chain->n), NO_BYTES, SIZE_MAX);
    shr_buf_free(&key);
}

#endif
