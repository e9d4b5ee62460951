/* Blocks whose undo data and tree are loaded before the write: the same rows, and nothing left of a
 * group that was not finished, wherever it stopped. */
#include "gate_store.h"
#include "state_help.h"

#include "state/check.h"
#include "state/order.h"
#include "state/state_impl.h"

#define BLOCKS 6
#define PAIRS 40

static const struct shr_identity identity = {
    .genesis = {{1}}, .start_height = 5, .module_hash = {{2}}};

/* --- Sorting --- */

static void items_are_in_order(void **unused) {
    struct rng rng = {7};
    static uint8_t keys[3000][40];
    static struct shr_ordered items[3000];
    for (unsigned alike = 0; alike <= 40; alike += 5) { /* bytes that all keys share */
        for (size_t i = 0; i < 3000; i++) {
            for (size_t at = 0; at < 40; at++) {
                keys[i][at] = at < alike ? 'k' : (uint8_t)(rng_below(&rng, 3) * 127);
            }
            items[i].key = shr_bytes(keys[i], rng_below(&rng, 41));
            items[i].rank = i;
        }
        shr_order(items, 3000);
        for (size_t i = 1; i < 3000; i++) {
            int order = shr_bytes_cmp(items[i - 1].key, items[i].key);
            assert_true(order < 0 || (order == 0 && items[i - 1].rank < items[i].rank));
        }
    }
    shr_order(items, 0);
}

/* --- Rows --- */

static enum shr_scan_step add_row(void *ctx, struct shr_bytes key, struct shr_bytes value) {
    struct shr_buf *out = ctx;
    shr_buf_add_be32(out, (uint32_t)key.len);
    shr_buf_add(out, key);
    shr_buf_add_be32(out, (uint32_t)value.len);
    shr_buf_add(out, value);
    return SHR_SCAN_MORE;
}

/* Every row of every table. */
static void all_rows(struct shr_store *store, struct shr_buf *out) {
    shr_buf_clear(out);
    for (int table = 0; table < SHR_TABLE_COUNT; table++) {
        shr_buf_add_u8(out, (uint8_t)table);
        assert_ok(shr_store_scan(store, NULL, (enum shr_table)table, shr_bytes(NULL, 0),
                                 shr_bytes(NULL, 0), false, add_row, out, err));
    }
}

static void assert_same_rows(struct shr_store *a, struct shr_store *b) {
    struct shr_buf left = {0}, right = {0};
    all_rows(a, &left);
    all_rows(b, &right);
    assert_bytes(shr_buf_bytes(&left), shr_buf_bytes(&right));
    shr_buf_free(&right);
    shr_buf_free(&left);
}

/* --- Blocks --- */

/* Of one branch of the chain: keys that others have too, of two lengths, and values of their own.
 */
static int apply_blocks(struct shr_state *state, uint32_t first, size_t n, uint32_t branch,
                        struct shrewd_error *err) {
    static struct shr_pair pairs[BLOCKS][PAIRS];
    static uint32_t keys[BLOCKS][PAIRS][2], values[BLOCKS][PAIRS][2];
    struct shr_block_change changes[BLOCKS];
    for (size_t b = 0; b < n; b++) {
        uint32_t height = first + (uint32_t)b;
        for (uint32_t i = 0; i < PAIRS; i++) {
            keys[b][i][0] = (i * 7 + height * 5 + branch * 3) % 64;
            values[b][i][0] = height;
            values[b][i][1] = branch;
            pairs[b][i] = (struct shr_pair){shr_bytes(keys[b][i], i % 3 == 0 ? 8 : 4),
                                            shr_bytes(values[b][i], 8)};
        }
        changes[b] = (struct shr_block_change){
            .height = height, .hash = {{(uint8_t)branch}}, .pairs = pairs[b], .n_pairs = PAIRS};
    }
    return shr_state_apply_many(state, changes, n, false, err);
}

/* A group of a branch of its own stops after so many loads. */
static void stop_after(struct shr_state *state, struct gate_store *gate, uint32_t first,
                       unsigned loads) {
    struct shrewd_error failure;
    gate->loads_left = loads;
    atomic_store(&gate->fail_with, SHREWD_DISK_FULL);
    assert_int_equal(apply_blocks(state, first, 4, 1, &failure), SHREWD_DISK_FULL);
    atomic_store(&gate->fail_with, 0);
}

static void found_one(void *ctx, const struct shr_check_finding *finding) {
    fail_msg("%s: expected %s, found %s", shr_check_table(finding->table), finding->expected,
             finding->found);
}

static void assert_sound(struct shr_store *store) {
    struct shr_check_options options = {.findings_max = 1, .found = found_one};
    struct shr_check_summary summary;
    assert_ok(shr_check(store, &options, &summary, err));
    assert_int_equal(summary.tip_height, 7);
}

static struct shr_state *open_on(struct gate_store *gate) {
    struct shr_state *state = NULL;
    assert_ok(shr_state_open(&state, &gate->store, &identity, false, err));
    shr_state_set_load_min(state, 1);
    return state;
}

