/* shr_check: the value of every version is compared with the state's tree: states of many pages,
 * rolled back, pruned, begun with all they hold, pass, and any value changed in place is named. */
#define FINDINGS_MAX 1000u

#include "check_help.h"

#include "chain/hash.h"
#include "state/codec.h"
#include "state/found.h"
#include "state/root_page.h"

#define KEYS 1500u /* so that pages of three levels are there, and buckets become inner pages */
#define TIP 40u

static const struct shr_identity identity = {.start_height = 1};

static void assert_sound(struct shr_store *store) {
    struct shr_check_summary summary = check(store);
    if (summary.findings != 0) {
        fail_msg("%zu findings in a sound state:\n%.2000s", summary.findings, (char *)found.data);
    }
}

/* Block `height` writes some of the keys; few at first, so that the tree grows under way. */
static void apply(struct rng *rng, struct shr_state *state, uint32_t height) {
    static char texts[KEYS][16];
    static struct shr_pair pairs[KEYS];
    static uint64_t values[KEYS];
    size_t n = 0;
    for (uint32_t i = 0; i < KEYS * height / TIP; i++) {
        if (rng_below(rng, 4) == 0) {
            key_text(i, texts[n]);
            values[n] = rng_below(rng, 3); /* often the one that is there */
            pairs[n] = (struct shr_pair){shr_bytes_str(texts[n]),
                                         shr_bytes(&values[n], rng_below(rng, 9))};
            n++;
        }
    }
    struct shr_block_change change = {.height = height, .pairs = pairs, .n_pairs = n};
    assert_ok(shr_state_apply(state, &change, false, err));
}

static struct shr_state *make(struct shr_store *store, uint64_t seed) {
    struct shr_state *state = NULL;
    struct rng rng = {seed};
    assert_ok(shr_state_open(&state, store, &identity, false, err));
    for (uint32_t height = 1; height <= TIP; height++) {
        apply(&rng, state, height);
    }
    return state;
}

/* --- Damage --- */

/* Some of the rows of a table that have a value to change. */
struct rows {
    struct shr_buf key[8], value[8];
    uint64_t seen;
    struct rng *rng;
};

static enum shr_scan_step pick(void *ctx, struct shr_bytes key, struct shr_bytes value) {
    struct rows *rows = ctx;
    if (value.len > 4) {
        uint64_t at = rows->seen < 8 ? rows->seen : rng_next(rows->rng) % (rows->seen + 1);
        rows->seen++;
        if (at < 8) {
            shr_buf_set(&rows->key[at], key);
            shr_buf_set(&rows->value[at], value);
        }
    }
    return SHR_SCAN_MORE;
}

static void pick_rows(struct rows *rows, struct rng *rng, struct shr_store *store,
                      enum shr_table table) {
    *rows = (struct rows){.rng = rng};
    assert_ok(shr_store_scan(store, NULL, table, NO_BYTES, NO_BYTES, false, pick, rows, err));
    assert_true(rows->seen >= 8);
}

static void free_rows(struct rows *rows) {
    for (size_t i = 0; i < 8; i++) {
        shr_buf_free(&rows->key[i]);
        shr_buf_free(&rows->value[i]);
    }
}

static void put(struct shr_store *store, enum shr_table table, struct shr_buf *key,
                struct shr_buf *value) {
    struct shr_batch batch = {0};
    shr_batch_put(&batch, table, shr_buf_bytes(key), shr_buf_bytes(value));
    assert_ok(shr_store_write(store, &batch, false, err));
    shr_batch_free(&batch);
}

static void assert_found(struct shr_store *store, enum shr_table table, struct shr_buf *key,
                         const char *what) {
    struct shr_buf line = {0};
    check(store);
    shr_buf_printf(&line, "%s ", shr_check_table(table));
    shr_hex_encode(&line, shr_buf_bytes(key));
    shr_buf_printf(&line, ": expected %s", what);
    if (strstr((char *)found.data, shr_buf_cstr(&line)) == NULL) {
        fail_msg("'%s' is not in:\n%.2000s", (char *)line.data, (char *)found.data);
    }
    shr_buf_free(&line);
}

