/* work.h: targets and chain work as 256-bit numbers. Pure functions; any thread.
 *
 * Source: Bitcoin's compact encoding of targets (`bits` of a header) as Bitcoin Core reads it,
 * and its chain work: a block of target t stands for 2^256 / (t + 1) hashes. */
#ifndef SHR_CHAIN_WORK_H
#define SHR_CHAIN_WORK_H

#include "chain/hash.h"

struct shr_work {
    uint64_t limb[4]; /* least significant first */
};

/* False when compact `bits` encodes a negative number, zero, or more than 256 bits. */
bool shr_target_decode(struct shr_work *out, uint32_t bits);
/* The work one block of these `bits` stands for; 0 when they are no valid target. */
void shr_work_of(struct shr_work *out, uint32_t bits);
/* Adds in place; a sum past 2^256 wraps, which no chain reaches. */
void shr_work_add(struct shr_work *sum, const struct shr_work *more);
/* <0, 0, >0 */
int shr_work_cmp(const struct shr_work *a, const struct shr_work *b);

#endif
