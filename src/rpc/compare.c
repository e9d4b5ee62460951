#include "rpc/compare.h"

#include "base/alloc.h"
#include "base/hex.h"

#include <inttypes.h>
#include <stdlib.h>

static void add_hex(struct shr_buf *out, const char *before, struct shr_bytes bytes) {
    shr_buf_add_str(out, before);
    shr_buf_add_str(out, "\"0x");
    shr_hex_encode(out, bytes);
    shr_buf_add_u8(out, '"');
}

static void add_hash(struct shr_buf *out, const char *before, const struct shr_hash *hash) {
    add_hex(out, before, shr_bytes(hash->b, sizeof hash->b));
}

/* What each answer begins with: the block after which it holds. */
static void add_block(struct shr_buf *out, const struct shr_block_record *block) {
    char hash[SHR_HASH_HEX_LEN + 1];
    shr_hash_hex(hash, &block->hash);
    shr_buf_printf(out, "{\"height\":%" PRIu32 ",\"hash\":\"0x%s\"", block->height, hash);
}

/* --- shrewd_rootnodes --- */

static int take_path(struct shr_node_path *out, const struct shr_json *json, uint32_t value,
                     struct shrewd_error *err) {
    struct shr_buf scratch = {0}, bits = {0};
    *out = (struct shr_node_path){0};
    bool good = json->values[value].type == SHR_JSON_STRING;
    if (good) {
        struct shr_bytes text = shr_json_text(json, value, &scratch);
        struct shr_buf digits = {0};
        shr_buf_add(&digits, text);
        shr_buf_add_str(&digits, text.len % 2 == 1 ? "0" : "");
        /* "0x" is none of a path's digits, though the decoder would pass over it. */
        good = text.len <= SHR_NODE_NIBBLES_MAX &&
               !(text.len > 1 && (text.data[1] | 0x20) == 'x') &&
               shr_hex_decode(&bits, (const char *)digits.data, digits.len, NULL);
        out->nibbles = (unsigned)text.len;
        shr_buf_free(&digits);
    }
    for (size_t i = 0; good && i < bits.len; i++) {
        out->bits.b[i] = bits.data[i];
    }
    shr_buf_free(&bits);
    shr_buf_free(&scratch);
    return good ? 0
                : shr_fail(err, SHREWD_INVALID,
                           "paths: expected strings of at most %u hex digits, without 0x, that "
                           "SHA-256 of keys begin with",
                           SHR_NODE_NIBBLES_MAX);
}

static int take_paths(struct shr_node_path **out, size_t *out_n, const struct shr_params *params,
                      struct shrewd_error *err) {
    const struct shr_json *json = params->json;
    uint32_t list = params->at[0];
    size_t n = json->values[list].n;
    if (json->values[list].type != SHR_JSON_ARRAY || n > SHR_NODE_PATHS_MAX) {
        return shr_fail(err, SHREWD_INVALID, "paths: expected an array of at most %u strings",
                        SHR_NODE_PATHS_MAX);
    }
    *out = shr_alloc_array(n + 1, sizeof **out);
    *out_n = n;
    int rc = 0;
    uint32_t at = list + 1;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        rc = take_path(&(*out)[i], json, at, err);
        at = json->values[at].next;
    }
    return rc;
}

static void add_nodes(struct shr_buf *out, const struct shr_root_node nodes[SHR_ROOT_BELOW]) {
    for (unsigned i = 0; i < SHR_ROOT_BELOW; i++) {
        const char *before = i == 0 ? "[" : ",";
        if (nodes[i].kind == SHR_ROOT_EMPTY) {
            shr_buf_printf(out, "%snull", before);
        } else if (nodes[i].kind == SHR_ROOT_INNER) {
            add_hash(out, before, &nodes[i].hash);
        } else {
            shr_buf_add_str(out, before);
            add_hash(out, "[", &nodes[i].key);
            add_hash(out, ",", &nodes[i].value);
            shr_buf_add_u8(out, ']');
        }
    }
    shr_buf_add_u8(out, ']');
}

