/* root_page.h: the pages of the state tree (root.h), in memory and as rows; private to the room.
 *
 * A page is a subtree whose top is at a whole number of nibbles. A *bucket* holds all the leaves
 * of its subtree, a few; an *inner page* the hashes of the 16 subtrees four levels further down,
 * each of which is a page of its own. The rows are laid out in doc/database.md.
 *
 * Threads: a page belongs to one thread at a time.
 */
#ifndef SHR_STATE_ROOT_PAGE_H
#define SHR_STATE_ROOT_PAGE_H

#include "base/endian.h"
#include "chain/hash.h"
#include "state/store.h"

#include <string.h>

#define SHR_ROOT_SLOTS 16u
#define SHR_ROOT_LEVELS 4u      /* of the tree in an inner page */
#define SHR_ROOT_DEPTH_MAX 64u  /* nibbles of a key's hash */
#define SHR_ROOT_BUCKET_MAX 32u /* leaves; a bucket with more becomes an inner page */
/* Rows that say what changed, after one with the whole page, and their bytes, in whole pages. When
 * these were 24 and 1, more than half of what the tree wrote were whole pages. */
#define SHR_ROOT_DIFFS_MAX 72u
#define SHR_ROOT_DIFFS_TIMES 3u
#define SHR_ROOT_KEY_BYTES_MAX (1 + SHR_ROOT_DEPTH_MAX / 2 + 4)

struct shr_root_leaf {
    struct shr_hash key, value; /* SHA-256 of each */
};

/* The hash of a subtree. */
struct shr_root_top {
    struct shr_hash hash; /* zero: it is empty */
    bool single;          /* it has exactly one leaf */
};

struct shr_root_page;

/* The nodes two levels below a page's top: of an inner page, of four slots each. */
#define SHR_ROOT_GROUPS 4u
#define SHR_ROOT_GROUPS_ALL ((1u << SHR_ROOT_GROUPS) - 1)

struct shr_root_inner {
    struct shr_root_top slots[SHR_ROOT_SLOTS];
    struct shr_root_top groups[SHR_ROOT_GROUPS];
    uint8_t known; /* a bit for each group: it is what the slots say */
    uint16_t held; /* a bit for each slot: it is not empty */
    struct shr_root_page *pages[SHR_ROOT_SLOTS]; /* those in memory */
    uint64_t aside[SHR_ROOT_SLOTS]; /* where those are that were put aside (root_aside.h); or 0 */
};

struct shr_root_page {
    uint8_t depth; /* of its top, in nibbles */
    bool is_inner;
    uint8_t slot;                /* in the page above */
    uint8_t n_diffs;             /* rows since the last with the whole page */
    uint32_t diff_bytes;         /* their size */
    bool used;                   /* since it was looked at for eviction */
    bool hashed;                 /* since it is in memory */
    uint8_t known;               /* of a bucket, a bit for each group: it is what the leaves say */
    uint16_t n, cap;             /* leaves of a bucket; n of an inner page: pages below in memory */
    struct shr_root_page *above; /* the page that points to this one; NULL: the top */
    struct shr_root_page *older, *newer; /* in the list for eviction */
    struct shr_root_top *groups;         /* of a bucket that is changed often; else NULL */
    union {
        struct shr_root_inner *inner;
        struct shr_root_leaf *leaves; /* by key hash */
    } of;
};

/* --- Hashes (root_hash.c) --- */

/* out = SHA-256(tag || left || right); out may be left or right, of no other job's in a call. */
struct shr_root_job {
    const struct shr_hash *left, *right;
    struct shr_hash *out;
};
#define SHR_ROOT_TAG_LEAF 0x00u
#define SHR_ROOT_TAG_INNER 0x01u
void shr_root_hash(uint8_t tag, const struct shr_root_job *jobs, size_t n);
/* The same on any CPU. */
void shr_root_hash_portable(uint8_t tag, const struct shr_root_job *jobs, size_t n);
/* out = SHA-256(bytes), of any length; out lies in no message. */
struct shr_root_message {
    struct shr_bytes bytes;
    struct shr_hash *out;
};
void shr_root_hash_messages(const struct shr_root_message *messages, size_t n);
/* The subtree at `depth` bits that has exactly these leaves, sorted, different, alike in their
 * first `depth` bits. */
void shr_root_leaves_top(struct shr_root_top *out, const struct shr_root_leaf *leaves, size_t n,
                         unsigned depth);
/* The same of any number of leaves. */
void shr_root_top_of(struct shr_root_top *out, const struct shr_root_leaf *leaves, size_t n,
                     unsigned depth);
static inline int shr_root_key_order(const struct shr_hash *a, const struct shr_hash *b) {
    uint64_t x = shr_get_be64(a->b), y = shr_get_be64(b->b);
    return x != y ? (x < y ? -1 : 1) : memcmp(a->b, b->b, sizeof a->b);
}
/* By key hash; for qsort. */
int shr_root_leaf_order(const void *a, const void *b);
/* An inner page's levels: all[0] is its top, the children of all[i] are all[2i + 1] and
 * all[2i + 2], all[15] to all[30] are the slots, which the caller has filled in. */
#define SHR_ROOT_NODES (2 * SHR_ROOT_SLOTS - 1)
void shr_root_nodes(struct shr_root_top all[SHR_ROOT_NODES]);
void shr_root_page_top(struct shr_root_top *out, const struct shr_root_page *page);
/* The same of an inner page in which the slots of `changed` have changed since it was last asked:
 * of the 15 hashes one slot costs 6. */
void shr_root_inner_top(struct shr_root_top *out, struct shr_root_inner *inner, uint16_t changed);

