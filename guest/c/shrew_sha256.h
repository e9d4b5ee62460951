/* shrew_sha256.h: SHA-256 (FIPS 180-4) and Bitcoin's double SHA-256, in parts or at once.
 *
 * Whole blocks of 64 bytes are hashed where they lie; only the ends of parts are copied.
 */
#ifndef SHREW_SHA256_H
#define SHREW_SHA256_H

#include "shrew_mem.h"

struct shrew_sha256 {
    uint32_t words[8];
    uint64_t len; /* bytes taken so far */
    uint8_t rest[64];
};

SHREW_API uint32_t shrew_rotr(uint32_t x, uint32_t by) {
    return x >> by | x << (32 - by);
}

SHREW_API uint32_t shrew_load_be32(const uint8_t *from) {
    uint32_t x = shrew_load_u32(from);
    return (shrew_rotr(x, 8) & 0xff00ff00u) | (shrew_rotr(x, 24) & 0x00ff00ffu);
}

SHREW_API void shrew_store_be32(uint8_t *to, uint32_t x) {
    shrew_store_u32(to, (shrew_rotr(x, 8) & 0xff00ff00u) | (shrew_rotr(x, 24) & 0x00ff00ffu));
}

#define SHREW_SIGMA(x, r1, r2, last) (shrew_rotr(x, r1) ^ shrew_rotr(x, r2) ^ (last))

/* One round. The eight working words change names instead of places. */
#define SHREW_ROUND(a, b, c, d, e, f, g, h, k, w)                                                  \
    do {                                                                                           \
        uint32_t t = (h) + SHREW_SIGMA(e, 6, 11, shrew_rotr(e, 25)) +                              \
                     ((g) ^ ((e) & ((f) ^ (g)))) + (k) + (w);                                      \
        (d) += t;                                                                                  \
        (h) = t + SHREW_SIGMA(a, 2, 13, shrew_rotr(a, 22)) + (((a) & (b)) | ((c) & ((a) | (b))));  \
    } while (0)

/* The message word 16 rounds on. */
#define SHREW_WORD(w, i)                                                                           \
    ((w)[(i)&15] += SHREW_SIGMA((w)[((i) + 14) & 15], 17, 19, (w)[((i) + 14) & 15] >> 10) +        \
                    (w)[((i) + 9) & 15] +                                                          \
                    SHREW_SIGMA((w)[((i) + 1) & 15], 7, 18, (w)[((i) + 1) & 15] >> 3))

#define SHREW_ROUNDS8(i, k0, k1, k2, k3, k4, k5, k6, k7, W)                                        \
    do {                                                                                           \
        SHREW_ROUND(a, b, c, d, e, f, g, h, k0, W(w, (i) + 0));                                    \
        SHREW_ROUND(h, a, b, c, d, e, f, g, k1, W(w, (i) + 1));                                    \
        SHREW_ROUND(g, h, a, b, c, d, e, f, k2, W(w, (i) + 2));                                    \
        SHREW_ROUND(f, g, h, a, b, c, d, e, k3, W(w, (i) + 3));                                    \
        SHREW_ROUND(e, f, g, h, a, b, c, d, k4, W(w, (i) + 4));                                    \
        SHREW_ROUND(d, e, f, g, h, a, b, c, k5, W(w, (i) + 5));                                    \
        SHREW_ROUND(c, d, e, f, g, h, a, b, k6, W(w, (i) + 6));                                    \
        SHREW_ROUND(b, c, d, e, f, g, h, a, k7, W(w, (i) + 7));                                    \
    } while (0)

#define SHREW_FIRST(w, i) ((w)[i])

