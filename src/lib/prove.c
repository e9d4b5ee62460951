/* shrewd/prove.h on top of the rooms: what they give is kept beside the public struct that points
 * into it, and freed with it. */
#include "shrewd/prove.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "lib/lib.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(SHREWD_PROVE_KEYS_MAX == SHR_PROVE_KEYS_MAX, "one number in two headers");
_Static_assert(SHREWD_PROVE_KEYS_MAX == SHR_VIEW_READS_MAX, "one number in two headers");

#define TIME_MS_DEFAULT 10000u
#define MIB ((size_t)1 << 20)

struct made_proof {
    struct shrewd_proof proof; /* what the caller sees: it comes first */
    struct shr_arena keys;
    struct shr_proved proved;
};

struct made_view_proof {
    struct shrewd_view_proof proof;
    char *view;
    uint8_t *input;
    struct shr_view_proved proved;
};

/* Points `out` at what was proven; the keys live elsewhere. */
static void export_proved(struct shrewd_proof *out, const struct shr_proved *proved,
                          const struct shr_bytes *keys) {
    shr_lib_export_block(&out->block, &proved->block);
    out->claims = shr_alloc_array(proved->n + 1, sizeof *out->claims);
    out->n = proved->n;
    for (size_t i = 0; i < proved->n; i++) {
        out->claims[i] = (struct shrewd_claim){
            .key = keys[i].data,
            .key_len = keys[i].len,
            .value = proved->values[i].data,
            .value_len = proved->values[i].len,
            .absent = !proved->found[i],
        };
    }
    out->proof = proved->proof.data;
    out->proof_len = proved->proof.len;
}

int shrewd_prove(struct shrewd *s, struct shrewd_proof **out, const struct shrewd_key *keys,
                 size_t n, uint32_t height, struct shrewd_error *err) {
    if (n > SHR_PROVE_KEYS_MAX) {
        return shr_fail(err, SHREWD_LIMIT, "%zu keys; one proof is of at most %u", n,
                        SHR_PROVE_KEYS_MAX);
    }
    struct made_proof *made = shr_alloc(sizeof *made);
    struct shr_bytes *copies = shr_alloc_array(n + 1, sizeof *copies);
    for (size_t i = 0; i < n; i++) {
        copies[i] = shr_arena_keep(&made->keys, shr_bytes(keys[i].data, keys[i].len));
    }
    int code = shr_prove(&made->proved, shr_lib_state(s), copies, n, height, err);
    if (code == 0) {
        export_proved(&made->proof, &made->proved, copies);
        *out = &made->proof;
    } else {
        shrewd_proof_free(&made->proof);
    }
    free(copies);
    return code;
}

void shrewd_proof_free(struct shrewd_proof *proof) {
    struct made_proof *made = (struct made_proof *)proof;
    if (made != NULL) {
        shr_arena_free(&made->keys);
        shr_proved_free(&made->proved);
        free(made->proof.claims);
        free(made);
    }
}

int shrewd_prove_view(struct shrewd *s, struct shrewd_view_proof **out, const char *view,
                      const uint8_t *input, size_t input_len, uint32_t height,
                      struct shrewd_error *err) {
    if (shr_lib_views(s) == NULL) {
        return shr_fail(err, SHREWD_INVALID, "no module was given: a guest is needed for this");
    }
    struct made_view_proof *made = shr_alloc(sizeof *made);
    struct shr_view_call call = {
        .view = view, .input = shr_bytes(input, input_len), .height = height};
    int code = shr_views_prove(shr_lib_views(s), &made->proved, &call, NULL, err);
    if (code != 0) {
        shrewd_view_proof_free(&made->proof);
        return code;
    }
    made->view = shr_strdup(view);
    made->input = shr_alloc(input_len + 1);
    if (input_len > 0) {
        memcpy(made->input, input, input_len);
    }
    made->proof = (struct shrewd_view_proof){
        .view = made->view,
        .input = made->input,
        .input_len = input_len,
        .answer = made->proved.answer.data,
        .answer_len = made->proved.answer.len,
    };
    memcpy(made->proof.module_hash, made->proved.module_hash.b, 32);
    export_proved(&made->proof.reads, &made->proved.proved, made->proved.keys.keys);
    *out = &made->proof;
    return 0;
}

void shrewd_view_proof_free(struct shrewd_view_proof *proof) {
    struct made_view_proof *made = (struct made_view_proof *)proof;
    if (made != NULL) {
        free(made->view);
        free(made->input);
        shr_view_proved_free(&made->proved);
        free(made->proof.reads.claims);
        free(made);
    }
}

/* --- Checking --- */

struct shrewd_verifier {
    struct shr_engine *engine;
    struct shr_module *module;
    struct shr_instance_limits limits;
    uint32_t time_ms;
};

int shrewd_verifier_open(struct shrewd_verifier **out, const char *module_path,
                         const char *cache_path, const struct shrewd_view_options *limits,
                         struct shrewd_error *err) {
    static const struct shrewd_view_options usual;
    struct shrewd_verifier *verifier = shr_alloc(sizeof *verifier);
    limits = limits != NULL ? limits : &usual;
    verifier->time_ms = limits->time_ms != 0 ? limits->time_ms : TIME_MS_DEFAULT;
    verifier->limits = (struct shr_instance_limits){
        .memory_max = limits->memory_max != 0 ? limits->memory_max : 1024 * MIB,
        .result_max = limits->result_max != 0 ? limits->result_max : 64 * MIB,
        .log_lines_max = limits->log_lines_max != 0 ? limits->log_lines_max : 100,
    };
    int code = shr_engine_new(&verifier->engine, err);
    if (code == 0) {
        code = shr_module_open(&verifier->module, verifier->engine, module_path, cache_path, err);
    }
    if (code != 0) {
        shrewd_verifier_close(verifier);
        return code;
    }
    *out = verifier;
    return 0;
}

void shrewd_verifier_close(struct shrewd_verifier *verifier) {
    if (verifier != NULL) {
        shr_module_free(verifier->module);
        shr_engine_free(verifier->engine);
        free(verifier);
    }
}

int shrewd_verify_view(struct shrewd_verifier *verifier, const uint8_t root32[32], uint32_t height,
                       const struct shrewd_view_proof *proof, struct shrewd_error *err) {
    const struct shrewd_proof *reads = &proof->reads;
    if (reads->block.height != height) {
        return shr_fail(err, SHREWD_UNPROVEN,
                        "not proven: the answer is said to be of height %u, and %u is asked for",
                        reads->block.height, height);
    }
    if (memcmp(reads->block.root, root32, 32) != 0) {
        return shr_fail(err, SHREWD_UNPROVEN,
                        "not proven: the answer is said to be of another state root than the one "
                        "that is trusted");
    }
    struct shr_view_claim claim = {
        .module_hash = proof->module_hash,
        .view = proof->view,
        .input = shr_bytes(proof->input, proof->input_len),
        .height = height,
        .answer = shr_bytes(proof->answer, proof->answer_len),
        .reads = reads->claims,
        .n = reads->n,
        .proof = shr_bytes(reads->proof, reads->proof_len),
    };
    struct shr_deadline deadline = {.at_ns = shr_now_ns() + (uint64_t)verifier->time_ms * 1000000u};
    int code = shr_view_verify(verifier->module, &verifier->limits, root32, &claim, &deadline, err);
    if (code == SHREWD_TIMEOUT) {
        shr_fail(err, code, "view '%.100s' did not end within %u ms (--view-timeout-ms)",
                 proof->view, verifier->time_ms);
    }
    return code;
}
