/* Any bytes as the body of a POST: there is an answer that is JSON (or none, to notifications),
 * and whatever another JSON parser reads, ours reads too. */
#include "rpc/jsonrpc.h"

#include "../unit/fake_source.h"

#include <jansson.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void require(bool good, const char *what) {
    if (!good) {
        fprintf(stderr, "fuzz_jsonrpc: %s\n", what);
        abort();
    }
}

static void compare_parsers(const struct shr_rpc_body *body, struct shr_bytes text) {
    if (text.len > 0 && memchr(text.data, 0, text.len) != NULL) {
        return; /* which the other one takes for the end */
    }
    json_t *other =
        json_loadb((const char *)text.data, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    require(other == NULL || body->fault != SHR_RPC_PARSE ||
                strstr(body->error.message, "deeper") != NULL,
            "another parser reads this body");
    json_decref(other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    static struct fake fake;
    static struct shr_rpc_env env;
    atomic_store(&fake.gate, true);
    env.source = fake_source(&fake);
    struct shr_bytes text = shr_bytes(data, len);
    struct shr_rpc_body body;
    shr_rpc_body_parse(&body, text);
    compare_parsers(&body, text);
    struct shr_buf reply = {0};
    if (!shr_rpc_body_needs_worker(&body) ||
        !shr_rpc_body_answer_at_once(&reply, &body, &env, false)) {
        shr_rpc_body_answer(&reply, &body, &env, NULL);
    }
    if (reply.len > 0) {
        struct shr_json json;
        struct shrewd_error err = {0};
        int rc = shr_json_parse(&json, shr_buf_bytes(&reply), &err);
        require(rc == 0 || rc == SHREWD_LIMIT, err.message);
        shr_json_free(&json);
    }
    shr_buf_clear(&reply);
    shr_rpc_body_refuse(&reply, &body, SHR_RPC_BUSY, "busy");
    shr_buf_free(&reply);
    shr_rpc_body_free(&body);
    return 0;
}
