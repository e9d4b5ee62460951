/* Rows ahead of the tip: whatever part of what was loaded and written is left, wherever a kill or a
 * power cut came, the state is that of its tip: read as it is, checked, and opened for writing. */
#include "gate_store.h"
#include "state_model.h"

#include "state/check.h"
#include "state/state_impl.h"

static const struct shr_identity identity = {
    .genesis = {{1}}, .start_height = 5, .module_hash = {{2}}};

/* --- What a database was given, one after the other --- */

#define OPS_MAX 400

struct op {
    bool loaded;
    bool synced; /* on disk at once, with all before; else with a later write, or some loads */
    struct shr_batch rows;
    struct chain chain; /* held once it is there, when it is a write */
};

struct ops {
    struct op ops[OPS_MAX];
    size_t n;
    const struct chain *chain;
};

static void record(void *ctx, bool loaded, bool synced, const struct shr_batch *rows) {
    struct ops *ops = ctx;
    assert_true(ops->n < OPS_MAX);
    struct op *op = &ops->ops[ops->n++];
    *op = (struct op){.loaded = loaded, .synced = synced};
    chain_copy(&op->chain, ops->chain, ops->chain->n);
    for (size_t i = 0; i < rows->n; i++) {
        const struct shr_write *row = &rows->writes[i];
        if (row->remove) {
            shr_batch_remove(&op->rows, row->table, row->key);
        } else {
            shr_batch_put(&op->rows, row->table, row->key, row->value);
        }
    }
}

static void ops_free(struct ops *ops) {
    for (size_t i = 0; i < ops->n; i++) {
        shr_batch_free(&ops->ops[i].rows);
        chain_free(&ops->ops[i].chain);
    }
    free(ops);
}

/* RocksDB writes a table's buffer out, and syncs the log before, when a file that it is to take has
 * a key among those in the buffer. */
static bool forces(const struct op *load, const struct op *write) {
    for (size_t i = 0; load->rows.n > 0 && i < write->rows.n; i++) {
        const struct shr_write *row = &write->rows.writes[i], *first = &load->rows.writes[0];
        if (row->table == first->table && shr_bytes_cmp(row->key, first->key) >= 0 &&
            shr_bytes_cmp(row->key, load->rows.writes[load->rows.n - 1].key) <= 0) {
            return true;
        }
    }
    return false;
}

/* Whether a cut after `end` operations may take all writes from `lost` on. */
static bool may_be_lost(const struct ops *ops, size_t lost, size_t end) {
    for (size_t i = lost; i < end; i++) {
        if (ops->ops[i].synced && !ops->ops[i].loaded) {
            return false;
        }
        for (size_t load = i + 1; !ops->ops[i].loaded && load < end; load++) {
            if (ops->ops[load].loaded && forces(&ops->ops[load], &ops->ops[i])) {
                return false;
            }
        }
    }
    return true;
}

/* What is there after a cut, and the chain that it holds. */
static struct gate_store *leave(const struct ops *ops, size_t lost, size_t end,
                                const struct chain **chain) {
    struct gate_store *gate = gate_new();
    gate->kept = true;
    for (size_t i = 0; i < end; i++) {
        const struct op *op = &ops->ops[i];
        if (op->loaded || i < lost) {
            assert_ok(shr_store_write(gate->inner, &op->rows, true, err));
            *chain = op->loaded ? *chain : &op->chain;
        }
    }
    return gate;
}

static void drop(struct gate_store *gate) {
    shr_store_close(gate->inner);
    free(gate);
}

/* A chain in groups, loaded or written as it comes, and so rolled back now and then. */
static struct ops *run(struct chain *chain, struct rng *rng) {
    struct ops *ops = shr_alloc(sizeof *ops);
    struct gate_store *gate = gate_new();
    struct shr_state *state = NULL;
    ops->chain = chain;
    gate->record = record;
    gate->ctx = ops;
    assert_ok(shr_state_open(&state, &gate->store, &identity, false, err));
    while (chain->n < 14) {
        size_t n = 1 + rng_below(rng, 4);
        for (size_t i = 0; i < n; i++) {
            chain_grow(chain, rng);
        }
        shr_state_set_load_min(state, rng_below(rng, 3) == 0 ? SIZE_MAX : 1);
        assert_ok(chain_apply_lasts(state, chain, n, err));
        if (rng_below(rng, 4) == 0) {
            for (size_t i = 1 + rng_below(rng, 4); i > 0 && chain->n > 0; i--) {
                chain_pop(chain);
            }
            shr_state_set_load_min(state, rng_below(rng, 3) == 0 ? SIZE_MAX : 1);
            assert_ok(chain->n == 0
                          ? shr_state_rollback_all(state, err)
                          : shr_state_rollback(state, chain->start + (uint32_t)chain->n - 1, err));
        }
    }
    shr_state_close(state);
    return ops;
}

