/* database.h: what the commands that read a database share: opening it, running a guest on a
 * stack large enough, reading their arguments. */
#ifndef SHR_CLI_DATABASE_H
#define SHR_CLI_DATABASE_H

#include "base/buf.h"
#include "cli/config.h"
#include "shrewd/shrewd.h"

/* Opens the database the configuration names, never making one. `flags`: SHREWD_READ_ONLY or 0.
 * `guest`: also compile the module. */
int shr_database_open(struct shrewd **out, const struct shr_config *config, unsigned flags,
                      bool guest, struct shrewd_error *err);

/* Runs fn(ctx) on a thread with the stack that guests need, and returns what it returned. */
int shr_on_guest_stack(int (*fn)(void *ctx), void *ctx, struct shrewd_error *err);

/* Appends the bytes of hex text (0x optional, "" is empty); the message names `what`. */
int shr_read_hex(struct shr_buf *out, const char *text, const char *what, struct shrewd_error *err);
/* A state root: 32 bytes of hex. */
int shr_read_root(uint8_t root[32], const char *text, const char *what, struct shrewd_error *err);
/* As shr_read_hex, of --prefix: 0x hex, or else text; NULL is none. */
int shr_read_prefix(struct shr_buf *out, const char *text, struct shrewd_error *err);
/* Appends a block given as hex, as a file of raw bytes or of hex, or as "-": standard input. */
int shr_read_block(struct shr_buf *out, const char *arg, struct shrewd_error *err);

#endif
