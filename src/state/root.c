/* One block through the state tree.
 *
 * The pages a block needs are read on the way down, each subtree of the top page by one of a few
 * threads, and stay in memory as a tree of their own: a page points to those below that are there.
 * On the way up each changed page gives its row and its hash.
 */
#include "state/root_impl.h"

#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

/* Below, another thread costs more than it saves. */
#define THREADED_MIN 256
#define CACHE_LINE_BYTES 64
#define FETCHED_BYTES (sizeof(struct shr_root_page) + sizeof(struct shr_root_inner))
/* A bucket with fewer leaves is hashed anew; the second, when the cache is nearly full: buckets
 * that are not there must be read. */
#define GROUPED_MIN 4
#define GROUPED_MIN_FULL 12

/* --- One subtree --- */

/* What one thread works with, for one of the top page's subtrees. */
struct part {
    struct shr_root *root;
    uint32_t height;
    struct shr_scans *scans; /* made when needed */
    struct shr_batch batch;
    size_t rows[SHR_ROOT_DEPTH_MAX + 1]; /* in `batch`, of pages of each depth */
    struct shr_buf list;                 /* of pages with a row */
    struct shr_buf row;                  /* scratch */
    int64_t bytes;                       /* by which the pages in memory grew */
    int code;
    struct shrewd_error err;
};

/* What an update did to a page. */
struct outcome {
    bool changed;
    struct shr_root_top top; /* when changed */
};

/* A page is in memory now, below `above`; path: of any leaf below. */
static void hold(struct part *part, struct shr_root_page *page, struct shr_root_page *above,
                 const struct shr_hash *path) {
    part->bytes += (int64_t)shr_root_page_bytes(page);
    shr_root_hold(part->root, page, above, path);
}

/* It is not any more. */
static void release(struct part *part, struct shr_root_page *page, const struct shr_hash *path) {
    part->bytes -= (int64_t)shr_root_page_bytes(page);
    shr_root_release(part->root, page, path);
}

static void add_row(struct part *part, const struct shr_root_page *page,
                    const struct shr_hash *path, bool full) {
    struct shr_root_key key = shr_root_key(page->depth, path, part->height);
    shr_batch_put(&part->batch, SHR_TABLE_ROOT, shr_root_key_bytes(&key),
                  shr_buf_bytes(&part->row));
    shr_root_list_add(&part->list, page->depth, path, full);
    part->rows[page->depth]++;
}

static void add_full(struct part *part, struct shr_root_page *page, const struct shr_hash *path) {
    page->n_diffs = 0;
    page->diff_bytes = 0;
    shr_root_full_encode(&part->row, page);
    add_row(part, page, path, true);
}

/* part->row says what changed; the whole page is written instead when that has been done too
 * often, so that reading costs no more than four times the page. */
static void add_diff(struct part *part, struct shr_root_page *page, const struct shr_hash *path) {
    if (page->n_diffs == SHR_ROOT_DIFFS_MAX ||
        page->diff_bytes + part->row.len >= SHR_ROOT_DIFFS_TIMES * shr_root_full_bytes(page)) {
        add_full(part, page, path);
        return;
    }
    page->n_diffs++;
    page->diff_bytes += (uint32_t)part->row.len;
    add_row(part, page, path, false);
}

/* How many of the leaves, sorted, follow the first one's path one nibble further down. */
static size_t same_nibble(const struct shr_root_leaf *leaves, size_t n, unsigned depth) {
    unsigned nibble = shr_root_nibble(&leaves[0].key, depth);
    size_t alike = 1;
    while (alike < n && shr_root_nibble(&leaves[alike].key, depth) == nibble) {
        alike++;
    }
    return alike;
}

