/* Rolling back: the versions that the removed blocks replaced come back.
 *
 * Of a key that several of them changed only the lowest block's undo matters, so all their
 * changes are merged by key and each key is restored once: one read for each key, and no more
 * memory than the keys themselves. Where there are many, two threads take the keys below and above
 * a middle one, and what they make is written together. Very deep rollbacks go in steps of whole
 * blocks, newest first, each one atomic write, so that memory stays bounded.
 *
 * Where there are many changes, that write just moves the tip: what the blocks wrote is ahead of it
 * then (ahead.c), where nobody looks, and is removed by files that are loaded, the lists of changes
 * last. A kill meanwhile leaves what a large group of blocks may leave.
 *
 * The rows of the state root's tree are the most by far, and one above the tip is never read: where
 * there are many they stay, with the lists that name them, until the next block comes.
 */
#include "state/state_impl.h"

#include "base/alloc.h"
#include "base/tasks.h"
#include "state/undo.h"

#include <stdlib.h>

/* What one step may hold, about: keys, their merging, and the batch they make. */
#define STEP_BYTES_MAX ((uint64_t)256 << 20)
#define CHANGE_BYTES 160 /* of one key beside its own bytes */
#define PARTS 2          /* each of one thread */
#define SPLIT_MIN 10000  /* changes for which that pays */

/* Changes of keys from which on the tree's rows are left. */
#define LEAVE_TREE_MIN 50000

struct step {
    struct shr_state *state;
    uint32_t low, high;   /* the blocks removed, both included */
    struct shr_buf *rows; /* their CHANGES rows, from high down */
    size_t n_rows;
    uint64_t n_changes; /* in all rows, as far as the blocks' records can be believed */
};

/* The changes of some keys, and what restores them: the work of one thread. */
struct part {
    const struct step *step;
    struct shr_bytes from, below; /* of the keys; below.data NULL: no end */
    struct shr_undo *undos;
    size_t n_undos;
    struct shr_batch batch;
    struct shr_undo_window window; /* of each key its lowest change: what it was before all */
    struct shrewd_error *err;
};

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
        step->n_changes += n_keys;
        bytes += 3 * (uint64_t)row.len + n_keys * CHANGE_BYTES;
        if (height == low || bytes >= STEP_BYTES_MAX) {
            return 0;
        }
    }
}

static void add_undo(struct part *part, size_t *cap, const struct shr_change *change,
                     uint32_t height) {
    if (part->n_undos == *cap) {
        *cap = *cap == 0 ? 1024 : *cap * 2;
        part->undos = shr_realloc_array(part->undos, *cap, sizeof *part->undos);
    }
    part->undos[part->n_undos++] = (struct shr_undo){change->key, height, change->replaced};
}

/* A CHANGES row on its way through: the key it is at, and what follows. */
struct cursor {
    struct shr_change at;
    struct shr_bytes rest;
    uint32_t height;
};

static int wrong_row(struct part *part, uint32_t height, const char *wrong) {
    struct shr_height_key key = shr_height_key(height);
    return shr_corrupt(part->step->state->store, SHR_TABLE_CHANGES, shr_height_key_bytes(&key),
                       wrong, part->err);
}

/* To the row's next key, which must be above the one before; *more: it is the part's. */
static int advance(struct part *part, struct cursor *cursor, bool *more) {
    struct shr_bytes before = cursor->at.key;
    *more = cursor->rest.len > 0;
    if (!*more) {
        return 0;
    }
    const char *wrong = shr_change_take(&cursor->at, &cursor->rest);
    if (wrong == NULL && before.data != NULL && shr_bytes_cmp(before, cursor->at.key) > 0) {
        wrong = "the list of keys a block changed is not in order";
    }
    *more = part->below.data == NULL || shr_bytes_cmp(cursor->at.key, part->below) < 0;
    return wrong == NULL ? 0 : wrong_row(part, cursor->height, wrong);
}

static bool is_before(const struct cursor *a, const struct cursor *b) {
    int order = shr_bytes_cmp(a->at.key, b->at.key);
    return order != 0 ? order < 0 : a->height < b->height;
}

