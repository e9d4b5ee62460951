/* The versioned state against a naive model: random blocks, rollbacks, reopening, forks. */
#include "state_model.h"

#include "state/state_impl.h"

static const struct shr_identity identity = {
    .genesis = {{1}}, .start_height = 5, .module_hash = {{2}}};

/* A state under test and the chain it should equal. */
struct subject {
    char *dir; /* RocksDB; NULL: memory */
    struct shr_state *state;
    struct chain chain;
    struct shr_reader *base; /* a fork */
    size_t n_below;          /* a fork: how many of the chain's blocks are its base's */
    struct shr_reader *held; /* an old reader, and what it should go on to say */
    struct chain held_chain;
    struct rng rng;
    bool stays_open; /* a fork reads through to it */
};

static struct shr_store *open_store(const char *dir) {
    struct shr_rocks_options options = {.create = true, .cache_bytes = 1 << 20};
    struct shr_store *store = NULL;
    if (dir == NULL) {
        return shr_store_new_memory();
    }
    assert_ok(shr_store_open_rocks(&store, dir, &options, err));
    return store;
}

static void open_subject(struct subject *subject) {
    struct shr_store *store = open_store(subject->dir);
    if (subject->base != NULL) {
        assert_ok(shr_state_open_fork(&subject->state, store, subject->base,
                                      subject->chain.start + (uint32_t)subject->n_below - 1,
                                      &identity, false, err));
    } else {
        assert_ok(shr_state_open(&subject->state, store, &identity, false, err));
    }
    shr_state_set_load_min(subject->state, 3); /* with RocksDB, loaded or not, as it comes */
}

static void start_subject(struct subject *subject, bool rocks, uint64_t seed) {
    *subject = (struct subject){.rng = {seed}, .chain = {.start = identity.start_height}};
    subject->dir = rocks ? make_dir() : NULL;
    open_subject(subject);
}

static void drop_held(struct subject *subject) {
    shr_reader_close(subject->held);
    subject->held = NULL;
    chain_free(&subject->held_chain);
}

static void end_subject(struct subject *subject) {
    drop_held(subject);
    shr_state_close(subject->state);
    chain_free(&subject->chain);
    if (subject->dir != NULL) {
        remove_dir(subject->dir);
    }
}

static void check_subject(struct subject *subject) {
    struct shr_reader *reader = NULL;
    struct shr_block_record record;
    const struct chain *chain = &subject->chain;
    assert_ok(shr_reader_open(&reader, subject->state, err));
    check_reader(reader, chain, &subject->rng);
    shr_reader_close(reader);
    if (chain->n == 0) {
        assert_fails(shr_state_tip(subject->state, &record, err), SHREWD_NOT_FOUND, "no block");
        return;
    }
    assert_ok(shr_state_tip(subject->state, &record, err));
    assert_record(&record, chain, chain->n - 1);
    size_t b = rng_below(&subject->rng, (uint32_t)chain->n);
    assert_ok(shr_state_block(subject->state, &record, chain->start + (uint32_t)b, err));
    assert_record(&record, chain, b);
    struct shr_buf key = {0}, value = {0};
    for (int i = 0; i < 10; i++) {
        rng_key(&subject->rng, &key);
        const struct shr_buf *want = chain_get(chain, shr_buf_bytes(&key), chain->n);
        int code = shr_state_get_latest(subject->state, &value, shr_buf_bytes(&key), NULL);
        assert_int_equal(code, want != NULL ? 0 : SHREWD_NOT_FOUND);
        if (want != NULL) {
            assert_bytes(shr_buf_bytes(&value), shr_buf_bytes(want));
        }
    }
    shr_buf_free(&value);
    shr_buf_free(&key);
}

/* --- Every row of every table, for byte-for-byte comparison --- */

static enum shr_scan_step dump_row(void *ctx, struct shr_bytes key, struct shr_bytes value) {
    struct shr_buf *out = ctx;
    shr_buf_add_le32(out, (uint32_t)key.len);
    shr_buf_add(out, key);
    shr_buf_add_le32(out, (uint32_t)value.len);
    shr_buf_add(out, value);
    return SHR_SCAN_MORE;
}

static void dump(struct shr_state *state, struct shr_buf *out) {
    shr_buf_clear(out);
    for (int table = 0; table < SHR_TABLE_COUNT; table++) {
        shr_buf_add_u8(out, (uint8_t)table);
        assert_ok(shr_store_scan(state->store, NULL, (enum shr_table)table, NO_BYTES, NO_BYTES,
                                 false, dump_row, out, err));
    }
}

