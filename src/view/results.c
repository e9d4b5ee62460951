#include "view/results.h"

#include "base/alloc.h"
#include "base/endian.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define SHARDS 8u
#define LARGEST 16u    /* no answer takes more than this part of all bytes */
#define ENTRY_COST 64u /* what malloc and the bucket take besides the entry, about */
#define BYTES_A_BUCKET 512u
#define BUCKETS_MIN 64u
#define BUCKETS_MAX 65536u

struct entry {
    struct entry *chain;         /* of its bucket */
    struct entry *newer, *older; /* by last use */
    uint64_t hash;
    struct shr_version at;
    _Atomic uint32_t refs; /* the shard's, and one a thread that copies the answer now */
    size_t name_len, input_len, answer_len;
    uint8_t bytes[]; /* name, input, answer */
};

struct shard {
    _Alignas(64) pthread_mutex_t mutex; /* on a cache line of its own */
    struct entry **buckets;
    struct entry *newest, *oldest;
    uint64_t entries, bytes;
};

struct shr_results {
    struct shard shards[SHARDS];
    uint64_t bytes_max;
    uint32_t n_buckets; /* of each shard; a power of two */
    uint64_t secret[2];
};

/* What an answer is asked by, and its hash. */
struct key {
    const struct shr_version *at;
    struct shr_bytes name, input;
    uint64_t hash;
};

/* --- SipHash-1-3 (Aumasson and Bernstein), keyed by chance: nobody can choose inputs that all
 * fall into one bucket --- */

static uint64_t rotate(uint64_t x, int by) {
    return x << by | x >> (64 - by);
}

