#include "index/commit.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/prompt.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BYTES_MAX ((size_t)128 << 20)
#define BLOCKS_MAX 1000u
#define GROUP_SHARE 4      /* of bytes_max: what is written, what gathers, and room for the guest */
#define GATHER_BLOCKS 16u  /* more are not waited for: small ones gain little */
#define LOOK_EVERY_MS 20   /* how soon a wait notices the stop */
#define AFTER_STOP_MS 700u /* what a drain goes on for */

/* Blocks in order, linked by `next`. */
struct list {
    struct shr_writes *first, *last;
    size_t n;
    size_t bytes; /* memory of them */
};

struct shr_commit {
    struct shr_state *state;
    struct shr_commit_options options;
    struct shr_pending *pending; /* the guest's thread only */
    pthread_t thread;
    pthread_mutex_t lock; /* everything below */
    pthread_cond_t work;  /* for the thread: enough blocks, hurry, closing */
    pthread_cond_t done;  /* for the guest's thread: a write has ended */
    struct list waiting;
    struct list past; /* committed or, with an error, dropped: to be freed by the guest's thread */
    size_t n_writing; /* in the write in hand */
    size_t bytes;     /* memory of all blocks held */
    bool hurry;       /* somebody waits for a write: no more blocks are waited for */
    bool closing;
    struct shrewd_error error; /* code 0: none */
};

static void append(struct list *list, struct shr_writes *writes) {
    writes->next = NULL;
    *(list->last == NULL ? &list->first : &list->last->next) = writes;
    list->last = writes;
    list->n++;
    list->bytes += shr_writes_bytes(writes);
}

static struct shr_writes *take_first(struct list *list) {
    struct shr_writes *first = list->first;
    list->first = first->next;
    list->last = list->first == NULL ? NULL : list->last;
    list->n--;
    list->bytes -= shr_writes_bytes(first);
    first->next = NULL;
    return first;
}

static void add_ns(_Atomic uint64_t *counter, uint64_t start) {
    atomic_fetch_add_explicit(counter, shr_now_ns() - start, memory_order_relaxed);
}

static struct timespec after_ms(uint32_t ms) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (long)(ms % 1000) * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    return until;
}

/* With the lock. */
static void show(struct shr_commit *commit) {
    struct shr_commit_stats *stats = commit->options.stats;
    atomic_store_explicit(&stats->blocks_waiting, commit->waiting.n + commit->n_writing,
                          memory_order_relaxed);
    atomic_store_explicit(&stats->bytes_waiting, commit->bytes, memory_order_relaxed);
}

/* --- The thread that commits --- */

/* With the lock, while blocks wait. As many as one write takes, at least one. */
static void take_group(struct shr_commit *commit, struct list *group) {
    uint32_t n_max = commit->options.group_blocks_max;
    append(group, take_first(&commit->waiting));
    while (commit->waiting.n > 0 && (n_max == 0 || group->n < n_max) &&
           group->bytes + shr_writes_bytes(commit->waiting.first) <=
               commit->options.group_bytes_max) {
        append(group, take_first(&commit->waiting));
    }
    commit->n_writing = group->n;
}

static int write_group(struct shr_commit *commit, const struct list *group,
                       struct shrewd_error *err) {
    struct shr_block_change *changes = shr_alloc_array(group->n, sizeof *changes);
    bool sync = false;
    size_t n = 0;
    for (const struct shr_writes *block = group->first; block != NULL; block = block->next) {
        changes[n++] = shr_writes_change(block);
        sync |= block->sync;
    }
    int code = shr_state_apply_many(commit->state, changes, n, sync, err);
    free(changes);
    if (code == 0) {
        return commit->options.committed(commit->options.ctx, group->first, err);
    }
    if (n > 1) {
        return shr_fail_in(err, code, "blocks %" PRIu32 " to %" PRIu32 " were not indexed",
                           group->first->height, group->last->height);
    }
    char hash[SHR_HASH_HEX_LEN + 1];
    shr_hash_hex(hash, &group->first->hash);
    return shr_fail_in(err, code, "block %" PRIu32 " (%s) was not indexed", group->first->height,
                       hash);
}

/* With the lock. There are blocks, and nothing is gained by waiting for more. */
static bool is_group(const struct shr_commit *commit) {
    const struct shr_commit_options *options = &commit->options;
    size_t n = commit->waiting.n, n_max = options->group_blocks_max;
    return n > 0 &&
           (commit->hurry || options->gather_ms == 0 || n >= GATHER_BLOCKS ||
            (n_max > 0 && n >= n_max) || commit->waiting.bytes >= options->group_bytes_max);
}

