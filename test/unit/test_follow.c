/* Following a chain: forward, back over reorgs of every kind, and stopping. Every case ends with
 * the state compared, byte for byte, with a fresh index of the final chain. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hex.h"
#include "base/log.h"
#include "chain_source.h"
#include "gate_store.h"
#include "guest_signals.h"
#include "index/apply.h"
#include "index/follow.h"

/* Flushes three pairs: height -> the block's parent hash; "tip" -> height; "count" -> one more than
 * it reads there, which goes wrong when a block does not see the one before it. A block whose
 * coinbase carries branch byte 99 (block offset 125 while the height is below 17) makes it trap. */
static const char guest_wat[] =
    "(module"
    " (import \"env\" \"__load_input\" (func $load (param i32)))"
    " (import \"env\" \"__flush\" (func $flush (param i32)))"
    " (import \"env\" \"__get\" (func $get (param i32 i32)))"
    " (memory (export \"memory\") 1)"
    " (data (i32.const 64) \"\\40\\00\\00\\00\\0a\\04....\\0a\\20\")"
    " (data (i32.const 108) \"\\0a\\03tip\\0a\\04....\\0a\\05count\\0a\\04....\")"
    " (data (i32.const 160) \"\\05\\00\\00\\00count\")"
    " (func (export \"_start\")"
    "  (call $load (i32.const 4096))"
    "  (if (i32.eq (i32.load8_u (i32.const 4225)) (i32.const 99)) (then unreachable))"
    "  (i32.store (i32.const 70) (i32.load (i32.const 4096)))"
    "  (memory.copy (i32.const 76) (i32.const 4104) (i32.const 32))"
    "  (i32.store (i32.const 115) (i32.load (i32.const 4096)))"
    "  (call $get (i32.const 164) (i32.const 192))"
    "  (i32.store (i32.const 128) (i32.add (i32.load (i32.const 192)) (i32.const 1)))"
    "  (call $flush (i32.const 68))))";

static struct shr_engine *engine;
static struct shr_module *module;

static int set_up_module(void **state) {
    struct shrewd_error err = {0};
    shr_log_set_level(SHR_LOG_OFF);
    int code = shr_engine_new(&engine, &err);
    if (code == 0) {
        code = shr_module_new(&module, engine, shr_bytes_str(guest_wat), "test", NULL, &err);
    }
    if (code != 0) {
        print_error("%s\n", err.message);
    }
    return code;
}

static int tear_down_module(void **state) {
    shr_module_free(module);
    shr_engine_free(engine);
    return 0;
}

struct fixture {
    struct shr_stop stop;
    struct chain_source *chain;
    struct gate_store *gate; /* under the state */
    struct shr_state *state;
    struct shr_progress progress;
    struct shr_follow_options options;
    struct shrewd_error err;
};

static struct shr_state *new_state(struct shr_store *store, uint32_t start) {
    struct shr_state *state = NULL;
    struct shrewd_error err = {0};
    struct shr_identity identity = {
        .genesis = shr_network_by_name("regtest")->genesis_hash,
        .start_height = start,
        .module_hash = *shr_module_hash(module),
    };
    if (shr_state_open(&state, store, &identity, false, &err) != 0) {
        fail_msg("%s", err.message);
    }
    return state;
}

static void set_up(struct fixture *f, unsigned blocks, uint32_t start) {
    guest_signals_restore();
    memset(f, 0, sizeof *f);
    assert_int_equal(shr_stop_init(&f->stop), 0);
    f->chain = chain_new(&f->stop, blocks, true);
    f->gate = gate_new();
    f->state = new_state(&f->gate->store, start);
    f->options.exit_at = SHR_NO_EXIT;
}

static int follow(struct fixture *f) {
    return shr_follow(f->state, module, &f->chain->source, &f->options, &f->progress, &f->err);
}

static enum shr_scan_step add_line(void *ctx, struct shr_bytes key, struct shr_bytes value) {
    shr_hex_encode(ctx, key);
    shr_buf_add_u8(ctx, ' ');
    shr_hex_encode(ctx, value);
    shr_buf_add_u8(ctx, '\n');
    return SHR_SCAN_MORE;
}

