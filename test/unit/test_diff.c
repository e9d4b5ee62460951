/* Where two states part: height, keys and values, against what the naive model says. */
#include "state_model.h"

#include "diff/diff.h"
#include "state/state_impl.h"

struct pair {
    struct chain chains[2];
    struct shr_state *states[2];
    struct shr_diff_source sources[2];
    struct shr_diff_result result;
};

static struct shr_state *open_state(const struct chain *chain, enum shr_keep_root root) {
    struct shr_identity identity = {.start_height = chain->start, .keep_root = root};
    struct shr_state *state = NULL;
    assert_ok(shr_state_open(&state, shr_store_new_memory(), &identity, false, err));
    return state;
}

static void index_chain(struct pair *pair, int side, enum shr_keep_root root) {
    struct chain *chain = &pair->chains[side];
    pair->states[side] = open_state(chain, root);
    assert_ok(chain_apply_lasts(pair->states[side], chain, chain->n, err));
}

/* As the states are now; may be called again. */
static int run(struct pair *pair, const struct shr_diff_options *options,
               struct shrewd_error *error) {
    static const char *const names[] = {"left", "right"};
    for (int side = 0; side < 2; side++) {
        shr_diff_source_close(&pair->sources[side]);
        assert_ok(shr_diff_state(&pair->sources[side], pair->states[side], names[side], err));
    }
    shr_diff_result_free(&pair->result);
    return shr_diff_run(&pair->result, pair->sources, options, error);
}

static void pair_free(struct pair *pair) {
    shr_diff_result_free(&pair->result);
    for (int side = 0; side < 2; side++) {
        shr_diff_source_close(&pair->sources[side]);
        shr_state_close(pair->states[side]);
        chain_free(&pair->chains[side]);
    }
}

/* The key's value on each side after n blocks is not the same. */
static bool differs(const struct pair *pair, struct shr_bytes key, size_t n) {
    const struct shr_buf *a = chain_get(&pair->chains[0], key, n);
    const struct shr_buf *b = chain_get(&pair->chains[1], key, n);
    return a == NULL || b == NULL ? a != b : !shr_bytes_eq(shr_buf_bytes(a), shr_buf_bytes(b));
}

/* Every key of both chains, sorted, each maybe twice; caller frees. */
static struct shr_bytes *all_keys(const struct pair *pair, size_t *n) {
    size_t n_a, n_b;
    const struct chain *a = &pair->chains[0], *b = &pair->chains[1];
    struct shr_bytes *keys = chain_keys(a, 0, a->n, NO_BYTES, &n_a);
    struct shr_bytes *more = chain_keys(b, 0, b->n, NO_BYTES, &n_b);
    keys = shr_realloc_array(keys, n_a + n_b + 1, sizeof *keys);
    memcpy(keys + n_a, more, n_b * sizeof *keys);
    free(more);
    *n = n_a + n_b;
    qsort(keys, *n, sizeof *keys, bytes_order);
    return keys;
}

static void check_value(const struct shr_diff_value *got, const struct shr_buf *want) {
    assert_int_equal(got->there, want != NULL);
    assert_false(got->unlike_tree);
    if (want != NULL) {
        assert_true(got->known);
        assert_bytes(shr_buf_bytes(&got->value), shr_buf_bytes(want));
    }
}

/* The result has exactly the keys that differ after n blocks and start with the prefix. */
static void check_keys(const struct pair *pair, size_t n, struct shr_bytes prefix) {
    size_t n_keys, found = 0;
    struct shr_bytes *keys = all_keys(pair, &n_keys);
    for (size_t i = 0; i < n_keys; i++) {
        bool again = i > 0 && shr_bytes_eq(keys[i - 1], keys[i]);
        if (again || !differs(pair, keys[i], n) || !shr_bytes_starts(keys[i], prefix)) {
            continue;
        }
        assert_true(found < pair->result.n);
        const struct shr_diff_key *key = &pair->result.keys[found++];
        assert_true(key->named);
        assert_bytes(shr_buf_bytes(&key->key), keys[i]);
        for (int side = 0; side < 2; side++) {
            check_value(&key->side[side], chain_get(&pair->chains[side], keys[i], n));
        }
    }
    assert_int_equal(pair->result.n, found);
    free(keys);
}

static bool any_differs(const struct pair *pair, size_t n) {
    size_t n_keys;
    bool any = false;
    struct shr_bytes *keys = all_keys(pair, &n_keys);
    for (size_t i = 0; i < n_keys; i++) {
        any = any || differs(pair, keys[i], n);
    }
    free(keys);
    return any;
}

