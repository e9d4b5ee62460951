/* snapshot.h: a folder of files from which another machine continues instead of indexing again.
 *
 * A snapshot is a manifest and parts, each part what a run of blocks wrote: doc/snapshots.md. It
 * grows by whole parts (incremental), is taken from a published picture of the state while
 * indexing and views go on, and can be broken off at any moment: what is there counts. */
#ifndef SHR_SNAPSHOT_SNAPSHOT_H
#define SHR_SNAPSHOT_SNAPSHOT_H

#include "snapshot/manifest.h"

struct shr_snap_summary {
    uint32_t height;
    uint32_t oldest; /* the first height that can be read */
    struct shr_hash block;
    bool has_root;
    struct shr_hash root;
    size_t parts, new_parts; /* with the base's; new_parts: written, or applied, by this call */
    uint64_t bytes;          /* of all parts */
};

/* Of folders that are made for one, and those above them, less the umask. */
#define SHR_SNAP_DIR_MODE 0755u

/* Brings the snapshot in `dir` (made when absent) up to `height` (UINT32_MAX: the tip). Parts of
 * blocks that a reorg has taken back are replaced, with a warning; no others are. A pruned
 * database's begins with the state after its oldest height (base.h); so does one, with a warning,
 * when pruning has passed the end of what is there. SHREWD_MISMATCH: what is there is of another
 * chain, module or start, or has state roots where the state has none, or the other way round;
 * SHREWD_IO, SHREWD_CORRUPT: a part is missing, or cut short; SHREWD_INVALID: it ends above
 * `height`; SHREWD_ABOVE_TIP: above the tip, or `height` is; SHREWD_PRUNED: the height is gone;
 * SHREWD_LOCKED: another process writes there; SHREWD_UNSUPPORTED: a fork. */
int shr_snap_create(struct shr_snap_summary *out, struct shr_state *state, const char *dir,
                    uint32_t height, struct shr_stop *stop, struct shrewd_error *err);

/* The height that the snapshot in `dir` ends with; 0 when there is none, or no part yet.
 * SHREWD_MISMATCH, SHREWD_IO and SHREWD_CORRUPT as above. */
int shr_snap_height(uint32_t *out, struct shr_state *state, const char *dir,
                    struct shrewd_error *err);
/* Whether a state of this identity, which need not be there yet, may keep a snapshot in `dir`: the
 * same failures. */
int shr_snap_may_grow(const struct shr_identity *identity, const char *dir,
                      struct shrewd_error *err);

/* What a manifest says, which has a part. */
void shr_snap_sum_up(struct shr_snap_summary *out, const struct shr_manifest *manifest,
                     size_t new_parts);

/* Reads every file of a snapshot in a folder, and compares sizes and hashes. Before that, its last
 * state root with `root` (NULL: any), as shr_snap_check_root; what the parts give is computed by
 * restoring only. */
int shr_snap_verify(struct shr_snap_summary *out, const char *dir, const struct shr_hash *root,
                    struct shr_stop *stop, struct shrewd_error *err);
/* Whether the snapshot from `place`, which has a part, says that it ends with this state root:
 * SHREWD_MISMATCH, also when it keeps none. */
int shr_snap_check_root(const struct shr_manifest *manifest, const char *place,
                        const struct shr_hash *root, struct shrewd_error *err);

struct shr_snap_restore {
    const char *from;                   /* a folder, or an http:// or https:// URL of one */
    const char *db_path;                /* must not exist, or be an empty folder */
    const struct shr_hash *genesis;     /* must match; NULL: any */
    const struct shr_hash *module_hash; /* must match; NULL: any */
    const struct shr_hash *root;        /* the state root it must end with; NULL: any */
    uint32_t start_height;              /* --start-block, must match; 0: any */
    enum shr_keep_root keep_root;       /* --state-root, must match */
    const char *grow_dir; /* --snapshot-directory, in which it must be able to grow; NULL: none */
    size_t cache_bytes;   /* RocksDB's; 0: its default */
    struct shr_stop *stop;
};

/* Builds the database in `db_path`.restore, applying part after part, each verified before and
 * after, and moves it to its place when the last root is what the manifest says. Broken off, the
 * next call with the same snapshot goes on where it ended; a failure that leaves nothing to go on
 * with leaves no folder. Needs SHR_GUEST_THREAD_STACK. */
int shr_snap_restore(struct shr_snap_summary *out, const struct shr_snap_restore *restore,
                     struct shrewd_error *err);
/* Whether there is something to go on with. */
bool shr_snap_begun(const char *db_path);

#endif
