/* Sorting by words of the keys that lie beside the pointers: comparing the keys themselves goes to
 * memory twice for each comparison, which costs more than all the rest. */
#include "state/order.h"

#include "base/alloc.h"
#include "base/endian.h"

#include <stdlib.h>
#include <string.h>

#define WORD_BYTES sizeof(uint64_t)
#define PART_BITS 11u /* by which items are parted at a time */
#define PARTS (1u << PART_BITS)
#define PART_MIN 24                  /* fewer are inserted one by one */
#define FEW 8                        /* items that are compared as they are */
#define COMMON_MAX (16 * WORD_BYTES) /* bounds the recursion; what is alike beyond is compared */

static int by_key(const void *a, const void *b) {
    const struct shr_ordered *left = a, *right = b;
    int order = shr_bytes_cmp(left->key, right->key);
    return order != 0 ? order : (left->rank > right->rank) - (left->rank < right->rank);
}

/* Most are equal keys in the order of their ranks already. */
static void insert_by_key(struct shr_ordered *items, size_t n) {
    for (size_t i = 1; i < n; i++) {
        struct shr_ordered item = items[i];
        size_t at = i;
        for (; at > 0 && by_key(&items[at - 1], &item) > 0; at--) {
            items[at] = items[at - 1];
        }
        items[at] = item;
    }
}

static void insert_by_word(struct shr_ordered *items, size_t n) {
    for (size_t i = 1; i < n; i++) {
        struct shr_ordered item = items[i];
        size_t at = i;
        for (; at > 0 && items[at - 1].word > item.word; at--) {
            items[at] = items[at - 1];
        }
        items[at] = item;
    }
}

/* The lowest of the bits by which to part these items: the highest in which two of them differ, and
 * those below it. */
static unsigned part_shift(const struct shr_ordered *items, size_t n) {
    uint64_t differs = 0;
    for (size_t i = 1; i < n; i++) {
        differs |= items[i].word ^ items[0].word;
    }
    unsigned bits = differs == 0 ? 0 : 64 - (unsigned)__builtin_clzll(differs);
    return bits <= PART_BITS ? 0 : bits - PART_BITS;
}

/* Parts them by some bits, then each part by the next ones, until few are left to compare. */
static void sort_by_word(struct shr_ordered *items, struct shr_ordered *spare, size_t n) {
    if (n <= PART_MIN) {
        insert_by_word(items, n);
        return;
    }
    unsigned shift = part_shift(items, n);
    size_t starts[PARTS + 1] = {0};
    for (size_t i = 0; i < n; i++) {
        starts[(items[i].word >> shift & (PARTS - 1)) + 1]++;
    }
    for (size_t part = 0; part < PARTS; part++) {
        starts[part + 1] += starts[part];
    }
    for (size_t i = 0; i < n; i++) {
        spare[starts[items[i].word >> shift & (PARTS - 1)]++] = items[i];
    }
    memcpy(items, spare, n * sizeof *items);
    for (size_t from = 0, to; shift > 0 && from < n; from = to) {
        for (to = from + 1; to < n && items[to].word >> shift == items[from].word >> shift; to++) {
        }
        sort_by_word(items + from, spare, to - from);
    }
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

static void sort_from(struct shr_ordered *items, struct shr_ordered *spare, size_t n, size_t from);

/* Items whose first `to` bytes are the same, where the zeros after a key's end count too. */
static void sort_alike(struct shr_ordered *items, struct shr_ordered *spare, size_t n, size_t to) {
    if (n <= FEW) {
        insert_by_key(items, n);
        return;
    }
    bool compare = to >= COMMON_MAX;
    for (size_t i = 0; i < n && !compare; i++) {
        compare = items[i].key.len < to;
    }
    if (compare) {
        qsort(items, n, sizeof *items, by_key);
    } else {
        sort_from(items, spare, n, to);
    }
}

static void sort_from(struct shr_ordered *items, struct shr_ordered *spare, size_t n, size_t from) {
    for (size_t i = 0; i < n; i++) {
        items[i].word = word_at(items[i].key, from);
    }
    sort_by_word(items, spare, n);
    for (size_t at = 0, end; at < n; at = end) {
        for (end = at + 1; end < n && items[end].word == items[at].word; end++) {
        }
        if (end - at > 1) {
            sort_alike(items + at, spare, end - at, from + WORD_BYTES);
        }
    }
}

void shr_order(struct shr_ordered *items, size_t n) {
    if (n > 1) {
        struct shr_ordered *spare = shr_alloc_array(n, sizeof *spare);
        sort_from(items, spare, n, 0);
        free(spare);
    }
}
