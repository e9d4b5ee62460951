/* What a block writes, as leaves in the order of the tree. */
#include "state/root_impl.h"

#include "base/alloc.h"
#include "base/endian.h"

#include <stdlib.h>
#include <string.h>

#define HASHED_AT_ONCE 512
/* Key hashes are spread evenly, so that parting leaves by their first bits leaves little to sort;
 * somebody may have looked for keys that are not. */
#define CELL_BITS_FEW SHR_ROOT_LEVELS /* a cell for each of the top page's slots */
#define CELL_BITS 12u
#define CELLS_FROM 256u /* leaves; with fewer, more cells cost more than they save */
#define INSERTED_MAX 24 /* in a cell; more are sorted in another way */

struct hashing {
    const struct shr_pair *const *pairs;
    struct shr_root_leaf *leaves;
    size_t n;
};

static void hash_pairs(void *ctx, size_t piece) {
    const struct hashing *hashing = ctx;
    struct shr_root_message messages[2 * HASHED_AT_ONCE];
    size_t n = 0, end = (piece + 1) * HASHED_AT_ONCE;
    for (size_t i = piece * HASHED_AT_ONCE; i < end && i < hashing->n; i++) {
        const struct shr_pair *pair = hashing->pairs[i];
        messages[n++] = (struct shr_root_message){pair->key, &hashing->leaves[i].key};
        messages[n++] = (struct shr_root_message){pair->value, &hashing->leaves[i].value};
    }
    shr_root_hash_messages(messages, n);
}

static unsigned cell_bits(const struct shr_root_news *news) {
    return news->n < CELLS_FROM ? CELL_BITS_FEW : CELL_BITS;
}

static size_t cell_of(const struct shr_root_leaf *leaf, unsigned bits) {
    return (size_t)shr_get_be16(leaf->key.b) >> (16 - bits);
}

/* Parts the leaves by their first bits. */
static void part_leaves(struct shr_root_news *news, const struct shr_root_leaf *leaves) {
    unsigned bits = cell_bits(news);
    size_t *at = shr_alloc_array(((size_t)1 << bits) + 1, sizeof *at);
    for (size_t i = 0; i < news->n; i++) {
        at[cell_of(&leaves[i], bits) + 1]++;
    }
    for (size_t i = 0; i < (size_t)1 << bits; i++) {
        at[i + 1] += at[i];
    }
    for (size_t i = 0; i <= SHR_ROOT_SLOTS; i++) {
        news->starts[i] = at[i << (bits - SHR_ROOT_LEVELS)];
    }
    for (size_t i = 0; i < news->n; i++) {
        news->leaves[at[cell_of(&leaves[i], bits)]++] = leaves[i];
    }
    free(at);
}

static void insert(struct shr_root_leaf *leaves, size_t n) {
    for (size_t i = 1; i < n; i++) {
        size_t at = i;
        while (at > 0 && shr_root_key_order(&leaves[at - 1].key, &leaves[i].key) > 0) {
            at--;
        }
        if (at < i) {
            struct shr_root_leaf leaf = leaves[i];
            memmove(leaves + at + 1, leaves + at, (i - at) * sizeof *leaves);
            leaves[at] = leaf;
        }
    }
}

void shr_root_news_sort(struct shr_root_news *news, size_t slot) {
    struct shr_root_leaf *leaves = news->leaves;
    unsigned bits = cell_bits(news);
    for (size_t at = news->starts[slot], end; at < news->starts[slot + 1]; at = end) {
        size_t cell = cell_of(&leaves[at], bits);
        for (end = at + 1; end < news->starts[slot + 1] && cell_of(&leaves[end], bits) == cell;) {
            end++;
        }
        if (end - at <= INSERTED_MAX) {
            insert(leaves + at, end - at);
        } else {
            qsort(leaves + at, end - at, sizeof *leaves, shr_root_leaf_order);
        }
    }
}

void shr_root_news_make(struct shr_root_news *out, const struct shr_pair *const *pairs, size_t n,
                        unsigned threads) {
    struct hashing hashing = {.pairs = pairs, .n = n};
    out->n = n;
    out->leaves = shr_realloc_array(NULL, n + 1, sizeof *out->leaves);
    hashing.leaves = shr_realloc_array(NULL, n + 1, sizeof *hashing.leaves);
    shr_root_work(threads, (n + HASHED_AT_ONCE - 1) / HASHED_AT_ONCE, hash_pairs, &hashing);
    part_leaves(out, hashing.leaves);
    free(hashing.leaves);
}

void shr_root_news_free(struct shr_root_news *news) {
    free(news->leaves);
    *news = (struct shr_root_news){0};
}