/* Opening it anew or not, by the next blocks or a rollback: what is left is gone. */
static void nothing_is_left_of_a_group_that_stopped(void **unused) {
    struct shr_store *plain = shr_store_new_memory();
    struct shr_state *right = NULL;
    assert_ok(shr_state_open(&right, plain, &identity, false, err));
    assert_ok(apply_blocks(right, 5, 3, 0, err));
    assert_ok(apply_blocks(right, 8, 4, 2, err));
    for (unsigned loads = 0; loads <= 5; loads++) {
        for (int anew = 0; anew < 2; anew++) {
            struct gate_store *gate = gate_new();
            gate->kept = true;
            struct shr_state *state = open_on(gate);
            assert_ok(apply_blocks(state, 5, 3, 0, err));
            stop_after(state, gate, 8, loads);
            assert_sound(&gate->store);
            if (anew) {
                shr_state_close(state);
                state = open_on(gate);
            } else if (loads % 2 == 0) {
                assert_ok(apply_blocks(state, 8, 1, 3, err));
                stop_after(state, gate, 9, loads);
                assert_ok(shr_state_rollback(state, 7, err));
            }
            assert_ok(apply_blocks(state, 8, 4, 2, err));
            assert_same_rows(&gate->store, plain);
            gate->kept = false;
            shr_state_close(state);
        }
    }
    shr_state_close(right);
}

/* The tip has moved; what is left of the blocks above it goes before the next ones come. */
static void a_rollback_that_stopped(void **unused) {
    struct shr_store *plain = shr_store_new_memory();
    struct shr_state *right = NULL;
    struct shrewd_error failure;
    assert_ok(shr_state_open(&right, plain, &identity, false, err));
    assert_ok(apply_blocks(right, 5, 3, 0, err));
    assert_ok(apply_blocks(right, 8, 4, 2, err));
    for (unsigned loads = 0; loads <= 2; loads++) { /* with two, it is the last write that fails */
        for (int anew = 0; anew < 2; anew++) {
            struct gate_store *gate = gate_new();
            gate->kept = true;
            struct shr_state *state = open_on(gate);
            assert_ok(apply_blocks(state, 5, 3, 0, err));
            assert_ok(apply_blocks(state, 8, 4, 1, err));
            gate->writes_left = 1;
            gate->loads_left = loads;
            atomic_store(&gate->fail_with, SHREWD_DISK_FULL);
            assert_int_equal(shr_state_rollback(state, 7, &failure), SHREWD_DISK_FULL);
            atomic_store(&gate->fail_with, 0);
            assert_sound(&gate->store);
            if (anew) {
                shr_state_close(state);
                state = open_on(gate);
            }
            assert_ok(apply_blocks(state, 8, 4, 2, err));
            assert_same_rows(&gate->store, plain);
            gate->kept = false;
            shr_state_close(state);
        }
    }
    shr_state_close(right);
}

/* Loaded into RocksDB, or written into memory, one at a time. */
static void rows_are_the_same(void **unused) {
    char *dir = make_dir();
    struct shr_rocks_options options = {.create = true, .cache_bytes = 1 << 20};
    struct shr_store *store = NULL, *plain = shr_store_new_memory();
    struct shr_state *loaded = NULL, *written = NULL;
    assert_ok(shr_store_open_rocks(&store, dir, &options, err));
    assert_ok(shr_state_open(&loaded, store, &identity, false, err));
    assert_ok(shr_state_open(&written, plain, &identity, false, err));
    shr_state_set_load_min(loaded, 1);
    for (uint32_t group = 0; group < 12; group++) {
        assert_ok(apply_blocks(loaded, 5 + group * 5, 5, group, err));
        for (uint32_t b = 0; b < 5; b++) {
            assert_ok(apply_blocks(written, 5 + group * 5 + b, 1, group, err));
        }
    }
    assert_same_rows(store, plain);
    assert_ok(shr_state_rollback(loaded, 31, err));
    assert_ok(shr_state_rollback(written, 31, err));
    assert_same_rows(store, plain);
    shr_state_close(written);
    shr_state_close(loaded);
    remove_dir(dir);
}

/* --- Groups whose keys are walked in parts --- */

#define MANY_BLOCKS 4
#define MANY_PAIRS 900 /* of a block, few enough to be walked in one go; a group is not */

/* Most pairs of a block write the same few keys; in the block of `same`, all of them write one. */
static struct shr_block_change many_pairs(uint32_t height, uint32_t same) {
    static struct shr_pair pairs[MANY_BLOCKS][MANY_PAIRS];
    static uint32_t keys[MANY_BLOCKS][MANY_PAIRS], values[MANY_BLOCKS][MANY_PAIRS];
    struct rng rng = {height};
    uint32_t b = height % MANY_BLOCKS;
    for (uint32_t i = 0; i < MANY_PAIRS; i++) {
        bool few = height == same || rng_below(&rng, 2) == 0;
        keys[b][i] = few ? (height == same ? 7 : rng_below(&rng, 9)) : rng_below(&rng, 4000);
        values[b][i] = rng_below(&rng, 3);
        pairs[b][i] = (struct shr_pair){shr_bytes(&keys[b][i], i % 5 == 0 ? 3 : 4),
                                        shr_bytes(&values[b][i], 4)};
    }
    return (struct shr_block_change){.height = height, .pairs = pairs[b], .n_pairs = MANY_PAIRS};
}

