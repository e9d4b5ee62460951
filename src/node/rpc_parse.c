#include "node/rpc_parse.h"

#include <ctype.h>
#include <string.h>

/* Bitcoin Core, src/rpc/protocol.h. */
enum {
    RPC_MISC_ERROR = -1,
    RPC_INVALID_ADDRESS_OR_KEY = -5, /* also: block not found */
    RPC_OUT_OF_MEMORY = -7,
    RPC_INVALID_PARAMETER = -8, /* also: block height out of range */
    RPC_CLIENT_NOT_CONNECTED = -9,
    RPC_CLIENT_IN_INITIAL_DOWNLOAD = -10,
    RPC_DATABASE_ERROR = -20,
    RPC_IN_WARMUP = -28,
    RPC_INTERNAL_ERROR = -32603,
    RPC_METHOD_NOT_FOUND = -32601,
};

static int judge_error(const json_t *error, const char *method, struct shrewd_error *err) {
    const json_t *number = json_object_get(error, "code");
    const char *message = json_string_value(json_object_get(error, "message"));
    json_int_t code = json_integer_value(number);
    if (!json_is_integer(number) || message == NULL) {
        return shr_fail(err, SHREWD_CORRUPT, "%s: an error without code or message", method);
    }
    switch (code) {
    case RPC_IN_WARMUP:
        return shr_fail(err, SHREWD_NODE_BUSY, "it is starting up (%.200s)", message);
    case RPC_INVALID_ADDRESS_OR_KEY:
    case RPC_INVALID_PARAMETER:
        return shr_fail(err, SHREWD_NOT_FOUND, "%s: %.200s", method, message);
    case RPC_MISC_ERROR:
        if (strstr(message, "pruned") != NULL) {
            return shr_fail(err, SHREWD_UNSUPPORTED,
                            "%s: %.200s; this node is pruned and no longer has the block: use a "
                            "node that has every block from --start-block on",
                            method, message);
        }
        if (strstr(message, "not fully downloaded") != NULL) {
            return shr_fail(err, SHREWD_NOT_FOUND, "%s: %.200s", method, message);
        }
        break;
    case RPC_OUT_OF_MEMORY:
    case RPC_CLIENT_NOT_CONNECTED:
    case RPC_CLIENT_IN_INITIAL_DOWNLOAD:
    case RPC_DATABASE_ERROR:
    case RPC_INTERNAL_ERROR:
        break;
    case RPC_METHOD_NOT_FOUND:
        return shr_fail(err, SHREWD_NODE, "it has no method %s; is this a Bitcoin node?", method);
    default:
        return shr_fail(err, SHREWD_NODE, "%s: error %lld, %.200s", method, (long long)code,
                        message);
    }
    return shr_fail(err, SHREWD_NODE_BUSY, "%s: error %lld, %.200s", method, (long long)code,
                    message);
}

int shr_rpc_open_envelope(json_t **result, json_t *reply, uint64_t id, const char *method,
                          struct shrewd_error *err) {
    *result = NULL;
    const json_t *error = json_object_get(reply, "error");
    if (json_is_object(error)) {
        return judge_error(error, method, err);
    }
    json_t *value = json_object_get(reply, "result");
    const json_t *got_id = json_object_get(reply, "id");
    bool id_ok =
        id == 0 || (json_is_integer(got_id) && json_integer_value(got_id) == (json_int_t)id);
    if (value == NULL || json_is_null(value) || !id_ok) {
        return shr_fail(err, SHREWD_CORRUPT, "%s: the reply does not belong to the call", method);
    }
    *result = json_incref(value);
    return 0;
}

bool shr_rpc_get_hash(struct shr_hash *out, const json_t *value) {
    const char *text = json_string_value(value);
    return text != NULL && shr_hash_parse(out, text, json_string_length(value));
}

static const char *skip_blanks(const char *at, const char *end) {
    while (at < end && isspace((unsigned char)*at)) {
        at++;
    }
    return at;
}

void shr_rpc_cut_result(struct shr_buf *envelope, struct shr_bytes *text, struct shr_bytes reply) {
    static const char key[] = "\"result\"";
    const char *start = (const char *)reply.data;
    const char *end = start + reply.len;
    *text = shr_bytes(NULL, 0);
    /* Quotes inside a JSON string are escaped, so this finds a key or a value, never a text. */
    const char *at = reply.len == 0 ? NULL : memmem(start, reply.len, key, sizeof key - 1);
    if (at != NULL) {
        at = skip_blanks(at + sizeof key - 1, end);
        at = at < end && *at == ':' ? skip_blanks(at + 1, end) : end;
    }
    if (at != NULL && at < end && *at == '"') {
        at++;
        const char *close = memchr(at, '"', (size_t)(end - at));
        if (close != NULL) {
            *text = shr_bytes(at, (size_t)(close - at));
            shr_buf_append(envelope, start, (size_t)(at - start));
            start = close;
        }
    }
    shr_buf_append(envelope, start, (size_t)(end - start));
}

/* A digit's value plus one; 0 for what is no digit. */
static const uint8_t digit_values[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

bool shr_rpc_decode_hex(struct shr_buf *out, struct shr_bytes hex) {
    shr_buf_clear(out);
    if (hex.len % 2 != 0) {
        return false;
    }
    uint8_t *to = shr_buf_grow(out, hex.len / 2);
    uint8_t bad = 0;
    for (size_t i = 0; i < hex.len / 2; i++) {
        uint8_t high = (uint8_t)(digit_values[hex.data[2 * i]] - 1);
        uint8_t low = (uint8_t)(digit_values[hex.data[2 * i + 1]] - 1);
        bad |= high | low; /* what is no digit wraps to 255: its upper bits stay */
        to[i] = (uint8_t)(high << 4 | low);
    }
    return (bad & 0xf0) == 0;
}

bool shr_rpc_get_block(struct shr_buf *out, size_t n, uint64_t first_id, const json_t *entry) {
    const json_t *id = json_object_get(entry, "id");
    const json_t *result = json_object_get(entry, "result");
    if (!json_is_integer(id) || !json_is_string(result)) {
        return false;
    }
    uint64_t at = (uint64_t)json_integer_value(id) - first_id; /* what is lower wraps */
    if (at >= n || out[at].len > 0) {
        return false;
    }
    return shr_rpc_decode_hex(&out[at],
                              shr_bytes(json_string_value(result), json_string_length(result)));
}
