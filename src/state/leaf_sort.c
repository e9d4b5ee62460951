#include "state/leaf_sort.h"

#include "base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define LEAF_BYTES sizeof(struct shr_root_leaf)
#define LEAVES_MIN ((size_t)64)     /* held in memory, however little is allowed */
#define RUN_LEAVES_MIN ((size_t)64) /* read of a run at a time: 4 KiB */

/* A sorted part of the file, and what was read of it. */
struct run {
    uint64_t at, end; /* in leaves; `at`: not read yet */
    struct shr_root_leaf *leaves;
    size_t n, next;
};

struct shr_leaf_sort {
    const char *scratch;
    struct shr_root_leaf *leaves; /* not in the file */
    size_t n, cap, cap_max;
    size_t next; /* to be taken, without a file */
    int file;    /* -1: all is in memory */
    uint64_t written;
    struct run *runs;
    size_t n_runs;
    size_t
        *heap; /* indexes of runs that are not at their end; the one with the lowest leaf first */
    size_t heap_n;
};

struct shr_leaf_sort *shr_leaf_sort_new(const char *scratch, size_t memory_max) {
    struct shr_leaf_sort *sort = shr_alloc(sizeof *sort);
    sort->scratch = scratch;
    sort->cap_max = memory_max / LEAF_BYTES / 2; /* qsort takes as much again */
    sort->cap_max = sort->cap_max < LEAVES_MIN ? LEAVES_MIN : sort->cap_max;
    sort->file = -1;
    return sort;
}

void shr_leaf_sort_free(struct shr_leaf_sort *sort) {
    if (sort == NULL) {
        return;
    }
    for (size_t i = 0; i < sort->n_runs; i++) {
        free(sort->runs[i].leaves);
    }
    if (sort->file >= 0) {
        close(sort->file);
    }
    free(sort->heap);
    free(sort->runs);
    free(sort->leaves);
    free(sort);
}

/* --- Writing runs --- */

static int open_file(struct shr_leaf_sort *sort, struct shrewd_error *err) {
    char *path = shr_asprintf("%s/leaves.XXXXXX", sort->scratch);
    sort->file = mkostemp(path, O_CLOEXEC);
    int code = sort->file >= 0 ? 0 : shr_fail_errno(err, SHREWD_IO, "cannot create '%s'", path);
    if (code == 0) {
        unlink(path);
    }
    free(path);
    return code;
}

static int write_run(struct shr_leaf_sort *sort, struct shrewd_error *err) {
    int code = sort->file >= 0 ? 0 : open_file(sort, err);
    const uint8_t *from = (const uint8_t *)sort->leaves;
    qsort(sort->leaves, sort->n, LEAF_BYTES, shr_root_leaf_order);
    for (size_t left = sort->n * LEAF_BYTES; code == 0 && left > 0;) {
        ssize_t put = write(sort->file, from, left);
        if (put < 0 && errno != EINTR) {
            code = shr_fail_errno(err, SHREWD_IO, "cannot write a file in '%s'", sort->scratch);
        } else if (put > 0) {
            from += put;
            left -= (size_t)put;
        }
    }
    if (code == 0) {
        sort->runs = shr_realloc_array(sort->runs, sort->n_runs + 1, sizeof *sort->runs);
        sort->runs[sort->n_runs++] =
            (struct run){.at = sort->written, .end = sort->written + sort->n};
        sort->written += sort->n;
        sort->n = 0;
    }
    return code;
}

int shr_leaf_sort_add(struct shr_leaf_sort *sort, const struct shr_root_leaf *leaf,
                      struct shrewd_error *err) {
    if (sort->n == sort->cap_max) {
        int code = write_run(sort, err);
        if (code != 0) {
            return code;
        }
    }
    if (sort->n == sort->cap) {
        size_t cap = sort->cap == 0 ? LEAVES_MIN : sort->cap * 2;
        sort->cap = cap > sort->cap_max ? sort->cap_max : cap;
        sort->leaves = shr_realloc_array(sort->leaves, sort->cap, LEAF_BYTES);
    }
    sort->leaves[sort->n++] = *leaf;
    return 0;
}

