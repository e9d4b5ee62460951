/* Arbitrary answers of a server to `shrewd diff`: nothing may crash, hang or leak, and every
 * failure carries its code and a message.
 *
 * An input is one answer a line, in the order of the questions; the last one ends the connection.
 * The first byte picks what is asked: below 7 one question, else a whole comparison with an index.
 */
#include "base/alloc.h"
#include "cli/client.h"
#include "cli/diff_server.h"
#include "diff/diff.h"

#include <stdlib.h>
#include <string.h>

#define BLOCKS 4u
#define PATHS 2u
#define QUESTIONS 7u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct shr_state *sound; /* lives as long as the process */

static void check(int code, const struct shrewd_error *err) {
    if (code > 0 || (code != 0 && (err->code != code || err->message[0] == 0))) {
        abort();
    }
}

/* --- The connection, instead of client.c --- */

struct shr_client {
    struct shr_bytes left;
};
static struct shr_client connection;

int shr_client_open(struct shr_client **out, const char *url, struct shrewd_error *err) {
    *out = &connection;
    return 0;
}

void shr_client_close(struct shr_client *client) {
}

int shr_client_call(struct shr_client *client, json_t **result, const char *method, json_t *params,
                    struct shrewd_error *err) {
    if (!json_is_array(params)) {
        abort();
    }
    json_decref(params);
    *result = NULL;
    if (client->left.len > 0) {
        const uint8_t *end = memchr(client->left.data, '\n', client->left.len);
        size_t n = end == NULL ? client->left.len : (size_t)(end - client->left.data);
        *result = json_loadb((const char *)client->left.data, n, JSON_DECODE_ANY, NULL);
        n += end != NULL;
        client->left = shr_bytes(client->left.data + n, client->left.len - n);
    }
    return *result != NULL ? 0 : shr_fail(err, SHREWD_IO, "no answer to %s", method);
}

int shr_client_height(struct shr_client *client, uint32_t *out, struct shrewd_error *err) {
    json_t *result = NULL;
    int code = shr_client_call(client, &result, "metashrew_height", json_array(), err);
    *out = (uint32_t)json_integer_value(result);
    json_decref(result);
    return code;
}

/* --- The index it is compared with --- */

static void make_sound(void) {
    static const struct shr_identity identity = {.start_height = 1};
    static const char *const keys[] = {"", "a", "ab", "b"};
    if (shr_state_open(&sound, shr_store_new_memory(), &identity, false, NULL) != 0) {
        abort();
    }
    shr_state_set_cache(sound, 0); /* whose entries would count as leaked */
    for (uint32_t height = 1; height <= BLOCKS; height++) {
        struct shr_pair pairs[] = {
            {shr_bytes_str(keys[height % 4]), shr_bytes_str("x")},
            {shr_bytes_str(keys[(height + 1) % 4]), shr_bytes_str(keys[height - 1])}};
        struct shr_block_change change = {
            .height = height, .hash = {{1}}, .pairs = pairs, .n_pairs = 2};
        if (shr_state_apply(sound, &change, false, NULL) != 0) {
            abort();
        }
    }
}

static void ask(struct shr_diff_source *server, uint8_t what) {
    struct shr_root_node nodes[PATHS * SHR_ROOT_BELOW];
    struct shr_node_path paths[PATHS] = {{.nibbles = 0}, {.nibbles = 1}};
    struct shr_key_range range = {.height = 3};
    struct shr_block_record block;
    struct shr_key_list list = {0};
    struct shr_buf value = {0};
    struct shr_hash hash;
    struct shrewd_error err = {0};
    uint32_t height;
    int code = what == 0   ? server->ops->tip(server->ctx, &height, &err)
               : what == 1 ? server->ops->hash_at(server->ctx, &hash, 3, &err)
               : what == 2 ? server->ops->root_at(server->ctx, &hash, 3, &err)
               : what == 3 ? server->ops->nodes(server->ctx, &block, nodes, paths, PATHS, 3, &err)
               : what == 4 ? server->ops->keys(server->ctx, &block, &list, &range, &err)
               : what == 5 ? server->ops->changed(server->ctx, &block, &list, &range, &err)
                           : server->ops->value(server->ctx, &value, shr_bytes_str("a"), 3, &err);
    check(code, &err);
    shr_key_list_free(&list);
    shr_buf_free(&value);
}

static void compare(struct shr_diff_source *server, bool deep, bool first) {
    struct shr_diff_source sources[2];
    struct shr_diff_options options = {.height = UINT32_MAX, .deep = deep};
    struct shr_diff_result result;
    struct shrewd_error err = {0};
    sources[first ? 0 : 1] = *server;
    check(shr_diff_state(&sources[first ? 1 : 0], sound, "sound", &err), &err);
    check(shr_diff_run(&result, sources, &options, &err), &err);
    shr_diff_result_free(&result);
    shr_diff_source_close(&sources[first ? 1 : 0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    struct shr_diff_source server;
    struct shrewd_error err = {0};
    if (sound == NULL) {
        make_sound();
    }
    if (len == 0) {
        return 0;
    }
    connection.left = shr_bytes(data + 1, len - 1);
    check(shr_diff_server(&server, "fuzz", "fuzz", &err), &err);
    if (data[0] < QUESTIONS) {
        ask(&server, data[0]);
    } else {
        compare(&server, data[0] % 2 == 0, data[0] % 4 < 2);
    }
    shr_diff_source_close(&server);
    return 0;
}
