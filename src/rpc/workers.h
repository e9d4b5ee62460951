/* workers.h: a fixed number of threads that run guests, fed by one bounded queue of two lanes.
 *
 * Jobs that are likely to take long (`slow`) run on three of four threads at most, of a lower
 * priority and on three of four processors at most (processors.h): so there is a thread and a
 * processor for the others.
 * A lane is served in order. Every job pushed is finished exactly once: by a worker, or, when the
 * queue is dropped at the end, as abandoned by the thread that drains.
 */
#ifndef SHR_RPC_WORKERS_H
#define SHR_RPC_WORKERS_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct shr_workers;

/* Embedded in what the caller queues. */
struct shr_job {
    struct shr_job *next; /* private */
    bool slow;
    /* May free the job. `abandoned`: it was not its turn before the end; answer, do not run. */
    void (*run)(struct shr_job *job, bool abandoned);
};

/* Threads with SHR_GUEST_THREAD_STACK each. `queue_max`: jobs that wait for a thread; slow ones
 * leave a quarter of that to the others. */
int shr_workers_start(struct shr_workers **out, uint32_t threads, uint32_t queue_max,
                      struct shrewd_error *err);
/* False when there is no room for it, or the queue is drained: the job is then untouched. */
bool shr_workers_push(struct shr_workers *workers, struct shr_job *job);
/* Takes a job out of the queue again; false when it is not there (any more). */
bool shr_workers_take(struct shr_workers *workers, struct shr_job *job);
void shr_workers_count(struct shr_workers *workers, uint32_t *busy, uint32_t *waiting);
/* The calling thread, not of these workers, is about to do what no slow job should hold up. */
void shr_workers_heed(struct shr_workers *workers);
/* Takes no more jobs; waits at most `ms` for those in hand, then abandons the ones that wait.
 * False when a job is still running. */
bool shr_workers_drain(struct shr_workers *workers, uint32_t ms);
/* After a drain that returned true. NULL is fine. */
void shr_workers_free(struct shr_workers *workers);

#endif