/* A page that was not there, with its leaves. */
static struct shr_root_page *build(struct part *part, struct shr_root_top *top,
                                   struct shr_root_page *above, const struct shr_root_leaf *leaves,
                                   size_t n) {
    bool is_inner = n > SHR_ROOT_BUCKET_MAX;
    unsigned depth = above == NULL ? 0 : above->depth + 1u;
    struct shr_root_page *page = shr_root_page_new(depth, is_inner);
    for (size_t at = 0, alike; is_inner && at < n; at += alike) {
        unsigned nibble = shr_root_nibble(&leaves[at].key, depth);
        alike = same_nibble(leaves + at, n - at, depth);
        page->of.inner->pages[nibble] =
            build(part, &page->of.inner->slots[nibble], page, leaves + at, alike);
        shr_root_slot_held(page->of.inner, nibble);
    }
    if (!is_inner) {
        shr_root_page_reserve(page, n);
        memcpy(page->of.leaves, leaves, n * sizeof *leaves);
        page->n = (uint16_t)n;
    }
    hold(part, page, above, &leaves[0].key);
    add_full(part, page, &leaves[0].key);
    shr_root_page_top(top, page);
    return page;
}

/* What a block changes in a bucket. */
struct change {
    struct shr_root_bucket_diff diff; /* has no more added leaves than there is room for */
    size_t n_added;
    uint8_t before[SHR_ROOT_BUCKET_MAX]; /* the bucket's leaves before each added one */
};

static void find_change(struct change *out, const struct shr_root_page *page,
                        const struct shr_root_leaf *news, size_t n) {
    struct shr_root_bucket_diff *diff = &out->diff;
    out->n_added = diff->n_added = diff->n_replaced = 0;
    for (size_t i = 0, at = 0; i < n; i++) {
        int order = 1;
        while (at < page->n &&
               (order = shr_root_key_order(&page->of.leaves[at].key, &news[i].key)) < 0) {
            at++;
        }
        if (at == page->n || order != 0) {
            if (out->n_added++ < SHR_ROOT_BUCKET_MAX) {
                out->before[diff->n_added] = (uint8_t)at;
                diff->added[diff->n_added++] = &news[i];
            }
        } else if (!shr_hash_eq(&page->of.leaves[at].value, &news[i].value)) {
            diff->at[diff->n_replaced] = (uint8_t)at;
            diff->values[diff->n_replaced++] = &news[i].value;
        }
    }
}

/* The bucket has room for what is added. */
static void change_bucket(struct shr_root_page *page, const struct change *change) {
    const struct shr_root_bucket_diff *diff = &change->diff;
    size_t end = page->n;
    shr_root_page_reserve(page, page->n + diff->n_added);
    struct shr_root_leaf *leaves = page->of.leaves;
    for (size_t i = 0; i < diff->n_replaced; i++) {
        leaves[diff->at[i]].value = *diff->values[i];
        shr_root_forget_group(page, &leaves[diff->at[i]].key);
    }
    for (size_t i = diff->n_added; i-- > 0; end = change->before[i]) {
        struct shr_root_leaf *at = leaves + change->before[i];
        memmove(at + i + 1, at, (end - change->before[i]) * sizeof *at);
        at[i] = *diff->added[i];
        shr_root_forget_group(page, &at[i].key);
    }
    page->n = (uint16_t)(page->n + diff->n_added);
}

/* Both lists in one, sorted; of equal keys the new leaf. */
static size_t merge(struct shr_root_leaf *out, const struct shr_root_page *page,
                    const struct shr_root_leaf *news, size_t n) {
    size_t made = 0;
    for (size_t i = 0, old = 0; i < n || old < page->n;) {
        const struct shr_root_leaf *was = &page->of.leaves[old];
        int order = i == n ? -1 : old == page->n ? 1 : shr_root_key_order(&was->key, &news[i].key);
        old += order <= 0;
        out[made++] = order < 0 ? *was : news[i++];
    }
    return made;
}

/* A bucket with more leaves than buckets have. */
static void split_bucket(struct part *part, struct shr_root_page **slot,
                         const struct shr_root_leaf *news, size_t n, struct outcome *out) {
    struct shr_root_page *page = *slot;
    struct shr_root_leaf *leaves = shr_alloc_array(page->n + n, sizeof *leaves);
    size_t made = merge(leaves, page, news, n);
    release(part, page, &news[0].key);
    *slot = build(part, &out->top, page->above, leaves, made);
    shr_root_page_free(page);
    free(leaves);
}

/* What a bucket's groups take is worth it only when it changes again while it is in memory. */
static bool pays_to_group(const struct shr_root *root, const struct shr_root_page *page) {
    bool full = root->bytes > root->cache_bytes / 4 * 3;
    return page->hashed && page->groups == NULL &&
           page->n >= (full ? GROUPED_MIN_FULL : GROUPED_MIN);
}

