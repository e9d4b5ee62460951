#include "state/reclaim.h"

void shr_reclaim_init(struct shr_reclaim *reclaim) {
    atomic_init(&reclaim->now, 1);
    for (size_t i = 0; i < SHR_RECLAIM_SLOTS; i++) {
        atomic_init(&reclaim->slots[i].held, 0);
        atomic_init(&reclaim->slots[i].hits, 0);
        atomic_init(&reclaim->slots[i].misses, 0);
    }
}

_Thread_local unsigned shr_reclaim_first;

unsigned shr_reclaim_number(void) {
    static _Atomic unsigned n_threads;
    shr_reclaim_first = atomic_fetch_add_explicit(&n_threads, 1, memory_order_relaxed) + 1;
    return shr_reclaim_first;
}

struct shr_reclaim_slot *shr_reclaim_search(struct shr_reclaim *reclaim, unsigned first) {
    for (unsigned i = 1; i < SHR_RECLAIM_SLOTS; i++) {
        struct shr_reclaim_slot *slot = shr_reclaim_try(reclaim, first + i);
        if (slot != NULL) {
            return slot;
        }
    }
    return NULL;
}

uint64_t shr_reclaim_stamp(struct shr_reclaim *reclaim) {
    return atomic_load(&reclaim->now);
}

/* A slot that holds e was entered after `now` had become e. An object stamped below e was
 * unlinked while `now` was below e, so that reader cannot have found it. A slot that looks free
 * is entered, if at all, after this look, and so after the unlinking too. */
uint64_t shr_reclaim_horizon(struct shr_reclaim *reclaim) {
    uint64_t lowest = atomic_fetch_add(&reclaim->now, 1) + 1;
    for (size_t i = 0; i < SHR_RECLAIM_SLOTS; i++) {
        uint64_t held = atomic_load(&reclaim->slots[i].held);
        if (held != 0 && held < lowest) {
            lowest = held;
        }
    }
    return lowest;
}
