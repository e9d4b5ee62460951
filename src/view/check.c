/* Checking a proof, and a view's answer against what it proves. */
#include "base/alloc.h"
#include "base/hex.h"
#include "view/prove.h"

#include <inttypes.h>
#include <stdlib.h>

#define KEY_SHOWN 64u /* bytes of a key in a message */

int shr_proof_check(const uint8_t root[32], struct shr_bytes proof, struct shrewd_claim *claims,
                    size_t n, struct shrewd_error *err) {
    size_t at = 0;
    int code = shrewd_proof_verify(root, proof.data, proof.len, claims, n, &at);
    if (code == 0) {
        return 0;
    }
    const char *why = shrewd_proof_strerror(code);
    bool claim = code == SHREWD_UNPROVEN_OTHER_VALUE || code == SHREWD_UNPROVEN_IS_ABSENT ||
                 code == SHREWD_UNPROVEN_IS_PRESENT;
    return claim ? shr_fail(err, SHREWD_UNPROVEN, "not proven: entry %zu: %s", at, why)
                 : shr_fail(err, SHREWD_UNPROVEN, "not proven: %s (byte %zu of %zu)", why, at,
                            proof.len);
}

/* The proven reads, and which of them the view has done. */
struct proven {
    const struct shr_view_claim *claim;
    struct shr_reads keys; /* numbered as the claims are */
    bool *done;
};

static struct shr_bytes key_of(const struct shrewd_claim *claim) {
    return shr_bytes(claim->key, claim->key_len);
}

static int refuse_key(const char *before, struct shr_bytes key, const char *after,
                      struct shrewd_error *err) {
    struct shr_buf shown = {0};
    size_t len = key.len < KEY_SHOWN ? key.len : KEY_SHOWN;
    shr_hex_encode(&shown, shr_bytes(key.data, len));
    shr_buf_add_str(&shown, len < key.len ? ".." : "");
    int code = shr_fail(err, SHREWD_UNPROVEN, "not proven: %s key 0x%s (%zu bytes)%s", before,
                        shr_buf_cstr(&shown), key.len, after);
    shr_buf_free(&shown);
    return code;
}

static int proven_get(void *ctx, struct shr_buf *value, struct shr_bytes key,
                      struct shrewd_error *err) {
    struct proven *proven = ctx;
    size_t at = 0;
    if (!shr_reads_find(&proven->keys, &at, key)) {
        return refuse_key("the view reads the", key, ", of which the proof says nothing", err);
    }
    const struct shrewd_claim *read = &proven->claim->reads[at];
    proven->done[at] = true;
    if (read->absent) {
        return SHREWD_NOT_FOUND;
    }
    shr_buf_set(value, shr_bytes(read->value, read->value_len));
    return 0;
}

static int take_reads(struct proven *out, const struct shr_view_claim *claim,
                      struct shrewd_error *err) {
    out->claim = claim;
    out->done = shr_alloc_array(claim->n + 1, sizeof *out->done);
    shr_reads_init(&out->keys);
    for (size_t i = 0; i < claim->n; i++) {
        size_t at;
        if (shr_reads_find(&out->keys, &at, key_of(&claim->reads[i]))) {
            return refuse_key("the", key_of(&claim->reads[i]), " is there twice", err);
        }
        shr_reads_add(&out->keys, key_of(&claim->reads[i]));
    }
    return 0;
}

static int check_module(const struct shr_module *module, const struct shr_view_claim *claim,
                        struct shrewd_error *err) {
    char ours[SHR_HASH_HEX_LEN + 1], theirs[SHR_HASH_HEX_LEN + 1];
    if (shr_bytes_eq(shr_bytes(shr_module_hash(module)->b, 32),
                     shr_bytes(claim->module_hash, 32))) {
        return 0;
    }
    shr_hex_write(ours, shr_bytes(shr_module_hash(module)->b, 32));
    shr_hex_write(theirs, shr_bytes(claim->module_hash, 32));
    return shr_fail(err, SHREWD_UNPROVEN,
                    "not proven: the answer is said to be that of the module with SHA-256 %s, and "
                    "the module given has %s",
                    theirs, ours);
}

/* What the view answers on the proven reads. */
static int run(struct proven *proven, struct shr_buf *answer, struct shr_module *module,
               const struct shr_instance_limits *limits, const struct shr_deadline *deadline,
               struct shrewd_error *err) {
    const struct shr_view_claim *claim = proven->claim;
    struct shr_view_call call = {.view = claim->view, .input = claim->input};
    struct shr_instance *instance = NULL;
    int code = shr_instance_new(&instance, module, limits, err);
    if (code == 0) {
        code = shr_view_run_on(instance, answer, proven_get, proven, claim->height, &call, deadline,
                               err);
    }
    shr_instance_free(instance);
    if (code == SHREWD_TRAP || code == SHREWD_GUEST || code == SHREWD_NO_VIEW) {
        shr_fail_in(err, code, "not proven: the view gives no answer");
        code = SHREWD_UNPROVEN;
        if (err != NULL) {
            err->code = code;
        }
    }
    return code;
}

static int check_answer(const struct proven *proven, struct shr_bytes answer,
                        struct shrewd_error *err) {
    const struct shr_view_claim *claim = proven->claim;
    if (!shr_bytes_eq(answer, claim->answer)) {
        return shr_fail(err, SHREWD_UNPROVEN,
                        "not proven: view '%.100s' at height %" PRIu32 " answers %zu bytes, and "
                        "other ones than the %zu that are claimed",
                        claim->view, claim->height, answer.len, claim->answer.len);
    }
    for (size_t i = 0; i < claim->n; i++) {
        if (!proven->done[i]) {
            return refuse_key("the view does not read the", key_of(&claim->reads[i]),
                              ", which is among its reads", err);
        }
    }
    return 0;
}

int shr_view_verify(struct shr_module *module, const struct shr_instance_limits *limits,
                    const uint8_t root[32], const struct shr_view_claim *claim,
                    const struct shr_deadline *deadline, struct shrewd_error *err) {
    struct proven proven = {0};
    struct shr_buf answer = {0};
    int code = check_module(module, claim, err);
    if (code == 0) {
        code = shr_proof_check(root, claim->proof, claim->reads, claim->n, err);
    }
    if (code == 0) {
        code = take_reads(&proven, claim, err);
    }
    if (code == 0) {
        code = run(&proven, &answer, module, limits, deadline, err);
    }
    if (code == 0) {
        code = check_answer(&proven, shr_buf_bytes(&answer), err);
    }
    shr_buf_free(&answer);
    shr_reads_free(&proven.keys);
    free(proven.done);
    return code;
}
