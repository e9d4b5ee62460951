/* Pruning: what is held stays as it was, what is not is refused, and the rest of the state goes on.
 */
#include "state_model.h"

#include "state/check.h"
#include "state/state_impl.h"

static void never(void *ctx, const struct shr_check_finding *finding) {
    fail_msg("%s: expected %s; found %s", shr_check_table(finding->table), finding->expected,
             finding->found);
}

static struct shr_check_summary assert_sound(struct shr_store *store) {
    struct shr_check_options options = {.findings_max = 1, .found = never};
    struct shr_check_summary summary;
    assert_ok(shr_check(store, &options, &summary, err));
    return summary;
}

static struct shr_state *open_chain(struct shr_store *store, const struct chain *chain) {
    struct shr_identity identity = {.start_height = chain->start};
    struct shr_state *state = NULL;
    assert_ok(shr_state_open(&state, store, &identity, false, err));
    return state;
}

static void grow(struct shr_state *state, struct chain *chain, struct rng *rng, size_t n) {
    while (n-- > 0) {
        chain_grow(chain, rng);
        assert_ok(chain_apply_last(state, chain, err));
    }
}

static void prune_to(struct shr_state *state, uint32_t oldest, uint64_t rows_max) {
    struct shr_prune_step step = {.more = true};
    uint32_t before = shr_state_oldest(state);
    while (step.more) {
        assert_ok(shr_state_prune(state, oldest, rows_max, &step, err));
        assert_true(step.oldest > before || !step.more);
        before = step.oldest;
    }
    assert_int_equal(shr_state_oldest(state), oldest);
}

/* Every height from `oldest` up against the chain; all below refused. */
static void check_held(struct shr_reader *reader, const struct chain *chain, uint32_t oldest,
                       struct rng *rng) {
    struct shr_block_record record;
    struct shr_buf value = {0}, key = {0};
    char named[32];
    snprintf(named, sizeof named, "held is %u", oldest);
    assert_int_equal(shr_reader_oldest(reader), oldest);
    for (size_t b = 0; b < chain->n; b++) {
        uint32_t height = chain->start + (uint32_t)b;
        assert_ok(shr_reader_block(reader, &record, height, err));
        assert_record(&record, chain, b);
        if (height >= oldest) {
            assert_ok(shr_reader_held(reader, &record, height, err));
            check_each(reader, chain, b, NO_BYTES, SIZE_MAX);
            for (int i = 0; i < 8; i++) {
                rng_key(rng, &key);
                check_get(reader, chain, b, shr_buf_bytes(&key));
            }
            continue;
        }
        struct shr_read read = {.key = TEXT("a"), .value = &value};
        struct each_check none = {.chain = chain};
        assert_fails(shr_reader_held(reader, &record, height, err), SHREWD_PRUNED, named);
        assert_fails(shr_reader_get(reader, &value, TEXT("a"), height, err), SHREWD_PRUNED, named);
        assert_fails(shr_reader_get_many(reader, &read, 1, height, err), SHREWD_PRUNED, named);
        assert_fails(shr_reader_each(reader, NO_BYTES, height, each_compare, &none, err),
                     SHREWD_PRUNED, named);
    }
    shr_buf_free(&key);
    shr_buf_free(&value);
}

static void check_state(struct shr_state *state, const struct chain *chain, uint32_t oldest,
                        struct rng *rng) {
    struct shr_reader *reader = NULL;
    assert_ok(shr_reader_open(&reader, state, err));
    check_held(reader, chain, oldest, rng);
    shr_reader_close(reader);
}