static void update_bucket(struct part *part, struct shr_root_page **slot,
                          const struct shr_root_leaf *news, size_t n, struct outcome *out) {
    struct shr_root_page *page = *slot;
    struct change change;
    find_change(&change, page, news, n);
    out->changed = change.n_added + change.diff.n_replaced > 0;
    if (out->changed && page->n + change.n_added > SHR_ROOT_BUCKET_MAX) {
        split_bucket(part, slot, news, n, out);
    } else if (out->changed) {
        part->bytes -= (int64_t)shr_root_page_bytes(page);
        change_bucket(page, &change);
        if (pays_to_group(part->root, page)) {
            shr_root_page_group(page);
        }
        part->bytes += (int64_t)shr_root_page_bytes(page);
        page->hashed = true;
        shr_root_bucket_diff_encode(&part->row, &change.diff);
        add_diff(part, page, &news[0].key);
        shr_root_bucket_top(&out->top, page);
    }
}

/* A page that the one above says is there, on the way to `path`, comes into memory. */
static int fetch_page(struct part *part, struct shr_root_page **slot, struct shr_root_page *above,
                      const struct shr_hash *path) {
    uint64_t *aside = &above->of.inner->aside[shr_root_nibble(path, above->depth)];
    int code = 0;
    if (*aside != 0) {
        *slot = shr_root_aside_take(part->root->aside, *aside, above->depth + 1u);
        *aside = 0;
    }
    if (*slot == NULL) {
        if (part->scans == NULL) {
            part->scans = shr_store_scans_new(part->root->store, NULL, SHR_TABLE_ROOT);
        }
        code = shr_root_page_need(slot, part->root->store, part->scans, above->depth + 1u, path,
                                  part->height - 1, &part->err);
    }
    if (code == 0) {
        hold(part, *slot, above, path);
    }
    return code;
}

static int need_page(struct part *part, struct shr_root_page **slot, struct shr_root_page *above,
                     const struct shr_hash *path) {
    if (*slot == NULL) {
        return fetch_page(part, slot, above, path);
    }
    (*slot)->used = true;
    return 0;
}

static int update_page(struct part *part, struct shr_root_page **slot,
                       const struct shr_root_leaf *news, size_t n, struct outcome *out);

/* One of an inner page's subtrees, to which all the leaves belong. */
static int update_slot(struct part *part, struct shr_root_page *page,
                       const struct shr_root_leaf *news, size_t n, bool *changed) {
    unsigned nibble = shr_root_nibble(&news[0].key, page->depth);
    struct shr_root_top *top = &page->of.inner->slots[nibble];
    struct shr_root_page **below = &page->of.inner->pages[nibble];
    struct outcome outcome = {0};
    if (shr_root_empty(top)) {
        *below = build(part, top, page, news, n);
        *changed = true;
        return 0;
    }
    int code = need_page(part, below, page, &news[0].key);
    if (code == 0) {
        code = update_page(part, below, news, n, &outcome);
    }
    *changed = outcome.changed;
    if (code == 0 && outcome.changed) {
        *top = outcome.top;
    }
    return code;
}

static void finish_inner(struct part *part, struct shr_root_page *page, uint16_t changed,
                         const struct shr_hash *path, struct outcome *out) {
    out->changed = changed != 0;
    if (out->changed) {
        page->of.inner->held |= changed; /* what changes holds something: nothing is removed */
        shr_root_inner_diff_encode(&part->row, page, changed);
        add_diff(part, page, path);
        shr_root_inner_top(&out->top, page->of.inner, changed);
    }
}

/* An inner page is many lines of memory, of which hardly any is in the CPU's caches. */
static void fetch_ahead(const struct shr_root_page *page) {
    const char *at = (const char *)page;
    for (size_t i = 0; page != NULL && i < FETCHED_BYTES; i += CACHE_LINE_BYTES) {
        __builtin_prefetch(at + i);
    }
}

