/* check.h: whether every row of a database is what the others say it must be.
 *
 * Each table is read once, from its beginning to its end, and a few words are kept for each
 * block, so that a database of any number of keys is checked at the speed of the disk and in
 * little memory. How rows of different order are compared: check_impl.h.
 *
 * Threads: any; the store may be written meanwhile (it is looked at as of one snapshot).
 */
#ifndef SHR_STATE_CHECK_H
#define SHR_STATE_CHECK_H

#include "state/state.h"

/* Valid during the call that hands it out. */
struct shr_check_finding {
    enum shr_table table;
    struct shr_bytes key; /* of the row */
    const char *expected, *found;
};
typedef void shr_check_found_fn(void *ctx, const struct shr_check_finding *finding);
/* Rows read so far, of about so many. False ends the check with SHREWD_STOPPED. */
typedef bool shr_check_progress_fn(void *ctx, uint64_t rows, uint64_t rows_about);

struct shr_check_options {
    struct shr_reader *base; /* a fork's; else NULL */
    size_t findings_max;     /* after so many nothing more is looked for; at least 1 */
    shr_check_found_fn *found;
    shr_check_progress_fn *progress; /* NULL: none */
    void *ctx;
};

struct shr_check_summary {
    bool has_tip;
    uint32_t first_height, tip_height; /* of the blocks held, when there are any */
    uint64_t blocks, keys, versions;   /* versions: of LATEST and HISTORY */
    uint64_t bytes;                    /* of the rows read, keys and values */
    bool values; /* they were compared with the state's tree: else one changed in place is not found
                  */
    size_t findings;
};

/* 0 whatever was found: see out->findings. SHREWD_NOT_FOUND: nothing is stored yet;
 * SHREWD_MISMATCH: a fork without its base, or the reverse; SHREWD_IO. */
int shr_check(struct shr_store *store, const struct shr_check_options *options,
              struct shr_check_summary *out, struct shrewd_error *err);
/* The name of a table, as findings are printed. Static storage. */
const char *shr_check_table(enum shr_table table);

#endif
