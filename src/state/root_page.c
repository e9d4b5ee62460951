#include "state/root_page.h"

#include "base/alloc.h"
#include "base/endian.h"
#include "state/state_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define HASH_BYTES sizeof(struct shr_hash)
#define LEAF_BYTES sizeof(struct shr_root_leaf)
#define GROUPS_BYTES (SHR_ROOT_GROUPS * sizeof(struct shr_root_top))
#define INNER_HEAD_BYTES 5 /* kind, slots, single leaves */
#define REPLACED_BYTES (1 + HASH_BYTES)
#define LISTED_FULL 0x80u
#define ROWS_BYTES 4096 /* what a page's rows come to, mostly */

/* A row's first byte. */
enum kind { FULL_INNER = 1, FULL_BUCKET = 2, DIFF_INNER = 3, DIFF_BUCKET = 4 };

static_assert(sizeof(struct shr_root_leaf) == 64, "leaves are copied to and from rows");

/* --- Pages --- */

struct shr_root_page *shr_root_page_new(unsigned depth, bool is_inner) {
    struct shr_root_page *page = shr_alloc(sizeof *page + (is_inner ? sizeof *page->of.inner : 0));
    page->depth = (uint8_t)depth;
    page->is_inner = is_inner;
    if (is_inner) {
        page->of.inner = (struct shr_root_inner *)(void *)(page + 1);
    }
    return page;
}

void shr_root_page_free(struct shr_root_page *page) {
    if (page == NULL) {
        return;
    }
    if (page->is_inner) {
        for (size_t i = 0; i < SHR_ROOT_SLOTS; i++) {
            shr_root_page_free(page->of.inner->pages[i]);
        }
    } else {
        free(page->of.leaves);
        free(page->groups);
    }
    free(page);
}

size_t shr_root_page_bytes(const struct shr_root_page *page) {
    size_t more = page->groups != NULL ? GROUPS_BYTES : 0;
    more += page->is_inner ? sizeof *page->of.inner : page->cap * LEAF_BYTES;
    return sizeof *page + more;
}

void shr_root_page_reserve(struct shr_root_page *page, size_t n) {
    if (n > page->cap) {
        page->cap = (uint16_t)((n + 1) / 2 * 2);
        page->of.leaves = shr_realloc_array(page->of.leaves, page->cap, LEAF_BYTES);
    }
}

void shr_root_page_group(struct shr_root_page *page) {
    page->groups = shr_alloc(GROUPS_BYTES);
    page->known = 0;
}

/* --- Keys and lists --- */

static void page_name(uint8_t *out, unsigned depth, const struct shr_hash *path) {
    out[0] = (uint8_t)depth;
    memcpy(out + 1, path->b, (depth + 1) / 2);
    if (depth % 2 != 0) {
        out[(depth + 1) / 2] &= 0xf0;
    }
}

/* Newer rows come first. */
struct shr_root_key shr_root_key(unsigned depth, const struct shr_hash *path, uint32_t height) {
    struct shr_root_key key;
    assert(depth <= SHR_ROOT_DEPTH_MAX);
    page_name(key.b, depth, path);
    key.len = shr_root_key_page_bytes(depth) + 4;
    shr_put_be32(key.b + key.len - 4, ~height);
    return key;
}

void shr_root_list_add(struct shr_buf *list, unsigned depth, const struct shr_hash *path,
                       bool full) {
    uint8_t *at = shr_buf_grow(list, shr_root_key_page_bytes(depth));
    page_name(at, depth, path);
    at[0] = (uint8_t)(at[0] | (full ? LISTED_FULL : 0));
}

const char *shr_root_list_take(struct shr_root_listed *out, uint8_t *scratch,
                               struct shr_bytes *list) {
    unsigned depth = list->data[0] & ~LISTED_FULL;
    size_t len = shr_root_key_page_bytes(depth);
    if (depth > SHR_ROOT_DEPTH_MAX || len > list->len) {
        return "the list of pages a block changed is malformed";
    }
    memcpy(scratch, list->data, len);
    scratch[0] = (uint8_t)depth;
    out->page = shr_bytes(scratch, len);
    out->full = (list->data[0] & LISTED_FULL) != 0;
    *list = shr_bytes(list->data + len, list->len - len);
    return NULL;
}

