#include "state/compare.h"

#include "base/alloc.h"
#include "state/state_impl.h"

#include <stdlib.h>
#include <string.h>

void shr_key_list_add(struct shr_key_list *list, struct shr_bytes key,
                      const struct shr_hash *value) {
    if (list->n == list->cap) {
        list->cap = list->cap == 0 ? 64 : list->cap * 2;
        list->keys = shr_realloc_array(list->keys, list->cap, sizeof *list->keys);
    }
    list->keys[list->n++] = (struct shr_listed_key){
        .at = list->bytes.len,
        .len = key.len,
        .value = value != NULL ? *value : (struct shr_hash){{0}},
    };
    shr_buf_add(&list->bytes, key);
}

void shr_key_list_clear(struct shr_key_list *list) {
    list->n = 0;
    list->more = false;
    shr_buf_clear(&list->bytes);
}

void shr_key_list_free(struct shr_key_list *list) {
    free(list->keys);
    shr_buf_free(&list->bytes);
    *list = (struct shr_key_list){0};
}

/* The record of a height that can be read. */
static int held_block(struct shr_reader *reader, struct shr_block_record *out, uint32_t height,
                      struct shrewd_error *err) {
    int code = 0;
    if (height == UINT32_MAX) {
        code = shr_reader_tip(reader, out, err);
        height = out->height;
    }
    return code != 0 ? code : shr_reader_held(reader, out, height, err);
}

int shr_reader_nodes(struct shr_reader *reader, struct shr_block_record *block,
                     struct shr_root_node *out, const struct shr_node_path *paths, size_t n,
                     uint32_t height, struct shrewd_error *err) {
    if (n > SHR_NODE_PATHS_MAX) {
        return shr_fail(err, SHREWD_LIMIT, "%zu paths; one call takes at most %u", n,
                        SHR_NODE_PATHS_MAX);
    }
    int code = held_block(reader, block, height, err);
    if (code == 0 && (!block->has_root || shr_state_is_fork(reader->state))) {
        code = shr_fail(err, SHREWD_NO_ROOT, "this database keeps no state root for height %u",
                        block->height);
    }
    if (code != 0) {
        return code;
    }
    struct shr_root_view *view =
        shr_root_view_new(reader->state->store, reader->snapshot, block->height);
    for (size_t i = 0; code == 0 && i < n; i++) {
        code =
            shr_root_below(view, out + SHR_ROOT_BELOW * i, paths[i].nibbles, &paths[i].bits, err);
    }
    shr_root_view_free(view);
    return code;
}

/* Whether the list takes one more key; when not, it says that there is more. */
static bool has_room(struct shr_key_list *list, size_t count) {
    list->more = list->n >= count || list->bytes.len >= SHR_KEY_LIST_BYTES;
    return !list->more;
}

struct listing {
    struct shr_key_list *list;
    const struct shr_key_range *range;
    size_t count;
};

static enum shr_scan_step list_key(void *ctx, struct shr_bytes key, struct shr_bytes value) {
    const struct listing *listing = ctx;
    struct shr_hash hash;
    if (!has_room(listing->list, listing->count)) {
        return SHR_SCAN_DONE;
    }
    shr_sha256(&hash, value);
    shr_key_list_add(listing->list, key, &hash);
    return SHR_SCAN_MORE;
}

int shr_reader_keys(struct shr_reader *reader, struct shr_block_record *block,
                    struct shr_key_list *out, const struct shr_key_range *range,
                    struct shrewd_error *err) {
    struct listing listing = {out, range, range->count};
    if (listing.count == 0 || listing.count > SHR_KEY_LIST_MAX) {
        listing.count = SHR_KEY_LIST_MAX;
    }
    shr_key_list_clear(out);
    int code = held_block(reader, block, range->height, err);
    if (code != 0) {
        return code;
    }
    struct shr_buf from = {0};
    if (range->has_after) {
        shr_buf_set(&from, range->after);
        shr_buf_add_u8(&from, 0); /* the smallest key after it */
    }
    code = shr_reader_each_from(reader, range->prefix, shr_buf_bytes(&from), block->height,
                                list_key, &listing, err);
    shr_buf_free(&from);
    return code;
}

/* What ends a walk through changes when the list is full. */
#define LIST_FULL 1

static int list_change(void *ctx, struct shr_bytes key, struct shrewd_error *err) {
    const struct listing *listing = ctx;
    const struct shr_key_range *range = listing->range;
    bool wanted = shr_bytes_starts(key, range->prefix) &&
                  (!range->has_after || shr_bytes_cmp(key, range->after) > 0);
    if (wanted && !has_room(listing->list, listing->count)) {
        return LIST_FULL;
    }
    if (wanted) {
        shr_key_list_add(listing->list, key, NULL);
    }
    return 0;
}

int shr_reader_changed(struct shr_reader *reader, struct shr_block_record *block,
                       struct shr_key_list *out, const struct shr_key_range *range,
                       struct shrewd_error *err) {
    struct listing listing = {out, range, SHR_KEY_LIST_MAX};
    shr_key_list_clear(out);
    int code = held_block(reader, block, range->height, err);
    uint32_t oldest = shr_reader_oldest(reader);
    if (code == 0 && block->height == oldest && shr_reader_pruned(reader)) {
        code = shr_fail(err, SHREWD_PRUNED,
                        "what block %u changed was pruned: the oldest height held is %u",
                        block->height, oldest);
    }
    if (code == 0) {
        code = shr_reader_changes(reader, block->height, list_change, &listing, err);
    }
    return code == LIST_FULL ? 0 : code;
}
