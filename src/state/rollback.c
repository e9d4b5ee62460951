/* Rolling back: the versions that the removed blocks replaced come back.
 *
 * Of a key that several of them changed only the lowest block's undo matters, so all their
 * changes are sorted by key and each key is restored once: one read for each key, and no more
 * memory than the keys themselves. Very deep rollbacks go in steps of whole blocks, newest first,
 * each one atomic write, so that memory stays bounded.
 */
#include "state/state_impl.h"

#include "base/alloc.h"

#include <stdlib.h>

/* What one step may hold, about: keys, their sorting, and the batch they make. */
#define STEP_BYTES_MAX ((uint64_t)256 << 20)
#define CHANGE_BYTES 160 /* of one key beside its own bytes */
#define CHUNK 512        /* versions read at a time */

/* A key's change in one of the removed blocks. */
struct undo {
    struct shr_bytes key;
    uint32_t height;
    bool replaced;
};

struct step {
    struct shr_state *state;
    uint32_t low, high;   /* the blocks removed, both included */
    struct shr_buf *rows; /* their CHANGES rows, from high down */
    size_t n_rows;
    struct undo *undos;
    size_t n_undos;
    struct shr_batch batch;
    struct shr_read reads[CHUNK];
    struct shr_buf keys[CHUNK], versions[CHUNK];
};

static int by_key_and_height(const void *a, const void *b) {
    const struct undo *left = a, *right = b;
    int order = shr_bytes_cmp(left->key, right->key);
    return order != 0 ? order : (left->height > right->height) - (left->height < right->height);
}

/* Reads the CHANGES rows of as many blocks below `high` as one step may take, down to `low`. */
static int read_rows(struct step *step, uint32_t low, struct shrewd_error *err) {
    struct shr_store *store = step->state->store;
    uint64_t bytes = 0;
    size_t cap = 0;
    for (uint64_t height = step->high;; height--) {
        struct shr_block_record record;
        struct shr_height_key key = shr_height_key((uint32_t)height);
        int code = shr_state_own_block(step->state, NULL, &record, (uint32_t)height, err);
        if (code != 0) {
            return code;
        }
        struct shr_buf row = {0};
        code = shr_store_get(store, NULL, SHR_TABLE_CHANGES, &row, shr_height_key_bytes(&key), err);
        if (code == SHREWD_NOT_FOUND) {
            code = shr_corrupt(store, SHR_TABLE_CHANGES, shr_height_key_bytes(&key),
                               "the list of keys a block changed is missing", err);
        }
        if (code != 0) {
            shr_buf_free(&row);
            return code;
        }
        if (step->n_rows == cap) {
            cap = cap == 0 ? 64 : cap * 2;
            step->rows = shr_realloc_array(step->rows, cap, sizeof *step->rows);
        }
        step->rows[step->n_rows++] = row;
        step->low = (uint32_t)height;
        /* A damaged record may claim any number of keys. */
        uint64_t n_keys_max = row.len / SHR_CHANGE_BYTES_MIN;
        uint64_t n_keys = record.n_keys < n_keys_max ? record.n_keys : n_keys_max;
        bytes += 3 * (uint64_t)row.len + n_keys * CHANGE_BYTES;
        if (height == low || bytes >= STEP_BYTES_MAX) {
            return 0;
        }
    }
}

static void add_undo(struct step *step, size_t *cap, const struct shr_change *change,
                     uint32_t height) {
    if (step->n_undos == *cap) {
        *cap = *cap == 0 ? 1024 : *cap * 2;
        step->undos = shr_realloc_array(step->undos, *cap, sizeof *step->undos);
    }
    step->undos[step->n_undos++] = (struct undo){change->key, height, change->replaced};
}

