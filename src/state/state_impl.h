/* state_impl.h: what the files of the versioned state share; private to the room. */
#ifndef SHR_STATE_STATE_IMPL_H
#define SHR_STATE_STATE_IMPL_H

#include "state/cache.h"
#include "state/codec.h"
#include "state/root.h"
#include "state/store_ops.h"
#include "state/versions.h"

#include <pthread.h>
#include <stdatomic.h>

struct shr_reader {
    struct shr_state *state;
    struct shr_snapshot *snapshot; /* NULL: the newest data, for the writing thread */
    struct shr_block_record tip;   /* the state's own; valid while has_tip */
    bool has_tip;
    uint32_t oldest; /* the first height whose versions are held; a fork's base has its own */
    bool pruned;     /* what the block of `oldest` and those below changed is not known */
    struct shr_cache_at at;
    _Atomic size_t refs;
};

struct shr_state {
    struct shr_store *store; /* owned */
    struct shr_identity identity;
    struct shr_reader *base; /* borrowed; NULL unless this is a fork */
    struct shr_fork_record fork;
    struct shr_root *root;   /* NULL: no state root is kept */
    bool tree_left;          /* there may be rows of the tree above the tip: shr_state_sweep */
    struct shr_cache *cache; /* NULL: off */
    size_t load_min;         /* pairs in a group that is loaded, see apply.c */
    bool ahead;              /* rows above the tip may be held: see ahead.c */
    struct shr_reader now;   /* the writing thread's own: what it has committed */
    _Atomic uint64_t generation;
    pthread_mutex_t lock; /* guards `published`; held to change it or take a reference, no more */
    struct shr_reader *published; /* the newest picture; never NULL once open */
};

/* SHREWD_CORRUPT: names the database, the table, the key and what is wrong. */
int shr_corrupt(const struct shr_store *store, enum shr_table table, struct shr_bytes key,
                const char *what, struct shrewd_error *err);

/* Undoes blocks above the tip, which a group of blocks that was not finished has left. */
int shr_state_clear_ahead(struct shr_state *state, struct shrewd_error *err);

/* The first height that the state itself may hold. */
uint32_t shr_state_floor(const struct shr_state *state);

/* rollback.c. Removes the tree's rows that a deep rollback left above the tip; whoever applies a
 * block does this first. */
int shr_state_sweep(struct shr_state *state, struct shrewd_error *err);

/* SHREWD_PRUNED, naming the oldest height held, when the versions at `height` are gone. */
int shr_reader_check_held(const struct shr_reader *reader, uint32_t height,
                          struct shrewd_error *err);

/* The state's own tip row; SHREWD_NOT_FOUND when it holds no block of its own. */
int shr_state_own_tip(const struct shr_state *state, const struct shr_snapshot *snapshot,
                      struct shr_block_record *out, struct shrewd_error *err);
/* A BLOCKS row that must be there: its absence is corruption. */
int shr_state_own_block(const struct shr_state *state, const struct shr_snapshot *snapshot,
                        struct shr_block_record *out, uint32_t height, struct shrewd_error *err);

/* publish.c. Makes what `now` says the picture that readers get. */
int shr_state_publish(struct shr_state *state, struct shrewd_error *err);
/* The store has taken blocks up to `tip`, and these versions of LATEST: moves the cache and readers
 * on to them. On failure the blocks stay applied, and readers get the old picture. */
int shr_state_applied(struct shr_state *state, const struct shr_block_record *tip,
                      const struct shr_versions *newest, struct shrewd_error *err);
/* The store has taken a rollback. */
int shr_state_rolled_back(struct shr_state *state, struct shrewd_error *err);
/* The newest tip, for the writing thread; as shr_reader_tip. */
int shr_state_writer_tip(struct shr_state *state, struct shr_block_record *out,
                         struct shrewd_error *err);

/* The height at which the reader's own rows say what holds at *height; false: none of them counts
 * there, a fork's base has it all. */
bool shr_reader_own_height(const struct shr_reader *reader, uint32_t *height);
/* What HISTORY has of a key for `height`, which is below its newest version: the version in force
 * then, and when it was written. Not found: the key did not exist. */
int shr_history_find(struct shr_store *store, const struct shr_snapshot *snapshot,
                     struct shr_buf *value, bool *found, uint32_t *written_at, struct shr_bytes key,
                     uint32_t height, struct shrewd_error *err);
/* Turns a version read from LATEST into the value after `height`, in place: cut to its value
 * when it is old enough, else replaced by the one HISTORY has. *found: whether there is one;
 * *written_at: the height in `version` as it was. */
int shr_reader_resolve(struct shr_reader *reader, struct shr_buf *version, bool *found,
                       uint32_t *written_at, struct shr_bytes key, uint32_t height,
                       struct shrewd_error *err);
/* Values after `height` of many keys, in few round trips; each read's table is not looked at. */
int shr_reader_get_many(struct shr_reader *reader, struct shr_read *reads, size_t n,
                        uint32_t height, struct shrewd_error *err);
/* The same in this state alone, without its base. With `height` UINT32_MAX: what LATEST has, be it
 * above the tip, and written_at[i] is set where read i finds a value. */
int shr_reader_own_many(struct shr_reader *reader, struct shr_read *reads, uint32_t *written_at,
                        size_t n, uint32_t height, struct shrewd_error *err);

#endif
