/* What a node answers over JSON-RPC and REST, and the URL it is reached by: any bytes. */
#include "chain/block.h"
#include "node/rest.h"
#include "node/rpc_parse.h"
#include "node/url.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void expect(bool holds) {
    if (!holds) {
        abort();
    }
}

static void read_reply(struct shr_bytes reply) {
    struct shr_buf envelope = {0};
    struct shr_buf block = {0};
    struct shr_bytes text;
    shr_rpc_cut_result(&envelope, &text, reply);
    expect(envelope.len + text.len == reply.len);
    json_t *parsed = json_loadb((const char *)envelope.data, envelope.len, 0, NULL);
    json_t *result = NULL;
    struct shr_hash hash;
    struct shrewd_error err = {0};
    int code = shr_rpc_open_envelope(&result, parsed, 1, "getblock", &err);
    expect(code == err.code && (code == 0) == (result != NULL));
    shr_rpc_get_hash(&hash, result);
    if (shr_rpc_decode_hex(&block, text)) {
        expect(block.len == text.len / 2);
    }
    json_decref(result);
    json_decref(parsed);
    shr_buf_free(&envelope);
    shr_buf_free(&block);
}

#define BATCH 4

static void read_batch(struct shr_bytes bytes) {
    struct shr_buf blocks[BATCH] = {{0}};
    json_t *reply = json_loadb((const char *)bytes.data, bytes.len, 0, NULL);
    size_t taken = 0;
    for (size_t i = 0; i < json_array_size(reply); i++) {
        taken += shr_rpc_get_block(blocks, BATCH, 1, json_array_get(reply, i));
    }
    size_t filled = 0;
    for (size_t i = 0; i < BATCH; i++) {
        filled += blocks[i].len > 0;
        shr_buf_free(&blocks[i]);
    }
    expect(filled <= taken || json_array_size(reply) > taken);
    json_decref(reply);
}

static void read_headers(struct shr_bytes reply) {
    struct shr_hash hashes[BATCH];
    struct shr_hash first = {{0}};
    if (reply.len >= SHR_HEADER_SIZE) {
        shr_header_hash(&first, reply);
    }
    size_t n = shr_rest_read_headers(hashes, BATCH, &first, reply);
    expect(n <= BATCH && n <= reply.len / SHR_HEADER_SIZE && (n > 0) == (reply.len >= 80));
    for (size_t i = 1; i < n; i++) {
        expect(memcmp(reply.data + i * SHR_HEADER_SIZE + 4, hashes[i - 1].b, 32) == 0);
    }
    first.b[0] ^= 1;
    expect(shr_rest_read_headers(hashes, BATCH, &first, reply) == 0);
}

static void read_url(struct shr_bytes bytes) {
    char *text = malloc(bytes.len + 1);
    struct shr_node_url url;
    struct shrewd_error err = {0};
    if (bytes.len > 0) {
        memcpy(text, bytes.data, bytes.len);
    }
    text[bytes.len] = 0;
    if (shr_node_url_parse(&url, text, &err) == 0) {
        expect(strncmp(url.origin, "http", 4) == 0 && url.rpc_path[0] == '/');
        expect((url.user == NULL) == (url.password == NULL));
        expect(strlen(url.root) <= strlen(url.rpc_path));
    } else {
        expect(url.origin == NULL && url.password == NULL);
    }
    shr_node_url_free(&url);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    read_reply(shr_bytes(data, len));
    read_batch(shr_bytes(data, len));
    read_headers(shr_bytes(data, len));
    read_url(shr_bytes(data, len));
    return 0;
}