/* Lets the first of a heap sink to its place. */
static void sink(struct cursor *heap, size_t n, size_t at) {
    for (size_t least; (least = 2 * at + 1) < n; at = least) {
        if (least + 1 < n && is_before(&heap[least + 1], &heap[least])) {
            least++;
        }
        if (!is_before(&heap[least], &heap[at])) {
            return;
        }
        struct cursor moved = heap[at];
        heap[at] = heap[least];
        heap[least] = moved;
    }
}

/* The rows' first keys that are the part's. */
static int start_cursors(struct part *part, struct cursor *heap, size_t *n) {
    const struct step *step = part->step;
    int code = 0;
    *n = 0;
    for (size_t i = 0; code == 0 && i < step->n_rows; i++) {
        struct cursor *cursor = &heap[*n];
        bool more = true;
        *cursor = (struct cursor){.rest = shr_buf_bytes(&step->rows[i]),
                                  .height = step->high - (uint32_t)i};
        do {
            code = advance(part, cursor, &more);
        } while (code == 0 && more && shr_bytes_cmp(cursor->at.key, part->from) < 0);
        *n += more;
    }
    return code;
}

/* Each row is in key order: all together are a merge of them, by key, then height. */
static int read_undos(struct part *part) {
    struct cursor *heap = shr_alloc_array(part->step->n_rows + 1, sizeof *heap);
    size_t cap = 0, n = 0;
    int code = start_cursors(part, heap, &n);
    for (size_t i = n / 2; i-- > 0;) {
        sink(heap, n, i);
    }
    while (code == 0 && n > 0) {
        bool more = false;
        add_undo(part, &cap, &heap[0].at, heap[0].height);
        code = advance(part, &heap[0], &more);
        if (!more) {
            heap[0] = heap[--n];
        }
        sink(heap, n, 0);
    }
    free(heap);
    return code;
}

/* Whether an undo is its key's first; the others must follow from it. */
static int check_undo(struct part *part, size_t at, bool *first) {
    const struct shr_undo *undo = &part->undos[at];
    *first = at == 0 || !shr_bytes_eq(undo[-1].key, undo->key);
    if (*first || (undo->replaced && undo[-1].height != undo->height)) {
        return 0;
    }
    struct shr_height_key key = shr_height_key(undo->height);
    return shr_corrupt(part->step->state->store, SHR_TABLE_CHANGES, shr_height_key_bytes(&key),
                       "a key is listed twice, or as new when it is not", part->err);
}

static int restore(struct part *part) {
    const struct step *step = part->step;
    return shr_undo_window_restore(&part->window, step->state->store, step->low, &part->batch,
                                   part->err);
}

static int undo_keys(struct part *part) {
    struct shr_undo_window *window = &part->window;
    struct shr_buf history_key = {0};
    int code = 0;
    for (size_t i = 0; code == 0 && i < part->n_undos; i++) {
        const struct shr_undo *undo = &part->undos[i];
        bool first = false;
        code = check_undo(part, i, &first);
        if (undo->replaced) {
            shr_history_key(&history_key, undo->key, undo->height);
            shr_batch_remove(&part->batch, SHR_TABLE_HISTORY, shr_buf_bytes(&history_key));
        }
        if (first) {
            window->undos[window->n++] = undo;
        }
        if (code == 0 && window->n == SHR_UNDO_WINDOW) {
            code = restore(part);
        }
    }
    if (code == 0) {
        code = restore(part);
    }
    shr_buf_free(&history_key);
    return code;
}

static int undo_part(void *ctx, size_t i, struct shrewd_error *err) {
    struct part *part = (struct part *)ctx + i;
    part->err = err;
    int code = read_undos(part);
    return code != 0 ? code : undo_keys(part);
}

/* A key with about as many changes below as above it: the middle one of the longest row. */
static struct shr_bytes find_middle(const struct step *step) {
    const struct shr_buf *longest = &step->rows[0];
    for (size_t i = 1; i < step->n_rows; i++) {
        longest = step->rows[i].len > longest->len ? &step->rows[i] : longest;
    }
    struct shr_bytes row = shr_buf_bytes(longest);
    struct shr_change change = {0};
    while (row.len > longest->len / 2 && shr_change_take(&change, &row) == NULL) {
    }
    return change.key;
}

