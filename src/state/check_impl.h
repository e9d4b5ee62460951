/* check_impl.h: what the files of check.h share.
 *
 * CHANGES is in the order of heights, HISTORY and LATEST in two orders of keys. To compare them
 * without a look-up for each row, every row adds to sums that are kept for each height: CHANGES
 * takes off what HISTORY and LATEST put on, a seeded hash of the key at a time. The sums are zero
 * when both sides hold the same rows; that they are by chance has odds of 2^-64 a height. Only
 * the heights whose sums are not zero are gone through key by key (check_detail.c).
 *
 * Two sums of a height h:
 *   replaced  HISTORY has a row (key, h)            <=> CHANGES of h lists the key as replaced
 *   written   a version (HISTORY's or LATEST's) was written at h <=> CHANGES of h lists the key
 * With two rules for the rows of one key, seen one after the other in HISTORY (each version is
 * older than the block that replaced it, and was written by the block before that changed the key),
 * this makes the changes of every key one chain: new, replaced, replaced, ..., LATEST. So what
 * undoing a block puts back for each key it changed is the version that the state before the
 * block had, and what it removes had none: every undo record inverts its block.
 *
 * Where a state root is kept, a third sum says that the values are right too. A key with its value
 * is a leaf (SHA-256 of each), and a leaf a seeded hash. The versions written at h less those that
 * were replaced at h are what the leaves of the whole state are more after h than before it; the
 * same is what the rows of the tree's buckets of h have more than the buckets had before. That goes
 * by buckets that gain and lose leaves, not by what a block changed: one that becomes an inner page
 * loses all of its, which the new ones below have.
 *   values    leaves by the versions, less leaves by the tree
 * What is written before the oldest height held is all taken together: it is the state there.
 *
 * Rows ahead of the tip (ahead.c) are there in part or whole, so they are in no sum. Of LATEST's,
 * the version that HISTORY has for the tip counts instead, and each must be one that the list of
 * its block names: what those lists find in LATEST is summed up, for each block, against what
 * LATEST has.
 */
#ifndef SHR_STATE_CHECK_IMPL_H
#define SHR_STATE_CHECK_IMPL_H

#include "state/check.h"
#include "state/codec.h"
#include "state/key_hash.h"
#include "state/root_page.h"

struct shr_check_height {
    uint64_t written, replaced; /* sums of hashes */
    uint64_t value_bytes;       /* of the versions written, less what the record says */
    uint64_t pages;             /* a sum of rows of the tree's pages */
    uint64_t values;            /* a sum of leaves */
    /* A finding has said why ... */
    bool reported;       /* ... its CHANGES or record cannot be compared */
    bool pages_reported; /* ... its ROOT_PAGES cannot */
    bool values_unknown; /* ... its leaves cannot */
    bool pages_listed;   /* ROOT_PAGES has its row */
};

/* A block above the tip that has a list of changes. */
struct shr_check_ahead {
    uint32_t height;
    uint64_t newest; /* a sum of hashes: keys of which LATEST has the block's version */
};

struct shr_check_run {
    struct shr_store *store;
    struct shr_snapshot *snapshot;
    const struct shr_check_options *options;
    struct shr_check_summary *out;
    struct shr_key_seed seed;
    uint64_t rows, rows_about;
    bool stopped;                 /* by `progress` */
    int code;                     /* of what failed inside a scan */
    bool unread[SHR_TABLE_COUNT]; /* RocksDB could not read the table to its end, as was said */
    struct shrewd_error *err;

    /* META */
    bool has_format, has_identity, has_tip, has_fork, has_pruned, has_root_row;
    struct shr_identity identity;
    struct shr_fork_record fork;
    struct shr_block_record tip; /* what META says; heights[] go by BLOCKS */
    uint32_t oldest;             /* with has_pruned */
    bool keep_root;              /* with has_root_row */

    /* BLOCKS: what CHANGES, HISTORY and LATEST may name */
    bool has_blocks;
    uint32_t first, last;
    uint32_t held_from; /* the first height with undo data */
    struct shr_check_height *heights;
    struct shr_check_height pruned; /* `values` of all heights without undo data together */

    struct shr_check_ahead *ahead; /* by height */
    size_t n_ahead, ahead_cap;
    struct shr_buf older; /* scratch: a version out of HISTORY */
    bool older_unread;    /* one could not be read, as was said: not all of LATEST is known */
};