/* One value at a time, its length kept, of each table: the row is named. */
static void damage_values(struct shr_store *store, struct rng *rng) {
    static const enum shr_table tables[] = {SHR_TABLE_HISTORY, SHR_TABLE_LATEST};
    for (size_t t = 0; t < 2; t++) {
        struct rows rows;
        pick_rows(&rows, rng, store, tables[t]);
        for (size_t i = 0; i < 8; i++) {
            struct shr_store *above = shr_store_new_overlay(store, NULL);
            rows.value[i].data[rng_below(rng, (uint32_t)rows.value[i].len - 4)] ^= 0x80;
            put(above, tables[t], &rows.key[i], &rows.value[i]);
            assert_found(above, tables[t], &rows.key[i], "the value that the state tree says");
            shr_store_close(above);
        }
        free_rows(&rows);
    }
}

static void a_changed_value_is_named(void **unused) {
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct shr_store *store = shr_store_new_memory();
        struct shr_state *state = make(store, seed);
        struct rng rng = {seed};
        assert_sound(store);
        damage_values(store, &rng);
        assert_ok(shr_state_rollback(state, TIP - 15, err));
        assert_sound(store);
        damage_values(store, &rng);
        for (uint32_t height = TIP - 14; height <= TIP; height++) {
            apply(&rng, state, height);
        }
        assert_sound(store);
        damage_values(store, &rng);
        shr_state_close(state);
    }
}

/* Two values of one block change places: no sum of what is there alone would tell. */
static void values_in_each_others_place_are_named(void **unused) {
    struct shr_store *store = shr_store_new_memory();
    struct shr_state *state = NULL;
    struct shr_pair pairs[] = {{TEXT("a"), TEXT("one")}, {TEXT("b"), TEXT("two")}};
    struct shr_pair later[] = {{TEXT("a"), TEXT("xxx")}, {TEXT("b"), TEXT("yyy")}};
    struct shr_block_change changes[] = {{.height = 1, .pairs = pairs, .n_pairs = 2},
                                         {.height = 2, .pairs = later, .n_pairs = 2}};
    assert_ok(shr_state_open(&state, store, &identity, false, err));
    assert_ok(shr_state_apply(state, &changes[0], false, err));
    assert_ok(shr_state_apply(state, &changes[1], false, err));
    assert_sound(store);
    struct shr_buf key = {0}, value = {0};
    shr_history_key(&key, TEXT("a"), 2);
    shr_version_encode(&value, TEXT("two"), 1);
    put(store, SHR_TABLE_HISTORY, &key, &value);
    shr_history_key(&key, TEXT("b"), 2);
    shr_version_encode(&value, TEXT("one"), 1);
    put(store, SHR_TABLE_HISTORY, &key, &value);
    assert_found(store, SHR_TABLE_HISTORY, &key, "the value that the state tree says");
    shr_buf_free(&value);
    shr_buf_free(&key);
    shr_state_close(state);
}

static void a_pruned_state_is_compared_above_its_oldest_height(void **unused) {
    struct shr_store *store = shr_store_new_memory();
    struct shr_state *state = make(store, 4);
    struct rng rng = {4};
    for (uint32_t oldest = 1; oldest < TIP; oldest += 1 + rng_below(&rng, 12)) {
        struct shr_prune_step step;
        do {
            assert_ok(shr_state_prune(state, oldest, 100, &step, err));
        } while (step.more);
        assert_sound(store);
        damage_values(store, &rng);
    }
    shr_state_close(state);
}

/* A state that begins with what another has, and goes on from there. */
struct copy {
    struct shr_found *into;
};

static enum shr_scan_step copy_pair(void *ctx, struct shr_bytes key, struct shr_bytes row) {
    struct copy *copy = ctx;
    struct shr_bytes value;
    uint32_t height;
    assert_null(shr_version_decode(&value, &height, row));
    assert_ok(shr_found_put(copy->into, key, value, err));
    return SHR_SCAN_MORE;
}

static enum shr_scan_step copy_record(void *ctx, struct shr_bytes key, struct shr_bytes row) {
    struct copy *copy = ctx;
    struct shr_block_record record;
    uint32_t height = (uint32_t)key.data[2] << 8 | key.data[3];
    assert_null(shr_record_decode(&record, height, row));
    assert_ok(shr_found_block(copy->into, &record, err));
    return SHR_SCAN_MORE;
}

