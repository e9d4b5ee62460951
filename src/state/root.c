/* One block through the state tree.
 *
 * The pages a block needs are read on the way down, each subtree of the top page by one of a few
 * threads, and stay in memory as a tree of their own: a page points to those below that are there.
 * On the way up each changed page gives its row and its hash.
 */
#include "state/root_impl.h"

#include "base/alloc.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Below, another thread costs more than it saves. */
#define THREADED_MIN 256
#define THREADS_MAX 16u
#define HASHED_AT_ONCE 512
/* Leaves of a bucket and of what a block adds to it. */
#define MERGED_USUAL ((size_t)2 * SHR_ROOT_BUCKET_MAX)

/* --- Work in pieces, on several threads --- */

struct work {
    void (*piece)(void *ctx, size_t i);
    void *ctx;
    size_t n;
    _Atomic size_t next;
};

static void *work_on(void *ctx) {
    struct work *work = ctx;
    for (size_t i; (i = atomic_fetch_add(&work->next, 1)) < work->n;) {
        work->piece(work->ctx, i);
    }
    return NULL;
}

/* A thread that cannot be started is done without. */
static void work_all(unsigned threads, size_t n, void (*piece)(void *ctx, size_t i), void *ctx) {
    struct work work = {.piece = piece, .ctx = ctx, .n = n};
    pthread_t ids[THREADS_MAX];
    size_t started = 0;
    for (unsigned i = 1; i < threads && i < n; i++) {
        if (pthread_create(&ids[started], NULL, work_on, &work) == 0) {
            started++;
        }
    }
    work_on(&work);
    for (size_t i = 0; i < started; i++) {
        pthread_join(ids[i], NULL);
    }
}

/* --- One subtree --- */

/* What one thread works with, for one of the top page's subtrees. */
struct part {
    struct shr_root *root;
    uint32_t height;
    struct shr_scans *scans; /* made when needed */
    struct shr_batch batch;
    struct shr_buf list; /* of pages with a row */
    struct shr_buf row;  /* scratch */
    int64_t bytes;       /* by which the pages in memory grew */
    int code;
    struct shrewd_error err;
};

/* What an update did to a page. */
struct outcome {
    bool changed;
    struct shr_root_top top; /* when changed */
};

static void leave_list(struct shr_root_list *list, struct shr_root_page *page) {
    *(page->older != NULL ? &page->older->newer : &list->oldest) = page->newer;
    *(page->newer != NULL ? &page->newer->older : &list->newest) = page->older;
}

static void join_list(struct shr_root_list *list, struct shr_root_page *page) {
    page->older = list->newest;
    page->newer = NULL;
    *(list->newest != NULL ? &list->newest->newer : &list->oldest) = page;
    list->newest = page;
}

/* A page is in memory now, below `above`; path: of any leaf below. Each part has lists of its
 * own; they share the top page, which is not counted. */
static void hold(struct part *part, struct shr_root_page *page, struct shr_root_page *above,
                 const struct shr_hash *path) {
    part->bytes += (int64_t)shr_root_page_bytes(page);
    page->above = above;
    if (above != NULL) {
        if (above->depth > 0) { /* the top page is both parts' and is not written */
            above->n++;
        }
        join_list(&part->root->lists[page->is_inner][shr_root_nibble(path, 0)], page);
    }
}

/* It is not any more. */
static void release(struct part *part, struct shr_root_page *page, const struct shr_hash *path) {
    part->bytes -= (int64_t)shr_root_page_bytes(page);
    if (page->above != NULL) {
        if (page->above->depth > 0) {
            page->above->n--;
        }
        leave_list(&part->root->lists[page->is_inner][shr_root_nibble(path, 0)], page);
    }
}

static void add_row(struct part *part, const struct shr_root_page *page,
                    const struct shr_hash *path, bool full) {
    struct shr_root_key key = shr_root_key(page->depth, path, part->height);
    shr_batch_put(&part->batch, SHR_TABLE_ROOT, shr_root_key_bytes(&key),
                  shr_buf_bytes(&part->row));
    shr_root_list_add(&part->list, page->depth, path, full);
}

