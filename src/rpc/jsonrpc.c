#include "rpc/jsonrpc.h"

#include "base/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_SHOWN 60
#define CACHED_BODY_MAX 65536u /* bytes: looking up more is work for a worker */

/* One element of a batch, or the only one. Value fields are indices, or SHR_JSON_NONE. */
struct shr_rpc_call {
    const struct shr_method *method; /* NULL: `fault` says why */
    const char *why;                 /* of a REQUEST fault */
    int fault;
    uint32_t id;
    uint32_t name; /* of the method asked for */
    uint32_t params;
    bool notification;
};

static void fault_call(struct shr_rpc_call *call, int code, const char *why) {
    call->fault = code;
    call->why = why;
    call->method = NULL;
    call->notification = false;
}

/* Finds the members that matter; of equal names the last one counts. */
static void read_members(struct shr_rpc_call *call, uint32_t *version, const struct shr_json *json,
                         uint32_t object) {
    struct shr_buf scratch = {0};
    uint32_t child = object + 1;
    for (uint32_t i = 0; i < json->values[object].n; i++) {
        struct shr_bytes name = shr_json_text(json, child, &scratch);
        if (shr_bytes_eq(name, shr_bytes_str("id"))) {
            call->id = child + 1;
        } else if (shr_bytes_eq(name, shr_bytes_str("method"))) {
            call->name = child + 1;
        } else if (shr_bytes_eq(name, shr_bytes_str("params"))) {
            call->params = child + 1;
        } else if (shr_bytes_eq(name, shr_bytes_str("jsonrpc"))) {
            *version = child + 1;
        }
        child = json->values[child + 1].next;
    }
    shr_buf_free(&scratch);
}

static void read_call(struct shr_rpc_call *call, const struct shr_json *json, uint32_t value) {
    *call =
        (struct shr_rpc_call){.id = SHR_JSON_NONE, .name = SHR_JSON_NONE, .params = SHR_JSON_NONE};
    if (json->values[value].type != SHR_JSON_OBJECT) {
        fault_call(call, SHR_RPC_REQUEST, "a request must be an object");
        return;
    }
    uint32_t version = SHR_JSON_NONE;
    read_members(call, &version, json, value);
    call->notification = call->id == SHR_JSON_NONE;
    struct shr_buf scratch = {0};
    if (version != SHR_JSON_NONE &&
        (json->values[version].type != SHR_JSON_STRING ||
         !shr_bytes_eq(shr_json_text(json, version, &scratch), shr_bytes_str("2.0")))) {
        fault_call(call, SHR_RPC_REQUEST, "\"jsonrpc\" must be \"2.0\"");
    } else if (call->name == SHR_JSON_NONE || json->values[call->name].type != SHR_JSON_STRING) {
        fault_call(call, SHR_RPC_REQUEST, "\"method\" must be there and a string");
    } else {
        call->method = shr_method_find(shr_json_text(json, call->name, &scratch));
        call->fault = call->method == NULL ? SHR_RPC_METHOD : 0;
    }
    shr_buf_free(&scratch);
}

static void read_calls(struct shr_rpc_body *out) {
    const struct shr_json *json = &out->json;
    out->batch = json->values[0].type == SHR_JSON_ARRAY;
    uint32_t n = out->batch ? json->values[0].n : 1;
    if (n == 0) {
        out->fault = SHR_RPC_REQUEST;
        shr_fail(&out->error, SHREWD_INVALID, "an empty batch: send at least one request");
        return;
    }
    if (n > SHR_RPC_BATCH_MAX) {
        out->fault = SHR_RPC_REQUEST;
        shr_fail(&out->error, SHREWD_LIMIT, "a batch of %u requests; at most %u are answered", n,
                 SHR_RPC_BATCH_MAX);
        return;
    }
    out->calls = shr_alloc_array(n, sizeof *out->calls);
    out->n_calls = n;
    uint32_t child = out->batch ? 1 : 0;
    for (uint32_t i = 0; i < n; i++) {
        read_call(&out->calls[i], json, child);
        child = json->values[child].next;
    }
}

