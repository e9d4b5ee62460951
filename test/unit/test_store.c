/* One suite for every store: random operations are compared with a naive model. */
#include "state_help.h"

#include "state/store.h"

#include <pthread.h>
#include <stdatomic.h>

/* --- The model: every entry of every table in an unsorted list --- */

struct item {
    enum shr_table table;
    struct shr_buf key, value;
};
struct model {
    struct item *items;
    size_t n, cap;
};

static struct item *model_find(const struct model *model, enum shr_table table,
                               struct shr_bytes key) {
    for (size_t i = 0; i < model->n; i++) {
        struct item *item = &model->items[i];
        if (item->table == table && shr_bytes_eq(shr_buf_bytes(&item->key), key)) {
            return item;
        }
    }
    return NULL;
}

static void model_put(struct model *model, enum shr_table table, struct shr_bytes key,
                      struct shr_bytes value) {
    struct item *item = model_find(model, table, key);
    if (item == NULL) {
        if (model->n == model->cap) {
            model->cap = model->cap == 0 ? 64 : model->cap * 2;
            model->items = shr_realloc_array(model->items, model->cap, sizeof *model->items);
        }
        item = &model->items[model->n++];
        *item = (struct item){.table = table};
        shr_buf_set(&item->key, key);
    }
    shr_buf_set(&item->value, value);
}

static void model_remove(struct model *model, enum shr_table table, struct shr_bytes key) {
    struct item *item = model_find(model, table, key);
    if (item != NULL) {
        shr_buf_free(&item->key);
        shr_buf_free(&item->value);
        *item = model->items[--model->n];
    }
}

static void model_copy(struct model *out, const struct model *model) {
    *out = (struct model){0};
    for (size_t i = 0; i < model->n; i++) {
        const struct item *item = &model->items[i];
        model_put(out, item->table, shr_buf_bytes(&item->key), shr_buf_bytes(&item->value));
    }
}

static void model_free(struct model *model) {
    for (size_t i = 0; i < model->n; i++) {
        shr_buf_free(&model->items[i].key);
        shr_buf_free(&model->items[i].value);
    }
    free(model->items);
    *model = (struct model){0};
}

static int item_order(const void *a, const void *b) {
    const struct item *const *left = a, *const *right = b;
    return shr_bytes_cmp(shr_buf_bytes(&(*left)->key), shr_buf_bytes(&(*right)->key));
}

/* The items of a range, in order; the caller frees the list. */
static struct item **model_range(const struct model *model, enum shr_table table,
                                 struct shr_bytes from, struct shr_bytes to, size_t *n) {
    struct item **list = shr_alloc_array(model->n + 1, sizeof *list);
    *n = 0;
    for (size_t i = 0; i < model->n; i++) {
        struct shr_bytes key = shr_buf_bytes(&model->items[i].key);
        if (model->items[i].table == table && shr_bytes_cmp(from, key) <= 0 &&
            (to.data == NULL || shr_bytes_cmp(key, to) < 0)) {
            list[(*n)++] = &model->items[i];
        }
    }
    qsort(list, *n, sizeof *list, item_order);
    return list;
}

/* --- The stores under test --- */

enum kind { ROCKS, MEMORY, OVERLAY_MEMORY, OVERLAY_ROCKS };

struct bench {
    enum kind kind;
    char *dir;
    struct shr_store *base; /* overlays: what lies below, moved on since the snapshot */
    struct shr_snapshot *base_snapshot;
    struct shr_store *store;
    struct model model;
    struct rng rng;
};

static struct shr_store *open_rocks(const char *dir) {
    struct shr_rocks_options options = {.create = true, .cache_bytes = 1 << 20};
    struct shr_store *store = NULL;
    assert_ok(shr_store_open_rocks(&store, dir, &options, err));
    return store;
}

