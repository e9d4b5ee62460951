/* No memcpy or memset here: a freestanding platform has none. */
#include "proof/sha256.h"

#define BLOCK 64

static const uint32_t round_keys[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};
static const uint32_t first_state[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

static uint32_t rotate(uint32_t word, unsigned bits) {
    return word >> bits | word << (32 - bits);
}

static void compress(uint32_t state[8], const uint8_t block[BLOCK]) {
    uint32_t w[64];
    for (size_t i = 0; i < 16; i++) {
        const uint8_t *b = block + 4 * i;
        w[i] = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
    }
    for (size_t i = 16; i < 64; i++) {
        uint32_t low = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
        uint32_t high = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + low + w[i - 7] + high;
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (size_t i = 0; i < 64; i++) {
        uint32_t e_sum = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
        uint32_t chosen = (e & f) ^ (~e & g);
        uint32_t one = h + e_sum + chosen + round_keys[i] + w[i];
        uint32_t a_sum = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
        uint32_t most = (a & b) ^ (a & c) ^ (b & c);
        h = g;
        g = f;
        f = e;
        e = d + one;
        d = c;
        c = b;
        b = a;
        a = one + a_sum + most;
    }
    const uint32_t add[8] = {a, b, c, d, e, f, g, h};
    for (size_t i = 0; i < 8; i++) {
        state[i] += add[i];
    }
}

static void start(uint32_t state[8]) {
    for (size_t i = 0; i < 8; i++) {
        state[i] = first_state[i];
    }
}

/* The last bytes of a message of `total`, and what SHA-256 puts after them. */
static void finish(uint8_t out[32], uint32_t state[8], const uint8_t *rest, size_t len,
                   uint64_t total) {
    uint8_t block[2 * BLOCK];
    size_t end = len < BLOCK - 8 ? BLOCK : 2 * BLOCK;
    for (size_t i = 0; i < end; i++) {
        block[i] = i < len ? rest[i] : i == len ? 0x80 : 0;
    }
    for (size_t i = 0; i < 8; i++) {
        block[end - 1 - i] = (uint8_t)(total * 8 >> 8 * i);
    }
    for (size_t at = 0; at < end; at += BLOCK) {
        compress(state, block + at);
    }
    for (size_t i = 0; i < 32; i++) {
        out[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
    }
}

void shr_proof_sha256(uint8_t out[32], const uint8_t *data, size_t len) {
    uint32_t state[8];
    size_t at = 0;
    start(state);
    for (; len - at >= BLOCK; at += BLOCK) {
        compress(state, data + at);
    }
    finish(out, state, len > at ? data + at : data, len - at, len);
}

void shr_proof_sha256_node(uint8_t out[32], uint8_t first, const uint8_t a[32],
                           const uint8_t b[32]) {
    uint32_t state[8];
    uint8_t bytes[BLOCK];
    bytes[0] = first;
    for (size_t i = 0; i < 32; i++) {
        bytes[1 + i] = a[i];
    }
    for (size_t i = 0; i < 31; i++) {
        bytes[33 + i] = b[i];
    }
    start(state);
    compress(state, bytes);
    finish(out, state, b + 31, 1, 65);
}