static void a_state_that_begins_with_all_it_holds(void **unused) {
    struct shr_store *from = shr_store_new_memory(), *to = shr_store_new_memory();
    struct shr_state *state = make(from, 5), *begun = NULL;
    struct shr_block_record record;
    struct copy copy;
    struct rng rng = {5};
    char *dir = make_dir();
    assert_ok(shr_state_open(&begun, to, &identity, false, err));
    assert_ok(shr_found_begin(&copy.into, begun, TIP, dir, SHR_FOUND_MEMORY, err));
    assert_ok(shr_store_scan(from, NULL, SHR_TABLE_BLOCKS, NO_BYTES, NO_BYTES, false, copy_record,
                             &copy, err));
    assert_ok(shr_store_scan(from, NULL, SHR_TABLE_LATEST, NO_BYTES, NO_BYTES, false, copy_pair,
                             &copy, err));
    assert_ok(shr_found_end(copy.into, &record, err));
    shr_found_free(copy.into);
    assert_sound(to);
    for (uint32_t height = TIP + 1; height < TIP + 8; height++) {
        apply(&rng, begun, height * TIP / (TIP + 8) == 0 ? 1 : height);
    }
    assert_sound(to);
    struct rows rows;
    pick_rows(&rows, &rng, to, SHR_TABLE_HISTORY);
    rows.value[0].data[0] ^= 1;
    put(to, SHR_TABLE_HISTORY, &rows.key[0], &rows.value[0]);
    assert_found(to, SHR_TABLE_HISTORY, &rows.key[0], "the value that the state tree says");
    free_rows(&rows);
    shr_state_close(begun);
    shr_state_close(state);
    remove_dir(dir);
}

/* --- The tree's own rows --- */

/* A past row of a bucket is changed: what it says is not what was written, and the tree there has
 * another root than the block. */
static void a_leaf_of_the_past_that_was_changed(void **unused) {
    struct shr_store *store = shr_store_new_memory();
    struct shr_state *state = make(store, 6);
    struct rng rng = {6};
    for (int round = 0; round < 20; round++) {
        struct rows rows;
        struct shr_store *above = shr_store_new_overlay(store, NULL);
        pick_rows(&rows, &rng, store, SHR_TABLE_ROOT);
        size_t i = 0;
        while (i < 8 && rows.value[i].data[0] != 2 && rows.value[i].data[0] != 4) {
            i++;
        }
        if (i < 8) {
            rows.value[i].data[rows.value[i].len - 1] ^= 1; /* of a value's hash */
            put(above, SHR_TABLE_ROOT, &rows.key[i], &rows.value[i]);
            check(above);
            bool key = strstr((char *)found.data, "is not that of the block's state root") != NULL;
            if (!key && strstr((char *)found.data, "the values that were written") == NULL) {
                fail_msg("a changed leaf is not found:\n%.2000s", (char *)found.data);
            }
        }
        shr_store_close(above);
        free_rows(&rows);
    }
    shr_state_close(state);
}

/* --- The roots in BLOCKS --- */

static void turn_root(struct shr_store *store, uint32_t height) {
    struct shr_height_key height_key = shr_height_key(height);
    struct shr_buf key = {0}, row = {0};
    struct shr_block_record record;
    shr_buf_set(&key, shr_height_key_bytes(&height_key));
    assert_ok(shr_store_get(store, NULL, SHR_TABLE_BLOCKS, &row, shr_buf_bytes(&key), err));
    assert_null(shr_record_decode(&record, height, shr_buf_bytes(&row)));
    record.root.b[7] ^= 1;
    shr_record_encode(&row, &record);
    put(store, SHR_TABLE_BLOCKS, &key, &row);
    shr_buf_free(&row);
    shr_buf_free(&key);
}

static void assert_root_found(struct shr_store *store, uint32_t height, size_t findings) {
    struct shr_buf line = {0};
    assert_int_equal(check(store).findings, findings);
    shr_buf_printf(&line, "BLOCKS %08x: expected the root of the tree's top page after the block; ",
                   height);
    const char *at = strstr((char *)found.data, shr_buf_cstr(&line));
    shr_buf_clear(&line);
    shr_buf_printf(&line, " after block %u, where the page gives ", height);
    if (at == NULL || strstr(at, shr_buf_cstr(&line)) == NULL) {
        fail_msg("the root after block %u is not found:\n%.2000s", height, (char *)found.data);
    }
    shr_buf_free(&line);
}

/* The root of each block held but the tip, which is compared with LATEST. */
static void damage_roots(struct shr_store *store, uint32_t oldest, uint32_t tip) {
    for (uint32_t height = oldest; height < tip; height++) {
        struct shr_store *above = shr_store_new_overlay(store, NULL);
        turn_root(above, height);
        assert_root_found(above, height, 1);
        shr_store_close(above);
    }
}