static void random_batch(struct rng *rng, struct shr_batch *batch, struct model *model) {
    struct shr_buf key = {0}, value = {0};
    for (uint32_t n = 1 + rng_below(rng, 20); n > 0; n--) {
        enum shr_table table = (enum shr_table)rng_below(rng, SHR_TABLE_COUNT);
        rng_key(rng, &key);
        if (rng_below(rng, 3) == 0) {
            shr_batch_remove(batch, table, shr_buf_bytes(&key));
            model_remove(model, table, shr_buf_bytes(&key));
        } else {
            rng_value(rng, &value);
            shr_batch_put(batch, table, shr_buf_bytes(&key), shr_buf_bytes(&value));
            model_put(model, table, shr_buf_bytes(&key), shr_buf_bytes(&value));
        }
    }
    shr_buf_free(&value);
    shr_buf_free(&key);
}

static void write_random(struct shr_store *store, struct rng *rng, struct model *model) {
    struct shr_batch batch = {0};
    random_batch(rng, &batch, model);
    assert_ok(shr_store_write(store, &batch, false, err));
    shr_batch_free(&batch);
}

static void bench_open(struct bench *bench, enum kind kind) {
    *bench = (struct bench){.kind = kind, .rng = {77 + kind}};
    bench->dir = make_dir();
    if (kind == ROCKS) {
        bench->store = open_rocks(bench->dir);
    } else if (kind == MEMORY) {
        bench->store = shr_store_new_memory();
    } else {
        bench->base = kind == OVERLAY_ROCKS ? open_rocks(bench->dir) : shr_store_new_memory();
        for (int i = 0; i < 20; i++) {
            write_random(bench->base, &bench->rng, &bench->model);
        }
        assert_ok(shr_store_snapshot(bench->base, &bench->base_snapshot, err));
        struct model later;
        model_copy(&later, &bench->model);
        for (int i = 0; i < 20; i++) {
            write_random(bench->base, &bench->rng, &later);
        }
        model_free(&later);
        bench->store = shr_store_new_overlay(bench->base, bench->base_snapshot);
    }
}

static void bench_close(struct bench *bench) {
    shr_store_close(bench->store);
    if (bench->base != NULL) {
        shr_store_snapshot_free(bench->base, bench->base_snapshot);
        shr_store_close(bench->base);
    }
    model_free(&bench->model);
    remove_dir(bench->dir);
}

/* --- Comparing a store, or a snapshot of it, with a model --- */

struct seen {
    struct item **want;
    size_t n, at;
    size_t stop_after; /* entries; SIZE_MAX for all */
    bool backward;
};

static enum shr_scan_step compare(void *ctx, struct shr_bytes key, struct shr_bytes value) {
    struct seen *seen = ctx;
    assert_true(seen->at < seen->n);
    assert_true(seen->at < seen->stop_after);
    struct item *want = seen->want[seen->backward ? seen->n - 1 - seen->at : seen->at];
    assert_bytes(key, shr_buf_bytes(&want->key));
    assert_bytes(value, shr_buf_bytes(&want->value));
    seen->at++;
    return seen->at == seen->stop_after ? SHR_SCAN_DONE : SHR_SCAN_MORE;
}

static void check_scan(struct shr_store *store, const struct shr_snapshot *snapshot,
                       const struct model *model, enum shr_table table, struct shr_bytes from,
                       struct shr_bytes to, bool backward, size_t stop_after) {
    struct seen seen = {.backward = backward, .stop_after = stop_after};
    seen.want = model_range(model, table, from, to, &seen.n);
    assert_ok(shr_store_scan(store, snapshot, table, from, to, backward, compare, &seen, err));
    assert_int_equal(seen.at, seen.n < stop_after ? seen.n : stop_after);
    free(seen.want);
}

static void check_all(struct shr_store *store, const struct shr_snapshot *snapshot,
                      const struct model *model) {
    for (int table = 0; table < SHR_TABLE_COUNT; table++) {
        check_scan(store, snapshot, model, (enum shr_table)table, NO_BYTES, NO_BYTES, false,
                   SIZE_MAX);
        check_scan(store, snapshot, model, (enum shr_table)table, NO_BYTES, NO_BYTES, true,
                   SIZE_MAX);
    }
}

