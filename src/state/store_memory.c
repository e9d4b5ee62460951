/* The memory store: tables.h as it is. A snapshot is a frozen copy of the tables. */
#include "state/store_ops.h"
#include "state/tables.h"

#include "base/alloc.h"

#include <stdlib.h>

struct memory {
    struct shr_store store;
    struct shr_tables tables;
};

static struct memory *memory_of(struct shr_store *store) {
    return (struct memory *)store;
}

static const struct shr_frozen *frozen_of(const struct shr_snapshot *snapshot) {
    return (const struct shr_frozen *)(const void *)snapshot;
}

static int memory_get(struct shr_store *store, const struct shr_snapshot *snapshot,
                      enum shr_table table, struct shr_buf *value, struct shr_bytes key,
                      struct shrewd_error *err) {
    struct shr_entry *entry =
        shr_tables_find(&memory_of(store)->tables, frozen_of(snapshot), table, key);
    if (entry == NULL) {
        return shr_store_absent(err);
    }
    shr_buf_set(value, shr_entry_value(entry));
    shr_entry_drop(entry);
    return 0;
}

/* A writer may come between two of the reads unless they share one snapshot. */
static int memory_get_many(struct shr_store *store, const struct shr_snapshot *snapshot,
                           struct shr_read *reads, size_t n, struct shrewd_error *err) {
    struct shr_frozen now;
    const struct shr_frozen *frozen = frozen_of(snapshot);
    if (frozen == NULL) {
        shr_tables_freeze(&memory_of(store)->tables, &now);
        frozen = &now;
    }
    for (size_t i = 0; i < n; i++) {
        const struct shr_entry *entry = shr_tree_find(&frozen->trees[reads[i].table], reads[i].key);
        reads[i].found = entry != NULL;
        if (entry != NULL) {
            shr_buf_set(reads[i].value, shr_entry_value(entry));
        }
    }
    if (snapshot == NULL) {
        shr_frozen_drop(&now);
    }
    return 0;
}

static int memory_scan(struct shr_store *store, const struct shr_snapshot *snapshot,
                       enum shr_table table, struct shr_bytes from, struct shr_bytes to,
                       bool backward, shr_scan_fn *visit, void *ctx, struct shrewd_error *err) {
    struct shr_frozen now;
    const struct shr_frozen *frozen = frozen_of(snapshot);
    if (frozen == NULL) {
        shr_tables_freeze(&memory_of(store)->tables, &now);
        frozen = &now;
    }
    struct shr_cursor cursor;
    shr_cursor_start(&cursor, &frozen->trees[table], from, to, backward);
    for (const struct shr_entry *entry; (entry = shr_cursor_entry(&cursor)) != NULL;) {
        if (visit(ctx, shr_entry_key(entry), shr_entry_value(entry)) == SHR_SCAN_DONE) {
            break;
        }
        shr_cursor_next(&cursor);
    }
    if (snapshot == NULL) {
        shr_frozen_drop(&now);
    }
    return 0;
}

static int memory_write(struct shr_store *store, const struct shr_batch *batch, bool sync,
                        struct shrewd_error *err) {
    shr_tables_write(&memory_of(store)->tables, batch);
    return 0;
}

static int memory_snapshot(struct shr_store *store, struct shr_snapshot **out,
                           struct shrewd_error *err) {
    struct shr_frozen *frozen = shr_alloc(sizeof *frozen);
    shr_tables_freeze(&memory_of(store)->tables, frozen);
    *out = (struct shr_snapshot *)(void *)frozen;
    return 0;
}

static void memory_snapshot_free(struct shr_store *store, struct shr_snapshot *snapshot) {
    struct shr_frozen *frozen = (struct shr_frozen *)(void *)snapshot;
    shr_frozen_drop(frozen);
    free(frozen);
}

static int memory_sizes(struct shr_store *store, struct shr_sizes *out, struct shrewd_error *err) {
    shr_tables_sizes(&memory_of(store)->tables, out);
    return 0;
}

static void memory_close(struct shr_store *store) {
    shr_tables_deinit(&memory_of(store)->tables);
    free(store);
}

struct shr_store *shr_store_new_memory(void) {
    static const struct shr_store_ops ops = {
        .get = memory_get,
        .get_many = memory_get_many,
        .scan = memory_scan,
        .write = memory_write,
        .snapshot = memory_snapshot,
        .snapshot_free = memory_snapshot_free,
        .sizes = memory_sizes,
        .close = memory_close,
    };
    struct memory *memory = shr_alloc(sizeof *memory);
    memory->store.ops = &ops;
    memory->store.name = "memory";
    shr_tables_init(&memory->tables, false);
    return &memory->store;
}
