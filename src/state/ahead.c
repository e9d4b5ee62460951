/* Rows of blocks above the tip.
 *
 * A large group of blocks is stored in two steps (apply.c): its rows are loaded, table by table,
 * then one write takes the blocks' records and the tip. Between them, and after a kill or a power
 * cut there, what was loaded is held for heights above the tip. No reader sees it: HISTORY's first
 * row above a height is an older one, a version in LATEST from above a height sends its reader to
 * HISTORY, which was loaded before, ROOT is read from the tip's height on, the others by height.
 * But other blocks may take their place. CHANGES and ROOT_PAGES, which list the rows, come first,
 * so they are found by them.
 *
 * Of several groups that a power cut has taken back, each may be there in part. Undone from the
 * highest block down, each block finds LATEST as it left it, or, when LATEST was not loaded any
 * more, as it was before: the height of a version tells which. */
#include "state/state_impl.h"

#include "base/alloc.h"
#include "base/endian.h"
#include "state/undo.h"

#include <stdlib.h>

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

/* A block on its way out. */
struct clear {
    struct shr_state *state;
    uint32_t height;
    struct shr_batch batch;
    struct shr_undo changes[SHR_UNDO_WINDOW]; /* some of its list */
    size_t n_changes;
    struct shr_read reads[SHR_UNDO_WINDOW];
    struct shr_buf newest[SHR_UNDO_WINDOW]; /* what LATEST has of them */
    struct shr_undo_window window;
    struct shr_buf history_key;
};

/* Puts back what the block has replaced in LATEST: where it is the block's version that is there.
 * If it is not, LATEST was not loaded any more, or a kill came when this was done before. */
static int restore_newest(struct clear *clear, struct shrewd_error *err) {
    struct shr_store *store = clear->state->store;
    for (size_t i = 0; i < clear->n_changes; i++) {
        clear->reads[i] = (struct shr_read){
            .table = SHR_TABLE_LATEST, .key = clear->changes[i].key, .value = &clear->newest[i]};
    }
    int code = shr_store_get_many(store, NULL, clear->reads, clear->n_changes, err);
    for (size_t i = 0; code == 0 && i < clear->n_changes; i++) {
        struct shr_bytes value;
        uint32_t written_at = 0;
        const char *wrong =
            clear->reads[i].found
                ? shr_version_decode(&value, &written_at, shr_buf_bytes(&clear->newest[i]))
                : NULL;
        if (wrong != NULL) {
            code = shr_corrupt(store, SHR_TABLE_LATEST, clear->changes[i].key, wrong, err);
        } else if (clear->reads[i].found && written_at == clear->height) {
            clear->window.undos[clear->window.n++] = &clear->changes[i];
        }
    }
    clear->n_changes = 0;
    return code != 0
               ? code
               : shr_undo_window_restore(&clear->window, store, clear->height, &clear->batch, err);
}

/* Undoes the changes that the block's list names, as far as they are there. */
static int undo_changes(struct clear *clear, struct shrewd_error *err) {
    struct shr_store *store = clear->state->store;
    struct shr_height_key key = shr_height_key(clear->height);
    struct shr_buf row = {0};
    const char *wrong = NULL;
    int code = shr_store_get(store, NULL, SHR_TABLE_CHANGES, &row, shr_height_key_bytes(&key), err);
    for (struct shr_bytes left = shr_buf_bytes(&row); code == 0 && wrong == NULL && left.len > 0;) {
        struct shr_change change;
        wrong = shr_change_take(&change, &left);
        if (wrong == NULL && change.replaced) {
            shr_history_key(&clear->history_key, change.key, clear->height);
            shr_batch_remove(&clear->batch, SHR_TABLE_HISTORY, shr_buf_bytes(&clear->history_key));
        }
        if (wrong == NULL) {
            clear->changes[clear->n_changes++] =
                (struct shr_undo){change.key, clear->height, change.replaced};
        }
        if (clear->n_changes == SHR_UNDO_WINDOW) {
            code = restore_newest(clear, err);
        }
    }
    if (wrong != NULL) {
        code = shr_corrupt(store, SHR_TABLE_CHANGES, shr_height_key_bytes(&key), wrong, err);
    }
    code = code != 0 ? code : restore_newest(clear, err);
    shr_batch_remove(&clear->batch, SHR_TABLE_CHANGES, shr_height_key_bytes(&key));
    shr_buf_free(&row);
    return code;
}

static int remove_pages(struct clear *clear, struct shrewd_error *err) {
    struct shr_store *store = clear->state->store;
    struct shr_height_key key = shr_height_key(clear->height);
    struct shr_buf row = {0};
    int code =
        shr_store_get(store, NULL, SHR_TABLE_ROOT_PAGES, &row, shr_height_key_bytes(&key), err);
    if (code == 0) {
        code = shr_root_undo(store, clear->height, &clear->batch, err);
    }
    shr_buf_free(&row);
    return code == SHREWD_NOT_FOUND ? 0 : code;
}

static int clear_block(struct shr_state *state, uint32_t height, struct shrewd_error *err) {
    struct clear *clear = shr_alloc(sizeof *clear);
    clear->state = state;
    clear->height = height;
    int code = undo_changes(clear, err);
    code = code != 0 ? code : remove_pages(clear, err);
    code = code != 0 ? code : shr_store_write(state->store, &clear->batch, true, err);
    for (size_t i = 0; i < SHR_UNDO_WINDOW; i++) {
        shr_buf_free(&clear->newest[i]);
    }
    shr_undo_window_free(&clear->window);
    shr_batch_free(&clear->batch);
    shr_buf_free(&clear->history_key);
    free(clear);
    return code;
}

/* From the highest one down, a block a write: what a kill interrupts is gone on with. On disk each,
 * as what is loaded next is at once: a power cut must not bring these back beside it. Each list is
 * looked for: damage may have put one at a height far above the others. */
int shr_state_clear_ahead(struct shr_state *state, struct shrewd_error *err) {
    uint32_t first = state->now.has_tip ? state->now.tip.height + 1 : shr_state_floor(state);
    struct last last = {0};
    int code = find_last(state, first, &last, err);
    while (code == 0 && last.found) {
        code = clear_block(state, last.height, err);
        if (code == 0) {
            last = (struct last){0};
            code = find_last(state, first, &last, err);
        }
    }
    state->ahead = state->ahead && code != 0;
    return code;
}
