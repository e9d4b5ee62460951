/* digest.h: SHA-256 of bytes that come piece by piece. One thread a digest. */
#ifndef SHR_CHAIN_DIGEST_H
#define SHR_CHAIN_DIGEST_H

#include "chain/hash.h"

struct shr_digest;

struct shr_digest *shr_digest_new(void);
void shr_digest_add(struct shr_digest *digest, struct shr_bytes bytes);
/* What was added since it was made, or since the last end; begins anew. */
void shr_digest_end(struct shr_digest *digest, struct shr_hash *out);
void shr_digest_free(struct shr_digest *digest); /* NULL is fine */

#endif
