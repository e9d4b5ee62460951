#include "cli/diff_server.h"

#include "base/alloc.h"
#include "base/hex.h"
#include "cli/client.h"
#include "cli/output.h"

#include <stdlib.h>
#include <string.h>

static int odd_answer(const char *method, struct shrewd_error *err) {
    return shr_fail(err, SHREWD_NODE,
                    "%s was answered in a way that shrewd does not: is it another version?",
                    method);
}

static json_t *height_param(uint32_t height) {
    return height == UINT32_MAX ? json_string("latest") : json_integer(height);
}

/* A string of hex; replaces `out`. */
static bool read_hex(struct shr_buf *out, const json_t *value) {
    shr_buf_clear(out);
    return json_is_string(value) &&
           shr_hex_decode(out, json_string_value(value), json_string_length(value), NULL);
}

/* 32 bytes, in the order of the digits. */
static bool read_digest(struct shr_hash *out, const json_t *value) {
    struct shr_buf bytes = {0};
    bool good = read_hex(&bytes, value) && bytes.len == sizeof out->b;
    if (good) {
        memcpy(out->b, bytes.data, sizeof out->b);
    }
    shr_buf_free(&bytes);
    return good;
}

static bool read_block(struct shr_block_record *out, const json_t *answer) {
    const json_t *height = json_object_get(answer, "height");
    const json_t *hash = json_object_get(answer, "hash");
    *out = (struct shr_block_record){0};
    if (!json_is_integer(height) || json_integer_value(height) < 0 ||
        json_integer_value(height) > UINT32_MAX || !json_is_string(hash)) {
        return false;
    }
    out->height = (uint32_t)json_integer_value(height);
    return shr_hash_parse(&out->hash, json_string_value(hash), json_string_length(hash));
}

static int server_tip(void *ctx, uint32_t *out, struct shrewd_error *err) {
    return shr_client_height(ctx, out, err);
}

static int server_hash(void *ctx, struct shr_hash *out, uint32_t height, struct shrewd_error *err) {
    static const char method[] = "metashrew_getblockhash";
    json_t *result = NULL;
    int code = shr_client_call(ctx, &result, method, json_pack("[o]", height_param(height)), err);
    if (code == 0 && !(json_is_string(result) && shr_hash_parse(out, json_string_value(result),
                                                                json_string_length(result)))) {
        code = odd_answer(method, err);
    }
    json_decref(result);
    return code;
}

static int server_root(void *ctx, struct shr_hash *out, uint32_t height, struct shrewd_error *err) {
    static const char method[] = "metashrew_stateroot";
    json_t *result = NULL;
    int code = shr_client_call(ctx, &result, method, json_pack("[o]", height_param(height)), err);
    if (code == 0 && !read_digest(out, result)) {
        code = odd_answer(method, err);
    }
    json_decref(result);
    return code;
}

static bool read_node(struct shr_root_node *out, const json_t *value) {
    *out = (struct shr_root_node){.kind = SHR_ROOT_EMPTY};
    if (json_is_null(value)) {
        return true;
    }
    if (json_is_array(value)) {
        out->kind = SHR_ROOT_LEAF;
        return json_array_size(value) == 2 && read_digest(&out->key, json_array_get(value, 0)) &&
               read_digest(&out->value, json_array_get(value, 1));
    }
    out->kind = SHR_ROOT_INNER;
    return read_digest(&out->hash, value);
}

static json_t *path_param(const struct shr_node_path *path) {
    char digits[SHR_HASH_HEX_LEN + 1];
    shr_hex_write(digits, shr_bytes(path->bits.b, sizeof path->bits.b));
    return json_stringn(digits, path->nibbles);
}

static int server_nodes(void *ctx, struct shr_block_record *block, struct shr_root_node *out,
                        const struct shr_node_path *paths, size_t n, uint32_t height,
                        struct shrewd_error *err) {
    static const char method[] = "shrewd_rootnodes";
    json_t *list = json_array(), *result = NULL;
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(list, path_param(&paths[i]));
    }
    int code =
        shr_client_call(ctx, &result, method, json_pack("[o,o]", list, height_param(height)), err);
    if (code != 0) {
        return code;
    }
    const json_t *nodes = json_object_get(result, "nodes");
    bool good = read_block(block, result) &&
                read_digest(&block->root, json_object_get(result, "root")) &&
                json_array_size(nodes) == n;
    for (size_t i = 0; good && i < n; i++) {
        const json_t *below = json_array_get(nodes, i);
        good = json_array_size(below) == SHR_ROOT_BELOW;
        for (size_t at = 0; good && at < SHR_ROOT_BELOW; at++) {
            good = read_node(&out[SHR_ROOT_BELOW * i + at], json_array_get(below, at));
        }
    }
    json_decref(result);
    return good ? 0 : odd_answer(method, err);
}