/* The state after every height it holds. */
static void dump(struct shr_buf *out, struct shr_state *state) {
    struct shr_reader *reader = NULL;
    struct shr_block_record tip;
    assert_int_equal(shr_reader_open(&reader, state, NULL), 0);
    if (shr_reader_tip(reader, &tip, NULL) == 0) {
        for (uint32_t height = shr_reader_first_height(reader); height <= tip.height; height++) {
            struct shr_block_record record;
            assert_int_equal(shr_reader_block(reader, &record, height, NULL), 0);
            shr_hex_encode(out, shr_bytes(record.hash.b, 32));
            shr_buf_printf(out, " %u\n", height);
            assert_int_equal(
                shr_reader_each(reader, shr_bytes(NULL, 0), height, add_line, out, NULL), 0);
        }
    }
    shr_reader_close(reader);
}

static void assert_equals_fresh(struct fixture *f, uint32_t start) {
    struct shr_buf ours = {0};
    struct shr_buf fresh = {0};
    struct shr_state *state = new_state(shr_store_new_memory(), start);
    struct shr_progress progress = {0};
    struct shr_follow_options options = {.exit_at = SHR_NO_EXIT, .near_tip = UINT32_MAX / 2};
    assert_int_equal(shr_follow(state, module, &f->chain->source, &options, &progress, NULL), 0);
    dump(&ours, f->state);
    dump(&fresh, state);
    assert_true(fresh.len > 0);
    assert_string_equal(shr_buf_cstr(&ours), shr_buf_cstr(&fresh));
    shr_state_close(state);
    shr_buf_free(&ours);
    shr_buf_free(&fresh);
}

static void tear_down(struct fixture *f) {
    shr_state_close(f->state);
    chain_close(&f->chain->source);
    shr_stop_deinit(&f->stop);
}

static uint32_t tip_of(struct shr_state *state) {
    struct shr_block_record tip;
    assert_int_equal(shr_state_tip(state, &tip, NULL), 0);
    return tip.height;
}

static void test_forward(void **state) {
    struct fixture f;
    set_up(&f, 30, 0);
    assert_int_equal(follow(&f), 0);
    assert_int_equal(tip_of(f.state), 30);
    assert_int_equal(atomic_load(&f.progress.blocks), 31);
    assert_equals_fresh(&f, 0);
    tear_down(&f);
}

static void test_exit_at_then_on(void **state) {
    struct fixture f;
    set_up(&f, 30, 0);
    f.options.exit_at = 12;
    assert_int_equal(follow(&f), 0);
    assert_int_equal(tip_of(f.state), 12);
    f.options.exit_at = SHR_NO_EXIT;
    assert_int_equal(follow(&f), 0);
    assert_int_equal(tip_of(f.state), 30);
    tear_down(&f);
}

static void test_reorgs_of_each_depth(void **state) {
    static const unsigned depths[] = {1, 2, 6, 20, 99, 100};
    for (size_t i = 0; i < sizeof depths / sizeof depths[0]; i++) {
        struct fixture f;
        set_up(&f, 120, 0);
        assert_int_equal(follow(&f), 0);
        chain_extend(f.chain, 120 - depths[i], depths[i] + 2, 2);
        if (follow(&f) != 0) {
            fail_msg("depth %u: %s", depths[i], f.err.message);
        }
        assert_int_equal(tip_of(f.state), 122);
        assert_int_equal(atomic_load(&f.progress.reorg_blocks), depths[i]);
        assert_equals_fresh(&f, 0);
        tear_down(&f);
    }
}

static void test_too_deep_changes_nothing(void **state) {
    struct fixture f;
    struct shr_buf before = {0};
    struct shr_buf after = {0};
    set_up(&f, 120, 0);
    assert_int_equal(follow(&f), 0);
    dump(&before, f.state);
    chain_extend(f.chain, 120 - 101, 105, 2);
    assert_int_equal(follow(&f), SHREWD_REORG_DEPTH);
    assert_non_null(strstr(f.err.message, "--max-reorg-depth"));
    dump(&after, f.state);
    assert_string_equal(shr_buf_cstr(&before), shr_buf_cstr(&after));
    f.options.max_reorg_depth = 101;
    assert_int_equal(follow(&f), 0);
    assert_equals_fresh(&f, 0);
    shr_buf_free(&before);
    shr_buf_free(&after);
    tear_down(&f);
}