/* With the lock. For a group, or for as long as blocks may wait to become one. */
static void wait_work(struct shr_commit *commit) {
    while (commit->waiting.n == 0 && !commit->closing) {
        pthread_cond_wait(&commit->work, &commit->lock);
    }
    struct timespec until = after_ms(commit->options.gather_ms);
    while (!is_group(commit) && !commit->closing &&
           pthread_cond_timedwait(&commit->work, &commit->lock, &until) == 0) {
    }
}

static void *commit_main(void *arg) {
    struct shr_commit *commit = arg;
    shr_name_thread("commit");
    pthread_mutex_lock(&commit->lock);
    for (;;) {
        uint64_t start = shr_now_ns();
        wait_work(commit);
        if (commit->closing) {
            break;
        }
        add_ns(&commit->options.stats->wait_ns, start);
        struct list group = {0};
        struct shrewd_error err = {0};
        take_group(commit, &group);
        pthread_mutex_unlock(&commit->lock);
        start = shr_now_ns();
        int code = write_group(commit, &group, &err);
        add_ns(&commit->options.stats->busy_ns, start);
        atomic_fetch_add(&commit->options.stats->writes, 1);
        pthread_mutex_lock(&commit->lock);
        commit->n_writing = 0;
        while (group.n > 0) {
            append(&commit->past, take_first(&group));
        }
        if (code != 0) {
            commit->error = err;
            while (commit->waiting.n > 0) {
                append(&commit->past, take_first(&commit->waiting));
            }
        }
        show(commit);
        pthread_cond_signal(&commit->done);
    }
    pthread_mutex_unlock(&commit->lock);
    return NULL;
}

/* --- The guest's thread --- */

/* With the lock. Lets go of blocks that are committed, or that a failure has dropped; then its
 * error, which is forgotten. */
static int collect(struct shr_commit *commit, struct shrewd_error *err) {
    int code = commit->error.code;
    if (code != 0) {
        shr_pending_clear(commit->pending);
        shr_fail(err, code, "%s", commit->error.message);
        commit->error = (struct shrewd_error){0};
    }
    struct list past = commit->past; /* what comes to it from here on may be of another failure */
    commit->past = (struct list){0};
    pthread_mutex_unlock(&commit->lock); /* the thread may go on meanwhile */
    size_t bytes = 0;
    while (past.n > 0) {
        struct shr_writes *block = take_first(&past);
        bytes += shr_writes_bytes(block);
        if (code == 0) {
            shr_pending_drop(commit->pending, block);
        }
        shr_writes_free(block);
    }
    pthread_mutex_lock(&commit->lock);
    commit->bytes -= bytes;
    show(commit);
    /* A write may have failed meanwhile. */
    return code == 0 && commit->error.code != 0 ? collect(commit, err) : code;
}

/* With the lock. Until a write has ended, or a moment has passed. */
static void wait_done(struct shr_commit *commit) {
    commit->hurry = true;
    pthread_cond_signal(&commit->work);
    struct timespec until = after_ms(LOOK_EVERY_MS);
    pthread_cond_timedwait(&commit->done, &commit->lock, &until);
    commit->hurry = false;
}

int shr_commit_begin(struct shr_commit *commit, struct shrewd_error *err) {
    pthread_mutex_lock(&commit->lock);
    int code = collect(commit, err);
    pthread_mutex_unlock(&commit->lock);
    return code != 0 ? code : shr_pending_begin(commit->pending, err);
}

int shr_commit_get(void *ctx, struct shr_buf *value, struct shr_bytes key,
                   struct shrewd_error *err) {
    struct shr_commit *commit = ctx;
    return shr_pending_get(commit->pending, value, key, err);
}

void shr_commit_end(struct shr_commit *commit) {
    shr_pending_end(commit->pending);
}

static bool has_room(const struct shr_commit *commit, size_t bytes) {
    size_t held = commit->waiting.n + commit->n_writing;
    return held == 0 || (held < commit->options.blocks_max &&
                         commit->bytes + bytes <= commit->options.bytes_max);
}