static int update_page(struct part *part, struct shr_root_page **slot,
                       const struct shr_root_leaf *news, size_t n, struct outcome *out) {
    struct shr_root_page *page = *slot;
    if (!page->is_inner) {
        update_bucket(part, slot, news, n, out);
        return 0;
    }
    uint16_t changed = 0;
    int code = 0;
    for (size_t at = 0, alike; code == 0 && at < n; at += alike) {
        bool slot_changed = false;
        unsigned nibble = shr_root_nibble(&news[at].key, page->depth);
        alike = same_nibble(news + at, n - at, page->depth);
        if (at + alike < n) { /* the next one while this one is worked on */
            fetch_ahead(page->of.inner->pages[shr_root_nibble(&news[at + alike].key, page->depth)]);
        }
        code = update_slot(part, page, news + at, alike, &slot_changed);
        changed = (uint16_t)(changed | (unsigned)slot_changed << nibble);
    }
    if (code == 0) {
        finish_inner(part, page, changed, &news[0].key, out);
    }
    return code;
}

/* --- The whole tree --- */

struct update {
    struct shr_root *root;
    struct shr_root_news news;
    bool changed[SHR_ROOT_SLOTS];
    struct part parts[SHR_ROOT_SLOTS + 1]; /* of each slot, and of the top page itself */
};

/* Puts a part's rows in the order of their depths, in which their keys are in order: those of one
 * depth were made so. */
static void sort_rows(struct part *part) {
    size_t at[SHR_ROOT_DEPTH_MAX + 1], start = 0, n = part->batch.n;
    struct shr_write *sorted = shr_alloc_array(n + 1, sizeof *sorted);
    for (unsigned depth = 0; depth <= SHR_ROOT_DEPTH_MAX; depth++) {
        at[depth] = start;
        start += part->rows[depth];
    }
    for (size_t i = 0; i < n; i++) {
        sorted[at[part->batch.writes[i].key.data[0]]++] = part->batch.writes[i];
    }
    free(part->batch.writes);
    part->batch.writes = sorted;
    part->batch.cap = n + 1;
}

static void update_part(void *ctx, size_t i) {
    struct update *update = ctx;
    struct part *part = &update->parts[i];
    const struct shr_root_leaf *news = update->news.leaves + update->news.starts[i];
    size_t n = update->news.starts[i + 1] - update->news.starts[i];
    if (n > 0) {
        shr_root_news_sort(&update->news, i);
        part->code = update_slot(part, update->root->top, news, n, &update->changed[i]);
        sort_rows(part);
    }
}

/* The top page is an inner one: its subtrees each for themselves, then itself. */
static int update_parts(struct update *update, unsigned threads, struct outcome *out) {
    shr_root_work(threads, SHR_ROOT_SLOTS, update_part, update);
    uint16_t changed = 0;
    struct part *last = &update->parts[SHR_ROOT_SLOTS];
    for (unsigned i = 0; i < SHR_ROOT_SLOTS; i++) {
        changed = (uint16_t)(changed | (unsigned)update->changed[i] << i);
        if (update->parts[i].code != 0) {
            last->err = update->parts[i].err;
            return update->parts[i].code;
        }
    }
    finish_inner(last, update->root->top, changed, &update->news.leaves[0].key, out);
    return 0;
}

/* Reads the top page as after `height`, unless it is in memory; there may be none. */
static int read_top(struct shr_root *root, uint32_t height, struct shrewd_error *err) {
    static const struct shr_hash any;
    if (root->top != NULL) {
        return 0;
    }
    struct shr_scans *scans = shr_store_scans_new(root->store, NULL, SHR_TABLE_ROOT);
    int code = shr_root_page_read(&root->top, root->store, scans, 0, &any, height, err);
    root->bytes += code == 0 && root->top != NULL ? shr_root_page_bytes(root->top) : 0;
    shr_store_scans_free(scans);
    return code;
}

static int update_top(struct update *update, struct outcome *out) {
    struct shr_root *root = update->root;
    struct part *part = &update->parts[SHR_ROOT_SLOTS];
    int code = part->height == 0 ? 0 : read_top(root, part->height - 1, &part->err);
    if (code != 0) {
        return code;
    }
    if (root->top != NULL && root->top->is_inner) {
        return update_parts(update, update->news.n < THREADED_MIN ? 1 : root->threads, out);
    }
    for (size_t i = 0; i < SHR_ROOT_SLOTS; i++) {
        shr_root_news_sort(&update->news, i);
    }
    if (root->top == NULL) {
        root->top = build(part, &out->top, NULL, update->news.leaves, update->news.n);
        out->changed = true;
    } else {
        update_bucket(part, &root->top, update->news.leaves, update->news.n, out);
    }
    sort_rows(part);
    return 0;
}

