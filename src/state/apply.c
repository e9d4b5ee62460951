/* Applying a block: what it changes becomes one batch, and one atomic write. */
#include "state/state_impl.h"

#include "base/alloc.h"

#include <stdlib.h>

/* Present versions read at a time: enough to make round trips rare, few enough to bound what is
 * held beside the batch. */
#define CHUNK 512

struct apply {
    struct shr_state *state;
    struct shr_block_record record; /* of the block, as it grows */
    struct shr_batch batch;
    struct shr_buf changes;
    struct shr_buf history_key, version; /* scratch */
    struct shr_read reads[CHUNK];        /* the newest values the state has */
    struct shr_buf present[CHUNK];
    uint32_t written_at[CHUNK];
    struct shr_read below[CHUNK]; /* a fork: what its base has, for keys that it has not */
    size_t below_of[CHUNK];       /* the index in reads */
};

static int by_key(const void *a, const void *b) {
    const struct shr_pair *const *left = a, *const *right = b;
    int order = shr_bytes_cmp((*left)->key, (*right)->key);
    if (order != 0) {
        return order;
    }
    return *left < *right ? -1 : *left > *right; /* qsort may not keep the order */
}

/* The pairs in key order, of equal keys the last one; *n is how many are left. */
static const struct shr_pair **sort_pairs(const struct shr_block_change *change, size_t *n) {
    const struct shr_pair **sorted = shr_alloc_array(change->n_pairs + 1, sizeof *sorted);
    for (size_t i = 0; i < change->n_pairs; i++) {
        sorted[i] = &change->pairs[i];
    }
    qsort(sorted, change->n_pairs, sizeof *sorted, by_key);
    *n = 0;
    for (size_t i = 0; i < change->n_pairs; i++) {
        if (*n > 0 && shr_bytes_eq(sorted[*n - 1]->key, sorted[i]->key)) {
            sorted[*n - 1] = sorted[i];
        } else {
            sorted[(*n)++] = sorted[i];
        }
    }
    return sorted;
}

static void write_version(struct apply *apply, const struct shr_pair *pair, bool replaced) {
    shr_version_encode(&apply->version, pair->value, apply->record.height);
    shr_batch_put(&apply->batch, SHR_TABLE_LATEST, pair->key, shr_buf_bytes(&apply->version));
    shr_change_add(&apply->changes, &(struct shr_change){pair->key, replaced});
    apply->record.n_keys++;
    apply->record.key_bytes += pair->key.len;
    apply->record.value_bytes += pair->value.len;
}

/* The key has a value in this state: keep it in HISTORY, unless nothing changes. */
static int replace(struct apply *apply, const struct shr_pair *pair, struct shr_bytes present,
                   uint32_t written_at, struct shrewd_error *err) {
    if (written_at >= apply->record.height) {
        return shr_corrupt(apply->state->store, SHR_TABLE_LATEST, pair->key,
                           "the newest version is newer than the tip", err);
    }
    if (shr_bytes_eq(present, pair->value)) {
        return 0;
    }
    shr_history_key(&apply->history_key, pair->key, apply->record.height);
    shr_version_encode(&apply->version, present, written_at);
    shr_batch_put(&apply->batch, SHR_TABLE_HISTORY, shr_buf_bytes(&apply->history_key),
                  shr_buf_bytes(&apply->version));
    write_version(apply, pair, true);
    return 0;
}

/* The key has no version in this state; below->found says whether a fork's base has it. */
static void introduce(struct apply *apply, const struct shr_pair *pair,
                      const struct shr_read *below) {
    if (below != NULL && below->found) {
        if (!shr_bytes_eq(shr_buf_bytes(below->value), pair->value)) {
            write_version(apply, pair, false);
        }
        return;
    }
    write_version(apply, pair, false);
    apply->record.total_keys++;
}

/* Reads from a fork's base every key that the fork itself does not have. */
static int read_below(struct apply *apply, size_t n, size_t *n_below, struct shrewd_error *err) {
    *n_below = 0;
    if (apply->state->base == NULL) {
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        if (!apply->reads[i].found) {
            apply->below[*n_below] = apply->reads[i];
            apply->below_of[(*n_below)++] = i;
        }
    }
    return shr_reader_get_many(apply->state->base, apply->below, *n_below,
                               apply->state->fork.height, err);
}

