#include "chain/digest.h"

#include "base/alloc.h"

#include <openssl/evp.h>
#include <stdlib.h>

struct shr_digest {
    EVP_MD_CTX *ctx;
};

static void begin(struct shr_digest *digest) {
    if (EVP_DigestInit_ex(digest->ctx, EVP_sha256(), NULL) != 1) {
        shr_out_of_memory(0); /* the one way in which it fails */
    }
}

struct shr_digest *shr_digest_new(void) {
    struct shr_digest *digest = shr_alloc(sizeof *digest);
    digest->ctx = EVP_MD_CTX_new();
    if (digest->ctx == NULL) {
        shr_out_of_memory(0);
    }
    begin(digest);
    return digest;
}

void shr_digest_add(struct shr_digest *digest, struct shr_bytes bytes) {
    EVP_DigestUpdate(digest->ctx, bytes.data, bytes.len);
}

void shr_digest_end(struct shr_digest *digest, struct shr_hash *out) {
    EVP_DigestFinal_ex(digest->ctx, out->b, NULL);
    begin(digest);
}

void shr_digest_free(struct shr_digest *digest) {
    if (digest != NULL) {
        EVP_MD_CTX_free(digest->ctx);
        free(digest);
    }
}
