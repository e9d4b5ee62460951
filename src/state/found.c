#include "state/found.h"

#include "base/alloc.h"
#include "state/leaf_sort.h"
#include "state/root_page.h"
#include "state/state_impl.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LOAD_BYTES_MIN ((size_t)1 << 20) /* of a batch; a smaller one is written */
/* One more than fit a bucket: whether a subtree is one page. */
#define WINDOW (SHR_ROOT_BUCKET_MAX + 1)

struct shr_found {
    struct shr_state *state;
    uint32_t height;
    struct shr_leaf_sort *leaves; /* NULL: no state root is kept */
    size_t batch_max;
    struct shr_batch batch;
    struct shr_buf row;
    struct shr_buf last_key;
    uint64_t n_keys;
    uint64_t next_block;
    struct shr_block_record last; /* that of `height`, once it was given */

    /* while the tree is made */
    struct shr_root_leaf window[WINDOW]; /* the next leaves */
    size_t n_window;
};

int shr_found_begin(struct shr_found **out, struct shr_state *state, uint32_t height,
                    const char *scratch, size_t memory_max, struct shrewd_error *err) {
    if (state->base != NULL || state->now.has_tip || height < state->identity.start_height) {
        return shr_fail(err, SHREWD_INVALID,
                        "'%s' cannot begin with the state after block %" PRIu32
                        ": it holds blocks, is a fork, or starts above",
                        state->store->name, height);
    }
    struct shr_found *found = shr_alloc(sizeof *found);
    found->state = state;
    found->height = height;
    found->batch_max = memory_max / 2;
    found->next_block = state->identity.start_height;
    if (state->root != NULL) {
        found->leaves = shr_leaf_sort_new(scratch, memory_max / 2);
    }
    *out = found;
    return 0;
}

void shr_found_free(struct shr_found *found) {
    if (found != NULL) {
        shr_leaf_sort_free(found->leaves);
        shr_batch_free(&found->batch);
        shr_buf_free(&found->last_key);
        shr_buf_free(&found->row);
        free(found);
    }
}

/* Many rows are loaded: they go neither through the log nor into write buffers. */
static int write_batch(struct shr_found *found, struct shrewd_error *err) {
    static const enum shr_table tables[] = {SHR_TABLE_LATEST, SHR_TABLE_BLOCKS, SHR_TABLE_ROOT};
    struct shr_store *store = found->state->store;
    int code = 0;
    if (shr_store_loads(store) && found->batch.bytes >= LOAD_BYTES_MIN) {
        for (size_t i = 0; code == 0 && i < sizeof tables / sizeof tables[0]; i++) {
            code = shr_store_load(store, &found->batch, tables[i], err);
        }
    } else {
        code = shr_store_write(store, &found->batch, false, err);
    }
    shr_batch_clear(&found->batch);
    return code;
}

static int put_row(struct shr_found *found, enum shr_table table, struct shr_bytes key,
                   struct shrewd_error *err) {
    shr_batch_put(&found->batch, table, key, shr_buf_bytes(&found->row));
    size_t held = found->batch.bytes + found->batch.n * sizeof *found->batch.writes;
    return held < found->batch_max ? 0 : write_batch(found, err);
}

int shr_found_block(struct shr_found *found, const struct shr_block_record *record,
                    struct shrewd_error *err) {
    struct shr_height_key key = shr_height_key(record->height);
    if (record->height != found->next_block || record->height > found->height) {
        return shr_fail(err, SHREWD_INVALID,
                        "the record of block %" PRIu32 " is not that of the next block, %" PRIu64,
                        record->height, found->next_block);
    }
    found->next_block++;
    if (record->height == found->height) {
        found->last = *record;
        return 0;
    }
    shr_record_encode(&found->row, record);
    return put_row(found, SHR_TABLE_BLOCKS, shr_height_key_bytes(&key), err);
}

int shr_found_put(struct shr_found *found, struct shr_bytes key, struct shr_bytes value,
                  struct shrewd_error *err) {
    struct shr_pair pair = {key, value};
    struct shr_block_change change = {.height = found->height, .pairs = &pair, .n_pairs = 1};
    int code = shr_state_check_change(&change, err);
    if (code != 0) {
        return code;
    }
    if (found->n_keys > 0 && shr_bytes_cmp(shr_buf_bytes(&found->last_key), key) >= 0) {
        return shr_fail(err, SHREWD_INVALID, "a key does not come after the one before");
    }
    shr_buf_set(&found->last_key, key);
    found->n_keys++;
    if (found->leaves != NULL) {
        struct shr_root_leaf leaf;
        shr_sha256(&leaf.key, key);
        shr_sha256(&leaf.value, value);
        code = shr_leaf_sort_add(found->leaves, &leaf, err);
    }
    shr_version_encode(&found->row, value, found->height);
    return code != 0 ? code : put_row(found, SHR_TABLE_LATEST, key, err);
}

/* --- The tree, from the leaves up --- */

static int refill(struct shr_found *found, size_t taken, struct shrewd_error *err) {
    size_t n = 0;
    found->n_window -= taken;
    memmove(found->window, found->window + taken, found->n_window * sizeof found->window[0]);
    int code = shr_leaf_sort_take(found->leaves, found->window + found->n_window,
                                  WINDOW - found->n_window, &n, err);
    found->n_window += n;
    return code;
}

