#include "node/rpc.h"

#include "base/alloc.h"
#include "node/rpc_parse.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* Room for the envelope of a reply, and for every reply but a block. */
#define SMALL_REPLY_MAX (1u << 20)
#define BLOCK_REPLY_MAX (2 * (size_t)SHR_BLOCK_SIZE_MAX + 65536)
/* A larger reply's memory is given back: there are several connections. */
#define REPLY_KEEP_BYTES ((size_t)2 << 20)

void shr_rpc_init(struct shr_rpc *rpc, struct shr_link *link) {
    *rpc = (struct shr_rpc){.link = link};
}

void shr_rpc_deinit(struct shr_rpc *rpc) {
    shr_buf_free(&rpc->request);
    shr_buf_free(&rpc->reply);
}

/* What a reply is judged by, and where its result goes. */
struct call {
    const char *method;
    uint64_t id; /* of the call, or of the first in a batch */
    size_t n;    /* calls in a batch */
    json_t *result;
    struct shr_buf *block; /* or the first of `n` */
    bool *taken;
    struct shr_hash *hashes;
    size_t *n_hashes;
};

static void add_call(struct shr_rpc *rpc, const char *method, const char *params) {
    rpc->last_id++;
    shr_buf_printf(&rpc->request,
                   "{\"jsonrpc\":\"1.0\",\"id\":%llu,\"method\":\"%s\",\"params\":[%s]}",
                   (unsigned long long)rpc->last_id, method, params);
}

static int send_request(struct shr_rpc *rpc, struct call *call, size_t reply_max,
                        shr_link_take *take, struct shrewd_error *err) {
    struct shr_http_request request = {
        .path = rpc->link->url.rpc_path,
        .body = shr_buf_bytes(&rpc->request),
        .reply_max = reply_max,
    };
    return shr_link_ask(rpc->link, &rpc->reply, &request, take, call, err);
}

static int send_one(struct shr_rpc *rpc, struct call *call, const char *params, size_t reply_max,
                    shr_link_take *take, struct shrewd_error *err) {
    shr_buf_clear(&rpc->request);
    add_call(rpc, call->method, params);
    call->id = rpc->last_id;
    return send_request(rpc, call, reply_max, take, err);
}

static int take_result(void *ctx, long status, struct shr_buf *body, struct shrewd_error *err) {
    struct call *call = ctx;
    json_t *reply = json_loadb((const char *)body->data, body->len, 0, NULL);
    int code = shr_rpc_open_envelope(&call->result, reply, call->id, call->method, err);
    if (code == SHREWD_CORRUPT) {
        code = shr_link_judge_status(status, body, err);
    }
    json_decref(reply);
    return code;
}

static int take_hash(void *ctx, long status, struct shr_buf *body, struct shrewd_error *err) {
    struct call *call = ctx;
    int code = take_result(ctx, status, body, err);
    if (code == 0 && !shr_rpc_get_hash(call->hashes, call->result)) {
        code = shr_fail(err, SHREWD_CORRUPT, "%s does not answer a block hash", call->method);
    }
    json_decref(call->result);
    call->result = NULL;
    return code;
}

/* One batch entry; errors are as good as the chain's end. */
static bool take_entry(struct call *call, bool *known, json_t *entry) {
    json_t *id = json_object_get(entry, "id");
    json_int_t at = json_is_integer(id) ? json_integer_value(id) - (json_int_t)call->id : -1;
    if (at < 0 || (size_t)at >= call->n) {
        return false;
    }
    json_t *result = json_object_get(entry, "result");
    known[at] = shr_rpc_get_hash(&call->hashes[at], result);
    return known[at] || json_is_object(json_object_get(entry, "error"));
}

