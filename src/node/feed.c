#include "node/feed_impl.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "node/halt.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_BLOCKS_MAX 1024u
#define DEFAULT_BYTES_MAX ((size_t)64 << 20)
/* Blocks are asked for many at a time while so many bytes, or fewer, are expected of them. */
#define BATCH_BYTES ((size_t)512 << 10)
#define BATCH_BLOCK_BYTES_MAX ((size_t)32 << 10)

uint32_t shr_feed_tip_height(struct shr_feed *feed) {
    return atomic_load_explicit(&feed->tip_height, memory_order_relaxed);
}

void shr_feed_show_stats(struct shr_feed *feed) {
    struct shr_feed_stats *stats = feed->stats;
    atomic_store_explicit(&stats->blocks_ready, feed->n_ready, memory_order_relaxed);
    atomic_store_explicit(&stats->bytes_ready, feed->bytes_ready, memory_order_relaxed);
    uint64_t requests = atomic_load_explicit(&feed->source->requests, memory_order_relaxed);
    uint64_t retries = atomic_load_explicit(&feed->source->retries, memory_order_relaxed);
    if (requests != feed->requests_told || retries != feed->retries_told) {
        shr_feed_count(&stats->requests, requests - feed->requests_told);
        shr_feed_count(&stats->retries, retries - feed->retries_told);
        feed->requests_told = requests;
        feed->retries_told = retries;
    }
}

void shr_feed_wait_bell(struct shr_feed *feed, int bell, uint64_t ms) {
    struct pollfd fds[2] = {{.fd = bell, .events = POLLIN},
                            {.fd = feed->source->stop->fd, .events = POLLIN}};
    pthread_mutex_unlock(&feed->lock);
    poll(fds, 2, (int)(ms < SHR_FEED_FOREVER_MS ? ms : SHR_FEED_FOREVER_MS));
    shr_bell_hush(bell);
    pthread_mutex_lock(&feed->lock);
}

void shr_feed_tell_consumer(struct shr_feed *feed) {
    if (feed->consumer_waits) {
        feed->consumer_waits = false;
        shr_bell_ring(feed->ready_bell);
    }
}

void shr_feed_wake(struct shr_feed_thread *thread) {
    if (thread->idle) {
        thread->idle = false;
        shr_bell_ring(thread->bell);
    }
}

uint32_t shr_feed_room(const struct shr_feed *feed) {
    uint32_t most = feed->options.blocks_max / 4;
    uint32_t n = 1;
    if (feed->source->ops->blocks != NULL && feed->size_guess > 0 &&
        feed->size_guess <= BATCH_BLOCK_BYTES_MAX) {
        size_t fit = BATCH_BYTES / feed->size_guess;
        n = fit < SHR_FEED_BATCH_MAX ? (uint32_t)fit : SHR_FEED_BATCH_MAX;
        n = n < most ? n : most;
        n = n == 0 ? 1 : n;
    }
    if (feed->n == 0) {
        return n * feed->size_guess <= feed->options.bytes_max ? n : 1;
    }
    bool fits = feed->options.blocks_max - feed->n >= n && feed->bytes < feed->options.bytes_max &&
                n * feed->size_guess <= feed->options.bytes_max - feed->bytes;
    return fits ? n : 0;
}

uint64_t shr_feed_idle_ms(const struct shr_feed *feed) {
    if (!feed->seeked || feed->planning || feed->at_end || feed->error.code != 0 ||
        shr_feed_room(feed) == 0) {
        return SHR_FEED_FOREVER_MS;
    }
    if (feed->pause_until_ms == 0) {
        return 0;
    }
    uint64_t now = shr_now_ms();
    return feed->pause_until_ms > now ? feed->pause_until_ms - now : 0;
}

void shr_feed_wake_fetcher(struct shr_feed *feed) {
    for (unsigned i = 0; i < feed->n_fetchers; i++) {
        if (feed->fetchers[i].idle) {
            if (shr_feed_idle_ms(feed) < SHR_FEED_FOREVER_MS) {
                shr_feed_wake(&feed->fetchers[i]);
            }
            return;
        }
    }
}

struct shr_feed_slot *shr_feed_find(struct shr_feed *feed, uint32_t height, uint64_t ticket) {
    if (height < feed->first_height || height - feed->first_height >= feed->n) {
        return NULL;
    }
    struct shr_feed_slot *slot = shr_feed_slot(feed, height - feed->first_height);
    return slot->ticket == ticket ? slot : NULL;
}

void shr_feed_truncate(struct shr_feed *feed, uint32_t at) {
    while (feed->n > at) {
        struct shr_feed_slot *slot = shr_feed_slot(feed, --feed->n);
        feed->bytes -= slot->charge;
        if (slot->state == SHR_SLOT_READY) {
            feed->bytes_ready -= slot->charge;
            feed->n_ready--;
        }
        shr_buf_free(&slot->block.raw);
        slot->ticket = 0;
    }
    feed->at_end = false;
    feed->error.code = 0;
    shr_feed_show_stats(feed);
}

static void close_bell(int bell) {
    if (bell >= 0) {
        close(bell);
    }
}

static void free_feed(struct shr_feed *feed) {
    shr_feed_truncate(feed, 0);
    for (unsigned i = 0; i < feed->n_fetchers; i++) {
        close_bell(feed->fetchers[i].bell);
    }
    close_bell(feed->checker.bell);
    close_bell(feed->ready_bell);
    pthread_mutex_destroy(&feed->lock);
    free(feed->ring);
    free(feed);
}

static int start_thread(struct shr_feed_thread *thread, void *(*run)(void *),
                        struct shrewd_error *err) {
    int failure = pthread_create(&thread->thread, NULL, run, thread);
    if (failure != 0) {
        return shr_fail(err, SHREWD_IO, "no thread for the block feed: %s", strerror(failure));
    }
    thread->started = true;
    return 0;
}