static void check_ranges(struct bench *bench, const struct shr_snapshot *snapshot,
                         const struct model *model) {
    struct shr_buf from = {0}, to = {0};
    for (int i = 0; i < 10; i++) {
        rng_key(&bench->rng, &from);
        rng_key(&bench->rng, &to);
        shr_buf_reserve(&to, 1); /* an empty bound that is not NULL: nothing is below it */
        size_t stop = rng_below(&bench->rng, 2) == 0 ? SIZE_MAX : 1 + rng_below(&bench->rng, 5);
        struct shr_bytes end = rng_below(&bench->rng, 4) == 0 ? NO_BYTES : shr_buf_bytes(&to);
        check_scan(bench->store, snapshot, model,
                   (enum shr_table)rng_below(&bench->rng, SHR_TABLE_COUNT), shr_buf_bytes(&from),
                   end, rng_below(&bench->rng, 2) == 0, stop);
    }
    shr_buf_free(&to);
    shr_buf_free(&from);
}

#define READS 700 /* more than the RocksDB store gives on at a time */

static void check_reads(struct bench *bench, const struct shr_snapshot *snapshot,
                        const struct model *model, size_t n) {
    struct shr_read *reads = shr_alloc_array(n, sizeof *reads);
    struct shr_buf *keys = shr_alloc_array(n, sizeof *keys);
    struct shr_buf *values = shr_alloc_array(n, sizeof *values);
    for (size_t i = 0; i < n; i++) {
        rng_key(&bench->rng, &keys[i]);
        reads[i] =
            (struct shr_read){.table = (enum shr_table)rng_below(&bench->rng, SHR_TABLE_COUNT),
                              .key = shr_buf_bytes(&keys[i]),
                              .value = &values[i],
                              .found = true};
        shr_buf_add_str(&values[i], "to be replaced");
    }
    assert_ok(shr_store_get_many(bench->store, snapshot, reads, n, err));
    struct shr_buf value = {0};
    for (size_t i = 0; i < n; i++) {
        struct item *want = model_find(model, reads[i].table, reads[i].key);
        assert_int_equal(reads[i].found, want != NULL);
        int code =
            shr_store_get(bench->store, snapshot, reads[i].table, &value, reads[i].key, NULL);
        assert_int_equal(code, want != NULL ? 0 : SHREWD_NOT_FOUND);
        if (want != NULL) {
            assert_bytes(shr_buf_bytes(&values[i]), shr_buf_bytes(&want->value));
            assert_bytes(shr_buf_bytes(&value), shr_buf_bytes(&want->value));
        }
        shr_buf_free(&values[i]);
        shr_buf_free(&keys[i]);
    }
    shr_buf_free(&value);
    free(values);
    free(keys);
    free(reads);
}

#define HELD 3

struct held {
    struct shr_snapshot *snapshot;
    struct model model;
};

static void take_snapshot(struct bench *bench, struct held *held) {
    shr_store_snapshot_free(bench->store, held->snapshot);
    model_free(&held->model);
    assert_ok(shr_store_snapshot(bench->store, &held->snapshot, err));
    model_copy(&held->model, &bench->model);
}

static void random_steps(struct bench *bench, int steps) {
    struct held held[HELD] = {{0}};
    for (int step = 0; step < steps; step++) {
        write_random(bench->store, &bench->rng, &bench->model);
        check_ranges(bench, NULL, &bench->model);
        check_reads(bench, NULL, &bench->model, 20);
        struct held *one = &held[rng_below(&bench->rng, HELD)];
        if (one->snapshot == NULL || rng_below(&bench->rng, 10) == 0) {
            take_snapshot(bench, one);
        }
        check_ranges(bench, one->snapshot, &one->model);
        check_reads(bench, one->snapshot, &one->model, 5);
        if (step % 100 == 99) {
            check_all(bench->store, NULL, &bench->model);
            check_all(bench->store, one->snapshot, &one->model);
            check_reads(bench, NULL, &bench->model, READS);
        }
        if (bench->kind == ROCKS && step % 150 == 149) {
            for (int i = 0; i < HELD; i++) {
                shr_store_snapshot_free(bench->store, held[i].snapshot);
                held[i].snapshot = NULL;
            }
            shr_store_close(bench->store);
            bench->store = open_rocks(bench->dir);
            check_all(bench->store, NULL, &bench->model);
        }
    }
    for (int i = 0; i < HELD; i++) {
        shr_store_snapshot_free(bench->store, held[i].snapshot);
        model_free(&held[i].model);
    }
}

