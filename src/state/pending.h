/* pending.h: reading the state as it is after blocks that are computed but not committed yet.
 *
 * The thread that runs guests does not wait for commits. What each block writes is kept here, by
 * key the newest value, until the block is known to be committed; the rest is read from the
 * published picture. The order makes it safe: a block is dropped from here only after a picture
 * that has it was published, and the picture is taken after that. So pending blocks and picture
 * together are everything up to the last block added, whatever commits meanwhile; what both have,
 * the pending blocks know better.
 *
 * Threads: one, apart from the commits.
 */
#ifndef SHR_STATE_PENDING_H
#define SHR_STATE_PENDING_H

#include "base/arena.h"
#include "state/state.h"

/* What a block writes, with its bytes. */
struct shr_writes {
    uint32_t height;
    struct shr_hash hash;
    struct shr_pair *pairs;
    size_t n_pairs, cap;
    struct shr_arena arena;
    size_t block_bytes;      /* of the block itself, for whoever counts */
    bool sync;               /* to be durable when it is committed */
    struct shr_writes *next; /* for whoever holds it in a list */
};

struct shr_writes *shr_writes_new(uint32_t height, const struct shr_hash *hash);
void shr_writes_free(struct shr_writes *writes); /* NULL is fine */
void shr_writes_add(struct shr_writes *writes, struct shr_bytes key, struct shr_bytes value);
/* Memory held. */
size_t shr_writes_bytes(const struct shr_writes *writes);
/* As shr_state_apply_many takes it; borrows. */
struct shr_block_change shr_writes_change(const struct shr_writes *writes);

struct shr_pending;

struct shr_pending *shr_pending_new(struct shr_state *state);
void shr_pending_free(struct shr_pending *pending); /* NULL is fine */
/* The block that follows all others. Borrowed until it is dropped. Not between begin and end. */
void shr_pending_add(struct shr_pending *pending, const struct shr_writes *writes);
/* The oldest block is committed and published. Not between begin and end. */
void shr_pending_drop(struct shr_pending *pending, const struct shr_writes *writes);
/* Every block is given up. Not between begin and end. */
void shr_pending_clear(struct shr_pending *pending);
/* Takes the published picture. Nothing may be rolled back until shr_pending_end. */
int shr_pending_begin(struct shr_pending *pending, struct shrewd_error *err);
void shr_pending_end(struct shr_pending *pending);
/* The value after the last block added, between begin and end. SHREWD_NOT_FOUND. Replaces
 * `value`. */
int shr_pending_get(struct shr_pending *pending, struct shr_buf *value, struct shr_bytes key,
                    struct shrewd_error *err);
/* Memory of the table, the blocks apart. */
size_t shr_pending_bytes(const struct shr_pending *pending);

#endif