static bool init_thread(struct shr_feed_thread *thread, struct shr_feed *feed, unsigned lane) {
    *thread = (struct shr_feed_thread){.feed = feed, .lane = lane, .bell = shr_bell_open()};
    return thread->bell >= 0;
}

static void set_options(struct shr_feed *feed, const struct shr_feed_options *options) {
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
}

int shr_feed_open(struct shr_feed **out, struct shr_source *source,
                  const struct shr_feed_options *options, struct shrewd_error *err) {
    struct shr_feed *feed = shr_alloc(sizeof *feed);
    unsigned lanes = source->ops->lanes == 0 ? 1 : source->ops->lanes;
    int code = 0;
    feed->source = source;
    set_options(feed, options);
    feed->requests_told = atomic_load(&source->requests);
    feed->retries_told = atomic_load(&source->retries);
    feed->ring = shr_alloc_array(feed->options.blocks_max, sizeof *feed->ring);
    pthread_mutex_init(&feed->lock, NULL);
    feed->n_fetchers = lanes < SHR_FEED_LANES_MAX ? lanes : SHR_FEED_LANES_MAX;
    feed->ready_bell = shr_bell_open();
    bool ok = init_thread(&feed->checker, feed, 0) && feed->ready_bell >= 0;
    for (unsigned i = 0; i < feed->n_fetchers; i++) {
        ok = init_thread(&feed->fetchers[i], feed, i) && ok;
    }
    if (!ok) {
        code = shr_fail_errno(err, SHREWD_IO, "eventfd");
        free_feed(feed);
        return code;
    }
    shr_feed_count(&feed->stats->fetchers, feed->n_fetchers);
    code = start_thread(&feed->checker, shr_feed_check_main, err);
    for (unsigned i = 0; i < feed->n_fetchers && code == 0; i++) {
        code = start_thread(&feed->fetchers[i], shr_feed_fetch_main, err);
    }
    if (code != 0) {
        shr_feed_close(feed);
        return code;
    }
    *out = feed;
    return 0;
}

static void join_thread(struct shr_feed_thread *thread) {
    if (thread->started) {
        shr_bell_ring(thread->bell);
        pthread_join(thread->thread, NULL);
    }
}

void shr_feed_close(struct shr_feed *feed) {
    if (feed == NULL) {
        return;
    }
    const struct shr_source_ops *ops = feed->source->ops;
    pthread_mutex_lock(&feed->lock);
    feed->closing = true;
    pthread_mutex_unlock(&feed->lock);
    if (ops->halt != NULL) {
        ops->halt(feed->source, true);
    }
    for (unsigned i = 0; i < feed->n_fetchers; i++) {
        join_thread(&feed->fetchers[i]);
    }
    join_thread(&feed->checker);
    if (ops->halt != NULL) {
        ops->halt(feed->source, false);
    }
    atomic_fetch_sub(&feed->stats->fetchers, feed->n_fetchers);
    free_feed(feed);
}

void shr_feed_seek(struct shr_feed *feed, uint32_t height) {
    pthread_mutex_lock(&feed->lock);
    if (feed->first_height + feed->n != height) {
        feed->pause_until_ms = 0;
    }
    shr_feed_truncate(feed, 0);
    feed->generation++;
    feed->seeked = true;
    feed->first_height = height;
    shr_feed_wake_fetcher(feed);
    pthread_mutex_unlock(&feed->lock);
    if (feed->source->ops->wake != NULL) {
        feed->source->ops->wake(feed->source);
    }
}

/* With the lock. */
static void take_first(struct shr_feed *feed, struct shr_feed_block *out) {
    struct shr_feed_slot *slot = shr_feed_slot(feed, 0);
    shr_buf_free(&out->raw);
    *out = slot->block;
    slot->block.raw = (struct shr_buf){0};
    slot->ticket = 0;
    feed->first = (feed->first + 1) % feed->options.blocks_max;
    feed->first_height++;
    feed->n--;
    feed->n_ready--;
    feed->bytes -= slot->charge;
    feed->bytes_ready -= slot->charge;
    shr_feed_show_stats(feed);
    shr_feed_wake_fetcher(feed);
}

int shr_feed_next(struct shr_feed *feed, struct shr_feed_block *out, uint32_t ms,
                  struct shrewd_error *err) {
    uint64_t end_ms = 0; /* not known before it is needed: the clock costs */
    int code = 1;        /* not known yet */
    pthread_mutex_lock(&feed->lock);
    while (code == 1) {
        if (shr_stopped(feed->source->stop)) {
            code = shr_fail(err, SHREWD_STOPPED, "stopped while waiting for a block");
            break;
        }
        if (feed->n_ready > 0) {
            take_first(feed, out);
            code = 0;
            break;
        }
        uint64_t now = shr_now_ms();
        end_ms = end_ms == 0 ? now + ms : end_ms;
        if (feed->n == 0 && feed->error.code != 0) {
            code = shr_fail(err, feed->error.code, "%s", feed->error.message);
            feed->error.code = 0;
            shr_feed_wake_fetcher(feed);
        } else if ((feed->n == 0 && feed->at_end) || now >= end_ms) {
            code = shr_fail(err, SHREWD_NOT_FOUND, "no block at height %u yet", feed->first_height);
            shr_feed_show_stats(feed);
        } else {
            feed->consumer_waits = true;
            shr_feed_wait_bell(feed, feed->ready_bell, end_ms - now);
            feed->consumer_waits = false;
        }
    }
    pthread_mutex_unlock(&feed->lock);
    return code;
}