/* Adds to `batch` what puts every key back. Which thread does what shows nowhere: the lower keys
 * come first. */
static int undo_all_keys(const struct step *step, struct shr_batch *batch,
                         struct shrewd_error *err) {
    struct part *parts = shr_alloc_array(PARTS, sizeof *parts);
    parts[0].step = parts[1].step = step;
    struct shr_tasks tasks = {.task = undo_part, .ctx = parts, .n = 1, .name = "rollback-keys"};
    struct shr_bytes middle = step->n_changes >= SPLIT_MIN ? find_middle(step) : shr_bytes(NULL, 0);
    if (middle.len > 0) {
        parts[0].below = parts[1].from = middle;
        tasks.n = PARTS;
    }
    shr_tasks_begin(&tasks, PARTS - 1);
    int code = shr_tasks_end(&tasks, err);
    for (size_t i = 0; i < PARTS; i++) {
        if (code == 0) {
            shr_batch_move(batch, &parts[i].batch);
        }
        shr_undo_window_free(&parts[i].window);
        shr_batch_free(&parts[i].batch);
        free(parts[i].undos);
    }
    free(parts);
    return code;
}

/* What a step writes: every key's rows, the blocks' with the tip, and of the blocks what may lie
 * above it: their lists of changes, and the tree's rows. */
struct writes {
    struct shr_batch keys, blocks, lists;
};

/* Removes the blocks' own rows and moves the tip below them. */
static int undo_blocks(const struct step *step, bool leave_tree, struct writes *writes,
                       struct shrewd_error *err) {
    struct shr_state *state = step->state;
    state->tree_left = state->tree_left || (leave_tree && state->root != NULL);
    for (uint64_t height = step->low; height <= step->high; height++) {
        struct shr_height_key key = shr_height_key((uint32_t)height);
        shr_batch_remove(&writes->lists, SHR_TABLE_CHANGES, shr_height_key_bytes(&key));
        shr_batch_remove(&writes->blocks, SHR_TABLE_BLOCKS, shr_height_key_bytes(&key));
        int code = state->root == NULL || leave_tree
                       ? 0
                       : shr_root_undo(state->store, (uint32_t)height, &writes->lists, err);
        if (code != 0) {
            return code;
        }
    }
    if (step->low == shr_state_floor(state)) {
        shr_batch_remove(&writes->blocks, SHR_TABLE_META, shr_bytes_str(SHR_META_TIP));
        return 0;
    }
    struct shr_block_record tip;
    int code = shr_state_own_block(state, NULL, &tip, step->low - 1, err);
    if (code == 0) {
        struct shr_buf row = {0};
        shr_tip_encode(&row, &tip);
        shr_batch_put(&writes->blocks, SHR_TABLE_META, shr_bytes_str(SHR_META_TIP),
                      shr_buf_bytes(&row));
        shr_buf_free(&row);
    }
    return code;
}

static int write_at_once(struct shr_state *state, struct writes *writes, bool *moved,
                         struct shrewd_error *err) {
    shr_batch_move(&writes->keys, &writes->blocks);
    shr_batch_move(&writes->keys, &writes->lists);
    int code = shr_store_write(state->store, &writes->keys, true, err);
    *moved = code == 0;
    return code;
}

/* In the order in which they are loaded: as long as LATEST has a block's versions, HISTORY has what
 * goes back in their place. */
static const enum shr_table restored[] = {SHR_TABLE_LATEST, SHR_TABLE_HISTORY};
#define N_RESTORED (sizeof restored / sizeof restored[0])

struct files {
    struct shr_store *store;
    const struct shr_batch *rows;
};

static int make_file(void *ctx, size_t i, struct shrewd_error *err) {
    const struct files *files = ctx;
    return shr_store_make(files->store, files->rows, restored[i], err);
}

static int make_files(struct shr_store *store, const struct shr_batch *rows,
                      struct shrewd_error *err) {
    struct files files = {store, rows};
    struct shr_tasks tasks = {
        .task = make_file, .ctx = &files, .n = N_RESTORED, .name = "rollback-files"};
    shr_tasks_begin(&tasks, N_RESTORED - 1);
    return shr_tasks_end(&tasks, err);
}

/* The tip moves, and what is ahead of it goes. *moved: the first is done, whatever comes of the
 * rest: what is still ahead then goes before anything else is written. */
