/* apply_keys.h: what blocks do to the keys of a state: apply.c's first half. Private to the room.
 *
 * The pairs of all blocks are sorted together by key, then by block, so each key's present version
 * is read once, and its way through the blocks is walked in memory: every block that changes it
 * keeps the version before in HISTORY, and only the last value goes to LATEST. Where there are many
 * keys, two threads take parts of them; which one does what shows nowhere.
 */
#ifndef SHR_STATE_APPLY_KEYS_H
#define SHR_STATE_APPLY_KEYS_H

#include "state/state_impl.h"

/* What one block really changes. */
struct shr_block_keys {
    const struct shr_pair **changed; /* in key order */
    size_t n_changed, cap;
    struct shr_buf changes; /* its CHANGES row */
    uint64_t new_keys;
};

struct shr_apply_keys {
    struct shr_block_keys *blocks; /* of each block */
    size_t n_blocks;
    struct shr_versions old;    /* HISTORY's rows, when they are to be loaded */
    struct shr_versions newest; /* LATEST's, loaded or written */
    struct shr_batch batch;     /* both, when they are to be written */
};

/* Of blocks that follow the tip of `state`, n_pairs pairs in all. `load`: the rows are to be
 * loaded. Borrows what the changes point to, until `out` is freed, also after a failure. */
int shr_apply_keys(struct shr_apply_keys *out, struct shr_state *state,
                   const struct shr_block_change *changes, size_t n, size_t n_pairs, bool load,
                   struct shrewd_error *err);
void shr_apply_keys_free(struct shr_apply_keys *keys);

#endif