static void add_full(struct part *part, struct shr_root_page *page, const struct shr_hash *path) {
    page->n_diffs = 0;
    page->diff_bytes = 0;
    shr_root_full_encode(&part->row, page);
    add_row(part, page, path, true);
}

/* part->row says what changed; the whole page is written instead when that has been done too
 * often, so that reading costs no more than twice the page. */
static void add_diff(struct part *part, struct shr_root_page *page, const struct shr_hash *path) {
    if (page->n_diffs == SHR_ROOT_DIFFS_MAX ||
        page->diff_bytes + part->row.len >= shr_root_full_bytes(page)) {
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
    }
    if (!is_inner) {
        shr_root_page_reserve(page, (uint32_t)n);
        memcpy(page->of.leaves, leaves, n * sizeof *leaves);
        page->n = (uint32_t)n;
    }
    hold(part, page, above, &leaves[0].key);
    add_full(part, page, &leaves[0].key);
    shr_root_page_top(top, page);
    return page;
}

/* Both lists in one, sorted; of equal keys the new leaf. */
struct merged {
    struct shr_root_leaf *leaves;
    size_t n;
    struct shr_root_leaf room[MERGED_USUAL];
    struct shr_root_bucket_diff diff; /* while it fits, that is while n does */
};

static void merge(struct merged *out, const struct shr_root_page *page,
                  const struct shr_root_leaf *news, size_t n) {
    size_t old = 0;
    out->leaves =
        page->n + n <= MERGED_USUAL ? out->room : shr_alloc_array(page->n + n, sizeof *out->leaves);
    for (size_t i = 0; i < n || old < page->n;) {
        const struct shr_root_leaf *was = &page->of.leaves[old];
        int order = i == n ? -1 : old == page->n ? 1 : memcmp(was->key.b, news[i].key.b, 32);
        if (order < 0) {
            out->leaves[out->n++] = *was;
            old++;
            continue;
        }
        if (order > 0 && out->diff.n_added < SHR_ROOT_BUCKET_MAX) {
            out->diff.added[out->diff.n_added++] = &news[i];
        }
        if (order == 0 && !shr_hash_eq(&was->value, &news[i].value)) {
            out->diff.at[out->diff.n_replaced] = (uint8_t)old;
            out->diff.values[out->diff.n_replaced++] = &news[i].value;
        }
        old += order == 0;
        out->leaves[out->n++] = news[i++];
    }
}

static void update_bucket(struct part *part, struct shr_root_page **slot,
                          const struct shr_root_leaf *news, size_t n, struct outcome *out) {
    struct shr_root_page *page = *slot;
    struct merged merged;
    merged.n = merged.diff.n_added = merged.diff.n_replaced = 0;
    merge(&merged, page, news, n);
    out->changed = merged.diff.n_added + merged.diff.n_replaced > 0;
    if (out->changed && merged.n > SHR_ROOT_BUCKET_MAX) {
        release(part, page, &news[0].key);
        *slot = build(part, &out->top, page->above, merged.leaves, merged.n);
        shr_root_page_free(page);
    } else if (out->changed) {
        part->bytes -= (int64_t)shr_root_page_bytes(page);
        shr_root_page_reserve(page, (uint32_t)merged.n);
        part->bytes += (int64_t)shr_root_page_bytes(page);
        memcpy(page->of.leaves, merged.leaves, merged.n * sizeof *merged.leaves);
        page->n = (uint32_t)merged.n;
        shr_root_bucket_diff_encode(&part->row, &merged.diff);
        add_diff(part, page, &news[0].key);
        shr_root_page_top(&out->top, page);
    }
    if (merged.leaves != merged.room) {
        free(merged.leaves);
    }
}

