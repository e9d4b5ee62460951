#include "state/cache.h"

#include "base/alloc.h"
#include "base/same.h"
#include "state/key_hash.h"
#include "state/reclaim.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define WAYS 7
#define SHARDS_MAX 64
#define SHARD_BYTES_MIN ((size_t)64 * 1024) /* below, fewer shards */
#define BYTES_MIN ((size_t)4096)
#define BYTES_PER_SLOT 64       /* the table is made for entries of this size */
#define ENTRY_BYTES_MAX 0xffffu /* and a 16th of a shard's share */
#define ENTRY_SHARE 16
#define WAITING_SHARE 8 /* of a shard's share: unlinked, not yet freed */
#define WAITING_MIN 32  /* fewer are not worth a look at every reader */
#define MALLOC_OVERHEAD 8
#define HUGE_PAGE ((size_t)2 << 20)

enum kind { NEWEST_VALUE, NEWEST_ABSENT, PAST_VALUE, PAST_ABSENT };

/* Never changes once it is in the table, `used` apart. */
struct entry {
    uint64_t hash;
    uint64_t epoch;
    uint32_t height; /* newest: written at; past: asked for */
    uint32_t value_len;
    uint16_t key_len;
    uint8_t kind;
    _Atomic uint8_t used; /* since the hand of the clock went by */
    uint8_t bytes[];      /* key, value */
};

/* One cache line. The tags are hints: a reader may see one before or after its pointer. */
struct set {
    _Alignas(SHR_CACHE_LINE) _Atomic uint64_t tags; /* a byte a way; the highest is unused */
    _Atomic(struct entry *) ways[WAYS];
};

/* Unlinked; readers may still hold it. */
struct waiting {
    struct entry *entry;
    uint64_t stamp;
};

struct shard {
    _Alignas(SHR_CACHE_LINE) pthread_mutex_t lock; /* guards all below, and changes of the sets */
    struct set *sets;
    size_t hand; /* of the clock: a set */
    size_t n, bytes;
    struct waiting *waiting;
    size_t n_waiting, waiting_cap, waiting_bytes;
};

struct shr_cache {
    struct shr_reclaim reclaim;
    _Alignas(SHR_CACHE_LINE) struct shr_key_seed seed;
    size_t n_shards, sets_per_shard; /* powers of two */
    size_t share;                    /* bytes of entries in a shard */
    size_t entry_max;
    struct set *sets;
    _Alignas(SHR_CACHE_LINE) _Atomic uint64_t generation;
    _Atomic uint64_t epoch;
    struct shard shards[SHARDS_MAX];
};

/* --- Hashing --- */

uint64_t shr_cache_hash(const struct shr_cache *cache, struct shr_bytes key) {
    return shr_key_hash(&cache->seed, key);
}

/* A past entry lies elsewhere than the newest one of its key. */
static uint64_t past_hash(const struct shr_cache *cache, uint64_t hash, uint32_t height) {
    const uint64_t *words = cache->seed.words;
    return shr_key_fold(hash ^ words[0], (((uint64_t)height << 1) | 1) ^ words[2]);
}

/* --- Making and freeing --- */

static size_t power_of_two_below(size_t n) {
    size_t power = 1;
    while (power <= n / 2) {
        power *= 2;
    }
    return power;
}

/* Zeroed pages that are not there until they are used. A look-up goes to any of them: as small
 * pages they would take up the whole TLB, the guest's share too. */
static struct set *table_new(size_t size) {
    void *table = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (table == MAP_FAILED) {
        shr_out_of_memory(size);
    }
    if (size >= HUGE_PAGE) {
        madvise(table, size, MADV_HUGEPAGE); /* a wish */
    }
    return table;
}

