#include "state/apply_keys.h"

#include "base/alloc.h"
#include "base/tasks.h"
#include "state/order.h"

#include <stdlib.h>
#include <string.h>

/* Present versions read at a time: enough to make round trips rare, few enough to bound what is
 * held beside what is gathered. */
#define CHUNK 512
#define FETCHED_AHEAD 8 /* items, by which their bytes are fetched before they are looked at */
#define SPLIT_MIN 2000  /* pairs for which a second thread pays */
#define PARTS 8         /* more than threads: none of them waits long for the other */
#define HELPERS 1

/* A pair of one of the blocks. */
struct item {
    struct shr_bytes key; /* the pair's */
    const struct shr_pair *pair;
    size_t block; /* its place among those applied */
};

/* What all parts look at. */
struct blocks {
    struct shr_state *state;
    const struct shr_block_change *changes;
    size_t n;
    bool load;
    struct item *items; /* sorted */
    size_t n_items;
    struct part *parts;
    size_t n_parts;
};

/* Some keys, all items of each: the work of one thread. */
struct part {
    const struct blocks *all;
    size_t from, to; /* items */
    struct shr_apply_keys keys;
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
static void sort_items(struct blocks *all, size_t n) {
    struct item *unsorted = shr_alloc_array(n + 1, sizeof *unsorted);
    struct shr_ordered *order = shr_alloc_array(n + 1, sizeof *order);
    all->items = shr_alloc_array(n + 1, sizeof *all->items);
    for (size_t b = 0; b < all->n; b++) {
        for (size_t i = 0; i < all->changes[b].n_pairs; i++) {
            const struct shr_pair *pair = &all->changes[b].pairs[i];
            size_t at = all->n_items++;
            unsorted[at] = (struct item){pair->key, pair, b};
            order[at] = (struct shr_ordered){.key = pair->key, .rank = at};
        }
    }
    shr_order(order, n);
    for (size_t i = 0; i < n; i++) {
        all->items[i] = unsorted[order[i].rank];
    }
    free(order);
    free(unsorted);
}

/* --- One key --- */

static void note_change(struct shr_block_keys *block, const struct shr_pair *pair, bool replaced) {
    if (block->n_changed == block->cap) {
        block->cap = block->cap == 0 ? 64 : block->cap * 2;
        block->changed = shr_realloc_array(block->changed, block->cap, sizeof *block->changed);
    }
    block->changed[block->n_changed++] = pair;
    shr_change_add(&block->changes, &(struct shr_change){pair->key, replaced});
}

static uint32_t height_of(const struct part *part, size_t block) {
    return part->all->changes[block].height;
}

/* The version before the block of `height`. One of an earlier block of the group is where that
 * block's pairs are; the one that was there before is in scratch. */
static void keep_old(struct part *part, const struct version *now, struct shr_bytes key,
                     uint32_t height) {
    if (part->all->load) {
        struct shr_version_row row = {
            .key = key, .value = now->value, .height = height, .written_at = now->written_at};
        shr_versions_add(&part->keys.old, &row, now->written_at < height_of(part, 0));
        return;
    }
    shr_history_key(&part->history_key, key, height);
    shr_version_encode(&part->row, now->value, now->written_at);
    shr_batch_put(&part->keys.batch, SHR_TABLE_HISTORY, shr_buf_bytes(&part->history_key),
                  shr_buf_bytes(&part->row));
}

/* A block writes the key: keeps the version before in HISTORY, unless nothing changes. */
static void change_version(struct part *part, struct version *now, const struct item *item) {
    struct shr_block_keys *block = &part->keys.blocks[item->block];
    const struct shr_pair *pair = item->pair;
    if (now->found && shr_bytes_eq(now->value, pair->value)) {
        return;
    }
    if (now->own) {
        keep_old(part, now, pair->key, height_of(part, item->block));
    }
    block->new_keys += !now->found;
    note_change(block, pair, now->own);
    *now = (struct version){true, true, pair->value, height_of(part, item->block)};
}

/* One key, from its present version through every block that writes it. */
static void walk_key(struct part *part, struct version *now, size_t from, size_t to) {
    for (size_t i = from; i < to; i++) {
        const struct item *item = &part->all->items[i];
        if (i + 1 < to && item[1].block == item->block) {
            continue; /* of equal keys in one block the later wins */
        }
        change_version(part, now, item);
    }
    if (!now->own || now->written_at < height_of(part, 0)) {
        return;
    }
    struct shr_version_row row = {
        .key = part->all->items[from].key, .value = now->value, .written_at = now->written_at};
    shr_versions_add(&part->keys.newest, &row, false);
    if (!part->all->load) {
        shr_version_encode(&part->row, now->value, now->written_at);
        shr_batch_put(&part->keys.batch, SHR_TABLE_LATEST, row.key, shr_buf_bytes(&part->row));
    }
}

/* --- Some keys --- */

/* Reads from a fork's base every key that the fork itself does not have. */
static int read_below(struct part *part, size_t n, size_t *n_below, struct shrewd_error *err) {
    struct shr_state *state = part->all->state;
    *n_below = 0;
    if (state->base == NULL) {
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        if (!part->reads[i].found) {
            part->below[*n_below] = part->reads[i];
            part->below_of[(*n_below)++] = i;
        }
    }
    return shr_reader_get_many(state->base, part->below, *n_below, state->fork.height, err);
}

/* Up to CHUNK keys from item `at` on; gives their number and where the next ones begin. */
static size_t take_keys(struct part *part, size_t *at) {
    const struct item *items = part->all->items;
    size_t n = 0;
    size_t i = *at;
    for (; i < part->to; i++) {
        struct shr_bytes key = items[i].key;
        if (i + FETCHED_AHEAD < part->to) {
            __builtin_prefetch(items[i + FETCHED_AHEAD].key.data);
            __builtin_prefetch(items[i + FETCHED_AHEAD].pair);
        }
        if (n > 0 && shr_bytes_eq(key, part->reads[n - 1].key)) {
            continue;
        }
        if (n == CHUNK) {
            break;
        }
        part->reads[n] = (struct shr_read){.key = key, .value = &part->present[n]};
        part->firsts[n++] = i;
    }
    part->firsts[n] = i;
    *at = i;
    return n;
}

static int walk_chunk(struct part *part, size_t n, struct shrewd_error *err) {
    struct shr_state *state = part->all->state;
    int code = shr_reader_own_many(&state->now, part->reads, part->written_at, n, UINT32_MAX, err);
    size_t n_below = 0, next_below = 0;
    if (code == 0) {
        code = read_below(part, n, &n_below, err);
    }
    for (size_t i = 0; code == 0 && i < n; i++) {
        bool own = part->reads[i].found;
        struct version now = {own, own, shr_buf_bytes(&part->present[i]), part->written_at[i]};
        if (own && now.written_at >= height_of(part, 0)) {
            return shr_corrupt(state->store, SHR_TABLE_LATEST, part->reads[i].key,
                               "the newest version is newer than the tip", err);
        }
        if (!own && next_below < n_below && part->below_of[next_below] == i) {
            now.found = part->below[next_below].found;
            now.value = shr_buf_bytes(part->below[next_below++].value);
        }
        walk_key(part, &now, part->firsts[i], part->firsts[i + 1]);
    }
    return code;
}

/* The versions read, which may be large, go with the part: only so many are held as there are
 * threads. */
static int walk_part(void *ctx, size_t i, struct shrewd_error *err) {
    struct part *part = &((struct blocks *)ctx)->parts[i];
    int code = 0;
    for (size_t at = part->from; code == 0 && at < part->to;) {
        size_t n = take_keys(part, &at);
        code = walk_chunk(part, n, err);
    }
    for (size_t read = 0; read < CHUNK; read++) {
        shr_buf_free(&part->present[read]);
    }
    return code;
}

/* --- All keys --- */

static void keys_init(struct shr_apply_keys *keys, size_t n_blocks) {
    *keys = (struct shr_apply_keys){.n_blocks = n_blocks};
    keys->blocks = shr_alloc_array(n_blocks + 1, sizeof *keys->blocks);
}

/* The parts' first items; a key's items stay together. */
static void split(struct blocks *all) {
    all->n_parts = all->n_items < SPLIT_MIN ? 1 : PARTS;
    all->parts = shr_alloc_array(all->n_parts, sizeof *all->parts);
    size_t at = 0;
    for (size_t p = 0; p < all->n_parts; p++) {
        struct part *part = &all->parts[p];
        part->all = all;
        part->from = at;
        size_t end = all->n_items * (p + 1) / all->n_parts;
        at = end > at ? end : at;
        while (at > 0 && at < all->n_items &&
               shr_bytes_eq(all->items[at].key, all->items[at - 1].key)) {
            at++;
        }
        part->to = at;
        keys_init(&part->keys, all->n);
    }
}

/* Adds what a part has of a block, whose keys follow. */
static void join_block(struct shr_block_keys *block, const struct shr_block_keys *from) {
    if (from->n_changed > 0) {
        memcpy(block->changed + block->n_changed, from->changed,
               from->n_changed * sizeof(struct shr_pair *));
        shr_buf_add(&block->changes, shr_buf_bytes(&from->changes));
    }
    block->n_changed += from->n_changed;
    block->new_keys += from->new_keys;
}

static void join(struct shr_apply_keys *keys, const struct blocks *all) {
    for (size_t b = 0; b < all->n; b++) {
        struct shr_block_keys *block = &keys->blocks[b];
        size_t bytes = 0;
        for (size_t p = 0; p < all->n_parts; p++) {
            block->cap += all->parts[p].keys.blocks[b].n_changed;
            bytes += all->parts[p].keys.blocks[b].changes.len;
        }
        block->changed = shr_alloc_array(block->cap + 1, sizeof *block->changed);
        shr_buf_reserve(&block->changes, bytes);
        for (size_t p = 0; p < all->n_parts; p++) {
            join_block(block, &all->parts[p].keys.blocks[b]);
        }
    }
    size_t n_old = 0, n_newest = 0;
    for (size_t p = 0; p < all->n_parts; p++) {
        n_old += all->parts[p].keys.old.n;
        n_newest += all->parts[p].keys.newest.n;
    }
    shr_versions_reserve(&keys->old, n_old);
    shr_versions_reserve(&keys->newest, n_newest);
    for (size_t p = 0; p < all->n_parts; p++) {
        shr_versions_move(&keys->old, &all->parts[p].keys.old);
        shr_versions_move(&keys->newest, &all->parts[p].keys.newest);
        shr_batch_move(&keys->batch, &all->parts[p].keys.batch);
    }
}

static void free_parts(struct blocks *all) {
    for (size_t p = 0; p < all->n_parts; p++) {
        struct part *part = &all->parts[p];
        shr_buf_free(&part->row);
        shr_buf_free(&part->history_key);
        shr_apply_keys_free(&part->keys);
    }
    free(all->parts);
}

int shr_apply_keys(struct shr_apply_keys *out, struct shr_state *state,
                   const struct shr_block_change *changes, size_t n, size_t n_pairs, bool load,
                   struct shrewd_error *err) {
    struct blocks all = {.state = state, .changes = changes, .n = n, .load = load};
    sort_items(&all, n_pairs);
    split(&all);
    struct shr_tasks tasks = {
        .task = walk_part, .ctx = &all, .n = all.n_parts, .name = "commit-keys"};
    shr_tasks_begin(&tasks, HELPERS);
    int code = shr_tasks_end(&tasks, err);
    keys_init(out, n);
    if (code == 0) {
        join(out, &all);
    }
    free_parts(&all);
    free(all.items);
    return code;
}

void shr_apply_keys_free(struct shr_apply_keys *keys) {
    for (size_t b = 0; b < keys->n_blocks; b++) {
        shr_buf_free(&keys->blocks[b].changes);
        free(keys->blocks[b].changed);
    }
    free(keys->blocks);
    shr_versions_free(&keys->newest);
    shr_versions_free(&keys->old);
    shr_batch_free(&keys->batch);
    *keys = (struct shr_apply_keys){0};
}