/* Gathers the rows that the parts made, in the order of their keys, which a store takes faster: the
 * parts follow each other at each depth. */
static void gather_rows(struct update *update, struct shr_batch *batch) {
    size_t at[SHR_ROOT_SLOTS + 1] = {0}, n = 0;
    for (unsigned i = 0; i <= SHR_ROOT_SLOTS; i++) {
        n += update->parts[i].batch.n;
    }
    shr_batch_reserve(batch, n + 1); /* with the list of the pages */
    for (unsigned depth = 0; depth <= SHR_ROOT_DEPTH_MAX; depth++) {
        for (unsigned i = 0; i <= SHR_ROOT_SLOTS; i++) {
            const struct part *part = &update->parts[i];
            size_t rows = part->rows[depth];
            if (rows > 0) {
                memcpy(batch->writes + batch->n, part->batch.writes + at[i],
                       rows * sizeof *batch->writes);
                batch->n += rows;
                at[i] += rows;
            }
        }
    }
    for (unsigned i = 0; i <= SHR_ROOT_SLOTS; i++) {
        update->parts[i].batch.n = 0; /* its bytes are still to be moved */
        shr_batch_move(batch, &update->parts[i].batch);
    }
}

static void add_rows(struct update *update, uint32_t height, struct shr_batch *batch) {
    struct shr_buf *list = &update->parts[SHR_ROOT_SLOTS].list;
    struct shr_height_key key = shr_height_key(height);
    for (unsigned i = 0; i <= SHR_ROOT_SLOTS; i++) {
        if (i < SHR_ROOT_SLOTS) {
            shr_buf_add(list, shr_buf_bytes(&update->parts[i].list));
        }
        update->root->bytes += (size_t)update->parts[i].bytes;
    }
    gather_rows(update, batch);
    shr_batch_put(batch, SHR_TABLE_ROOT_PAGES, shr_height_key_bytes(&key), shr_buf_bytes(list));
}

static int update_tree(struct update *update, uint32_t height, struct shr_batch *batch,
                       struct shrewd_error *err) {
    struct shr_root *root = update->root;
    struct outcome outcome = {0};
    for (unsigned i = 0; i <= SHR_ROOT_SLOTS; i++) {
        update->parts[i].root = root;
        update->parts[i].height = height;
    }
    int code = update->news.n == 0 ? 0 : update_top(update, &outcome);
    if (code != 0) {
        if (err != NULL) {
            *err = update->parts[SHR_ROOT_SLOTS].err;
        }
        return code;
    }
    if (outcome.changed) {
        root->hash = outcome.top.hash;
        root->has_hash = true;
    }
    add_rows(update, height, batch);
    return 0;
}

/* The root as of `height`, when no update has told it. */
static int find_hash(struct shr_root *root, uint32_t height, struct shrewd_error *err) {
    struct shr_root_top top = {0};
    int code = read_top(root, height, err);
    if (code == 0 && root->top != NULL) {
        shr_root_page_top(&top, root->top);
    }
    root->hash = top.hash;
    root->has_hash = code == 0;
    return code;
}

int shr_root_update(struct shr_root *root, uint32_t height, const struct shr_pair *const *pairs,
                    size_t n, struct shr_batch *batch, struct shr_hash *out,
                    struct shrewd_error *err) {
    struct update *update = shr_alloc(sizeof *update);
    update->root = root;
    shr_root_news_make(&update->news, pairs, n, n < THREADED_MIN ? 1 : root->threads);
    int code = update_tree(update, height, batch, err);
    if (code == 0 && !root->has_hash) {
        code = find_hash(root, height, err);
    }
    *out = root->hash;
    for (unsigned i = 0; i <= SHR_ROOT_SLOTS; i++) {
        shr_store_scans_free(update->parts[i].scans);
        shr_batch_free(&update->parts[i].batch);
        shr_buf_free(&update->parts[i].list);
        shr_buf_free(&update->parts[i].row);
    }
    shr_root_news_free(&update->news);
    free(update);
    return code;
}
