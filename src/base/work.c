#include "base/work.h"

#include "base/prompt.h"

static void take_part(struct shr_work *work) {
    for (size_t i; (i = atomic_fetch_add(&work->next, 1)) < work->n;) {
        work->piece(work->ctx, i);
    }
}

static void *help(void *ctx) {
    struct shr_work *work = ctx;
    shr_name_thread(work->name);
    take_part(work);
    return NULL;
}

void shr_work_begin(struct shr_work *work, unsigned helpers) {
    for (unsigned i = 0; i < helpers && i < SHR_WORK_HELPERS_MAX && i + 1 < work->n; i++) {
        if (pthread_create(&work->helpers[work->started], NULL, help, work) == 0) {
            work->started++;
        }
    }
}

void shr_work_end(struct shr_work *work) {
    take_part(work);
    for (unsigned i = 0; i < work->started; i++) {
        pthread_join(work->helpers[i], NULL);
    }
}
