/* flush.h: decoding protobuf `KeyValueFlush { repeated bytes list = 1; }`. */
#ifndef SHR_WASM_FLUSH_H
#define SHR_WASM_FLUSH_H

#include "base/buf.h"
#include "base/error.h"

/* Calls `put` for each key and value in order; unknown fields are skipped as protobuf demands.
 * SHREWD_GUEST with the offset when the bytes are not such a message or the list is odd: then
 * `put` may have been called for earlier pairs, and the caller drops the block. A non-zero
 * return of `put` ends decoding and is returned. */
int shr_flush_decode(struct shr_bytes message,
                     int (*put)(void *ctx, struct shr_bytes key, struct shr_bytes value,
                                struct shrewd_error *err),
                     void *ctx, struct shrewd_error *err);

#endif