static void test_two_in_a_row_and_back(void **state) {
    struct fixture f;
    set_up(&f, 20, 0);
    assert_int_equal(follow(&f), 0);
    chain_extend(f.chain, 15, 6, 2);
    assert_int_equal(follow(&f), 0);
    chain_extend(f.chain, 10, 12, 3);
    assert_int_equal(follow(&f), 0);
    chain_extend(f.chain, 10, 14, 1); /* the first chain's blocks again, byte for byte */
    assert_int_equal(follow(&f), 0);
    assert_int_equal(tip_of(f.state), 24);
    assert_equals_fresh(&f, 0);
    tear_down(&f);
}

static void test_same_height_other_block(void **state) {
    struct fixture f;
    set_up(&f, 20, 0);
    assert_int_equal(follow(&f), 0);
    chain_extend(f.chain, 17, 3, 2);
    assert_int_equal(follow(&f), 0);
    assert_int_equal(tip_of(f.state), 20);
    assert_equals_fresh(&f, 0);
    tear_down(&f);
}

static void test_shorter_other_chain(void **state) {
    struct fixture f;
    set_up(&f, 20, 0);
    assert_int_equal(follow(&f), 0);
    chain_extend(f.chain, 15, 2, 2); /* its tip is 17 */
    assert_int_equal(follow(&f), 0);
    assert_int_equal(tip_of(f.state), 17);
    assert_equals_fresh(&f, 0);
    tear_down(&f);
}

/* A node that is merely behind us (restored, reindexing) says nothing against our blocks. */
static void test_node_behind_keeps_ours(void **state) {
    struct fixture f;
    set_up(&f, 20, 0);
    assert_int_equal(follow(&f), 0);
    f.chain->height = 12;
    assert_int_equal(follow(&f), 0);
    assert_int_equal(tip_of(f.state), 20);
    f.chain->height = 20;
    chain_extend(f.chain, 20, 3, 1);
    assert_int_equal(follow(&f), 0);
    assert_int_equal(tip_of(f.state), 23);
    assert_equals_fresh(&f, 0);
    tear_down(&f);
}

static void test_node_below_our_first_block(void **state) {
    struct fixture f;
    set_up(&f, 20, 10);
    assert_int_equal(follow(&f), 0);
    f.chain->height = 3;
    if (follow(&f) != 0) {
        fail_msg("%s", f.err.message);
    }
    assert_int_equal(tip_of(f.state), 20);
    f.chain->height = 20;
    assert_int_equal(follow(&f), 0);
    assert_equals_fresh(&f, 10);
    tear_down(&f);
}

static void test_start_block(void **state) {
    struct fixture f;
    set_up(&f, 20, 10);
    assert_int_equal(follow(&f), 0);
    assert_int_equal(tip_of(f.state), 20);
    chain_extend(f.chain, 9, 13, 2); /* replaces even our first block */
    if (follow(&f) != 0) {
        fail_msg("%s", f.err.message);
    }
    assert_int_equal(tip_of(f.state), 22);
    assert_equals_fresh(&f, 10);
    tear_down(&f);
}

static void test_failing_block_stores_nothing(void **state) {
    struct fixture f;
    set_up(&f, 10, 0);
    chain_extend(f.chain, 10, 1, 99);
    assert_int_equal(follow(&f), SHREWD_TRAP);
    assert_non_null(strstr(f.err.message, "block 11"));
    assert_int_equal(tip_of(f.state), 10);
    chain_extend(f.chain, 10, 3, 4);
    assert_int_equal(follow(&f), 0);
    assert_int_equal(tip_of(f.state), 13);
    assert_equals_fresh(&f, 0);
    tear_down(&f);
}

/* However blocks fall into writes, the state is the one of blocks written one by one: that of
 * assert_equals_fresh, which is near the tip all the way. */
static void test_any_grouping(void **state) {
    static const struct shr_follow_options options[] = {
        {.group_blocks = 1}, {.group_blocks = 7}, {.group_blocks = 0}, {.pending_bytes = 4096}};
    for (size_t i = 0; i < 2 * sizeof options / sizeof options[0]; i++) {
        struct fixture f;
        set_up(&f, 80, 0);
        f.options = options[i / 2];
        f.options.exit_at = SHR_NO_EXIT;
        atomic_store(&f.gate->slow, i % 2 == 0 ? 0 : 2000);
        atomic_store(&f.gate->tries, 0);
        assert_int_equal(follow(&f), 0);
        assert_int_equal(atomic_load(&f.progress.blocks), 81);
        assert_true(f.options.group_blocks != 1 || atomic_load(&f.gate->tries) == 81);
        assert_equals_fresh(&f, 0);
        chain_extend(f.chain, 60, 30, 2);
        assert_int_equal(follow(&f), 0);
        assert_equals_fresh(&f, 0);
        tear_down(&f);
    }
}

