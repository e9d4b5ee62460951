#include "base/work.h"

#include "base/alloc.h"
#include "base/prompt.h"

#include <stdlib.h>

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

/* --- Pieces that may fail --- */

static void do_task(void *ctx, size_t i) {
    struct shr_tasks *tasks = ctx;
    struct shrewd_error err = {0};
    int code = tasks->task(tasks->ctx, i, &err);
    tasks->errors[i] = err;
    tasks->errors[i].code = code;
}

void shr_tasks_begin(struct shr_tasks *tasks, unsigned helpers) {
    tasks->errors = shr_alloc_array(tasks->n + 1, sizeof *tasks->errors);
    tasks->work =
        (struct shr_work){.piece = do_task, .ctx = tasks, .n = tasks->n, .name = tasks->name};
    shr_work_begin(&tasks->work, helpers);
}

int shr_tasks_end(struct shr_tasks *tasks, struct shrewd_error *err) {
    shr_work_end(&tasks->work);
    int code = 0;
    for (size_t i = 0; code == 0 && i < tasks->n; i++) {
        code = tasks->errors[i].code;
        if (code != 0 && err != NULL) {
            *err = tasks->errors[i];
        }
    }
    free(tasks->errors);
    tasks->errors = NULL;
    return code;
}
