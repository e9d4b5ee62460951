#include "state/pending.h"

#include "base/alloc.h"
#include "state/key_hash.h"
#include "state/state_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS_MIN 1024
#define FETCHED_AHEAD 8              /* pairs, by which slots are fetched before they are taken */
#define SLOTS_KEPT ((size_t)1 << 18) /* what one huge block needed beyond is given back */

/* What a pending block writes to a key, the value's bytes right after the key's. Open addressing
 * with linear probing; `key` NULL: free. A slot whose block was dropped is dead: it may be taken,
 * and is passed over. */
struct slot {
    const uint8_t *key; /* the newest pair's */
    uint32_t key_len, value_len;
    uint32_t hash;   /* half of it */
    uint32_t height; /* of its block */
};

struct shr_pending {
    struct shr_state *state;
    struct shr_key_seed seed;
    struct slot *slots;
    size_t n_slots;               /* a power of two, at least twice n */
    size_t n;                     /* not free */
    uint32_t first, last;         /* the blocks held; first > last: none */
    struct shr_reader *published; /* between begin and end */
    struct shr_reader reader;     /* the same picture, allowed to fill the cache (cache.h, 6) */
};

/* --- What a block writes --- */

struct shr_writes *shr_writes_new(uint32_t height, const struct shr_hash *hash) {
    struct shr_writes *writes = shr_alloc(sizeof *writes);
    writes->height = height;
    writes->hash = *hash;
    return writes;
}

void shr_writes_free(struct shr_writes *writes) {
    if (writes != NULL) {
        shr_arena_free(&writes->arena);
        free(writes->pairs);
        free(writes);
    }
}

void shr_writes_add(struct shr_writes *writes, struct shr_bytes key, struct shr_bytes value) {
    if (writes->n_pairs == writes->cap) {
        writes->cap = writes->cap == 0 ? 8 : writes->cap * 2;
        writes->pairs = shr_realloc_array(writes->pairs, writes->cap, sizeof *writes->pairs);
    }
    uint8_t *at = shr_arena_take(&writes->arena, key.len + value.len);
    if (key.len > 0) {
        memcpy(at, key.data, key.len);
    }
    if (value.len > 0) {
        memcpy(at + key.len, value.data, value.len);
    }
    writes->pairs[writes->n_pairs++] =
        (struct shr_pair){shr_bytes(at, key.len), shr_bytes(at + key.len, value.len)};
}

size_t shr_writes_bytes(const struct shr_writes *writes) {
    return sizeof *writes + writes->arena.bytes + writes->cap * sizeof *writes->pairs;
}

struct shr_block_change shr_writes_change(const struct shr_writes *writes) {
    return (struct shr_block_change){
        .height = writes->height,
        .hash = writes->hash,
        .pairs = writes->pairs,
        .n_pairs = writes->n_pairs,
    };
}

/* --- The table --- */

static bool is_held(const struct shr_pending *pending, const struct slot *slot) {
    return slot->key != NULL && slot->height >= pending->first;
}

/* The key's slot, or the one that it may take. */
static struct slot *find(const struct shr_pending *pending, struct shr_bytes key, uint32_t hash) {
    size_t mask = pending->n_slots - 1;
    struct slot *dead = NULL;
    for (size_t at = hash & mask;; at = (at + 1) & mask) {
        struct slot *slot = &pending->slots[at];
        if (slot->key == NULL) {
            return dead != NULL ? dead : slot;
        }
        if (slot->height < pending->first) {
            dead = dead != NULL ? dead : slot;
        } else if (slot->hash == hash && shr_bytes_eq(shr_bytes(slot->key, slot->key_len), key)) {
            return slot;
        }
    }
}

/* Makes room for so many more keys: what is dead goes, and a while passes before the next time. */
static void make_room(struct shr_pending *pending, size_t n_more) {
    struct slot *old = pending->slots;
    size_t n_old = pending->n_slots, n = 0;
    for (size_t i = 0; i < n_old; i++) {
        n += is_held(pending, &old[i]);
    }
    pending->n_slots = SLOTS_MIN;
    while (pending->n_slots < 3 * (n + n_more)) {
        pending->n_slots *= 2;
    }
    pending->slots = shr_alloc_array(pending->n_slots, sizeof *pending->slots);
    pending->n = n;
    for (size_t i = 0; i < n_old; i++) {
        if (is_held(pending, &old[i])) {
            size_t at = old[i].hash & (pending->n_slots - 1);
            while (pending->slots[at].key != NULL) {
                at = (at + 1) & (pending->n_slots - 1);
            }
            pending->slots[at] = old[i];
        }
    }
    free(old);
}