static int write_and_load(struct shr_state *state, struct writes *writes, bool *moved,
                          struct shrewd_error *err) {
    int code = make_files(state->store, &writes->keys, err);
    if (code == 0) {
        state->ahead = true;
        code = shr_store_write(state->store, &writes->blocks, true, err);
        *moved = code == 0;
    }
    for (size_t i = 0; code == 0 && i < N_RESTORED; i++) {
        code = shr_store_take(state->store, restored[i], err);
    }
    if (code == 0) { /* on disk, as what is loaded next is at once */
        code = shr_store_write(state->store, &writes->lists, true, err);
    }
    state->ahead = state->ahead && code != 0;
    for (size_t i = 0; i < N_RESTORED; i++) {
        shr_store_drop(state->store, restored[i]); /* of those taken there is none */
    }
    return code;
}

/* Removes blocks from `high` down, to `low` or as far as one step goes; *low_done is the lowest
 * one removed. *moved: the tip is below it, even if an error came after. */
static int roll_step(struct shr_state *state, uint32_t low, uint32_t high, uint32_t *low_done,
                     bool *moved, struct shrewd_error *err) {
    struct step step = {.state = state, .high = high};
    struct writes writes = {0};
    int code = read_rows(&step, low, err);
    bool load = step.n_changes >= state->load_min && shr_store_loads(state->store);
    if (code == 0) {
        code = undo_all_keys(&step, &writes.keys, err);
    }
    if (code == 0) {
        code = undo_blocks(&step, step.n_changes >= LEAVE_TREE_MIN, &writes, err);
    }
    if (code == 0) {
        code = load ? write_and_load(state, &writes, moved, err)
                    : write_at_once(state, &writes, moved, err);
    }
    if (state->root != NULL) {
        shr_root_forget(state->root);
    }
    *low_done = step.low;
    shr_batch_free(&writes.lists);
    shr_batch_free(&writes.blocks);
    shr_batch_free(&writes.keys);
    for (size_t i = 0; i < step.n_rows; i++) {
        shr_buf_free(&step.rows[i]);
    }
    free(step.rows);
    return code;
}

/* Removes every block from `first` up. */
static int roll(struct shr_state *state, uint32_t first, struct shrewd_error *err) {
    struct shr_block_record tip;
    int code = state->ahead ? shr_state_clear_ahead(state, err) : 0;
    if (code == 0) {
        code = shr_state_own_tip(state, NULL, &tip, err);
    }
    if (code != 0) {
        return code == SHREWD_NOT_FOUND ? 0 : code;
    }
    uint64_t high = tip.height;
    while (code == 0 && high >= first) {
        uint32_t low_done = 0;
        bool moved = false;
        code = roll_step(state, first, (uint32_t)high, &low_done, &moved, err);
        if (moved) {
            int told = shr_state_rolled_back(state, code == 0 ? err : NULL);
            code = code != 0 ? code : told;
        }
        if (low_done == first) {
            break;
        }
        high = (uint64_t)low_done - 1;
    }
    return code;
}

int shr_state_sweep(struct shr_state *state, struct shrewd_error *err) {
    uint32_t first = state->now.has_tip ? state->now.tip.height + 1 : shr_state_floor(state);
    int code = state->tree_left ? shr_root_sweep(state->store, first, err) : 0;
    state->tree_left = state->tree_left && code != 0;
    return code;
}

/* Undo data below the oldest height held are gone. */
static int refuse_pruned(const struct shr_state *state, struct shrewd_error *err) {
    return shr_fail(err, SHREWD_PRUNED,
                    "cannot roll back that far: what undoes block %u and those below was pruned; "
                    "nothing was changed. The oldest height to roll back to is %u; index again "
                    "into an empty folder to go below",
                    state->now.oldest, state->now.oldest);
}

static bool is_pruned(const struct shr_state *state) {
    return state->base == NULL && state->now.pruned;
}

int shr_state_rollback_all(struct shr_state *state, struct shrewd_error *err) {
    if (is_pruned(state)) {
        return refuse_pruned(state, err);
    }
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
    if (is_pruned(state) && height < state->now.oldest) {
        return refuse_pruned(state, err);
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
