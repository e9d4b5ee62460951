/* Sorting by words of the keys that lie beside the pointers: comparing the keys themselves goes to
 * memory twice for each comparison, which costs more than all the rest. */
#include "state/order.h"

#include "base/endian.h"

#include <stdlib.h>

#define WORD_BYTES sizeof(uint64_t)
#define FEW 8                        /* items that are compared as they are */
#define COMMON_MAX (16 * WORD_BYTES) /* bounds the recursion; what is alike beyond is compared */

static int by_key(const void *a, const void *b) {
    const struct shr_ordered *left = a, *right = b;
    int order = shr_bytes_cmp(left->key, right->key);
    return order != 0 ? order : (left->rank > right->rank) - (left->rank < right->rank);
}

static int by_word(const void *a, const void *b) {
    uint64_t left = ((const struct shr_ordered *)a)->word;
    uint64_t right = ((const struct shr_ordered *)b)->word;
    return (left > right) - (left < right);
}

/* The key's bytes from `from` on, as a number that sorts as they do; zeros after its end. */
static uint64_t word_at(struct shr_bytes key, size_t from) {
    uint8_t padded[WORD_BYTES] = {0};
    if (key.len >= from + WORD_BYTES) {
        return shr_get_be64(key.data + from);
    }
    for (size_t i = from; i < key.len; i++) {
        padded[i - from] = key.data[i];
    }
    return shr_get_be64(padded);
}

static void sort_from(struct shr_ordered *items, size_t n, size_t from);

/* Items whose first `to` bytes are the same, where the zeros after a key's end count too. */
static void sort_alike(struct shr_ordered *items, size_t n, size_t to) {
    bool compare = n <= FEW || to >= COMMON_MAX;
    for (size_t i = 0; i < n && !compare; i++) {
        compare = items[i].key.len < to;
    }
    if (compare) {
        qsort(items, n, sizeof *items, by_key);
    } else {
        sort_from(items, n, to);
    }
}

static void sort_from(struct shr_ordered *items, size_t n, size_t from) {
    for (size_t i = 0; i < n; i++) {
        items[i].word = word_at(items[i].key, from);
    }
    qsort(items, n, sizeof *items, by_word);
    for (size_t at = 0, end; at < n; at = end) {
        for (end = at + 1; end < n && items[end].word == items[at].word; end++) {
        }
        if (end - at > 1) {
            sort_alike(items + at, end - at, from + WORD_BYTES);
        }
    }
}

void shr_order(struct shr_ordered *items, size_t n) {
    if (n > 1) { /* qsort wants an array even for nothing */
        sort_from(items, n, 0);
    }
}
