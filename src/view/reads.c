#include "view/reads.h"

#include "base/alloc.h"

#include <stdlib.h>

#define SLOTS_FIRST 64u

void shr_reads_init(struct shr_reads *reads) {
    *reads = (struct shr_reads){0};
    shr_key_seed_make(&reads->seed);
}

void shr_reads_free(struct shr_reads *reads) {
    free(reads->keys);
    free(reads->index);
    shr_arena_free(&reads->arena);
    *reads = (struct shr_reads){0};
}

/* Where the key is in the table, or would be. */
static uint32_t *slot_of(const struct shr_reads *reads, struct shr_bytes key) {
    size_t slot = shr_key_hash(&reads->seed, key) & (reads->slots - 1);
    while (reads->index[slot] != 0 && !shr_bytes_eq(reads->keys[reads->index[slot] - 1], key)) {
        slot = (slot + 1) & (reads->slots - 1);
    }
    return &reads->index[slot];
}

bool shr_reads_find(const struct shr_reads *reads, size_t *at, struct shr_bytes key) {
    uint32_t found = reads->slots > 0 ? *slot_of(reads, key) : 0;
    if (found != 0) {
        *at = found - 1;
    }
    return found != 0;
}

/* At most half of the table is in use. */
static void grow(struct shr_reads *reads) {
    reads->slots = reads->slots == 0 ? SLOTS_FIRST : reads->slots * 2;
    free(reads->index);
    reads->index = shr_alloc_array(reads->slots, sizeof *reads->index);
    reads->keys = shr_realloc_array(reads->keys, reads->slots / 2, sizeof *reads->keys);
    for (size_t i = 0; i < reads->n; i++) {
        *slot_of(reads, reads->keys[i]) = (uint32_t)i + 1;
    }
}

void shr_reads_add(struct shr_reads *reads, struct shr_bytes key) {
    if (reads->n == reads->slots / 2) {
        grow(reads);
    }
    uint32_t *slot = slot_of(reads, key);
    reads->keys[reads->n++] = shr_arena_keep(&reads->arena, key);
    *slot = (uint32_t)reads->n;
}
