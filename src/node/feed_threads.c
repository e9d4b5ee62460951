#include "node/feed_impl.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/prompt.h"
#include "node/halt.h"

#define NICE 2 /* working ahead can wait: the guest goes first */
#define PAUSE_AFTER_ERROR_MS 1000u
#define TIP_EVERY_MS 5000u   /* how often the tip is asked for while blocks come */
#define WAIT_WOKEN_MS 10000u /* at the tip, where a seek can wake the source */
#define WAIT_SHORT_MS 50u    /* where it cannot */

/* With the lock: nothing to do for `ms` unless something changes. */
static void wait_work(struct shr_feed_thread *me, uint64_t ms, _Atomic uint64_t *waited_ns) {
    uint64_t start = shr_now_ns();
    me->idle = true;
    shr_feed_wait_bell(me->feed, me->bell, ms);
    me->idle = false;
    shr_feed_count(waited_ns, shr_now_ns() - start);
}

static void raise_tip(struct shr_feed *feed, uint32_t height, bool lower_too) {
    if (lower_too || height > shr_feed_tip_height(feed)) {
        atomic_store_explicit(&feed->tip_height, height, memory_order_relaxed);
    }
}

/* What a fetcher is on: heights next to each other, and their slots' tickets likewise. */
struct job {
    uint64_t generation;
    uint64_t ticket;
    uint32_t height;
    uint32_t n;
    struct shr_hash hashes[SHR_FEED_BATCH_MAX];
    struct shr_buf raw[SHR_FEED_BATCH_MAX];
};

/* Asks for the tip. *reaches (may be NULL): whether the source has a block at `height`. */
static int refresh_tip(struct shr_feed *feed, bool *reaches, uint32_t height,
                       struct shrewd_error *err) {
    struct shr_tip tip;
    int code = shr_source_tip(feed->source, &tip, err);
    feed->tip_asked_ms = shr_now_ms();
    if (code == 0) {
        raise_tip(feed, tip.height, true);
    }
    if (reaches != NULL) {
        *reaches = code == 0 && tip.height >= height;
    }
    return code == SHREWD_NOT_FOUND ? 0 : code;
}

/* Without the lock, planning: up to `n` hashes from job->height on; job->n of them are there.
 * SHREWD_NOT_FOUND: the source has no block at the first height now. */
static int ask_hashes(struct shr_feed *feed, struct job *job, uint32_t n,
                      struct shrewd_error *err) {
    int code = 0;
    job->n = 0;
    if (shr_now_ms() - feed->tip_asked_ms >= TIP_EVERY_MS) {
        code = refresh_tip(feed, NULL, 0, err);
    }
    while (code == 0 && job->n < n && job->n <= UINT32_MAX - 1 - job->height) {
        code = shr_source_hash_at(feed->source, &job->hashes[job->n], job->height + job->n, err);
        job->n += code == 0;
    }
    return job->n > 0 ? 0 : code; /* a failure behind the first will come again */
}

/* Without the lock, after SHREWD_NOT_FOUND: waits until the tip may have changed. *at_end is set
 * when it never will. */
static int wait_at_tip(struct shr_feed *feed, uint32_t height, bool *at_end,
                       struct shrewd_error *err) {
    const struct shr_source_ops *ops = feed->source->ops;
    bool reaches;
    int code = refresh_tip(feed, &reaches, height, err);
    if (code != 0) {
        return code;
    }
    if (ops->finite && reaches) {
        return shr_fail(err, SHREWD_IO,
                        "the %s source holds no block at height %u, though its tip "
                        "is at %u; begin at the first height it holds",
                        ops->name, height, shr_feed_tip_height(feed));
    }
    *at_end = ops->finite;
    if (ops->finite) {
        return 0;
    }
    /* Reached after all: a block came in between, so ask again soon (but do not spin). */
    bool soon = reaches || ops->wake == NULL;
    return shr_source_wait(feed->source, soon ? WAIT_SHORT_MS : WAIT_WOKEN_MS, err);
}

/* With the lock. */
static void deliver_error(struct shr_feed *feed, const struct shrewd_error *err) {
    if (err->code == SHREWD_BAD_BLOCK || err->code == SHREWD_NODE_BUSY) {
        shr_warn("node", "%s; asking again", err->message);
    }
    if (err->code != SHREWD_NODE_BUSY) {
        feed->error = *err;
        shr_feed_tell_consumer(feed);
    }
    feed->pause_until_ms = shr_now_ms() + PAUSE_AFTER_ERROR_MS;
    shr_feed_wake_fetcher(feed); /* it has to know when the pause ends */
}

