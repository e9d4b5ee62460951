#include "diff/impl.h"

#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

#define KEYS_MAX_PREFIX 1000000u /* looked through for those that start with a prefix */

void *shr_diff_ask(struct shr_diff *diff, int side) {
    diff->sources[side].requests++;
    return diff->sources[side].ctx;
}

int shr_diff_failed(const struct shr_diff *diff, int side, int code, struct shrewd_error *err) {
    return code == 0 ? 0 : shr_fail_in(err, code, "%s", diff->sources[side].name);
}

int shr_diff_bisect(struct shr_diff *diff, shr_diff_probe_fn *probe, void *ctx, uint32_t *out,
                    uint32_t high, struct shrewd_error *err) {
    uint32_t low = 0; /* everything below is equal */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        bool differ = false;
        int code = probe(diff, ctx, &differ, middle, err);
        if (code != 0) {
            return code;
        }
        if (differ) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    *out = high;
    return 0;
}

struct shr_diff_key *shr_diff_add(struct shr_diff *diff) {
    struct shr_diff_result *result = diff->result;
    if (result->n == diff->keys_max) {
        result->cut = true;
        return NULL;
    }
    if (result->n == result->cap) {
        result->cap = result->cap == 0 ? 16 : result->cap * 2;
        result->keys = shr_realloc_array(result->keys, result->cap, sizeof *result->keys);
    }
    struct shr_diff_key *key = &result->keys[result->n++];
    *key = (struct shr_diff_key){0};
    return key;
}

static void free_key(struct shr_diff_key *key) {
    shr_buf_free(&key->key);
    shr_buf_free(&key->side[0].value);
    shr_buf_free(&key->side[1].value);
}

void shr_diff_result_free(struct shr_diff_result *result) {
    for (size_t i = 0; i < result->n; i++) {
        free_key(&result->keys[i]);
    }
    free(result->keys);
    *result = (struct shr_diff_result){0};
}

typedef int hash_fn(void *ctx, struct shr_hash *out, uint32_t height, struct shrewd_error *err);

/* Whether one kind of hash differs; below the first block of either there is nothing to compare. */
static int differ_at(struct shr_diff *diff, bool roots, struct shr_hash out[2], bool *differ,
                     uint32_t height, struct shrewd_error *err) {
    *differ = false;
    for (int side = 0; side < 2; side++) {
        const struct shr_diff_ops *ops = diff->sources[side].ops;
        hash_fn *ask = roots ? ops->root_at : ops->hash_at;
        int code = ask(shr_diff_ask(diff, side), &out[side], height, err);
        if (code == SHREWD_BELOW_START) {
            return 0;
        }
        if (code != 0) {
            return shr_diff_failed(diff, side, code, err);
        }
    }
    *differ = !shr_hash_eq(&out[0], &out[1]);
    return 0;
}

static int probe_chain(struct shr_diff *diff, void *ctx, bool *differ, uint32_t height,
                       struct shrewd_error *err) {
    return differ_at(diff, false, ctx, differ, height, err);
}

static int probe_root(struct shr_diff *diff, void *ctx, bool *differ, uint32_t height,
                      struct shrewd_error *err) {
    return differ_at(diff, true, ctx, differ, height, err);
}

/* The highest height that is looked at. */
static int settle_height(struct shr_diff *diff, struct shrewd_error *err) {
    struct shr_diff_result *result = diff->result;
    for (int side = 0; side < 2; side++) {
        int code = diff->sources[side].ops->tip(shr_diff_ask(diff, side), &result->tips[side], err);
        if (code != 0) {
            return shr_diff_failed(diff, side, code, err);
        }
    }
    int lower = result->tips[1] < result->tips[0];
    result->compared = result->tips[lower];
    uint32_t wanted = diff->options->height;
    if (wanted != UINT32_MAX && wanted > result->compared) {
        return shr_fail(err, SHREWD_ABOVE_TIP, "%s: height %u is above its tip, %u",
                        diff->sources[lower].name, wanted, result->compared);
    }
    result->compared = wanted != UINT32_MAX ? wanted : result->compared;
    return 0;
}