struct shr_cache *shr_cache_new(size_t bytes) {
    struct shr_cache *cache = aligned_alloc(SHR_CACHE_LINE, sizeof *cache);
    if (cache == NULL) {
        shr_out_of_memory(sizeof *cache);
    }
    memset(cache, 0, sizeof *cache);
    bytes = bytes < BYTES_MIN ? BYTES_MIN : bytes;
    shr_reclaim_init(&cache->reclaim);
    shr_key_seed_make(&cache->seed);
    size_t shards = power_of_two_below(bytes / SHARD_BYTES_MIN);
    cache->n_shards = shards > SHARDS_MAX ? SHARDS_MAX : shards;
    size_t share = bytes / cache->n_shards;
    cache->sets_per_shard = power_of_two_below(share / (WAYS * BYTES_PER_SLOT));
    cache->share = share - cache->sets_per_shard * sizeof(struct set);
    cache->entry_max =
        share / ENTRY_SHARE < ENTRY_BYTES_MAX ? share / ENTRY_SHARE : ENTRY_BYTES_MAX;
    cache->sets = table_new(cache->n_shards * cache->sets_per_shard * sizeof(struct set));
    for (size_t i = 0; i < cache->n_shards; i++) {
        int failed = pthread_mutex_init(&cache->shards[i].lock, NULL);
        assert(failed == 0); /* cannot fail with default attributes on Linux */
        (void)failed;
        cache->shards[i].sets = cache->sets + i * cache->sets_per_shard;
    }
    return cache;
}

void shr_cache_free(struct shr_cache *cache) {
    if (cache == NULL) {
        return;
    }
    for (size_t i = 0; i < cache->n_shards; i++) {
        struct shard *shard = &cache->shards[i];
        /* A part of the table that holds nothing was perhaps never touched: leave it so. */
        for (size_t set = 0; shard->n > 0 && set < cache->sets_per_shard; set++) {
            for (size_t way = 0; way < WAYS; way++) {
                free(atomic_load(&shard->sets[set].ways[way]));
            }
        }
        for (size_t j = 0; j < shard->n_waiting; j++) {
            free(shard->waiting[j].entry);
        }
        free(shard->waiting);
        pthread_mutex_destroy(&shard->lock);
    }
    munmap(cache->sets, cache->n_shards * cache->sets_per_shard * sizeof(struct set));
    free(cache);
}

void shr_cache_stats(struct shr_cache *cache, struct shr_cache_stats *out) {
    size_t table = cache->n_shards * cache->sets_per_shard * sizeof(struct set);
    *out = (struct shr_cache_stats){.bytes_max = cache->share * cache->n_shards + table};
    for (size_t i = 0; i < cache->n_shards; i++) {
        struct shard *shard = &cache->shards[i];
        pthread_mutex_lock(&shard->lock);
        out->entries += shard->n;
        out->bytes += shard->bytes + shard->waiting_bytes;
        pthread_mutex_unlock(&shard->lock);
    }
    for (size_t i = 0; i < SHR_RECLAIM_SLOTS; i++) {
        out->hits += atomic_load_explicit(&cache->reclaim.slots[i].hits, memory_order_relaxed);
        out->misses += atomic_load_explicit(&cache->reclaim.slots[i].misses, memory_order_relaxed);
    }
}

/* --- Entries --- */

static size_t entry_bytes(const struct entry *entry) {
    size_t size = sizeof *entry + entry->key_len + entry->value_len + MALLOC_OVERHEAD;
    return (size + 15) / 16 * 16;
}

/* value NULL: an absent one. NULL when it is too large to be kept. */
static struct entry *entry_new(const struct shr_cache *cache, struct shr_bytes key, uint64_t hash,
                               const struct shr_bytes *value, enum kind kind, uint32_t height) {
    size_t value_len = value == NULL ? 0 : value->len;
    if (key.len > cache->entry_max || value_len > cache->entry_max ||
        sizeof(struct entry) + key.len + value_len > cache->entry_max) {
        return NULL;
    }
    struct entry *entry = shr_realloc(NULL, sizeof *entry + key.len + value_len);
    entry->hash = hash;
    entry->height = height;
    entry->value_len = (uint32_t)value_len;
    entry->key_len = (uint16_t)key.len;
    entry->kind = (uint8_t)kind;
    atomic_init(&entry->used, 0);
    if (key.len > 0) {
        memcpy(entry->bytes, key.data, key.len);
    }
    if (value_len > 0) {
        memcpy(entry->bytes + key.len, value->data, value_len);
    }
    return entry;
}

static bool is_past(enum kind kind) {
    return kind == PAST_VALUE || kind == PAST_ABSENT;
}

/* What an entry is of: a key's newest version, or the past at one height. */
struct subject {
    struct shr_bytes key;
    uint64_t hash;
    bool past;
    uint32_t height; /* past */
};

static inline bool entry_is_of(const struct entry *entry, const struct subject *subject) {
    return entry->hash == subject->hash && entry->key_len == subject->key.len &&
           is_past((enum kind)entry->kind) == subject->past &&
           (!subject->past || entry->height == subject->height) &&
           shr_same(entry->bytes, subject->key.data, subject->key.len);
}

