/* ahead.h: hashes of the best chain learnt ahead of their use, many in one round trip.
 *
 * A hash is handed out once, and only to whoever walks the chain upwards one height at a time:
 * any other question (has this height changed?) must go to the node. The owner drops the lot when
 * the node's tip changes. Not thread-safe. */
#ifndef SHR_NODE_AHEAD_H
#define SHR_NODE_AHEAD_H

#include "chain/hash.h"

#define SHR_AHEAD_MAX 2000u

struct shr_ahead {
    uint32_t last_asked;
    bool any_asked;
    uint32_t next; /* the height of hashes[used] */
    size_t used;
    size_t n;
    uint64_t checked_ms;  /* when the node's tip was last seen unchanged */
    struct shr_hash best; /* that tip */
    struct shr_hash hashes[SHR_AHEAD_MAX];
};

/* Notes that `height` is asked for; true when it is the one after the last. */
bool shr_ahead_ask(struct shr_ahead *ahead, uint32_t height);
void shr_ahead_drop(struct shr_ahead *ahead);
bool shr_ahead_has(const struct shr_ahead *ahead, uint32_t height);
/* The hash that shr_ahead_has promised; forgets it. */
void shr_ahead_take(struct shr_ahead *ahead, struct shr_hash *out);
/* After hashes[0 .. n) were written: hashes[0] is that of `first`. */
void shr_ahead_filled(struct shr_ahead *ahead, uint32_t first, size_t n,
                      const struct shr_hash *best, uint64_t now_ms);

#endif