static void count_syncs(enum shr_fsync fsync, unsigned wanted) {
    struct fixture f;
    set_up(&f, 40, 0);
    f.options.fsync = fsync;
    f.options.group_blocks = 1;
    atomic_store(&f.gate->syncs, 0);
    assert_int_equal(follow(&f), 0);
    assert_int_equal(atomic_load(&f.gate->syncs), wanted);
    tear_down(&f);
}

static void test_fsync(void **state) {
    count_syncs(SHR_FSYNC_ALWAYS, 41);
    count_syncs(SHR_FSYNC_TIP, 6);
    count_syncs(SHR_FSYNC_NEVER, 0);
}

/* What went through the guest before is committed, however slow the disk. */
static void test_failing_block_with_others_pending(void **state) {
    struct fixture f;
    set_up(&f, 10, 0);
    chain_extend(f.chain, 10, 1, 99);
    chain_extend(f.chain, 11, 20, 1); /* so that nothing is near the tip */
    atomic_store(&f.gate->slow, 20000);
    assert_int_equal(follow(&f), SHREWD_TRAP);
    assert_non_null(strstr(f.err.message, "block 11"));
    assert_int_equal(tip_of(f.state), 10);
    assert_int_equal(atomic_load(&f.progress.tip), 10);
    chain_extend(f.chain, 10, 23, 4);
    assert_int_equal(follow(&f), 0);
    assert_equals_fresh(&f, 0);
    tear_down(&f);
}

static void test_failing_write(void **state) {
    struct fixture f;
    set_up(&f, 60, 0);
    f.options.exit_at = 20;
    assert_int_equal(follow(&f), 0);
    f.options.exit_at = SHR_NO_EXIT;
    f.options.wait_for_space = true;
    atomic_store(&f.gate->fail_with, SHREWD_IO);
    assert_int_equal(follow(&f), SHREWD_IO);
    assert_non_null(strstr(f.err.message, "21"));
    assert_int_equal(tip_of(f.state), 20);
    assert_int_equal(atomic_load(&f.progress.tip), 20);
    atomic_store(&f.gate->fail_with, 0);
    assert_int_equal(follow(&f), 0);
    assert_equals_fresh(&f, 0);
    tear_down(&f);
}

static void *run_follow(void *arg) {
    struct fixture *f = arg;
    return (void *)(intptr_t)follow(f);
}

static bool wait_trouble(struct fixture *f, bool wanted) {
    struct shrewd_error trouble;
    for (int i = 0; i < 1000 && shr_progress_trouble(&f->progress, &trouble) != wanted; i++) {
        shr_stop_sleep(&f->stop, 10);
    }
    return shr_progress_trouble(&f->progress, &trouble) == wanted &&
           (!wanted || strstr(trouble.message, "the gate is shut") != NULL);
}

/* A full disk: what it is about can be asked; with space again it goes on by itself. */
static void test_full_disk(void **state) {
    struct fixture f;
    pthread_t thread;
    void *result = NULL;
    set_up(&f, 60, 0);
    f.options.exit_at = 20;
    assert_int_equal(follow(&f), 0);
    f.options.exit_at = SHR_NO_EXIT;
    atomic_store(&f.gate->fail_with, SHREWD_DISK_FULL);
    assert_int_equal(follow(&f), SHREWD_DISK_FULL); /* unless it may wait */
    f.options.wait_for_space = true;
    pthread_create(&thread, NULL, run_follow, &f);
    assert_true(wait_trouble(&f, true));
    assert_int_equal(tip_of(f.state), 20);
    assert_int_equal(atomic_load(&f.progress.tip), 20);
    atomic_store(&f.gate->fail_with, 0);
    pthread_join(thread, &result);
    assert_int_equal((intptr_t)result, 0);
    assert_true(wait_trouble(&f, false));
    assert_equals_fresh(&f, 0);
    atomic_store(&f.gate->fail_with, SHREWD_DISK_FULL);
    chain_extend(f.chain, 58, 5, 2); /* rolling back fails in the same way */
    pthread_create(&thread, NULL, run_follow, &f);
    assert_true(wait_trouble(&f, true));
    shr_stop_request(&f.stop); /* ends the waiting too */
    pthread_join(thread, &result);
    assert_int_equal((intptr_t)result, 0);
    assert_int_equal(tip_of(f.state), 60);
    tear_down(&f);
}