static void test_random(enum kind kind, int steps) {
    struct bench bench;
    bench_open(&bench, kind);
    check_all(bench.store, NULL, &bench.model);
    random_steps(&bench, steps);
    bench_close(&bench);
}

static void rocks_equals_model(void **state) {
    test_random(ROCKS, 600);
}
static void memory_equals_model(void **state) {
    test_random(MEMORY, 1500);
}
static void overlay_on_memory_equals_model(void **state) {
    test_random(OVERLAY_MEMORY, 1500);
}
static void overlay_on_rocks_equals_model(void **state) {
    test_random(OVERLAY_ROCKS, 300);
}

/* --- Single properties, on every kind --- */

static void check_basics(enum kind kind) {
    struct bench bench;
    bench_open(&bench, kind);
    struct shr_batch batch = {0};
    struct shr_buf value = {0};
    /* The last write of a key in a batch counts. */
    shr_batch_put(&batch, SHR_TABLE_META, TEXT("twice"), TEXT("first"));
    shr_batch_put(&batch, SHR_TABLE_META, TEXT("twice"), TEXT("second"));
    shr_batch_put(&batch, SHR_TABLE_META, TEXT("gone"), TEXT("here"));
    shr_batch_remove(&batch, SHR_TABLE_META, TEXT("gone"));
    shr_batch_remove(&batch, SHR_TABLE_META, TEXT("back"));
    shr_batch_put(&batch, SHR_TABLE_META, TEXT("back"), NO_BYTES);
    shr_batch_put(&batch, SHR_TABLE_META, NO_BYTES, TEXT("of the empty key"));
    assert_ok(shr_store_write(bench.store, &batch, true, err));
    assert_ok(shr_store_get(bench.store, NULL, SHR_TABLE_META, &value, TEXT("twice"), err));
    assert_bytes(shr_buf_bytes(&value), TEXT("second"));
    assert_fails(shr_store_get(bench.store, NULL, SHR_TABLE_META, &value, TEXT("gone"), err),
                 SHREWD_NOT_FOUND, "absent");
    assert_ok(shr_store_get(bench.store, NULL, SHR_TABLE_META, &value, TEXT("back"), err));
    assert_int_equal(value.len, 0);
    assert_ok(shr_store_get(bench.store, NULL, SHR_TABLE_META, &value, NO_BYTES, err));
    assert_bytes(shr_buf_bytes(&value), TEXT("of the empty key"));
    /* Tables are apart from each other. */
    assert_fails(shr_store_get(bench.store, NULL, SHR_TABLE_BLOCKS, &value, TEXT("twice"), err),
                 SHREWD_NOT_FOUND, "absent");
    struct shr_sizes sizes;
    assert_ok(shr_store_sizes(bench.store, &sizes, err));
    assert_true(sizes.bytes > 0);
    assert_true(sizes.tables[SHR_TABLE_META].rows >= 3);
    assert_true(sizes.tables[SHR_TABLE_META].bytes > 0);
    /* A cleared batch is empty, and can be used again. */
    shr_batch_clear(&batch);
    assert_int_equal(batch.n, 0);
    assert_int_equal(batch.bytes, 0);
    assert_ok(shr_store_write(bench.store, &batch, false, err));
    shr_batch_free(&batch);
    shr_buf_free(&value);
    bench_close(&bench);
}

static void basics(void **state) {
    for (enum kind kind = ROCKS; kind <= OVERLAY_ROCKS; kind++) {
        check_basics(kind);
    }
}