/* --- Writing rows --- */

static uint8_t *put_inner(struct shr_buf *out, const struct shr_root_page *page, enum kind kind,
                          uint16_t slots) {
    size_t n = (size_t)__builtin_popcount(slots);
    shr_buf_clear(out);
    uint8_t *at = shr_buf_grow(out, INNER_HEAD_BYTES + n * HASH_BYTES);
    uint16_t single = 0;
    uint8_t *hash = at + INNER_HEAD_BYTES;
    for (unsigned i = 0; i < SHR_ROOT_SLOTS; i++) {
        const struct shr_root_top *slot = &page->of.inner->slots[i];
        if ((slots >> i & 1) != 0) {
            single = (uint16_t)(single | (unsigned)slot->single << i);
            memcpy(hash, slot->hash.b, HASH_BYTES);
            hash += HASH_BYTES;
        }
    }
    at[0] = (uint8_t)kind;
    shr_put_be16(at + 1, slots);
    shr_put_be16(at + 3, single);
    return at;
}

void shr_root_full_encode(struct shr_buf *out, const struct shr_root_page *page) {
    if (page->is_inner) {
        put_inner(out, page, FULL_INNER, page->of.inner->held);
        return;
    }
    shr_buf_clear(out);
    shr_buf_add_u8(out, FULL_BUCKET);
    shr_buf_append(out, page->of.leaves, page->n * LEAF_BYTES);
}

size_t shr_root_full_bytes(const struct shr_root_page *page) {
    return page->is_inner
               ? INNER_HEAD_BYTES + (size_t)__builtin_popcount(page->of.inner->held) * HASH_BYTES
               : 1 + page->n * LEAF_BYTES;
}

void shr_root_inner_diff_encode(struct shr_buf *out, const struct shr_root_page *page,
                                uint16_t changed) {
    put_inner(out, page, DIFF_INNER, changed);
}

void shr_root_bucket_diff_encode(struct shr_buf *out, const struct shr_root_bucket_diff *diff) {
    shr_buf_clear(out);
    uint8_t *at =
        shr_buf_grow(out, 2 + diff->n_replaced * REPLACED_BYTES + diff->n_added * LEAF_BYTES);
    *at++ = DIFF_BUCKET;
    *at++ = (uint8_t)diff->n_replaced;
    for (size_t i = 0; i < diff->n_replaced; i++) {
        *at++ = diff->at[i];
        memcpy(at, diff->values[i]->b, HASH_BYTES);
        at += HASH_BYTES;
    }
    for (size_t i = 0; i < diff->n_added; i++) {
        memcpy(at, diff->added[i], LEAF_BYTES);
        at += LEAF_BYTES;
    }
}

/* --- Reading rows --- */

/* The rows of a page, newest first, down to one with the whole page. */
struct rows {
    struct shr_buf bytes;                /* one after the other */
    size_t ends[SHR_ROOT_DIFFS_MAX + 1]; /* of each in `bytes` */
    size_t n;
    size_t key_len;
    const char *wrong;
};

bool shr_root_row_full(uint8_t kind) {
    return kind == FULL_INNER || kind == FULL_BUCKET;
}

static enum shr_scan_step take_row(void *ctx, struct shr_bytes key, struct shr_bytes value) {
    struct rows *rows = ctx;
    if (key.len != rows->key_len || value.len == 0) {
        rows->wrong = "a row of a page is malformed";
        return SHR_SCAN_DONE;
    }
    if (rows->n == SHR_ROOT_DIFFS_MAX + 1) {
        rows->wrong = "too many rows say what changed in a page, and none has all of it";
        return SHR_SCAN_DONE;
    }
    shr_buf_add(&rows->bytes, value);
    rows->ends[rows->n++] = rows->bytes.len;
    return shr_root_row_full(value.data[0]) ? SHR_SCAN_DONE : SHR_SCAN_MORE;
}

static struct shr_bytes row_at(const struct rows *rows, size_t i) {
    size_t start = i == 0 ? 0 : rows->ends[i - 1];
    return shr_bytes(rows->bytes.data + start, rows->ends[i] - start);
}