/* Another value for one write of a block, or one more write: the same chain, indexed otherwise. */
static void spoil(struct chain *chain, size_t b, struct rng *rng) {
    struct model_block *block = &chain->blocks[b];
    size_t at = block->n;
    if (block->n > 0 && rng_below(rng, 2) == 0) {
        at = rng_below(rng, (uint32_t)block->n);
    } else {
        block->keys = shr_realloc_array(block->keys, block->n + 1, sizeof *block->keys);
        block->values = shr_realloc_array(block->values, block->n + 1, sizeof *block->values);
        block->keys[at] = block->values[at] = (struct shr_buf){0};
        block->n++;
        rng_key(rng, &block->keys[at]);
    }
    rng_value(rng, &block->values[at]);
}

static void make(struct pair *pair, struct rng *rng, size_t blocks, unsigned spoilt,
                 enum shr_keep_root root) {
    *pair = (struct pair){0};
    pair->chains[0].start = rng_below(rng, 3) * 7;
    while (pair->chains[0].n < blocks) {
        chain_grow(&pair->chains[0], rng);
    }
    chain_copy(&pair->chains[1], &pair->chains[0], blocks);
    while (spoilt-- > 0) {
        spoil(&pair->chains[1], rng_below(rng, (uint32_t)blocks), rng);
    }
    index_chain(pair, 0, root);
    index_chain(pair, 1, root);
}

static const struct shr_diff_options all = {.height = UINT32_MAX, .keys_max = 1000};
static const struct shr_diff_options deep = {.height = UINT32_MAX, .keys_max = 1000, .deep = true};

static void as_the_model_says(void **unused) {
    unsigned n_differ = 0;
    for (uint64_t seed = 1; seed <= 150; seed++) {
        struct rng rng = {seed};
        struct pair pair;
        make(&pair, &rng, 1 + rng_below(&rng, 24), rng_below(&rng, 5), SHR_KEEP_ROOT_YES);
        size_t n = pair.chains[0].n;
        uint32_t start = pair.chains[0].start;
        const struct shr_diff_result *result = &pair.result;
        assert_ok(run(&pair, &all, err));
        assert_false(result->chains_part);
        assert_int_equal(result->compared, start + n - 1);
        assert_int_equal(result->differ, any_differs(&pair, n));
        n_differ += result->differ;
        if (result->differ) { /* here, and not at the height before */
            size_t after = result->height - start + 1;
            assert_true(any_differs(&pair, after));
            assert_false(after > 1 && any_differs(&pair, after - 1));
            assert_true(shr_hash_eq(&result->hash, &pair.chains[0].blocks[after - 1].hash));
            check_keys(&pair, after, NO_BYTES);
        }
        assert_ok(run(&pair, &deep, err));
        assert_int_equal(result->differ, any_differs(&pair, n));
        check_keys(&pair, n, NO_BYTES);
        for (size_t i = 0; i < result->n; i++) {
            struct shr_bytes key = shr_buf_bytes(&result->keys[i].key);
            size_t after = result->keys[i].height - start + 1;
            assert_true(differs(&pair, key, after));
            assert_false(after > 1 && differs(&pair, key, after - 1));
        }
        pair_free(&pair);
    }
    assert_in_range(n_differ, 50, 140);
}

/* A pair of 20 blocks that differ in one key, at block 12 of the chain alone. */
static void make_one(struct pair *pair, uint64_t seed, enum shr_keep_root root) {
    struct rng rng = {seed};
    make(pair, &rng, 20, 0, root);
    struct chain *chain = &pair->chains[1];
    struct model_block *block = &chain->blocks[12];
    block->keys = shr_realloc_array(block->keys, block->n + 1, sizeof *block->keys);
    block->values = shr_realloc_array(block->values, block->n + 1, sizeof *block->values);
    block->keys[block->n] = block->values[block->n] = (struct shr_buf){0};
    shr_buf_add_str(&block->keys[block->n], "only here");
    shr_buf_add_str(&block->values[block->n++], "value");
    shr_state_close(pair->states[1]);
    index_chain(pair, 1, root);
}

/* With a height, what comes later is not looked at. */
static void up_to_a_height(void **unused) {
    struct pair pair;
    make_one(&pair, 5, SHR_KEEP_ROOT_YES);
    uint32_t where = pair.chains[0].start + 12;
    struct shr_diff_options options = {.height = where - 1};
    assert_ok(run(&pair, &options, err));
    assert_false(pair.result.differ);
    assert_int_equal(pair.result.compared, where - 1);
    options.height = where;
    assert_ok(run(&pair, &options, err));
    assert_int_equal(pair.result.height, where);
    check_keys(&pair, 13, NO_BYTES);
    assert_int_equal(pair.result.n, 1);
    options.height = where + 8;
    assert_fails(run(&pair, &options, err), SHREWD_ABOVE_TIP, "left: height");
    pair_free(&pair);
}