/* clang-format off */
SHREW_API void shrew_sha256_block(uint32_t state[8], const uint8_t *data) {
    uint32_t w[16];
#pragma clang loop unroll(full)
    for (uint32_t i = 0; i < 16; i++) {
        w[i] = shrew_load_be32(data + 4 * i);
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    SHREW_ROUNDS8(0, 0x428a2f98u, 0x71374491u, 0xb5c0fbcfu, 0xe9b5dba5u,
                  0x3956c25bu, 0x59f111f1u, 0x923f82a4u, 0xab1c5ed5u, SHREW_FIRST);
    SHREW_ROUNDS8(8, 0xd807aa98u, 0x12835b01u, 0x243185beu, 0x550c7dc3u,
                  0x72be5d74u, 0x80deb1feu, 0x9bdc06a7u, 0xc19bf174u, SHREW_FIRST);
    SHREW_ROUNDS8(0, 0xe49b69c1u, 0xefbe4786u, 0x0fc19dc6u, 0x240ca1ccu,
                  0x2de92c6fu, 0x4a7484aau, 0x5cb0a9dcu, 0x76f988dau, SHREW_WORD);
    SHREW_ROUNDS8(8, 0x983e5152u, 0xa831c66du, 0xb00327c8u, 0xbf597fc7u,
                  0xc6e00bf3u, 0xd5a79147u, 0x06ca6351u, 0x14292967u, SHREW_WORD);
    SHREW_ROUNDS8(0, 0x27b70a85u, 0x2e1b2138u, 0x4d2c6dfcu, 0x53380d13u,
                  0x650a7354u, 0x766a0abbu, 0x81c2c92eu, 0x92722c85u, SHREW_WORD);
    SHREW_ROUNDS8(8, 0xa2bfe8a1u, 0xa81a664bu, 0xc24b8b70u, 0xc76c51a3u,
                  0xd192e819u, 0xd6990624u, 0xf40e3585u, 0x106aa070u, SHREW_WORD);
    SHREW_ROUNDS8(0, 0x19a4c116u, 0x1e376c08u, 0x2748774cu, 0x34b0bcb5u,
                  0x391c0cb3u, 0x4ed8aa4au, 0x5b9cca4fu, 0x682e6ff3u, SHREW_WORD);
    SHREW_ROUNDS8(8, 0x748f82eeu, 0x78a5636fu, 0x84c87814u, 0x8cc70208u,
                  0x90befffau, 0xa4506cebu, 0xbef9a3f7u, 0xc67178f2u, SHREW_WORD);
    state[0] += a; state[1] += b; state[2] += c; state[3] += d;
    state[4] += e; state[5] += f; state[6] += g; state[7] += h;
}
/* clang-format on */

/* Not inlined: its unrolled rounds are large, and there are several callers. */
void shrew_sha256_blocks(uint32_t state[8], const uint8_t *data, uint32_t n);
SHREW_SHARED __attribute__((noinline)) void shrew_sha256_blocks(uint32_t state[8],
                                                                const uint8_t *data, uint32_t n) {
    for (; n > 0; n--, data += 64) {
        shrew_sha256_block(state, data);
    }
}

SHREW_API void shrew_sha256_init(struct shrew_sha256 *sha) {
    static const uint32_t first[8] = {0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au,
                                      0x510e527fu, 0x9b05688cu, 0x1f83d9abu, 0x5be0cd19u};
    shrew_copy(sha->words, first, sizeof(first));
    sha->len = 0;
}

SHREW_API void shrew_sha256_add(struct shrew_sha256 *sha, struct shrew_bytes part) {
    uint32_t have = (uint32_t)(sha->len % 64);
    sha->len += part.len;
    if (have > 0) {
        uint32_t take = part.len < 64 - have ? part.len : 64 - have;
        shrew_copy(sha->rest + have, part.ptr, take);
        part = shrew_bytes(part.ptr + take, part.len - take);
        if (have + take < 64) {
            return;
        }
        shrew_sha256_blocks(sha->words, sha->rest, 1);
    }
    shrew_sha256_blocks(sha->words, part.ptr, part.len / 64);
    shrew_copy(sha->rest, part.ptr + part.len / 64 * 64, part.len % 64);
}

SHREW_API void shrew_sha256_final(struct shrew_sha256 *sha, uint8_t out[32]) {
    uint32_t have = (uint32_t)(sha->len % 64);
    uint64_t bits = sha->len * 8;
    sha->rest[have++] = 0x80;
    if (have > 56) {
        __builtin_memset(sha->rest + have, 0, 64 - have);
        shrew_sha256_blocks(sha->words, sha->rest, 1);
        have = 0;
    }
    __builtin_memset(sha->rest + have, 0, 56 - have);
    shrew_store_be32(sha->rest + 56, (uint32_t)(bits >> 32));
    shrew_store_be32(sha->rest + 60, (uint32_t)bits);
    shrew_sha256_blocks(sha->words, sha->rest, 1);
    for (uint32_t i = 0; i < 8; i++) {
        shrew_store_be32(out + 4 * i, sha->words[i]);
    }
}

SHREW_API void shrew_sha256(uint8_t out[32], struct shrew_bytes data) {
    struct shrew_sha256 sha;
    shrew_sha256_init(&sha);
    shrew_sha256_add(&sha, data);
    shrew_sha256_final(&sha, out);
}

/* SHA-256 of the SHA-256 of what was added. */
SHREW_API void shrew_sha256d_final(struct shrew_sha256 *sha, uint8_t out[32]) {
    uint8_t once[32];
    shrew_sha256_final(sha, once);
    shrew_sha256(out, shrew_bytes(once, sizeof(once)));
}

SHREW_API void shrew_sha256d(uint8_t out[32], struct shrew_bytes data) {
    struct shrew_sha256 sha;
    shrew_sha256_init(&sha);
    shrew_sha256_add(&sha, data);
    shrew_sha256d_final(&sha, out);
}

#endif
