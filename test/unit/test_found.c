/* A state that begins with what it holds after one block: the tree is the one that blocks would
 * have given, it goes on as any other, and what is not whole is refused. */
#include "state_help.h"

#include "base/file.h"
#include "state/check.h"
#include "state/found.h"
#include "state/leaf_sort.h"

#define AT 9u

static const struct shr_identity identity = {
    .genesis = {{1}}, .start_height = 5, .module_hash = {{2}}};

static struct shr_state *open_on(struct shr_store *store) {
    struct shr_state *state = NULL;
    assert_ok(shr_state_open(&state, store, &identity, false, err));
    return state;
}

/* --- Sorting --- */

/* Little memory makes many runs. */
static void leaves_come_in_order(void **unused) {
    char *dir = make_dir();
    for (size_t n = 0; n < 9000; n = n * 3 + 1) {
        struct rng rng = {n};
        struct shr_leaf_sort *sort = shr_leaf_sort_new(dir, 1);
        struct shr_root_leaf leaf = {{{0}}, {{0}}}, before = {{{0}}, {{0}}};
        uint64_t sum = 0, sum_taken = 0;
        size_t taken = 0, got = 1;
        for (size_t i = 0; i < n; i++) {
            for (size_t at = 0; at < 32; at++) {
                leaf.key.b[at] = (uint8_t)rng_next(&rng);
            }
            leaf.value = leaf.key;
            sum += leaf.key.b[31];
            assert_ok(shr_leaf_sort_add(sort, &leaf, err));
        }
        assert_ok(shr_leaf_sort_end(sort, err));
        for (; got > 0; taken += got) {
            assert_ok(shr_leaf_sort_take(sort, &leaf, 1, &got, err));
            assert_true(got == 0 || shr_root_leaf_order(&before, &leaf) < 0);
            assert_true(shr_hash_eq(&leaf.key, &leaf.value));
            sum_taken += got * leaf.key.b[31];
            before = leaf;
        }
        assert_int_equal(taken, n);
        assert_int_equal(sum_taken, sum);
        shr_leaf_sort_free(sort);
    }
    assert_int_equal(rmdir(dir), 0); /* nothing is left there */
    free(dir);
}

/* --- States --- */

static struct shr_buf key_of(uint32_t i) {
    struct shr_buf key = {0};
    shr_buf_add_be32(&key, i * 3);
    return key;
}

/* n keys, in the blocks from 5 on up to AT, each of which writes all that the last one holds. */
static void apply(struct shr_state *state, uint32_t n, uint32_t height, uint8_t value) {
    struct shr_pair *pairs = shr_alloc_array(n + 1, sizeof *pairs);
    struct shr_buf *keys = shr_alloc_array(n + 1, sizeof *keys);
    for (uint32_t i = 0; i < n; i++) {
        keys[i] = key_of(i);
        pairs[i] = (struct shr_pair){shr_buf_bytes(&keys[i]), shr_bytes(&value, 1)};
    }
    struct shr_block_change change = {
        .height = height, .hash = {{(uint8_t)height}}, .pairs = pairs, .n_pairs = n};
    assert_ok(shr_state_apply(state, &change, false, err));
    for (uint32_t i = 0; i < n; i++) {
        shr_buf_free(&keys[i]);
    }
    free(keys);
    free(pairs);
}

static struct shr_state *grown(uint32_t n) {
    struct shr_state *state = open_on(shr_store_new_memory());
    for (uint32_t height = 5; height <= AT; height++) {
        apply(state, height == AT ? n : n / 2, height, (uint8_t)height);
    }
    return state;
}

struct copying {
    struct shr_found *found;
    uint64_t left_out; /* the pair of this number; 0: none */
    uint64_t n;
};

static enum shr_scan_step copy_pair(void *ctx, struct shr_bytes key, struct shr_bytes value) {
    struct copying *copying = ctx;
    if (++copying->n != copying->left_out) {
        assert_ok(shr_found_put(copying->found, key, value, err));
    }
    return SHR_SCAN_MORE;
}

