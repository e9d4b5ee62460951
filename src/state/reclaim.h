/* reclaim.h: when memory that readers may still be looking at can be freed, without a lock or a
 * shared counter on the readers' side ("epoch-based reclamation").
 *
 * A reader announces itself in a slot, each on a cache line of its own, for as long as it follows
 * shared pointers: well below a microsecond, and never across a call that may block. Whoever
 * unlinks an object notes shr_reclaim_stamp after unlinking; the object may be freed once
 * shr_reclaim_horizon is above that stamp: every reader that might have found it has left.
 *
 * The pointers themselves must be loaded and stored sequentially consistent: that is what orders
 * a reader's announcement before what it finds. Any thread may call anything.
 */
#ifndef SHR_STATE_RECLAIM_H
#define SHR_STATE_RECLAIM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHR_CACHE_LINE 64
#define SHR_RECLAIM_SLOTS 64 /* readers at one moment */

struct shr_reclaim_slot {
    _Alignas(SHR_CACHE_LINE) _Atomic uint64_t held; /* 0: free */
    /* For the user's statistics, by the slot's holder only; others may read. */
    _Atomic uint64_t hits, misses;
};

struct shr_reclaim {
    _Alignas(SHR_CACHE_LINE) _Atomic uint64_t now;
    struct shr_reclaim_slot slots[SHR_RECLAIM_SLOTS];
};

void shr_reclaim_init(struct shr_reclaim *reclaim);

/* Threads start their search at slots of their own, so that each keeps its line to itself. */
extern _Thread_local unsigned shr_reclaim_first; /* from 1; 0: not numbered yet */
unsigned shr_reclaim_number(void);
/* The slots from `first` on, that one left out. */
struct shr_reclaim_slot *shr_reclaim_search(struct shr_reclaim *reclaim, unsigned first);

static inline struct shr_reclaim_slot *shr_reclaim_try(struct shr_reclaim *reclaim, unsigned at) {
    struct shr_reclaim_slot *slot = &reclaim->slots[at % SHR_RECLAIM_SLOTS];
    uint64_t nobody = 0;
    bool mine = atomic_compare_exchange_strong(&slot->held, &nobody, atomic_load(&reclaim->now));
    return mine ? slot : NULL;
}

/* NULL when every slot is taken: then look at nothing. */
static inline struct shr_reclaim_slot *shr_reclaim_enter(struct shr_reclaim *reclaim) {
    unsigned first = shr_reclaim_first != 0 ? shr_reclaim_first : shr_reclaim_number();
    struct shr_reclaim_slot *slot = shr_reclaim_try(reclaim, first);
    return slot != NULL ? slot : shr_reclaim_search(reclaim, first);
}

static inline void shr_reclaim_leave(struct shr_reclaim_slot *slot) {
    atomic_store_explicit(&slot->held, 0, memory_order_release);
}

uint64_t shr_reclaim_stamp(struct shr_reclaim *reclaim);
/* Costs a look at every slot: worth it for dozens of objects at a time. */
uint64_t shr_reclaim_horizon(struct shr_reclaim *reclaim);

#endif
