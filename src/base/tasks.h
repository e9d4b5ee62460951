/* tasks.h: work in pieces, shared out among threads that are made for it. */
#ifndef SHR_BASE_TASKS_H
#define SHR_BASE_TASKS_H

#include "base/error.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#define SHR_PIECES_HELPERS_MAX 15u

struct shr_pieces {
    void (*piece)(void *ctx, size_t i); /* each of 0 to n - 1 once, on any of the threads */
    void *ctx;
    size_t n;
    const char *name; /* of the helpers (prompt.h); static storage */
    /* Its own: */
    _Atomic size_t next;
    pthread_t helpers[SHR_PIECES_HELPERS_MAX];
    unsigned started;
};

/* Starts up to so many helpers, SHR_PIECES_HELPERS_MAX at most, and fewer than there are pieces; a
 * thread that cannot be started is done without. The work stays where it is until its end. */
void shr_pieces_begin(struct shr_pieces *pieces, unsigned helpers);
/* Takes part until nothing is left to begin, and waits for the rest. */
void shr_pieces_end(struct shr_pieces *pieces);

/* The same of pieces that may fail; each is done whatever became of the others. */
struct shr_tasks {
    int (*task)(void *ctx, size_t i, struct shrewd_error *err);
    void *ctx;
    size_t n;
    const char *name;
    /* Its own: */
    struct shr_pieces pieces;
    struct shrewd_error *errors; /* of each piece; code 0: none */
};
void shr_tasks_begin(struct shr_tasks *tasks, unsigned helpers);
/* Of the pieces that failed, what the first by number said, whichever thread came first. */
int shr_tasks_end(struct shr_tasks *tasks, struct shrewd_error *err);

#endif
