/* rpc.h: the node's JSON-RPC. Source: Bitcoin Core 29, doc/JSON-RPC-interface.md and rpc/.
 *
 * Every call retries what can pass (link.h). SHREWD_NOT_FOUND: the node knows no such block or
 * height. SHREWD_NODE: it cannot serve what was asked (pruned, not a Bitcoin node). One thread at
 * a time. */
#ifndef SHR_NODE_RPC_H
#define SHR_NODE_RPC_H

#include "node/link.h"

#define SHR_RPC_HASHES_MAX 500u /* hashes in one batch */
#define SHR_RPC_BLOCKS_MAX 64u

struct shr_rpc {
    struct shr_link *link; /* borrowed */
    uint64_t last_id;
    struct shr_buf request; /* reused */
    struct shr_buf reply;   /* reused; a block's reply is 8 MB */
};

void shr_rpc_init(struct shr_rpc *rpc, struct shr_link *link);
void shr_rpc_deinit(struct shr_rpc *rpc);

/* getblockchaininfo: height and hash of one moment. */
int shr_rpc_tip(struct shr_rpc *rpc, struct shr_tip *out, struct shrewd_error *err);
/* getbestblockhash, far cheaper. */
int shr_rpc_best(struct shr_rpc *rpc, struct shr_hash *out, struct shrewd_error *err);
/* getblockhash for `n` heights (1 to SHR_RPC_HASHES_MAX) from `first`, in one round trip. Writes
 * *n_out hashes, fewer where the chain ends; SHREWD_NOT_FOUND when there is none. The node may
 * change its chain in between: neighbours are not sure to be linked. */
int shr_rpc_hashes(struct shr_rpc *rpc, struct shr_hash *out, size_t *n_out, uint32_t first,
                   size_t n, struct shrewd_error *err);
/* getblock, verbosity 0. Replaces `out`. */
int shr_rpc_block(struct shr_rpc *rpc, struct shr_buf *out, const struct shr_hash *hash,
                  struct shrewd_error *err);
/* The same for `n` blocks (1 to SHR_RPC_BLOCKS_MAX) in one round trip: for small ones, of which
 * the trip is the dearest part. *taken is false, and nothing is in `out`, when the node does not
 * answer this (a block is missing, all are too large together, it refuses batches): then ask for
 * each. */
int shr_rpc_blocks(struct shr_rpc *rpc, struct shr_buf *out, bool *taken,
                   const struct shr_hash *hashes, size_t n, struct shrewd_error *err);

#endif
