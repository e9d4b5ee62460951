/* undo.h: putting back into LATEST what blocks have replaced there: the versions that HISTORY has,
 * and nothing for keys that were new. Private to the room. */
#ifndef SHR_STATE_UNDO_H
#define SHR_STATE_UNDO_H

#include "state/store.h"

/* A key's change in a block that is undone. */
struct shr_undo {
    struct shr_bytes key;
    uint32_t height;
    bool replaced;
};

/* Few enough to be read in one round trip, of each key one. {0} is empty. */
#define SHR_UNDO_WINDOW 512
struct shr_undo_window {
    const struct shr_undo *undos[SHR_UNDO_WINDOW]; /* in key order */
    size_t n;
    struct shr_read reads[SHR_UNDO_WINDOW];
    struct shr_buf keys[SHR_UNDO_WINDOW], versions[SHR_UNDO_WINDOW];
};

/* Adds to `batch` what LATEST had before the changes, each version from below the height `low`. */
int shr_undo_window_restore(struct shr_undo_window *window, struct shr_store *store, uint32_t low,
                            struct shr_batch *batch, struct shrewd_error *err);
/* Frees what it holds, not itself. */
void shr_undo_window_free(struct shr_undo_window *window);

#endif