static const char *take_inner(struct shr_root_page *page, struct shr_bytes row) {
    if (row.len < INNER_HEAD_BYTES) {
        return "a row of an inner page is too short";
    }
    uint16_t slots = shr_get_be16(row.data + 1), single = shr_get_be16(row.data + 3);
    const uint8_t *at = row.data + INNER_HEAD_BYTES;
    if (slots == 0 || (single & ~(unsigned)slots) != 0 ||
        row.len != INNER_HEAD_BYTES + (size_t)__builtin_popcount(slots) * HASH_BYTES) {
        return "a row of an inner page is malformed";
    }
    for (unsigned i = 0; i < SHR_ROOT_SLOTS; i++) {
        if ((slots >> i & 1) != 0) {
            struct shr_root_top *slot = &page->of.inner->slots[i];
            memcpy(slot->hash.b, at, HASH_BYTES);
            slot->single = (single >> i & 1) != 0;
            shr_root_slot_held(page->of.inner, i);
            at += HASH_BYTES;
        }
    }
    return NULL;
}

/* Whether a bucket's leaves are sorted, different, and all in its subtree. */
static bool well_sorted(const struct shr_root_page *page, const struct shr_hash *path) {
    uint8_t want[1 + SHR_ROOT_DEPTH_MAX / 2], got[1 + SHR_ROOT_DEPTH_MAX / 2];
    page_name(want, page->depth, path);
    for (size_t i = 0; i < page->n; i++) {
        const struct shr_hash *key = &page->of.leaves[i].key;
        page_name(got, page->depth, key);
        if (memcmp(got, want, shr_root_key_page_bytes(page->depth)) != 0 ||
            (i > 0 && memcmp(page->of.leaves[i - 1].key.b, key->b, HASH_BYTES) >= 0)) {
            return false;
        }
    }
    return true;
}

static const char *take_bucket(struct shr_root_page *page, struct shr_bytes row) {
    size_t n = (row.len - 1) / LEAF_BYTES;
    if (n == 0 || n > SHR_ROOT_BUCKET_MAX || row.len != 1 + n * LEAF_BYTES) {
        return "a row of a bucket is malformed";
    }
    shr_root_page_reserve(page, n);
    memcpy(page->of.leaves, row.data + 1, n * LEAF_BYTES);
    page->n = (uint16_t)n;
    return NULL;
}

/* Adds leaves, sorted, to those that are there. */
static void merge_leaves(struct shr_root_page *page, const uint8_t *added, size_t n) {
    size_t old = page->n;
    page->n = (uint16_t)(old + n);
    shr_root_page_reserve(page, page->n);
    struct shr_root_leaf *leaves = page->of.leaves;
    for (size_t to = page->n; n > 0;) {
        const uint8_t *last = added + (n - 1) * LEAF_BYTES;
        if (old > 0 && memcmp(leaves[old - 1].key.b, last, HASH_BYTES) > 0) {
            leaves[--to] = leaves[--old];
        } else {
            memcpy(&leaves[--to], last, LEAF_BYTES);
            n--;
        }
    }
}

static const char *take_bucket_diff(struct shr_root_page *page, struct shr_bytes row) {
    static const char wrong[] = "a row that says what changed in a bucket is malformed";
    if (row.len < 2 || row.len < 2 + row.data[1] * REPLACED_BYTES) {
        return wrong;
    }
    size_t n_replaced = row.data[1];
    const uint8_t *at = row.data + 2;
    size_t rest = row.len - 2 - n_replaced * REPLACED_BYTES;
    if (rest % LEAF_BYTES != 0 || page->n + rest / LEAF_BYTES > SHR_ROOT_BUCKET_MAX) {
        return wrong;
    }
    for (size_t i = 0; i < n_replaced; i++) {
        if (at[0] >= page->n) {
            return wrong;
        }
        memcpy(page->of.leaves[at[0]].value.b, at + 1, HASH_BYTES);
        at += REPLACED_BYTES;
    }
    merge_leaves(page, at, rest / LEAF_BYTES);
    return NULL;
}

bool shr_root_row_bucket(uint8_t kind) {
    return kind == FULL_BUCKET || kind == DIFF_BUCKET;
}