int shr_rootnodes_run(const struct shr_rpc_env *env, struct shr_buf *out,
                      const struct shr_params *params, const _Atomic bool *cancel,
                      struct shrewd_error *err) {
    struct shr_node_path *paths = NULL;
    struct shr_root_node *nodes = NULL;
    struct shr_block_record block;
    size_t n = 0;
    uint32_t height = SHR_LATEST;
    int rc = take_paths(&paths, &n, params, err);
    if (rc == 0) {
        rc = shr_method_height(env, &height, params, 1, err);
    }
    if (rc == 0) {
        nodes = shr_alloc_array(SHR_ROOT_BELOW * n + 1, sizeof *nodes);
        rc = env->source.nodes(env->source.ctx, &block, nodes, paths, n, height, err);
    }
    if (rc == 0) {
        add_block(out, &block);
        add_hash(out, ",\"root\":", &block.root);
        shr_buf_add_str(out, ",\"nodes\":[");
        for (size_t i = 0; i < n; i++) {
            shr_buf_add_str(out, i == 0 ? "" : ",");
            add_nodes(out, nodes + SHR_ROOT_BELOW * i);
        }
        shr_buf_add_str(out, "]}");
    }
    free(nodes);
    free(paths);
    return rc;
}

/* --- Lists of keys --- */

/* The parameter as bytes; *given: whether it is there. */
static int take_bytes(struct shr_buf *out, bool *given, const struct shr_params *params, int i,
                      struct shrewd_error *err) {
    *given = params->at[i] != SHR_JSON_NONE;
    return *given ? shr_param_hex(out, params, i, err) : 0;
}

static void add_list(struct shr_buf *out, const struct shr_block_record *block,
                     const struct shr_key_list *list, bool values) {
    add_block(out, block);
    shr_buf_add_str(out, ",\"keys\":[");
    for (size_t i = 0; i < list->n; i++) {
        shr_buf_add_str(out, i == 0 ? "" : ",");
        add_hex(out, values ? "[" : "", shr_key_list_at(list, i));
        if (values) {
            add_hash(out, ",", &list->keys[i].value);
            shr_buf_add_u8(out, ']');
        }
    }
    shr_buf_printf(out, "],\"more\":%s}", list->more ? "true" : "false");
}

int shr_changes_run(const struct shr_rpc_env *env, struct shr_buf *out,
                    const struct shr_params *params, const _Atomic bool *cancel,
                    struct shrewd_error *err) {
    struct shr_buf after = {0};
    struct shr_key_range range = {0};
    struct shr_key_list list = {0};
    struct shr_block_record block;
    int rc = shr_method_height(env, &range.height, params, 0, err);
    if (rc == 0) {
        rc = take_bytes(&after, &range.has_after, params, 1, err);
    }
    if (rc == 0) {
        range.after = shr_buf_bytes(&after);
        rc = env->source.changed(env->source.ctx, &block, &list, &range, err);
    }
    if (rc == 0) {
        add_list(out, &block, &list, false);
    }
    shr_key_list_free(&list);
    shr_buf_free(&after);
    return rc;
}

int shr_keys_run(const struct shr_rpc_env *env, struct shr_buf *out,
                 const struct shr_params *params, const _Atomic bool *cancel,
                 struct shrewd_error *err) {
    struct shr_buf prefix = {0}, after = {0};
    struct shr_key_range range = {0};
    struct shr_key_list list = {0};
    struct shr_block_record block;
    bool has_prefix = false;
    int rc = take_bytes(&prefix, &has_prefix, params, 0, err);
    if (rc == 0) {
        rc = shr_method_height(env, &range.height, params, 1, err);
    }
    if (rc == 0) {
        rc = take_bytes(&after, &range.has_after, params, 2, err);
    }
    if (rc == 0) {
        rc = shr_param_count(&range.count, params, 3, SHR_KEY_LIST_MAX, err);
    }
    if (rc == 0) {
        range.prefix = shr_buf_bytes(&prefix);
        range.after = shr_buf_bytes(&after);
        rc = env->source.keys(env->source.ctx, &block, &list, &range, err);
    }
    if (rc == 0) {
        add_list(out, &block, &list, true);
    }
    shr_key_list_free(&list);
    shr_buf_free(&after);
    shr_buf_free(&prefix);
    return rc;
}
