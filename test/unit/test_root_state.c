/* The state tree through the state: databases with and without one, rollbacks, restarts, forks. */
#include "root_rows.h"

#include "state/root.h"

static void apply_state(struct shr_state *state, uint32_t height, const char *value) {
    struct shr_pair pair = {TEXT("key"), shr_bytes_str(value)};
    struct shr_block_change change = {.height = height, .pairs = &pair, .n_pairs = 1};
    assert_ok(shr_state_apply(state, &change, false, err));
}

static struct shr_state *open_state(const char *dir, enum shr_keep_root keep,
                                    struct shr_store **store) {
    struct shr_rocks_options options = {.create = true};
    struct shr_identity identity = {.keep_root = keep};
    struct shr_state *state = NULL;
    assert_ok(shr_store_open_rocks(store, dir, &options, err));
    assert_ok(shr_state_open(&state, *store, &identity, false, err));
    return state;
}

/* A database keeps a root or not as it was made; blocks after a rollback have the roots of a
 * database that never saw the others. */
static void test_state(void **unused) {
    char *dir = make_dir();
    struct shr_store *store = NULL;
    struct shr_state *state = open_state(dir, SHR_KEEP_ROOT_ANY, &store);
    struct shr_block_record first, second, again;
    apply_state(state, 0, "one");
    assert_ok(shr_state_tip(state, &first, err));
    apply_state(state, 1, "two");
    assert_ok(shr_state_tip(state, &second, err));
    assert_true(first.has_root && second.has_root && !shr_hash_eq(&first.root, &second.root));
    assert_ok(shr_state_rollback(state, 0, err));
    apply_state(state, 1, "one"); /* nothing changes */
    assert_ok(shr_state_tip(state, &again, err));
    assert_true(again.has_root && shr_hash_eq(&again.root, &first.root));
    shr_state_close(state);
    state = open_state(dir, SHR_KEEP_ROOT_YES, &store);
    apply_state(state, 2, "two");
    assert_ok(shr_state_tip(state, &again, err));
    assert_true(again.has_root && shr_hash_eq(&again.root, &second.root));
    shr_state_close(state);
    struct shr_identity off = {.keep_root = SHR_KEEP_ROOT_NO};
    struct shr_rocks_options options = {.create = true};
    assert_ok(shr_store_open_rocks(&store, dir, &options, err));
    assert_fails(shr_state_open(&state, store, &off, false, err), SHREWD_MISMATCH,
                 "made with --state-root=on");
    remove_dir(dir);
}

static void test_state_without(void **unused) {
    char *dir = make_dir();
    struct shr_store *store = NULL;
    struct shr_state *state = open_state(dir, SHR_KEEP_ROOT_NO, &store);
    struct shr_block_record tip;
    struct shr_buf rows = {0};
    apply_state(state, 0, "one");
    shr_state_close(state);
    state = open_state(dir, SHR_KEEP_ROOT_ANY, &store);
    apply_state(state, 1, "two");
    assert_ok(shr_state_tip(state, &tip, err));
    assert_true(!tip.has_root && shr_hash_is_zero(&tip.root));
    assert_ok(shr_state_rollback(state, 0, err));
    read_rows(store, &rows);
    assert_int_equal(rows.len, 0);
    shr_buf_free(&rows);
    shr_state_close(state);
    struct shr_identity on = {.keep_root = SHR_KEEP_ROOT_YES};
    struct shr_rocks_options options = {.create = true};
    assert_ok(shr_store_open_rocks(&store, dir, &options, err));
    assert_fails(shr_state_open(&state, store, &on, false, err), SHREWD_MISMATCH,
                 "made with --state-root=off");
    remove_dir(dir);
}

/* Blocks of 5,000 keys, some new; `salt` makes another branch. */
static void apply_large(struct shr_state *state, uint32_t first, uint32_t last, uint32_t salt) {
    enum { N = 5000 };
    char(*keys)[16] = shr_alloc_array(N, sizeof *keys);
    struct shr_pair *pairs = shr_alloc_array(N, sizeof *pairs);
    for (uint32_t height = first; height <= last; height++) {
        uint32_t value = height + salt;
        for (uint32_t i = 0; i < N; i++) {
            key_text(height * 1000 + salt + i, keys[i]);
            pairs[i] = (struct shr_pair){shr_bytes_str(keys[i]), shr_bytes(&value, sizeof value)};
        }
        struct shr_block_change change = {.height = height, .pairs = pairs, .n_pairs = N};
        assert_ok(shr_state_apply(state, &change, false, err));
    }
    free(pairs);
    free(keys);
}

