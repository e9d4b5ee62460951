/* feed_impl.h: what the feed's two files share: the ring of blocks asked for, and its threads.
 *
 * feed.c keeps the ring and serves the consumer; feed_threads.c fills it. Each slot of the ring
 * stands for one height, from the one delivered next upwards: it is asked for (a fetcher has its
 * hash and is getting the block), then fetched, then with the checker, then ready. A ticket that is
 * never given twice tells a thread that comes back whether the slot is still its own: seeks and
 * failures drop slots at any time.
 */
#ifndef SHR_NODE_FEED_IMPL_H
#define SHR_NODE_FEED_IMPL_H

#include "node/feed.h"

#include <pthread.h>

#define SHR_FEED_LANES_MAX 8u
#define SHR_FEED_BATCH_MAX 64u /* blocks asked for in one go, where they are small */
#define SHR_FEED_FOREVER_MS 600000u

enum shr_feed_slot_state { SHR_SLOT_ASKED, SHR_SLOT_FETCHED, SHR_SLOT_CHECKING, SHR_SLOT_READY };

struct shr_feed_slot {
    uint64_t ticket;
    enum shr_feed_slot_state state;
    size_t charge; /* memory counted for it: a guess until it is fetched */
    struct shr_hash want;
    struct shr_feed_block block;
};

/* One of the feed's threads: sleeps on its own bell, so that waking one wakes no other. */
struct shr_feed_thread {
    struct shr_feed *feed;
    unsigned lane; /* of the source; fetchers only */
    pthread_t thread;
    bool started;
    int bell;
    bool idle; /* waiting for the bell */
};

struct shr_feed {
    struct shr_source *source;
    struct shr_feed_options options;
    struct shr_feed_stats own_stats; /* what options.stats is when none was given */
    struct shr_feed_stats *stats;
    struct shr_feed_thread fetchers[SHR_FEED_LANES_MAX];
    unsigned n_fetchers;
    struct shr_feed_thread checker;
    int ready_bell; /* rung for the consumer: a block, an error, the end */
    _Atomic uint32_t tip_height;
    pthread_mutex_t lock; /* everything below */
    struct shr_feed_slot *ring;
    uint32_t first;        /* ring[first] is delivered next */
    uint32_t first_height; /* its height */
    uint32_t n;
    uint32_t n_ready; /* of those, from the first on */
    size_t bytes;     /* what all slots are charged */
    size_t bytes_ready;
    size_t size_guess; /* of a block not fetched yet: lately they were not larger */
    uint64_t last_ticket;
    uint64_t generation; /* counts seeks: what was planned before one is dropped */
    bool planning;       /* a fetcher is asking for hashes; one at a time */
    bool seeked;
    bool closing;
    bool consumer_waits;
    bool at_end;               /* of a finite source */
    struct shrewd_error error; /* delivered after the ring; code 0: none */
    uint64_t pause_until_ms;
    uint64_t tip_asked_ms;  /* by whoever plans */
    uint64_t requests_told; /* of the source's counters, passed on to the stats */
    uint64_t retries_told;
};

static inline void shr_feed_count(_Atomic uint64_t *counter, uint64_t more) {
    atomic_fetch_add_explicit(counter, more, memory_order_relaxed);
}

/* All with the lock. */
static inline bool shr_feed_over(const struct shr_feed *feed) {
    return feed->closing || shr_stopped(feed->source->stop);
}
static inline struct shr_feed_slot *shr_feed_slot(struct shr_feed *feed, uint32_t at) {
    return &feed->ring[(feed->first + at) % feed->options.blocks_max];
}
/* The slot of a height, if it is still the one that the ticket was given for; else NULL. */
struct shr_feed_slot *shr_feed_find(struct shr_feed *feed, uint32_t height, uint64_t ticket);
/* Drops the slots from the at-th on, with the error or end that was to come after them. */
void shr_feed_truncate(struct shr_feed *feed, uint32_t at);
void shr_feed_show_stats(struct shr_feed *feed);
void shr_feed_tell_consumer(struct shr_feed *feed);
void shr_feed_wake(struct shr_feed_thread *thread); /* if it is idle */
/* How many heights a fetcher should plan now; 0: there is no room. */
uint32_t shr_feed_room(const struct shr_feed *feed);
/* For how long fetchers have nothing to plan, in ms; 0: they may. */
uint64_t shr_feed_idle_ms(const struct shr_feed *feed);
/* Wakes a fetcher when there is something to plan. */
void shr_feed_wake_fetcher(struct shr_feed *feed);
/* Sleeps without the lock until the bell, the stop, or `ms` have passed. */
void shr_feed_wait_bell(struct shr_feed *feed, int bell, uint64_t ms);

void *shr_feed_fetch_main(void *thread);
void *shr_feed_check_main(void *thread);

#endif