/* With the lock: the block of the at-th slot cannot be had, or is none. */
static void fail_slot(struct shr_feed *feed, uint32_t at, const struct shrewd_error *err) {
    shr_feed_truncate(feed, at);
    deliver_error(feed, err);
    if (feed->planning && feed->source->ops->wake != NULL) {
        feed->source->ops->wake(feed->source); /* what it plans comes after a gap now */
    }
}

/* With the lock: the job's heights get their slots, behind all others. */
static void reserve(struct shr_feed *feed, struct job *job) {
    job->ticket = feed->last_ticket + 1;
    feed->last_ticket += job->n;
    for (uint32_t i = 0; i < job->n; i++) {
        *shr_feed_slot(feed, feed->n++) = (struct shr_feed_slot){
            .ticket = job->ticket + i,
            .state = SHR_SLOT_ASKED,
            .charge = feed->size_guess,
            .want = job->hashes[i],
            .block = {.height = job->height + i},
        };
        feed->bytes += feed->size_guess;
    }
    raise_tip(feed, job->height + job->n - 1, false);
}

/* With the lock, which it gives up: finds out what comes next. True when job->n slots are the
 * caller's to fill. */
static bool plan(struct shr_feed_thread *me, struct job *job) {
    struct shr_feed *feed = me->feed;
    struct shrewd_error err = {0};
    bool at_end = false;
    uint32_t n = shr_feed_room(feed);
    feed->planning = true;
    feed->pause_until_ms = 0;
    job->generation = feed->generation;
    job->height = feed->first_height + feed->n;
    pthread_mutex_unlock(&feed->lock);
    uint64_t start = shr_now_ns();
    int code = ask_hashes(feed, job, n, &err);
    uint64_t end = shr_now_ns();
    shr_feed_count(&feed->stats->fetch_busy_ns, end - start);
    if (code == SHREWD_NOT_FOUND) {
        code = wait_at_tip(feed, job->height, &at_end, &err);
        shr_feed_count(&feed->stats->fetch_wait_ns, shr_now_ns() - end);
    }
    pthread_mutex_lock(&feed->lock);
    feed->planning = false;
    /* A seek, or a failure at a lower height, has changed what comes next. */
    if (shr_feed_over(feed) || feed->generation != job->generation ||
        feed->first_height + feed->n != job->height || feed->error.code != 0) {
        job->n = 0;
    } else if (code != 0) {
        err.code = code;
        deliver_error(feed, &err);
    } else if (at_end) {
        feed->at_end = true;
        shr_feed_tell_consumer(feed);
    } else if (job->n > 0) {
        reserve(feed, job);
    }
    shr_feed_wake_fetcher(feed);
    return job->n > 0 && code == 0 && !at_end;
}

/* Without the lock. */
static int get_blocks(struct shr_feed_thread *me, struct job *job, struct shrewd_error *err) {
    struct shr_source *source = me->feed->source;
    int code = 0;
    if (source->ops->blocks != NULL) {
        code = source->ops->blocks(source, me->lane, job->raw, job->hashes, job->n, err);
    }
    for (uint32_t i = 0; source->ops->blocks == NULL && i < job->n && code == 0; i++) {
        code = shr_source_block(source, &job->raw[i], &job->hashes[i], err);
    }
    if (code == SHREWD_NOT_FOUND) {
        /* A hash without its block: left the chain a moment ago, or is missing for good. */
        code = shr_fail_in(err, source->ops->finite ? SHREWD_IO : SHREWD_NODE_BUSY, "height %u",
                           job->height);
    }
    return code;
}

/* With the lock. The guess follows larger blocks at once, smaller ones slowly. */
static void fill_slot(struct shr_feed *feed, struct shr_feed_slot *slot, struct shr_buf *raw) {
    size_t guess = feed->size_guess - feed->size_guess / 8;
    feed->size_guess = raw->cap > guess ? raw->cap : guess;
    feed->bytes = feed->bytes - slot->charge + raw->cap;
    slot->charge = raw->cap;
    slot->block.raw = *raw;
    slot->state = SHR_SLOT_FETCHED;
    *raw = (struct shr_buf){0};
}