static void a_changed_root_of_a_past_block_is_named(void **unused) {
    struct shr_store *store = shr_store_new_memory();
    struct shr_state *state = make(store, 8);
    struct shr_prune_step step;
    damage_roots(store, 1, TIP);
    assert_ok(shr_state_rollback(state, TIP - 5, err));
    damage_roots(store, 1, TIP - 5);
    assert_ok(shr_state_prune(state, 17, UINT64_MAX, &step, err));
    damage_roots(store, 17, TIP - 5);
    turn_root(store, 16); /* of a block whose tree is gone */
    assert_sound(store);
    shr_state_close(state);
}

/* Blocks that follow each other are one finding. */
static void changed_roots_in_a_row(void **unused) {
    struct shr_store *store = shr_store_new_memory();
    struct shr_state *state = make(store, 9);
    for (uint32_t height = 20; height < 25; height++) {
        turn_root(store, height);
    }
    turn_root(store, 30);
    assert_root_found(store, 20, 2);
    assert_non_null(strstr((char *)found.data, ", and so on up to block 24\n"));
    assert_root_found(store, 30, 2);
    shr_state_close(state);
}

static void get_top(struct shr_store *store, struct shr_buf *key, struct shr_buf *row,
                    uint32_t height) {
    static const struct shr_hash any;
    struct shr_root_key at = shr_root_key(0, &any, height);
    shr_buf_set(key, shr_root_key_bytes(&at));
    assert_ok(shr_store_get(store, NULL, SHR_TABLE_ROOT, row, shr_buf_bytes(key), err));
}

/* A past row of the top page: of a bucket, leaves out of order; of an inner one, a hash in it, or
 * nothing that is a row. */
static void a_changed_row_of_the_top_page_is_found(void **unused) {
    struct shr_store *store = shr_store_new_memory(), *above = shr_store_new_overlay(store, NULL);
    struct shr_state *state = make(store, 10);
    struct shr_buf key = {0}, row = {0};
    get_top(store, &key, &row, 1);
    assert_int_equal(row.data[0], 2);
    row.data[1] ^= 0xff;
    put(above, SHR_TABLE_ROOT, &key, &row);
    assert_true(check(above).findings > 0);
    shr_store_close(above);
    get_top(store, &key, &row, TIP - 3);
    assert_true(row.data[0] == 1 || row.data[0] == 3);
    row.data[row.len - 1] ^= 1;
    put(store, SHR_TABLE_ROOT, &key, &row);
    assert_root_found(store, TIP - 3, 1);
    row.len--;
    put(store, SHR_TABLE_ROOT, &key, &row);
    assert_found(store, SHR_TABLE_ROOT, &key, "a row of the tree's top page");
    shr_buf_free(&row);
    shr_buf_free(&key);
    shr_state_close(state);
}

/* More blocks than are gone through key by key: each is said to differ. */
static void many_heights_that_differ(void **unused) {
    struct shr_store *store = shr_store_new_memory();
    struct shr_state *state = make(store, 7);
    struct rng rng = {7};
    for (int round = 0; round < 6; round++) {
        struct rows rows;
        pick_rows(&rows, &rng, store, SHR_TABLE_HISTORY);
        for (size_t i = 0; i < 8; i++) {
            rows.value[i].data[0] ^= 0x40;
            put(store, SHR_TABLE_HISTORY, &rows.key[i], &rows.value[i]);
        }
        free_rows(&rows);
    }
    assert_true(check(store).findings > 16);
    assert_non_null(strstr((char *)found.data, "HISTORY "));
    assert_non_null(strstr((char *)found.data, "the values that were written"));
    shr_state_close(state);
}

static int free_found(void **unused) {
    shr_buf_free(&found);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_changed_value_is_named),
        cmocka_unit_test(values_in_each_others_place_are_named),
        cmocka_unit_test(a_pruned_state_is_compared_above_its_oldest_height),
        cmocka_unit_test(a_state_that_begins_with_all_it_holds),
        cmocka_unit_test(a_leaf_of_the_past_that_was_changed),
        cmocka_unit_test(a_changed_root_of_a_past_block_is_named),
        cmocka_unit_test(changed_roots_in_a_row),
        cmocka_unit_test(a_changed_row_of_the_top_page_is_found),
        cmocka_unit_test(many_heights_that_differ),
    };
    return cmocka_run_group_tests_name("check_values", tests, NULL, free_found);
}