static void assert_same_history(struct shr_state *a, struct shr_state *b, uint32_t tip) {
    struct shr_buf left = {0}, right = {0};
    struct shr_reader *from_a, *from_b;
    assert_ok(shr_reader_open(&from_a, a, err));
    assert_ok(shr_reader_open(&from_b, b, err));
    for (uint32_t key = 0; key < 4000; key += key < 20 ? 1 : 13) {
        for (uint32_t height = identity.start_height; height <= tip; height++) {
            struct shr_bytes bytes = shr_bytes(&key, key % 2 == 0 ? 3 : 4);
            int code = shr_reader_get(from_a, &left, bytes, height, NULL);
            assert_int_equal(shr_reader_get(from_b, &right, bytes, height, NULL), code);
            if (code == 0) {
                assert_bytes(shr_buf_bytes(&left), shr_buf_bytes(&right));
            }
        }
    }
    shr_reader_close(from_b);
    shr_reader_close(from_a);
    shr_buf_free(&right);
    shr_buf_free(&left);
}

/* In groups, loaded or written, or one block at a time: the same rows, and the same past. */
static void parts_are_the_same(void **unused) {
    char *dir = make_dir();
    struct shr_rocks_options options = {.create = true, .cache_bytes = 1 << 20};
    struct shr_store *store = NULL, *grouped = shr_store_new_memory(),
                     *plain = shr_store_new_memory();
    struct shr_state *loaded = NULL, *written = NULL, *one_by_one = NULL;
    assert_ok(shr_store_open_rocks(&store, dir, &options, err));
    assert_ok(shr_state_open(&loaded, store, &identity, false, err));
    assert_ok(shr_state_open(&written, grouped, &identity, false, err));
    assert_ok(shr_state_open(&one_by_one, plain, &identity, false, err));
    shr_state_set_load_min(loaded, 1);
    uint32_t height = identity.start_height;
    for (uint32_t group = 0; group < 4; group++) {
        uint32_t same = group == 2 ? height + 1 : 0;
        struct shr_block_change changes[MANY_BLOCKS];
        for (size_t b = 0; b < MANY_BLOCKS; b++, height++) {
            changes[b] = many_pairs(height, same);
            assert_ok(shr_state_apply(one_by_one, &changes[b], false, err));
        }
        assert_ok(shr_state_apply_many(loaded, changes, MANY_BLOCKS, false, err));
        assert_ok(shr_state_apply_many(written, changes, MANY_BLOCKS, false, err));
        assert_same_rows(store, plain);
        assert_same_rows(grouped, plain);
    }
    assert_same_history(loaded, one_by_one, height - 1);
    shr_state_close(one_by_one);
    shr_state_close(written);
    shr_state_close(loaded);
    remove_dir(dir);
}

/* What is wrong with one key is told, whichever part has it, and nothing is stored. */
static void a_part_that_fails(void **unused) {
    struct shr_store *store = shr_store_new_memory();
    struct shr_state *state = NULL;
    struct shr_block_change changes[MANY_BLOCKS];
    struct shr_batch batch = {0};
    struct shr_block_record tip;
    uint32_t key = 8, written_at = 99; /* a version from above the tip */
    struct shr_buf row = {0};
    assert_ok(shr_state_open(&state, store, &identity, false, err));
    shr_version_encode(&row, shr_bytes(&key, sizeof key), written_at);
    shr_batch_put(&batch, SHR_TABLE_LATEST, shr_bytes(&key, sizeof key), shr_buf_bytes(&row));
    assert_ok(shr_store_write(store, &batch, false, err));
    for (uint32_t b = 0; b < MANY_BLOCKS; b++) {
        changes[b] = many_pairs(identity.start_height + b, 0);
    }
    struct shrewd_error told;
    assert_int_equal(shr_state_apply_many(state, changes, MANY_BLOCKS, false, &told),
                     SHREWD_CORRUPT);
    assert_non_null(strstr(told.message, "the newest version is newer than the tip"));
    assert_int_equal(shr_state_tip(state, &tip, &told), SHREWD_NOT_FOUND);
    shr_buf_free(&row);
    shr_batch_free(&batch);
    shr_state_close(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_are_in_order),
        cmocka_unit_test(nothing_is_left_of_a_group_that_stopped),
        cmocka_unit_test(a_rollback_that_stopped),
        cmocka_unit_test(rows_are_the_same),
        cmocka_unit_test(parts_are_the_same),
        cmocka_unit_test(a_part_that_fails),
    };
    return cmocka_run_group_tests_name("load", tests, NULL, NULL);
}
