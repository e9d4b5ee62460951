/* Any bytes as a proof of some keys of a small state: they are its proof, or are refused. The first
 * byte says which keys are asked for; the rest is the proof. */
#include "../unit/root_model.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Five are in the state; the two last ones agree in 32 bits. */
static const char *const keys[8] = {"key-0",     "key-1",  "key-2",  "key-8337",
                                    "key-15029", "none-0", "none-1", "none-2"};
#define N_HELD 5

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    static struct root_model model;
    static struct shr_hash root;
    if (model.n == 0) {
        for (size_t i = 0; i < N_HELD; i++) {
            root_model_put(&model, shr_bytes_str(keys[i]), shr_bytes_str(keys[i]));
        }
        root_model_root(&model, &root);
    }
    if (len == 0) {
        return 0;
    }
    struct shrewd_claim claims[8];
    struct shr_bytes asked[8];
    size_t n = 0, at = SIZE_MAX;
    for (size_t i = 0; i < 8; i++) {
        if ((data[0] >> i & 1) != 0) {
            asked[n] = shr_bytes_str(keys[i]);
            claims[n] = (struct shrewd_claim){.key = asked[n].data,
                                              .key_len = asked[n].len,
                                              .value = asked[n].data,
                                              .value_len = asked[n].len,
                                              .absent = i >= N_HELD};
            n++;
        }
    }
    struct shr_buf proof = {0}, given = {0};
    shr_buf_append(&given, data + 1, len - 1); /* so that reading past its end is seen */
    root_model_prove(&model, &proof, asked, n);
    int code = shrewd_proof_verify(root.b, given.data, given.len, claims, n, &at);
    bool same = shr_bytes_eq(shr_buf_bytes(&proof), shr_buf_bytes(&given));
    if ((code == 0) != same || code > 0 || code < SHREWD_UNPROVEN_IS_PRESENT) {
        abort();
    }
    /* The state is what it is, so nothing claimed of it is false: only proofs are. */
    if (code <= SHREWD_UNPROVEN_OTHER_VALUE && at >= n) {
        abort();
    }
    if (code > SHREWD_UNPROVEN_OTHER_VALUE && at > given.len) {
        abort();
    }
    shr_buf_free(&given);
    shr_buf_free(&proof);
    return 0;
}
