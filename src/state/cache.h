/* cache.h: the read cache of a versioned state: what RocksDB answered, kept in memory beside it.
 * It serves indexing, views at the tip and views in the past, never changes an answer, and may
 * forget anything at any moment.
 *
 * What is kept, by key:
 *   newest   the value in LATEST and the height that wrote it, or that the key is absent
 *   past     what an earlier read of HISTORY found for the key as of one height
 *
 * Why a hit is right. Every block applied or rolled back makes a new generation of the state; a
 * rollback also makes a new epoch, and within an epoch the chain only grows. Each reader knows
 * generation and epoch of its picture. Each entry carries the epoch it was made in.
 *   1. A reader uses entries of its own epoch only. So a rollback empties the cache, and readers
 *      from before it neither use what comes after nor hand on what they knew.
 *   2. A newest entry (written at w) may be used by a reader at height H when w <= H: nothing was
 *      written to the key between w and the reader's tip, see 4. When w > H it must look into
 *      the past. "Absent" may be used at any height: keys vanish by rollback only.
 *   3. The committing thread, once the store has taken a block, first moves the cache to the new
 *      generation (shr_cache_advance), then replaces the entry of every key changed
 *      (shr_cache_written), then publishes the picture of that generation.
 *   4. After a slow read a reader may fill in a newest entry only while the cache is at the
 *      reader's generation, which is looked at inside the lock of the key's shard. Had the
 *      committer been in that shard before, the new generation is seen and nothing is filled in;
 *      if it comes after, it replaces what was filled in. So a newest entry is never older than
 *      what any reader of its epoch may see in the store.
 *   5. A past entry says what holds at one height of its epoch, for ever; it needs no such rule.
 *   6. The thread that runs guests ahead of the commits (pending.h) asks its reader only for keys
 *      that no block committed since, or about to be, has changed. What it finds holds for every
 *      generation until it takes another reader, so it may fill in whatever the generation is;
 *      blocks are rolled back only when it reads nothing.
 *   7. What LATEST has of a block above the reader's tip (ahead.c) is never filled in: it may go
 *      again, and other blocks take its place.
 *
 * Layout: shards, each a lock for its writers and a table of sets; a set is one cache line, of
 * seven pointers to entries and eight bits of each one's hash. Entries never change: they are
 * replaced. Readers take no lock and write to no shared line (reclaim.h). Eviction is CLOCK,
 * within a set when it is full and across the shard when its share of the bytes is used up.
 * Hashes are seeded anew in every process, so that nobody can choose keys that crowd a set.
 *
 * Threads: any thread may look up and fill; one at a time calls shr_cache_advance and
 * shr_cache_written.
 */
#ifndef SHR_STATE_CACHE_H
#define SHR_STATE_CACHE_H

#include "base/buf.h"

struct shr_cache;

/* Where a reader stands. */
struct shr_cache_at {
    uint64_t generation;
    uint64_t epoch;
    uint32_t tip; /* of the reader; 0 when it has no block */
    bool ahead;   /* see 6 */
};

enum shr_cache_answer {
    SHR_CACHE_MISS,   /* nothing is known */
    SHR_CACHE_NEWER,  /* the newest version is from above the height asked for */
    SHR_CACHE_ABSENT, /* the key has no value at this height */
    SHR_CACHE_VALUE,
};

struct shr_cache_stats {
    uint64_t hits, misses; /* lookups since the cache was made */
    uint64_t bytes;        /* of the entries, waiting ones included */
    uint64_t bytes_max;
    uint64_t entries;
};

/* At generation and epoch 0. `bytes` (at least 4096) bounds entries and tables together. */
struct shr_cache *shr_cache_new(size_t bytes);
void shr_cache_free(struct shr_cache *cache); /* NULL is fine; nobody may use it any more */
void shr_cache_stats(struct shr_cache *cache, struct shr_cache_stats *out);

/* What the other functions take along with the key, so that it is computed once a read. */
uint64_t shr_cache_hash(const struct shr_cache *cache, struct shr_bytes key);

/* For whoever goes through many keys: fetches what a look-up or a write of the key will need, first
 * its set, and some keys later, when that has come, its entry. */
void shr_cache_prefetch_set(struct shr_cache *cache, uint64_t hash);
void shr_cache_prefetch_entry(struct shr_cache *cache, uint64_t hash);

/* SHR_CACHE_VALUE replaces `value`. *written_at is set for the answers NEWER and, when it comes
 * from a newest entry, VALUE (else it is left alone). height UINT32_MAX: the newest. */
enum shr_cache_answer shr_cache_get(struct shr_cache *cache, const struct shr_cache_at *at,
                                    struct shr_buf *value, uint32_t *written_at,
                                    struct shr_bytes key, uint64_t hash, uint32_t height);
/* What the reader at `at` found in LATEST; value NULL: nothing. */
void shr_cache_fill(struct shr_cache *cache, const struct shr_cache_at *at, struct shr_bytes key,
                    uint64_t hash, const struct shr_bytes *value, uint32_t written_at);
/* What holds at `height`, which is at most at->tip, for a key whose newest version is above it;
 * value NULL: nothing. */
void shr_cache_fill_past(struct shr_cache *cache, const struct shr_cache_at *at,
                         struct shr_bytes key, uint64_t hash, const struct shr_bytes *value,
                         uint32_t height);

/* The store has a new generation; after a rollback also a new epoch. */
void shr_cache_advance(struct shr_cache *cache, const struct shr_cache_at *at);
/* The block of `height` wrote this value: replaces what was known, or adds it. */
void shr_cache_written(struct shr_cache *cache, struct shr_bytes key, uint64_t hash,
                       struct shr_bytes value, uint32_t height);

#endif
