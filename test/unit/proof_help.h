/* proof_help.h: small states and questions about them, for the tests of proofs. Key i of a state is
 * "key-<i>"; its value is "value-<i>". */
#ifndef SHR_TEST_PROOF_HELP_H
#define SHR_TEST_PROOF_HELP_H

#include "root_model.h"
#include "state_help.h"

/* Keys whose hashes agree in their first 32 bits. */
#define TWIN_A 8337u
#define TWIN_B 15029u

struct question {
    struct root_model model;
    struct shr_hash root;
    struct shr_buf *keys, *values;
    struct shrewd_claim *claims; /* all true */
    size_t n;
    struct shr_buf proof;
};

static inline void numbered(struct shr_buf *out, const char *what, uint32_t i) {
    shr_buf_clear(out);
    shr_buf_printf(out, "%s-%u", what, i);
}

static inline void model_fill(struct root_model *model, const uint32_t *numbers, size_t n) {
    struct shr_buf key = {0}, value = {0};
    for (size_t i = 0; i < n; i++) {
        numbered(&key, "key", numbers[i]);
        numbered(&value, "value", numbers[i]);
        root_model_put(model, shr_buf_bytes(&key), shr_buf_bytes(&value));
    }
    shr_buf_free(&key);
    shr_buf_free(&value);
}

static inline bool model_has(const struct root_model *model, struct shr_bytes key) {
    struct shr_hash hash;
    shr_sha256(&hash, key);
    size_t at = root_model_find(model, &hash);
    return at < model->n && shr_hash_eq(&model->leaves[at].key, &hash);
}

/* Asks the model, which it takes over, for n keys. */
static inline void question_init(struct question *out, struct root_model model,
                                 const uint32_t *asked, size_t n) {
    *out = (struct question){.model = model, .n = n};
    out->keys = shr_alloc_array(n + 1, sizeof *out->keys);
    out->values = shr_alloc_array(n + 1, sizeof *out->values);
    out->claims = shr_alloc_array(n + 1, sizeof *out->claims);
    struct shr_bytes *keys = shr_alloc_array(n + 1, sizeof *keys);
    for (size_t i = 0; i < n; i++) {
        struct shrewd_claim *claim = &out->claims[i];
        numbered(&out->keys[i], "key", asked[i]);
        numbered(&out->values[i], "value", asked[i]);
        keys[i] = shr_buf_bytes(&out->keys[i]);
        claim->key = keys[i].data;
        claim->key_len = keys[i].len;
        claim->absent = !model_has(&model, keys[i]);
        claim->value = claim->absent ? NULL : out->values[i].data;
        claim->value_len = claim->absent ? 0 : out->values[i].len;
    }
    root_model_root(&out->model, &out->root);
    root_model_prove(&out->model, &out->proof, keys, n);
    free(keys);
}

/* A state of the keys numbered 0 to n_keys - 1, asked for n keys from `first` on. */
static inline void question_range(struct question *out, uint32_t n_keys, uint32_t first,
                                  uint32_t n) {
    struct root_model model = {0};
    uint32_t *numbers = shr_alloc_array((size_t)n_keys + n + 1, sizeof *numbers);
    for (uint32_t i = 0; i < n_keys; i++) {
        numbers[i] = i;
    }
    for (uint32_t i = 0; i < n; i++) {
        numbers[n_keys + i] = first + i;
    }
    model_fill(&model, numbers, n_keys);
    question_init(out, model, numbers + n_keys, n);
    free(numbers);
}

static inline void question_free(struct question *question) {
    for (size_t i = 0; i < question->n; i++) {
        shr_buf_free(&question->keys[i]);
        shr_buf_free(&question->values[i]);
    }
    free(question->keys);
    free(question->values);
    free(question->claims);
    root_model_free(&question->model);
    shr_buf_free(&question->proof);
}

static inline int question_verify(struct question *question, const struct shr_buf *proof,
                                  size_t *at) {
    return shrewd_proof_verify(question->root.b, proof->data, proof->len, question->claims,
                               question->n, at);
}

#endif
