/* Whether the versions have the values that the state's tree says. Its rows are gone through once,
 * with all others (check_pages.c); of the heights at which the sums differ (check_impl.h) the
 * versions are then looked up in the tree, key by key. */
#include "state/check_impl.h"

#include "base/alloc.h"
#include "shrewd/proof.h"
#include "state/root.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define HEIGHTS_MAX 16u /* gone through key by key; of more it is only said that they differ */
/* A view of the tree keeps what it has read: a fresh one after so many keys. */
#define VIEW_KEYS_MAX 256u

/* --- What the pages' rows say --- */

void shr_check_leaf_begin(struct shr_check_leaves *leaves, struct shr_check_run *run) {
    *leaves = (struct shr_check_leaves){.run = run};
    leaves->bucket = shr_root_page_new(0, false);
}

void shr_check_leaf_free(struct shr_check_leaves *leaves) {
    shr_root_page_free(leaves->bucket);
    shr_buf_free(&leaves->page);
    shr_buf_free(&leaves->rows);
}

static uint64_t sum_of(const struct shr_check_leaves *leaves) {
    uint64_t sum = 0;
    for (size_t i = 0; i < leaves->bucket->n; i++) {
        sum += shr_check_leaf(leaves->run, &leaves->bucket->of.leaves[i]);
    }
    return sum;
}

static void take_off(struct shr_check_leaves *leaves, uint32_t height, uint64_t sum) {
    struct shr_check_height *at = shr_check_value_height(leaves->run, height);
    if (at != NULL) {
        at->values -= sum;
    }
}

static void mark_unknown(struct shr_check_leaves *leaves, uint32_t height) {
    struct shr_check_height *at = shr_check_value_height(leaves->run, height);
    if (at != NULL) {
        at->values_unknown = true;
    }
}

/* Rows of the page that say nothing. */
static void note_wrong(struct shr_check_leaves *leaves, const char *wrong) {
    shr_check_note(leaves->run, SHR_TABLE_ROOT, shr_buf_bytes(&leaves->page), "rows of a page",
                   "%s", wrong);
    for (size_t i = 0; i < leaves->n; i++) {
        mark_unknown(leaves, leaves->heights[i]);
    }
    if (leaves->has_newer) {
        mark_unknown(leaves, leaves->newer);
    }
    leaves->has_newer = false;
    leaves->n = 0;
    shr_buf_clear(&leaves->rows);
}

/* A bucket's whole row and the changes since, the oldest first: each takes off what the bucket has
 * then, and puts on what it had before. What it had before the whole row is what the rows below it
 * come to: they are seen next. */
static void take_rows(struct shr_check_leaves *leaves) {
    uint64_t before = 0;
    leaves->bucket->n = 0;
    for (size_t i = leaves->n; i-- > 0;) {
        size_t start = i == 0 ? 0 : leaves->ends[i - 1];
        struct shr_bytes row = shr_bytes(leaves->rows.data + start, leaves->ends[i] - start);
        const char *wrong = shr_root_bucket_take(leaves->bucket, row);
        if (wrong != NULL) {
            note_wrong(leaves, wrong);
            return;
        }
        uint64_t after = sum_of(leaves);
        take_off(leaves, leaves->heights[i], after - before);
        before = after;
    }
    if (leaves->has_newer) {
        take_off(leaves, leaves->newer, 0 - before);
    }
    leaves->has_newer = true;
    leaves->newer = leaves->heights[leaves->n - 1];
    leaves->n = 0;
    shr_buf_clear(&leaves->rows);
}

void shr_check_leaf_end(struct shr_check_leaves *leaves) {
    if (leaves->n > 0) {
        note_wrong(leaves, "no row has all of a page");
    }
    leaves->has_newer = false;
}

void shr_check_leaf_row(struct shr_check_leaves *leaves, struct shr_bytes page, uint32_t height,
                        struct shr_bytes row) {
    if (!shr_bytes_eq(shr_buf_bytes(&leaves->page), page)) {
        shr_check_leaf_end(leaves);
        shr_buf_set(&leaves->page, page);
    }
    bool full = row.len > 0 && shr_root_row_full(row.data[0]);
    if (row.len > 0 && !shr_root_row_bucket(row.data[0])) {
        if (leaves->n > 0) {
            note_wrong(leaves, "a page changed its kind without a row that has all of it");
        }
        if (full) { /* an inner page has no leaves; the bucket it was is in the rows below */
            leaves->has_newer = true;
            leaves->newer = height;
        }
        return;
    }
    if (row.len == 0 || leaves->n == SHR_ROOT_DIFFS_MAX + 1) {
        mark_unknown(leaves, height);
        note_wrong(leaves, row.len == 0 ? "a row of a page is malformed"
                                        : "too many rows say what changed in a page");
        return;
    }
    shr_buf_add(&leaves->rows, row);
    leaves->ends[leaves->n] = leaves->rows.len;
    leaves->heights[leaves->n++] = height;
    if (full) {
        take_rows(leaves);
    }
}