const char *shr_root_bucket_take(struct shr_root_page *page, struct shr_bytes row) {
    return row.data[0] == FULL_BUCKET ? take_bucket(page, row) : take_bucket_diff(page, row);
}

/* But for what well_sorted tells. */
static const char *take_any(struct shr_root_page **page, unsigned depth, struct shr_bytes row) {
    uint8_t kind = row.len == 0 ? 0 : row.data[0];
    if (shr_root_row_full(kind)) {
        shr_root_page_free(*page);
        *page = shr_root_page_new(depth, kind == FULL_INNER);
    } else if (*page == NULL) {
        return "no row has all of a page";
    } else if (kind != ((*page)->is_inner ? DIFF_INNER : DIFF_BUCKET)) {
        return "a page changed its kind without a row that has all of it";
    }
    return (*page)->is_inner ? take_inner(*page, row) : shr_root_bucket_take(*page, row);
}

/* The leaves of a bucket that rows have been taken of. */
static const char *check_leaves(const struct shr_root_page *page, const struct shr_hash *path) {
    return page->is_inner || well_sorted(page, path) ? NULL : "a bucket's leaves are out of order";
}

const char *shr_root_page_take(struct shr_root_page **page, unsigned depth,
                               const struct shr_hash *path, struct shr_bytes row) {
    const char *wrong = take_any(page, depth, row);
    if (wrong == NULL) {
        wrong = check_leaves(*page, path);
    }
    if (wrong != NULL) {
        shr_root_page_free(*page);
        *page = NULL;
    }
    return wrong;
}

/* From the oldest row, the last, on. */
static const char *decode(struct shr_root_page **out, unsigned depth, const struct rows *rows,
                          const struct shr_hash *path) {
    const char *wrong = NULL;
    for (size_t i = rows->n; wrong == NULL && i-- > 0;) {
        struct shr_bytes row = row_at(rows, i);
        wrong = take_any(out, depth, row);
        if (wrong == NULL && i < rows->n - 1) {
            (*out)->n_diffs++;
            (*out)->diff_bytes += (uint32_t)row.len;
        }
    }
    if (wrong == NULL) {
        wrong = check_leaves(*out, path);
    }
    if (wrong == NULL && (*out)->is_inner && depth == SHR_ROOT_DEPTH_MAX) {
        return "an inner page lies deeper than keys have bits";
    }
    return wrong;
}

int shr_root_page_read(struct shr_root_page **out, const struct shr_store *store,
                       struct shr_scans *scans, unsigned depth, const struct shr_hash *path,
                       uint32_t height, struct shrewd_error *err) {
    struct shr_root_key from = shr_root_key(depth, path, height);
    struct shr_root_key to = shr_root_key(depth, path, 0);
    uint8_t bound[SHR_ROOT_KEY_BYTES_MAX + 1] = {0};
    struct rows rows = {.key_len = from.len};
    memcpy(bound, to.b, to.len);
    shr_buf_reserve(&rows.bytes, ROWS_BYTES);
    *out = NULL;
    int code = shr_store_scans_next(scans, shr_root_key_bytes(&from), shr_bytes(bound, to.len + 1),
                                    take_row, &rows, err);
    if (code == 0 && rows.n > 0 && rows.wrong == NULL) {
        rows.wrong = decode(out, depth, &rows, path);
    }
    if (rows.wrong != NULL) {
        shr_root_page_free(*out);
        *out = NULL;
    }
    shr_buf_free(&rows.bytes);
    if (code == 0 && rows.wrong != NULL) {
        code = shr_corrupt(store, SHR_TABLE_ROOT, shr_root_key_bytes(&from), rows.wrong, err);
    }
    return code;
}

int shr_root_page_need(struct shr_root_page **out, const struct shr_store *store,
                       struct shr_scans *scans, unsigned depth, const struct shr_hash *path,
                       uint32_t height, struct shrewd_error *err) {
    int code = shr_root_page_read(out, store, scans, depth, path, height, err);
    if (code == 0 && *out == NULL) {
        struct shr_root_key key = shr_root_key(depth, path, height);
        code = shr_corrupt(store, SHR_TABLE_ROOT, shr_root_key_bytes(&key),
                           "a page of the state tree is missing", err);
    }
    return code;
}
