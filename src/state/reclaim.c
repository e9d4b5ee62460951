#include "state/reclaim.h"

#include <stddef.h>

void shr_reclaim_init(struct shr_reclaim *reclaim) {
    atomic_init(&reclaim->now, 1);
    for (size_t i = 0; i < SHR_RECLAIM_SLOTS; i++) {
        atomic_init(&reclaim->slots[i].held, 0);
        atomic_init(&reclaim->slots[i].hits, 0);
        atomic_init(&reclaim->slots[i].misses, 0);
    }
}

/* Threads start their search at slots of their own, so that each keeps its line to itself. */
static unsigned first_slot(void) {
    static _Atomic unsigned n_threads;
    static _Thread_local unsigned number; /* from 1 */
    if (number == 0) {
        number = atomic_fetch_add_explicit(&n_threads, 1, memory_order_relaxed) + 1;
    }
    return number;
}

struct shr_reclaim_slot *shr_reclaim_enter(struct shr_reclaim *reclaim) {
    unsigned first = first_slot();
    for (unsigned i = 0; i < SHR_RECLAIM_SLOTS; i++) {
        struct shr_reclaim_slot *slot = &reclaim->slots[(first + i) % SHR_RECLAIM_SLOTS];
        uint64_t nobody = 0;
        if (atomic_compare_exchange_strong(&slot->held, &nobody, atomic_load(&reclaim->now))) {
            return slot;
        }
    }
    return NULL;
}

void shr_reclaim_leave(struct shr_reclaim_slot *slot) {
    atomic_store_explicit(&slot->held, 0, memory_order_release);
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
