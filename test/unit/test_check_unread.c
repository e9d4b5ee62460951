/* shr_check of a database of which one table cannot be read to its end, as after a block of it was
 * damaged: that is one finding, which hides neither other damage nor what can still be compared. */
#define FINDINGS_MAX 100u

#include "check_help.h"
#include "gate_store.h"

#include "state/codec.h"

#define TIP 200u
#define KEYS 600u

static const struct shr_identity identity = {.start_height = 1};

static struct shr_state *make(struct shr_store *store) {
    static char texts[KEYS][16];
    struct shr_state *state = NULL;
    struct shr_pair pairs[KEYS];
    assert_ok(shr_state_open(&state, store, &identity, false, err));
    for (uint32_t height = 1; height <= TIP; height++) {
        size_t n = 0;
        for (uint32_t i = height % 7; i < KEYS; i += height == 1 ? 1 : 60) {
            key_text(i, texts[n]);
            pairs[n] = (struct shr_pair){shr_bytes_str(texts[n]), shr_bytes(&height, 4)};
            n++;
        }
        struct shr_block_change change = {.height = height, .pairs = pairs, .n_pairs = n};
        assert_ok(shr_state_apply(state, &change, false, err));
    }
    return state;
}

/* --- A store that cannot read a table to its end --- */

static const struct shr_store_ops *whole;
static enum shr_table broken;
static bool nothing_found; /* nor can what is looked for by key */
static size_t rows_left;

struct cut {
    shr_scan_fn *visit;
    void *ctx;
    bool at_end;
};

static enum shr_scan_step visit_some(void *ctx, struct shr_bytes key, struct shr_bytes value) {
    struct cut *cut = ctx;
    cut->at_end = rows_left == 0;
    rows_left -= !cut->at_end;
    return cut->at_end ? SHR_SCAN_DONE : cut->visit(cut->ctx, key, value);
}

static int scan_some(struct shr_store *store, const struct shr_snapshot *snapshot,
                     enum shr_table table, struct shr_bytes from, struct shr_bytes to,
                     bool backward, shr_scan_fn *visit, void *ctx, struct shrewd_error *err) {
    struct cut cut = {visit, ctx, false};
    if (table == broken && nothing_found && from.len > 0) {
        return shr_fail(err, SHREWD_CORRUPT, "a block does not have its checksum");
    }
    if (table != broken || from.len > 0 || to.data != NULL) {
        return whole->scan(store, snapshot, table, from, to, backward, visit, ctx, err);
    }
    int code = whole->scan(store, snapshot, table, from, to, backward, visit_some, &cut, err);
    return cut.at_end ? shr_fail(err, SHREWD_CORRUPT, "a block does not have its checksum") : code;
}

static int get_some(struct shr_store *store, const struct shr_snapshot *snapshot,
                    struct shr_read *reads, size_t n, struct shrewd_error *err) {
    return nothing_found && n > 0 && reads[0].table == broken
               ? shr_fail(err, SHREWD_CORRUPT, "a block does not have its checksum")
               : whole->get_many(store, snapshot, reads, n, err);
}

static struct shr_check_summary check_without_end(struct shr_store *store, enum shr_table table,
                                                  size_t rows) {
    struct shr_store_ops ops = *whole;
    ops.scan = scan_some;
    ops.get_many = get_some;
    broken = table;
    rows_left = rows;
    store->ops = &ops;
    struct shr_check_summary summary = check(store);
    store->ops = whole;
    return summary;
}

static const enum shr_table tables[] = {SHR_TABLE_LATEST, SHR_TABLE_HISTORY, SHR_TABLE_CHANGES,
                                        SHR_TABLE_BLOCKS, SHR_TABLE_ROOT,    SHR_TABLE_ROOT_PAGES};

