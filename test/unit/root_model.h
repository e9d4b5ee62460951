/* root_model.h: the state's tree and its proofs, straight from their definition
 * (doc/state-root.md): a sorted list of leaves, every hash computed anew by recursion. Slow, and
 * meant to be read. */
#ifndef SHR_TEST_ROOT_MODEL_H
#define SHR_TEST_ROOT_MODEL_H

#include "base/alloc.h"
#include "chain/hash.h"
#include "shrewd/proof.h"

#include <stdlib.h>
#include <string.h>

struct root_leaf {
    struct shr_hash key;   /* SHA-256 of the key */
    struct shr_hash value; /* SHA-256 of the value */
};

/* {0} is the empty state. */
struct root_model {
    struct root_leaf *leaves; /* sorted by key */
    size_t n, cap;
};

static inline void root_model_free(struct root_model *model) {
    free(model->leaves);
    *model = (struct root_model){0};
}

/* Where the key is, or would be. */
static inline size_t root_model_find(const struct root_model *model, const struct shr_hash *key) {
    size_t lo = 0, hi = model->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (memcmp(model->leaves[mid].key.b, key->b, 32) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

/* Sets a leaf by its hashes; value NULL removes it. */
static inline void root_model_set_hash(struct root_model *model, const struct shr_hash *key,
                                       const struct shr_hash *value) {
    size_t at = root_model_find(model, key);
    bool there = at < model->n && shr_hash_eq(&model->leaves[at].key, key);
    if (value == NULL) {
        if (there) {
            struct root_leaf *gone = &model->leaves[at];
            memmove(gone, gone + 1, (--model->n - at) * sizeof *gone);
        }
        return;
    }
    if (!there && model->n == model->cap) {
        model->cap = model->cap == 0 ? 16 : 2 * model->cap;
        model->leaves = shr_realloc_array(model->leaves, model->cap, sizeof *model->leaves);
    }
    struct root_leaf *leaf = &model->leaves[at];
    if (!there) {
        memmove(leaf + 1, leaf, (model->n++ - at) * sizeof *leaf);
    }
    *leaf = (struct root_leaf){*key, *value};
}

static inline void root_model_put(struct root_model *model, struct shr_bytes key,
                                  struct shr_bytes value) {
    struct shr_hash key_hash, value_hash;
    shr_sha256(&key_hash, key);
    shr_sha256(&value_hash, value);
    root_model_set_hash(model, &key_hash, &value_hash);
}

static inline void root_model_remove(struct root_model *model, struct shr_bytes key) {
    struct shr_hash key_hash;
    shr_sha256(&key_hash, key);
    root_model_set_hash(model, &key_hash, NULL);
}

static inline unsigned root_model_bit(const struct shr_hash *hash, size_t i) {
    return hash->b[i / 8] >> (7 - i % 8) & 1u;
}

static inline void root_model_join(struct shr_hash *out, uint8_t first, const struct shr_hash *a,
                                   const struct shr_hash *b) {
    uint8_t bytes[65];
    bytes[0] = first;
    memcpy(bytes + 1, a->b, 32);
    memcpy(bytes + 33, b->b, 32);
    shr_sha256(out, shr_bytes(bytes, sizeof bytes));
}

/* Of the leaves lo to hi, which agree above `depth`: the first that goes right there. */
static inline size_t root_model_split(const struct root_model *model, size_t lo, size_t hi,
                                      size_t depth) {
    while (lo < hi && root_model_bit(&model->leaves[lo].key, depth) == 0) {
        lo++;
    }
    return lo;
}

static inline void root_model_hash(const struct root_model *model, struct shr_hash *out, size_t lo,
                                   size_t hi, size_t depth) {
    if (lo == hi) {
        *out = (struct shr_hash){{0}};
    } else if (hi - lo == 1) {
        const struct root_leaf *leaf = &model->leaves[lo];
        root_model_join(out, SHREWD_PROOF_LEAF_BYTE, &leaf->key, &leaf->value);
    } else {
        size_t mid = root_model_split(model, lo, hi, depth);
        struct shr_hash left, right;
        root_model_hash(model, &left, lo, mid, depth + 1);
        root_model_hash(model, &right, mid, hi, depth + 1);
        root_model_join(out, SHREWD_PROOF_INNER_BYTE, &left, &right);
    }
}

static inline void root_model_root(const struct root_model *model, struct shr_hash *out) {
    root_model_hash(model, out, 0, model->n, 0);
}

static inline int root_model_order(const void *a, const void *b) {
    return memcmp(a, b, sizeof(struct shr_hash));
}

/* One node, and what is below it; the n sorted key hashes at `asked` are those that enter it. */
static inline void root_model_prove_node(const struct root_model *model, struct shr_buf *out,
                                         const struct shr_hash *asked, size_t n, size_t lo,
                                         size_t hi, size_t depth) {
    struct shr_hash hash;
    if (lo == hi) {
        shr_buf_add_u8(out, SHREWD_PROOF_EMPTY);
    } else if (n == 0) {
        root_model_hash(model, &hash, lo, hi, depth);
        shr_buf_add_u8(out, SHREWD_PROOF_HASH);
        shr_buf_append(out, hash.b, 32);
    } else if (hi - lo == 1) {
        shr_buf_add_u8(out, SHREWD_PROOF_LEAF);
        shr_buf_append(out, model->leaves[lo].key.b, 32);
        shr_buf_append(out, model->leaves[lo].value.b, 32);
    } else {
        size_t mid = root_model_split(model, lo, hi, depth), asked_mid = 0;
        while (asked_mid < n && root_model_bit(&asked[asked_mid], depth) == 0) {
            asked_mid++;
        }
        shr_buf_add_u8(out, SHREWD_PROOF_INNER);
        root_model_prove_node(model, out, asked, asked_mid, lo, mid, depth + 1);
        root_model_prove_node(model, out, asked + asked_mid, n - asked_mid, mid, hi, depth + 1);
    }
}

/* The proof of the n keys, in any order. Replaces `out`. */
static inline void root_model_prove(const struct root_model *model, struct shr_buf *out,
                                    const struct shr_bytes *keys, size_t n) {
    struct shr_hash *asked = shr_alloc_array(n + 1, sizeof *asked);
    for (size_t i = 0; i < n; i++) {
        shr_sha256(&asked[i], keys[i]);
    }
    qsort(asked, n, sizeof *asked, root_model_order);
    shr_buf_clear(out);
    shr_buf_add_u8(out, SHREWD_PROOF_VERSION);
    root_model_prove_node(model, out, asked, n, 0, model->n, 0);
    free(asked);
}

#endif
