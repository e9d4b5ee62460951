/* feed.h: blocks of the best chain in order of height, fetched ahead and checked.
 *
 * Threads of the feed's own ask the source, one for each of its lanes (source.h); another checks
 * each block (chain/block.h). Up to `blocks_max` blocks are asked for or ready. Together they are
 * held to `bytes_max` bytes, for which a block that is not here yet counts as much as the ones
 * before it; beyond that, what each lane has in hand may be larger than thought. Many small blocks
 * are asked for in one go. One consumer thread, which may also ask the source itself.
 *
 * Each block is on the source's best chain at the time its hash is asked for. When that chain
 * changes, the block after the change has a parent other than the block delivered before it: the
 * consumer finds the fork (shr_source_hash_at) and seeks there. Nothing fetched before a seek is
 * delivered after it. A source that falls back to a lower tip delivers nothing: the consumer sees
 * that by asking for the hash at its own tip.
 */
#ifndef SHR_NODE_FEED_H
#define SHR_NODE_FEED_H

#include "node/source.h"

struct shr_feed;

/* What the feed's threads do, and what lies ready. Written by the feed; any thread reads. Starts
 * out zeroed; a feed adds to what an earlier one counted. The times grow while a thread works or
 * waits, each when it ends. */
struct shr_feed_stats {
    _Atomic uint64_t fetchers;      /* threads that fetch now: their times are summed */
    _Atomic uint64_t fetch_busy_ns; /* asking the source */
    _Atomic uint64_t fetch_wait_ns; /* for room, for a new block at the tip, after an error */
    _Atomic uint64_t check_busy_ns; /* checking blocks */
    _Atomic uint64_t check_wait_ns; /* for a block to check */
    _Atomic uint64_t blocks_ready;  /* checked, not taken yet; 0 once the feed is closed */
    _Atomic uint64_t bytes_ready;   /* memory held by those */
    _Atomic uint64_t requests;      /* the source sent to the node, the consumer's included */
    _Atomic uint64_t retries;       /* of requests that failed in a way that can pass */
};

struct shr_feed_options {
    uint32_t blocks_max;          /* 0 means 1024 */
    size_t bytes_max;             /* 0 means 64 MiB; one block always fits */
    struct shr_feed_stats *stats; /* borrowed, outlives the feed; NULL: not counted */
};

struct shr_feed_block {
    uint32_t height;
    struct shr_hash hash;
    struct shr_header header;
    struct shr_buf raw; /* owned by whoever holds the struct; shr_buf_free */
};

/* Borrows `source` (closed after the feed). No block is fetched before shr_feed_seek. */
int shr_feed_open(struct shr_feed **out, struct shr_source *source,
                  const struct shr_feed_options *options, struct shrewd_error *err);
/* Prompt where the source has `halt`: it is on meanwhile, so no other thread should be using the
 * source. Else it waits for the call in hand. NULL is fine. */
void shr_feed_close(struct shr_feed *feed);
/* The height that shr_feed_next delivers next; drops what was fetched ahead. */
void shr_feed_seek(struct shr_feed *feed, uint32_t height);
/* The next block, waiting up to `ms` for it. SHREWD_NOT_FOUND: none came in time (the tip was
 * reached, or the node is slow); at the end of a finite source that is told at once.
 * SHREWD_BAD_BLOCK: the source served a block that does not check (logged; it is asked again, from
 * the same height, a second later). SHREWD_STOPPED, or the source's error, which is tried again
 * in the same way. Replaces *out on success ({0} at first; its raw is freed). */
int shr_feed_next(struct shr_feed *feed, struct shr_feed_block *out, uint32_t ms,
                  struct shrewd_error *err);
/* The height of the source's tip as last seen; 0 before. Any thread. */
uint32_t shr_feed_tip_height(struct shr_feed *feed);

#endif
