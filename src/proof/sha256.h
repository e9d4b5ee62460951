/* sha256.h: SHA-256 (FIPS 180-4) in plain C, for a room that may use no library. Pure. */
#ifndef SHR_PROOF_SHA256_H
#define SHR_PROOF_SHA256_H

#include <stddef.h>
#include <stdint.h>

void shr_proof_sha256(uint8_t out[32], const uint8_t *data, size_t len);
/* Of `first`, then a, then b: 65 bytes, as the tree's nodes are hashed. */
void shr_proof_sha256_node(uint8_t out[32], uint8_t first, const uint8_t a[32],
                           const uint8_t b[32]);

#endif