/* --- What must hold of what is left --- */

static void found_one(void *ctx, const struct shr_check_finding *finding) {
    fail_msg("%s: expected %s, found %s", shr_check_table(finding->table), finding->expected,
             finding->found);
}

static void assert_sound(struct shr_store *store) {
    struct shr_check_options options = {.findings_max = 1, .found = found_one};
    struct shr_check_summary summary;
    assert_ok(shr_check(store, &options, &summary, err));
}

static enum shr_scan_step add_row(void *ctx, struct shr_bytes key, struct shr_bytes value) {
    struct shr_buf *out = ctx;
    shr_buf_add_be32(out, (uint32_t)key.len);
    shr_buf_add(out, key);
    shr_buf_add_be32(out, (uint32_t)value.len);
    shr_buf_add(out, value);
    return SHR_SCAN_MORE;
}

static void all_rows(struct shr_store *store, struct shr_buf *out) {
    shr_buf_clear(out);
    for (int table = 0; table < SHR_TABLE_COUNT; table++) {
        shr_buf_add_u8(out, (uint8_t)table);
        assert_ok(shr_store_scan(store, NULL, (enum shr_table)table, NO_BYTES, NO_BYTES, false,
                                 add_row, out, err));
    }
}

/* The rows are those of a database that was never disturbed. */
static void assert_rows_of(struct shr_store *store, const struct chain *chain) {
    struct shr_buf left = {0}, right = {0};
    struct shr_store *plain = shr_store_new_memory();
    struct shr_state *state = NULL;
    struct chain some = {.start = chain->start};
    assert_ok(shr_state_open(&state, plain, &identity, false, err));
    for (size_t i = 0; i < chain->n; i++) { /* the blocks are only borrowed */
        some.blocks[some.n++] = chain->blocks[i];
        assert_ok(chain_apply_last(state, &some, err));
    }
    all_rows(store, &left);
    all_rows(plain, &right);
    assert_bytes(shr_buf_bytes(&left), shr_buf_bytes(&right));
    shr_state_close(state);
    shr_buf_free(&right);
    shr_buf_free(&left);
}

static void check_newest(struct shr_state *state, const struct chain *chain, struct rng *rng) {
    struct shr_buf key = {0}, value = {0};
    for (int i = 0; i < 30; i++) {
        rng_key(rng, &key);
        const struct shr_buf *want = chain_get(chain, shr_buf_bytes(&key), chain->n);
        int code = shr_state_get_latest(state, &value, shr_buf_bytes(&key), NULL);
        assert_int_equal(code, want == NULL ? SHREWD_NOT_FOUND : 0);
        if (want != NULL) {
            assert_bytes(shr_buf_bytes(&value), shr_buf_bytes(want));
        }
    }
    shr_buf_free(&value);
    shr_buf_free(&key);
}

static void check_readers(struct shr_state *state, const struct chain *chain, struct rng *rng) {
    struct shr_reader *reader = NULL;
    assert_ok(shr_reader_open(&reader, state, err));
    for (int round = 0; round < 2; round++) { /* again, out of the cache */
        check_reader(reader, chain, rng);
        check_newest(state, chain, rng);
    }
    if (chain->n > 0) {
        check_each(reader, chain, chain->n - 1, NO_BYTES, SIZE_MAX);
    }
    shr_reader_close(reader);
}

/* A fork made on it, at its tip or below. */
static void check_fork(struct shr_state *state, const struct chain *chain, struct rng *rng) {
    struct shr_reader *base = NULL, *reader = NULL;
    struct shr_state *fork = NULL;
    struct chain grown;
    size_t n = chain->n - (chain->n > 1 ? rng_below(rng, 2) : 0);
    if (n == 0) {
        return;
    }
    assert_ok(shr_reader_open(&base, state, err));
    assert_ok(shr_state_open_fork(&fork, shr_store_new_memory(), base,
                                  chain->start + (uint32_t)n - 1, NULL, false, err));
    chain_copy(&grown, chain, n);
    chain_grow(&grown, rng);
    assert_ok(chain_apply_last(fork, &grown, err));
    assert_ok(shr_reader_open(&reader, fork, err));
    check_reader(reader, &grown, rng);
    shr_reader_close(reader);
    shr_state_close(fork);
    shr_reader_close(base);
    chain_free(&grown);
}