static bool same_path(const struct shr_hash *a, const struct shr_hash *b, unsigned nibbles) {
    return memcmp(a->b, b->b, nibbles / 2) == 0 &&
           (nibbles % 2 == 0 || shr_root_nibble(a, nibbles - 1) == shr_root_nibble(b, nibbles - 1));
}

static int build_page(struct shr_found *found, unsigned depth, struct shr_root_top *out,
                      struct shrewd_error *err);

/* The pages below, of all leaves on the path. */
static int build_slots(struct shr_found *found, struct shr_root_page *page,
                       const struct shr_hash *path, struct shrewd_error *err) {
    int code = 0;
    while (code == 0 && found->n_window > 0 &&
           same_path(&found->window[0].key, path, page->depth)) {
        unsigned nibble = shr_root_nibble(&found->window[0].key, page->depth);
        code = build_page(found, page->depth + 1u, &page->of.inner->slots[nibble], err);
        shr_root_slot_held(page->of.inner, nibble);
    }
    return code;
}

/* The page to which the next leaf belongs, and those below it: rows with the whole page each. */
static int build_page(struct shr_found *found, unsigned depth, struct shr_root_top *out,
                      struct shrewd_error *err) {
    struct shr_hash path = found->window[0].key;
    size_t n = 1;
    while (n < found->n_window && same_path(&found->window[n].key, &path, depth)) {
        n++;
    }
    struct shr_root_page *page = shr_root_page_new(depth, n == WINDOW);
    int code;
    if (page->is_inner) {
        code = build_slots(found, page, &path, err);
    } else {
        shr_root_page_reserve(page, n);
        memcpy(page->of.leaves, found->window, n * sizeof found->window[0]);
        page->n = (uint16_t)n;
        code = refill(found, n, err);
    }
    if (code == 0) {
        struct shr_root_key key = shr_root_key(depth, &path, found->height);
        shr_root_page_top(out, page);
        shr_root_full_encode(&found->row, page);
        code = put_row(found, SHR_TABLE_ROOT, shr_root_key_bytes(&key), err);
    }
    shr_root_page_free(page);
    return code;
}

static int build_tree(struct shr_found *found, struct shr_root_top *out, struct shrewd_error *err) {
    int code = shr_leaf_sort_end(found->leaves, err);
    code = code != 0 ? code : refill(found, 0, err);
    return code != 0 || found->n_window == 0 ? code : build_page(found, 0, out, err);
}

/* --- The end --- */

static int check_end(const struct shr_found *found, const struct shr_root_top *top,
                     struct shrewd_error *err) {
    const struct shr_block_record *last = &found->last;
    if (found->next_block != (uint64_t)found->height + 1 || last->total_keys != found->n_keys) {
        return shr_fail(err, SHREWD_CORRUPT,
                        "the state after block %" PRIu32
                        " is not whole: it has %llu keys where %llu are named, and records up to "
                        "block %lld",
                        found->height, (unsigned long long)found->n_keys,
                        (unsigned long long)last->total_keys, (long long)found->next_block - 1);
    }
    if (found->leaves != NULL && last->has_root && !shr_hash_eq(&last->root, &top->hash)) {
        return shr_fail(err, SHREWD_CORRUPT,
                        "the state after block %" PRIu32 " does not have the state root it names",
                        found->height);
    }
    return 0;
}

static void put_meta(struct shr_found *found, const struct shr_block_record *record) {
    struct shr_height_key key = shr_height_key(record->height);
    shr_record_encode(&found->row, record);
    shr_batch_put(&found->batch, SHR_TABLE_BLOCKS, shr_height_key_bytes(&key),
                  shr_buf_bytes(&found->row));
    shr_pruned_encode(&found->row, record->height);
    shr_batch_put(&found->batch, SHR_TABLE_META, shr_bytes_str(SHR_META_PRUNED),
                  shr_buf_bytes(&found->row));
    shr_tip_encode(&found->row, record);
    shr_batch_put(&found->batch, SHR_TABLE_META, shr_bytes_str(SHR_META_TIP),
                  shr_buf_bytes(&found->row));
}

int shr_found_end(struct shr_found *found, struct shr_block_record *out, struct shrewd_error *err) {
    struct shr_state *state = found->state;
    struct shr_root_top top = {0};
    int code = found->leaves != NULL ? build_tree(found, &top, err) : 0;
    code = code != 0 ? code : check_end(found, &top, err);
    code = code != 0 ? code : write_batch(found, err);
    if (code != 0) {
        return code;
    }
    *out = found->last;
    out->has_root = found->leaves != NULL;
    out->root = top.hash;
    put_meta(found, out);
    code = shr_store_write(state->store, &found->batch, true, err);
    if (code == 0) {
        state->now.oldest = found->height;
        state->now.pruned = true;
        state->now.at.epoch++; /* what was read of the empty state is no more */
        code = shr_state_applied(state, out, &(struct shr_versions){0}, err);
    }
    return code;
}