/* --- Reading them together --- */

static int fill(struct shr_leaf_sort *sort, struct run *run, size_t room,
                struct shrewd_error *err) {
    uint64_t left = run->end - run->at;
    run->n = left < room ? (size_t)left : room;
    run->next = 0;
    uint8_t *to = (uint8_t *)run->leaves;
    for (size_t done = 0, bytes = run->n * LEAF_BYTES; done < bytes;) {
        ssize_t got =
            pread(sort->file, to + done, bytes - done, (off_t)(run->at * LEAF_BYTES + done));
        if (got == 0 || (got < 0 && errno != EINTR)) {
            return shr_fail_errno(err, SHREWD_IO, "cannot read a file in '%s'", sort->scratch);
        }
        done += got > 0 ? (size_t)got : 0;
    }
    run->at += run->n;
    return 0;
}

static bool lower(const struct shr_leaf_sort *sort, size_t a, size_t b) {
    const struct run *left = &sort->runs[sort->heap[a]], *right = &sort->runs[sort->heap[b]];
    return shr_root_leaf_order(&left->leaves[left->next], &right->leaves[right->next]) < 0;
}

/* The entry at i may be higher than those below it. */
static void sink(struct shr_leaf_sort *sort, size_t i) {
    for (;;) {
        size_t least = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < sort->heap_n; child++) {
            least = lower(sort, child, least) ? child : least;
        }
        if (least == i) {
            return;
        }
        size_t kept = sort->heap[i];
        sort->heap[i] = sort->heap[least];
        sort->heap[least] = kept;
        i = least;
    }
}

static size_t run_room(const struct shr_leaf_sort *sort) {
    size_t room = sort->cap_max / (sort->n_runs + 1);
    return room < RUN_LEAVES_MIN ? RUN_LEAVES_MIN : room;
}

int shr_leaf_sort_end(struct shr_leaf_sort *sort, struct shrewd_error *err) {
    if (sort->file < 0) {
        if (sort->n > 0) {
            qsort(sort->leaves, sort->n, LEAF_BYTES, shr_root_leaf_order);
        }
        return 0;
    }
    int code = sort->n > 0 ? write_run(sort, err) : 0;
    free(sort->leaves);
    sort->leaves = NULL;
    sort->cap = 0;
    sort->heap = shr_alloc_array(sort->n_runs, sizeof *sort->heap);
    for (size_t i = 0; code == 0 && i < sort->n_runs; i++) {
        sort->runs[i].leaves = shr_alloc_array(run_room(sort), LEAF_BYTES);
        code = fill(sort, &sort->runs[i], run_room(sort), err);
        sort->heap[sort->heap_n++] = i;
    }
    for (size_t i = sort->heap_n; code == 0 && i-- > 0;) {
        sink(sort, i);
    }
    return code;
}

/* The lowest leaf of all runs. */
static int take_lowest(struct shr_leaf_sort *sort, struct shr_root_leaf *out,
                       struct shrewd_error *err) {
    struct run *run = &sort->runs[sort->heap[0]];
    int code = 0;
    *out = run->leaves[run->next++];
    if (run->next == run->n && run->at < run->end) {
        code = fill(sort, run, run_room(sort), err);
    } else if (run->next == run->n) {
        sort->heap[0] = sort->heap[--sort->heap_n];
    }
    if (code == 0 && sort->heap_n > 0) {
        sink(sort, 0);
    }
    return code;
}

int shr_leaf_sort_take(struct shr_leaf_sort *sort, struct shr_root_leaf *out, size_t room,
                       size_t *n, struct shrewd_error *err) {
    int code = 0;
    *n = 0;
    while (code == 0 && *n < room) {
        if (sort->file < 0 && sort->next < sort->n) {
            out[(*n)++] = sort->leaves[sort->next++];
        } else if (sort->file >= 0 && sort->heap_n > 0) {
            code = take_lowest(sort, &out[(*n)++], err);
        } else {
            break;
        }
    }
    return code;
}
