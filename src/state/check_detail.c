/* Checking the sums of every height, and, where they are not zero, key by key. */
#include "state/check_impl.h"

#include "base/alloc.h"

#include <inttypes.h>
#include <stdlib.h>

#define HEIGHTS_MAX 16 /* gone through key by key; of more it is only said that they differ */

struct listed {
    uint32_t height;
    uint64_t hash; /* of a key that CHANGES of that height lists */
};

struct detail {
    struct shr_check_run *run;
    uint32_t heights[HEIGHTS_MAX]; /* ascending */
    size_t n_heights;
    struct listed *listed; /* by height and hash */
    size_t n_listed, cap;
    struct shr_buf key, version; /* scratch */
};

static int by_height_and_hash(const void *a, const void *b) {
    const struct listed *left = a, *right = b;
    int order = (left->height > right->height) - (left->height < right->height);
    return order != 0 ? order : (left->hash > right->hash) - (left->hash < right->hash);
}

/* --- From CHANGES: what each key listed must have --- */

/* The version of `key` that was in force after `height`: which row has it, and who wrote it. */
struct in_force {
    struct shr_bytes key;
    struct shr_buf *row_key;
    uint32_t written_at;
    bool found;
};

static enum shr_scan_step take_next(void *ctx, struct shr_bytes row_key, struct shr_bytes row) {
    struct in_force *next = ctx;
    struct shr_bytes value;
    uint32_t replaced_at;
    next->found = shr_history_key_height(&replaced_at, row_key, next->key) == NULL &&
                  shr_version_decode(&value, &next->written_at, row) == NULL;
    shr_buf_set(next->row_key, row_key);
    return SHR_SCAN_DONE;
}

static int check_written(struct detail *detail, struct shr_bytes key, uint32_t height) {
    struct shr_check_run *run = detail->run;
    struct shr_buf from = {0}, to = {0};
    struct in_force next = {.key = key, .row_key = &detail->key};
    struct shr_bytes value;
    shr_history_key(&from, key, height + 1);
    shr_history_key(&to, key, UINT32_MAX);
    int code = shr_store_scan(run->store, run->snapshot, SHR_TABLE_HISTORY, shr_buf_bytes(&from),
                              shr_buf_bytes(&to), false, take_next, &next, run->err);
    enum shr_table table = SHR_TABLE_HISTORY;
    if (code == 0 && !next.found) {
        table = SHR_TABLE_LATEST;
        shr_buf_set(&detail->key, key);
        code = shr_store_get(run->store, run->snapshot, table, &detail->version, key, run->err);
        next.found = code == 0 && shr_version_decode(&value, &next.written_at,
                                                     shr_buf_bytes(&detail->version)) == NULL;
        code = code == SHREWD_NOT_FOUND ? 0 : code;
    }
    static const char expected[] = "the version written by the last block that changed the key";
    if (code == 0 && !next.found) {
        shr_check_note(run, table, shr_buf_bytes(&detail->key), expected,
                       "none, where block %" PRIu32 " changed it", height);
    } else if (code == 0 && next.written_at != height) {
        shr_check_note(run, table, shr_buf_bytes(&detail->key), expected,
                       "written at height %" PRIu32 ", not %" PRIu32, next.written_at, height);
    }
    shr_buf_free(&to);
    shr_buf_free(&from);
    return code;
}

static int check_change(struct detail *detail, const struct shr_change *change, uint32_t height) {
    struct shr_check_run *run = detail->run;
    shr_history_key(&detail->key, change->key, height);
    int code = shr_store_get(run->store, run->snapshot, SHR_TABLE_HISTORY, &detail->version,
                             shr_buf_bytes(&detail->key), run->err);
    if (code == SHREWD_NOT_FOUND && change->replaced) {
        shr_check_note(run, SHR_TABLE_HISTORY, shr_buf_bytes(&detail->key),
                       "the version that the block replaced",
                       "none, where CHANGES lists the key as replaced");
    } else if (code == 0 && !change->replaced) {
        shr_check_note(run, SHR_TABLE_HISTORY, shr_buf_bytes(&detail->key),
                       "no version from before the block",
                       "one, where CHANGES lists the key as new");
    }
    return code == 0 || code == SHREWD_NOT_FOUND ? check_written(detail, change->key, height)
                                                 : code;
}

static int check_listed(struct detail *detail, uint32_t height) {
    struct shr_check_run *run = detail->run;
    struct shr_height_key height_key = shr_height_key(height);
    struct shr_buf changes = {0};
    int code = shr_store_get(run->store, run->snapshot, SHR_TABLE_CHANGES, &changes,
                             shr_height_key_bytes(&height_key), run->err);
    struct shr_bytes row = shr_buf_bytes(&changes);
    struct shr_change change;
    while (code == 0 && row.len > 0 && shr_change_take(&change, &row) == NULL) {
        if (detail->n_listed == detail->cap) {
            detail->cap = detail->cap == 0 ? 1024 : detail->cap * 2;
            detail->listed = shr_realloc_array(detail->listed, detail->cap, sizeof *detail->listed);
        }
        detail->listed[detail->n_listed++] =
            (struct listed){height, shr_check_hash(run, change.key)};
        code = shr_check_full(run) ? 0 : check_change(detail, &change, height);
    }
    shr_buf_free(&changes);
    return code;
}

