/* The newest consistent picture of a state, made once and handed out to everyone who asks. */
#include "state/state_impl.h"

#include "base/alloc.h"

#include <stdlib.h>

#define WINDOW 256      /* versions whose places in the cache are fetched at once */
#define FETCHED_AHEAD 8 /* of them, by which entries are fetched before they are replaced */

/* What the writing thread has committed, as a picture that stays. */
static int make(struct shr_reader **out, struct shr_state *state, struct shrewd_error *err) {
    struct shr_reader *reader = shr_alloc(sizeof *reader);
    int code = shr_store_snapshot(state->store, &reader->snapshot, err);
    if (code != 0) {
        free(reader);
        return code;
    }
    reader->state = state;
    reader->tip = state->now.tip;
    reader->has_tip = state->now.has_tip;
    reader->oldest = state->now.oldest;
    reader->pruned = state->now.pruned;
    reader->at = state->now.at;
    atomic_init(&reader->refs, 1);
    *out = reader;
    return 0;
}

/* Takes what `now` says to every reader opened from now on. */
int shr_state_publish(struct shr_state *state, struct shrewd_error *err) {
    struct shr_reader *next = NULL;
    int code = make(&next, state, err);
    if (code != 0) {
        return code;
    }
    pthread_mutex_lock(&state->lock);
    struct shr_reader *old = state->published;
    state->published = next;
    atomic_store(&state->generation, next->at.generation);
    pthread_mutex_unlock(&state->lock);
    shr_reader_close(old);
    return 0;
}

/* --- Committing --- */

static void put_window(struct shr_cache *cache, const struct shr_version_row *rows, size_t n) {
    uint64_t hashes[WINDOW];
    for (size_t i = 0; i < n; i++) {
        if (i + FETCHED_AHEAD < n) {
            __builtin_prefetch(rows[i + FETCHED_AHEAD].key.data);
        }
        hashes[i] = shr_cache_hash(cache, rows[i].key);
        shr_cache_prefetch_set(cache, hashes[i]);
    }
    for (size_t i = 0; i < n; i++) {
        if (i + FETCHED_AHEAD < n) {
            shr_cache_prefetch_entry(cache, hashes[i + FETCHED_AHEAD]);
            __builtin_prefetch(rows[i + FETCHED_AHEAD].value.data);
        }
        shr_cache_written(cache, rows[i].key, hashes[i], rows[i].value, rows[i].written_at);
    }
}

static void put_newest(struct shr_cache *cache, const struct shr_versions *newest) {
    for (size_t at = 0; at < newest->n; at += WINDOW) {
        size_t left = newest->n - at;
        put_window(cache, newest->rows + at, left < WINDOW ? left : WINDOW);
    }
}

/* The cache goes first, so that no reader of the new picture finds what was there before. */
int shr_state_applied(struct shr_state *state, const struct shr_block_record *tip,
                      const struct shr_versions *newest, struct shrewd_error *err) {
    struct shr_reader *now = &state->now;
    now->tip = *tip;
    now->has_tip = true;
    now->at.tip = tip->height;
    now->at.generation++;
    if (state->cache != NULL) {
        shr_cache_advance(state->cache, &now->at);
        put_newest(state->cache, newest);
    }
    return shr_state_publish(state, err);
}

/* `now` is read anew; whatever happens to that, what was cached is of another epoch. */
int shr_state_rolled_back(struct shr_state *state, struct shrewd_error *err) {
    struct shr_reader *now = &state->now;
    now->at.generation++;
    now->at.epoch++;
    int code = shr_state_own_tip(state, NULL, &now->tip, err);
    now->has_tip = code == 0;
    now->at.tip = now->has_tip ? now->tip.height : 0;
    if (state->cache != NULL) {
        shr_cache_advance(state->cache, &now->at);
    }
    if (code != 0 && code != SHREWD_NOT_FOUND) {
        return code;
    }
    return shr_state_publish(state, err);
}

/* --- Readers --- */

int shr_reader_open(struct shr_reader **out, struct shr_state *state, struct shrewd_error *err) {
    pthread_mutex_lock(&state->lock);
    *out = state->published;
    atomic_fetch_add_explicit(&(*out)->refs, 1, memory_order_relaxed);
    pthread_mutex_unlock(&state->lock);
    return 0;
}

void shr_reader_close(struct shr_reader *reader) {
    if (reader != NULL && atomic_fetch_sub_explicit(&reader->refs, 1, memory_order_acq_rel) == 1) {
        shr_store_snapshot_free(reader->state->store, reader->snapshot);
        free(reader);
    }
}

uint64_t shr_reader_generation(const struct shr_reader *reader) {
    return reader->at.generation;
}

/* Within an epoch the chain only grows: what a height holds stays what it is. */
uint64_t shr_reader_version(const struct shr_reader *reader, uint32_t height) {
    return (reader->at.epoch + 1) << 32 | height;
}

uint64_t shr_state_generation(struct shr_state *state) {
    return atomic_load(&state->generation);
}

bool shr_reader_head(const struct shr_reader *reader, uint32_t *height, struct shr_hash *hash) {
    const struct shr_state *state = reader->state;
    if (!reader->has_tip && state->base == NULL) {
        return false;
    }
    *height = reader->has_tip ? reader->tip.height : state->fork.height;
    *hash = reader->has_tip ? reader->tip.hash : state->fork.hash;
    return true;
}
