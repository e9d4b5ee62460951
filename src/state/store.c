#include "state/store_ops.h"

#include "base/alloc.h"
#include "state/order.h"

#include <stdlib.h>
#include <string.h>

const char *shr_table_name(enum shr_table table) {
    static const char *const names[SHR_TABLE_COUNT] = {
#define SHR_X(name, family) [SHR_TABLE_##name] = (family),
        SHR_TABLE_MAP(SHR_X)
#undef SHR_X
    };
    return names[table];
}

int shr_store_absent(struct shrewd_error *err) {
    static const char message[] = "the key is absent";
    if (err != NULL) {
        err->code = SHREWD_NOT_FOUND;
        memcpy(err->message, message, sizeof message);
    }
    return SHREWD_NOT_FOUND;
}

int shr_store_get(struct shr_store *store, const struct shr_snapshot *snapshot,
                  enum shr_table table, struct shr_buf *value, struct shr_bytes key,
                  struct shrewd_error *err) {
    return store->ops->get(store, snapshot, table, value, key, err);
}

int shr_store_get_many(struct shr_store *store, const struct shr_snapshot *snapshot,
                       struct shr_read *reads, size_t n, struct shrewd_error *err) {
    return store->ops->get_many(store, snapshot, reads, n, err);
}

int shr_store_scan(struct shr_store *store, const struct shr_snapshot *snapshot,
                   enum shr_table table, struct shr_bytes from, struct shr_bytes to, bool backward,
                   shr_scan_fn *visit, void *ctx, struct shrewd_error *err) {
    return store->ops->scan(store, snapshot, table, from, to, backward, visit, ctx, err);
}

struct shr_scans {
    struct shr_store *store;
    const struct shr_snapshot *snapshot;
    enum shr_table table;
    void *iterator; /* the implementation's; NULL: it has none */
};

struct shr_scans *shr_store_scans_new(struct shr_store *store, const struct shr_snapshot *snapshot,
                                      enum shr_table table) {
    struct shr_scans *scans = shr_alloc(sizeof *scans);
    *scans = (struct shr_scans){.store = store, .snapshot = snapshot, .table = table};
    if (store->ops->scans_new != NULL) {
        scans->iterator = store->ops->scans_new(store, snapshot, table);
    }
    return scans;
}

void shr_store_scans_free(struct shr_scans *scans) {
    if (scans != NULL) {
        if (scans->iterator != NULL) {
            scans->store->ops->scans_free(scans->iterator);
        }
        free(scans);
    }
}

int shr_store_scans_next(struct shr_scans *scans, struct shr_bytes from, struct shr_bytes to,
                         shr_scan_fn *visit, void *ctx, struct shrewd_error *err) {
    struct shr_store *store = scans->store;
    return scans->iterator == NULL
               ? store->ops->scan(store, scans->snapshot, scans->table, from, to, false, visit, ctx,
                                  err)
               : store->ops->scans_next(store, scans->iterator, from, to, visit, ctx, err);
}

int shr_store_write(struct shr_store *store, const struct shr_batch *batch, bool sync,
                    struct shrewd_error *err) {
    if (store->read_only) {
        return shr_fail(err, SHREWD_UNSUPPORTED, "'%s' was opened read-only: nothing is written",
                        store->name);
    }
    return store->ops->write(store, batch, sync, err);
}

bool shr_store_loads(const struct shr_store *store) {
    return store->ops->loads != NULL && !store->read_only && store->ops->loads(store);
}

int shr_store_make_rows(struct shr_store *store, enum shr_table table, shr_rows_fn *next, void *ctx,
                        struct shrewd_error *err) {
    return store->ops->make(store, table, next, ctx, err);
}

int shr_store_take(struct shr_store *store, enum shr_table table, struct shrewd_error *err) {
    return store->ops->take(store, table, err);
}

void shr_store_drop(struct shr_store *store, enum shr_table table) {
    store->ops->drop(store, table);
}

/* What has been made, unless that failed. */
static int take_made(struct shr_store *store, enum shr_table table, int code,
                     struct shrewd_error *err) {
    if (code == 0) {
        code = shr_store_take(store, table, err);
    }
    if (code != 0) {
        shr_store_drop(store, table);
    }
    return code;
}

int shr_store_load_rows(struct shr_store *store, enum shr_table table, shr_rows_fn *next, void *ctx,
                        struct shrewd_error *err) {
    int code = shr_store_make_rows(store, table, next, ctx, err);
    return take_made(store, table, code, err);
}

/* Rows of a batch, sorted. */
struct sorted {
    const struct shr_batch *rows;
    struct shr_ordered *order;
    size_t n, next;
};

static bool next_sorted(void *ctx, struct shr_write *row) {
    struct sorted *sorted = ctx;
    if (sorted->next == sorted->n) {
        return false;
    }
    *row = sorted->rows->writes[sorted->order[sorted->next++].rank];
    return true;
}

int shr_store_make(struct shr_store *store, const struct shr_batch *rows, enum shr_table table,
                   struct shrewd_error *err) {
    struct sorted sorted = {.rows = rows};
    sorted.order = shr_alloc_array(rows->n + 1, sizeof *sorted.order);
    for (size_t i = 0; i < rows->n; i++) {
        if (rows->writes[i].table == table) {
            sorted.order[sorted.n++] = (struct shr_ordered){.key = rows->writes[i].key, .rank = i};
        }
    }
    shr_order(sorted.order, sorted.n);
    int code = shr_store_make_rows(store, table, next_sorted, &sorted, err);
    free(sorted.order);
    return code;
}

int shr_store_load(struct shr_store *store, const struct shr_batch *rows, enum shr_table table,
                   struct shrewd_error *err) {
    int code = shr_store_make(store, rows, table, err);
    return take_made(store, table, code, err);
}

int shr_store_snapshot(struct shr_store *store, struct shr_snapshot **out,
                       struct shrewd_error *err) {
    return store->ops->snapshot(store, out, err);
}

void shr_store_snapshot_free(struct shr_store *store, struct shr_snapshot *snapshot) {
    if (snapshot != NULL) {
        store->ops->snapshot_free(store, snapshot);
    }
}

int shr_store_sizes(struct shr_store *store, struct shr_sizes *out, struct shrewd_error *err) {
    return store->ops->sizes(store, out, err);
}

int shr_store_probe(struct shr_store *store, struct shrewd_error *err) {
    return store->ops->probe == NULL ? 0 : store->ops->probe(store, err);
}

void shr_store_close(struct shr_store *store) {
    if (store != NULL) {
        store->ops->close(store);
    }
}