struct shr_pending *shr_pending_new(struct shr_state *state) {
    struct shr_pending *pending = shr_alloc(sizeof *pending);
    pending->state = state;
    shr_key_seed_make(&pending->seed);
    shr_pending_clear(pending);
    return pending;
}

void shr_pending_free(struct shr_pending *pending) {
    if (pending != NULL) {
        shr_pending_end(pending);
        free(pending->slots);
        free(pending);
    }
}

size_t shr_pending_bytes(const struct shr_pending *pending) {
    return pending->n_slots * sizeof *pending->slots;
}

static void put(struct shr_pending *pending, const struct shr_pair *pair, uint32_t hash,
                uint32_t height) {
    struct slot *slot = find(pending, pair->key, hash);
    pending->n += slot->key == NULL;
    *slot = (struct slot){
        .key = pair->key.data,
        .key_len = (uint32_t)pair->key.len,
        .value_len = (uint32_t)pair->value.len,
        .hash = hash,
        .height = height,
    };
}

void shr_pending_add(struct shr_pending *pending, const struct shr_writes *writes) {
    assert(pending->published == NULL);
    uint32_t hashes[FETCHED_AHEAD];
    if (pending->first > pending->last) {
        if (writes->height < pending->first) { /* rolled back: what is dead must not come alive */
            shr_pending_clear(pending);
        }
        pending->first = writes->height;
    }
    pending->last = writes->height;
    if (2 * (pending->n + writes->n_pairs) > pending->n_slots) {
        make_room(pending, writes->n_pairs);
    }
    for (size_t i = 0; i < writes->n_pairs + FETCHED_AHEAD;
         i++) { /* of equal keys the later wins */
        uint32_t *hash = &hashes[i % FETCHED_AHEAD];
        if (i >= FETCHED_AHEAD) {
            put(pending, &writes->pairs[i - FETCHED_AHEAD], *hash, writes->height);
        }
        if (i < writes->n_pairs) {
            *hash = (uint32_t)shr_key_hash(&pending->seed, writes->pairs[i].key);
            __builtin_prefetch(&pending->slots[*hash & (pending->n_slots - 1)]);
        }
    }
}

void shr_pending_drop(struct shr_pending *pending, const struct shr_writes *writes) {
    assert(pending->published == NULL);
    pending->first = writes->height + 1;
    if (pending->first > pending->last && pending->n_slots > SLOTS_KEPT) {
        shr_pending_clear(pending);
    }
}

void shr_pending_clear(struct shr_pending *pending) {
    assert(pending->published == NULL);
    free(pending->slots);
    pending->slots = shr_alloc_array(SLOTS_MIN, sizeof *pending->slots);
    pending->n_slots = SLOTS_MIN;
    pending->n = 0;
    pending->first = 1;
    pending->last = 0;
}

/* --- Reading --- */

int shr_pending_begin(struct shr_pending *pending, struct shrewd_error *err) {
    assert(pending->published == NULL);
    int code = shr_reader_open(&pending->published, pending->state, err);
    if (code == 0) {
        const struct shr_reader *published = pending->published;
        pending->reader = (struct shr_reader){
            .state = published->state,
            .snapshot = published->snapshot,
            .tip = published->tip,
            .has_tip = published->has_tip,
            .oldest = published->oldest,
            .pruned = published->pruned,
            .at = published->at,
        };
        pending->reader.at.ahead = true;
    }
    return code;
}

void shr_pending_end(struct shr_pending *pending) {
    shr_reader_close(pending->published);
    pending->published = NULL;
}

int shr_pending_get(struct shr_pending *pending, struct shr_buf *value, struct shr_bytes key,
                    struct shrewd_error *err) {
    assert(pending->published != NULL);
    if (pending->first <= pending->last) {
        const struct slot *slot = find(pending, key, (uint32_t)shr_key_hash(&pending->seed, key));
        if (is_held(pending, slot)) {
            shr_buf_set(value, shr_bytes(slot->key + slot->key_len, slot->value_len));
            return 0;
        }
    }
    uint32_t height = UINT32_MAX;
    struct shr_hash hash;
    shr_reader_head(&pending->reader, &height, &hash);
    return shr_reader_get(&pending->reader, value, key, height, err);
}