void shr_rpc_body_parse(struct shr_rpc_body *out, struct shr_bytes text) {
    *out = (struct shr_rpc_body){0};
    struct shrewd_error err = {0};
    if (shr_json_parse(&out->json, text, &err) != 0) {
        out->fault = SHR_RPC_PARSE;
        shr_fail(&out->error, SHREWD_INVALID, "the body cannot be read as JSON: %.900s",
                 text.len == 0 ? "it is empty" : err.message);
        return;
    }
    read_calls(out);
}

void shr_rpc_body_free(struct shr_rpc_body *body) {
    shr_json_free(&body->json);
    free(body->calls);
    *body = (struct shr_rpc_body){0};
}

bool shr_rpc_body_needs_worker(const struct shr_rpc_body *body) {
    for (uint32_t i = 0; i < body->n_calls; i++) {
        const struct shr_rpc_call *call = &body->calls[i];
        if (!call->notification && call->method != NULL && call->method->needs_worker) {
            return true;
        }
    }
    return false;
}

struct shr_bytes shr_rpc_body_subject(const struct shr_rpc_body *body) {
    const struct shr_rpc_call *call = body->calls;
    struct shr_params params;
    if (body->batch) {
        return shr_bytes_str("batch");
    }
    if (shr_params_bind(&params, &call->method->params, &body->json, call->params, NULL) == 0) {
        for (int i = 0; call->method->params.names[i] != NULL; i++) {
            if (strcmp(call->method->params.names[i], "view") == 0) {
                return shr_json_raw(&body->json, params.at[i]);
            }
        }
    }
    return shr_bytes_str(call->method->name);
}

static void write_head(struct shr_buf *reply, const struct shr_json *json, uint32_t id) {
    shr_buf_add_str(reply, "{\"jsonrpc\":\"2.0\",\"id\":");
    if (id == SHR_JSON_NONE) {
        shr_buf_add_str(reply, "null");
    } else {
        shr_buf_add(reply, shr_json_raw(json, id));
    }
}

/* `name`: of the libshrewd error behind it, or NULL. */
static void write_error(struct shr_buf *reply, int code, const char *message, const char *name) {
    shr_buf_printf(reply, ",\"error\":{\"code\":%d,\"message\":", code);
    shr_json_write_string(reply, shr_bytes_str(message));
    if (name != NULL) {
        shr_buf_printf(reply, ",\"data\":{\"error\":\"%s\"}", name);
    }
    shr_buf_add_str(reply, "}}");
}

void shr_rpc_write_fault(struct shr_buf *reply, int code, const char *message) {
    write_head(reply, NULL, SHR_JSON_NONE);
    write_error(reply, code, message, NULL);
}

static void write_method_unknown(struct shr_buf *reply, const struct shr_json *json,
                                 const struct shr_rpc_call *call) {
    struct shr_buf scratch = {0}, message = {0};
    struct shr_bytes name = shr_json_text(json, call->name, &scratch);
    shr_buf_add_str(&message, "no method \"");
    shr_buf_append(&message, name.data, name.len < NAME_SHOWN ? name.len : NAME_SHOWN);
    shr_buf_add_str(&message, "\"; there are");
    for (int i = 0; i < SHR_METHOD_COUNT; i++) {
        shr_buf_printf(&message, "%s %s", i == 0 ? "" : ",", shr_methods[i].name);
    }
    for (size_t i = 0; i < message.len; i++) { /* a NUL would end the text */
        message.data[i] = message.data[i] == 0 ? '?' : message.data[i];
    }
    write_error(reply, SHR_RPC_METHOD, shr_buf_cstr(&message), NULL);
    shr_buf_free(&message);
    shr_buf_free(&scratch);
}

