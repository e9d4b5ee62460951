#include "rpc/prove.h"

#include "base/alloc.h"
#include "base/hex.h"

#include <inttypes.h>
#include <stdlib.h>

struct keys {
    struct shr_buf *bufs;
    struct shr_bytes *bytes;
    size_t n;
};

static void keys_free(struct keys *keys) {
    for (size_t i = 0; i < keys->n; i++) {
        shr_buf_free(&keys->bufs[i]);
    }
    free(keys->bufs);
    free(keys->bytes);
}

/* One hex string, or an array of them. */
static int take_keys(struct keys *out, const struct shr_params *params, struct shrewd_error *err) {
    const struct shr_json *json = params->json;
    uint32_t value = params->at[0];
    bool list = json->values[value].type == SHR_JSON_ARRAY;
    size_t n = list ? json->values[value].n : 1;
    if (n > SHR_PROVE_KEYS_MAX) {
        return shr_fail(err, SHREWD_INVALID, "keys: %zu of them; one call takes at most %u", n,
                        SHR_PROVE_KEYS_MAX);
    }
    out->bufs = shr_alloc_array(n + 1, sizeof *out->bufs);
    out->bytes = shr_alloc_array(n + 1, sizeof *out->bytes);
    int rc = 0;
    for (uint32_t at = list ? value + 1 : value; rc == 0 && out->n < n; out->n++) {
        /* The reader of hex works on a parameter: this one, for the moment, is the key. */
        struct shr_params one = *params;
        one.at[0] = at;
        rc = shr_param_hex(&out->bufs[out->n], &one, 0, err);
        out->bytes[out->n] = shr_buf_bytes(&out->bufs[out->n]);
        at = json->values[at].next;
    }
    return rc;
}

static void add_hex(struct shr_buf *out, struct shr_bytes bytes) {
    shr_buf_add_str(out, "\"0x");
    shr_hex_encode(out, bytes);
    shr_buf_add_u8(out, '"');
}

/* The members of both documents, and the end of the object. */
static void write_proved(struct shr_buf *out, const struct shr_proved *proved,
                         const struct shr_bytes *keys) {
    char hash[SHR_HASH_HEX_LEN + 1];
    shr_hash_hex(hash, &proved->block.hash);
    shr_buf_printf(out, "\"height\":%" PRIu32 ",\"hash\":\"0x%s\",\"root\":", proved->block.height,
                   hash);
    add_hex(out, shr_bytes(proved->block.root.b, sizeof proved->block.root.b));
    shr_buf_add_str(out, ",\"entries\":[");
    for (size_t i = 0; i < proved->n; i++) {
        shr_buf_add_str(out, i == 0 ? "{\"key\":" : ",{\"key\":");
        add_hex(out, keys[i]);
        shr_buf_add_str(out, ",\"value\":");
        if (proved->found[i]) {
            add_hex(out, shr_buf_bytes(&proved->values[i]));
        } else {
            shr_buf_add_str(out, "null");
        }
        shr_buf_add_u8(out, '}');
    }
    shr_buf_add_str(out, "],\"proof\":");
    add_hex(out, shr_buf_bytes(&proved->proof));
    shr_buf_add_u8(out, '}');
}

void shr_prove_write(struct shr_buf *out, const struct shr_proved *proved,
                     const struct shr_bytes *keys) {
    shr_buf_add_u8(out, '{');
    write_proved(out, proved, keys);
}

void shr_prove_write_view(struct shr_buf *out, const struct shr_view_proved *proved,
                          const struct shr_view_call *call) {
    shr_buf_add_str(out, "{\"module\":");
    add_hex(out, shr_bytes(proved->module_hash.b, sizeof proved->module_hash.b));
    shr_buf_add_str(out, ",\"view\":");
    shr_json_write_string(out, shr_bytes_str(call->view));
    shr_buf_add_str(out, ",\"input\":");
    add_hex(out, call->input);
    shr_buf_add_str(out, ",\"answer\":");
    add_hex(out, shr_buf_bytes(&proved->answer));
    shr_buf_add_u8(out, ',');
    write_proved(out, &proved->proved, proved->keys.keys);
}

int shr_prove_run(const struct shr_rpc_env *env, struct shr_buf *out,
                  const struct shr_params *params, const _Atomic bool *cancel,
                  struct shrewd_error *err) {
    struct keys keys = {0};
    struct shr_proved proved = {0};
    uint32_t height = SHR_LATEST;
    int rc = take_keys(&keys, params, err);
    if (rc == 0) {
        rc = shr_method_height(env, &height, params, 1, err);
    }
    if (rc == 0) {
        rc = env->source.prove(env->source.ctx, &proved, keys.bytes, keys.n, height, err);
    }
    if (rc == 0) {
        shr_prove_write(out, &proved, keys.bytes);
    }
    shr_proved_free(&proved);
    keys_free(&keys);
    return rc;
}

int shr_prove_view_run(const struct shr_rpc_env *env, struct shr_buf *out,
                       const struct shr_params *params, const _Atomic bool *cancel,
                       struct shrewd_error *err) {
    struct shr_buf name = {0}, input = {0};
    struct shr_view_call call;
    struct shr_view_proved proved = {0};
    int rc = shr_method_view_call(env, &call, &name, &input, params, err);
    if (rc == 0) {
        rc = env->source.prove_view(env->source.ctx, &proved, &call, cancel, err);
    }
    if (rc == 0) {
        shr_prove_write_view(out, &proved, &call);
    }
    shr_view_proved_free(&proved);
    shr_buf_free(&name);
    shr_buf_free(&input);
    return rc;
}
