/* store_ops.h: what an implementation of store.h provides; private to the room. */
#ifndef SHR_STATE_STORE_OPS_H
#define SHR_STATE_STORE_OPS_H

#include "state/store.h"

/* As the functions of the same names in store.h. */
struct shr_store_ops {
    int (*get)(struct shr_store *store, const struct shr_snapshot *snapshot, enum shr_table table,
               struct shr_buf *value, struct shr_bytes key, struct shrewd_error *err);
    int (*get_many)(struct shr_store *store, const struct shr_snapshot *snapshot,
                    struct shr_read *reads, size_t n, struct shrewd_error *err);
    int (*scan)(struct shr_store *store, const struct shr_snapshot *snapshot, enum shr_table table,
                struct shr_bytes from, struct shr_bytes to, bool backward, shr_scan_fn *visit,
                void *ctx, struct shrewd_error *err);
    /* NULL: scan does as well. */
    void *(*scans_new)(struct shr_store *store, const struct shr_snapshot *snapshot,
                       enum shr_table table);
    void (*scans_free)(void *iterator);
    int (*scans_next)(struct shr_store *store, void *iterator, struct shr_bytes from,
                      struct shr_bytes to, shr_scan_fn *visit, void *ctx, struct shrewd_error *err);
    int (*write)(struct shr_store *store, const struct shr_batch *batch, bool sync,
                 struct shrewd_error *err);
    /* NULL: write does as well. `loads` tells whether the others can be used now. */
    bool (*loads)(const struct shr_store *store);
    int (*make)(struct shr_store *store, enum shr_table table, shr_rows_fn *next, void *ctx,
                struct shrewd_error *err);
    int (*take)(struct shr_store *store, enum shr_table table, struct shrewd_error *err);
    void (*drop)(struct shr_store *store, enum shr_table table);
    int (*snapshot)(struct shr_store *store, struct shr_snapshot **out, struct shrewd_error *err);
    void (*snapshot_free)(struct shr_store *store, struct shr_snapshot *snapshot);
    int (*probe)(struct shr_store *store, struct shrewd_error *err); /* NULL: it always does */
    int (*sizes)(struct shr_store *store, struct shr_sizes *out, struct shrewd_error *err);
    void (*close)(struct shr_store *store); /* frees the store itself too */
};

/* The first member of every implementation's own struct. */
struct shr_store {
    const struct shr_store_ops *ops;
    const char *name;   /* for messages: the path, or "memory"; owned by the implementation */
    const char *folder; /* NULL: it is in memory; owned by the implementation */
    bool read_only;
};

/* The name of a table's column family. Static storage. */
const char *shr_table_name(enum shr_table table);
/* SHREWD_NOT_FOUND for a key that a get did not find; guests ask for absent keys all the time, so
 * nothing is formatted. */
int shr_store_absent(struct shrewd_error *err);

#endif
