#include "rpc/processors.h"

#include "base/clock.h"
#include "base/prompt.h"

#include <string.h>

#define LINGER_NS 200000000u /* slow calls come and go: threads do not move with each of them */

/* Together, threads for slow calls weigh half of one ordinary thread. */
#define NICE 7u
#define NICE_STEP 3u

void shr_processors_init(struct shr_processors *processors) {
    memset(processors, 0, sizeof *processors);
    if (sched_getaffinity(0, sizeof processors->all, &processors->all) != 0) {
        return;
    }
    uint32_t n = (uint32_t)CPU_COUNT(&processors->all);
    if (n < 2) {
        return;
    }
    uint32_t for_quick = n / 4 > 1 ? n / 4 : 1;
    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (CPU_ISSET(i, &processors->all)) {
            bool quick = (uint32_t)CPU_COUNT(&processors->quick) < for_quick;
            CPU_SET(i, quick ? &processors->quick : &processors->slow);
        }
    }
    processors->slow_max = n - for_quick;
}

void shr_processors_join_slow(const struct shr_processors *processors, uint32_t nth) {
    shr_patient_thread(NICE + NICE_STEP * nth);
    shr_prompt_thread();
    if (processors->slow_max > 0) {
        (void)sched_setaffinity(0, sizeof processors->slow, &processors->slow);
    }
}

static void filled(struct shr_processors *processors, uint32_t calls) {
    if (processors->slow_max > 0 && calls >= processors->slow_max) {
        atomic_store_explicit(&processors->filled_ns, shr_now_ns(), memory_order_relaxed);
    }
}

void shr_processors_begin_slow(struct shr_processors *processors) {
    filled(processors, atomic_fetch_add(&processors->slow_calls, 1) + 1);
}

void shr_processors_end_slow(struct shr_processors *processors) {
    filled(processors, atomic_fetch_sub(&processors->slow_calls, 1));
}

static bool are_filled(struct shr_processors *processors) {
    uint64_t at = atomic_load_explicit(&processors->filled_ns, memory_order_relaxed);
    if (at == 0) {
        return false;
    }
    return atomic_load_explicit(&processors->slow_calls, memory_order_relaxed) >=
               processors->slow_max ||
           shr_now_ns() < at + LINGER_NS;
}

void shr_processors_heed(struct shr_processors *processors) {
    static _Thread_local bool aside;
    bool filled_now = are_filled(processors);
    if (filled_now != aside) {
        aside = filled_now;
        const cpu_set_t *set = filled_now ? &processors->quick : &processors->all;
        (void)sched_setaffinity(0, sizeof *set, set);
    }
}
