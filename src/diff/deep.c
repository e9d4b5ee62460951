/* Key by key: both states in key order at one height, then for each key that differs the height
 * from which on it does. */
#include "diff/impl.h"

#include "base/alloc.h"

/* One side's keys in order, a list at a time. */
struct cursor {
    struct shr_diff *diff;
    int side;
    bool changed; /* those that a block changed, else all */
    struct shr_key_range range;
    struct shr_key_list list;
    size_t at;
    struct shr_buf last;
};

/* Makes sure that the next key is at hand, if there is one. */
static int fill(struct cursor *cursor, struct shrewd_error *err) {
    struct shr_key_list *list = &cursor->list;
    while (cursor->at == list->n && list->more) {
        struct shr_block_record block;
        if (list->n > 0) {
            shr_buf_set(&cursor->last, shr_key_list_at(list, list->n - 1));
            cursor->range.after = shr_buf_bytes(&cursor->last);
            cursor->range.has_after = true;
        }
        const struct shr_diff_ops *ops = cursor->diff->sources[cursor->side].ops;
        int code = (cursor->changed ? ops->changed : ops->keys)(
            shr_diff_ask(cursor->diff, cursor->side), &block, list, &cursor->range, err);
        if (code != 0) {
            return shr_diff_failed(cursor->diff, cursor->side, code, err);
        }
        cursor->at = 0;
        list->more = list->more && list->n > 0;
    }
    return 0;
}

/* Which side has the lower next key: 0 or 1; 2: both have it; -1: neither has one. */
static int next_of(struct cursor cursors[2]) {
    bool has[2];
    for (int side = 0; side < 2; side++) {
        has[side] = cursors[side].at < cursors[side].list.n;
    }
    if (!has[0] || !has[1]) {
        return has[0] ? 0 : has[1] ? 1 : -1;
    }
    int order = shr_bytes_cmp(shr_key_list_at(&cursors[0].list, cursors[0].at),
                              shr_key_list_at(&cursors[1].list, cursors[1].at));
    return order < 0 ? 0 : order > 0 ? 1 : 2;
}

/* False when there are enough. */
static bool add_key(struct shr_diff *diff, const struct cursor cursors[2], int which) {
    struct shr_diff_key *key = shr_diff_add(diff);
    if (key == NULL) {
        return false;
    }
    for (int side = 0; side < 2; side++) {
        if (which == side || which == 2) {
            const struct cursor *cursor = &cursors[side];
            shr_buf_set(&key->key, shr_key_list_at(&cursor->list, cursor->at));
            key->side[side].there = true;
            key->side[side].hash = cursor->list.keys[cursor->at].value;
        }
    }
    key->named = true;
    shr_sha256(&key->hash, shr_buf_bytes(&key->key));
    return true;
}

/* next_of, once both keys are at hand. */
static int next_key(struct cursor cursors[2], int *which, struct shrewd_error *err) {
    int code = fill(&cursors[0], err);
    code = code != 0 ? code : fill(&cursors[1], err);
    *which = code == 0 ? next_of(cursors) : -1;
    return code;
}

static int merge(struct shr_diff *diff, struct cursor cursors[2], struct shrewd_error *err) {
    for (bool more = true; more;) {
        int which = -1;
        int code = next_key(cursors, &which, err);
        if (code != 0) {
            return code;
        }
        if (which < 0) {
            return 0;
        }
        bool same = which == 2 && shr_hash_eq(&cursors[0].list.keys[cursors[0].at].value,
                                              &cursors[1].list.keys[cursors[1].at].value);
        more = same || add_key(diff, cursors, which);
        cursors[0].at += which != 1;
        cursors[1].at += which != 0;
    }
    return 0;
}

