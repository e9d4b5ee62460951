#include "node/feed.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "node/halt.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define DEFAULT_BLOCKS_MAX 64u
#define DEFAULT_BYTES_MAX ((size_t)64 << 20)
#define PAUSE_AFTER_ERROR_MS 1000u
#define TIP_EVERY_MS 5000u   /* how often the tip is asked for while blocks come */
#define WAIT_WOKEN_MS 10000u /* at the tip, where a seek can wake the source */
#define WAIT_SHORT_MS 50u    /* where it cannot */
#define WAIT_FOREVER_MS 600000u

struct shr_feed {
    struct shr_source *source;
    struct shr_feed_options options;
    struct shr_feed_stats own_stats; /* what options.stats is when none was given */
    struct shr_feed_stats *stats;
    pthread_t thread;
    int work_bell;  /* rung for the feed's thread: seek, room, close */
    int ready_bell; /* rung for the consumer: a block, an error, the end */
    _Atomic uint32_t tip_height;
    uint64_t tip_asked_ms; /* the feed's thread only */
    pthread_mutex_t lock;  /* everything below */
    struct shr_feed_block *ring;
    uint32_t first; /* ring[first] is delivered next */
    uint32_t n;
    size_t bytes; /* memory held by the blocks of the ring */
    bool seeked;
    bool closing;
    bool thread_idle;          /* waiting for work_bell */
    bool at_end;               /* of a finite source */
    uint64_t generation;       /* counts seeks: what an older one fetched is dropped */
    uint32_t next_height;      /* to fetch */
    struct shrewd_error error; /* delivered after the ring; code 0: none */
    uint64_t pause_until_ms;
    uint64_t requests_told; /* of the source's counters, passed on to the stats */
    uint64_t retries_told;
};

static void set_tip(struct shr_feed *feed, uint32_t height) {
    atomic_store_explicit(&feed->tip_height, height, memory_order_relaxed);
}

uint32_t shr_feed_tip_height(struct shr_feed *feed) {
    return atomic_load_explicit(&feed->tip_height, memory_order_relaxed);
}

static void count(_Atomic uint64_t *counter, uint64_t more) {
    atomic_fetch_add_explicit(counter, more, memory_order_relaxed);
}

/* With the lock: tells what lies ready, and what the source has counted. */
static void show_stats(struct shr_feed *feed) {
    struct shr_feed_stats *stats = feed->stats;
    atomic_store_explicit(&stats->blocks_ready, feed->n, memory_order_relaxed);
    atomic_store_explicit(&stats->bytes_ready, feed->bytes, memory_order_relaxed);
    uint64_t requests = atomic_load_explicit(&feed->source->requests, memory_order_relaxed);
    uint64_t retries = atomic_load_explicit(&feed->source->retries, memory_order_relaxed);
    count(&stats->requests, requests - feed->requests_told);
    count(&stats->retries, retries - feed->retries_told);
    feed->requests_told = requests;
    feed->retries_told = retries;
}

/* Sleeps without the lock until the bell, the stop, or `ms` have passed. */
static void wait_bell(struct shr_feed *feed, int bell, uint64_t ms) {
    struct pollfd fds[2] = {{.fd = bell, .events = POLLIN},
                            {.fd = feed->source->stop->fd, .events = POLLIN}};
    pthread_mutex_unlock(&feed->lock);
    poll(fds, 2, (int)(ms < WAIT_FOREVER_MS ? ms : WAIT_FOREVER_MS));
    shr_bell_hush(bell);
    pthread_mutex_lock(&feed->lock);
}

/* The feed's thread, with nothing to do for `ms` unless something changes. */
static void wait_work(struct shr_feed *feed, uint64_t ms) {
    uint64_t start = shr_now_ns();
    feed->thread_idle = true;
    wait_bell(feed, feed->work_bell, ms);
    feed->thread_idle = false;
    count(&feed->stats->fetch_wait_ns, shr_now_ns() - start);
}

/* What the feed's thread is on: one height of one generation. */
struct job {
    uint64_t generation;
    uint32_t height;
    struct shr_feed_block block;
};

static bool is_stale(const struct shr_feed *feed, const struct job *job) {
    return feed->closing || feed->generation != job->generation;
}

/* *reaches (may be NULL): whether the source has a block at `height`, going by its tip. */
static int refresh_tip(struct shr_feed *feed, bool *reaches, uint32_t height,
                       struct shrewd_error *err) {
    struct shr_tip tip;
    int code = shr_source_tip(feed->source, &tip, err);
    feed->tip_asked_ms = shr_now_ms();
    if (code == 0) {
        set_tip(feed, tip.height);
    }
    if (reaches != NULL) {
        *reaches = code == 0 && tip.height >= height;
    }
    return code == SHREWD_NOT_FOUND ? 0 : code;
}