static void collected_overlay_equals_direct_writes(void **state) {
    struct model model = {0};
    struct rng rng = {5};
    struct shr_store *base = shr_store_new_memory();
    for (int i = 0; i < 10; i++) {
        write_random(base, &rng, &model);
    }
    struct shr_store *overlay = shr_store_new_overlay(base, NULL);
    for (int i = 0; i < 50; i++) {
        write_random(overlay, &rng, &model);
    }
    struct shr_batch batch = {0};
    assert_ok(shr_overlay_collect(overlay, &batch, err));
    shr_store_close(overlay);
    assert_true(batch.n > 0);
    assert_ok(shr_store_write(base, &batch, true, err));
    check_all(base, NULL, &model);
    shr_batch_free(&batch);
    shr_store_close(base);
    model_free(&model);
}

/* --- One writer, many readers: nobody sees half a batch --- */

#define ATOMIC_KEYS 20

struct race {
    struct shr_store *store;
    _Atomic bool stop;
    _Atomic uint32_t bad, checks;
};

static void write_round(struct shr_store *store, uint32_t round) {
    struct shr_batch batch = {0};
    for (uint8_t i = 0; i < ATOMIC_KEYS; i++) {
        shr_batch_put(&batch, (enum shr_table)(i % SHR_TABLE_COUNT), shr_bytes(&i, 1),
                      shr_bytes(&round, sizeof round));
    }
    assert_int_equal(shr_store_write(store, &batch, false, NULL), 0);
    shr_batch_free(&batch);
}

/* Whether every key has the same value; *round is that value. */
static bool one_round(struct shr_store *store, const struct shr_snapshot *snapshot,
                      uint32_t *round) {
    struct shr_read reads[ATOMIC_KEYS];
    struct shr_buf values[ATOMIC_KEYS] = {{0}};
    uint8_t keys[ATOMIC_KEYS];
    for (uint8_t i = 0; i < ATOMIC_KEYS; i++) {
        keys[i] = i;
        reads[i] = (struct shr_read){.table = (enum shr_table)(i % SHR_TABLE_COUNT),
                                     .key = shr_bytes(&keys[i], 1),
                                     .value = &values[i]};
    }
    bool same = shr_store_get_many(store, snapshot, reads, ATOMIC_KEYS, NULL) == 0;
    for (size_t i = 0; i < ATOMIC_KEYS; i++) {
        same = same && reads[i].found && values[i].len == sizeof *round &&
               memcmp(values[i].data, values[0].data, sizeof *round) == 0;
    }
    if (same) {
        memcpy(round, values[0].data, sizeof *round);
    }
    for (size_t i = 0; i < ATOMIC_KEYS; i++) {
        shr_buf_free(&values[i]);
    }
    return same;
}

static void *read_on(void *ctx) {
    struct race *race = ctx;
    while (!atomic_load(&race->stop)) {
        struct shr_snapshot *snapshot = NULL;
        uint32_t round;
        if (shr_store_snapshot(race->store, &snapshot, NULL) != 0 ||
            !one_round(race->store, snapshot, &round)) {
            atomic_fetch_add(&race->bad, 1);
        }
        shr_store_snapshot_free(race->store, snapshot);
        atomic_fetch_add(&race->checks, 1);
    }
    return NULL;
}

static void check_race(enum kind kind) {
    struct bench bench;
    bench_open(&bench, kind);
    struct race race = {.store = bench.store};
    write_round(bench.store, 0);
    pthread_t readers[3];
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&readers[i], NULL, read_on, &race), 0);
    }
    for (uint32_t round = 1; round < 3000 || atomic_load(&race.checks) < 100; round++) {
        write_round(bench.store, round);
    }
    atomic_store(&race.stop, true);
    for (int i = 0; i < 3; i++) {
        pthread_join(readers[i], NULL);
    }
    assert_int_equal(race.bad, 0);
    bench_close(&bench);
}

static void readers_see_whole_batches(void **state) {
    for (enum kind kind = ROCKS; kind <= OVERLAY_ROCKS; kind++) {
        check_race(kind);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(basics),
        cmocka_unit_test(rocks_equals_model),
        cmocka_unit_test(memory_equals_model),
        cmocka_unit_test(overlay_on_memory_equals_model),
        cmocka_unit_test(overlay_on_rocks_equals_model),
        cmocka_unit_test(collected_overlay_equals_direct_writes),
        cmocka_unit_test(readers_see_whole_batches),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