/* Heights read before pruning are in the read cache then: they must be refused all the same. */
static void held_heights_answer_and_others_do_not(void **unused) {
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct rng rng = {seed};
        struct chain chain = {.start = 1 + (uint32_t)seed};
        struct shr_store *store = shr_store_new_memory();
        struct shr_state *state = open_chain(store, &chain);
        grow(state, &chain, &rng, 20);
        check_state(state, &chain, chain.start, &rng);
        uint32_t oldest = chain.start;
        while (chain.n < CHAIN_MAX - 4) {
            oldest += 1 + rng_below(&rng, 4);
            prune_to(state, oldest, 1 + rng_below(&rng, 40));
            check_state(state, &chain, oldest, &rng);
            struct shr_check_summary summary = assert_sound(store);
            assert_int_equal(summary.first_height, oldest);
            grow(state, &chain, &rng, 3 + rng_below(&rng, 2));
        }
        check_state(state, &chain, oldest, &rng);
        prune_to(state, chain.start + (uint32_t)chain.n - 1, UINT64_MAX); /* the tip alone */
        check_state(state, &chain, chain.start + (uint32_t)chain.n - 1, &rng);
        grow(state, &chain, &rng, 2);
        check_state(state, &chain, chain.start + (uint32_t)chain.n - 3, &rng);
        assert_sound(store);
        shr_state_close(state);
        chain_free(&chain);
    }
}

static void a_reader_keeps_what_it_had(void **unused) {
    struct rng rng = {7};
    struct chain chain = {.start = 1};
    struct shr_state *state = open_chain(shr_store_new_memory(), &chain);
    struct shr_reader *before = NULL, *between = NULL;
    grow(state, &chain, &rng, 15);
    assert_ok(shr_reader_open(&before, state, err));
    prune_to(state, 5, UINT64_MAX);
    assert_ok(shr_reader_open(&between, state, err));
    prune_to(state, 12, 1);
    check_held(before, &chain, 1, &rng);
    check_held(between, &chain, 5, &rng);
    check_state(state, &chain, 12, &rng);
    assert_int_equal(shr_reader_generation(before), shr_reader_generation(between));
    shr_reader_close(between);
    shr_reader_close(before);
    shr_state_close(state);
    chain_free(&chain);
}

static void rolling_back_stops_at_the_oldest(void **unused) {
    struct rng rng = {3};
    struct chain chain = {.start = 1};
    struct shr_store *store = shr_store_new_memory();
    struct shr_state *state = open_chain(store, &chain);
    grow(state, &chain, &rng, 20);
    prune_to(state, 12, UINT64_MAX);
    assert_fails(shr_state_rollback(state, 11, err), SHREWD_PRUNED, "roll back to is 12");
    assert_fails(shr_state_rollback(state, 0, err), SHREWD_PRUNED, "nothing was changed");
    assert_fails(shr_state_rollback_all(state, err), SHREWD_PRUNED, "roll back to is 12");
    check_state(state, &chain, 12, &rng);
    assert_ok(shr_state_rollback(state, 12, err));
    while (chain.n > 12) {
        chain_pop(&chain);
    }
    check_state(state, &chain, 12, &rng);
    assert_sound(store);
    grow(state, &chain, &rng, 6);
    check_state(state, &chain, 12, &rng);
    assert_sound(store);
    shr_state_close(state);
    chain_free(&chain);
}

/* Once pruned, a database is opened with any wish or none, and goes on. */
static void it_is_remembered(void **unused) {
    struct rng rng = {5};
    struct chain chain = {.start = 1};
    char *dir = make_dir();
    struct shr_store *store = NULL;
    struct shr_rocks_options options = {.create = true};
    assert_ok(shr_store_open_rocks(&store, dir, &options, err));
    struct shr_state *state = open_chain(store, &chain);
    grow(state, &chain, &rng, 20);
    prune_to(state, 9, 5);
    shr_state_close(state);
    assert_ok(shr_store_open_rocks(&store, dir, &options, err));
    state = open_chain(store, &chain);
    check_state(state, &chain, 9, &rng);
    prune_to(state, 9, 5); /* nothing to do */
    prune_to(state, 14, 5);
    check_state(state, &chain, 14, &rng);
    assert_sound(store);
    shr_state_close(state);
    remove_dir(dir);
    chain_free(&chain);
}

