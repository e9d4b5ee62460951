/* What a node answers over JSON-RPC, and the URL it is reached by: any bytes. */
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
    read_url(shr_bytes(data, len));
    return 0;
}
