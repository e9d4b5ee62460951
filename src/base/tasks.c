#include "base/tasks.h"

#include "base/alloc.h"
#include "base/prompt.h"

#include <stdlib.h>

static void take_part(struct shr_pieces *pieces) {
    for (size_t i; (i = atomic_fetch_add(&pieces->next, 1)) < pieces->n;) {
        pieces->piece(pieces->ctx, i);
    }
}

static void *help(void *ctx) {
    struct shr_pieces *pieces = ctx;
    shr_name_thread(pieces->name);
    take_part(pieces);
    return NULL;
}

void shr_pieces_begin(struct shr_pieces *pieces, unsigned helpers) {
    for (unsigned i = 0; i < helpers && i < SHR_PIECES_HELPERS_MAX && i + 1 < pieces->n; i++) {
        if (pthread_create(&pieces->helpers[pieces->started], NULL, help, pieces) == 0) {
            pieces->started++;
        }
    }
}

void shr_pieces_end(struct shr_pieces *pieces) {
    take_part(pieces);
    for (unsigned i = 0; i < pieces->started; i++) {
        pthread_join(pieces->helpers[i], NULL);
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
    tasks->pieces =
        (struct shr_pieces){.piece = do_task, .ctx = tasks, .n = tasks->n, .name = tasks->name};
    shr_pieces_begin(&tasks->pieces, helpers);
}

int shr_tasks_end(struct shr_tasks *tasks, struct shrewd_error *err) {
    shr_pieces_end(&tasks->pieces);
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
