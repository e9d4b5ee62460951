/* state.h: versioned state: the value of any key after any block, on a store (store.h).
 *
 * Tables. LATEST: key -> value, then the height u32 BE of the block that wrote it. HISTORY: key
 * length u32 BE, key, height u32 BE -> the version (value, height) which the block of that height
 * replaced. CHANGES: height -> keys written. BLOCKS: height -> block record. So a read at the tip
 * is one point lookup, a read in the past one more seek, and the HISTORY rows are the undo data:
 * rolling back a block puts each replaced version back. A write equal to the value already there
 * makes no new version. Whole layout: doc/database.md.
 *
 * One block, or one rollback, is one atomic write. A state may be a fork: it reads through to
 * another state up to a height and keeps its own writes (--fork, and previews in memory).
 *
 * Reads are remembered in a cache (cache.h), which never changes an answer.
 *
 * Threads: one thread applies and rolls back; any thread opens readers, and one reader may be used
 * by several threads at once.
 */
#ifndef SHR_STATE_STATE_H
#define SHR_STATE_STATE_H

#include "chain/hash.h"
#include "state/cache.h"
#include "state/store.h"

struct shr_state;
struct shr_reader;

enum shr_keep_root {
    SHR_KEEP_ROOT_ANY, /* as the database does; a new one: yes */
    SHR_KEEP_ROOT_YES,
    SHR_KEEP_ROOT_NO,
};

struct shr_identity {
    struct shr_hash genesis;      /* the chain */
    uint32_t start_height;        /* the first block indexed */
    struct shr_hash module_hash;  /* the module that wrote the state */
    enum shr_keep_root keep_root; /* whether each block has a state root; a fork's do not */
};

struct shr_block_record {
    uint32_t height;
    struct shr_hash hash;
    struct shr_hash root; /* zero while has_root is false */
    bool has_root;
    uint64_t n_keys;    /* keys this block wrote */
    uint64_t key_bytes; /* their sizes, and those of their values */
    uint64_t value_bytes;
    uint64_t total_keys; /* keys held after this block */
};

/* What apply takes at most; SHREWD_LIMIT above. */
#define SHR_KEY_MAX (8u << 20)
#define SHR_VALUE_MAX (1u << 30)

struct shr_pair {
    struct shr_bytes key;
    struct shr_bytes value;
};

struct shr_block_change {
    uint32_t height;
    struct shr_hash hash;
    const struct shr_pair *pairs; /* any order; of equal keys the later wins */
    size_t n_pairs;
};

/* Opens the state in `store`. An empty store is initialised with `identity` when it is given,
 * else SHREWD_NOT_FOUND. One already initialised must have the same format, genesis and start
 * height, keep a state root or not, and have the same module unless `accept_module` (then the new
 * module's hash is recorded); any difference is SHREWD_MISMATCH with what to do. identity NULL:
 * take what is there. Takes over the store, also on failure. */
int shr_state_open(struct shr_state **out, struct shr_store *store,
                   const struct shr_identity *identity, bool accept_module,
                   struct shrewd_error *err);
/* A state on `store` that reads through to `base` at and below `fork_height`. An empty store is
 * initialised as a fork at that height (and remembers the hash of that block); one initialised
 * before must fit base: same genesis, the same hash at its recorded fork height. Borrows base
 * (a reader, so that what it reads through to never moves), takes over store, also on failure.
 * fork_height UINT32_MAX: base's tip, or what the store recorded. Of `identity` the genesis must
 * be base's and the module may be another than base's; its start height is not looked at, as a
 * fork has base's. identity NULL: base's. */
int shr_state_open_fork(struct shr_state **out, struct shr_store *store, struct shr_reader *base,
                        uint32_t fork_height, const struct shr_identity *identity,
                        bool accept_module, struct shrewd_error *err);
/* SHREWD_MISMATCH when the state keeps a root and is not to, or the other way round. */
int shr_state_check_root(const struct shr_state *state, enum shr_keep_root wanted,
                         struct shrewd_error *err);
