/* Checking a database: the order of the passes, findings, META and BLOCKS. */
#include "state/check_impl.h"

#include "base/alloc.h"
#include "base/endian.h"
#include "state/state_impl.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROGRESS_ROWS 65536
/* Heights that may be missing among the blocks held before the rest counts as stray: what is kept
 * for each height must not depend on one damaged key. */
#define GAP_MAX 1024
/* Heights that are believed to be there when they cannot be read. */
#define UNREAD_MAX ((uint32_t)1 << 24)

const char *shr_check_table(enum shr_table table) {
    static const char *const names[SHR_TABLE_COUNT] = {
#define SHR_X(name, family) [SHR_TABLE_##name] = #name,
        SHR_TABLE_MAP(SHR_X)
#undef SHR_X
    };
    return names[table];
}

/* --- What every pass uses --- */

bool shr_check_full(const struct shr_check_run *run) {
    return run->out->findings >= run->options->findings_max;
}

void shr_check_note(struct shr_check_run *run, enum shr_table table, struct shr_bytes key,
                    const char *expected, const char *format, ...) {
    char found[700];
    if (shr_check_full(run)) {
        return;
    }
    va_list args;
    va_start(args, format);
    vsnprintf(found, sizeof found, format, args);
    va_end(args);
    struct shr_check_finding finding = {table, key, expected, found};
    run->out->findings++;
    run->options->found(run->options->ctx, &finding);
}

enum shr_scan_step shr_check_step(struct shr_check_run *run, struct shr_bytes key,
                                  struct shr_bytes value) {
    run->out->bytes += key.len + value.len;
    if (++run->rows % PROGRESS_ROWS == 0 && run->options->progress != NULL) {
        run->stopped = !run->options->progress(run->options->ctx, run->rows, run->rows_about);
    }
    return run->stopped || run->code != 0 || shr_check_full(run) ? SHR_SCAN_DONE : SHR_SCAN_MORE;
}

int shr_check_scan(struct shr_check_run *run, enum shr_table table, shr_scan_fn *visit, void *ctx) {
    struct shrewd_error err = {0};
    if (shr_check_full(run)) {
        return 0;
    }
    int code = shr_store_scan(run->store, run->snapshot, table, shr_bytes(NULL, 0),
                              shr_bytes(NULL, 0), false, visit, ctx, &err);
    if (code == SHREWD_CORRUPT) {
        if (!run->unread[table]) {
            shr_check_note(run, table, shr_bytes(NULL, 0), "rows that can be read",
                           "%.500s; the rest of the table was not read, nor compared with others",
                           err.message);
        }
        run->unread[table] = true;
    } else if (code != 0) {
        return shr_fail(run->err, code, "%s", err.message);
    }
    if (run->stopped) {
        return shr_fail(run->err, SHREWD_STOPPED, "the check was stopped");
    }
    return run->code;
}

uint64_t shr_check_hash(const struct shr_check_run *run, struct shr_bytes key) {
    return shr_key_hash(&run->seed, key);
}

/* Of hashes: all words at once. */
uint64_t shr_check_leaf(const struct shr_check_run *run, const struct shr_root_leaf *leaf) {
    uint64_t key[4], value[4], sum = 0;
    memcpy(key, leaf->key.b, sizeof key);
    memcpy(value, leaf->value.b, sizeof value);
    for (size_t i = 0; i < 4; i++) {
        sum += shr_key_fold(key[i] ^ run->seed.words[i % 2], value[i] ^ run->seed.words[2] ^ i);
    }
    return sum;
}

struct shr_check_height *shr_check_height(struct shr_check_run *run, uint32_t height) {
    bool held = run->has_blocks && height >= run->held_from && height <= run->last;
    return held ? &run->heights[height - run->first] : NULL;
}

struct shr_check_height *shr_check_value_height(struct shr_check_run *run, uint32_t height) {
    bool pruned = run->has_blocks && height >= run->first && height < run->held_from;
    return pruned ? &run->pruned : shr_check_height(run, height);
}

