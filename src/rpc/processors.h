/* processors.h: who runs on which processor while slow calls keep them busy.
 *
 * A priority alone does not give a thread a processor soon after it wakes: many kernels let what
 * runs there go on to its next tick, or out of a long system call, milliseconds later. So threads
 * of slow calls leave a quarter of the processors, at least one, to everybody else; and while slow
 * calls fill all the others, threads of quick calls keep to those. With one processor, or where the
 * system refuses, nothing changes. Any thread may call.
 */
#ifndef SHR_RPC_PROCESSORS_H
#define SHR_RPC_PROCESSORS_H

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct shr_processors {
    cpu_set_t all, quick, slow;
    uint32_t slow_max;           /* slow calls that fill the processors they may use; 0: no split */
    _Atomic uint32_t slow_calls; /* that run now */
    _Atomic uint64_t filled_ns;  /* when they last did; 0: never */
};

void shr_processors_init(struct shr_processors *processors);
/* The calling thread is the `nth` for slow calls, from 0: it keeps to their processors, with short
 * turns, and the more of them run at once, the less each one weighs more. */
void shr_processors_join_slow(const struct shr_processors *processors, uint32_t nth);
/* Around each slow call. */
void shr_processors_begin_slow(struct shr_processors *processors);
void shr_processors_end_slow(struct shr_processors *processors);
/* The calling thread is about to run a quick call: moves it if need be. */
void shr_processors_heed(struct shr_processors *processors);

#endif
