#include "rpc/workers.h"

#include "base/alloc.h"
#include "base/prompt.h"
#include "rpc/processors.h"
#include "wasm/guest.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { QUICK, SLOW, LANES };

struct lane {
    struct shr_job *first;
    struct shr_job **last;
    uint32_t waiting;
};

/* Threads of one sort: those of QUICK run the quick lane's jobs, those of SLOW both lanes'. */
struct sort {
    pthread_cond_t work; /* a job came, or the end */
    uint32_t idle;       /* threads that wait for it */
};

struct shr_workers {
    pthread_mutex_t mutex;
    pthread_cond_t change; /* a job ended */
    struct lane lanes[LANES];
    struct sort sorts[LANES];
    uint32_t busy, queue_max;
    bool draining, ending;
    int slow_sort;   /* whose threads run slow jobs: QUICK when there is one thread only, which */
    bool quick_next; /* then takes turns between the lanes */
    pthread_t *threads;
    uint32_t n_threads;
    _Atomic uint32_t slow_threads; /* that have begun */
    struct shr_processors processors;
};

/* --- With the mutex held --- */

static uint32_t waiting(const struct shr_workers *workers) {
    return workers->lanes[QUICK].waiting + workers->lanes[SLOW].waiting;
}

static struct shr_job *pop(struct lane *lane) {
    struct shr_job *job = lane->first;
    if (job != NULL) {
        lane->first = job->next;
        if (lane->first == NULL) {
            lane->last = &lane->first;
        }
        lane->waiting--;
    }
    return job;
}

static void push(struct lane *lane, struct shr_job *job) {
    job->next = NULL;
    *lane->last = job;
    lane->last = &job->next;
    lane->waiting++;
}

/* The next job for a thread of that sort. */
static struct shr_job *next_job(struct shr_workers *workers, int sort) {
    if (sort != workers->slow_sort) {
        return pop(&workers->lanes[QUICK]);
    }
    int first = SLOW;
    if (sort == QUICK) {
        workers->quick_next = !workers->quick_next;
        first = workers->quick_next ? QUICK : SLOW;
    }
    struct shr_job *job = pop(&workers->lanes[first]);
    return job != NULL ? job : pop(&workers->lanes[first == SLOW ? QUICK : SLOW]);
}

/* A job that an idle thread takes at once does not count as waiting. */
static bool has_room(const struct shr_workers *workers, bool slow) {
    const struct lane *lanes = workers->lanes;
    if (!slow) {
        return waiting(workers) < workers->queue_max ||
               waiting(workers) + workers->busy < workers->n_threads;
    }
    uint32_t for_slow = workers->queue_max - workers->queue_max / 4;
    const struct sort *sort = &workers->sorts[workers->slow_sort];
    return (lanes[SLOW].waiting < for_slow && waiting(workers) < workers->queue_max) ||
           lanes[SLOW].waiting < sort->idle;
}

/* Threads for slow jobs have quick ones only when no other is free: their priority is low. */
static void wake(struct shr_workers *workers, bool slow) {
    const struct sort *quick = &workers->sorts[QUICK];
    bool other = slow || quick->idle < workers->lanes[QUICK].waiting;
    pthread_cond_signal(&workers->sorts[other ? workers->slow_sort : QUICK].work);
}

/* --- The threads --- */

static void run(struct shr_workers *workers, int sort, struct shr_job *job) {
    if (sort == QUICK) {
        shr_processors_heed(&workers->processors);
    }
    if (!job->slow) {
        job->run(job, false);
        return;
    }
    shr_processors_begin_slow(&workers->processors);
    job->run(job, false); /* which may free the job */
    shr_processors_end_slow(&workers->processors);
}

static void work(struct shr_workers *workers, int sort) {
    struct sort *own = &workers->sorts[sort];
    pthread_mutex_lock(&workers->mutex);
    for (;;) {
        struct shr_job *job = next_job(workers, sort);
        if (job == NULL && workers->ending) {
            break;
        }
        if (job == NULL) {
            own->idle++;
            pthread_cond_wait(&own->work, &workers->mutex);
            own->idle--;
            continue;
        }
        workers->busy++;
        pthread_mutex_unlock(&workers->mutex);
        run(workers, sort, job);
        pthread_mutex_lock(&workers->mutex);
        workers->busy--;
        pthread_cond_broadcast(&workers->change);
    }
    pthread_mutex_unlock(&workers->mutex);
}

static void *quick_main(void *ctx) {
    shr_name_thread("views");
    shr_prompt_thread();
    work(ctx, QUICK);
    return NULL;
}

static void *slow_main(void *ctx) {
    struct shr_workers *workers = ctx;
    shr_name_thread("views-slow");
    shr_processors_join_slow(&workers->processors, atomic_fetch_add(&workers->slow_threads, 1));
    work(workers, SLOW);
    return NULL;
}