uint32_t shr_check_lowest(const struct shr_check_run *run) {
    return run->held_from > run->first ? run->held_from - 1 : run->first;
}

bool shr_check_is_ahead(const struct shr_check_run *run, uint32_t height) {
    return run->has_tip ? height > run->tip.height : !run->has_blocks;
}

/* --- META --- */

static enum shr_scan_step visit_meta(void *ctx, struct shr_bytes key, struct shr_bytes row) {
    struct shr_check_run *run = ctx;
    const char *wrong = NULL;
    uint32_t version = SHR_FORMAT_VERSION;
    if (shr_bytes_eq(key, shr_bytes_str(SHR_META_FORMAT))) {
        run->has_format = true;
        wrong = shr_format_decode(&version, row);
    } else if (shr_bytes_eq(key, shr_bytes_str(SHR_META_IDENTITY))) {
        wrong = shr_identity_decode(&run->identity, row);
        run->has_identity = wrong == NULL;
    } else if (shr_bytes_eq(key, shr_bytes_str(SHR_META_TIP))) {
        wrong = shr_tip_decode(&run->tip, row);
        run->has_tip = wrong == NULL;
    } else if (shr_bytes_eq(key, shr_bytes_str(SHR_META_FORK))) {
        wrong = shr_fork_decode(&run->fork, row);
        run->has_fork = wrong == NULL;
    } else if (shr_bytes_eq(key, shr_bytes_str(SHR_META_PRUNED))) {
        wrong = shr_pruned_decode(&run->oldest, row);
        run->has_pruned = wrong == NULL;
    } else if (shr_bytes_eq(key, shr_bytes_str(SHR_META_ROOT))) {
        wrong = shr_keep_root_decode(&run->keep_root, row);
        run->has_root_row = true;
    } else {
        shr_check_note(run, SHR_TABLE_META, key, "no row of this name", "%zu bytes", row.len);
    }
    if (wrong != NULL) {
        shr_check_note(run, SHR_TABLE_META, key, "a row as in doc/database.md", "%s", wrong);
    } else if (version < SHR_FORMAT_OLDEST || version > SHR_FORMAT_VERSION) {
        shr_check_note(run, SHR_TABLE_META, key, "the format version of this shrewd", "%" PRIu32,
                       version);
    }
    return shr_check_step(run, key, row);
}

/* A fork is checked with its base, and only a fork is. */
static int check_base(struct shr_check_run *run) {
    struct shr_reader *base = run->options->base;
    struct shr_block_record block;
    if (run->has_fork && base == NULL) {
        return shr_fail(run->err, SHREWD_MISMATCH,
                        "the database '%s' is a fork of another one, at block %u: give that one "
                        "with --fork",
                        run->store->name, run->fork.height);
    }
    if (!run->has_fork && base != NULL) {
        return shr_fail(run->err, SHREWD_MISMATCH,
                        "the database '%s' is not a fork; leave out --fork", run->store->name);
    }
    if (base == NULL) {
        return 0;
    }
    struct shrewd_error err = {0};
    int code = shr_reader_block(base, &block, run->fork.height, &err);
    if (code != 0) {
        return shr_fail(run->err, code, "the base of the fork: %s", err.message);
    }
    if (!shr_hash_eq(&block.hash, &run->fork.hash)) {
        shr_check_note(run, SHR_TABLE_META, shr_bytes_str(SHR_META_FORK),
                       "the hash that the base has at the fork height", "another");
    }
    return 0;
}

