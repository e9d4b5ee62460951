/* From hashes of keys to the keys, and their values. */
#include "diff/impl.h"

#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

static int by_hash(const void *a, const void *b) {
    const struct shr_diff_key *left = a, *right = b;
    return memcmp(left->hash.b, right->hash.b, sizeof left->hash.b);
}

/* How many keys of the list are ones that were looked for. */
static size_t take_names(struct shr_diff_result *result, const struct shr_key_list *list) {
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++) {
        struct shr_bytes bytes = shr_key_list_at(list, i);
        struct shr_diff_key wanted = {0};
        shr_sha256(&wanted.hash, bytes);
        struct shr_diff_key *key =
            bsearch(&wanted, result->keys, result->n, sizeof wanted, by_hash);
        if (key != NULL && !key->named) {
            key->named = true;
            shr_buf_add(&key->key, bytes);
            n++;
        }
    }
    return n;
}

/* Goes through the keys that the block changed, or through all, until none is left to be found. */
static int look_through(struct shr_diff *diff, int side, bool all, size_t *left,
                        struct shrewd_error *err) {
    const struct shr_diff_ops *ops = diff->sources[side].ops;
    struct shr_key_range range = {.height = diff->result->read_at};
    struct shr_key_list list = {0};
    struct shr_block_record block;
    struct shr_buf last = {0};
    int code = 0;
    if (all) {
        range.prefix = diff->options->prefix;
    }
    for (list.more = true; code == 0 && list.more && *left > 0;) {
        code =
            (all ? ops->keys : ops->changed)(shr_diff_ask(diff, side), &block, &list, &range, err);
        if (code == 0) {
            *left -= take_names(diff->result, &list);
            list.more = list.more && list.n > 0;
        }
        if (code == 0 && list.more) {
            shr_buf_set(&last, shr_key_list_at(&list, list.n - 1));
            range.after = shr_buf_bytes(&last);
            range.has_after = true;
        }
    }
    shr_buf_free(&last);
    shr_key_list_free(&list);
    return code == SHREWD_PRUNED && !all ? 0 : shr_diff_failed(diff, side, code, err);
}

/* Whether a key that is on this side has no name yet. */
static bool lacks_names(const struct shr_diff_result *result, int side) {
    for (size_t i = 0; i < result->n; i++) {
        if (!result->keys[i].named && result->keys[i].side[side].there) {
            return true;
        }
    }
    return false;
}

int shr_diff_names(struct shr_diff *diff, struct shrewd_error *err) {
    struct shr_diff_result *result = diff->result;
    size_t left = result->n;
    int code = 0;
    if (left > 0) {
        qsort(result->keys, result->n, sizeof *result->keys, by_hash);
    }
    /* Where two states first differ, they differ in keys that one of them changed there. */
    for (int side = 0; code == 0 && side < 2; side++) {
        code = look_through(diff, side, false, &left, err);
    }
    for (int side = 0; code == 0 && side < 2; side++) {
        if (left > 0 && lacks_names(result, side)) {
            code = look_through(diff, side, true, &left, err);
        }
    }
    return code;
}

static int take_value(struct shr_diff *diff, const struct shr_diff_key *key, int side,
                      struct shr_diff_value *value, uint32_t height, struct shrewd_error *err) {
    struct shr_hash hash;
    int code = diff->sources[side].ops->value(shr_diff_ask(diff, side), &value->value,
                                              shr_buf_bytes(&key->key), height, err);
    if (code == SHREWD_LIMIT || code == SHREWD_NO_ROOT) {
        return 0;
    }
    if (code == SHREWD_NOT_FOUND) {
        value->unlike_tree = true;
        return 0;
    }
    if (code == 0) {
        value->known = true;
        shr_sha256(&hash, shr_buf_bytes(&value->value));
        value->unlike_tree = !shr_hash_eq(&hash, &value->hash);
    }
    return shr_diff_failed(diff, side, code, err);
}

int shr_diff_values(struct shr_diff *diff, struct shrewd_error *err) {
    struct shr_diff_result *result = diff->result;
    int code = 0;
    for (size_t i = 0; code == 0 && i < result->n; i++) {
        struct shr_diff_key *key = &result->keys[i];
        for (int side = 0; code == 0 && side < 2; side++) {
            if (key->named && key->side[side].there) {
                code = take_value(diff, key, side, &key->side[side], result->read_at, err);
            }
        }
    }
    return code;
}