static int apply_chunk(struct apply *apply, const struct shr_pair **pairs, size_t n,
                       struct shrewd_error *err) {
    for (size_t i = 0; i < n; i++) {
        apply->reads[i] = (struct shr_read){.key = pairs[i]->key, .value = &apply->present[i]};
    }
    int code = shr_reader_own_many(&apply->state->now, apply->reads, apply->written_at, n,
                                   UINT32_MAX, err);
    size_t n_below = 0, next_below = 0;
    if (code == 0) {
        code = read_below(apply, n, &n_below, err);
    }
    for (size_t i = 0; code == 0 && i < n; i++) {
        if (apply->reads[i].found) {
            code = replace(apply, pairs[i], shr_buf_bytes(&apply->present[i]), apply->written_at[i],
                           err);
            continue;
        }
        bool below = next_below < n_below && apply->below_of[next_below] == i;
        introduce(apply, pairs[i], below ? &apply->below[next_below++] : NULL);
    }
    return code;
}

/* The block's own rows, and the new tip. */
static void write_block(struct apply *apply) {
    struct shr_height_key key = shr_height_key(apply->record.height);
    shr_batch_put(&apply->batch, SHR_TABLE_CHANGES, shr_height_key_bytes(&key),
                  shr_buf_bytes(&apply->changes));
    shr_record_encode(&apply->version, &apply->record);
    shr_batch_put(&apply->batch, SHR_TABLE_BLOCKS, shr_height_key_bytes(&key),
                  shr_buf_bytes(&apply->version));
    shr_tip_encode(&apply->version, &apply->record);
    shr_batch_put(&apply->batch, SHR_TABLE_META, shr_bytes_str(SHR_META_TIP),
                  shr_buf_bytes(&apply->version));
}

/* The block must be the next one; gives the number of keys before it. */
static int check_change(struct shr_state *state, const struct shr_block_change *change,
                        uint64_t *total_keys, struct shrewd_error *err) {
    struct shr_block_record tip;
    uint32_t next = shr_state_floor(state);
    int code = shr_state_writer_tip(state, &tip, err);
    *total_keys = 0;
    if (code == 0) {
        next = tip.height + 1;
        *total_keys = tip.total_keys;
    } else if (code != SHREWD_NOT_FOUND) {
        return code;
    }
    if (change->height != next || next == UINT32_MAX) {
        return shr_fail(err, SHREWD_INVALID, "block %u cannot be applied: the next one is %u",
                        change->height, next);
    }
    for (size_t i = 0; i < change->n_pairs; i++) {
        const struct shr_pair *pair = &change->pairs[i];
        if (pair->key.len > SHR_KEY_MAX || pair->value.len > SHR_VALUE_MAX) {
            return shr_fail(err, SHREWD_LIMIT,
                            "block %u writes a key of %zu bytes with a value of %zu; at most %u "
                            "and %u can be stored",
                            change->height, pair->key.len, pair->value.len, SHR_KEY_MAX,
                            SHR_VALUE_MAX);
        }
    }
    return 0;
}

int shr_state_apply(struct shr_state *state, const struct shr_block_change *change, bool sync,
                    struct shrewd_error *err) {
    uint64_t total_keys;
    int code = check_change(state, change, &total_keys, err);
    if (code != 0) {
        return code;
    }
    struct apply *apply = shr_alloc(sizeof *apply);
    apply->state = state;
    apply->record.height = change->height;
    apply->record.hash = change->hash;
    apply->record.total_keys = total_keys;
    size_t n = 0;
    const struct shr_pair **pairs = sort_pairs(change, &n);
    for (size_t at = 0; code == 0 && at < n; at += CHUNK) {
        code = apply_chunk(apply, pairs + at, n - at < CHUNK ? n - at : CHUNK, err);
    }
    if (code == 0) {
        write_block(apply);
        code = shr_store_write(state->store, &apply->batch, sync, err);
    }
    if (code == 0) {
        code = shr_state_applied(state, &apply->record, &apply->batch, err);
    }
    free(pairs);
    for (size_t i = 0; i < CHUNK; i++) {
        shr_buf_free(&apply->present[i]);
    }
    shr_buf_free(&apply->version);
    shr_buf_free(&apply->history_key);
    shr_buf_free(&apply->changes);
    shr_batch_free(&apply->batch);
    free(apply);
    return code;
}
