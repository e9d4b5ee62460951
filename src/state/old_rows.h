/* old_rows.h: the rows of HISTORY of a large group of blocks, gathered as the keys are walked and
 * loaded as they are: no batch in between. Private to the room. */
#ifndef SHR_STATE_OLD_ROWS_H
#define SHR_STATE_OLD_ROWS_H

#include "state/store.h"

/* A version that a block has replaced. */
struct shr_old_row {
    struct shr_bytes key, value;
    uint32_t height;     /* of the block */
    uint32_t written_at; /* when the version was written */
};

/* {0} is empty. */
struct shr_old_rows {
    struct shr_old_row *rows;
    size_t n, cap;
    struct shr_arena kept;
};

/* In the order of key, then height. Borrows the key, and the value unless it is to be kept. */
void shr_old_rows_add(struct shr_old_rows *old, const struct shr_old_row *row, bool keep_value);
int shr_old_rows_load(const struct shr_old_rows *old, struct shr_store *store,
                      struct shrewd_error *err);
void shr_old_rows_free(struct shr_old_rows *old);

#endif
