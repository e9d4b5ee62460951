/* gate_store.h: for tests: a memory store whose writes can be held up and made to fail. */
#ifndef SHR_TEST_GATE_STORE_H
#define SHR_TEST_GATE_STORE_H

#include "base/alloc.h"
#include "state/store_ops.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

struct gate_store {
    struct shr_store store;
    struct shr_store *inner;
    _Atomic bool held;     /* writes wait until it is false */
    _Atomic int fail_with; /* the next writes fail with this code; 0: none */
    unsigned loads_left;   /* of loads: so many go well before that */
    unsigned writes_left;  /* of writes, the same */
    /* NULL; what goes well. `loaded`: files; they and what is synced are on disk at once. */
    void (*record)(void *ctx, bool loaded, bool synced, const struct shr_batch *rows);
    void *ctx;
    struct shr_batch made[SHR_TABLE_COUNT]; /* to be loaded */
    bool kept;                              /* closing does nothing */
    _Atomic unsigned slow;                  /* a write takes up to so many microseconds */
    _Atomic unsigned tries;                 /* writes that arrived */
    _Atomic unsigned syncs;                 /* of them, to be durable */
};

static inline struct gate_store *gate_of(struct shr_store *store) {
    return (struct gate_store *)(void *)store;
}

static inline int gate_get(struct shr_store *store, const struct shr_snapshot *snapshot,
                           enum shr_table table, struct shr_buf *value, struct shr_bytes key,
                           struct shrewd_error *err) {
    return shr_store_get(gate_of(store)->inner, snapshot, table, value, key, err);
}

static inline int gate_get_many(struct shr_store *store, const struct shr_snapshot *snapshot,
                                struct shr_read *reads, size_t n, struct shrewd_error *err) {
    return shr_store_get_many(gate_of(store)->inner, snapshot, reads, n, err);
}

static inline int gate_scan(struct shr_store *store, const struct shr_snapshot *snapshot,
                            enum shr_table table, struct shr_bytes from, struct shr_bytes to,
                            bool backward, shr_scan_fn *visit, void *ctx,
                            struct shrewd_error *err) {
    return shr_store_scan(gate_of(store)->inner, snapshot, table, from, to, backward, visit, ctx,
                          err);
}

static inline int gate_write(struct shr_store *store, const struct shr_batch *batch, bool sync,
                             struct shrewd_error *err) {
    struct gate_store *gate = gate_of(store);
    atomic_fetch_add(&gate->tries, 1);
    atomic_fetch_add(&gate->syncs, sync);
    while (atomic_load(&gate->held)) {
        usleep(200);
    }
    unsigned slow = atomic_load(&gate->slow);
    if (slow > 0) {
        usleep((unsigned)(batch->bytes * 7919) % slow);
    }
    int code = atomic_load(&gate->fail_with);
    if (code != 0 && gate->writes_left == 0) {
        return shr_fail(err, code, "the gate is shut");
    }
    gate->writes_left -= code != 0;
    if (gate->record != NULL) {
        gate->record(gate->ctx, false, sync, batch);
    }
    return shr_store_write(gate->inner, batch, sync, err);
}

static inline bool gate_loads(const struct shr_store *store) {
    return true;
}

static inline int gate_make(struct shr_store *store, enum shr_table table, shr_rows_fn *next,
                            void *ctx, struct shrewd_error *err) {
    struct shr_batch *batch = &gate_of(store)->made[table];
    shr_batch_clear(batch);
    for (struct shr_write row; next(ctx, &row);) {
        assert(batch->n == 0 || shr_bytes_cmp(batch->writes[batch->n - 1].key, row.key) < 0);
        if (row.remove) {
            shr_batch_remove(batch, table, row.key);
        } else {
            shr_batch_put(batch, table, row.key, row.value);
        }
    }
    return 0;
}

static inline void gate_drop(struct shr_store *store, enum shr_table table) {
    shr_batch_free(&gate_of(store)->made[table]);
}

static inline int gate_take(struct shr_store *store, enum shr_table table,
                            struct shrewd_error *err) {
    struct gate_store *gate = gate_of(store);
    struct shr_batch *batch = &gate->made[table];
    int code = atomic_load(&gate->fail_with);
    if (code != 0 && gate->loads_left == 0) {
        return shr_fail(err, code, "the gate is shut");
    }
    gate->loads_left -= code != 0;
    if (gate->record != NULL) {
        gate->record(gate->ctx, true, true, batch);
    }
    code = shr_store_write(gate->inner, batch, true, err);
    shr_batch_free(batch);
    return code;
}

static inline int gate_snapshot(struct shr_store *store, struct shr_snapshot **out,
                                struct shrewd_error *err) {
    return shr_store_snapshot(gate_of(store)->inner, out, err);
}

static inline void gate_snapshot_free(struct shr_store *store, struct shr_snapshot *snapshot) {
    shr_store_snapshot_free(gate_of(store)->inner, snapshot);
}

static inline int gate_sizes(struct shr_store *store, struct shr_sizes *out,
                             struct shrewd_error *err) {
    return shr_store_sizes(gate_of(store)->inner, out, err);
}

static inline void gate_close(struct shr_store *store) {
    if (!gate_of(store)->kept) {
        shr_store_close(gate_of(store)->inner);
        free(store);
    }
}

/* Closed by the state that takes it over. */
static inline struct gate_store *gate_new(void) {
    static const struct shr_store_ops ops = {
        .get = gate_get,
        .get_many = gate_get_many,
        .scan = gate_scan,
        .write = gate_write,
        .loads = gate_loads,
        .make = gate_make,
        .take = gate_take,
        .drop = gate_drop,
        .snapshot = gate_snapshot,
        .snapshot_free = gate_snapshot_free,
        .sizes = gate_sizes,
        .close = gate_close,
    };
    struct gate_store *gate = shr_alloc(sizeof *gate);
    gate->store.ops = &ops;
    gate->store.name = "gate";
    gate->inner = shr_store_new_memory();
    return gate;
}

#endif