/* Memory for pages of the tree kept from block to block; 64 MiB unless told. */
void shr_state_set_root_cache(struct shr_state *state, size_t bytes);
/* Whether blocks have a state root. */
bool shr_state_has_root(const struct shr_state *state);
/* How many pairs a group of blocks has at least that is stored by loading (apply.c). */
#define SHR_STATE_LOAD_MIN ((size_t)30000)
void shr_state_set_load_min(struct shr_state *state, size_t pairs);
/* Every reader must be closed before. */
void shr_state_close(struct shr_state *state);
/* How much memory reads may take to be remembered in (cache.h); 0 turns that off. Before any
 * other thread uses the state. A state starts with SHR_STATE_CACHE_DEFAULT, a fork with none (its
 * base has one). Answers never depend on it. */
#define SHR_STATE_CACHE_DEFAULT ((size_t)64 << 20)
void shr_state_set_cache(struct shr_state *state, size_t bytes);
/* All zero when it is off. Any thread. */
void shr_state_cache_stats(struct shr_state *state, struct shr_cache_stats *out);
void shr_state_identity(struct shr_state *state, struct shr_identity *out);
bool shr_state_is_fork(const struct shr_state *state);
/* As shr_store_probe. */
int shr_state_probe(struct shr_state *state, struct shrewd_error *err);
/* For `status`. Any thread. */
int shr_state_sizes(struct shr_state *state, struct shr_sizes *out, struct shrewd_error *err);

/* The height must be one above the tip, or start_height in an empty state (a fork: one above
 * its fork height). SHREWD_INVALID otherwise. `sync`: durable when it returns. */
int shr_state_apply(struct shr_state *state, const struct shr_block_change *change, bool sync,
                    struct shrewd_error *err);
/* The same for n blocks, one after the other: all or nothing, in one atomic write. Leaves exactly
 * the rows that applying them one by one would leave; readers never see a height between. */
int shr_state_apply_many(struct shr_state *state, const struct shr_block_change *changes, size_t n,
                         bool sync, struct shrewd_error *err);
/* Whether what a block writes can be stored at all; SHREWD_LIMIT. Applying checks it too. */
int shr_state_check_change(const struct shr_block_change *change, struct shrewd_error *err);
/* Removes every block above `height`, in one atomic write; one that would need more than 256 MiB
 * of memory goes in several, newest blocks first, and the state is whole, at a height between,
 * after each. Durable when it returns. `height` may be start_height - 1 (all
 * go; start_height 0 uses shr_state_rollback_all). SHREWD_ABOVE_TIP, SHREWD_BELOW_START (also
 * for a fork: below its fork height), SHREWD_PRUNED (nothing was changed). */
int shr_state_rollback(struct shr_state *state, uint32_t height, struct shrewd_error *err);
int shr_state_rollback_all(struct shr_state *state, struct shrewd_error *err);

/* Removes what only states before height `oldest` need: the versions replaced up to there, and the
 * undo data of those blocks. Their records stay. One call takes whole blocks, as many as make up
 * `rows_max` rows but at least one, and is one atomic write (not synced: losing it loses nothing)
 * that also moves the oldest height held; call it again until out->more is false. Called by the
 * thread that applies blocks, between two of them. An `oldest` at or below the oldest height held
 * does nothing. SHREWD_ABOVE_TIP; SHREWD_UNSUPPORTED for a fork. */
struct shr_prune_step {
    uint32_t oldest; /* now */
    uint64_t rows;   /* removed */
    bool more;
};
int shr_state_prune(struct shr_state *state, uint32_t oldest, uint64_t rows_max,
                    struct shr_prune_step *out, struct shrewd_error *err);
/* The oldest height that can be read, and rolled back to, for the thread that applies blocks. */
uint32_t shr_state_oldest(const struct shr_state *state);