static void it_is_one_finding(void **unused) {
    struct shr_store *store = shr_store_new_memory();
    struct shr_state *state = make(store);
    whole = store->ops;
    assert_int_equal(check(store).findings, 0);
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        for (size_t rows = 0; rows < 400; rows = rows * 2 + 1) {
            struct shr_check_summary summary = check_without_end(store, tables[i], rows);
            if (summary.findings != (rows_left == 0)) {
                fail_msg("table %zu, %zu rows: %zu findings:\n%s", i, rows, summary.findings,
                         (char *)found.data);
            }
            assert_true(rows_left > 0 ||
                        strstr((char *)found.data, "does not have its checksum") != NULL);
        }
    }
    assert_int_equal(check(store).findings, 0);
    shr_state_close(state);
}

/* A group that was not finished is ahead: what HISTORY has for it stands in for LATEST's rows. */
static void it_is_one_finding_with_rows_ahead(void **unused) {
    struct gate_store *gate = gate_new();
    struct shr_state *state = make(&gate->store);
    struct shr_pair pairs[] = {{TEXT("key 1"), TEXT("ahead")}, {TEXT("key 2"), TEXT("ahead")}};
    struct shr_block_change change = {.height = TIP + 1, .pairs = pairs, .n_pairs = 2};
    shr_state_set_load_min(state, 1);
    gate->loads_left = SHR_TABLE_COUNT;
    atomic_store(&gate->fail_with, SHREWD_DISK_FULL);
    assert_int_equal(shr_state_apply(state, &change, false, NULL), SHREWD_DISK_FULL);
    atomic_store(&gate->fail_with, 0);
    whole = gate->store.ops;
    assert_int_equal(check(&gate->store).findings, 0);
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        for (size_t rows = 0; rows < 400; rows = rows * 2 + 1) {
            for (int some = 0; some <= 1; some++) {
                nothing_found = some == 0;
                struct shr_check_summary summary = check_without_end(&gate->store, tables[i], rows);
                nothing_found = false;
                if (summary.findings != (rows_left == 0)) {
                    fail_msg("table %zu, %zu rows: %zu findings:\n%s", i, rows, summary.findings,
                             (char *)found.data);
                }
            }
        }
    }
    shr_state_close(state);
}

static void put(struct shr_store *store, enum shr_table table, struct shr_bytes key,
                struct shr_bytes value) {
    struct shr_batch batch = {0};
    shr_batch_put(&batch, table, key, value);
    assert_ok(shr_store_write(store, &batch, false, err));
    shr_batch_free(&batch);
}

/* With two tables that cannot be compared, the others still are. */
static void other_damage_is_found_beside_it(void **unused) {
    struct shr_store *store = shr_store_new_memory();
    struct shr_state *state = make(store);
    struct shr_height_key height = shr_height_key(17);
    whole = store->ops;
    put(store, SHR_TABLE_CHANGES, shr_height_key_bytes(&height), TEXT("\7"));
    for (size_t rows = 0; rows < 400; rows = rows * 2 + 1) {
        struct shr_check_summary summary = check_without_end(store, SHR_TABLE_ROOT, rows);
        assert_int_equal(summary.findings, 2);
        assert_false(summary.values);
        assert_non_null(strstr((char *)found.data, "CHANGES 00000011: expected the keys a block"));
        check_without_end(store, SHR_TABLE_BLOCKS, rows);
        assert_non_null(strstr((char *)found.data, "CHANGES 00000011: expected the keys a block"));
        check_without_end(store, SHR_TABLE_LATEST, rows);
        assert_non_null(strstr((char *)found.data, "CHANGES 00000011: expected the keys a block"));
    }
    shr_state_close(state);
}

static int free_found(void **unused) {
    shr_buf_free(&found);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_one_finding),
        cmocka_unit_test(it_is_one_finding_with_rows_ahead),
        cmocka_unit_test(other_damage_is_found_beside_it),
    };
    return cmocka_run_group_tests_name("check_unread", tests, NULL, free_found);
}
