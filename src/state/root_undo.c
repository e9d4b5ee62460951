/* Taking the tree's rows back: those of the newest blocks, or those that only old ones need. */
#include "state/root_impl.h"

#include "base/endian.h"

#include <stdlib.h>
#include <string.h>

/* Removed in one write, or by one file. */
#define SWEEP_ROWS ((size_t)90000)
#define SWEEP_ROWS_LOADED ((size_t)300000)

/* ROOT_PAGES' row of a block, which must be there. */
static int read_list(struct shr_store *store, struct shr_buf *list, uint32_t height,
                     struct shrewd_error *err) {
    struct shr_height_key key = shr_height_key(height);
    int code =
        shr_store_get(store, NULL, SHR_TABLE_ROOT_PAGES, list, shr_height_key_bytes(&key), err);
    if (code == SHREWD_NOT_FOUND) {
        code = shr_corrupt(store, SHR_TABLE_ROOT_PAGES, shr_height_key_bytes(&key),
                           "the list of pages a block changed is missing", err);
    }
    return code;
}

typedef int page_fn(struct shr_store *store, const struct shr_root_listed *page, uint32_t height,
                    struct shr_batch *batch, struct shrewd_error *err);

/* Calls `visit` for each page listed, and removes the list. */
static int each_page(struct shr_store *store, uint32_t height, page_fn *visit,
                     struct shr_batch *batch, struct shrewd_error *err) {
    struct shr_height_key key = shr_height_key(height);
    struct shr_buf list = {0};
    int code = read_list(store, &list, height, err);
    for (struct shr_bytes rest = shr_buf_bytes(&list); code == 0 && rest.len > 0;) {
        uint8_t scratch[SHR_ROOT_KEY_BYTES_MAX];
        struct shr_root_listed page;
        const char *wrong = shr_root_list_take(&page, scratch, &rest);
        code = wrong != NULL ? shr_corrupt(store, SHR_TABLE_ROOT_PAGES, shr_height_key_bytes(&key),
                                           wrong, err)
                             : visit(store, &page, height, batch, err);
    }
    if (code == 0) {
        shr_batch_remove(batch, SHR_TABLE_ROOT_PAGES, shr_height_key_bytes(&key));
    }
    shr_buf_free(&list);
    return code;
}

/* ROOT's key, from the bytes that name the page. */
static struct shr_root_key key_of(const struct shr_root_listed *page, uint32_t height) {
    struct shr_hash path = {{0}};
    memcpy(path.b, page->page.data + 1, page->page.len - 1);
    return shr_root_key(page->page.data[0], &path, height);
}

static int undo_page(struct shr_store *store, const struct shr_root_listed *page, uint32_t height,
                     struct shr_batch *batch, struct shrewd_error *err) {
    struct shr_root_key key = key_of(page, height);
    shr_batch_remove(batch, SHR_TABLE_ROOT, shr_root_key_bytes(&key));
    return 0;
}

int shr_root_undo(struct shr_store *store, uint32_t height, struct shr_batch *batch,
                  struct shrewd_error *err) {
    return each_page(store, height, undo_page, batch, err);
}

/* The first list of a height at or above the one it is asked for. */
struct list_found {
    bool found, wrong;
    uint32_t height;
};

static enum shr_scan_step take_height(void *ctx, struct shr_bytes key, struct shr_bytes value) {
    struct list_found *list = ctx;
    list->found = true;
    list->wrong = key.len != sizeof list->height;
    list->height = list->wrong ? 0 : shr_get_be32(key.data);
    list->wrong = list->wrong || list->height == UINT32_MAX; /* no block is that high */
    return SHR_SCAN_DONE;
}