int shr_commit_put(struct shr_commit *commit, struct shr_writes *writes, struct shrewd_error *err) {
    size_t bytes = shr_writes_bytes(writes);
    uint64_t start = shr_now_ns();
    pthread_mutex_lock(&commit->lock);
    int code = collect(commit, err);
    while (code == 0 && !has_room(commit, bytes)) {
        wait_done(commit);
        code = collect(commit, err);
        if (code == 0 && shr_stopped(commit->options.stop)) {
            code = shr_fail(err, SHREWD_STOPPED, "stopped before block %" PRIu32 " was stored",
                            writes->height);
        }
    }
    add_ns(&commit->options.stats->full_ns, start);
    if (code == 0) {
        shr_pending_add(commit->pending, writes);
        append(&commit->waiting, writes);
        commit->bytes += bytes;
        show(commit);
        if (commit->waiting.n == 1 || is_group(commit)) {
            pthread_cond_signal(&commit->work);
        }
    }
    pthread_mutex_unlock(&commit->lock);
    if (code != 0) {
        shr_writes_free(writes);
    }
    return code;
}

static void free_waiting(struct shr_commit *commit) {
    while (commit->waiting.n > 0) {
        struct shr_writes *block = take_first(&commit->waiting);
        commit->bytes -= shr_writes_bytes(block);
        shr_writes_free(block);
    }
}

/* With the lock, after the stop: gives up what waits, and waits for what is being written. */
static int give_up(struct shr_commit *commit, struct shrewd_error *err) {
    shr_pending_clear(commit->pending);
    free_waiting(commit);
    while (commit->n_writing > 0) {
        wait_done(commit);
    }
    int code = collect(commit, err);
    return code != 0 ? code : shr_fail(err, SHREWD_STOPPED, "stopped");
}

int shr_commit_drain(struct shr_commit *commit, struct shrewd_error *err) {
    uint64_t until_ms = UINT64_MAX;
    pthread_mutex_lock(&commit->lock);
    int code = collect(commit, err);
    while (code == 0 && commit->waiting.n + commit->n_writing > 0) {
        uint64_t now_ms = shr_now_ms();
        if (shr_stopped(commit->options.stop) && until_ms == UINT64_MAX) {
            until_ms = now_ms + AFTER_STOP_MS;
        }
        if (now_ms >= until_ms && commit->waiting.n > 0) {
            code = give_up(commit, err);
            break;
        }
        wait_done(commit);
        code = collect(commit, err);
    }
    pthread_mutex_unlock(&commit->lock);
    return code;
}

/* --- Opening and closing --- */

static int start_thread(struct shr_commit *commit, struct shrewd_error *err) {
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_mutex_init(&commit->lock, NULL);
    pthread_cond_init(&commit->work, &clock);
    pthread_cond_init(&commit->done, &clock);
    pthread_condattr_destroy(&clock);
    int failed = pthread_create(&commit->thread, NULL, commit_main, commit);
    return failed == 0 ? 0
                       : shr_fail(err, SHREWD_NO_MEMORY, "cannot start the committing thread: %s",
                                  strerror(failed));
}

static void free_all(struct shr_commit *commit) {
    free_waiting(commit);
    while (commit->past.n > 0) {
        shr_writes_free(take_first(&commit->past));
    }
    pthread_cond_destroy(&commit->done);
    pthread_cond_destroy(&commit->work);
    pthread_mutex_destroy(&commit->lock);
    shr_pending_free(commit->pending);
    free(commit);
}

int shr_commit_open(struct shr_commit **out, struct shr_state *state,
                    const struct shr_commit_options *options, struct shrewd_error *err) {
    struct shr_commit *commit = shr_alloc(sizeof *commit);
    struct shr_commit_options *o = &commit->options;
    *o = *options;
    o->bytes_max = o->bytes_max == 0 ? BYTES_MAX : o->bytes_max;
    o->blocks_max = o->blocks_max == 0 ? BLOCKS_MAX : o->blocks_max;
    if (o->group_bytes_max == 0) {
        o->group_bytes_max = o->bytes_max / GROUP_SHARE;
    }
    commit->state = state;
    commit->pending = shr_pending_new(state);
    int code = start_thread(commit, err);
    if (code != 0) {
        free_all(commit);
        return code;
    }
    *out = commit;
    return 0;
}

void shr_commit_close(struct shr_commit *commit) {
    if (commit == NULL) {
        return;
    }
    pthread_mutex_lock(&commit->lock);
    commit->closing = true;
    pthread_cond_signal(&commit->work);
    pthread_mutex_unlock(&commit->lock);
    pthread_join(commit->thread, NULL);
    struct shr_commit_stats *stats = commit->options.stats;
    atomic_store(&stats->blocks_waiting, 0);
    atomic_store(&stats->bytes_waiting, 0);
    free_all(commit);
}
