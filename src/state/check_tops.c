/* The state root that BLOCKS has of each past block, against the tree there: the top page after one
 * block after the other, of its rows from the oldest on. The tip's is compared with LATEST. */
#include "state/check_impl.h"
#include "state/root_page.h"

#include "base/endian.h"
#include "base/hex.h"

#include <inttypes.h>
#include <stdio.h>

#define KEY_BYTES 5 /* of a row of the top page: its depth, and the height */

struct tops {
    struct shr_check_run *run;
    struct shr_root_page *page; /* as after the last row seen; NULL: there was none yet */
    struct shr_hash hash;       /* its root */
    bool unknown;               /* a row of it says nothing */
    uint64_t next;              /* the height to compare */
    /* Heights that differ, one after the other: one finding. */
    uint64_t n_wrong;
    uint32_t wrong_from;
    struct shr_block_record wrong_record;
    struct shr_hash wrong_hash;
};

static void note_wrong(struct tops *tops) {
    char want[SHR_HASH_HEX_LEN + 1], got[SHR_HASH_HEX_LEN + 1] = "none", more[48] = "";
    struct shr_height_key key = shr_height_key(tops->wrong_from);
    if (tops->n_wrong == 0) {
        return;
    }
    shr_hex_write(want, shr_bytes(tops->wrong_hash.b, sizeof tops->wrong_hash.b));
    if (tops->wrong_record.has_root) {
        shr_hex_write(got, shr_bytes(tops->wrong_record.root.b, sizeof want / 2));
    }
    if (tops->n_wrong > 1) {
        snprintf(more, sizeof more, ", and so on up to block %" PRIu64,
                 tops->wrong_from + tops->n_wrong - 1);
    }
    shr_check_note(tops->run, SHR_TABLE_BLOCKS, shr_height_key_bytes(&key),
                   "the root of the tree's top page after the block",
                   "%s after block %" PRIu32 ", where the page gives %s%s", got, tops->wrong_from,
                   want, more);
    tops->n_wrong = 0;
}

static void compare(struct tops *tops, uint32_t height) {
    struct shr_block_record record;
    if (tops->unknown || !shr_check_record(tops->run, &record, height) ||
        (record.has_root && shr_hash_eq(&record.root, &tops->hash))) {
        note_wrong(tops);
        return;
    }
    if (tops->n_wrong++ == 0) {
        tops->wrong_from = height;
        tops->wrong_record = record;
        tops->wrong_hash = tops->hash;
    }
}

/* The page is the same after all of these blocks. */
static void compare_below(struct tops *tops, uint64_t end) {
    for (; tops->next < end && !shr_check_full(tops->run); tops->next++) {
        compare(tops, (uint32_t)tops->next);
    }
}

static void take_row(struct tops *tops, struct shr_bytes key, struct shr_bytes row) {
    static const struct shr_hash any;
    struct shr_root_top top = {0};
    const char *wrong = shr_root_page_take(&tops->page, 0, &any, row);
    bool bucket = row.len > 0 && shr_root_row_bucket(row.data[0]); /* of which the leaves tell */
    if (wrong == NULL) {
        shr_root_page_top(&top, tops->page);
    } else if (!tops->unknown && row.len > 0 && !bucket) {
        shr_check_note(tops->run, SHR_TABLE_ROOT, key, "a row of the tree's top page", "%s", wrong);
    }
    tops->unknown = wrong != NULL;
    tops->hash = top.hash;
}

static enum shr_scan_step visit(void *ctx, struct shr_bytes key, struct shr_bytes row) {
    struct tops *tops = ctx;
    struct shr_check_run *run = tops->run;
    if (key.len != KEY_BYTES) { /* as was said */
        return shr_check_step(run, key, row);
    }
    uint32_t height = ~shr_get_be32(key.data + 1);
    if (height > run->last) {
        return SHR_SCAN_DONE;
    }
    compare_below(tops, height);
    take_row(tops, key, row);
    return shr_check_step(run, key, row);
}

int shr_check_tops(struct shr_check_run *run) {
    static const uint8_t bounds[] = {0, 1}; /* depths */
    struct tops tops = {.run = run, .next = shr_check_lowest(run)};
    struct shrewd_error err = {0};
    if (!run->keep_root || !run->has_blocks || run->unread[SHR_TABLE_ROOT] || shr_check_full(run)) {
        return 0;
    }
    int code = shr_store_scan(run->store, run->snapshot, SHR_TABLE_ROOT, shr_bytes(&bounds[0], 1),
                              shr_bytes(&bounds[1], 1), true, visit, &tops, &err);
    if (code == 0 && !run->stopped) {
        compare_below(&tops, (uint64_t)run->last + !run->has_tip);
    }
    note_wrong(&tops);
    shr_root_page_free(tops.page);
    if (run->stopped) {
        return shr_fail(run->err, SHREWD_STOPPED, "the check was stopped");
    }
    return code == 0 || code == SHREWD_CORRUPT ? run->code /* what is damaged was found in ROOT */
                                               : shr_fail(run->err, code, "%s", err.message);
}