/* Where the chains part; states are compared below that. */
static int compare_chains(struct shr_diff *diff, struct shrewd_error *err) {
    struct shr_diff_result *result = diff->result;
    struct shr_hash hashes[2];
    bool differ = false;
    int code = differ_at(diff, false, hashes, &differ, result->compared, err);
    result->shares_any = true;
    if (code != 0 || !differ) {
        return code;
    }
    result->chains_part = true;
    code = shr_diff_bisect(diff, probe_chain, hashes, &result->part_height, result->compared, err);
    if (code == 0) {
        code = differ_at(diff, false, result->part_hash, &differ, result->part_height, err);
    }
    result->shares_any = result->part_height > 0;
    for (int side = 0; code == 0 && side < 2 && result->shares_any; side++) {
        code = diff->sources[side].ops->hash_at(shr_diff_ask(diff, side), &hashes[side],
                                                result->part_height - 1, err);
        if (code == SHREWD_BELOW_START) {
            result->shares_any = false;
            return 0;
        }
        code = shr_diff_failed(diff, side, code, err);
    }
    result->compared = result->shares_any ? result->part_height - 1 : result->compared;
    return code;
}

static int by_roots(struct shr_diff *diff, struct shrewd_error *err) {
    struct shr_diff_result *result = diff->result;
    struct shr_hash roots[2];
    int code = differ_at(diff, true, result->roots, &result->differ, result->compared, err);
    if (code == SHREWD_NO_ROOT) {
        return shr_fail_in(err, code, "compare the values themselves with --deep");
    }
    result->has_roots = true;
    if (code != 0 || !result->differ) {
        return code;
    }
    code = shr_diff_bisect(diff, probe_root, roots, &result->height, result->compared, err);
    if (code == 0) {
        code = differ_at(diff, true, result->roots, &result->differ, result->height, err);
    }
    code = code != 0 ? code : shr_diff_walk(diff, err);
    code = code != 0 ? code : shr_diff_names(diff, err);
    return code;
}

static int by_key(const void *a, const void *b) {
    const struct shr_diff_key *left = a, *right = b;
    if (left->named != right->named) {
        return left->named ? -1 : 1;
    }
    return left->named ? shr_bytes_cmp(shr_buf_bytes(&left->key), shr_buf_bytes(&right->key))
                       : memcmp(left->hash.b, right->hash.b, sizeof left->hash.b);
}

/* Leaves those that start with the prefix, and of those no more than asked for. */
static void pick_prefix(struct shr_diff *diff, size_t wanted) {
    struct shr_diff_result *result = diff->result;
    size_t kept = 0;
    for (size_t i = 0; i < result->n; i++) {
        struct shr_diff_key *key = &result->keys[i];
        bool inside = key->named ? shr_bytes_starts(shr_buf_bytes(&key->key), diff->options->prefix)
                                 : diff->options->prefix.len == 0;
        result->outside += !inside;
        result->cut = result->cut || (inside && kept == wanted);
        if (inside && kept < wanted) {
            struct shr_diff_key moved = *key;
            result->keys[i] = result->keys[kept];
            result->keys[kept++] = moved;
        }
    }
    for (size_t i = kept; i < result->n; i++) {
        free_key(&result->keys[i]);
    }
    result->n = kept;
}

int shr_diff_run(struct shr_diff_result *out, struct shr_diff_source sources[2],
                 const struct shr_diff_options *options, struct shrewd_error *err) {
    size_t wanted = options->keys_max != 0 ? options->keys_max : SHR_DIFF_KEYS_DEFAULT;
    bool looks = !options->deep && options->prefix.len > 0;
    struct shr_diff diff = {
        .sources = sources,
        .options = options,
        .result = out,
        .keys_max = looks && wanted < KEYS_MAX_PREFIX ? KEYS_MAX_PREFIX : wanted,
    };
    *out = (struct shr_diff_result){0};
    int code = settle_height(&diff, err);
    code = code != 0 ? code : compare_chains(&diff, err);
    if (code == 0 && out->shares_any) {
        code = options->deep ? shr_diff_deep(&diff, err) : by_roots(&diff, err);
    }
    if (code == 0 && out->n > 0) {
        qsort(out->keys, out->n, sizeof *out->keys, by_key);
        pick_prefix(&diff, wanted);
        code = shr_diff_values(&diff, err);
    }
    if (code == 0 && out->differ) {
        code = shr_diff_failed(
            &diff, 0, sources[0].ops->hash_at(shr_diff_ask(&diff, 0), &out->hash, out->height, err),
            err);
    }
    out->requests[0] = sources[0].requests;
    out->requests[1] = sources[1].requests;
    if (code != 0) {
        shr_diff_result_free(out);
    }
    return code;
}