/* What `from` holds after AT. */
static void copy(struct copying *copying, struct shr_state *to, struct shr_state *from,
                 const char *dir, size_t memory) {
    struct shr_reader *reader = NULL;
    struct shr_block_record record;
    assert_ok(shr_found_begin(&copying->found, to, AT, dir, memory, err));
    assert_ok(shr_reader_open(&reader, from, err));
    for (uint32_t height = 5; height <= AT; height++) {
        assert_ok(shr_reader_block(reader, &record, height, err));
        assert_ok(shr_found_block(copying->found, &record, err));
    }
    assert_ok(shr_reader_each(reader, NO_BYTES, AT, copy_pair, copying, err));
    shr_reader_close(reader);
}

static void found_one(void *ctx, const struct shr_check_finding *finding) {
    fail_msg("%s: expected %s, found %s", shr_check_table(finding->table), finding->expected,
             finding->found);
}

static void assert_sound(struct shr_store *store, uint32_t oldest, uint32_t tip) {
    struct shr_check_options options = {.findings_max = 1, .found = found_one};
    struct shr_check_summary summary;
    assert_ok(shr_check(store, &options, &summary, err));
    assert_int_equal(summary.first_height, oldest);
    assert_int_equal(summary.tip_height, tip);
}

static void assert_same_block(struct shr_state *a, struct shr_state *b, uint32_t height) {
    struct shr_block_record ours, theirs;
    assert_ok(shr_state_block(a, &ours, height, err));
    assert_ok(shr_state_block(b, &theirs, height, err));
    assert_true(shr_hash_eq(&ours.root, &theirs.root) && shr_hash_eq(&ours.hash, &theirs.hash));
    assert_true(ours.has_root && theirs.has_root);
    assert_int_equal(ours.n_keys, theirs.n_keys);
    assert_int_equal(ours.key_bytes, theirs.key_bytes);
    assert_int_equal(ours.value_bytes, theirs.value_bytes);
    assert_int_equal(ours.total_keys, theirs.total_keys);
}

/* The roots are those of blocks, whatever the size, memory and store; so it is after more blocks,
 * prunes and rollbacks, and opened anew. */
static void begins_as_blocks_would_have_left_it(void **unused) {
    static const uint32_t sizes[] = {0, 1, 2, 31, 32, 33, 500, 20000};
    static const size_t memories[] = {1, (size_t)1 << 20, SHR_FOUND_MEMORY};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char *dir = make_dir(), *db = shr_asprintf("%s/db", dir);
        struct shr_rocks_options options = {.create = true, .cache_bytes = 1 << 20};
        struct shr_store *store = NULL;
        if (i % 2 == 0) {
            store = shr_store_new_memory();
        } else {
            assert_ok(shr_store_open_rocks(&store, db, &options, err));
        }
        struct shr_state *from = grown(sizes[i]), *to = open_on(store);
        struct shr_block_record made;
        struct copying copying = {0};
        size_t memory = sizes[i] > 5000 ? memories[1] : memories[i % 3];
        copy(&copying, to, from, dir, memory);
        assert_ok(shr_found_end(copying.found, &made, err));
        shr_found_free(copying.found);
        assert_int_equal(made.height, AT);
        assert_sound(store, AT, AT);
        for (uint32_t height = 5; height <= AT; height++) {
            assert_same_block(from, to, height);
        }
        assert_fails(shr_state_rollback(to, AT - 1, err), SHREWD_PRUNED, "9");
        assert_fails(shr_state_rollback_all(to, err), SHREWD_PRUNED, "9");
        if (i % 2 == 1) {
            shr_state_close(to);
            assert_ok(shr_store_open_rocks(&store, db, &options, err));
            to = open_on(store);
        }
        for (uint32_t height = AT + 1; height <= AT + 4; height++) {
            apply(from, sizes[i] / 2 + height, height, (uint8_t)height);
            apply(to, sizes[i] / 2 + height, height, (uint8_t)height);
            assert_same_block(from, to, height);
        }
        assert_ok(shr_state_rollback(from, AT, err));
        assert_ok(shr_state_rollback(to, AT, err));
        assert_sound(store, AT, AT);
        apply(from, sizes[i] + 7, AT + 1, 77);
        apply(to, sizes[i] + 7, AT + 1, 77);
        assert_same_block(from, to, AT + 1);
        struct shr_prune_step step;
        assert_ok(shr_state_prune(to, AT + 1, 1, &step, err));
        assert_sound(store, AT + 1, AT + 1);
        shr_state_close(to);
        shr_state_close(from);
        assert_ok(shr_dir_remove(dir, err));
        free(db);
        free(dir);
    }
}