/* A page that the one above says is there. */
static int need_page(struct part *part, struct shr_root_page **slot, struct shr_root_page *above,
                     const struct shr_hash *path) {
    int code = 0;
    if (*slot == NULL) {
        if (part->scans == NULL) {
            part->scans = shr_store_scans_new(part->root->store, NULL, SHR_TABLE_ROOT);
        }
        code = shr_root_page_need(slot, part->root->store, part->scans, above->depth + 1u, path,
                                  part->height - 1, &part->err);
        if (code == 0) {
            hold(part, *slot, above, path);
        }
    } else {
        (*slot)->used = true;
    }
    return code;
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
        shr_root_inner_diff_encode(&part->row, page, changed);
        add_diff(part, page, path);
        shr_root_inner_top(&out->top, page->of.inner, changed);
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
    const struct shr_pair *const *pairs;
    struct shr_root_leaf *news; /* sorted */
    size_t n;
    size_t starts[SHR_ROOT_SLOTS + 1]; /* in `news`, of each of the top page's slots */
    bool changed[SHR_ROOT_SLOTS];
    struct part parts[SHR_ROOT_SLOTS + 1]; /* of each slot, and of the top page itself */
};

static void hash_pairs(void *ctx, size_t piece) {
    struct update *update = ctx;
    size_t end = (piece + 1) * HASHED_AT_ONCE;
    for (size_t i = piece * HASHED_AT_ONCE; i < end && i < update->n; i++) {
        shr_sha256(&update->news[i].key, update->pairs[i]->key);
        shr_sha256(&update->news[i].value, update->pairs[i]->value);
    }
}

static void update_part(void *ctx, size_t i) {
    struct update *update = ctx;
    size_t start = update->starts[i], n = update->starts[i + 1] - start;
    if (n > 0) {
        update->parts[i].code = update_slot(&update->parts[i], update->root->top,
                                            update->news + start, n, &update->changed[i]);
    }
}

/* The top page is an inner one: its subtrees each for themselves, then itself. */
static int update_parts(struct update *update, unsigned threads, struct outcome *out) {
    size_t at = 0;
    for (unsigned i = 0; i <= SHR_ROOT_SLOTS; i++) {
        while (at < update->n && shr_root_nibble(&update->news[at].key, 0) < i) {
            at++;
        }
        update->starts[i] = at;
    }
    work_all(threads, SHR_ROOT_SLOTS, update_part, update);
    uint16_t changed = 0;
    struct part *last = &update->parts[SHR_ROOT_SLOTS];
    for (unsigned i = 0; i < SHR_ROOT_SLOTS; i++) {
        changed = (uint16_t)(changed | (unsigned)update->changed[i] << i);
        if (update->parts[i].code != 0) {
            last->err = update->parts[i].err;
            return update->parts[i].code;
        }
    }
    finish_inner(last, update->root->top, changed, &update->news[0].key, out);
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
    if (root->top == NULL) {
        root->top = build(part, &out->top, NULL, update->news, update->n);
        out->changed = true;
        return 0;
    }
    if (!root->top->is_inner) {
        update_bucket(part, &root->top, update->news, update->n, out);
        return 0;
    }
    return update_parts(update, update->n < THREADED_MIN ? 1 : root->threads, out);
}

/* Puts the writes from the `first`th on in the order of their keys, which a store takes faster:
 * each part has those of one depth in order, and the parts follow each other. */
static void sort_rows(struct shr_batch *batch, size_t first) {
    size_t n = batch->n - first;
    size_t starts[SHR_ROOT_DEPTH_MAX + 2] = {0};
    struct shr_write *sorted = shr_alloc_array(n + 1, sizeof *sorted);
    for (size_t i = 0; i < n; i++) {
        starts[batch->writes[first + i].key.data[0] + 1]++;
    }
    for (unsigned depth = 0; depth <= SHR_ROOT_DEPTH_MAX; depth++) {
        starts[depth + 1] += starts[depth];
    }
    for (size_t i = 0; i < n; i++) {
        const struct shr_write *write = &batch->writes[first + i];
        sorted[starts[write->key.data[0]]++] = *write;
    }
    if (n > 0) {
        memcpy(batch->writes + first, sorted, n * sizeof *sorted);
    }
    free(sorted);
}

