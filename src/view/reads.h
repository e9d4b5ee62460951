/* reads.h: a set of keys in the order they were added: what a call has read, or may read. One
 * thread at a time. */
#ifndef SHR_VIEW_READS_H
#define SHR_VIEW_READS_H

#include "base/arena.h"
#include "state/key_hash.h"

/* Start with shr_reads_init. */
struct shr_reads {
    struct shr_bytes *keys; /* n of them, each once; they stay where they are */
    size_t n;
    /* private */
    struct shr_arena arena;
    struct shr_key_seed seed;
    uint32_t *index; /* a hash table of numbers of keys, plus 1 */
    size_t slots;    /* of it: a power of two, or 0 */
};

void shr_reads_init(struct shr_reads *reads);
void shr_reads_free(struct shr_reads *reads); /* {0} is fine */
/* The number of a key; false when it is not there. */
bool shr_reads_find(const struct shr_reads *reads, size_t *at, struct shr_bytes key);
/* Adds a copy of a key that is not there. */
void shr_reads_add(struct shr_reads *reads, struct shr_bytes key);

#endif