/* --- Key by key --- */

struct view {
    struct shr_root_view *view;
    uint32_t keys; /* looked up in it */
};

struct detail {
    struct shr_check_run *run;
    uint32_t heights[HEIGHTS_MAX]; /* ascending */
    bool named[HEIGHTS_MAX];       /* a version of it was found wrong */
    size_t n;
    struct view after[HEIGHTS_MAX], before[HEIGHTS_MAX]; /* the tree there */
};

/* Which of the heights it is; HEIGHTS_MAX: none. */
static size_t find(const struct detail *detail, uint32_t height) {
    size_t i = 0;
    while (i < detail->n && detail->heights[i] != height) {
        i++;
    }
    return i < detail->n ? i : HEIGHTS_MAX;
}

static struct shr_root_view *view_of(struct detail *detail, struct view *view, uint32_t height) {
    if (view->keys++ % VIEW_KEYS_MAX == 0) {
        shr_root_view_free(view->view);
        view->view = shr_root_view_new(detail->run->store, detail->run->snapshot, height);
    }
    return view->view;
}

/* Whether what the tree says of the key leads to the block's state root. */
static bool tree_is_sound(struct detail *detail, struct shr_root_view *view, uint32_t height,
                          struct shr_bytes key, struct shr_bytes value) {
    struct shr_check_run *run = detail->run;
    struct shr_height_key block = shr_height_key(height);
    struct shr_block_record record = {0};
    struct shr_buf row = {0}, proof = {0};
    struct shr_hash hash;
    shr_sha256(&hash, key);
    struct shrewd_claim claim = {
        .key = key.data, .key_len = key.len, .value = value.data, .value_len = value.len};
    int code = shr_store_get(run->store, run->snapshot, SHR_TABLE_BLOCKS, &row,
                             shr_height_key_bytes(&block), NULL);
    bool sound = code == 0 && shr_record_decode(&record, height, shr_buf_bytes(&row)) == NULL &&
                 shr_root_prove(view, &proof, &hash, 1, NULL) == 0;
    if (sound) {
        code = shrewd_proof_verify(record.root.b, proof.data, proof.len, &claim, 1, NULL);
        sound = code == SHREWD_UNPROVEN_OTHER_VALUE || code == SHREWD_UNPROVEN_IS_ABSENT;
    }
    shr_buf_free(&proof);
    shr_buf_free(&row);
    return sound;
}

/* A version in force after the block of `height`, against the tree there. *wrong: it is another, as
 * was said. */
static int compare(struct detail *detail, struct view *view, uint32_t height, enum shr_table table,
                   struct shr_bytes row_key, const struct shr_pair *pair, bool *wrong) {
    struct shr_check_run *run = detail->run;
    struct shr_root_view *tree = view_of(detail, view, height);
    struct shr_root_node node;
    struct shr_hash path, value;
    struct shrewd_error err = {0};
    shr_sha256(&path, pair->key);
    shr_sha256(&value, pair->value);
    int code = shr_root_node(tree, &node, SHREWD_PROOF_DEPTH_MAX, &path, &err);
    if (code == SHREWD_CORRUPT) { /* the pages are told of elsewhere */
        return 0;
    }
    if (code != 0) {
        return shr_fail(run->err, code, "%s", err.message);
    }
    *wrong = node.kind != SHR_ROOT_LEAF || !shr_hash_eq(&node.value, &value);
    if (*wrong) {
        const char *found = node.kind == SHR_ROOT_LEAF ? "another value" : "a value where none is";
        bool sound = tree_is_sound(detail, tree, height, pair->key, pair->value);
        shr_check_note(run, table, row_key, "the value that the state tree says",
                       "%s after block %" PRIu32 "%s", found, height,
                       sound ? "" : ", but the tree there is not that of the block's state root");
    }
    return 0;
}

static void name(struct detail *detail, size_t i) {
    if (i < HEIGHTS_MAX) {
        detail->named[i] = true;
    }
}