/* Gathers what the parts made. */
static void add_rows(struct update *update, uint32_t height, struct shr_batch *batch) {
    struct shr_buf *list = &update->parts[SHR_ROOT_SLOTS].list;
    struct shr_height_key key = shr_height_key(height);
    size_t first = batch->n;
    for (unsigned i = 0; i <= SHR_ROOT_SLOTS; i++) {
        struct part *part = &update->parts[i];
        if (i < SHR_ROOT_SLOTS) {
            shr_buf_add(list, shr_buf_bytes(&part->list));
        }
        shr_batch_move(batch, &part->batch);
        update->root->bytes += (size_t)part->bytes;
    }
    sort_rows(batch, first);
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
    int code = update->n == 0 ? 0 : update_top(update, &outcome);
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
    update->pairs = pairs;
    update->n = n;
    update->news = shr_alloc_array(n + 1, sizeof *update->news);
    work_all(n < THREADED_MIN ? 1 : root->threads, (n + HASHED_AT_ONCE - 1) / HASHED_AT_ONCE,
             hash_pairs, update);
    qsort(update->news, n, sizeof *update->news, shr_root_leaf_order);
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
    free(update->news);
    free(update);
    return code;
}

/* --- What stays in memory --- */

struct shr_root *shr_root_new(struct shr_store *store, size_t cache_bytes, unsigned threads) {
    struct shr_root *root = shr_alloc(sizeof *root);
    root->store = store;
    root->cache_bytes = cache_bytes;
    root->threads = threads < 1 ? 1 : threads > THREADS_MAX ? THREADS_MAX : threads;
    return root;
}

void shr_root_set_cache(struct shr_root *root, size_t cache_bytes) {
    root->cache_bytes = cache_bytes;
}

void shr_root_forget(struct shr_root *root) {
    shr_root_page_free(root->top);
    root->top = NULL;
    memset(root->lists, 0, sizeof root->lists);
    root->bytes = 0;
    root->has_hash = false;
}

void shr_root_free(struct shr_root *root) {
    if (root != NULL) {
        shr_root_forget(root);
        free(root);
    }
}

static void drop(struct shr_root *root, struct shr_root_list *list, struct shr_root_page *page) {
    struct shr_root_inner *above = page->above->of.inner;
    leave_list(list, page);
    page->above->n -= page->above->depth > 0;
    root->bytes -= shr_root_page_bytes(page);
    for (unsigned i = 0; i < SHR_ROOT_SLOTS; i++) {
        if (above->pages[i] == page) {
            above->pages[i] = NULL;
        }
    }
    shr_root_page_free(page);
}

/* Drops the oldest of a list, if it has not been used since and no page below it is in memory. */
static bool drop_oldest(struct shr_root *root, struct shr_root_list *list) {
    struct shr_root_page *page = list->oldest;
    if (page == NULL) {
        return false;
    }
    if (page->used || (page->is_inner && page->n > 0)) {
        page->used = false;
        leave_list(list, page);
        join_list(list, page);
    } else {
        drop(root, list, page);
    }
    return true;
}

/* Buckets go before inner pages: each of those leads to many. */
void shr_root_written(struct shr_root *root) {
    for (unsigned kind = 0; kind < 2; kind++) {
        unsigned empty = 0; /* lists in a row */
        while (root->bytes > root->cache_bytes && empty < SHR_ROOT_SLOTS) {
            root->hand = (root->hand + 1) % SHR_ROOT_SLOTS;
            empty = drop_oldest(root, &root->lists[kind][root->hand]) ? 0 : empty + 1;
        }
    }
}
