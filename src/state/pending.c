#include "state/pending.h"

#include "base/alloc.h"
#include "state/key_hash.h"
#include "state/state_impl.h"

#include <assert.h>
#include <stdlib.h>

#define SLOTS_MIN 1024
#define SLOTS_KEPT ((size_t)1 << 18) /* what one huge block needed beyond is given back */

/* A key that a pending block writes. Open addressing with linear probing; `pair` NULL: free. */
struct slot {
    uint64_t hash;
    const struct shr_pair *pair; /* the newest */
    uint32_t height;             /* of its block */
};

struct shr_pending {
    struct shr_state *state;
    struct shr_key_seed seed;
    struct slot *slots;
    size_t n_slots; /* a power of two, at least twice n */
    size_t n;
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
    struct shr_pair *pair = &writes->pairs[writes->n_pairs++];
    pair->key = shr_arena_keep(&writes->arena, key);
    pair->value = shr_arena_keep(&writes->arena, value);
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

/* The key's slot, or the free one where it belongs. */
static struct slot *find(const struct shr_pending *pending, struct shr_bytes key, uint64_t hash) {
    size_t mask = pending->n_slots - 1;
    size_t at = (size_t)hash & mask;
    while (pending->slots[at].pair != NULL &&
           (pending->slots[at].hash != hash || !shr_bytes_eq(pending->slots[at].pair->key, key))) {
        at = (at + 1) & mask;
    }
    return &pending->slots[at];
}

static void make_slots(struct shr_pending *pending, size_t n_slots) {
    struct slot *old = pending->slots;
    size_t n_old = pending->n_slots;
    pending->slots = shr_alloc_array(n_slots, sizeof *pending->slots);
    pending->n_slots = n_slots;
    for (size_t i = 0; i < n_old; i++) {
        if (old[i].pair != NULL) {
            *find(pending, old[i].pair->key, old[i].hash) = old[i];
        }
    }
    free(old);
}

/* Frees a slot; those after it that only its being taken had pushed on move back. */
static void empty(struct shr_pending *pending, struct slot *slot) {
    size_t mask = pending->n_slots - 1;
    size_t hole = (size_t)(slot - pending->slots);
    pending->n--;
    for (size_t at = (hole + 1) & mask; pending->slots[at].pair != NULL; at = (at + 1) & mask) {
        size_t home = (size_t)pending->slots[at].hash & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            pending->slots[hole] = pending->slots[at];
            hole = at;
        }
    }
    pending->slots[hole] = (struct slot){0};
}

struct shr_pending *shr_pending_new(struct shr_state *state) {
    struct shr_pending *pending = shr_alloc(sizeof *pending);
    pending->state = state;
    shr_key_seed_make(&pending->seed);
    make_slots(pending, SLOTS_MIN);
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

void shr_pending_add(struct shr_pending *pending, const struct shr_writes *writes) {
    assert(pending->published == NULL);
    size_t n_slots = pending->n_slots;
    while (n_slots < 2 * (pending->n + writes->n_pairs)) {
        n_slots *= 2;
    }
    if (n_slots != pending->n_slots) {
        make_slots(pending, n_slots);
    }
    for (size_t i = 0; i < writes->n_pairs; i++) { /* of equal keys the later wins */
        const struct shr_pair *pair = &writes->pairs[i];
        uint64_t hash = shr_key_hash(&pending->seed, pair->key);
        struct slot *slot = find(pending, pair->key, hash);
        pending->n += slot->pair == NULL;
        *slot = (struct slot){hash, pair, writes->height};
    }
}

void shr_pending_drop(struct shr_pending *pending, const struct shr_writes *writes) {
    assert(pending->published == NULL);
    for (size_t i = 0; i < writes->n_pairs; i++) {
        struct shr_bytes key = writes->pairs[i].key;
        struct slot *slot = find(pending, key, shr_key_hash(&pending->seed, key));
        if (slot->pair != NULL && slot->height == writes->height) { /* no newer block has it */
            empty(pending, slot);
        }
    }
    if (pending->n == 0 && pending->n_slots > SLOTS_KEPT) {
        shr_pending_clear(pending);
    }
}

void shr_pending_clear(struct shr_pending *pending) {
    assert(pending->published == NULL);
    free(pending->slots);
    pending->slots = NULL;
    pending->n_slots = 0;
    pending->n = 0;
    make_slots(pending, SLOTS_MIN);
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
    if (pending->n > 0) {
        const struct slot *slot = find(pending, key, shr_key_hash(&pending->seed, key));
        if (slot->pair != NULL) {
            shr_buf_set(value, slot->pair->value);
            return 0;
        }
    }
    uint32_t height = UINT32_MAX;
    struct shr_hash hash;
    shr_reader_head(&pending->reader, &height, &hash);
    return shr_reader_get(&pending->reader, value, key, height, err);
}
