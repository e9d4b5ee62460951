/* rpc_parse.h: reading what a node answers to a JSON-RPC call. Pure functions over any bytes. */
#ifndef SHR_NODE_RPC_PARSE_H
#define SHR_NODE_RPC_PARSE_H

#include "base/error.h"
#include "chain/hash.h"

#include <jansson.h>

/* Takes a reply apart (NULL: it was not JSON). 0: *result is a new reference. SHREWD_CORRUPT: no
 * reply to call `id` (0: any). Else what the node's error means: SHREWD_NOT_FOUND (no such block
 * or height), SHREWD_UNSUPPORTED (it has pruned the block), SHREWD_NODE_BUSY (passes),
 * SHREWD_NODE (does not). */
int shr_rpc_open_envelope(json_t **result, json_t *reply, uint64_t id, const char *method,
                          struct shrewd_error *err);
bool shr_rpc_get_hash(struct shr_hash *out, const json_t *value);

/* One entry of the reply to a batch of `n` getblock calls, whose ids count from `first_id`: writes
 * the block to the out[] of its id. False when the entry holds none, or out[] has it already. */
bool shr_rpc_get_block(struct shr_buf *out, size_t n, uint64_t first_id, const json_t *entry);

/* Splits a reply whose result is a long string: *text is that string's inside, a view into
 * `reply`, and `envelope` (appended to) the reply with an empty string in its place. Without a
 * string as result, *text is empty and `envelope` the whole reply. */
void shr_rpc_cut_result(struct shr_buf *envelope, struct shr_bytes *text, struct shr_bytes reply);
/* Replaces `out` by the bytes of an even number of hex digits; false for anything else. */
bool shr_rpc_decode_hex(struct shr_buf *out, struct shr_bytes hex);

#endif