static int read_undos(struct step *step, struct shrewd_error *err) {
    size_t cap = 0;
    for (size_t i = 0; i < step->n_rows; i++) {
        uint32_t height = step->high - (uint32_t)i;
        struct shr_bytes row = shr_buf_bytes(&step->rows[i]);
        while (row.len > 0) {
            struct shr_change change;
            const char *wrong = shr_change_take(&change, &row);
            if (wrong != NULL) {
                struct shr_height_key key = shr_height_key(height);
                return shr_corrupt(step->state->store, SHR_TABLE_CHANGES,
                                   shr_height_key_bytes(&key), wrong, err);
            }
            add_undo(step, &cap, &change, height);
        }
    }
    if (step->n_undos > 0) { /* qsort wants an array even for nothing */
        qsort(step->undos, step->n_undos, sizeof *step->undos, by_key_and_height);
    }
    return 0;
}

/* A run of undos, few enough to be read in one round trip: of each key its lowest, which says
 * what the key was before all of them. */
struct window {
    const struct undo *firsts[CHUNK];
    size_t n;
};

/* Reads the versions to put back; a key that was new has none. */
static int read_versions(struct step *step, const struct window *window, struct shrewd_error *err) {
    size_t n_reads = 0;
    for (size_t i = 0; i < window->n; i++) {
        if (window->firsts[i]->replaced) {
            shr_history_key(&step->keys[i], window->firsts[i]->key, window->firsts[i]->height);
            step->reads[n_reads++] = (struct shr_read){.table = SHR_TABLE_HISTORY,
                                                       .key = shr_buf_bytes(&step->keys[i]),
                                                       .value = &step->versions[i]};
        }
    }
    int code = shr_store_get_many(step->state->store, NULL, step->reads, n_reads, err);
    for (size_t i = 0; code == 0 && i < n_reads; i++) {
        struct shr_bytes value;
        uint32_t written_at = 0;
        const char *wrong = "the version that a block replaced is missing";
        if (step->reads[i].found) {
            wrong = shr_version_decode(&value, &written_at, shr_buf_bytes(step->reads[i].value));
        }
        if (wrong == NULL && written_at >= step->low) {
            wrong = "a version is not older than the block that replaced it";
        }
        if (wrong != NULL) {
            code =
                shr_corrupt(step->state->store, SHR_TABLE_HISTORY, step->reads[i].key, wrong, err);
        }
    }
    return code;
}

/* In key order: a store takes sorted writes faster. */
static int restore(struct step *step, const struct window *window, struct shrewd_error *err) {
    int code = read_versions(step, window, err);
    for (size_t i = 0; code == 0 && i < window->n; i++) {
        if (window->firsts[i]->replaced) {
            shr_batch_put(&step->batch, SHR_TABLE_LATEST, window->firsts[i]->key,
                          shr_buf_bytes(&step->versions[i]));
        } else {
            shr_batch_remove(&step->batch, SHR_TABLE_LATEST, window->firsts[i]->key);
        }
    }
    return code;
}

/* Whether an undo is its key's first; the others must follow from it. */
static int check_undo(const struct step *step, size_t at, bool *first, struct shrewd_error *err) {
    const struct undo *undo = &step->undos[at];
    *first = at == 0 || !shr_bytes_eq(undo[-1].key, undo->key);
    if (*first || (undo->replaced && undo[-1].height != undo->height)) {
        return 0;
    }
    struct shr_height_key key = shr_height_key(undo->height);
    return shr_corrupt(step->state->store, SHR_TABLE_CHANGES, shr_height_key_bytes(&key),
                       "a key is listed twice, or as new when it is not", err);
}

static int undo_keys(struct step *step, struct shrewd_error *err) {
    struct window *window = shr_alloc(sizeof *window);
    struct shr_buf history_key = {0};
    int code = 0;
    for (size_t i = 0; code == 0 && i < step->n_undos; i++) {
        const struct undo *undo = &step->undos[i];
        bool first = false;
        code = check_undo(step, i, &first, err);
        if (undo->replaced) {
            shr_history_key(&history_key, undo->key, undo->height);
            shr_batch_remove(&step->batch, SHR_TABLE_HISTORY, shr_buf_bytes(&history_key));
        }
        if (first) {
            window->firsts[window->n++] = undo;
        }
        if (code == 0 && window->n == CHUNK) {
            code = restore(step, window, err);
            window->n = 0;
        }
    }
    if (code == 0) {
        code = restore(step, window, err);
    }
    shr_buf_free(&history_key);
    free(window);
    return code;
}

