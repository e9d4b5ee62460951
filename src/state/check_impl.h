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
 */
#ifndef SHR_STATE_CHECK_IMPL_H
#define SHR_STATE_CHECK_IMPL_H

#include "state/check.h"
#include "state/codec.h"
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

struct shr_check_run {
    struct shr_store *store;
    struct shr_snapshot *snapshot;
    const struct shr_check_options *options;
    struct shr_check_summary *out;
    uint64_t seed[3];
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

/* The passes, in this order. */
int shr_check_meta(struct shr_check_run *run);
int shr_check_blocks(struct shr_check_run *run);
int shr_check_changes(struct shr_check_run *run);
int shr_check_history(struct shr_check_run *run);
int shr_check_latest(struct shr_check_run *run);
int shr_check_heights(struct shr_check_run *run);
int shr_check_pages(struct shr_check_run *run);
int shr_check_root(struct shr_check_run *run);
int shr_check_values(struct shr_check_run *run);

#endif