static void count_well(void *ctx, enum shr_log_level level, const char *room, const char *message) {
    _Atomic unsigned *counter = ctx;
    atomic_fetch_add(counter, strstr(message, "there is space again") != NULL);
}

/* At the tip, with nothing to be written but what pruning removes: the disk is not taken to be well
 * just because no block waits for it. */
static void test_full_disk_while_pruning(void **state) {
    struct fixture f;
    struct shrewd_error trouble;
    pthread_t thread;
    _Atomic unsigned well = 0;
    set_up(&f, 60, 0);
    assert_int_equal(follow(&f), 0);
    f.options.prune = 20;
    f.options.wait_for_space = true;
    atomic_store(&f.gate->fail_with, SHREWD_DISK_FULL);
    shr_log_set_level(SHR_LOG_INFO);
    shr_log_set_sink(count_well, &well);
    pthread_create(&thread, NULL, run_follow, &f);
    assert_true(wait_trouble(&f, true));
    shr_stop_sleep(&f.stop, 2500); /* it is tried again once */
    assert_true(shr_progress_trouble(&f.progress, &trouble));
    assert_non_null(strstr(trouble.message, "pruning"));
    assert_int_equal(well, 0);
    assert_int_equal(shr_state_oldest(f.state), 0);
    atomic_store(&f.gate->fail_with, 0);
    pthread_join(thread, NULL);
    shr_log_set_sink(NULL, NULL);
    shr_log_set_level(SHR_LOG_OFF);
    assert_int_equal(well, 1);
    assert_false(shr_progress_trouble(&f.progress, &trouble));
    assert_int_equal(shr_state_oldest(f.state), 40);
    tear_down(&f);
}

/* Blocks and reorgs arrive while it runs; then it is asked to stop. */
static void test_live(void **state) {
    struct fixture f;
    pthread_t thread;
    void *result = NULL;
    set_up(&f, 5, 0);
    f.chain->ops.finite = false;
    pthread_create(&thread, NULL, run_follow, &f);
    for (unsigned round = 0; round < 30; round++) {
        uint32_t tip = f.chain->height;
        chain_extend(f.chain, tip - round % 4, 1 + round % 5 + round % 4, (uint8_t)(round + 2));
        shr_stop_sleep(&f.stop, round % 3 * 10);
    }
    for (int i = 0; i < 3000 && atomic_load(&f.progress.tip) != f.chain->height; i++) {
        shr_stop_sleep(&f.stop, 10);
    }
    shr_stop_request(&f.stop);
    pthread_join(thread, &result);
    assert_int_equal((intptr_t)result, 0);
    assert_int_equal(tip_of(f.state), f.chain->height);
    shr_stop_deinit(&f.stop);
    assert_int_equal(shr_stop_init(&f.stop), 0);
    f.chain->ops.finite = true;
    follow(&f);
    assert_equals_fresh(&f, 0);
    tear_down(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward),
        cmocka_unit_test(test_exit_at_then_on),
        cmocka_unit_test(test_reorgs_of_each_depth),
        cmocka_unit_test(test_too_deep_changes_nothing),
        cmocka_unit_test(test_two_in_a_row_and_back),
        cmocka_unit_test(test_same_height_other_block),
        cmocka_unit_test(test_shorter_other_chain),
        cmocka_unit_test(test_node_behind_keeps_ours),
        cmocka_unit_test(test_node_below_our_first_block),
        cmocka_unit_test(test_start_block),
        cmocka_unit_test(test_failing_block_stores_nothing),
        cmocka_unit_test(test_any_grouping),
        cmocka_unit_test(test_fsync),
        cmocka_unit_test(test_failing_block_with_others_pending),
        cmocka_unit_test(test_failing_write),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_full_disk_while_pruning),
        cmocka_unit_test(test_live),
    };
    guest_signals_keep();
    return cmocka_run_group_tests_name("follow", tests, set_up_module, tear_down_module);
}