/* The hash of a key's value; zero when there is none, or the state is not held. */
static int value_at(struct shr_diff *diff, int side, struct shr_hash *out, bool *held,
                    struct shr_bytes key, uint32_t height, struct shrewd_error *err) {
    struct shr_key_range range = {.prefix = key, .height = height, .count = 1};
    struct shr_key_list list = {0};
    struct shr_block_record block;
    *out = (struct shr_hash){{0}};
    const struct shr_diff_ops *ops = diff->sources[side].ops;
    int code = ops->keys(shr_diff_ask(diff, side), &block, &list, &range, err);
    *held = code == 0;
    if (code == SHREWD_PRUNED || code == SHREWD_BELOW_START) {
        code = 0;
    } else if (code == 0 && list.n > 0 && shr_bytes_eq(shr_key_list_at(&list, 0), key)) {
        *out = list.keys[0].value; /* of all that start with it, it is the first */
    }
    shr_key_list_free(&list);
    return shr_diff_failed(diff, side, code, err);
}

static int probe_key(struct shr_diff *diff, void *ctx, bool *differ, uint32_t height,
                     struct shrewd_error *err) {
    const struct shr_diff_key *key = ctx;
    struct shr_hash hashes[2];
    bool held[2];
    for (int side = 0; side < 2; side++) {
        int code =
            value_at(diff, side, &hashes[side], &held[side], shr_buf_bytes(&key->key), height, err);
        if (code != 0) {
            return code;
        }
    }
    *differ = held[0] && held[1] && !shr_hash_eq(&hashes[0], &hashes[1]);
    return 0;
}

static void begin(struct shr_diff *diff, struct cursor cursors[2], bool changed, uint32_t height) {
    for (int side = 0; side < 2; side++) {
        cursors[side] = (struct cursor){
            .diff = diff,
            .side = side,
            .changed = changed,
            .range = {.prefix = diff->options->prefix, .height = height},
            .list.more = true,
        };
    }
}

static void end(struct cursor cursors[2]) {
    for (int side = 0; side < 2; side++) {
        shr_key_list_free(&cursors[side].list);
        shr_buf_free(&cursors[side].last);
    }
}

/* A key that one side's block changed: what each side has under it now. */
static int compare_key(struct shr_diff *diff, struct shr_bytes bytes, bool *more,
                       struct shrewd_error *err) {
    uint32_t height = diff->result->height;
    struct shr_hash hashes[2];
    bool held;
    for (int side = 0; side < 2; side++) {
        int code = value_at(diff, side, &hashes[side], &held, bytes, height, err);
        if (code != 0) {
            return code;
        }
    }
    if (shr_hash_eq(&hashes[0], &hashes[1])) {
        return 0;
    }
    struct shr_diff_key *key = shr_diff_add(diff);
    *more = key != NULL;
    if (key != NULL) {
        key->named = true;
        key->height = height;
        shr_buf_set(&key->key, bytes);
        shr_sha256(&key->hash, bytes);
    }
    for (int side = 0; key != NULL && side < 2; side++) {
        key->side[side].hash = hashes[side];
        key->side[side].there = !shr_hash_is_zero(&hashes[side]);
    }
    return 0;
}

int shr_diff_block(struct shr_diff *diff, struct shrewd_error *err) {
    struct cursor cursors[2];
    begin(diff, cursors, true, diff->result->height);
    int code = 0;
    for (bool more = true; code == 0 && more;) {
        int which = -1;
        code = next_key(cursors, &which, err);
        if (code != 0 || which < 0) {
            break;
        }
        const struct cursor *cursor = &cursors[which == 1];
        struct shr_bytes key = shr_key_list_at(&cursor->list, cursor->at);
        if (shr_bytes_starts(key, diff->options->prefix)) { /* a server lists all of them */
            code = compare_key(diff, key, &more, err);
        }
        cursors[0].at += which != 1;
        cursors[1].at += which != 0;
    }
    end(cursors);
    return code;
}

int shr_diff_deep(struct shr_diff *diff, struct shrewd_error *err) {
    struct shr_diff_result *result = diff->result;
    struct cursor cursors[2];
    begin(diff, cursors, false, result->compared);
    int code = merge(diff, cursors, err);
    end(cursors);
    result->differ = result->n > 0;
    result->read_at = result->height = result->compared;
    for (size_t i = 0; code == 0 && i < result->n; i++) {
        struct shr_diff_key *key = &result->keys[i];
        code = shr_diff_bisect(diff, probe_key, key, &key->height, result->compared, err);
        result->height = key->height < result->height ? key->height : result->height;
    }
    return code;
}
