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
void shr_versions_free(struct shr_versions *versions);

/* What is to be loaded of both tables, in the making (shr_store_make_rows): on a thread besides the
 * caller's, who goes on meanwhile, and may read the versions. */
struct shr_version_files;
/* Borrows everything. Of one key, `latest` has one row. */
struct shr_version_files *shr_version_files_begin(struct shr_store *store,
                                                  const struct shr_versions *history,
                                                  const struct shr_versions *latest);
/* Makes what nobody has begun, waits for the rest, and frees it. */
int shr_version_files_end(struct shr_version_files *files, struct shrewd_error *err);

#endif
