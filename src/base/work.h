/* work.h: work in pieces, shared out among threads that are made for it. */
#ifndef SHR_BASE_WORK_H
#define SHR_BASE_WORK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#define SHR_WORK_HELPERS_MAX 15u

struct shr_work {
    void (*piece)(void *ctx, size_t i); /* each of 0 to n - 1 once, on any of the threads */
    void *ctx;
    size_t n;
    const char *name; /* of the helpers (prompt.h); static storage */
    /* Its own: */
    _Atomic size_t next;
    pthread_t helpers[SHR_WORK_HELPERS_MAX];
    unsigned started;
};

/* Starts up to so many helpers, SHR_WORK_HELPERS_MAX at most, and fewer than there are pieces; a
 * thread that cannot be started is done without. The work stays where it is until its end. */
void shr_work_begin(struct shr_work *work, unsigned helpers);
/* Takes part until nothing is left to begin, and waits for the rest. */
void shr_work_end(struct shr_work *work);

#endif