/* Whatever was applied and rolled back: no row differs from those of a fresh state. */
static void check_like_fresh(struct subject *subject) {
    struct subject fresh = {.chain = {.start = subject->chain.start},
                            .base = subject->base,
                            .n_below = subject->n_below};
    open_subject(&fresh);
    struct chain chain;
    chain_copy(&chain, &subject->chain, subject->chain.n);
    size_t n = chain.n;
    for (chain.n = subject->n_below + 1; chain.n <= n; chain.n++) {
        assert_ok(chain_apply_last(fresh.state, &chain, err));
    }
    chain.n = n;
    struct shr_buf want = {0}, got = {0};
    dump(fresh.state, &want);
    dump(subject->state, &got);
    assert_bytes(shr_buf_bytes(&got), shr_buf_bytes(&want));
    shr_buf_free(&got);
    shr_buf_free(&want);
    chain_free(&chain);
    end_subject(&fresh);
}

/* --- Random steps --- */

static void roll_back_some(struct subject *subject) {
    struct chain *chain = &subject->chain;
    size_t own = chain->n - subject->n_below;
    size_t depth = own == 0 ? 0 : rng_below(&subject->rng, (uint32_t)(own < 8 ? own : 8) + 1);
    if (rng_below(&subject->rng, 25) == 0) {
        depth = own;
        assert_ok(shr_state_rollback_all(subject->state, err));
    } else {
        uint32_t height = chain->start + (uint32_t)(chain->n - depth) - 1;
        assert_ok(shr_state_rollback(subject->state, height, err));
    }
    while (depth-- > 0) {
        chain_pop(chain);
    }
}

/* Several blocks go into one write; check_like_fresh applies them one by one. */
static void grow_some(struct subject *subject, size_t n) {
    size_t room = CHAIN_MAX - subject->chain.n;
    n = n < room ? n : room;
    for (size_t i = 0; i < n; i++) {
        chain_grow(&subject->chain, &subject->rng);
    }
    assert_ok(chain_apply_lasts(subject->state, &subject->chain, n, err));
}

static void check_refusals(struct subject *subject) {
    uint32_t tip = subject->chain.start + (uint32_t)subject->chain.n - 1;
    uint32_t lowest = subject->chain.start + (uint32_t)subject->n_below - 1;
    struct shr_block_change change = {.height = tip};
    assert_fails(shr_state_apply(subject->state, &change, false, err), SHREWD_INVALID, "next one");
    change.height = tip + 2;
    assert_fails(shr_state_apply(subject->state, &change, false, err), SHREWD_INVALID, "next one");
    struct shr_block_change gap[2] = {{.height = tip + 1}, {.height = tip + 3}};
    assert_fails(shr_state_apply_many(subject->state, gap, 2, false, err), SHREWD_INVALID,
                 "next one");
    assert_fails(shr_state_rollback(subject->state, tip + 1, err), SHREWD_ABOVE_TIP, "roll back");
    assert_fails(shr_state_rollback(subject->state, lowest - 1, err), SHREWD_BELOW_START, "first");
}

static void hold_reader(struct subject *subject) {
    drop_held(subject);
    assert_ok(shr_reader_open(&subject->held, subject->state, err));
    chain_copy(&subject->held_chain, &subject->chain, subject->chain.n);
}

static void random_steps(struct subject *subject, int steps) {
    for (int step = 0; step < steps; step++) {
        uint32_t dice = rng_below(&subject->rng, 100);
        if (dice < 70 && subject->chain.n < CHAIN_MAX) {
            grow_some(subject, dice < 50 ? 1 : dice - 48);
        } else if (dice < 90) {
            roll_back_some(subject);
        } else if (dice < 94) {
            check_refusals(subject);
        } else if (dice < 97) {
            hold_reader(subject);
        } else if (subject->dir != NULL && !subject->stays_open) {
            drop_held(subject);
            shr_state_close(subject->state);
            open_subject(subject);
        }
        check_subject(subject);
        if (subject->held != NULL) {
            check_reader(subject->held, &subject->held_chain, &subject->rng);
        }
        if (step % 50 == 49) {
            check_like_fresh(subject);
        }
    }
}