static struct shard *shard_of(struct shr_cache *cache, uint64_t hash) {
    return &cache->shards[hash & (cache->n_shards - 1)];
}

static struct set *set_of(struct shr_cache *cache, struct shard *shard, uint64_t hash) {
    return &shard->sets[(hash >> 8) & (cache->sets_per_shard - 1)];
}

static uint64_t tag_of(uint64_t hash) {
    return hash >> 56;
}

/* The ways whose tag fits, as the top bits of their bytes; may name one too many. */
static uint64_t fitting_ways(uint64_t tags, uint64_t tag) {
    uint64_t differs = tags ^ (tag * 0x0101010101010101u);
    return (differs - 0x0101010101010101u) & ~differs & 0x0080808080808080u;
}

static inline struct entry *find(struct set *set, const struct subject *subject, size_t *way) {
    uint64_t fitting =
        fitting_ways(atomic_load_explicit(&set->tags, memory_order_acquire), tag_of(subject->hash));
    for (; fitting != 0; fitting &= fitting - 1) {
        *way = (size_t)__builtin_ctzll(fitting) / 8;
        struct entry *entry = atomic_load(&set->ways[*way]);
        if (entry != NULL && entry_is_of(entry, subject)) {
            return entry;
        }
    }
    return NULL;
}

void shr_cache_prefetch_set(struct shr_cache *cache, uint64_t hash) {
    __builtin_prefetch(set_of(cache, shard_of(cache, hash), hash));
}

/* The entry is only fetched, not read: it may be gone by now. */
void shr_cache_prefetch_entry(struct shr_cache *cache, uint64_t hash) {
    struct set *set = set_of(cache, shard_of(cache, hash), hash);
    uint64_t fitting =
        fitting_ways(atomic_load_explicit(&set->tags, memory_order_relaxed), tag_of(hash));
    if (fitting != 0) {
        size_t way = (size_t)__builtin_ctzll(fitting) / 8;
        __builtin_prefetch(atomic_load_explicit(&set->ways[way], memory_order_relaxed));
    }
}

/* --- Looking up --- */

static void take(struct shr_buf *value, struct entry *entry) {
    if (atomic_load_explicit(&entry->used, memory_order_relaxed) == 0) {
        atomic_store_explicit(&entry->used, 1, memory_order_relaxed);
    }
    if (entry->kind == NEWEST_VALUE || entry->kind == PAST_VALUE) {
        shr_buf_set(value, shr_bytes(entry->bytes + entry->key_len, entry->value_len));
    }
}

static enum shr_cache_answer get_newest(struct shr_cache *cache, const struct shr_cache_at *at,
                                        struct shr_buf *value, uint32_t *written_at,
                                        struct shr_bytes key, uint64_t hash, uint32_t height) {
    struct subject subject = {.key = key, .hash = hash};
    size_t way;
    struct entry *entry = find(set_of(cache, shard_of(cache, hash), hash), &subject, &way);
    if (entry == NULL || entry->epoch != at->epoch) {
        return SHR_CACHE_MISS;
    }
    if (entry->kind == NEWEST_ABSENT) {
        take(value, entry);
        return SHR_CACHE_ABSENT;
    }
    *written_at = entry->height;
    if (entry->height > height) {
        return SHR_CACHE_NEWER;
    }
    take(value, entry);
    return SHR_CACHE_VALUE;
}

static enum shr_cache_answer get_past(struct shr_cache *cache, const struct shr_cache_at *at,
                                      struct shr_buf *value, struct shr_bytes key, uint64_t hash,
                                      uint32_t height) {
    struct subject subject = {
        .key = key, .hash = past_hash(cache, hash, height), .past = true, .height = height};
    size_t way;
    struct shard *shard = shard_of(cache, subject.hash);
    struct entry *entry = find(set_of(cache, shard, subject.hash), &subject, &way);
    if (entry == NULL || entry->epoch != at->epoch) {
        return SHR_CACHE_MISS;
    }
    take(value, entry);
    return entry->kind == PAST_VALUE ? SHR_CACHE_VALUE : SHR_CACHE_ABSENT;
}