/* Opened for reading only, nothing is changed and nothing ahead is seen. */
static void check_read_only(struct gate_store *gate, const struct chain *chain, struct rng *rng) {
    struct shr_state *state = NULL;
    gate->store.read_only = true;
    assert_sound(&gate->store);
    assert_ok(shr_state_open(&state, &gate->store, NULL, false, err));
    check_readers(state, chain, rng);
    check_fork(state, chain, rng);
    shr_state_close(state);
    gate->store.read_only = false;
}

/* Opening it for writing is killed after so many writes; after that it opens, and is as if nothing
 * had ever been ahead; whatever comes next. */
static void check_writing(struct gate_store *gate, const struct chain *chain, struct rng *rng) {
    struct shr_state *state = NULL;
    struct shrewd_error failure;
    for (unsigned kills = rng_below(rng, 3); kills > 0; kills--) {
        gate->writes_left = rng_below(rng, 4);
        atomic_store(&gate->fail_with, SHREWD_IO);
        int code = shr_state_open(&state, &gate->store, &identity, false, &failure);
        atomic_store(&gate->fail_with, 0);
        gate->writes_left = 0;
        assert_true(code == 0 || code == SHREWD_IO);
        if (code == 0) {
            shr_state_close(state);
        }
        check_read_only(gate, chain, rng);
    }
    assert_ok(shr_state_open(&state, &gate->store, &identity, false, err));
    assert_rows_of(&gate->store, chain);
    check_readers(state, chain, rng);
    struct chain other;
    chain_copy(&other, chain, chain->n - (chain->n > 2 ? rng_below(rng, 3) : 0));
    if (other.n > 0) {
        assert_ok(shr_state_rollback(state, chain->start + (uint32_t)other.n - 1, err));
    }
    chain_grow(&other, rng);
    chain_grow(&other, rng);
    shr_state_set_load_min(state, rng_below(rng, 2) == 0 ? SIZE_MAX : 1);
    assert_ok(chain_apply_lasts(state, &other, 2, err));
    check_readers(state, &other, rng);
    assert_rows_of(&gate->store, &other);
    shr_state_close(state);
    chain_free(&other);
}

static void check_left(const struct ops *ops, size_t lost, size_t end, struct rng *rng) {
    const struct chain *chain = NULL; /* the first write is there */
    struct gate_store *gate = leave(ops, lost, end, &chain);
    assert_non_null(chain);
    check_read_only(gate, chain, rng);
    check_writing(gate, chain, rng);
    drop(gate);
}

/* At every moment, and with every number of unsynced writes lost that may be. The first write makes
 * the database and is synced. */
static void every_part_that_may_be_left(void **unused) {
    size_t tried = 0, several = 0;
    const uint64_t seeds = 3 + STEPS(10);
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        struct rng rng = {seed};
        struct chain chain = {.start = identity.start_height};
        struct ops *ops = run(&chain, &rng);
        for (size_t end = 1; end <= ops->n; end++) {
            size_t writes = 0;
            for (size_t lost = end; lost > 0 && writes < 4; lost--) {
                writes += lost < end && !ops->ops[lost].loaded;
                if ((lost == end || !ops->ops[lost].loaded) && may_be_lost(ops, lost, end) &&
                    rng_below(&rng, 4) == 0) {
                    check_left(ops, lost, end, &rng);
                    tried++;
                    several += writes > 1;
                }
            }
        }
        ops_free(ops);
        chain_free(&chain);
    }
    print_message("%zu tried, %zu with more than one write lost\n", tried, several);
    assert_true(tried > 10 * seeds && several > 3 * seeds);
}

/* --- In the process that goes on --- */

