/* Applying blocks: what they change becomes one batch, and one atomic write.
 *
 * Several blocks leave the rows that they would leave one by one: first what they do to the keys
 * (apply_keys.h), then, block by block, the state's tree and the block's own rows.
 *
 * Of large groups, all but BLOCKS and the tip does not go into the write but is loaded before it
 * (shr_store_load).
 */
#include "state/apply_keys.h"

#include "base/alloc.h"
#include "base/tasks.h"

#include <stdlib.h>

struct apply {
    struct shr_state *state;
    struct shr_block_record *records; /* of each block */
    size_t n_blocks;
    struct shr_apply_keys keys;
    struct shr_batch batch; /* what is written */
    bool load;              /* whether anything is loaded before that: */
    struct shr_batch lists; /* CHANGES */
    struct shr_batch tree;  /* ROOT and ROOT_PAGES */
    struct shr_buf row;     /* scratch */
};

/* The lists of what each block changes. */
static void add_lists(struct apply *apply) {
    for (size_t b = 0; b < apply->n_blocks; b++) {
        struct shr_height_key key = shr_height_key(apply->records[b].height);
        shr_batch_put(apply->load ? &apply->lists : &apply->batch, SHR_TABLE_CHANGES,
                      shr_height_key_bytes(&key), shr_buf_bytes(&apply->keys.blocks[b].changes));
    }
}

/* The tree after a block, and the block's record. Blocks come here in order. */
static int finish_block(struct apply *apply, struct shr_block_record *record,
                        const struct shr_block_keys *block, struct shrewd_error *err) {
    struct shr_root *root = apply->state->root;
    struct shr_height_key key = shr_height_key(record->height);
    record->n_keys = block->n_changed;
    for (size_t i = 0; i < block->n_changed; i++) {
        record->key_bytes += block->changed[i]->key.len;
        record->value_bytes += block->changed[i]->value.len;
    }
    if (root != NULL) {
        int code = shr_root_update(root, record->height, block->changed, block->n_changed,
                                   apply->load ? &apply->tree : &apply->batch, &record->root, err);
        if (code != 0) {
            return code;
        }
        record->has_root = true;
    }
    shr_record_encode(&apply->row, record);
    shr_batch_put(&apply->batch, SHR_TABLE_BLOCKS, shr_height_key_bytes(&key),
                  shr_buf_bytes(&apply->row));
    return 0;
}

/* Every block's, and the new tip. */
static int finish_blocks(struct apply *apply, uint64_t total_keys, struct shrewd_error *err) {
    int code = 0;
    for (size_t b = 0; code == 0 && b < apply->n_blocks; b++) {
        total_keys += apply->keys.blocks[b].new_keys;
        apply->records[b].total_keys = total_keys;
        code = finish_block(apply, &apply->records[b], &apply->keys.blocks[b], err);
    }
    shr_tip_encode(&apply->row, &apply->records[apply->n_blocks - 1]);
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
    apply->records = shr_alloc_array(n, sizeof *apply->records);
    for (size_t b = 0; b < n; b++) {
        apply->records[b].height = changes[b].height;
        apply->records[b].hash = changes[b].hash;
    }
    return apply;
}

static void apply_free(struct apply *apply) {
    shr_buf_free(&apply->row);
    shr_apply_keys_free(&apply->keys);
    shr_batch_free(&apply->tree);
    shr_batch_free(&apply->lists);
    shr_batch_free(&apply->batch);
    free(apply->records);
    free(apply);
}

/* In this order what is loaded comes into the store. A list of rows always comes before the rows,
 * for whoever has to remove them (ahead.c), and what LATEST had before it is replaced, for whoever
 * reads it meanwhile. */
static const enum shr_table loaded[] = {SHR_TABLE_CHANGES, SHR_TABLE_ROOT_PAGES, SHR_TABLE_HISTORY,
                                        SHR_TABLE_ROOT, SHR_TABLE_LATEST};
#define N_LOADED (sizeof loaded / sizeof loaded[0])

/* Those of which all is known before the tree is. */
static const enum shr_table known[] = {SHR_TABLE_HISTORY, SHR_TABLE_LATEST, SHR_TABLE_CHANGES};
#define N_KNOWN (sizeof known / sizeof known[0])

static int make_known(void *ctx, size_t i, struct shrewd_error *err) {
    const struct apply *apply = ctx;
    struct shr_store *store = apply->state->store;
    switch (known[i]) {
    case SHR_TABLE_HISTORY:
        return shr_versions_make(store, SHR_TABLE_HISTORY, &apply->keys.old, err);
    case SHR_TABLE_LATEST:
        return shr_versions_make(store, SHR_TABLE_LATEST, &apply->keys.newest, err);
    default:
        return shr_store_make(store, &apply->lists, known[i], err);
    }
}

static int make_tree(const struct apply *apply, struct shrewd_error *err) {
    struct shr_store *store = apply->state->store;
    int code = shr_store_make(store, &apply->tree, SHR_TABLE_ROOT_PAGES, err);
    return code != 0 ? code : shr_store_make(store, &apply->tree, SHR_TABLE_ROOT, err);
}

/* The tree and the blocks' own rows; and meanwhile, on another thread, the files that are known.
 * Without files it is the rows only. */
static int finish(struct apply *apply, uint64_t total_keys, struct shrewd_error *err) {
    add_lists(apply);
    if (!apply->load) {
        return finish_blocks(apply, total_keys, err);
    }
    struct shrewd_error first;
    struct shr_tasks files = {
        .task = make_known, .ctx = apply, .n = N_KNOWN, .name = "commit-files"};
    shr_tasks_begin(&files, 1);
    int code = finish_blocks(apply, total_keys, &first);
    if (code == 0) {
        code = make_tree(apply, &first);
    }
    int files_code = shr_tasks_end(&files, code == 0 ? err : NULL);
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

/* The blocks are the next ones, after total_keys keys. */
static int apply_blocks(struct shr_state *state, const struct shr_block_change *changes, size_t n,
                        uint64_t total_keys, bool sync, struct shrewd_error *err) {
    size_t n_pairs = 0;
    for (size_t b = 0; b < n; b++) {
        n_pairs += changes[b].n_pairs;
    }
    struct apply *apply = apply_new(state, changes, n);
    apply->load = shr_store_loads(state->store) && n_pairs >= state->load_min;
    int code = shr_apply_keys(&apply->keys, state, changes, n, n_pairs, apply->load, err);
    if (code == 0) {
        shr_batch_move(&apply->batch, &apply->keys.batch);
        code = finish(apply, total_keys, err);
    }
    if (code == 0) {
        code = store_all(apply, sync, err);
    }
    settle_root(state->root, code);
    drop_files(apply); /* of those taken there is none */
    if (code == 0) {
        code = shr_state_applied(state, &apply->records[n - 1], &apply->keys.newest, err);
    }
    apply_free(apply);
    return code;
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
    return code != 0 || n == 0 ? code : apply_blocks(state, changes, n, total_keys, sync, err);
}

int shr_state_apply(struct shr_state *state, const struct shr_block_change *change, bool sync,
                    struct shrewd_error *err) {
    return shr_state_apply_many(state, change, 1, sync, err);
}