/* Appends the answer to one call; true when it is an error. */
static bool answer_call(struct shr_buf *reply, const struct shr_rpc_call *call,
                        const struct shr_json *json, struct shr_rpc_env *env,
                        const _Atomic bool *cancel) {
    write_head(reply, json, call->id);
    if (call->fault == SHR_RPC_METHOD) {
        write_method_unknown(reply, json, call);
        return true;
    }
    if (call->fault != 0) {
        write_error(reply, call->fault, call->why, NULL);
        return true;
    }
    struct shrewd_error err = {0};
    size_t head = reply->len;
    int rc = SHREWD_LIMIT;
    if (head > SHR_RPC_REPLY_MAX) {
        shr_fail(&err, rc, "the reply to this batch is over %llu bytes: ask for less at once",
                 SHR_RPC_REPLY_MAX);
    } else {
        shr_buf_add_str(reply, ",\"result\":");
        rc = shr_method_run(env, reply, call->method, json, call->params, cancel, &err);
    }
    if (rc == 0) {
        shr_buf_add_u8(reply, '}');
        return false;
    }
    reply->len = head;
    write_error(reply, shr_rpc_code_for(rc), err.message, shrewd_error_name(rc));
    return true;
}

/* Opens, separates and closes the array of a batch, where there is something to answer. */
static void separate(struct shr_buf *reply, const struct shr_rpc_body *body, uint32_t answered) {
    if (body->batch) {
        shr_buf_add_u8(reply, answered == 0 ? '[' : ',');
    }
}

static void finish(struct shr_buf *reply, const struct shr_rpc_body *body, uint32_t answered) {
    if (body->batch && answered > 0) {
        shr_buf_add_u8(reply, ']');
    }
}

static void refuse_call(struct shr_buf *reply, const struct shr_rpc_body *body, uint32_t i,
                        int code, const char *message) {
    write_head(reply, &body->json, body->calls[i].id);
    write_error(reply, code, message, NULL);
}

uint32_t shr_rpc_body_answer(struct shr_buf *reply, const struct shr_rpc_body *body,
                             struct shr_rpc_env *env, const _Atomic bool *gone) {
    if (body->error.code != 0) {
        shr_rpc_write_fault(reply, body->fault, body->error.message);
        return 1;
    }
    uint32_t answered = 0, errors = 0;
    for (uint32_t i = 0; i < body->n_calls; i++) {
        const struct shr_rpc_call *call = &body->calls[i];
        if (call->notification) {
            continue;
        }
        separate(reply, body, answered++);
        bool guest = call->method != NULL && call->method->needs_worker;
        if (guest && gone != NULL && atomic_load(gone)) {
            refuse_call(reply, body, i, SHR_RPC_BUSY, "not run: the client hung up");
            errors++;
            continue;
        }
        errors += answer_call(reply, call, &body->json, env, gone);
    }
    finish(reply, body, answered);
    return errors;
}

bool shr_rpc_body_answer_at_once(struct shr_buf *reply, const struct shr_rpc_body *body,
                                 struct shr_rpc_env *env, bool quick) {
    const struct shr_rpc_call *call = body->calls;
    if (body->batch || body->json.text.len > CACHED_BODY_MAX) {
        return false;
    }
    size_t before = reply->len;
    write_head(reply, &body->json, call->id);
    shr_buf_add_str(reply, ",\"result\":");
    if (!shr_method_at_once(env, reply, call->method, &body->json, call->params, quick)) {
        reply->len = before;
        return false;
    }
    shr_buf_add_u8(reply, '}');
    return true;
}

void shr_rpc_body_refuse(struct shr_buf *reply, const struct shr_rpc_body *body, int code,
                         const char *message) {
    uint32_t answered = 0;
    for (uint32_t i = 0; i < body->n_calls; i++) {
        if (!body->calls[i].notification) {
            separate(reply, body, answered++);
            refuse_call(reply, body, i, code, message);
        }
    }
    finish(reply, body, answered);
}