static void prefixes_and_bounds(void **unused) {
    struct rng rng = {11};
    struct pair pair;
    make(&pair, &rng, 20, 0, SHR_KEEP_ROOT_YES);
    uint32_t start = pair.chains[0].start;
    for (int i = 0; i < 60; i++) {
        spoil(&pair.chains[1], i < 40 ? 18 : 19, &rng);
    }
    shr_state_close(pair.states[1]);
    index_chain(&pair, 1, SHR_KEEP_ROOT_YES);
    assert_ok(run(&pair, &deep, err));
    size_t n = pair.result.n;
    assert_true(n > 4);
    struct shr_diff_options options = deep;
    options.prefix = TEXT("a");
    assert_ok(run(&pair, &options, err));
    check_keys(&pair, 20, TEXT("a"));
    assert_in_range(pair.result.n, 1, n - 1);
    options = deep;
    options.keys_max = 3;
    assert_ok(run(&pair, &options, err));
    assert_int_equal(pair.result.n, 3);
    assert_true(pair.result.cut);
    assert_ok(run(&pair, &all, err));
    n = pair.result.n;
    assert_true(n > 1);
    assert_int_equal(pair.result.outside, 0);
    options = all;
    options.prefix = TEXT("a");
    assert_ok(run(&pair, &options, err));
    check_keys(&pair, pair.result.height - start + 1, TEXT("a"));
    assert_int_equal(pair.result.n + pair.result.outside, n);
    assert_false(pair.result.cut);
    options = all;
    options.keys_max = 1;
    assert_ok(run(&pair, &options, err));
    assert_int_equal(pair.result.n, 1);
    assert_true(pair.result.cut);
    pair_free(&pair);
}

/* The states are compared where the chains are one. */
static void chains_that_part(void **unused) {
    for (size_t at = 0; at < 20; at += at == 0 ? 10 : 9) {
        struct pair pair;
        make_one(&pair, 6, SHR_KEEP_ROOT_YES);
        struct chain *chain = &pair.chains[1];
        for (size_t b = at; b < chain->n; b++) {
            chain->blocks[b].hash.b[7] ^= 1;
        }
        shr_state_close(pair.states[1]);
        index_chain(&pair, 1, SHR_KEEP_ROOT_YES);
        assert_ok(run(&pair, &all, err));
        const struct shr_diff_result *result = &pair.result;
        assert_true(result->chains_part);
        assert_int_equal(result->part_height, chain->start + at);
        for (int side = 0; side < 2; side++) {
            assert_true(shr_hash_eq(&result->part_hash[side], &pair.chains[side].blocks[at].hash));
        }
        assert_int_equal(result->shares_any, at > 0);
        assert_int_equal(result->differ, at > 12);
        if (at > 12) {
            assert_int_equal(result->height, chain->start + 12);
            assert_int_equal(result->n, 1);
        }
        pair_free(&pair);
    }
}

static void without_roots(void **unused) {
    struct pair pair;
    make_one(&pair, 7, SHR_KEEP_ROOT_NO);
    assert_fails(run(&pair, &all, err), SHREWD_NO_ROOT, "--deep");
    assert_ok(run(&pair, &deep, err));
    assert_int_equal(pair.result.n, 1);
    assert_int_equal(pair.result.height, pair.chains[0].start + 12);
    check_keys(&pair, 20, NO_BYTES);
    pair_free(&pair);
}

/* A row of LATEST changed behind the state's back: only its values tell. */
static void a_value_altered_on_disk(void **unused) {
    struct pair pair;
    struct rng rng = {8};
    make(&pair, &rng, 20, 0, SHR_KEEP_ROOT_YES);
    struct shr_bytes key = NO_BYTES;
    size_t b = 20;
    while (key.data == NULL) { /* the newest write of all, so that nothing replaced it */
        b--;
        key = pair.chains[1].blocks[b].n > 0
                  ? shr_buf_bytes(&pair.chains[1].blocks[b].keys[pair.chains[1].blocks[b].n - 1])
                  : NO_BYTES;
    }
    struct shr_store *store = pair.states[1]->store;
    struct shr_batch batch = {0};
    struct shr_buf row = {0};
    shr_version_encode(&row, TEXT("altered"), pair.chains[1].start + (uint32_t)b);
    shr_batch_put(&batch, SHR_TABLE_LATEST, key, shr_buf_bytes(&row));
    assert_ok(shr_store_write(store, &batch, true, err));
    shr_state_set_cache(pair.states[1], 0);
    assert_ok(shr_state_publish(pair.states[1], err));
    assert_ok(run(&pair, &all, err));
    assert_false(pair.result.differ);
    assert_ok(run(&pair, &deep, err));
    assert_int_equal(pair.result.n, 1);
    assert_int_equal(pair.result.keys[0].height, pair.chains[1].start + b);
    assert_bytes(shr_buf_bytes(&pair.result.keys[0].key), key);
    assert_bytes(shr_buf_bytes(&pair.result.keys[0].side[1].value), TEXT("altered"));
    shr_buf_free(&row);
    shr_batch_free(&batch);
    pair_free(&pair);
}

