/* key_hash.h: hashing keys for tables in memory, seeded anew in every process, so that nobody can
 * choose keys that crowd a table. Pure; any thread. */
#ifndef SHR_STATE_KEY_HASH_H
#define SHR_STATE_KEY_HASH_H

#include "base/buf.h"

struct shr_key_seed {
    uint64_t words[3];
};

void shr_key_seed_make(struct shr_key_seed *seed);
uint64_t shr_key_hash(const struct shr_key_seed *seed, struct shr_bytes key);
/* Folds the product of two words to one. */
uint64_t shr_key_fold(uint64_t a, uint64_t b);

#endif