enum shr_cache_answer shr_cache_get(struct shr_cache *cache, const struct shr_cache_at *at,
                                    struct shr_buf *value, uint32_t *written_at,
                                    struct shr_bytes key, uint64_t hash, uint32_t height) {
    /* Entering is a barrier: the line is on its way before. */
    __builtin_prefetch(set_of(cache, shard_of(cache, hash), hash));
    struct shr_reclaim_slot *slot = shr_reclaim_enter(&cache->reclaim);
    if (slot == NULL) {
        return SHR_CACHE_MISS;
    }
    enum shr_cache_answer answer = get_newest(cache, at, value, written_at, key, hash, height);
    if (answer == SHR_CACHE_NEWER || (answer == SHR_CACHE_MISS && height < at->tip)) {
        enum shr_cache_answer past = get_past(cache, at, value, key, hash, height);
        answer = past == SHR_CACHE_MISS ? answer : past;
    }
    _Atomic uint64_t *count =
        answer == SHR_CACHE_VALUE || answer == SHR_CACHE_ABSENT ? &slot->hits : &slot->misses;
    atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    shr_reclaim_leave(slot);
    return answer;
}

/* --- Changing; the shard's lock is held --- */

/* Frees what no reader can hold any more. */
static void free_waiting(struct shr_cache *cache, struct shard *shard) {
    uint64_t horizon = shr_reclaim_horizon(&cache->reclaim);
    size_t kept = 0;
    for (size_t i = 0; i < shard->n_waiting; i++) {
        struct waiting waiting = shard->waiting[i];
        if (waiting.stamp < horizon) {
            shard->waiting_bytes -= entry_bytes(waiting.entry);
            free(waiting.entry);
        } else {
            shard->waiting[kept++] = waiting;
        }
    }
    shard->n_waiting = kept;
}

/* The entry of this way, if any, leaves the table; `next` takes its place. */
static void replace(struct shr_cache *cache, struct shard *shard, struct set *set, size_t way,
                    struct entry *next) {
    struct entry *old = atomic_load(&set->ways[way]);
    atomic_store(&set->ways[way], next);
    if (next != NULL) {
        uint64_t tags = atomic_load_explicit(&set->tags, memory_order_relaxed);
        tags &= ~((uint64_t)0xff << (8 * way));
        tags |= tag_of(next->hash) << (8 * way);
        atomic_store_explicit(&set->tags, tags, memory_order_release);
        shard->n++;
        shard->bytes += entry_bytes(next);
    }
    if (old == NULL) {
        return;
    }
    shard->n--;
    shard->bytes -= entry_bytes(old);
    shard->waiting_bytes += entry_bytes(old);
    if (shard->n_waiting == shard->waiting_cap) {
        shard->waiting_cap = shard->waiting_cap == 0 ? WAITING_MIN : shard->waiting_cap * 2;
        shard->waiting =
            shr_realloc_array(shard->waiting, shard->waiting_cap, sizeof *shard->waiting);
    }
    shard->waiting[shard->n_waiting++] = (struct waiting){old, shr_reclaim_stamp(&cache->reclaim)};
}

/* Whether the hand of the clock takes this entry; if not, it has had its chance. */
static bool is_idle(const struct shr_cache *cache, struct entry *entry) {
    if (entry->epoch != atomic_load_explicit(&cache->epoch, memory_order_relaxed)) {
        return true;
    }
    bool used = atomic_load_explicit(&entry->used, memory_order_relaxed) != 0;
    if (used) {
        atomic_store_explicit(&entry->used, 0, memory_order_relaxed);
    }
    return !used;
}

/* A way for a new entry: one that is free, else the first idle one, else the one that the hash
 * names. */
static size_t way_for(const struct shr_cache *cache, struct set *set, uint64_t hash) {
    struct entry *entries[WAYS];
    for (size_t way = 0; way < WAYS; way++) {
        entries[way] = atomic_load(&set->ways[way]);
        if (entries[way] == NULL) {
            return way;
        }
    }
    size_t first = (size_t)(hash >> 48) % WAYS;
    for (size_t i = 0; i < WAYS; i++) {
        if (is_idle(cache, entries[(first + i) % WAYS])) {
            return (first + i) % WAYS;
        }
    }
    return first;
}

/* The hand goes on until `bytes` more fit, leaving alone what waits to be freed. Readers may mark
 * entries faster than it goes: after two rounds it takes them all the same. */