static int take_hashes(void *ctx, long status, struct shr_buf *body, struct shrewd_error *err) {
    struct call *call = ctx;
    json_t *reply = json_loadb((const char *)body->data, body->len, 0, NULL);
    bool *known = shr_alloc_array(call->n, sizeof *known);
    int code = 0;
    if (!json_is_array(reply) || json_array_size(reply) != call->n) {
        json_t *result = NULL;
        code = shr_rpc_open_envelope(&result, reply, 0, call->method, err);
        json_decref(result);
        if (code == 0 || code == SHREWD_CORRUPT) {
            code = shr_link_judge_status(status, body, err);
        }
        goto done;
    }
    for (size_t i = 0; i < call->n && code == 0; i++) {
        if (!take_entry(call, known, json_array_get(reply, i))) {
            code = shr_fail(err, SHREWD_CORRUPT, "a batch of %s is answered with something else",
                            call->method);
        }
    }
    *call->n_hashes = 0;
    while (code == 0 && *call->n_hashes < call->n && known[*call->n_hashes]) {
        ++*call->n_hashes;
    }
    if (code == 0 && *call->n_hashes == 0) {
        json_t *result = NULL;
        code = shr_rpc_open_envelope(&result, json_array_get(reply, 0), 0, call->method, err);
        json_decref(result);
    }
done:
    free(known);
    json_decref(reply);
    return code;
}

static int take_block(void *ctx, long status, struct shr_buf *body, struct shrewd_error *err) {
    struct call *call = ctx;
    struct shr_bytes hex;
    struct shr_buf envelope = {0};
    json_t *result = NULL;
    /* The digits are cut out first: a JSON parser takes many times as long over 8 MB of them. */
    shr_rpc_cut_result(&envelope, &hex, shr_buf_bytes(body));
    json_t *reply = envelope.len > SMALL_REPLY_MAX
                        ? NULL
                        : json_loadb((const char *)envelope.data, envelope.len, 0, NULL);
    int code = shr_rpc_open_envelope(&result, reply, call->id, call->method, err);
    if (code == SHREWD_CORRUPT) {
        code = shr_link_judge_status(status, body, err);
    } else if (code == 0 && (hex.len == 0 || !shr_rpc_decode_hex(call->block, hex))) {
        code = shr_fail(err, SHREWD_CORRUPT, "getblock does not answer a block in hex");
    }
    json_decref(result);
    json_decref(reply);
    shr_buf_free(&envelope);
    return code;
}

static int take_blocks(void *ctx, long status, struct shr_buf *body, struct shrewd_error *err) {
    struct call *call = ctx;
    json_t *reply = json_loadb((const char *)body->data, body->len, 0, NULL);
    int code = 0;
    for (size_t i = 0; i < call->n; i++) {
        shr_buf_clear(&call->block[i]);
    }
    *call->taken = false;
    if (json_is_array(reply) && json_array_size(reply) == call->n) {
        *call->taken = true;
        for (size_t i = 0; i < call->n && *call->taken; i++) {
            *call->taken =
                shr_rpc_get_block(call->block, call->n, call->id, json_array_get(reply, i));
        }
    } else {
        json_t *result = NULL;
        code = shr_rpc_open_envelope(&result, reply, 0, call->method, err);
        json_decref(result);
        if (code == 0 || code == SHREWD_CORRUPT) {
            code = shr_link_judge_status(status, body, err);
        }
    }
    json_decref(reply);
    return code;
}

static int take_chain_info(void *ctx, long status, struct shr_buf *body, struct shrewd_error *err) {
    struct call *call = ctx;
    int code = take_result(ctx, status, body, err);
    if (code == 0 && !json_is_string(json_object_get(call->result, "chain"))) {
        json_decref(call->result);
        call->result = NULL;
        code = shr_fail(err, SHREWD_NODE,
                        "its getblockchaininfo names no chain; is this a "
                        "Bitcoin node?");
    }
    return code;
}

int shr_rpc_tip(struct shr_rpc *rpc, struct shr_tip *out, struct shrewd_error *err) {
    struct call call = {.method = "getblockchaininfo"};
    int code = send_one(rpc, &call, "", SMALL_REPLY_MAX, take_chain_info, err);
    if (code != 0) {
        return code;
    }
    json_t *blocks = json_object_get(call.result, "blocks");
    json_int_t height = json_is_integer(blocks) ? json_integer_value(blocks) : -1;
    if (height < 0 || height >= UINT32_MAX ||
        !shr_rpc_get_hash(&out->hash, json_object_get(call.result, "bestblockhash"))) {
        code = shr_fail(err, SHREWD_NODE,
                        "%s: its getblockchaininfo has no blocks or bestblockhash; is this a "
                        "Bitcoin node?",
                        rpc->link->whom);
    }
    out->height = (uint32_t)height;
    json_decref(call.result);
    return code;
}