/* A consistent picture of the state, kept until closed. The state keeps its newest one published,
 * made after each block and rollback before that call returns; opening takes a reference to it
 * (some 20 ns), and never waits for a commit: until that is done one gets the picture before. */
int shr_reader_open(struct shr_reader **out, struct shr_state *state, struct shrewd_error *err);
void shr_reader_close(struct shr_reader *reader);
/* Goes up by one with each block and rollback: two readers of a state with equal generations are
 * the same picture, but for the past that pruning may have removed in between. */
uint64_t shr_reader_generation(const struct shr_reader *reader);
/* Never 0. Two readers of one state with equal numbers for a height have the same values there. */
uint64_t shr_reader_version(const struct shr_reader *reader, uint32_t height);
/* Of the newest picture; it may be out of date by the time it is looked at. */
uint64_t shr_state_generation(struct shr_state *state);
/* Height and hash of the last block applied; false when there is none. Costs nothing. */
bool shr_reader_head(const struct shr_reader *reader, uint32_t *height, struct shr_hash *hash);
/* The last block applied; SHREWD_NOT_FOUND when there is none. */
int shr_reader_tip(struct shr_reader *reader, struct shr_block_record *out,
                   struct shrewd_error *err);
/* The first height that has a block record (a fork: its base's). */
uint32_t shr_reader_first_height(struct shr_reader *reader);
/* The first height whose state can be read: the same, or above it in a pruned state. */
uint32_t shr_reader_oldest(struct shr_reader *reader);
/* Whether what that block and those below changed is gone (shr_state_prune), or never was here
 * (found.h). */
bool shr_reader_pruned(const struct shr_reader *reader);
/* SHREWD_ABOVE_TIP (naming the tip), SHREWD_BELOW_START. */
int shr_reader_block(struct shr_reader *reader, struct shr_block_record *out, uint32_t height,
                     struct shrewd_error *err);
/* The same for a height that is to be read: SHREWD_PRUNED (naming the oldest one held) when only
 * the block's record is left. */
int shr_reader_held(struct shr_reader *reader, struct shr_block_record *out, uint32_t height,
                    struct shrewd_error *err);
/* The value of a key after the block of `height`, which the caller knows to be held.
 * SHREWD_NOT_FOUND. Replaces `value`. */
int shr_reader_get(struct shr_reader *reader, struct shr_buf *value, struct shr_bytes key,
                   uint32_t height, struct shrewd_error *err);
/* Every key that starts with `prefix` and its value after `height`, in key order. The bytes are
 * valid during the call. */
int shr_reader_each(struct shr_reader *reader, struct shr_bytes prefix, uint32_t height,
                    shr_scan_fn *visit, void *ctx, struct shrewd_error *err);

/* The same, beginning with the first such key that is not below `from`. */
int shr_reader_each_from(struct shr_reader *reader, struct shr_bytes prefix, struct shr_bytes from,
                         uint32_t height, shr_scan_fn *visit, void *ctx, struct shrewd_error *err);

/* The keys that the block of `height` changed, in key order; the caller knows that the height is
 * held. The key is valid during the call; what is not 0 ends the walk and is returned. */
typedef int shr_change_fn(void *ctx, struct shr_bytes key, struct shrewd_error *err);
int shr_reader_changes(struct shr_reader *reader, uint32_t height, shr_change_fn *visit, void *ctx,
                       struct shrewd_error *err);

/* Reading at the tip without a snapshot: for the thread that applies blocks. */
int shr_state_get_latest(struct shr_state *state, struct shr_buf *value, struct shr_bytes key,
                         struct shrewd_error *err);
/* Of the picture published. Any thread; the tip and its block cost no read of the store. */
int shr_state_tip(struct shr_state *state, struct shr_block_record *out, struct shrewd_error *err);
int shr_state_block(struct shr_state *state, struct shr_block_record *out, uint32_t height,
                    struct shrewd_error *err);

#endif
