#include "rpc/workers.h"

#include "base/alloc.h"
#include "wasm/guest.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct shr_workers {
    pthread_mutex_t mutex;
    pthread_cond_t work;   /* a job came, or the end */
    pthread_cond_t change; /* a job ended */
    struct shr_job *first;
    struct shr_job **last;
    uint32_t waiting, busy, queue_max;
    bool draining, ending;
    pthread_t *threads;
    uint32_t n_threads;
};

/* With the mutex held. */
static struct shr_job *pop(struct shr_workers *workers) {
    struct shr_job *job = workers->first;
    if (job != NULL) {
        workers->first = job->next;
        if (workers->first == NULL) {
            workers->last = &workers->first;
        }
        workers->waiting--;
    }
    return job;
}

static void *worker_main(void *ctx) {
    struct shr_workers *workers = ctx;
    pthread_mutex_lock(&workers->mutex);
    for (;;) {
        struct shr_job *job = pop(workers);
        if (job == NULL && workers->ending) {
            break;
        }
        if (job == NULL) {
            pthread_cond_wait(&workers->work, &workers->mutex);
            continue;
        }
        workers->busy++;
        pthread_mutex_unlock(&workers->mutex);
        job->run(job, false);
        pthread_mutex_lock(&workers->mutex);
        workers->busy--;
        pthread_cond_broadcast(&workers->change);
    }
    pthread_mutex_unlock(&workers->mutex);
    return NULL;
}

int shr_workers_start(struct shr_workers **out, uint32_t threads, uint32_t queue_max,
                      struct shrewd_error *err) {
    struct shr_workers *workers = shr_alloc(sizeof *workers);
    workers->last = &workers->first;
    workers->queue_max = queue_max;
    workers->threads = shr_alloc_array(threads, sizeof *workers->threads);
    pthread_mutex_init(&workers->mutex, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&workers->work, NULL);
    pthread_cond_init(&workers->change, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    uint32_t stack = SHR_GUEST_THREAD_STACK;
    int rc = pthread_attr_setstacksize(&attr, stack);
    while (rc == 0 && workers->n_threads < threads) {
        rc = pthread_create(&workers->threads[workers->n_threads], &attr, worker_main, workers);
        workers->n_threads += rc == 0;
    }
    pthread_attr_destroy(&attr);
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
    /* A job that an idle thread takes at once does not count as waiting. */
    bool room = workers->waiting < workers->queue_max ||
                workers->waiting + workers->busy < workers->n_threads;
    bool taken = room && !workers->draining;
    if (taken) {
        job->next = NULL;
        *workers->last = job;
        workers->last = &job->next;
        workers->waiting++;
        pthread_cond_signal(&workers->work);
    }
    pthread_mutex_unlock(&workers->mutex);
    return taken;
}

bool shr_workers_take(struct shr_workers *workers, struct shr_job *job) {
    pthread_mutex_lock(&workers->mutex);
    struct shr_job **link = &workers->first;
    while (*link != NULL && *link != job) {
        link = &(*link)->next;
    }
    bool found = *link != NULL;
    if (found) {
        *link = job->next;
        workers->last = job->next == NULL ? link : workers->last;
        workers->waiting--;
        pthread_cond_broadcast(&workers->change);
    }
    pthread_mutex_unlock(&workers->mutex);
    return found;
}

void shr_workers_count(struct shr_workers *workers, uint32_t *busy, uint32_t *waiting) {
    pthread_mutex_lock(&workers->mutex);
    *busy = workers->busy;
    *waiting = workers->waiting;
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
    while (rc == 0 && (workers->busy > 0 || workers->waiting > 0)) {
        rc = pthread_cond_timedwait(&workers->change, &workers->mutex, &until);
    }
    for (struct shr_job *job; (job = pop(workers)) != NULL;) {
        pthread_mutex_unlock(&workers->mutex);
        job->run(job, true);
        pthread_mutex_lock(&workers->mutex);
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
    pthread_cond_broadcast(&workers->work);
    pthread_mutex_unlock(&workers->mutex);
    for (uint32_t i = 0; i < workers->n_threads; i++) {
        pthread_join(workers->threads[i], NULL);
    }
    pthread_cond_destroy(&workers->work);
    pthread_cond_destroy(&workers->change);
    pthread_mutex_destroy(&workers->mutex);
    free(workers->threads);
    free(workers);
}