static void test_random(bool rocks, uint64_t seed, int steps) {
    struct subject subject;
    start_subject(&subject, rocks, seed);
    check_subject(&subject);
    random_steps(&subject, steps);
    check_like_fresh(&subject);
    end_subject(&subject);
}

static void memory_equals_model(void **state) {
    test_random(false, 1, STEPS(3000));
    test_random(false, 2, STEPS(1000));
}

static void rocks_equals_model(void **state) {
    test_random(true, 3, STEPS(600));
}

static void fork_equals_model(bool rocks_base, bool rocks, uint64_t seed, int steps) {
    struct subject base, fork = {.rng = {seed}};
    start_subject(&base, rocks_base, seed + 100);
    while (base.chain.n < 12) {
        chain_grow(&base.chain, &base.rng);
        assert_ok(chain_apply_last(base.state, &base.chain, err));
    }
    assert_ok(shr_reader_open(&fork.base, base.state, err));
    base.stays_open = true;
    /* Below the base's tip, so that the base holds versions which the fork must not see. */
    fork.n_below = 8;
    chain_copy(&fork.chain, &base.chain, fork.n_below);
    fork.dir = rocks ? make_dir() : NULL;
    open_subject(&fork);
    check_subject(&fork);
    random_steps(&fork, steps / 2);
    random_steps(&base, 20); /* the base goes on, even rolls back: its reader stays */
    random_steps(&fork, steps / 2);
    check_like_fresh(&fork);
    end_subject(&fork);
    shr_reader_close(fork.base);
    end_subject(&base);
}

static void memory_fork_equals_model(void **state) {
    fork_equals_model(false, false, 11, STEPS(1500));
    fork_equals_model(true, false, 12, STEPS(400));
}

static void rocks_fork_equals_model(void **state) {
    fork_equals_model(true, true, 13, STEPS(300));
}

/* A preview on a fork: three states on top of each other. */
static void fork_of_fork_equals_model(void **state) {
    struct subject base, fork = {.rng = {31}}, top = {.rng = {32}};
    start_subject(&base, false, 30);
    while (base.chain.n < 9) {
        chain_grow(&base.chain, &base.rng);
        assert_ok(chain_apply_last(base.state, &base.chain, err));
    }
    assert_ok(shr_reader_open(&fork.base, base.state, err));
    fork.n_below = 6;
    chain_copy(&fork.chain, &base.chain, fork.n_below);
    open_subject(&fork);
    while (fork.chain.n < 12) {
        chain_grow(&fork.chain, &fork.rng);
        assert_ok(chain_apply_last(fork.state, &fork.chain, err));
    }
    for (top.n_below = 4; top.n_below <= 12; top.n_below += 2) {
        assert_ok(shr_reader_open(&top.base, fork.state, err));
        chain_copy(&top.chain, &fork.chain, top.n_below);
        open_subject(&top);
        random_steps(&top, 60);
        shr_reader_close(top.held);
        chain_free(&top.held_chain);
        top.held = NULL;
        shr_state_close(top.state);
        chain_free(&top.chain);
        shr_reader_close(top.base);
    }
    end_subject(&fork);
    shr_reader_close(fork.base);
    end_subject(&base);
}

/* A fork's walk reads its own keys a chunk at a time: enough keys for several. */
static void walk_of_a_large_fork(void **state) {
    struct subject base;
    start_subject(&base, false, 40);
    struct chain chain = {.start = identity.start_height};
    for (uint32_t b = 0; b < 2; b++) {
        struct model_block *block = chain_push(&chain, 1500);
        for (uint32_t i = 0; i < block->n; i++) {
            shr_buf_printf(&block->keys[i], "key-%05u", i * 2 * (b + 1) + b % 2);
            shr_buf_printf(&block->values[i], "%u of %u", i, b);
        }
    }
    struct shr_reader *below = NULL, *reader = NULL;
    struct shr_state *fork = NULL;
    chain.n = 1;
    assert_ok(chain_apply_last(base.state, &chain, err));
    assert_ok(shr_reader_open(&below, base.state, err));
    assert_ok(
        shr_state_open_fork(&fork, shr_store_new_memory(), below, UINT32_MAX, NULL, false, err));
    chain.n = 2;
    assert_ok(chain_apply_last(fork, &chain, err));
    assert_ok(shr_reader_open(&reader, fork, err));
    check_each(reader, &chain, 1, NO_BYTES, SIZE_MAX);
    check_each(reader, &chain, 1, TEXT("key-01"), SIZE_MAX);
    check_each(reader, &chain, 1, NO_BYTES, 700);
    check_each(reader, &chain, 0, NO_BYTES, SIZE_MAX);
    shr_reader_close(reader);
    shr_state_close(fork);
    shr_reader_close(below);
    chain_free(&chain);
    end_subject(&base);
}

