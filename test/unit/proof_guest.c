/* The proof verifier as a wallet on wasm32 would have it: freestanding, without any library. Its
 * view takes a root, a proof and claims, and answers what shrewd_proof_verify says. */
#include "shrew.h"

#include "proof/sha256.c"
#include "proof/verify.c"

#define CLAIMS_MAX 2000u

SHREW_INDEX() {
}

static uint32_t take_u32(struct shrew_bytes *rest) {
    uint32_t value = 0;
    for (uint32_t i = 0; i < 4; i++) {
        value |= (uint32_t)rest->ptr[i] << 8 * i;
    }
    rest->ptr += 4;
    return value;
}

static const uint8_t *take_bytes(struct shrew_bytes *rest, size_t *len) {
    *len = take_u32(rest);
    const uint8_t *bytes = rest->ptr;
    rest->ptr += *len;
    return bytes;
}

/* root (32), proof, number of claims, and of each: key, absent (a u32), value. Byte strings have
 * their length, a u32, before them. Answers the code and *at. */
SHREW_VIEW(verify) {
    static struct shrewd_claim claims[CLAIMS_MAX];
    struct shrew_bytes rest = shrew_payload();
    const uint8_t *root = rest.ptr;
    rest.ptr += 32;
    size_t proof_len;
    const uint8_t *proof = take_bytes(&rest, &proof_len);
    uint32_t n = take_u32(&rest);
    for (uint32_t i = 0; i < n; i++) {
        claims[i].key = take_bytes(&rest, &claims[i].key_len);
        claims[i].absent = (int)take_u32(&rest);
        claims[i].value = take_bytes(&rest, &claims[i].value_len);
    }
    static uint32_t answer[2];
    size_t at = 0;
    answer[0] = (uint32_t)shrewd_proof_verify(root, proof, proof_len, claims, n, &at);
    answer[1] = (uint32_t)at;
    return shrew_bytes(answer, sizeof answer);
}
