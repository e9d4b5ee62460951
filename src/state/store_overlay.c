/* The overlay: its own writes, removals kept as tombstones, over what a base store held. */
#include "state/store_ops.h"
#include "state/tables.h"

#include "base/alloc.h"

#include <stdlib.h>

struct overlay {
    struct shr_store store;
    struct shr_tables tables;
    struct shr_store *base;
    const struct shr_snapshot *base_snapshot;
};

static struct overlay *overlay_of(struct shr_store *store) {
    return (struct overlay *)store;
}

static const struct shr_frozen *frozen_of(const struct shr_snapshot *snapshot) {
    return (const struct shr_frozen *)(const void *)snapshot;
}

static int overlay_get(struct shr_store *store, const struct shr_snapshot *snapshot,
                       enum shr_table table, struct shr_buf *value, struct shr_bytes key,
                       struct shrewd_error *err) {
    struct overlay *overlay = overlay_of(store);
    struct shr_entry *entry = shr_tables_find(&overlay->tables, frozen_of(snapshot), table, key);
    if (entry == NULL) {
        return shr_store_get(overlay->base, overlay->base_snapshot, table, value, key, err);
    }
    bool removed = entry->removed;
    if (!removed) {
        shr_buf_set(value, shr_entry_value(entry));
    }
    shr_entry_drop(entry);
    return removed ? shr_store_absent(err) : 0;
}

/* What the overlay does not know is asked of the base in one call. */
static int read_through(struct overlay *overlay, const struct shr_frozen *frozen,
                        struct shr_read *reads, size_t n, struct shrewd_error *err) {
    struct shr_read *below = shr_alloc_array(n, sizeof *below);
    size_t *where = shr_alloc_array(n, sizeof *where);
    size_t n_below = 0;
    for (size_t i = 0; i < n; i++) {
        const struct shr_entry *entry = shr_tree_find(&frozen->trees[reads[i].table], reads[i].key);
        reads[i].found = entry != NULL && !entry->removed;
        if (reads[i].found) {
            shr_buf_set(reads[i].value, shr_entry_value(entry));
        } else if (entry == NULL) {
            below[n_below] = reads[i];
            where[n_below++] = i;
        }
    }
    int code = 0;
    if (n_below > 0) {
        code = shr_store_get_many(overlay->base, overlay->base_snapshot, below, n_below, err);
    }
    for (size_t i = 0; code == 0 && i < n_below; i++) {
        reads[where[i]].found = below[i].found;
    }
    free(where);
    free(below);
    return code;
}

static int overlay_get_many(struct shr_store *store, const struct shr_snapshot *snapshot,
                            struct shr_read *reads, size_t n, struct shrewd_error *err) {
    struct overlay *overlay = overlay_of(store);
    if (snapshot != NULL) {
        return read_through(overlay, frozen_of(snapshot), reads, n, err);
    }
    struct shr_frozen now;
    shr_tables_freeze(&overlay->tables, &now);
    int code = read_through(overlay, &now, reads, n, err);
    shr_frozen_drop(&now);
    return code;
}

/* A merge: the base is scanned, and the overlay's entries come in between. */
struct merge {
    struct shr_cursor cursor;
    bool backward;
    bool done;
    shr_scan_fn *visit;
    void *ctx;
};

/* Visits the overlay's entries that come before `key` (all of them when it is NULL). */
static void visit_own(struct merge *merge, const struct shr_bytes *key) {
    for (const struct shr_entry *entry;
         !merge->done && (entry = shr_cursor_entry(&merge->cursor)) != NULL;
         shr_cursor_next(&merge->cursor)) {
        if (key != NULL) {
            int order = shr_bytes_cmp(shr_entry_key(entry), *key);
            if (merge->backward ? order <= 0 : order >= 0) {
                return;
            }
        }
        if (!entry->removed) {
            merge->done = merge->visit(merge->ctx, shr_entry_key(entry), shr_entry_value(entry)) ==
                          SHR_SCAN_DONE;
        }
    }
}

static enum shr_scan_step visit_base(void *ctx, struct shr_bytes key, struct shr_bytes value) {
    struct merge *merge = ctx;
    visit_own(merge, &key);
    const struct shr_entry *entry = shr_cursor_entry(&merge->cursor);
    if (!merge->done && entry != NULL && shr_bytes_eq(shr_entry_key(entry), key)) {
        return SHR_SCAN_MORE; /* the overlay's own is newer, and comes with the next visit_own */
    }
    if (!merge->done) {
        merge->done = merge->visit(merge->ctx, key, value) == SHR_SCAN_DONE;
    }
    return merge->done ? SHR_SCAN_DONE : SHR_SCAN_MORE;
}