static int start_threads(struct shr_workers *workers, uint32_t threads) {
    uint32_t quick = threads < 8 ? 1 : threads / 4;
    workers->slow_sort = threads == 1 ? QUICK : SLOW;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    uint32_t stack = SHR_GUEST_THREAD_STACK;
    int rc = pthread_attr_setstacksize(&attr, stack);
    for (uint32_t i = 0; rc == 0 && i < threads; i++) {
        int sort = i < quick ? QUICK : SLOW;
        rc = pthread_create(&workers->threads[i], &attr, sort == QUICK ? quick_main : slow_main,
                            workers);
        workers->n_threads += rc == 0;
    }
    pthread_attr_destroy(&attr);
    return rc;
}

int shr_workers_start(struct shr_workers **out, uint32_t threads, uint32_t queue_max,
                      struct shrewd_error *err) {
    struct shr_workers *workers = shr_alloc(sizeof *workers);
    workers->queue_max = queue_max;
    shr_processors_init(&workers->processors);
    workers->threads = shr_alloc_array(threads, sizeof *workers->threads);
    pthread_mutex_init(&workers->mutex, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&workers->change, &monotonic);
    pthread_condattr_destroy(&monotonic);
    for (int i = 0; i < LANES; i++) {
        workers->lanes[i].last = &workers->lanes[i].first;
        pthread_cond_init(&workers->sorts[i].work, NULL);
    }
    int rc = start_threads(workers, threads);
    if (rc != 0) {
        uint32_t started = workers->n_threads;
        shr_workers_free(workers);
        return shr_fail(err, SHREWD_IO,
                        "cannot start view thread %u of %u (%s): ask for fewer threads",
                        started + 1, threads, strerror(rc));
    }
    *out = workers;
    return 0;
}

bool shr_workers_push(struct shr_workers *workers, struct shr_job *job) {
    pthread_mutex_lock(&workers->mutex);
    bool taken = has_room(workers, job->slow) && !workers->draining;
    if (taken) {
        bool slow = job->slow; /* once pushed the job is a worker's */
        push(&workers->lanes[slow ? SLOW : QUICK], job);
        wake(workers, slow);
    }
    pthread_mutex_unlock(&workers->mutex);
    return taken;
}

bool shr_workers_take(struct shr_workers *workers, struct shr_job *job) {
    pthread_mutex_lock(&workers->mutex);
    struct lane *lane = &workers->lanes[job->slow ? SLOW : QUICK];
    struct shr_job **link = &lane->first;
    while (*link != NULL && *link != job) {
        link = &(*link)->next;
    }
    bool found = *link != NULL;
    if (found) {
        *link = job->next;
        lane->last = job->next == NULL ? link : lane->last;
        lane->waiting--;
        pthread_cond_broadcast(&workers->change);
    }
    pthread_mutex_unlock(&workers->mutex);
    return found;
}

void shr_workers_heed(struct shr_workers *workers) {
    shr_processors_heed(&workers->processors);
}

void shr_workers_count(struct shr_workers *workers, uint32_t *busy, uint32_t *waiting_now) {
    pthread_mutex_lock(&workers->mutex);
    *busy = workers->busy;
    *waiting_now = waiting(workers);
    pthread_mutex_unlock(&workers->mutex);
}

bool shr_workers_drain(struct shr_workers *workers, uint32_t ms) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&workers->mutex);
    workers->draining = true;
    int rc = 0;
    while (rc == 0 && (workers->busy > 0 || waiting(workers) > 0)) {
        rc = pthread_cond_timedwait(&workers->change, &workers->mutex, &until);
    }
    for (int i = 0; i < LANES; i++) {
        for (struct shr_job *job; (job = pop(&workers->lanes[i])) != NULL;) {
            pthread_mutex_unlock(&workers->mutex);
            job->run(job, true);
            pthread_mutex_lock(&workers->mutex);
        }
    }
    bool idle = workers->busy == 0;
    pthread_mutex_unlock(&workers->mutex);
    return idle;
}

void shr_workers_free(struct shr_workers *workers) {
    if (workers == NULL) {
        return;
    }
    pthread_mutex_lock(&workers->mutex);
    workers->ending = true;
    for (int i = 0; i < LANES; i++) {
        pthread_cond_broadcast(&workers->sorts[i].work);
    }
    pthread_mutex_unlock(&workers->mutex);
    for (uint32_t i = 0; i < workers->n_threads; i++) {
        pthread_join(workers->threads[i], NULL);
    }
    for (int i = 0; i < LANES; i++) {
        pthread_cond_destroy(&workers->sorts[i].work);
    }
    pthread_cond_destroy(&workers->change);
    pthread_mutex_destroy(&workers->mutex);
    free(workers->threads);
    free(workers);
}