/* With the lock. */
static void finish(struct shr_feed *feed, struct job *job, const struct shrewd_error *err) {
    for (uint32_t i = 0; i < job->n; i++) {
        struct shr_feed_slot *slot = shr_feed_find(feed, job->height + i, job->ticket + i);
        if (slot != NULL && err->code == 0) {
            fill_slot(feed, slot, &job->raw[i]);
        } else if (slot != NULL) {
            fail_slot(feed, job->height + i - feed->first_height, err);
            break;
        } else {
            shr_buf_free(&job->raw[i]);
        }
    }
    if (feed->n_ready < feed->n && shr_feed_slot(feed, feed->n_ready)->state == SHR_SLOT_FETCHED) {
        shr_feed_wake(&feed->checker);
    }
}

void *shr_feed_fetch_main(void *arg) {
    struct shr_feed_thread *me = arg;
    struct shr_feed *feed = me->feed;
    shr_name_thread("fetch");
    struct job job = {0};
    shr_patient_thread(NICE);
    pthread_mutex_lock(&feed->lock);
    while (!shr_feed_over(feed)) {
        uint64_t idle = shr_feed_idle_ms(feed);
        if (idle > 0) {
            wait_work(me, idle, &feed->stats->fetch_wait_ns);
        } else if (plan(me, &job)) {
            struct shrewd_error err = {0};
            pthread_mutex_unlock(&feed->lock);
            uint64_t start = shr_now_ns();
            err.code = get_blocks(me, &job, &err);
            shr_feed_count(&feed->stats->fetch_busy_ns, shr_now_ns() - start);
            pthread_mutex_lock(&feed->lock);
            finish(feed, &job, &err);
        }
    }
    pthread_mutex_unlock(&feed->lock);
    for (size_t i = 0; i < SHR_FEED_BATCH_MAX; i++) {
        shr_buf_free(&job.raw[i]);
    }
    return NULL;
}

/* With the lock, which it gives up: the next block to be checked. */
static void check_one(struct shr_feed *feed, struct shr_feed_slot *slot) {
    struct shrewd_error err = {0};
    struct shr_feed_block block = slot->block;
    struct shr_hash want = slot->want;
    uint64_t ticket = slot->ticket;
    slot->state = SHR_SLOT_CHECKING;
    slot->block.raw = (struct shr_buf){0};
    pthread_mutex_unlock(&feed->lock);
    uint64_t start = shr_now_ns();
    int code = shr_block_check(&block.header, &block.hash, shr_buf_bytes(&block.raw), &want, &err);
    if (code != 0) {
        err.code = shr_fail_in(&err, SHREWD_BAD_BLOCK, "block at height %u from the %s source",
                               block.height, feed->source->ops->name);
        if (feed->source->ops->refuse != NULL) {
            feed->source->ops->refuse(feed->source, &want);
        }
    }
    shr_feed_count(&feed->stats->check_busy_ns, shr_now_ns() - start);
    pthread_mutex_lock(&feed->lock);
    slot = shr_feed_find(feed, block.height, ticket);
    if (slot != NULL && code == 0) {
        slot->block = block;
        slot->state = SHR_SLOT_READY;
        feed->n_ready++;
        feed->bytes_ready += slot->charge;
        shr_feed_show_stats(feed);
        shr_feed_tell_consumer(feed);
        return;
    }
    shr_buf_free(&block.raw);
    if (slot != NULL) {
        fail_slot(feed, block.height - feed->first_height, &err);
    }
}

void *shr_feed_check_main(void *arg) {
    struct shr_feed_thread *me = arg;
    struct shr_feed *feed = me->feed;
    shr_name_thread("check");
    shr_patient_thread(NICE);
    pthread_mutex_lock(&feed->lock);
    while (!shr_feed_over(feed)) {
        struct shr_feed_slot *slot =
            feed->n_ready < feed->n ? shr_feed_slot(feed, feed->n_ready) : NULL;
        if (slot == NULL || slot->state != SHR_SLOT_FETCHED) {
            wait_work(me, SHR_FEED_FOREVER_MS, &feed->stats->check_wait_ns);
        } else {
            check_one(feed, slot);
        }
    }
    pthread_mutex_unlock(&feed->lock);
    return NULL;
}
