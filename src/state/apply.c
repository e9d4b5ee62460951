/* Applying blocks: what they change becomes one batch, and one atomic write.
 *
 * Several blocks leave the rows that they would leave one by one. Their pairs are sorted together
 * by key, then by block, so each key's present version is read once, and its way through the
 * blocks is walked in memory: every block that changes it keeps the version before in HISTORY,
 * and only the last value goes to LATEST.
 *
 * Of large groups, all but BLOCKS and the tip does not go into the write but is loaded before it
 * (shr_store_load).
 */
#include "state/state_impl.h"

#include "base/alloc.h"
#include "state/order.h"

#include <stdlib.h>

/* Present versions read at a time: enough to make round trips rare, few enough to bound what is
 * held beside the batch. */
#define CHUNK 512
#define FETCHED_AHEAD 8 /* items, by which their bytes are fetched before they are looked at */

/* A pair of one of the blocks. */
struct item {
    struct shr_bytes key; /* the pair's */
    const struct shr_pair *pair;
    size_t block; /* its place among those applied */
};

/* One block in the making. */
struct block {
    struct shr_block_record record;
    const struct shr_pair **changed; /* what it really changes, in key order */
    size_t n_changed, cap;
    struct shr_buf changes; /* its CHANGES row */
    uint64_t new_keys;
};

struct apply {
    struct shr_state *state;
    struct block *blocks;
    size_t n_blocks;
    struct item *items; /* sorted */
    size_t n_items;
    struct shr_batch batch;          /* what is written */
    struct shr_batch ahead;          /* what is loaded before that */
    bool load;                       /* whether anything is */
    struct shr_versions old;         /* with that, HISTORY's rows */
    struct shr_versions newest;      /* LATEST's, loaded or written */
    struct shr_batch *undo;          /* one of the batches: where CHANGES and the tree's rows go */
    struct shr_buf history_key, row; /* scratch */
    size_t firsts[CHUNK + 1];        /* of each key read: its first item; and the end */
    struct shr_read reads[CHUNK];    /* the newest values the state has */
    struct shr_buf present[CHUNK];
    uint32_t written_at[CHUNK];
    struct shr_read below[CHUNK]; /* a fork: what its base has, for keys that it has not */
    size_t below_of[CHUNK];       /* the index in reads */
};

/* What a key is while the blocks go by. */
struct version {
    bool found; /* it has a value */
    bool own;   /* in this state, not only in a fork's base */
    struct shr_bytes value;
    uint32_t written_at; /* valid while own */
};

/* By key, of one key by block, and within a block as it was written. */
static void sort_items(struct apply *apply, const struct shr_block_change *changes) {
    size_t n = 0;
    for (size_t b = 0; b < apply->n_blocks; b++) {
        n += changes[b].n_pairs;
    }
    struct item *unsorted = shr_alloc_array(n + 1, sizeof *unsorted);
    struct shr_ordered *order = shr_alloc_array(n + 1, sizeof *order);
    apply->items = shr_alloc_array(n + 1, sizeof *apply->items);
    for (size_t b = 0; b < apply->n_blocks; b++) {
        for (size_t i = 0; i < changes[b].n_pairs; i++) {
            const struct shr_pair *pair = &changes[b].pairs[i];
            size_t at = apply->n_items++;
            unsorted[at] = (struct item){pair->key, pair, b};
            order[at] = (struct shr_ordered){.key = pair->key, .rank = at};
        }
    }
    shr_order(order, n);
    for (size_t i = 0; i < n; i++) {
        apply->items[i] = unsorted[order[i].rank];
    }
    free(order);
    free(unsorted);
}

static void note_change(struct block *block, const struct shr_pair *pair, bool replaced) {
    if (block->n_changed == block->cap) {
        block->cap = block->cap == 0 ? 64 : block->cap * 2;
        block->changed = shr_realloc_array(block->changed, block->cap, sizeof *block->changed);
    }
    block->changed[block->n_changed++] = pair;
    shr_change_add(&block->changes, &(struct shr_change){pair->key, replaced});
}