/* What a deep rollback leaves of the tree is seen by nobody, outlives a restart and another
 * rollback, and is gone with the next block. */
static void test_left(void **unused) {
    char *dirs[2] = {make_dir(), make_dir()};
    struct shr_store *store = NULL, *plain_store = NULL;
    struct shr_buf rows = {0}, plain_rows = {0};
    struct shr_block_record tip, plain_tip;
    struct shr_state *plain = open_state(dirs[0], SHR_KEEP_ROOT_YES, &plain_store);
    apply_large(plain, 0, 2, 0);
    assert_ok(shr_state_tip(plain, &plain_tip, err));
    read_rows(plain_store, &plain_rows);
    struct shr_state *state = open_state(dirs[1], SHR_KEEP_ROOT_YES, &store);
    apply_large(state, 0, 14, 0);
    assert_ok(shr_state_rollback(state, 3, err));
    read_rows(store, &rows);
    assert_true(rows.len > 2 * plain_rows.len); /* so there is something left to speak of */
    assert_ok(shr_state_rollback(state, 2, err));
    assert_ok(shr_state_tip(state, &tip, err));
    assert_memory_equal(tip.root.b, plain_tip.root.b, 32);
    struct shr_root_view *view = shr_root_view_new(store, NULL, 2);
    struct shr_root_node node;
    assert_ok(shr_root_node(view, &node, 0, &tip.root, err));
    assert_memory_equal(node.hash.b, plain_tip.root.b, 32);
    shr_root_view_free(view);
    shr_state_close(state);
    state = open_state(dirs[1], SHR_KEEP_ROOT_ANY, &store);
    apply_large(plain, 3, 5, 500);
    apply_large(state, 3, 5, 500);
    assert_ok(shr_state_tip(state, &tip, err));
    assert_ok(shr_state_tip(plain, &plain_tip, err));
    assert_memory_equal(tip.root.b, plain_tip.root.b, 32);
    read_rows(store, &rows);
    read_rows(plain_store, &plain_rows);
    assert_bytes(shr_buf_bytes(&rows), shr_buf_bytes(&plain_rows));
    apply_large(state, 6, 16, 0);
    assert_ok(shr_state_rollback_all(state, err));
    apply_large(state, 0, 5, 500);
    assert_ok(shr_state_rollback_all(plain, err));
    apply_large(plain, 0, 5, 500);
    read_rows(store, &rows);
    read_rows(plain_store, &plain_rows);
    assert_bytes(shr_buf_bytes(&rows), shr_buf_bytes(&plain_rows));
    shr_buf_free(&plain_rows);
    shr_buf_free(&rows);
    shr_state_close(state);
    shr_state_close(plain);
    remove_dir(dirs[0]);
    remove_dir(dirs[1]);
}

/* A fork keeps none, whatever its base does. */
static void test_fork(void **unused) {
    struct shr_identity identity = {.start_height = 0};
    struct shr_state *base = NULL, *fork = NULL;
    struct shr_reader *reader = NULL;
    struct shr_block_record tip;
    assert_ok(shr_state_open(&base, shr_store_new_memory(), &identity, false, err));
    apply_state(base, 0, "one");
    assert_ok(shr_reader_open(&reader, base, err));
    assert_ok(
        shr_state_open_fork(&fork, shr_store_new_memory(), reader, UINT32_MAX, NULL, false, err));
    apply_state(fork, 1, "two");
    assert_ok(shr_state_tip(fork, &tip, err));
    assert_false(tip.has_root);
    assert_ok(shr_state_rollback(fork, 0, err));
    assert_ok(shr_state_tip(fork, &tip, err));
    assert_true(tip.has_root); /* the base's block */
    shr_state_close(fork);
    shr_reader_close(reader);
    shr_state_close(base);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_state),
        cmocka_unit_test(test_state_without),
        cmocka_unit_test(test_left),
        cmocka_unit_test(test_fork),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