/* Removes the blocks' own rows and moves the tip below them. */
static int undo_blocks(struct step *step, struct shrewd_error *err) {
    for (uint64_t height = step->low; height <= step->high; height++) {
        struct shr_height_key key = shr_height_key((uint32_t)height);
        shr_batch_remove(&step->batch, SHR_TABLE_CHANGES, shr_height_key_bytes(&key));
        shr_batch_remove(&step->batch, SHR_TABLE_BLOCKS, shr_height_key_bytes(&key));
    }
    if (step->low == shr_state_floor(step->state)) {
        shr_batch_remove(&step->batch, SHR_TABLE_META, shr_bytes_str(SHR_META_TIP));
        return 0;
    }
    struct shr_block_record tip;
    int code = shr_state_own_block(step->state, NULL, &tip, step->low - 1, err);
    if (code == 0) {
        struct shr_buf row = {0};
        shr_tip_encode(&row, &tip);
        shr_batch_put(&step->batch, SHR_TABLE_META, shr_bytes_str(SHR_META_TIP),
                      shr_buf_bytes(&row));
        shr_buf_free(&row);
    }
    return code;
}

/* Removes blocks from `high` down, to `low` or as far as one step goes; *low_done is the lowest
 * one removed. */
static int roll_step(struct shr_state *state, uint32_t low, uint32_t high, uint32_t *low_done,
                     struct shrewd_error *err) {
    struct step *step = shr_alloc(sizeof *step);
    step->state = state;
    step->high = high;
    int code = read_rows(step, low, err);
    if (code == 0) {
        code = read_undos(step, err);
    }
    if (code == 0) {
        code = undo_keys(step, err);
    }
    if (code == 0) {
        code = undo_blocks(step, err);
    }
    if (code == 0) {
        code = shr_store_write(state->store, &step->batch, true, err);
    }
    *low_done = step->low;
    for (size_t i = 0; i < CHUNK; i++) {
        shr_buf_free(&step->versions[i]);
        shr_buf_free(&step->keys[i]);
    }
    shr_batch_free(&step->batch);
    free(step->undos);
    for (size_t i = 0; i < step->n_rows; i++) {
        shr_buf_free(&step->rows[i]);
    }
    free(step->rows);
    free(step);
    return code;
}

/* Removes every block from `first` up. */
static int roll(struct shr_state *state, uint32_t first, struct shrewd_error *err) {
    struct shr_block_record tip;
    int code = shr_state_own_tip(state, NULL, &tip, err);
    if (code != 0) {
        return code == SHREWD_NOT_FOUND ? 0 : code;
    }
    uint64_t high = tip.height;
    while (code == 0 && high >= first) {
        uint32_t low_done = 0;
        code = roll_step(state, first, (uint32_t)high, &low_done, err);
        if (code == 0) {
            code = shr_state_rolled_back(state, err);
        }
        if (low_done == first) {
            break;
        }
        high = (uint64_t)low_done - 1;
    }
    return code;
}

int shr_state_rollback_all(struct shr_state *state, struct shrewd_error *err) {
    return roll(state, shr_state_floor(state), err);
}

int shr_state_rollback(struct shr_state *state, uint32_t height, struct shrewd_error *err) {
    struct shr_block_record tip;
    uint32_t floor = shr_state_floor(state);
    if ((uint64_t)height + 1 < floor) {
        return shr_fail(err, SHREWD_BELOW_START,
                        "cannot roll back to block %u: the first block %s is %u", height,
                        state->base != NULL ? "of this fork" : "held", floor);
    }
    int code = shr_state_writer_tip(state, &tip, err);
    if (code != 0 && code != SHREWD_NOT_FOUND) {
        return code;
    }
    if (code == 0 ? height > tip.height : height >= floor) {
        return code == 0
                   ? shr_fail(err, SHREWD_ABOVE_TIP, "cannot roll back to block %u: the tip is %u",
                              height, tip.height)
                   : shr_fail(err, SHREWD_ABOVE_TIP,
                              "cannot roll back to block %u: no block is indexed", height);
    }
    return roll(state, height + 1, err);
}