/* --- Deep rollbacks, large blocks --- */

static void block_of_many_keys(struct shr_state *state, uint32_t height, uint32_t n,
                               uint32_t stride) {
    struct shr_pair *pairs = shr_alloc_array(n, sizeof *pairs);
    uint32_t(*keys)[2] = shr_alloc_array(n, sizeof *keys);
    for (uint32_t i = 0; i < n; i++) {
        keys[i][0] = i * stride;
        keys[i][1] = 7;
        pairs[i] = (struct shr_pair){shr_bytes(keys[i], sizeof keys[i]),
                                     shr_bytes(&height, sizeof height)};
    }
    struct shr_block_change change = {.height = height, .pairs = pairs, .n_pairs = n};
    assert_ok(shr_state_apply(state, &change, true, err));
    free(keys);
    free(pairs);
}

static void large_blocks_roll_back(void **state) {
    struct subject subject;
    start_subject(&subject, true, 50);
    struct shr_buf before = {0}, after = {0};
    block_of_many_keys(subject.state, 5, 3000, 1);
    block_of_many_keys(subject.state, 6, 2000, 2);
    dump(subject.state, &before);
    for (uint32_t height = 7; height < 30; height++) {
        block_of_many_keys(subject.state, height, 2500, height % 5);
    }
    struct shr_block_record tip;
    assert_ok(shr_state_rollback(subject.state, 6, err));
    assert_ok(shr_state_tip(subject.state, &tip, err));
    assert_int_equal(tip.height, 6);
    assert_int_equal(tip.total_keys, 3500);
    dump(subject.state, &after);
    assert_bytes(shr_buf_bytes(&after), shr_buf_bytes(&before));
    assert_ok(shr_state_rollback(subject.state, identity.start_height - 1, err));
    check_like_fresh(&subject);
    shr_buf_free(&after);
    shr_buf_free(&before);
    end_subject(&subject);
}

static void what_cannot_be_stored_is_refused(void **state) {
    struct subject subject;
    start_subject(&subject, false, 60);
    struct shr_buf large = {0};
    memset(shr_buf_grow(&large, SHR_KEY_MAX + 1), 'k', SHR_KEY_MAX + 1);
    struct shr_pair pair = {shr_buf_bytes(&large), TEXT("v")};
    struct shr_block_change change = {.height = 5, .pairs = &pair, .n_pairs = 1};
    assert_fails(shr_state_apply(subject.state, &change, false, err), SHREWD_LIMIT, "at most");
    check_subject(&subject);
    shr_buf_free(&large);
    end_subject(&subject);
}

/* A chain that starts at 0 has no height below it to roll back to. */
static void start_at_zero(void **state) {
    struct shr_identity zero = {.start_height = 0};
    struct shr_state *tested = NULL;
    struct shr_block_record record;
    assert_ok(shr_state_open(&tested, shr_store_new_memory(), &zero, false, err));
    block_of_many_keys(tested, 0, 10, 1);
    block_of_many_keys(tested, 1, 10, 1);
    assert_ok(shr_state_rollback(tested, 0, err));
    assert_ok(shr_state_tip(tested, &record, err));
    assert_int_equal(record.height, 0);
    assert_ok(shr_state_rollback_all(tested, err));
    assert_fails(shr_state_tip(tested, &record, err), SHREWD_NOT_FOUND, "no block");
    assert_fails(shr_state_rollback(tested, 0, err), SHREWD_ABOVE_TIP, "no block");
    block_of_many_keys(tested, 0, 3, 1);
    shr_state_close(tested);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_equals_model),
        cmocka_unit_test(rocks_equals_model),
        cmocka_unit_test(memory_fork_equals_model),
        cmocka_unit_test(rocks_fork_equals_model),
        cmocka_unit_test(fork_of_fork_equals_model),
        cmocka_unit_test(walk_of_a_large_fork),
        cmocka_unit_test(large_blocks_roll_back),
        cmocka_unit_test(what_cannot_be_stored_is_refused),
        cmocka_unit_test(start_at_zero),
    };
    return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}