/* The first height that differs is no longer held: its number is known from the records, and the
 * keys are read at the oldest height that is. */
static void pruned_states(void **unused) {
    struct pair pair;
    make_one(&pair, 9, SHR_KEEP_ROOT_YES);
    uint32_t start = pair.chains[0].start;
    struct shr_prune_step step = {.more = true};
    while (step.more) {
        assert_ok(shr_state_prune(pair.states[0], start + 15, 1000, &step, err));
    }
    assert_ok(run(&pair, &all, err));
    assert_int_equal(pair.result.height, start + 12);
    assert_int_equal(pair.result.read_at, start + 15);
    assert_int_equal(pair.result.n, 1);
    check_keys(&pair, 16, NO_BYTES);
    assert_ok(run(&pair, &deep, err));
    assert_int_equal(pair.result.keys[0].height, start + 15); /* as far back as can be seen */
    pair_free(&pair);
}

/* A record that claims another root than the tree has. */
static void a_root_altered_on_disk(void **unused) {
    struct pair pair;
    struct rng rng = {10};
    make(&pair, &rng, 20, 0, SHR_KEEP_ROOT_YES);
    struct shr_block_record record;
    struct shr_reader *reader = NULL;
    uint32_t height = pair.chains[1].start + 19;
    assert_ok(shr_reader_open(&reader, pair.states[1], err));
    assert_ok(shr_reader_block(reader, &record, height, err));
    shr_reader_close(reader);
    record.root.b[3] ^= 1;
    pair.states[1]->now.tip = record;
    assert_ok(shr_state_publish(pair.states[1], err));
    assert_ok(run(&pair, &all, err));
    assert_true(pair.result.differ);
    assert_int_equal(pair.result.height, height);
    assert_int_equal(pair.result.n, 0);
    pair_free(&pair);
}

/* Keys with the same first bits of SHA-256, and one deep down among very many: few requests. */
static void few_requests(void **unused) {
    enum { N = 200000 };
    struct pair pair = {0};
    char(*texts)[16] = shr_alloc_array(N, sizeof *texts);
    struct shr_pair *pairs = shr_alloc_array(N, sizeof *pairs);
    for (int i = 0; i < N; i++) {
        int len = snprintf(texts[i], sizeof texts[i], "key-%d", i);
        pairs[i].key = pairs[i].value = shr_bytes(texts[i], (size_t)len);
    }
    for (int side = 0; side < 2; side++) {
        pair.states[side] = open_state(&pair.chains[0], SHR_KEEP_ROOT_YES);
        struct shr_block_change change = {.height = 0, .pairs = pairs, .n_pairs = N};
        assert_ok(shr_state_apply(pair.states[side], &change, false, err));
        struct shr_pair two[] = {{TEXT("key-8337"), TEXT("new")}, {TEXT("x"), TEXT("y")}};
        for (uint32_t height = 1; height < 1000; height++) {
            two[1].value = shr_bytes(texts[height], 6);
            change = (struct shr_block_change){.height = height, .hash.b = {(uint8_t)height}};
            change.pairs = side == 1 && height == 777 ? two : two + 1;
            change.n_pairs = side == 1 && height == 777 ? 2 : 1;
            assert_ok(shr_state_apply(pair.states[side], &change, false, err));
        }
    }
    assert_ok(run(&pair, &all, err));
    assert_int_equal(pair.result.height, 777);
    assert_int_equal(pair.result.n, 1);
    assert_bytes(shr_buf_bytes(&pair.result.keys[0].key), TEXT("key-8337"));
    assert_bytes(shr_buf_bytes(&pair.result.keys[0].side[0].value), TEXT("key-8337"));
    assert_bytes(shr_buf_bytes(&pair.result.keys[0].side[1].value), TEXT("new"));
    for (int side = 0; side < 2; side++) { /* 10 for the height, 5 pages, and some */
        assert_in_range(pair.sources[side].requests, 10, 30);
    }
    free(pairs);
    free(texts);
    pair_free(&pair);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_the_model_says),   cmocka_unit_test(up_to_a_height),
        cmocka_unit_test(prefixes_and_bounds), cmocka_unit_test(chains_that_part),
        cmocka_unit_test(without_roots),       cmocka_unit_test(a_value_altered_on_disk),
        cmocka_unit_test(pruned_states),       cmocka_unit_test(a_root_altered_on_disk),
        cmocka_unit_test(few_requests),
    };
    return cmocka_run_group_tests_name("diff", tests, NULL, NULL);
}