/* The version before the block of `height`. One of an earlier block of the group is where that
 * block's pairs are; the one that was there before is in scratch. */
static void keep_old(struct apply *apply, const struct version *now, struct shr_bytes key,
                     uint32_t height) {
    if (apply->load) {
        struct shr_version_row row = {
            .key = key, .value = now->value, .height = height, .written_at = now->written_at};
        shr_versions_add(&apply->old, &row, now->written_at < apply->blocks[0].record.height);
        return;
    }
    shr_history_key(&apply->history_key, key, height);
    shr_version_encode(&apply->row, now->value, now->written_at);
    shr_batch_put(&apply->batch, SHR_TABLE_HISTORY, shr_buf_bytes(&apply->history_key),
                  shr_buf_bytes(&apply->row));
}

/* A block writes the key: keeps the version before in HISTORY, unless nothing changes. */
static void change_version(struct apply *apply, struct version *now, const struct item *item) {
    struct block *block = &apply->blocks[item->block];
    const struct shr_pair *pair = item->pair;
    if (now->found && shr_bytes_eq(now->value, pair->value)) {
        return;
    }
    if (now->own) {
        keep_old(apply, now, pair->key, block->record.height);
    }
    block->new_keys += !now->found;
    note_change(block, pair, now->own);
    *now = (struct version){true, true, pair->value, block->record.height};
}

