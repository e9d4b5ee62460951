/* Rows of blocks above the tip.
 *
 * A large group of blocks is stored in two steps (apply.c): its undo data and the tree's rows,
 * table by table, then in one write the newest versions, the blocks' records and the tip. Between
 * them, and after a kill or a power cut there, the first are held for heights above the tip. No
 * reader sees them: HISTORY's first row above a height is an older one, ROOT is read from the tip's
 * height on, the others by height. But other blocks may take their place. CHANGES and ROOT_PAGES,
 * which list the rows, come first, so they are found by them. */
#include "state/state_impl.h"

#include "base/endian.h"

struct last {
    bool found;
    uint32_t height;
    const char *wrong;
};

static enum shr_scan_step take_height(void *ctx, struct shr_bytes key, struct shr_bytes row) {
    struct last *last = ctx;
    last->found = true;
    last->wrong = key.len == 4 ? NULL : "the key of a list of changes is not a height";
    last->height = key.len == 4 ? shr_get_be32(key.data) : 0;
    return SHR_SCAN_DONE;
}

/* The highest block with a list of changes; false when there is none from `first` on. */
static int find_last(struct shr_state *state, uint32_t first, struct last *last,
                     struct shrewd_error *err) {
    struct shr_height_key from = shr_height_key(first);
    int code = shr_store_scan(state->store, NULL, SHR_TABLE_CHANGES, shr_height_key_bytes(&from),
                              shr_bytes(NULL, 0), true, take_height, last, err);
    return code != 0 || last->wrong == NULL
               ? code
               : shr_corrupt(state->store, SHR_TABLE_CHANGES, shr_height_key_bytes(&from),
                             last->wrong, err);
}

/* Adds the removal of the versions that a block's list names, as far as they are there. */
static int remove_versions(struct shr_state *state, uint32_t height, struct shr_batch *batch,
                           struct shrewd_error *err) {
    struct shr_height_key key = shr_height_key(height);
    struct shr_buf row = {0}, history_key = {0};
    const char *wrong = NULL;
    int code =
        shr_store_get(state->store, NULL, SHR_TABLE_CHANGES, &row, shr_height_key_bytes(&key), err);
    for (struct shr_bytes left = shr_buf_bytes(&row); code == 0 && wrong == NULL && left.len > 0;) {
        struct shr_change change;
        wrong = shr_change_take(&change, &left);
        if (wrong == NULL && change.replaced) {
            shr_history_key(&history_key, change.key, height);
            shr_batch_remove(batch, SHR_TABLE_HISTORY, shr_buf_bytes(&history_key));
        }
    }
    if (wrong != NULL) {
        code = shr_corrupt(state->store, SHR_TABLE_CHANGES, shr_height_key_bytes(&key), wrong, err);
    }
    shr_batch_remove(batch, SHR_TABLE_CHANGES, shr_height_key_bytes(&key));
    shr_buf_free(&history_key);
    shr_buf_free(&row);
    return code == SHREWD_NOT_FOUND ? 0 : code;
}

static int remove_pages(struct shr_state *state, uint32_t height, struct shr_batch *batch,
                        struct shrewd_error *err) {
    struct shr_height_key key = shr_height_key(height);
    struct shr_buf row = {0};
    int code = shr_store_get(state->store, NULL, SHR_TABLE_ROOT_PAGES, &row,
                             shr_height_key_bytes(&key), err);
    if (code == 0) {
        code = shr_root_undo(state->store, height, batch, err);
    }
    shr_buf_free(&row);
    return code == SHREWD_NOT_FOUND ? 0 : code;
}

/* From the highest one down, a block a write: what a kill interrupts is gone on with. On disk each,
 * as what is loaded next is at once: a power cut must not bring these back beside it. Each list is
 * looked for: damage may have put one at a height far above the others. */
int shr_state_clear_ahead(struct shr_state *state, struct shrewd_error *err) {
    uint32_t first = state->now.has_tip ? state->now.tip.height + 1 : shr_state_floor(state);
    struct last last = {0};
    int code = find_last(state, first, &last, err);
    while (code == 0 && last.found) {
        struct shr_batch batch = {0};
        code = remove_versions(state, last.height, &batch, err);
        if (code == 0) {
            code = remove_pages(state, last.height, &batch, err);
        }
        if (code == 0) {
            code = shr_store_write(state->store, &batch, true, err);
        }
        shr_batch_free(&batch);
        if (code == 0) {
            last = (struct last){0};
            code = find_last(state, first, &last, err);
        }
    }
    state->ahead = state->ahead && code != 0;
    return code;
}