/* `values`: each key comes with the hash of its value. */
static bool read_list(struct shr_block_record *block, struct shr_key_list *out,
                      const json_t *answer, bool values) {
    const json_t *keys = json_object_get(answer, "keys");
    const json_t *more = json_object_get(answer, "more");
    struct shr_buf key = {0};
    bool good = read_block(block, answer) && json_is_array(keys) && json_is_boolean(more);
    shr_key_list_clear(out);
    for (size_t i = 0; good && i < json_array_size(keys); i++) {
        const json_t *one = json_array_get(keys, i);
        struct shr_hash hash = {{0}};
        good = read_hex(&key, values ? json_array_get(one, 0) : one) &&
               (!values || read_digest(&hash, json_array_get(one, 1)));
        if (good) {
            shr_key_list_add(out, shr_buf_bytes(&key), &hash);
        }
    }
    out->more = json_is_true(more);
    shr_buf_free(&key);
    return good;
}

static json_t *after_param(const struct shr_key_range *range) {
    return range->has_after ? shr_json_hex(range->after) : json_null();
}

static int server_keys(void *ctx, struct shr_block_record *block, struct shr_key_list *out,
                       const struct shr_key_range *range, struct shrewd_error *err) {
    static const char method[] = "shrewd_keys";
    json_t *result = NULL;
    json_t *count = range->count > 0 ? json_integer(range->count) : json_null();
    json_t *params = json_pack("[o,o,o,o]", shr_json_hex(range->prefix),
                               height_param(range->height), after_param(range), count);
    int code = shr_client_call(ctx, &result, method, params, err);
    if (code == 0 && !read_list(block, out, result, true)) {
        code = odd_answer(method, err);
    }
    json_decref(result);
    return code;
}

static int server_changed(void *ctx, struct shr_block_record *block, struct shr_key_list *out,
                          const struct shr_key_range *range, struct shrewd_error *err) {
    static const char method[] = "shrewd_changes";
    json_t *result = NULL;
    json_t *params = json_pack("[o,o]", height_param(range->height), after_param(range));
    int code = shr_client_call(ctx, &result, method, params, err);
    if (code == 0 && !read_list(block, out, result, false)) {
        code = odd_answer(method, err);
    }
    json_decref(result);
    return code;
}

static int server_value(void *ctx, struct shr_buf *out, struct shr_bytes key, uint32_t height,
                        struct shrewd_error *err) {
    static const char method[] = "shrewd_prove";
    json_t *result = NULL;
    json_t *params = json_pack("[[o],o]", shr_json_hex(key), height_param(height));
    int code = shr_client_call(ctx, &result, method, params, err);
    if (code != 0) {
        return code;
    }
    json_t *entry = json_array_get(json_object_get(result, "entries"), 0);
    json_t *value = json_object_get(entry, "value");
    if (json_is_null(value)) {
        code = shr_fail(err, SHREWD_NOT_FOUND, "there is no such key");
    } else if (!read_hex(out, value)) {
        code = odd_answer(method, err);
    }
    json_decref(result);
    return code;
}

static void server_close(void *ctx) {
    shr_client_close(ctx);
}

int shr_diff_server(struct shr_diff_source *out, const char *url, const char *name,
                    struct shrewd_error *err) {
    static const struct shr_diff_ops ops = {
        .tip = server_tip,
        .hash_at = server_hash,
        .root_at = server_root,
        .nodes = server_nodes,
        .keys = server_keys,
        .changed = server_changed,
        .value = server_value,
        .close = server_close,
    };
    struct shr_client *client = NULL;
    int code = shr_client_open(&client, url, err);
    *out = (struct shr_diff_source){0};
    if (code == 0) {
        *out = (struct shr_diff_source){.ops = &ops, .ctx = client, .name = name};
    }
    return code;
}