/* One key, from its present version through every block that writes it. */
static void walk_key(struct apply *apply, struct version *now, size_t from, size_t to) {
    uint32_t before = apply->blocks[0].record.height;
    for (size_t i = from; i < to; i++) {
        const struct item *item = &apply->items[i];
        if (i + 1 < to && item[1].block == item->block) {
            continue; /* of equal keys in one block the later wins */
        }
        change_version(apply, now, item);
    }
    if (!now->own || now->written_at < before) {
        return;
    }
    struct shr_version_row row = {
        .key = apply->items[from].key, .value = now->value, .written_at = now->written_at};
    shr_versions_add(&apply->newest, &row, false);
    if (!apply->load) {
        shr_version_encode(&apply->row, now->value, now->written_at);
        shr_batch_put(&apply->batch, SHR_TABLE_LATEST, row.key, shr_buf_bytes(&apply->row));
    }
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

/* Up to CHUNK keys from item `at` on; gives their number and where the next ones begin. */
static size_t take_keys(struct apply *apply, size_t *at) {
    size_t n = 0;
    size_t i = *at;
    for (; i < apply->n_items; i++) {
        struct shr_bytes key = apply->items[i].key;
        if (i + FETCHED_AHEAD < apply->n_items) {
            __builtin_prefetch(apply->items[i + FETCHED_AHEAD].key.data);
            __builtin_prefetch(apply->items[i + FETCHED_AHEAD].pair);
        }
        if (n > 0 && shr_bytes_eq(key, apply->reads[n - 1].key)) {
            continue;
        }
        if (n == CHUNK) {
            break;
        }
        apply->reads[n] = (struct shr_read){.key = key, .value = &apply->present[n]};
        apply->firsts[n++] = i;
    }
    apply->firsts[n] = i;
    *at = i;
    return n;
}

static int apply_chunk(struct apply *apply, size_t n, struct shrewd_error *err) {
    int code = shr_reader_own_many(&apply->state->now, apply->reads, apply->written_at, n,
                                   UINT32_MAX, err);
    size_t n_below = 0, next_below = 0;
    if (code == 0) {
        code = read_below(apply, n, &n_below, err);
    }
    for (size_t i = 0; code == 0 && i < n; i++) {
        bool own = apply->reads[i].found;
        struct version now = {own, own, shr_buf_bytes(&apply->present[i]), apply->written_at[i]};
        if (own && now.written_at >= apply->blocks[0].record.height) {
            return shr_corrupt(apply->state->store, SHR_TABLE_LATEST, apply->reads[i].key,
                               "the newest version is newer than the tip", err);
        }
        if (!own && next_below < n_below && apply->below_of[next_below] == i) {
            now.found = apply->below[next_below].found;
            now.value = shr_buf_bytes(apply->below[next_below++].value);
        }
        walk_key(apply, &now, apply->firsts[i], apply->firsts[i + 1]);
    }
    return code;
}

/* A block's own rows. Blocks come here in order, each with all it changes, `changed`: nothing
 * else of it is still to be computed. */
static int finish_block(struct apply *apply, struct block *block, struct shrewd_error *err) {
    struct shr_root *root = apply->state->root;
    struct shr_height_key key = shr_height_key(block->record.height);
    block->record.n_keys = block->n_changed;
    for (size_t i = 0; i < block->n_changed; i++) {
        block->record.key_bytes += block->changed[i]->key.len;
        block->record.value_bytes += block->changed[i]->value.len;
    }
    if (root != NULL) {
        int code = shr_root_update(root, block->record.height, block->changed, block->n_changed,
                                   apply->undo, &block->record.root, err);
        if (code != 0) {
            return code;
        }
        block->record.has_root = true;
    }
    shr_batch_put(apply->undo, SHR_TABLE_CHANGES, shr_height_key_bytes(&key),
                  shr_buf_bytes(&block->changes));
    shr_record_encode(&apply->row, &block->record);
    shr_batch_put(&apply->batch, SHR_TABLE_BLOCKS, shr_height_key_bytes(&key),
                  shr_buf_bytes(&apply->row));
    return 0;
}

/* Every block's rows, and the new tip. */
static int finish_blocks(struct apply *apply, uint64_t total_keys, struct shrewd_error *err) {
    int code = 0;
    for (size_t b = 0; code == 0 && b < apply->n_blocks; b++) {
        struct block *block = &apply->blocks[b];
        total_keys += block->new_keys;
        block->record.total_keys = total_keys;
        code = finish_block(apply, block, err);
    }
    shr_tip_encode(&apply->row, &apply->blocks[apply->n_blocks - 1].record);
    shr_batch_put(&apply->batch, SHR_TABLE_META, shr_bytes_str(SHR_META_TIP),
                  shr_buf_bytes(&apply->row));
    return code;
}

/* What the state's tree has in memory must be what the store has. */
static void settle_root(struct shr_root *root, int code) {
    if (root != NULL && code == 0) {
        shr_root_written(root);
    } else if (root != NULL) {
        shr_root_forget(root);
    }
}

int shr_state_check_change(const struct shr_block_change *change, struct shrewd_error *err) {
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

/* The blocks must be the next ones; gives the number of keys before them. */
static int check_changes(struct shr_state *state, const struct shr_block_change *changes, size_t n,
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
    for (size_t i = 0; i < n; i++, next++) {
        if (changes[i].height != next || next == UINT32_MAX) {
            return shr_fail(err, SHREWD_INVALID, "block %u cannot be applied: the next one is %u",
                            changes[i].height, next);
        }
        code = shr_state_check_change(&changes[i], err);
        if (code != 0) {
            return code;
        }
    }
    return 0;
}

static struct apply *apply_new(struct shr_state *state, const struct shr_block_change *changes,
                               size_t n) {
    struct apply *apply = shr_alloc(sizeof *apply);
    apply->state = state;
    apply->n_blocks = n;
    apply->blocks = shr_alloc_array(n, sizeof *apply->blocks);
    for (size_t b = 0; b < n; b++) {
        apply->blocks[b].record.height = changes[b].height;
        apply->blocks[b].record.hash = changes[b].hash;
    }
    sort_items(apply, changes);
    apply->load = shr_store_loads(state->store) && apply->n_items >= state->load_min;
    apply->undo = apply->load ? &apply->ahead : &apply->batch;
    return apply;
}

static void apply_free(struct apply *apply) {
    for (size_t i = 0; i < CHUNK; i++) {
        shr_buf_free(&apply->present[i]);
    }
    for (size_t b = 0; b < apply->n_blocks; b++) {
        shr_buf_free(&apply->blocks[b].changes);
        free(apply->blocks[b].changed);
    }
    shr_buf_free(&apply->row);
    shr_buf_free(&apply->history_key);
    shr_versions_free(&apply->newest);
    shr_versions_free(&apply->old);
    shr_batch_free(&apply->ahead);
    shr_batch_free(&apply->batch);
    free(apply->items);
    free(apply->blocks);
    free(apply);
}

/* In this order what is loaded comes into the store. A list of rows always comes before the rows,
 * for whoever has to remove them (ahead.c), and what LATEST had before it is replaced, for whoever
 * reads it meanwhile. */
static const enum shr_table loaded[] = {SHR_TABLE_CHANGES, SHR_TABLE_ROOT_PAGES, SHR_TABLE_HISTORY,
                                        SHR_TABLE_ROOT, SHR_TABLE_LATEST};
#define N_LOADED (sizeof loaded / sizeof loaded[0])

/* The blocks' own rows; and meanwhile, on another thread, the files of versions, of which they know
 * nothing. Without files it is the blocks' rows only. */
static int finish(struct apply *apply, uint64_t total_keys, struct shrewd_error *err) {
    struct shr_store *store = apply->state->store;
    struct shrewd_error first;
    if (!apply->load) {
        return finish_blocks(apply, total_keys, err);
    }
    struct shr_version_files *files = shr_version_files_begin(store, &apply->old, &apply->newest);
    int code = finish_blocks(apply, total_keys, &first);
    for (size_t i = 0; code == 0 && i < N_LOADED; i++) {
        if (loaded[i] != SHR_TABLE_HISTORY && loaded[i] != SHR_TABLE_LATEST) {
            code = shr_store_make(store, &apply->ahead, loaded[i], &first);
        }
    }
    int files_code = shr_version_files_end(files, code == 0 ? err : NULL);
    if (code != 0 && err != NULL) {
        *err = first;
    }
    return code != 0 ? code : files_code;
}

/* What is loaded first is above the tip, where nobody looks, until the write moves it there. */
static int store_all(struct apply *apply, bool sync, struct shrewd_error *err) {
    struct shr_state *state = apply->state;
    int code = 0;
    state->ahead = apply->load;
    for (size_t i = 0; state->ahead && code == 0 && i < N_LOADED; i++) {
        code = shr_store_take(state->store, loaded[i], err);
    }
    if (code == 0) {
        code = shr_store_write(state->store, &apply->batch, sync, err);
    }
    state->ahead = state->ahead && code != 0;
    return code;
}

static void drop_files(struct apply *apply) {
    for (size_t i = 0; apply->load && i < N_LOADED; i++) {
        shr_store_drop(apply->state->store, loaded[i]);
    }
}

int shr_state_apply_many(struct shr_state *state, const struct shr_block_change *changes, size_t n,
                         bool sync, struct shrewd_error *err) {
    uint64_t total_keys;
    int code = check_changes(state, changes, n, &total_keys, err);
    if (code == 0 && n > 0) {
        code = shr_state_sweep(state, err);
    }
    if (code == 0 && n > 0 && state->ahead) {
        code = shr_state_clear_ahead(state, err);
    }
    if (code != 0 || n == 0) {
        return code;
    }
    struct apply *apply = apply_new(state, changes, n);
    for (size_t at = 0; code == 0 && at < apply->n_items;) {
        size_t n_keys = take_keys(apply, &at);
        code = apply_chunk(apply, n_keys, err);
    }
    if (code == 0) {
        code = finish(apply, total_keys, err);
    }
    if (code == 0) {
        code = store_all(apply, sync, err);
    }
    settle_root(state->root, code);
    drop_files(apply); /* of those taken there is none */
    if (code == 0) {
        code = shr_state_applied(state, &apply->blocks[n - 1].record, &apply->newest, err);
    }
    apply_free(apply);
    return code;
}

int shr_state_apply(struct shr_state *state, const struct shr_block_change *change, bool sync,
                    struct shrewd_error *err) {
    return shr_state_apply_many(state, change, 1, sync, err);
}