/* After a write that failed: what reads, forks, prunes and goes on sees nothing of it. */
static void the_process_goes_on(void **unused) {
    for (uint64_t seed = 1; seed <= STEPS(20); seed++) {
        struct rng rng = {seed};
        struct chain chain = {.start = identity.start_height}, lost;
        struct gate_store *gate = gate_new();
        struct shr_state *state = NULL;
        struct shrewd_error failure;
        assert_ok(shr_state_open(&state, &gate->store, &identity, false, err));
        shr_state_set_load_min(state, 1);
        for (int round = 0; round < 8; round++) {
            size_t n = 1 + rng_below(&rng, 3);
            chain_copy(&lost, &chain, chain.n);
            for (size_t i = 0; i < n; i++) {
                chain_grow(&lost, &rng);
            }
            gate->loads_left = rng_below(&rng, 6);
            atomic_store(&gate->fail_with, SHREWD_DISK_FULL);
            assert_int_equal(chain_apply_lasts(state, &lost, n, &failure), SHREWD_DISK_FULL);
            atomic_store(&gate->fail_with, 0);
            chain_free(&lost);
            shr_state_set_cache(state, 1 << 20); /* as if all had been evicted */
            assert_sound(&gate->store);
            check_readers(state, &chain, &rng);
            if (chain.n > 2 && rng_below(&rng, 2) == 0) {
                chain_pop(&chain);
                assert_ok(shr_state_rollback(state, chain.start + (uint32_t)chain.n - 1, err));
            }
            chain_grow(&chain, &rng);
            assert_ok(chain_apply_last(state, &chain, err));
            check_readers(state, &chain, &rng);
            assert_rows_of(&gate->store, &chain);
        }
        shr_state_close(state);
        chain_free(&chain);
    }
}

static struct shr_pair pair_of(const char *key, const char *value) {
    return (struct shr_pair){shr_bytes_str(key), shr_bytes_str(value)};
}

/* What a picture that was published meanwhile has read is not taken for what other blocks leave. */
static void a_picture_published_meanwhile(void **unused) {
    struct gate_store *gate = gate_new();
    struct shr_state *state = NULL;
    struct shrewd_error failure;
    struct shr_buf value = {0};
    struct shr_prune_step step;
    assert_ok(shr_state_open(&state, &gate->store, &identity, false, err));
    shr_state_set_load_min(state, 1);
    for (uint32_t height = 5; height < 9; height++) {
        struct shr_pair pairs[] = {pair_of("a", height % 2 == 0 ? "even" : "odd")};
        struct shr_block_change change = {.height = height, .pairs = pairs, .n_pairs = 1};
        assert_ok(shr_state_apply(state, &change, false, err));
    }
    struct shr_pair ahead[] = {pair_of("a", "ahead"), pair_of("new", "ahead")};
    struct shr_block_change change = {.height = 9, .pairs = ahead, .n_pairs = 2};
    gate->loads_left = 5;
    atomic_store(&gate->fail_with, SHREWD_DISK_FULL);
    assert_int_equal(shr_state_apply(state, &change, false, &failure), SHREWD_DISK_FULL);
    atomic_store(&gate->fail_with, 0);
    shr_state_set_cache(state, 1 << 20);
    assert_ok(shr_state_prune(state, 6, 1000, &step, err));
    struct shr_reader *reader = NULL;
    assert_ok(shr_reader_open(&reader, state, err));
    assert_ok(shr_reader_get(reader, &value, TEXT("a"), 8, err));
    assert_bytes(shr_buf_bytes(&value), TEXT("even"));
    assert_int_equal(shr_reader_get(reader, &value, TEXT("new"), 8, NULL), SHREWD_NOT_FOUND);
    shr_reader_close(reader);
    struct shr_pair others[] = {pair_of("b", "other")};
    change.pairs = others;
    change.n_pairs = 1;
    assert_ok(shr_state_apply(state, &change, false, err));
    assert_ok(shr_reader_open(&reader, state, err));
    assert_ok(shr_reader_get(reader, &value, TEXT("a"), 9, err));
    assert_bytes(shr_buf_bytes(&value), TEXT("even"));
    assert_int_equal(shr_reader_get(reader, &value, TEXT("new"), 9, NULL), SHREWD_NOT_FOUND);
    shr_reader_close(reader);
    assert_sound(&gate->store);
    shr_state_close(state);
    shr_buf_free(&value);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_part_that_may_be_left),
        cmocka_unit_test(the_process_goes_on),
        cmocka_unit_test(a_picture_published_meanwhile),
    };
    return cmocka_run_group_tests_name("ahead", tests, NULL, NULL);
}