int shr_rpc_best(struct shr_rpc *rpc, struct shr_hash *out, struct shrewd_error *err) {
    struct call call = {.method = "getbestblockhash", .hashes = out};
    return send_one(rpc, &call, "", SMALL_REPLY_MAX, take_hash, err);
}

int shr_rpc_hashes(struct shr_rpc *rpc, struct shr_hash *out, size_t *n_out, uint32_t first,
                   size_t n, struct shrewd_error *err) {
    struct call call = {.method = "getblockhash", .n = n, .hashes = out, .n_hashes = n_out};
    char params[16];
    int code;
    if (n == 1) {
        snprintf(params, sizeof params, "%u", first);
        code = send_one(rpc, &call, params, SMALL_REPLY_MAX, take_hash, err);
        *n_out = code == 0 ? 1 : 0;
    } else {
        call.id = rpc->last_id + 1;
        shr_buf_clear(&rpc->request);
        for (size_t i = 0; i < n; i++) {
            shr_buf_add_u8(&rpc->request, i == 0 ? '[' : ',');
            snprintf(params, sizeof params, "%u", first + (uint32_t)i);
            add_call(rpc, call.method, params);
        }
        shr_buf_add_u8(&rpc->request, ']');
        code = send_request(rpc, &call, SMALL_REPLY_MAX, take_hashes, err);
    }
    return code == SHREWD_NOT_FOUND ? shr_fail_in(err, code, "height %u", first) : code;
}

/* "HASH",0 */
#define BLOCK_PARAMS_SIZE (SHR_HASH_HEX_LEN + 8)

static void write_block_params(char out[BLOCK_PARAMS_SIZE], const struct shr_hash *hash) {
    out[0] = '"';
    shr_hash_hex(out + 1, hash);
    strcpy(out + 1 + SHR_HASH_HEX_LEN, "\",0");
}

static void drop_large_reply(struct shr_rpc *rpc) {
    if (rpc->reply.cap > REPLY_KEEP_BYTES) {
        shr_buf_free(&rpc->reply);
    }
}

int shr_rpc_block(struct shr_rpc *rpc, struct shr_buf *out, const struct shr_hash *hash,
                  struct shrewd_error *err) {
    struct call call = {.method = "getblock", .block = out};
    char params[BLOCK_PARAMS_SIZE];
    write_block_params(params, hash);
    int code = send_one(rpc, &call, params, BLOCK_REPLY_MAX, take_block, err);
    drop_large_reply(rpc);
    if (code == 0 || code == SHREWD_STOPPED) {
        return code;
    }
    if (code == SHREWD_UNSUPPORTED) {
        code = SHREWD_NODE;
    }
    params[1 + SHR_HASH_HEX_LEN] = 0;
    return shr_fail_in(err, code, "block %s", params + 1);
}

int shr_rpc_blocks(struct shr_rpc *rpc, struct shr_buf *out, bool *taken,
                   const struct shr_hash *hashes, size_t n, struct shrewd_error *err) {
    struct call call = {
        .method = "getblock",
        .n = n,
        .block = out,
        .taken = taken,
        .id = rpc->last_id + 1,
    };
    struct shrewd_error why = {0};
    shr_buf_clear(&rpc->request);
    for (size_t i = 0; i < n; i++) {
        char params[BLOCK_PARAMS_SIZE];
        write_block_params(params, &hashes[i]);
        shr_buf_add_u8(&rpc->request, i == 0 ? '[' : ',');
        add_call(rpc, call.method, params);
    }
    shr_buf_add_u8(&rpc->request, ']');
    struct shr_http_request request = {
        .path = rpc->link->url.rpc_path,
        .body = shr_buf_bytes(&rpc->request),
        .reply_max = BLOCK_REPLY_MAX,
        .may_refuse = true,
    };
    *taken = false;
    int code = shr_link_ask(rpc->link, &rpc->reply, &request, take_blocks, &call, &why);
    drop_large_reply(rpc);
    return code == SHREWD_STOPPED ? shr_fail(err, code, "%s", why.message) : 0;
}
