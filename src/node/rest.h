/* rest.h: the node's REST interface (bitcoind -rest=1). Source: Bitcoin Core 29,
 * doc/REST-interface.md. Faster than JSON-RPC: binary, and headers by the thousand.
 *
 * Calls retry what can pass (link.h). SHREWD_NOT_FOUND: REST has no such thing; it may be switched
 * off, so ask JSON-RPC before believing it. One thread at a time. */
#ifndef SHR_NODE_REST_H
#define SHR_NODE_REST_H

#include "node/link.h"

#define SHR_REST_HEADERS_MAX 2000u /* in one answer: Bitcoin Core's limit */

struct shr_rest {
    struct shr_link *link; /* borrowed */
    struct shr_buf reply;  /* reused for all but blocks */
};

void shr_rest_init(struct shr_rest *rest, struct shr_link *link);
void shr_rest_deinit(struct shr_rest *rest);

/* Whether the node offers REST for the chain that begins with `genesis`. */
int shr_rest_probe(struct shr_rest *rest, bool *offered, const struct shr_hash *genesis,
                   struct shrewd_error *err);
/* The hashes from `first` (which is out[0]) on, along the best chain: *n_out of them, at most
 * `n` (up to SHR_REST_HEADERS_MAX). Each is linked to the one before. */
int shr_rest_hashes_from(struct shr_rest *rest, struct shr_hash *out, size_t *n_out,
                         const struct shr_hash *first, size_t n, struct shrewd_error *err);
/* The reading of that answer, any bytes: the hashes of the headers in `reply` (80 bytes each) for
 * as long as the first is `first` and each names the one before, at most `n`; how many they are. */
size_t shr_rest_read_headers(struct shr_hash *out, size_t n, const struct shr_hash *first,
                             struct shr_bytes reply);
/* Replaces `out`. */
int shr_rest_block(struct shr_rest *rest, struct shr_buf *out, const struct shr_hash *hash,
                   struct shrewd_error *err);

#endif
