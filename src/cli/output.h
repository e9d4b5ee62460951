/* output.h: what commands print on standard output, and that it got there. */
#ifndef SHR_CLI_OUTPUT_H
#define SHR_CLI_OUTPUT_H

#include "base/buf.h"
#include "base/error.h"

#include <jansson.h>

/* Prints the bytes as they are. */
void shr_out_put(struct shr_bytes bytes);
/* Prints the bytes as 0x hex and a line break. */
void shr_out_hex(struct shr_bytes bytes);
/* Prints one JSON object, indented, and a line break. Takes over `value`. */
void shr_out_json(json_t *value);
/* "0x" and the bytes in hex, as a JSON string. */
json_t *shr_json_hex(struct shr_bytes bytes);
/* A 32-byte hash in display order, as a JSON string. */
json_t *shr_json_hash(const uint8_t hash[32]);
/* The same in the order of its bytes: module hashes and roots. */
json_t *shr_json_digest(const uint8_t digest[32]);
/* "1.5 GiB (1610612736 bytes)" */
void shr_human_bytes(char out[64], uint64_t bytes);
/* False once a write to standard output has failed. */
bool shr_out_ok(void);
/* Flushes standard output. Returns `status`, or SHR_EXIT_FAILURE when something could not be
 * written: with a message, or in silence when the reader went away (a closed pipe). */
int shr_out_close(int status);

#endif