static int overlay_scan(struct shr_store *store, const struct shr_snapshot *snapshot,
                        enum shr_table table, struct shr_bytes from, struct shr_bytes to,
                        bool backward, shr_scan_fn *visit, void *ctx, struct shrewd_error *err) {
    struct overlay *overlay = overlay_of(store);
    struct shr_frozen now;
    const struct shr_frozen *frozen = frozen_of(snapshot);
    if (frozen == NULL) {
        shr_tables_freeze(&overlay->tables, &now);
        frozen = &now;
    }
    struct merge merge = {.backward = backward, .visit = visit, .ctx = ctx};
    shr_cursor_start(&merge.cursor, &frozen->trees[table], from, to, backward);
    int code = shr_store_scan(overlay->base, overlay->base_snapshot, table, from, to, backward,
                              visit_base, &merge, err);
    if (code == 0) {
        visit_own(&merge, NULL);
    }
    if (snapshot == NULL) {
        shr_frozen_drop(&now);
    }
    return code;
}

static int overlay_write(struct shr_store *store, const struct shr_batch *batch, bool sync,
                         struct shrewd_error *err) {
    shr_tables_write(&overlay_of(store)->tables, batch);
    return 0;
}

static int overlay_snapshot(struct shr_store *store, struct shr_snapshot **out,
                            struct shrewd_error *err) {
    struct shr_frozen *frozen = shr_alloc(sizeof *frozen);
    shr_tables_freeze(&overlay_of(store)->tables, frozen);
    *out = (struct shr_snapshot *)(void *)frozen;
    return 0;
}

static void overlay_snapshot_free(struct shr_store *store, struct shr_snapshot *snapshot) {
    struct shr_frozen *frozen = (struct shr_frozen *)(void *)snapshot;
    shr_frozen_drop(frozen);
    free(frozen);
}

/* An estimate: a key in both is counted twice, and so is a tombstone. */
static int overlay_sizes(struct shr_store *store, struct shr_sizes *out, struct shrewd_error *err) {
    struct overlay *overlay = overlay_of(store);
    struct shr_sizes own;
    shr_tables_sizes(&overlay->tables, &own);
    int code = shr_store_sizes(overlay->base, out, err);
    if (code != 0) {
        return code;
    }
    out->bytes += own.bytes;
    for (int table = 0; table < SHR_TABLE_COUNT; table++) {
        out->tables[table].bytes += own.tables[table].bytes;
        out->tables[table].rows += own.tables[table].rows;
    }
    return 0;
}

static void overlay_close(struct shr_store *store) {
    shr_tables_deinit(&overlay_of(store)->tables);
    free(store);
}

struct shr_store *shr_store_new_overlay(struct shr_store *base,
                                        const struct shr_snapshot *snapshot) {
    static const struct shr_store_ops ops = {
        .get = overlay_get,
        .get_many = overlay_get_many,
        .scan = overlay_scan,
        .write = overlay_write,
        .snapshot = overlay_snapshot,
        .snapshot_free = overlay_snapshot_free,
        .sizes = overlay_sizes,
        .close = overlay_close,
    };
    struct overlay *overlay = shr_alloc(sizeof *overlay);
    overlay->store.ops = &ops;
    overlay->store.name = base->name;
    overlay->base = base;
    overlay->base_snapshot = snapshot;
    shr_tables_init(&overlay->tables, true);
    return &overlay->store;
}

int shr_overlay_collect(struct shr_store *store, struct shr_batch *batch,
                        struct shrewd_error *err) {
    struct shr_frozen now;
    shr_tables_freeze(&overlay_of(store)->tables, &now);
    for (int table = 0; table < SHR_TABLE_COUNT; table++) {
        struct shr_cursor cursor;
        shr_cursor_start(&cursor, &now.trees[table], shr_bytes(NULL, 0), shr_bytes(NULL, 0), false);
        for (const struct shr_entry *entry; (entry = shr_cursor_entry(&cursor)) != NULL;
             shr_cursor_next(&cursor)) {
            if (entry->removed) {
                shr_batch_remove(batch, (enum shr_table)table, shr_entry_key(entry));
            } else {
                shr_batch_put(batch, (enum shr_table)table, shr_entry_key(entry),
                              shr_entry_value(entry));
            }
        }
    }
    shr_frozen_drop(&now);
    return 0;
}