static void make_room(struct shr_cache *cache, struct shard *shard, size_t bytes) {
    size_t room = cache->share - cache->share / WAITING_SHARE;
    for (size_t steps = 0; shard->n > 0 && shard->bytes + bytes > room; steps++) {
        struct set *set = &shard->sets[shard->hand++ & (cache->sets_per_shard - 1)];
        bool any = steps >= 2 * cache->sets_per_shard;
        for (size_t way = 0; way < WAYS; way++) {
            struct entry *entry = atomic_load(&set->ways[way]);
            if (entry != NULL && (is_idle(cache, entry) || any)) {
                replace(cache, shard, set, way, NULL);
            }
        }
    }
}

static bool too_much_waits(const struct shr_cache *cache, const struct shard *shard) {
    return shard->waiting_bytes > cache->share / WAITING_SHARE;
}

/* Puts `entry` (NULL: nothing) in the place of what is kept of this subject. */
static void put(struct shr_cache *cache, struct shard *shard, const struct subject *subject,
                struct entry *entry) {
    struct set *set = set_of(cache, shard, subject->hash);
    size_t way = 0;
    if (shard->n_waiting >= WAITING_MIN || too_much_waits(cache, shard)) {
        free_waiting(cache, shard);
    }
    if (entry != NULL && too_much_waits(cache, shard)) {
        free(entry); /* a reader has been stopped in the middle: memory comes first */
        entry = NULL;
    }
    if (entry != NULL) {
        make_room(cache, shard, entry_bytes(entry));
    }
    struct entry *old = find(set, subject, &way);
    if (old != NULL) {
        if (entry != NULL) {
            atomic_init(&entry->used, atomic_load_explicit(&old->used, memory_order_relaxed));
        }
        replace(cache, shard, set, way, entry);
    } else if (entry != NULL) {
        replace(cache, shard, set, way_for(cache, set, subject->hash), entry);
    }
}

/* --- Filling in and committing --- */

static bool may_fill(struct shr_cache *cache, const struct shr_cache_at *at) {
    return at->ahead ? atomic_load(&cache->epoch) == at->epoch
                     : atomic_load(&cache->generation) == at->generation;
}

void shr_cache_fill(struct shr_cache *cache, const struct shr_cache_at *at, struct shr_bytes key,
                    uint64_t hash, const struct shr_bytes *value, uint32_t written_at) {
    if (!may_fill(cache, at)) {
        return; /* the same as below, without the work */
    }
    struct subject subject = {.key = key, .hash = hash};
    struct entry *entry = entry_new(cache, key, hash, value,
                                    value == NULL ? NEWEST_ABSENT : NEWEST_VALUE, written_at);
    if (entry == NULL) {
        return;
    }
    entry->epoch = at->epoch;
    struct shard *shard = shard_of(cache, hash);
    pthread_mutex_lock(&shard->lock);
    if (may_fill(cache, at)) {
        put(cache, shard, &subject, entry);
        entry = NULL;
    }
    pthread_mutex_unlock(&shard->lock);
    free(entry);
}

void shr_cache_fill_past(struct shr_cache *cache, const struct shr_cache_at *at,
                         struct shr_bytes key, uint64_t hash, const struct shr_bytes *value,
                         uint32_t height) {
    if (atomic_load(&cache->epoch) != at->epoch) {
        return; /* right, but of no use to anyone newer */
    }
    struct subject subject = {
        .key = key, .hash = past_hash(cache, hash, height), .past = true, .height = height};
    struct entry *entry = entry_new(cache, key, subject.hash, value,
                                    value == NULL ? PAST_ABSENT : PAST_VALUE, height);
    if (entry == NULL) {
        return;
    }
    entry->epoch = at->epoch;
    struct shard *shard = shard_of(cache, subject.hash);
    pthread_mutex_lock(&shard->lock);
    put(cache, shard, &subject, entry);
    pthread_mutex_unlock(&shard->lock);
}

void shr_cache_advance(struct shr_cache *cache, const struct shr_cache_at *at) {
    atomic_store(&cache->epoch, at->epoch);
    atomic_store(&cache->generation, at->generation);
}

void shr_cache_written(struct shr_cache *cache, struct shr_bytes key, uint64_t hash,
                       struct shr_bytes value, uint32_t height) {
    struct subject subject = {.key = key, .hash = hash};
    struct entry *entry = entry_new(cache, key, hash, &value, NEWEST_VALUE, height);
    if (entry != NULL) {
        entry->epoch = atomic_load_explicit(&cache->epoch, memory_order_relaxed);
    }
    struct shard *shard = shard_of(cache, hash);
    pthread_mutex_lock(&shard->lock);
    put(cache, shard, &subject, entry);
    pthread_mutex_unlock(&shard->lock);
}