int shr_check_meta(struct shr_check_run *run) {
    int code = shr_check_scan(run, SHR_TABLE_META, visit_meta, run);
    if (code != 0) {
        return code;
    }
    if (run->rows == 0) {
        return shr_fail(run->err, SHREWD_NOT_FOUND, "the database '%s' holds nothing yet",
                        run->store->name);
    }
    if (!run->has_format) {
        shr_check_note(run, SHR_TABLE_META, shr_bytes_str(SHR_META_FORMAT), "the format", "no row");
    }
    if (!run->has_identity) {
        shr_check_note(run, SHR_TABLE_META, shr_bytes_str(SHR_META_IDENTITY),
                       "the chain, module and start height", "no sound row");
    }
    if (run->has_root_row == run->has_fork) {
        shr_check_note(run, SHR_TABLE_META, shr_bytes_str(SHR_META_ROOT),
                       "whether a state root is kept, but in a fork", "%s",
                       run->has_fork ? "a row" : "no row");
    }
    return check_base(run);
}

/* --- BLOCKS --- */

struct blocks {
    struct shr_check_run *run;
    uint64_t next;     /* the height expected; UINT64_MAX: any */
    uint64_t whole_to; /* one above the last height before the first gap */
    uint32_t last;
    struct shr_buf last_row;
};

static void note_gap(struct blocks *blocks, uint32_t height) {
    struct shr_height_key missing = shr_height_key((uint32_t)blocks->next);
    shr_check_note(blocks->run, SHR_TABLE_BLOCKS, shr_height_key_bytes(&missing),
                   "a record of every height from the first to the tip",
                   "none of %" PRIu64 " to %" PRIu32, blocks->next, height - 1);
}

static enum shr_scan_step visit_block(void *ctx, struct shr_bytes key, struct shr_bytes row) {
    struct blocks *blocks = ctx;
    struct shr_check_run *run = blocks->run;
    struct shr_block_record record;
    if (key.len != 4) {
        shr_check_note(run, SHR_TABLE_BLOCKS, key, "a height", "%zu bytes", key.len);
        return shr_check_step(run, key, row);
    }
    uint32_t height = shr_get_be32(key.data);
    const char *wrong = shr_record_decode(&record, height, row);
    if (wrong != NULL) {
        shr_check_note(run, SHR_TABLE_BLOCKS, key, "the record of a block", "%s", wrong);
    }
    if (blocks->next == UINT64_MAX) { /* the identity, which would tell, is damaged */
        run->first = height;
        blocks->next = blocks->whole_to = height;
    }
    if (height < run->first) {
        shr_check_note(run, SHR_TABLE_BLOCKS, key, "no block below the first", "one");
        return shr_check_step(run, key, row);
    }
    if (height != blocks->next) {
        note_gap(blocks, height);
    } else if (blocks->next == blocks->whole_to) {
        blocks->whole_to = (uint64_t)height + 1;
    }
    run->out->blocks++;
    blocks->next = (uint64_t)height + 1;
    blocks->last = height;
    shr_buf_set(&blocks->last_row, row);
    return shr_check_step(run, key, row);
}

static void check_tip(struct blocks *blocks) {
    struct shr_check_run *run = blocks->run;
    struct shr_bytes key = shr_bytes_str(SHR_META_TIP);
    struct shr_buf want = {0};
    shr_record_encode(&want, &run->tip);
    if (!run->has_tip && run->out->blocks > 0) {
        shr_check_note(run, SHR_TABLE_META, key, "the last block held", "no sound row");
    } else if (run->has_tip && run->out->blocks == 0) {
        shr_check_note(run, SHR_TABLE_META, key, "no tip, as no block is held",
                       "a tip at height %" PRIu32, run->tip.height);
    } else if (run->has_tip && run->tip.height != blocks->last) {
        shr_check_note(run, SHR_TABLE_META, key, "the height of the last block held",
                       "%" PRIu32 ", where BLOCKS ends with %" PRIu32, run->tip.height,
                       blocks->last);
    } else if (run->has_tip &&
               !shr_bytes_eq(shr_buf_bytes(&want), shr_buf_bytes(&blocks->last_row))) {
        shr_check_note(run, SHR_TABLE_META, key, "the record that BLOCKS has of the tip",
                       "another one");
    }
    shr_buf_free(&want);
}