/* Without the lock. SHREWD_NOT_FOUND: the source has no block at this height now. */
static int fetch(struct shr_feed *feed, struct job *job, struct shrewd_error *err) {
    struct shr_feed_block *block = &job->block;
    struct shr_hash want;
    int code = 0;
    if (shr_now_ms() - feed->tip_asked_ms >= TIP_EVERY_MS) {
        code = refresh_tip(feed, NULL, 0, err);
    }
    if (code == 0) {
        code = shr_source_hash_at(feed->source, &want, job->height, err);
    }
    if (code != 0) {
        return code;
    }
    code = shr_source_block(feed->source, &block->raw, &want, err);
    if (code == 0) {
        uint64_t start = shr_now_ns();
        code =
            shr_block_check(&block->header, &block->hash, shr_buf_bytes(&block->raw), &want, err);
        count(&feed->stats->check_busy_ns, shr_now_ns() - start);
        if (code != 0) {
            return shr_fail_in(err, SHREWD_BAD_BLOCK, "block at height %u from the %s source",
                               job->height, feed->source->ops->name);
        }
    } else if (code == SHREWD_NOT_FOUND) {
        /* A hash without its block: left the chain a moment ago, or is missing for good. */
        return shr_fail_in(err, feed->source->ops->finite ? SHREWD_IO : SHREWD_NODE_BUSY,
                           "height %u", job->height);
    }
    if (code == 0 && job->height > shr_feed_tip_height(feed)) {
        set_tip(feed, job->height);
    }
    return code;
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

static bool has_room(const struct shr_feed *feed, size_t bytes) {
    return feed->n == 0 ||
           (feed->n < feed->options.blocks_max && feed->bytes < feed->options.bytes_max &&
            bytes <= feed->options.bytes_max - feed->bytes);
}

/* With the lock. Waits for room; drops the block when a seek or the close came first. */
static void deliver(struct shr_feed *feed, struct job *job) {
    size_t bytes = job->block.raw.cap;
    while (!is_stale(feed, job) && !has_room(feed, bytes) && !shr_stopped(feed->source->stop)) {
        wait_work(feed, WAIT_FOREVER_MS);
    }
    if (is_stale(feed, job) || !has_room(feed, bytes)) {
        return;
    }
    uint32_t at = (feed->first + feed->n) % feed->options.blocks_max;
    job->block.height = job->height;
    feed->ring[at] = job->block;
    job->block = (struct shr_feed_block){0};
    feed->n++;
    feed->bytes += bytes;
    show_stats(feed);
    feed->next_height = job->height + 1;
    if (feed->n == 1) {
        shr_bell_ring(feed->ready_bell);
    }
}

/* With the lock. */
static void deliver_error(struct shr_feed *feed, const struct shrewd_error *err) {
    if (err->code == SHREWD_BAD_BLOCK || err->code == SHREWD_NODE_BUSY) {
        shr_warn("node", "%s; asking again", err->message);
    }
    if (err->code != SHREWD_NODE_BUSY) {
        feed->error = *err;
        shr_bell_ring(feed->ready_bell);
    }
    feed->pause_until_ms = shr_now_ms() + PAUSE_AFTER_ERROR_MS;
}

/* With the lock: 0 when the thread may fetch now, else for how many ms there is nothing to do. */
static uint64_t idle_ms(const struct shr_feed *feed) {
    uint64_t now = shr_now_ms();
    if (!feed->seeked || feed->at_end || feed->error.code != 0 || !has_room(feed, 1)) {
        return WAIT_FOREVER_MS;
    }
    return feed->pause_until_ms > now ? feed->pause_until_ms - now : 0;
}

/* With the lock, which it gives up while it asks the source. */
static void work(struct shr_feed *feed, struct job *job) {
    struct shrewd_error err = {0};
    bool at_end = false;
    job->generation = feed->generation;
    job->height = feed->next_height;
    pthread_mutex_unlock(&feed->lock);
    uint64_t start = shr_now_ns();
    int code = fetch(feed, job, &err);
    bool fetched = code == 0;
    uint64_t end = shr_now_ns();
    count(&feed->stats->fetch_busy_ns, end - start);
    if (code == SHREWD_NOT_FOUND) {
        code = wait_at_tip(feed, job->height, &at_end, &err);
        count(&feed->stats->fetch_wait_ns, shr_now_ns() - end);
    }
    pthread_mutex_lock(&feed->lock);
    if (is_stale(feed, job)) {
        return;
    }
    if (code != 0) {
        err.code = code;
        deliver_error(feed, &err);
    } else if (fetched) {
        deliver(feed, job);
    } else if (at_end) {
        feed->at_end = true;
        shr_bell_ring(feed->ready_bell);
    }
}

static void *run(void *arg) {
    struct shr_feed *feed = arg;
    struct job job = {0};
    /* Working ahead can wait: where cores are scarce, views and the guest go first. */
    setpriority(PRIO_PROCESS, (id_t)gettid(), 5);
    pthread_mutex_lock(&feed->lock);
    while (!feed->closing && !shr_stopped(feed->source->stop)) {
        uint64_t idle = idle_ms(feed);
        if (idle > 0) {
            wait_work(feed, idle);
        } else {
            work(feed, &job);
        }
    }
    pthread_mutex_unlock(&feed->lock);
    shr_buf_free(&job.block.raw);
    return NULL;
}

/* With the lock. */
static void drop_all(struct shr_feed *feed) {
    for (; feed->n > 0; feed->n--) {
        shr_buf_free(&feed->ring[feed->first].raw);
        feed->first = (feed->first + 1) % feed->options.blocks_max;
    }
    feed->bytes = 0;
    show_stats(feed);
}

static void free_feed(struct shr_feed *feed) {
    drop_all(feed);
    if (feed->work_bell >= 0) {
        close(feed->work_bell);
    }
    if (feed->ready_bell >= 0) {
        close(feed->ready_bell);
    }
    pthread_mutex_destroy(&feed->lock);
    free(feed->ring);
    free(feed);
}

int shr_feed_open(struct shr_feed **out, struct shr_source *source,
                  const struct shr_feed_options *options, struct shrewd_error *err) {
    struct shr_feed *feed = shr_alloc(sizeof *feed);
    feed->source = source;
    if (options != NULL) {
        feed->options = *options;
    }
    if (feed->options.blocks_max == 0) {
        feed->options.blocks_max = DEFAULT_BLOCKS_MAX;
    }
    if (feed->options.bytes_max == 0) {
        feed->options.bytes_max = DEFAULT_BYTES_MAX;
    }
    feed->stats = feed->options.stats == NULL ? &feed->own_stats : feed->options.stats;
    feed->requests_told = source->requests;
    feed->retries_told = source->retries;
    feed->ring = shr_alloc_array(feed->options.blocks_max, sizeof *feed->ring);
    pthread_mutex_init(&feed->lock, NULL);
    feed->work_bell = shr_bell_open();
    feed->ready_bell = shr_bell_open();
    if (feed->work_bell < 0 || feed->ready_bell < 0) {
        shr_fail_errno(err, SHREWD_IO, "eventfd");
        free_feed(feed);
        return SHREWD_IO;
    }
    int failure = pthread_create(&feed->thread, NULL, run, feed);
    if (failure != 0) {
        shr_fail(err, SHREWD_IO, "no thread for the block feed: %s", strerror(failure));
        free_feed(feed);
        return SHREWD_IO;
    }
    count(&feed->stats->fetchers, 1);
    *out = feed;
    return 0;
}

void shr_feed_close(struct shr_feed *feed) {
    if (feed == NULL) {
        return;
    }
    const struct shr_source_ops *ops = feed->source->ops;
    pthread_mutex_lock(&feed->lock);
    feed->closing = true;
    pthread_mutex_unlock(&feed->lock);
    shr_bell_ring(feed->work_bell);
    if (ops->halt != NULL) {
        ops->halt(feed->source, true);
    }
    pthread_join(feed->thread, NULL);
    atomic_fetch_sub(&feed->stats->fetchers, 1);
    if (ops->halt != NULL) {
        ops->halt(feed->source, false);
    }
    free_feed(feed);
}

void shr_feed_seek(struct shr_feed *feed, uint32_t height) {
    pthread_mutex_lock(&feed->lock);
    drop_all(feed);
    feed->generation++;
    feed->seeked = true;
    feed->at_end = false;
    feed->error.code = 0;
    if (feed->next_height != height) {
        feed->pause_until_ms = 0;
        feed->next_height = height;
    }
    pthread_mutex_unlock(&feed->lock);
    shr_bell_ring(feed->work_bell);
    if (feed->source->ops->wake != NULL) {
        feed->source->ops->wake(feed->source);
    }
}

/* With the lock. */
static void take_first(struct shr_feed *feed, struct shr_feed_block *out) {
    shr_buf_free(&out->raw);
    *out = feed->ring[feed->first];
    feed->first = (feed->first + 1) % feed->options.blocks_max;
    feed->n--;
    feed->bytes -= out->raw.cap;
    show_stats(feed);
    if (feed->thread_idle) {
        shr_bell_ring(feed->work_bell);
    }
}

int shr_feed_next(struct shr_feed *feed, struct shr_feed_block *out, uint32_t ms,
                  struct shrewd_error *err) {
    uint64_t end_ms = shr_now_ms() + ms;
    int code = 1; /* not known yet */
    pthread_mutex_lock(&feed->lock);
    while (code == 1) {
        uint64_t now = shr_now_ms();
        if (shr_stopped(feed->source->stop)) {
            code = shr_fail(err, SHREWD_STOPPED, "stopped while waiting for a block");
        } else if (feed->n > 0) {
            take_first(feed, out);
            code = 0;
        } else if (feed->error.code != 0) {
            code = shr_fail(err, feed->error.code, "%s", feed->error.message);
            feed->error.code = 0;
            shr_bell_ring(feed->work_bell);
        } else if (feed->at_end || now >= end_ms) {
            code = shr_fail(err, SHREWD_NOT_FOUND, "no block at height %u yet", feed->next_height);
            show_stats(feed);
        } else {
            wait_bell(feed, feed->ready_bell, end_ms - now);
        }
    }
    pthread_mutex_unlock(&feed->lock);
    return code;
}