static void sip_round(uint64_t v[4]) {
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

static uint64_t sip_hash(const uint64_t secret[2], struct shr_bytes data) {
    uint64_t v[4] = {secret[0] ^ 0x736f6d6570736575u, secret[1] ^ 0x646f72616e646f6du,
                     secret[0] ^ 0x6c7967656e657261u, secret[1] ^ 0x7465646279746573u};
    size_t at = 0;
    for (; data.len - at >= 8; at += 8) {
        uint64_t word = shr_get_le64(data.data + at);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    uint64_t last = (uint64_t)data.len << 56;
    for (size_t i = 0; at + i < data.len; i++) {
        last |= (uint64_t)data.data[at + i] << (8 * i);
    }
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static struct key key_of(const struct shr_results *results, const struct shr_version *at,
                         const char *view, struct shr_bytes input) {
    struct key key = {.at = at, .name = shr_bytes_str(view), .input = input};
    uint8_t parts[4 + 32 + 8 + 8];
    shr_put_le32(parts, at->height);
    memcpy(parts + 4, at->hash.b, 32);
    shr_put_le64(parts + 36, sip_hash(results->secret, key.name));
    shr_put_le64(parts + 44, sip_hash(results->secret, key.input));
    key.hash = sip_hash(results->secret, shr_bytes(parts, sizeof parts));
    return key;
}

/* --- */

struct shr_results *shr_results_new(uint64_t bytes_max) {
    struct shr_results *results = aligned_alloc(64, sizeof *results);
    if (results == NULL) {
        shr_out_of_memory(sizeof *results);
    }
    memset(results, 0, sizeof *results);
    results->bytes_max = bytes_max;
    results->n_buckets = BUCKETS_MIN;
    while (results->n_buckets < BUCKETS_MAX &&
           (uint64_t)results->n_buckets * BYTES_A_BUCKET < bytes_max / SHARDS) {
        results->n_buckets *= 2;
    }
    if (getrandom(results->secret, sizeof results->secret, 0) != sizeof results->secret) {
        results->secret[0] = (uintptr_t)results; /* an address, which is random too */
    }
    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_init(&results->shards[i].mutex, NULL);
        results->shards[i].buckets =
            shr_alloc_array(results->n_buckets, sizeof *results->shards[i].buckets);
    }
    return results;
}

static void release(struct entry *entry) {
    if (atomic_fetch_sub_explicit(&entry->refs, 1, memory_order_acq_rel) == 1) {
        free(entry);
    }
}

void shr_results_free(struct shr_results *results) {
    if (results == NULL) {
        return;
    }
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &results->shards[i];
        for (struct entry *entry = shard->oldest; entry != NULL;) {
            struct entry *newer = entry->newer;
            release(entry);
            entry = newer;
        }
        free(shard->buckets);
        pthread_mutex_destroy(&shard->mutex);
    }
    free(results);
}

static struct shard *shard_of(struct shr_results *results, uint64_t hash) {
    return &results->shards[hash >> 32 & (SHARDS - 1)];
}

static uint64_t cost_of(size_t name_len, size_t input_len, size_t answer_len) {
    return sizeof(struct entry) + ENTRY_COST + name_len + input_len + answer_len;
}

/* --- With the shard's mutex held --- */

static struct entry **link_of(const struct shr_results *results, struct shard *shard,
                              const struct key *key) {
    struct entry **link = &shard->buckets[key->hash & (results->n_buckets - 1)];
    for (; *link != NULL; link = &(*link)->chain) {
        const struct entry *entry = *link;
        if (entry->hash == key->hash && shr_version_eq(&entry->at, key->at) &&
            shr_bytes_eq(shr_bytes(entry->bytes, entry->name_len), key->name) &&
            shr_bytes_eq(shr_bytes(entry->bytes + entry->name_len, entry->input_len), key->input)) {
            break;
        }
    }
    return link;
}

static void unlink_use(struct shard *shard, struct entry *entry) {
    *(entry->newer != NULL ? &entry->newer->older : &shard->newest) = entry->older;
    *(entry->older != NULL ? &entry->older->newer : &shard->oldest) = entry->newer;
}

static void link_newest(struct shard *shard, struct entry *entry) {
    entry->newer = NULL;
    entry->older = shard->newest;
    *(shard->newest != NULL ? &shard->newest->newer : &shard->oldest) = entry;
    shard->newest = entry;
}

static void remove_entry(const struct shr_results *results, struct shard *shard,
                         struct entry *entry) {
    struct entry **link = &shard->buckets[entry->hash & (results->n_buckets - 1)];
    while (*link != entry) {
        link = &(*link)->chain;
    }
    *link = entry->chain;
    unlink_use(shard, entry);
    shard->entries--;
    shard->bytes -= cost_of(entry->name_len, entry->input_len, entry->answer_len);
    release(entry);
}

/* --- */

bool shr_results_get(struct shr_results *results, struct shr_buf *out, const struct shr_version *at,
                     const char *view, struct shr_bytes input) {
    if (input.len > results->bytes_max / LARGEST) {
        return false;
    }
    struct key key = key_of(results, at, view, input);
    struct shard *shard = shard_of(results, key.hash);
    pthread_mutex_lock(&shard->mutex);
    struct entry *entry = *link_of(results, shard, &key);
    if (entry != NULL) {
        unlink_use(shard, entry);
        link_newest(shard, entry);
        atomic_fetch_add_explicit(&entry->refs, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&shard->mutex);
    if (entry == NULL) {
        return false;
    }
    /* Not under the lock: an answer may have megabytes. */
    shr_buf_set(out,
                shr_bytes(entry->bytes + entry->name_len + entry->input_len, entry->answer_len));
    release(entry);
    return true;
}

static struct entry *new_entry(const struct key *key, struct shr_bytes answer) {
    struct entry *entry = shr_alloc(sizeof *entry + key->name.len + key->input.len + answer.len);
    entry->hash = key->hash;
    entry->at = *key->at;
    atomic_init(&entry->refs, 1);
    entry->name_len = key->name.len;
    entry->input_len = key->input.len;
    entry->answer_len = answer.len;
    const struct shr_bytes parts[] = {key->name, key->input, answer};
    uint8_t *at = entry->bytes;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (parts[i].len > 0) {
            memcpy(at, parts[i].data, parts[i].len);
        }
        at += parts[i].len;
    }
    return entry;
}

void shr_results_put(struct shr_results *results, const struct shr_version *at, const char *view,
                     struct shr_bytes input, struct shr_bytes answer) {
    uint64_t cost = cost_of(strlen(view), input.len, answer.len);
    if (cost > results->bytes_max / LARGEST) {
        return;
    }
    struct key key = key_of(results, at, view, input);
    struct shard *shard = shard_of(results, key.hash);
    struct entry *entry = new_entry(&key, answer);
    pthread_mutex_lock(&shard->mutex);
    struct entry **link = link_of(results, shard, &key);
    if (*link != NULL) { /* another thread was first */
        remove_entry(results, shard, *link);
    }
    while (shard->bytes + cost > results->bytes_max / SHARDS) {
        remove_entry(results, shard, shard->oldest);
    }
    struct entry **bucket = &shard->buckets[key.hash & (results->n_buckets - 1)];
    entry->chain = *bucket;
    *bucket = entry;
    link_newest(shard, entry);
    shard->entries++;
    shard->bytes += cost;
    pthread_mutex_unlock(&shard->mutex);
}

void shr_results_drop(struct shr_results *results,
                      bool (*gone)(void *ctx, const struct shr_version *at), void *ctx) {
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &results->shards[i];
        pthread_mutex_lock(&shard->mutex);
        for (struct entry *entry = shard->oldest; entry != NULL;) {
            struct entry *newer = entry->newer;
            if (gone(ctx, &entry->at)) {
                remove_entry(results, shard, entry);
            }
            entry = newer;
        }
        pthread_mutex_unlock(&shard->mutex);
    }
}

void shr_results_drop_view(struct shr_results *results, const char *view) {
    size_t len = strlen(view);
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &results->shards[i];
        pthread_mutex_lock(&shard->mutex);
        for (struct entry *entry = shard->oldest; entry != NULL;) {
            struct entry *newer = entry->newer;
            if (entry->name_len == len && memcmp(entry->bytes, view, len) == 0) {
                remove_entry(results, shard, entry);
            }
            entry = newer;
        }
        pthread_mutex_unlock(&shard->mutex);
    }
}

void shr_results_stats(struct shr_results *results, struct shr_results_stats *out) {
    *out = (struct shr_results_stats){0};
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &results->shards[i];
        pthread_mutex_lock(&shard->mutex);
        out->entries += shard->entries;
        out->bytes += shard->bytes;
        pthread_mutex_unlock(&shard->mutex);
    }
}
