/* load.h: what `shrewd dump` printed, as a state again: of the one height it was taken at. */
#ifndef SHR_SNAPSHOT_LOAD_H
#define SHR_SNAPSHOT_LOAD_H

#include "state/state.h"

#include <stdio.h>

/* Takes a line of a dump apart, text or JSON, without its line break. Replaces both. NULL, or what
 * is wrong with it (static text). */
const char *shr_dump_line(struct shr_buf *key, struct shr_buf *value, struct shr_bytes line);

struct shr_load {
    FILE *from;
    const char *name;               /* for messages */
    uint32_t height;                /* the block that the dump is of */
    struct shr_hash hash;           /* that block's */
    const struct shr_hash *root;    /* what it must have; NULL: any */
    const char *scratch;            /* a folder for a file without a name */
    struct shr_block_record loaded; /* out */
};

/* Reads a dump to its end into an empty state, which begins with that height (found.h). Takes
 * bounded memory. After a failure the state is to be thrown away. SHREWD_INVALID, naming the line:
 * malformed, cut short, or not in a dump's order; SHREWD_MISMATCH: another root than the one
 * wanted. */
int shr_load_dump(struct shr_load *load, struct shr_state *state, struct shrewd_error *err);

#endif