static int find_list(struct shr_store *store, struct list_found *out, uint32_t from,
                     struct shrewd_error *err) {
    struct shr_height_key key = shr_height_key(from);
    *out = (struct list_found){0};
    int code = shr_store_scan(store, NULL, SHR_TABLE_ROOT_PAGES, shr_height_key_bytes(&key),
                              shr_bytes(NULL, 0), false, take_height, out, err);
    if (code == 0 && out->wrong) {
        code = shr_corrupt(store, SHR_TABLE_ROOT_PAGES, shr_height_key_bytes(&key),
                           "a key from this one on is not a height", err);
    }
    return code;
}

static int by_key(const void *a, const void *b) {
    const struct shr_write *left = a, *right = b;
    int order = (left->table > right->table) - (left->table < right->table);
    return order != 0 ? order : shr_bytes_cmp(left->key, right->key);
}

/* The rows first, then the lists that name them: after a failure the sweep goes on with those. */
static int load_sweep(struct shr_store *store, struct shr_batch *batch, bool sync,
                      struct shrewd_error *err) {
    struct shr_batch lists = {0};
    for (size_t i = 0; i < batch->n; i++) {
        if (batch->writes[i].table == SHR_TABLE_ROOT_PAGES) {
            shr_batch_remove(&lists, SHR_TABLE_ROOT_PAGES, batch->writes[i].key);
        }
    }
    int code = shr_store_load(store, batch, SHR_TABLE_ROOT, err);
    if (code == 0) {
        code = shr_store_write(store, &lists, sync, err);
    }
    shr_batch_free(&lists);
    shr_batch_clear(batch);
    return code;
}

/* In key order, which a store takes faster: all are removals. */
static int write_sorted(struct shr_store *store, struct shr_batch *batch, bool sync,
                        struct shrewd_error *err) {
    qsort(batch->writes, batch->n, sizeof *batch->writes, by_key);
    int code = shr_store_write(store, batch, sync, err);
    shr_batch_clear(batch);
    return code;
}

/* On disk at the end, `last`: what is loaded next is at once (apply.c). */
static int store_sweep(struct shr_store *store, struct shr_batch *batch, bool last,
                       struct shrewd_error *err) {
    return shr_store_loads(store) && batch->n >= SWEEP_ROWS ? load_sweep(store, batch, last, err)
                                                            : write_sorted(store, batch, last, err);
}

int shr_root_sweep(struct shr_store *store, uint32_t first, struct shrewd_error *err) {
    struct shr_batch batch = {0};
    struct list_found list;
    size_t most = shr_store_loads(store) ? SWEEP_ROWS_LOADED : SWEEP_ROWS;
    int code = find_list(store, &list, first, err);
    while (code == 0 && list.found) {
        code = each_page(store, list.height, undo_page, &batch, err);
        uint32_t next = list.height + 1;
        if (code == 0) {
            code = find_list(store, &list, next, err);
        }
        if (code == 0 && (batch.n >= most || !list.found)) {
            code = store_sweep(store, &batch, !list.found, err);
        }
    }
    shr_batch_free(&batch);
    return code;
}

static enum shr_scan_step remove_row(void *ctx, struct shr_bytes key, struct shr_bytes value) {
    shr_batch_remove(ctx, SHR_TABLE_ROOT, key);
    return SHR_SCAN_MORE;
}

/* Once a row has the whole page, those below it say nothing more. */
static int prune_page(struct shr_store *store, const struct shr_root_listed *page, uint32_t height,
                      struct shr_batch *batch, struct shrewd_error *err) {
    if (!page->full || height == 0) {
        return 0;
    }
    struct shr_root_key from = key_of(page, height - 1), to = key_of(page, 0);
    uint8_t bound[SHR_ROOT_KEY_BYTES_MAX + 1] = {0};
    memcpy(bound, to.b, to.len);
    return shr_store_scan(store, NULL, SHR_TABLE_ROOT, shr_root_key_bytes(&from),
                          shr_bytes(bound, to.len + 1), false, remove_row, batch, err);
}

int shr_root_prune(struct shr_store *store, uint32_t height, struct shr_batch *batch,
                   struct shrewd_error *err) {
    return each_page(store, height, prune_page, batch, err);
}