/* A finding. `format` says what was found. */
void shr_check_note(struct shr_check_run *run, enum shr_table table, struct shr_bytes key,
                    const char *expected, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* Counts a row; whether to go on. */
enum shr_scan_step shr_check_step(struct shr_check_run *run, struct shr_bytes key,
                                  struct shr_bytes value);
/* One whole table. What RocksDB cannot read is a finding; what the table is to be compared with is
 * not compared then, as all that was not read would be a finding too. */
int shr_check_scan(struct shr_check_run *run, enum shr_table table, shr_scan_fn *visit, void *ctx);
bool shr_check_full(const struct shr_check_run *run); /* enough was found */
uint64_t shr_check_hash(const struct shr_check_run *run, struct shr_bytes key);
uint64_t shr_check_leaf(const struct shr_check_run *run, const struct shr_root_leaf *leaf);
/* NULL when the height has no undo data or is above the tip. */
struct shr_check_height *shr_check_height(struct shr_check_run *run, uint32_t height);
/* Whose sum of leaves takes what is of that height: where the undo data are pruned, one for all
 * heights up to the oldest that can be read. */
struct shr_check_height *shr_check_value_height(struct shr_check_run *run, uint32_t height);
/* A row of a block above the tip: of a group that was not finished (ahead.c), and no fault. */
bool shr_check_is_ahead(const struct shr_check_run *run, uint32_t height);
/* The lowest height at which there is a tree. */
uint32_t shr_check_lowest(const struct shr_check_run *run);
/* Whether there is a sound record; what is wrong with one that is not has been said. */
bool shr_check_record(struct shr_check_run *run, struct shr_block_record *out, uint32_t height);
/* A HISTORY row's key taken apart; false when it is none. */
bool shr_check_history_key(struct shr_bytes *key, uint32_t *height, struct shr_bytes row);

/* The leaves in the rows of the tree's pages, which are given as ROOT has them: page by page, of
 * each the newest first. */
struct shr_check_leaves {
    struct shr_check_run *run;
    struct shr_buf page; /* the one in hand: its key without the height */
    /* Its rows since the last whole one, the newest first. */
    struct shr_buf rows;
    size_t ends[SHR_ROOT_DIFFS_MAX + 1]; /* of each in `rows` */
    uint32_t heights[SHR_ROOT_DIFFS_MAX + 1];
    size_t n;
    uint32_t newer;               /* the height of that whole one, ... */
    bool has_newer;               /* ... if there is one */
    struct shr_root_page *bucket; /* scratch */
};
void shr_check_leaf_begin(struct shr_check_leaves *leaves, struct shr_check_run *run);
void shr_check_leaf_row(struct shr_check_leaves *leaves, struct shr_bytes page, uint32_t height,
                        struct shr_bytes row);
void shr_check_leaf_end(struct shr_check_leaves *leaves);
void shr_check_leaf_free(struct shr_check_leaves *leaves);

/* Whether a list of changes, CHANGES' row of this key, is sound; if not, that is a finding. Each
 * change is visited before what comes after it is looked at. */
typedef void shr_check_change_fn(void *ctx, const struct shr_change *change);
bool shr_check_list(struct shr_check_run *run, struct shr_bytes key, struct shr_bytes row,
                    shr_check_change_fn *visit, void *ctx);

/* check_ahead.c. A list of changes above the tip: of which LATEST has the new versions. */
void shr_check_ahead_list(struct shr_check_run *run, struct shr_bytes key, struct shr_bytes row,
                          uint32_t height);
/* A row of LATEST that was written above the tip; one of no list is a finding. */
void shr_check_ahead_newest(struct shr_check_run *run, struct shr_bytes key, uint32_t written_at);
/* That LATEST has no others. */
void shr_check_ahead_end(struct shr_check_run *run);
/* What a sound row of LATEST stands for at the tip: itself, or a version that HISTORY has, which is
 * valid until the next call. False: nothing. */
bool shr_check_at_tip(struct shr_check_run *run, struct shr_bytes *value, uint32_t *written_at,
                      struct shr_bytes key);

/* The passes, in this order. */
int shr_check_meta(struct shr_check_run *run);
int shr_check_blocks(struct shr_check_run *run);
int shr_check_changes(struct shr_check_run *run);
int shr_check_history(struct shr_check_run *run);
int shr_check_latest(struct shr_check_run *run);
int shr_check_heights(struct shr_check_run *run);
int shr_check_pages(struct shr_check_run *run);
int shr_check_tops(struct shr_check_run *run);
int shr_check_root(struct shr_check_run *run);
int shr_check_values(struct shr_check_run *run);

#endif
