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
#include "guest_signals.h"
#include "index/apply.h"
#include "index/follow.h"

/* Flushes two pairs: height -> the block's parent hash; "tip" -> height. A block whose coinbase
 * carries branch byte 99 (block offset 125 while the height is below 17) makes it trap. */
static const char guest_wat[] =
    "(module"
    " (import \"env\" \"__load_input\" (func $load (param i32)))"
    " (import \"env\" \"__flush\" (func $flush (param i32)))"
    " (memory (export \"memory\") 1)"
    " (data (i32.const 64) \"\\33\\00\\00\\00\\0a\\04....\\0a\\20\")"
    " (data (i32.const 108) \"\\0a\\03tip\\0a\\04....\")"
    " (func (export \"_start\")"
    "  (call $load (i32.const 4096))"
    "  (if (i32.eq (i32.load8_u (i32.const 4225)) (i32.const 99)) (then unreachable))"
    "  (i32.store (i32.const 70) (i32.load (i32.const 4096)))"
    "  (memory.copy (i32.const 76) (i32.const 4104) (i32.const 32))"
    "  (i32.store (i32.const 115) (i32.load (i32.const 4096)))"
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
    struct shr_state *state;
    struct shr_progress progress;
    struct shr_follow_options options;
    struct shrewd_error err;
};

static struct shr_state *new_state(uint32_t start) {
    struct shr_state *state = NULL;
    struct shrewd_error err = {0};
    struct shr_identity identity = {
        .genesis = shr_network_by_name("regtest")->genesis_hash,
        .start_height = start,
        .module_hash = *shr_module_hash(module),
    };
    if (shr_state_open(&state, shr_store_new_memory(), &identity, false, &err) != 0) {
        fail_msg("%s", err.message);
    }
    return state;
}

static void set_up(struct fixture *f, unsigned blocks, uint32_t start) {
    guest_signals_restore();
    memset(f, 0, sizeof *f);
    assert_int_equal(shr_stop_init(&f->stop), 0);
    f->chain = chain_new(&f->stop, blocks, true);
    f->state = new_state(start);
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
    struct shr_state *state = new_state(start);
    struct shr_progress progress = {0};
    struct shr_follow_options options = {.exit_at = SHR_NO_EXIT};
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

static void *run_follow(void *arg) {
    struct fixture *f = arg;
    return (void *)(intptr_t)follow(f);
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
        cmocka_unit_test(test_live),
    };
    guest_signals_keep();
    return cmocka_run_group_tests_name("follow", tests, set_up_module, tear_down_module);
}