/* From a state's first block on: nothing below, as with a dump that was loaded. */
static void begins_at_the_first_block(void **unused) {
    char *dir = make_dir();
    struct shr_store *store = shr_store_new_memory();
    struct shr_state *state = open_on(store);
    struct shr_found *found = NULL;
    struct shr_block_record record = {.height = 5, .total_keys = 1, .n_keys = 1}, made;
    assert_ok(shr_found_begin(&found, state, 5, dir, 1, err));
    assert_ok(shr_found_put(found, TEXT("key"), TEXT("value"), err));
    assert_ok(shr_found_block(found, &record, err));
    assert_ok(shr_found_end(found, &made, err));
    shr_found_free(found);
    assert_sound(store, 5, 5);
    assert_fails(shr_state_rollback(state, 4, err), SHREWD_PRUNED, "5");
    assert_fails(shr_state_rollback_all(state, err), SHREWD_PRUNED, "5");
    apply(state, 3, 6, 1);
    assert_ok(shr_state_rollback(state, 5, err));
    assert_sound(store, 5, 5);
    apply(state, 3, 6, 2);
    struct shr_prune_step step;
    assert_ok(shr_state_prune(state, 6, 1000, &step, err));
    assert_sound(store, 6, 6);
    assert_fails(shr_found_begin(&found, state, 7, dir, 1, err), SHREWD_INVALID, "holds blocks");
    shr_state_close(state);
    assert_int_equal(rmdir(dir), 0);
    free(dir);
}

/* A state of its own for each, as a failed one is thrown away. */
static void what_is_not_whole_is_refused(void **unused) {
    char *dir = make_dir();
    struct shr_state *from = grown(40);
    struct shr_block_record record, made;
    for (int trial = 0; trial < 7; trial++) {
        struct shr_state *to = open_on(shr_store_new_memory());
        struct copying copying = {.left_out = trial == 0 ? 7 : 0};
        if (trial < 4) {
            copy(&copying, to, from, dir, SHR_FOUND_MEMORY);
        } else {
            assert_ok(shr_found_begin(&copying.found, to, AT, dir, SHR_FOUND_MEMORY, err));
        }
        struct shr_found *found = copying.found;
        assert_ok(shr_state_block(from, &record, trial == 6 ? 6 : 5, err));
        if (trial == 0 || trial == 5) {
            assert_fails(shr_found_end(found, &made, err), SHREWD_CORRUPT, "not whole");
        } else if (trial == 1) { /* a key too many */
            assert_ok(shr_found_put(found, TEXT("\xff\xff\xff\xff"), NO_BYTES, err));
            assert_fails(shr_found_end(found, &made, err), SHREWD_CORRUPT, "not whole");
        } else if (trial == 2) {
            assert_fails(shr_found_put(found, TEXT("\0\0"), NO_BYTES, err), SHREWD_INVALID,
                         "does not come after");
        } else if (trial == 3) { /* blocks after the last one */
            record.height = AT + 1;
            assert_fails(shr_found_block(found, &record, err), SHREWD_INVALID, "next block");
        } else if (trial == 4) { /* another root, of the same number of keys */
            for (uint32_t height = 5; height <= AT; height++) {
                assert_ok(shr_state_block(from, &record, height, err));
                record.total_keys = 1;
                assert_ok(shr_found_block(found, &record, err));
            }
            assert_ok(shr_found_put(found, TEXT("key"), NO_BYTES, err));
            assert_fails(shr_found_end(found, &made, err), SHREWD_CORRUPT, "state root");
        } else {
            assert_fails(shr_found_block(found, &record, err), SHREWD_INVALID, "next block");
        }
        shr_found_free(found);
        shr_state_close(to);
    }
    shr_state_close(from);
    assert_int_equal(rmdir(dir), 0);
    free(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leaves_come_in_order),
        cmocka_unit_test(begins_as_blocks_would_have_left_it),
        cmocka_unit_test(begins_at_the_first_block),
        cmocka_unit_test(what_is_not_whole_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