/* --- From HISTORY and LATEST: that each row is listed --- */

static bool is_detailed(const struct detail *detail, uint32_t height) {
    for (size_t i = 0; i < detail->n_heights; i++) {
        if (detail->heights[i] == height) {
            return true;
        }
    }
    return false;
}

static bool is_listed(const struct detail *detail, struct shr_bytes key, uint32_t height) {
    struct listed wanted = {height, shr_check_hash(detail->run, key)};
    return detail->n_listed > 0 && bsearch(&wanted, detail->listed, detail->n_listed, sizeof wanted,
                                           by_height_and_hash) != NULL;
}

static void find_stray(struct detail *detail, enum shr_table table, struct shr_bytes row_key,
                       struct shr_bytes key, uint32_t height) {
    if (is_detailed(detail, height) && !is_listed(detail, key, height)) {
        shr_check_note(detail->run, table, row_key, "a version of a block that lists the key",
                       "block %" PRIu32 ", whose CHANGES do not", height);
    }
}

static enum shr_scan_step find_in_history(void *ctx, struct shr_bytes row_key,
                                          struct shr_bytes row) {
    struct detail *detail = ctx;
    struct shr_bytes key, value;
    uint32_t replaced_at, written_at;
    if (shr_check_history_key(&key, &replaced_at, row_key)) {
        find_stray(detail, SHR_TABLE_HISTORY, row_key, key, replaced_at);
        if (shr_version_decode(&value, &written_at, row) == NULL && written_at != replaced_at) {
            find_stray(detail, SHR_TABLE_HISTORY, row_key, key, written_at);
        }
    }
    return shr_check_step(detail->run, row_key, row);
}

static enum shr_scan_step find_in_latest(void *ctx, struct shr_bytes key, struct shr_bytes row) {
    struct detail *detail = ctx;
    struct shr_bytes value;
    uint32_t written_at;
    if (shr_version_decode(&value, &written_at, row) == NULL) {
        find_stray(detail, SHR_TABLE_LATEST, key, key, written_at);
    }
    return shr_check_step(detail->run, key, row);
}

static int check_detail(struct detail *detail) {
    struct shr_check_run *run = detail->run;
    int code = 0;
    for (size_t i = 0; code == 0 && i < detail->n_heights; i++) {
        code = check_listed(detail, detail->heights[i]);
    }
    if (detail->n_listed > 0) {
        qsort(detail->listed, detail->n_listed, sizeof *detail->listed, by_height_and_hash);
    }
    if (code == 0) {
        code = shr_check_scan(run, SHR_TABLE_HISTORY, find_in_history, detail);
    }
    if (code == 0) {
        code = shr_check_scan(run, SHR_TABLE_LATEST, find_in_latest, detail);
    }
    return code;
}

/* --- The sums --- */

static void note_height(struct shr_check_run *run, uint32_t height,
                        const struct shr_check_height *at) {
    struct shr_height_key key = shr_height_key(height);
    if (at->written != 0 || at->replaced != 0) {
        shr_check_note(run, SHR_TABLE_CHANGES, shr_height_key_bytes(&key),
                       "the keys of the versions that the block wrote and replaced", "%s differ",
                       at->written != 0 ? "those it wrote" : "those it replaced");
    } else {
        shr_check_note(run, SHR_TABLE_BLOCKS, shr_height_key_bytes(&key),
                       "the bytes of the values written",
                       "%" PRId64 " fewer in the record than counted", (int64_t)at->value_bytes);
    }
}

int shr_check_heights(struct shr_check_run *run) {
    struct detail detail = {.run = run};
    int code = 0;
    bool unread = run->unread[SHR_TABLE_HISTORY] || run->unread[SHR_TABLE_LATEST];
    if (!run->has_blocks || unread || shr_check_full(run)) {
        return 0;
    }
    for (uint64_t height = run->held_from; height <= run->last; height++) {
        const struct shr_check_height *at = shr_check_height(run, (uint32_t)height);
        bool differs = at->written != 0 || at->replaced != 0;
        if (at->reported || (!differs && at->value_bytes == 0)) {
            continue;
        }
        if (differs && detail.n_heights < HEIGHTS_MAX) {
            detail.heights[detail.n_heights++] = (uint32_t)height;
        }
        note_height(run, (uint32_t)height, at);
    }
    if (detail.n_heights > 0 && !shr_check_full(run)) {
        code = check_detail(&detail);
    }
    free(detail.listed);
    shr_buf_free(&detail.version);
    shr_buf_free(&detail.key);
    return code;
}
