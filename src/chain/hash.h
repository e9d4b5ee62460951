/* hash.h: 32-byte hashes, SHA-256 and its double, merkle roots. All functions are pure. */
#ifndef SHR_CHAIN_HASH_H
#define SHR_CHAIN_HASH_H

#include "base/buf.h"

/* Internal byte order: as hashed and as found in blocks. Shown reversed ("display order"). */
struct shr_hash {
    uint8_t b[32];
};

#define SHR_HASH_HEX_LEN 64

void shr_sha256(struct shr_hash *out, struct shr_bytes data);
void shr_sha256d(struct shr_hash *out, struct shr_bytes data);
/* Of n byte ranges one after the other, as if they were one. */
void shr_sha256d_parts(struct shr_hash *out, const struct shr_bytes *parts, size_t n);

bool shr_hash_eq(const struct shr_hash *a, const struct shr_hash *b);
bool shr_hash_is_zero(const struct shr_hash *hash);
/* Display order: 64 digits and a NUL. */
void shr_hash_hex(char out[SHR_HASH_HEX_LEN + 1], const struct shr_hash *hash);
/* From 64 hex digits in display order, optional 0x; false for anything else. */
bool shr_hash_parse(struct shr_hash *out, const char *text, size_t len);

/* Bitcoin's merkle root over n leaves, computed in place (leaves are overwritten). *mutated
 * (may be NULL) is set when two neighbours of a pair are equal (CVE-2012-2459): such a list is
 * not what the miner hashed. n = 0 gives the zero hash. */
void shr_merkle_root(struct shr_hash *out, bool *mutated, struct shr_hash *leaves, size_t n);

#endif