/* The same of a bucket, of which the groups that are not known have changed. */
void shr_root_bucket_top(struct shr_root_top *out, struct shr_root_page *page);

/* As shr_hash_is_zero, which is a call: this is asked of every slot of every page. */
static inline bool shr_root_empty(const struct shr_root_top *top) {
    uint64_t words[4];
    memcpy(words, top->hash.b, sizeof words);
    return (words[0] | words[1] | words[2] | words[3]) == 0;
}

/* After a slot was set. */
static inline void shr_root_slot_held(struct shr_root_inner *inner, unsigned slot) {
    unsigned held = shr_root_empty(&inner->slots[slot]) ? 0 : 1u << slot;
    inner->held = (uint16_t)((inner->held & ~(1u << slot)) | held);
}

/* --- Pages --- */

static inline unsigned shr_root_nibble(const struct shr_hash *key, unsigned depth) {
    return (key->b[depth / 2] >> (depth % 2 == 0 ? 4 : 0)) & 15u;
}

/* Of a bucket with several leaves. */
static inline unsigned shr_root_group(const struct shr_root_page *page,
                                      const struct shr_hash *key) {
    return shr_root_nibble(key, page->depth) / SHR_ROOT_GROUPS;
}
/* After a change of a bucket's leaf. */
static inline void shr_root_forget_group(struct shr_root_page *page, const struct shr_hash *key) {
    if (page->groups != NULL) {
        page->known &= (uint8_t) ~(1u << shr_root_group(page, key));
    }
}

struct shr_root_page *shr_root_page_new(unsigned depth, bool is_inner);
/* With those below it; NULL is fine. */
void shr_root_page_free(struct shr_root_page *page);
/* What it takes in memory, without those below. */
size_t shr_root_page_bytes(const struct shr_root_page *page);
void shr_root_page_reserve(struct shr_root_page *page, size_t n);
/* From now on a bucket's groups are kept, none of which is known yet. */
void shr_root_page_group(struct shr_root_page *page);

/* --- Rows --- */

/* ROOT's key: the page on the way to the leaf `path`, `depth` nibbles down, and the height. */
struct shr_root_key {
    uint8_t b[SHR_ROOT_KEY_BYTES_MAX];
    size_t len;
};
struct shr_root_key shr_root_key(unsigned depth, const struct shr_hash *path, uint32_t height);
static inline struct shr_bytes shr_root_key_bytes(const struct shr_root_key *key) {
    return shr_bytes(key->b, key->len);
}
/* How many bytes of a ROOT key name the page. */
static inline size_t shr_root_key_page_bytes(unsigned depth) {
    return 1 + (depth + 1) / 2;
}

/* The whole page. Replaces `out`. */
void shr_root_full_encode(struct shr_buf *out, const struct shr_root_page *page);
/* The bytes that would be. */
size_t shr_root_full_bytes(const struct shr_root_page *page);
/* What changed in an inner page: the slots of `changed`. Replaces `out`. */
void shr_root_inner_diff_encode(struct shr_buf *out, const struct shr_root_page *page,
                                uint16_t changed);
/* What changed in a bucket: `replaced`, of leaves that it had, each with its index there, and
 * `added`. Replaces `out`. */
struct shr_root_bucket_diff {
    uint8_t at[SHR_ROOT_BUCKET_MAX];
    const struct shr_hash *values[SHR_ROOT_BUCKET_MAX];
    size_t n_replaced;
    const struct shr_root_leaf *added[SHR_ROOT_BUCKET_MAX];
    size_t n_added;
};
void shr_root_bucket_diff_encode(struct shr_buf *out, const struct shr_root_bucket_diff *diff);

/* Whether a ROOT row that begins with this byte has a whole page. */
bool shr_root_row_full(uint8_t kind);
/* Whether it is a bucket's. */
bool shr_root_row_bucket(uint8_t kind);
/* Makes a bucket what a row of it says, which is not empty: the whole page, or what changed. NULL,
 * or what is wrong with the row; the bucket is whatever then. */
const char *shr_root_bucket_take(struct shr_root_page *page, struct shr_bytes row);
/* Makes *page, at `depth` on the way to `path`, what a row of it says: a whole page, in place of
 * what was there, if anything, or what changed in it. NULL, or what is wrong with the row; there is
 * no page then. */
const char *shr_root_page_take(struct shr_root_page **page, unsigned depth,
                               const struct shr_hash *path, struct shr_bytes row);
/* The page as after the block of `height`. `path`: any key hash below it. *out is NULL when there
 * was no such page yet. scans: of ROOT; store: for messages. A row that does not decode is
 * SHREWD_CORRUPT. */
int shr_root_page_read(struct shr_root_page **out, const struct shr_store *store,
                       struct shr_scans *scans, unsigned depth, const struct shr_hash *path,
                       uint32_t height, struct shrewd_error *err);
/* The same, of a page that must be there. */
int shr_root_page_need(struct shr_root_page **out, const struct shr_store *store,
                       struct shr_scans *scans, unsigned depth, const struct shr_hash *path,
                       uint32_t height, struct shrewd_error *err);

/* ROOT_PAGES: the pages that have a row at a height. */
struct shr_root_listed {
    struct shr_bytes page; /* as ROOT's keys begin with */
    bool full;
};
void shr_root_list_add(struct shr_buf *list, unsigned depth, const struct shr_hash *path,
                       bool full);
/* Takes the first off `list`, which must not be empty; `scratch` has the page's bytes. NULL, or
 * what is wrong. */
const char *shr_root_list_take(struct shr_root_listed *out, uint8_t *scratch,
                               struct shr_bytes *list);

#endif
