/* versions.h: versions of a large group of blocks, the rows of HISTORY or LATEST, gathered as the
 * keys are walked and loaded as they are: no batch in between. Private to the room. */
#ifndef SHR_STATE_VERSIONS_H
#define SHR_STATE_VERSIONS_H

#include "state/store.h"

struct shr_version_row {
    struct shr_bytes key, value;
    uint32_t height;     /* HISTORY: of the block that replaced it */
    uint32_t written_at; /* when the version was written */
};

/* {0} is empty. */
struct shr_versions {
    struct shr_version_row *rows;
    size_t n, cap;
    struct shr_arena kept;
};

/* In the order of key, then height. Borrows the key, and the value unless it is to be kept. */
void shr_versions_add(struct shr_versions *versions, const struct shr_version_row *row,
                      bool keep_value);
/* Makes room for n rows more. */
void shr_versions_reserve(struct shr_versions *versions, size_t n);
/* Appends what `from` has, which is empty then. */
void shr_versions_move(struct shr_versions *versions, struct shr_versions *from);
void shr_versions_free(struct shr_versions *versions);

/* The table's rows as what is to be loaded (shr_store_make_rows). table: HISTORY, or LATEST, of
 * which each key has one row. */
int shr_versions_make(struct shr_store *store, enum shr_table table,
                      const struct shr_versions *versions, struct shrewd_error *err);

#endif
