/* The low-level SHA256_* calls are deprecated, not slower: measured on one 64-byte sha256d,
 * they take 0.16 us, EVP with a fetched digest and a reused context 0.31 us, and the one-shot
 * SHA256() 1.0 us, as it fetches the algorithm each time. They keep no state, so that no
 * context has to be kept for each thread. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "chain/hash.h"

#include "base/hex.h"

#include <assert.h>
#include <openssl/sha.h>
#include <string.h>

static_assert(sizeof(struct shr_hash) == 32, "neighbouring leaves are hashed as 64 bytes");

static void sha256_raw(uint8_t out[32], const struct shr_bytes *parts, size_t n) {
    SHA256_CTX ctx;
    SHA256_Init(&ctx);
    for (size_t i = 0; i < n; i++) {
        SHA256_Update(&ctx, parts[i].data, parts[i].len);
    }
    SHA256_Final(out, &ctx);
}

void shr_sha256(struct shr_hash *out, struct shr_bytes data) {
    sha256_raw(out->b, &data, 1);
}

void shr_sha256d_parts(struct shr_hash *out, const struct shr_bytes *parts, size_t n) {
    uint8_t first[32];
    sha256_raw(first, parts, n);
    struct shr_bytes second = shr_bytes(first, sizeof first);
    sha256_raw(out->b, &second, 1);
}

void shr_sha256d(struct shr_hash *out, struct shr_bytes data) {
    shr_sha256d_parts(out, &data, 1);
}

bool shr_hash_eq(const struct shr_hash *a, const struct shr_hash *b) {
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}

bool shr_hash_is_zero(const struct shr_hash *hash) {
    static const struct shr_hash zero;
    return shr_hash_eq(hash, &zero);
}

static void reverse(struct shr_hash *out, const struct shr_hash *hash) {
    for (size_t i = 0; i < sizeof hash->b; i++) {
        out->b[i] = hash->b[sizeof hash->b - 1 - i];
    }
}

void shr_hash_hex(char out[SHR_HASH_HEX_LEN + 1], const struct shr_hash *hash) {
    struct shr_hash shown;
    reverse(&shown, hash);
    shr_hex_write(out, shr_bytes(shown.b, sizeof shown.b));
}

bool shr_hash_parse(struct shr_hash *out, const char *text, size_t len) {
    if (len == SHR_HASH_HEX_LEN + 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
        text += 2;
        len -= 2;
    }
    /* "0x" and 62 digits would pass shr_hex_decode, so the first two are looked at here. */
    if (len != SHR_HASH_HEX_LEN || text[1] == 'x' || text[1] == 'X') {
        return false;
    }
    struct shr_buf bytes = {0};
    bool ok = shr_hex_decode(&bytes, text, len, NULL) && bytes.len == sizeof out->b;
    if (ok) {
        struct shr_hash shown;
        memcpy(shown.b, bytes.data, sizeof shown.b);
        reverse(out, &shown);
    }
    shr_buf_free(&bytes);
    return ok;
}

void shr_merkle_root(struct shr_hash *out, bool *mutated, struct shr_hash *leaves, size_t n) {
    bool twins = false;
    if (n == 0) {
        memset(out, 0, sizeof *out);
    }
    for (size_t width = n; width > 1; width = (width + 1) / 2) {
        for (size_t i = 0; i + 1 < width; i += 2) {
            twins |= shr_hash_eq(&leaves[i], &leaves[i + 1]);
            shr_sha256d(&leaves[i / 2], shr_bytes(leaves[i].b, 2 * sizeof leaves[i].b));
        }
        if (width % 2 != 0) {
            struct shr_bytes last = shr_bytes(leaves[width - 1].b, sizeof leaves[0].b);
            struct shr_bytes pair[2] = {last, last};
            shr_sha256d_parts(&leaves[width / 2], pair, 2);
        }
    }
    if (n > 0) {
        *out = leaves[0];
    }
    if (mutated != NULL) {
        *mutated = twins;
    }
}