/* Undo data are held of the blocks above the oldest height that can be read. */
static void take_oldest(struct shr_check_run *run) {
    bool sound = !run->has_fork && run->oldest >= run->first && run->oldest <= run->last;
    if (run->has_pruned && !sound) {
        shr_check_note(run, SHR_TABLE_META, shr_bytes_str(SHR_META_PRUNED),
                       "a height not below the first nor above the tip, and none in a fork",
                       "%" PRIu32, run->oldest);
    }
    bool pruned = run->has_pruned && sound;
    run->held_from = pruned ? run->oldest + 1 : run->first;
    run->out->first_height = pruned ? run->oldest : run->first;
}

/* The last block is what META says then, if that is anything likely. */
static void take_last_unread(const struct blocks *blocks) {
    struct shr_check_run *run = blocks->run;
    bool likely = run->has_tip && run->has_identity && run->tip.height >= run->first &&
                  run->tip.height - run->first < UNREAD_MAX;
    run->has_blocks = likely || run->out->blocks > 0;
    run->last = likely ? run->tip.height : blocks->last;
}

int shr_check_blocks(struct shr_check_run *run) {
    run->first = run->has_fork ? run->fork.height + 1 : run->identity.start_height;
    struct blocks blocks = {.run = run, .next = run->first};
    if (!run->has_fork && !run->has_identity) {
        blocks.next = UINT64_MAX;
    }
    blocks.whole_to = blocks.next;
    int code = shr_check_scan(run, SHR_TABLE_BLOCKS, visit_block, &blocks);
    if (code == 0 && run->unread[SHR_TABLE_BLOCKS]) {
        take_last_unread(&blocks);
    } else if (code == 0) {
        check_tip(&blocks);
        run->has_blocks = run->out->blocks > 0;
        run->last = blocks.last;
        if (run->has_blocks && (uint64_t)run->last - run->first >= run->out->blocks + GAP_MAX) {
            run->has_blocks = blocks.whole_to > run->first;
            run->last = (uint32_t)(blocks.whole_to - 1);
        }
    }
    if (run->has_pruned && run->out->blocks == 0 && !run->unread[SHR_TABLE_BLOCKS]) {
        shr_check_note(run, SHR_TABLE_META, shr_bytes_str(SHR_META_PRUNED),
                       "no oldest height, as no block is held", "%" PRIu32, run->oldest);
    }
    if (run->has_blocks) {
        run->heights = shr_alloc_array((size_t)(run->last - run->first) + 1, sizeof *run->heights);
        take_oldest(run);
        run->out->has_tip = true;
        run->out->tip_height = run->last;
    }
    shr_buf_free(&blocks.last_row);
    return code;
}

/* --- All of it --- */

int shr_check(struct shr_store *store, const struct shr_check_options *options,
              struct shr_check_summary *out, struct shrewd_error *err) {
    /* A later pass relies on what the earlier ones have found. */
    static int (*const passes[])(struct shr_check_run * run) = {
        shr_check_meta,    shr_check_blocks, shr_check_changes, shr_check_history, shr_check_latest,
        shr_check_heights, shr_check_pages,  shr_check_tops,    shr_check_root,    shr_check_values,
    };
    struct shr_check_run run = {.store = store, .options = options, .out = out, .err = err};
    struct shr_sizes sizes;
    *out = (struct shr_check_summary){0};
    shr_key_seed_make(&run.seed);
    int code = shr_store_sizes(store, &sizes, err);
    for (int table = 0; code == 0 && table < SHR_TABLE_COUNT; table++) {
        run.rows_about += sizes.tables[table].rows;
    }
    if (code == 0) {
        code = shr_store_snapshot(store, &run.snapshot, err);
    }
    for (size_t i = 0; code == 0 && i < sizeof passes / sizeof passes[0]; i++) {
        code = passes[i](&run);
    }
    shr_store_snapshot_free(store, run.snapshot);
    free(run.heights);
    free(run.ahead);
    shr_buf_free(&run.older);
    return code;
}