/* A version, written by one block and, in HISTORY, replaced by another; NULL: not by the tip. */
static enum shr_scan_step look(struct detail *detail, enum shr_table table,
                               struct shr_bytes row_key, struct shr_bytes row, struct shr_bytes key,
                               const uint32_t *replaced_at) {
    struct shr_check_run *run = detail->run;
    struct shr_pair pair = {.key = key};
    uint32_t written_at;
    bool wrong = false;
    if (shr_version_decode(&pair.value, &written_at, row) != NULL ||
        (replaced_at != NULL && written_at >= *replaced_at)) {
        return shr_check_step(run, row_key, row); /* as was said */
    }
    uint32_t from = shr_check_lowest(run) > written_at ? shr_check_lowest(run) : written_at;
    size_t by = find(detail, from);
    size_t until = replaced_at == NULL ? HEIGHTS_MAX : find(detail, *replaced_at);
    if (by < HEIGHTS_MAX) {
        run->code = compare(detail, &detail->after[by], from, table, row_key, &pair, &wrong);
    }
    if (until < HEIGHTS_MAX && !wrong && run->code == 0) {
        run->code = compare(detail, &detail->before[until], *replaced_at - 1, table, row_key, &pair,
                            &wrong);
    }
    if (wrong) {
        name(detail, by);
        name(detail, until);
    }
    return shr_check_step(run, row_key, row);
}

static enum shr_scan_step look_in_history(void *ctx, struct shr_bytes row_key,
                                          struct shr_bytes row) {
    struct detail *detail = ctx;
    struct shr_bytes key;
    uint32_t replaced_at;
    bool sound = shr_check_history_key(&key, &replaced_at, row_key);
    if (sound && shr_check_is_ahead(detail->run, replaced_at)) {
        /* What stands for LATEST at the tip: the block that replaced it is none to compare with. */
        return look(detail, SHR_TABLE_HISTORY, row_key, row, key, NULL);
    }
    if (!sound || shr_check_height(detail->run, replaced_at) == NULL) {
        return shr_check_step(detail->run, row_key, row);
    }
    return look(detail, SHR_TABLE_HISTORY, row_key, row, key, &replaced_at);
}

static enum shr_scan_step look_in_latest(void *ctx, struct shr_bytes key, struct shr_bytes row) {
    return look(ctx, SHR_TABLE_LATEST, key, row, key, NULL);
}

static int look_at_keys(struct detail *detail) {
    struct shr_check_run *run = detail->run;
    int code = shr_check_scan(run, SHR_TABLE_HISTORY, look_in_history, detail);
    if (code == 0) {
        code = shr_check_scan(run, SHR_TABLE_LATEST, look_in_latest, detail);
    }
    for (size_t i = 0; i < detail->n; i++) {
        shr_root_view_free(detail->after[i].view);
        shr_root_view_free(detail->before[i].view);
    }
    return code;
}

/* --- The sums --- */

/* Where the rows themselves are not those that CHANGES lists, as was said, the values differ too.
 */
static bool differs(struct shr_check_run *run, uint32_t height) {
    const struct shr_check_height *at = shr_check_value_height(run, height);
    bool same_rows = at->reported || (at->written == 0 && at->replaced == 0);
    return at->values != 0 && same_rows && !at->values_unknown;
}

int shr_check_values(struct shr_check_run *run) {
    struct detail detail = {.run = run};
    int code = 0;
    bool unread = run->unread[SHR_TABLE_HISTORY] || run->unread[SHR_TABLE_LATEST] ||
                  run->unread[SHR_TABLE_ROOT];
    if (!run->keep_root || unread || shr_check_full(run)) {
        return 0;
    }
    run->out->values = true;
    for (uint64_t at = shr_check_lowest(run); run->has_blocks && at <= run->last; at++) {
        if (detail.n < HEIGHTS_MAX && differs(run, (uint32_t)at)) {
            detail.heights[detail.n++] = (uint32_t)at;
        }
    }
    if (detail.n > 0) {
        code = look_at_keys(&detail);
    }
    for (uint64_t at = shr_check_lowest(run); code == 0 && run->has_blocks && at <= run->last;
         at++) {
        struct shr_height_key key = shr_height_key((uint32_t)at);
        size_t i = find(&detail, (uint32_t)at);
        if (differs(run, (uint32_t)at) && (i == HEIGHTS_MAX || !detail.named[i])) {
            shr_check_note(run, SHR_TABLE_ROOT_PAGES, shr_height_key_bytes(&key),
                           "in the tree after the block, the values that were written",
                           "other ones, or other keys");
        }
    }
    return code;
}
