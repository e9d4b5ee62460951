/* Pruning: what only old heights need goes, from the lowest block up. CHANGES lists the keys whose
 * versions a block replaced, so finding them is reading one row.
 *
 * A step is one atomic write that also moves the oldest height held, so a height is either whole or
 * refused, whatever happens in between; readers opened before keep their picture, and its oldest
 * height with it.
 */
#include "state/state_impl.h"

#include "base/alloc.h"

struct prune {
    struct shr_state *state;
    struct shr_batch batch;
    struct shr_buf changes, history_key;
};

/* Everything that undoing the block of `height` would need. */
static int prune_block(struct prune *prune, uint32_t height, struct shrewd_error *err) {
    struct shr_store *store = prune->state->store;
    struct shr_height_key key = shr_height_key(height);
    int code = shr_store_get(store, NULL, SHR_TABLE_CHANGES, &prune->changes,
                             shr_height_key_bytes(&key), err);
    if (code != 0) {
        return code == SHREWD_NOT_FOUND
                   ? shr_corrupt(store, SHR_TABLE_CHANGES, shr_height_key_bytes(&key),
                                 "the list of keys a block changed is missing", err)
                   : code;
    }
    for (struct shr_bytes row = shr_buf_bytes(&prune->changes); row.len > 0;) {
        struct shr_change change;
        const char *wrong = shr_change_take(&change, &row);
        if (wrong != NULL) {
            return shr_corrupt(store, SHR_TABLE_CHANGES, shr_height_key_bytes(&key), wrong, err);
        }
        if (change.replaced) {
            shr_history_key(&prune->history_key, change.key, height);
            shr_batch_remove(&prune->batch, SHR_TABLE_HISTORY, shr_buf_bytes(&prune->history_key));
        }
    }
    shr_batch_remove(&prune->batch, SHR_TABLE_CHANGES, shr_height_key_bytes(&key));
    return prune->state->root == NULL ? 0 : shr_root_prune(store, height, &prune->batch, err);
}

uint32_t shr_state_oldest(const struct shr_state *state) {
    return state->now.oldest;
}

static int check(const struct shr_state *state, uint32_t oldest, struct shrewd_error *err) {
    const struct shr_reader *now = &state->now;
    if (state->base != NULL) {
        return shr_fail(err, SHREWD_UNSUPPORTED,
                        "'%s' is a fork: what it reads through to cannot be pruned from here",
                        state->store->name);
    }
    if (!now->has_tip || oldest > now->tip.height) {
        return shr_fail(err, SHREWD_ABOVE_TIP,
                        "cannot prune up to block %u: the tip would not be held", oldest);
    }
    return 0;
}

int shr_state_prune(struct shr_state *state, uint32_t oldest, uint64_t rows_max,
                    struct shr_prune_step *out, struct shrewd_error *err) {
    struct shr_reader *now = &state->now;
    struct prune prune = {.state = state};
    *out = (struct shr_prune_step){.oldest = now->oldest};
    if (state->base == NULL && oldest <= now->oldest) {
        return 0;
    }
    int code = check(state, oldest, err);
    if (code != 0) {
        return code;
    }
    uint32_t at = now->oldest;
    if (!now->pruned) { /* the first block has a list as well */
        code = prune_block(&prune, at, err);
    }
    while (code == 0 && at < oldest && (prune.batch.n < rows_max || at == now->oldest)) {
        code = prune_block(&prune, ++at, err);
    }
    uint64_t rows = prune.batch.n;
    if (code == 0) {
        struct shr_buf row = {0};
        shr_pruned_encode(&row, at);
        shr_batch_put(&prune.batch, SHR_TABLE_META, shr_bytes_str(SHR_META_PRUNED),
                      shr_buf_bytes(&row));
        shr_buf_free(&row);
        code = shr_store_write(state->store, &prune.batch, false, err);
    }
    if (code == 0) {
        *out = (struct shr_prune_step){.oldest = at, .rows = rows, .more = at < oldest};
        now->oldest = at;
        now->pruned = true;
        code = shr_state_publish(state, err);
    }
    shr_buf_free(&prune.history_key);
    shr_buf_free(&prune.changes);
    shr_batch_free(&prune.batch);
    return code;
}
