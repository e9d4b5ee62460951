/* pool.h: idle warm instances, each bound to the version of the state it has run for.
 *
 * An instance goes in under the version whose reader its calls used, and comes out for that very
 * version only, height and block hash alike: after a reorg the same height is another version. So
 * what a guest keeps in memory can never answer for a state it was not read from.
 *
 * Bounded in bytes of linear memory and in number. When there is no room the versions least
 * recently asked for give up theirs first. Any thread may call; the one lock is held for some
 * pointers' worth of work, instances are freed outside it.
 */
#ifndef SHR_VIEW_POOL_H
#define SHR_VIEW_POOL_H

#include "view/view.h"

struct shr_pool;

struct shr_pool_stats {
    uint64_t instances, bytes; /* idle now */
    uint64_t evicted;          /* freed for want of room, or since their version is gone */
};

struct shr_pool *shr_pool_new(uint64_t bytes_max);
void shr_pool_free(struct shr_pool *pool); /* and all in it; NULL is fine */

/* An idle instance of that version, now the caller's; NULL when there is none. */
struct shr_instance *shr_pool_take(struct shr_pool *pool, const struct shr_version *at);
/* Takes over an instance whose calls were all for that version and did not fail. It is freed at
 * once when it is not usable any more or holds more than its share, a quarter of the pool. */
void shr_pool_give(struct shr_pool *pool, const struct shr_version *at,
                   struct shr_instance *instance);

/* Frees every idle instance: their memory is wanted. */
void shr_pool_empty(struct shr_pool *pool);
/* Frees those whose version `gone` says is gone. It is asked outside the lock. */
void shr_pool_drop(struct shr_pool *pool, bool (*gone)(void *ctx, const struct shr_version *at),
                   void *ctx);
void shr_pool_stats(struct shr_pool *pool, struct shr_pool_stats *out);

#endif