static void what_cannot_be_pruned(void **unused) {
    struct rng rng = {11};
    struct chain chain = {.start = 1};
    struct shr_prune_step step;
    struct shr_state *fork = NULL, *state = open_chain(shr_store_new_memory(), &chain);
    struct shr_reader *base = NULL;
    assert_fails(shr_state_prune(state, 3, 1, &step, err), SHREWD_ABOVE_TIP, "block 3");
    grow(state, &chain, &rng, 10);
    assert_fails(shr_state_prune(state, 11, 1, &step, err), SHREWD_ABOVE_TIP, "block 11");
    prune_to(state, 10, UINT64_MAX);
    assert_ok(shr_state_prune(state, 2, 1, &step, err)); /* less than what is done */
    assert_int_equal(step.oldest, 10);
    assert_ok(shr_reader_open(&base, state, err));
    assert_ok(shr_state_open_fork(&fork, shr_store_new_memory(), base, 10, NULL, false, err));
    assert_fails(shr_state_prune(fork, 10, 1, &step, err), SHREWD_UNSUPPORTED, "fork");
    assert_int_equal(step.rows, 0);
    shr_state_close(fork);
    shr_reader_close(base);
    shr_state_close(state);
    chain_free(&chain);
}

static void forks_and_their_pruned_base(void **unused) {
    struct rng rng = {13};
    struct chain chain = {.start = 1}, above;
    struct shr_state *state = open_chain(shr_store_new_memory(), &chain), *fork = NULL;
    struct shr_store *made = shr_store_new_memory();
    struct shr_reader *base = NULL, *reader = NULL;
    grow(state, &chain, &rng, 12);
    assert_ok(shr_reader_open(&base, state, err));
    assert_ok(
        shr_state_open_fork(&fork, shr_store_new_overlay(made, NULL), base, 6, NULL, false, err));
    prune_to(state, 4, UINT64_MAX);
    shr_state_close(fork);
    shr_reader_close(base);
    assert_ok(shr_reader_open(&base, state, err));
    assert_fails(shr_state_open_fork(&fork, shr_store_new_memory(), base, 3, NULL, false, err),
                 SHREWD_PRUNED, "held is 4");
    /* One above the oldest height reads below itself as far as that. */
    assert_ok(shr_state_open_fork(&fork, made, base, 6, NULL, false, err));
    chain_copy(&above, &chain, 6);
    grow(fork, &above, &rng, 5);
    assert_ok(shr_reader_open(&reader, fork, err));
    check_held(reader, &above, 4, &rng);
    shr_reader_close(reader);
    shr_state_close(fork);
    shr_reader_close(base);
    chain_free(&above);
    shr_state_close(state);
    chain_free(&chain);
}

/* Opened anew, a fork whose base has pruned its block is refused. */
static void a_fork_that_was_left_behind(void **unused) {
    struct rng rng = {17};
    struct chain chain = {.start = 1};
    char *dir = make_dir();
    struct shr_rocks_options options = {.create = true};
    struct shr_state *state = open_chain(shr_store_new_memory(), &chain), *fork = NULL;
    struct shr_store *store = NULL;
    struct shr_reader *base = NULL;
    grow(state, &chain, &rng, 12);
    assert_ok(shr_reader_open(&base, state, err));
    assert_ok(shr_store_open_rocks(&store, dir, &options, err));
    assert_ok(shr_state_open_fork(&fork, store, base, 6, NULL, false, err));
    shr_state_close(fork);
    shr_reader_close(base);
    prune_to(state, 7, UINT64_MAX);
    assert_ok(shr_reader_open(&base, state, err));
    assert_ok(shr_store_open_rocks(&store, dir, &options, err));
    assert_fails(shr_state_open_fork(&fork, store, base, UINT32_MAX, NULL, false, err),
                 SHREWD_MISMATCH, "has pruned: the oldest height it holds is 7");
    shr_reader_close(base);
    shr_state_close(state);
    remove_dir(dir);
    chain_free(&chain);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(held_heights_answer_and_others_do_not),
        cmocka_unit_test(a_reader_keeps_what_it_had),
        cmocka_unit_test(rolling_back_stops_at_the_oldest),
        cmocka_unit_test(it_is_remembered),
        cmocka_unit_test(what_cannot_be_pruned),
        cmocka_unit_test(forks_and_their_pruned_base),
        cmocka_unit_test(a_fork_that_was_left_behind),
    };
    return cmocka_run_group_tests_name("prune", tests, NULL, NULL);
}
