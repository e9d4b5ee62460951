/* Whose a state is: refusals, each with what to do; forks and what they stand on; one writer and
 * many readers. */
#include "state_help.h"

#include "base/endian.h"
#include "state/state.h"

#include <pthread.h>
#include <stdatomic.h>

static const struct shr_identity mine = {
    .genesis = {{1, 2, 3}}, .start_height = 7, .module_hash = {{0xaa, 0xbb}}};

static struct shr_store *rocks(const char *dir, bool read_only) {
    struct shr_rocks_options options = {
        .create = !read_only, .read_only = read_only, .cache_bytes = 1 << 20};
    struct shr_store *store = NULL;
    assert_ok(shr_store_open_rocks(&store, dir, &options, err));
    return store;
}

static struct shr_hash hash_at(uint32_t height, uint8_t branch) {
    struct shr_hash hash = {{branch}};
    shr_put_be32(hash.b + 4, height);
    return hash;
}

/* One block that writes two keys: "h" -> height, and a key of its own. */
static void apply(struct shr_state *state, uint32_t height, uint8_t branch) {
    uint8_t number[4];
    shr_put_be32(number, height);
    struct shr_pair pairs[] = {{TEXT("h"), shr_bytes(number, 4)},
                               {shr_bytes(number, 4), TEXT("there")}};
    struct shr_block_change change = {
        .height = height, .hash = hash_at(height, branch), .pairs = pairs, .n_pairs = 2};
    assert_ok(shr_state_apply(state, &change, false, err));
}

static void make(const char *dir, uint32_t to) {
    struct shr_state *state = NULL;
    assert_ok(shr_state_open(&state, rocks(dir, false), &mine, false, err));
    for (uint32_t height = mine.start_height; height <= to; height++) {
        apply(state, height, 1);
    }
    shr_state_close(state);
}

static void identity_is_kept(void **unused) {
    char *dir = make_dir();
    struct shr_state *state = NULL;
    struct shr_identity got;
    make(dir, 9);
    assert_ok(shr_state_open(&state, rocks(dir, false), NULL, false, err));
    shr_state_identity(state, &got);
    assert_true(shr_hash_eq(&got.genesis, &mine.genesis));
    assert_true(shr_hash_eq(&got.module_hash, &mine.module_hash));
    assert_int_equal(got.start_height, mine.start_height);
    struct shr_sizes sizes;
    assert_ok(shr_state_sizes(state, &sizes, err));
    assert_true(sizes.bytes > 0);
    assert_int_equal(sizes.tables[SHR_TABLE_BLOCKS].rows, 3);
    assert_int_equal(sizes.tables[SHR_TABLE_LATEST].rows, 4);
    shr_state_close(state);
    remove_dir(dir);
}

static void other_identities_are_refused(void **unused) {
    char *dir = make_dir();
    struct shr_state *state = NULL;
    struct shr_identity other = mine;
    make(dir, 9);
    other.genesis.b[31] = 9;
    assert_fails(shr_state_open(&state, rocks(dir, false), &other, true, err), SHREWD_MISMATCH,
                 "another chain: its genesis block is 00000000");
    assert_fails(shr_state_open(&state, rocks(dir, false), &other, false, err), SHREWD_MISMATCH,
                 "--label");
    other = mine;
    other.start_height = 8;
    assert_fails(shr_state_open(&state, rocks(dir, false), &other, true, err), SHREWD_MISMATCH,
                 "give --start-block 7");
    other = mine;
    other.module_hash.b[0] = 0xcc;
    assert_fails(shr_state_open(&state, rocks(dir, false), &other, false, err), SHREWD_MISMATCH,
                 "another module: SHA-256 aabb00");
    assert_fails(shr_state_open(&state, rocks(dir, false), &other, false, err), SHREWD_MISMATCH,
                 "--accept-module");
    remove_dir(dir);
}

static void accepted_module_is_recorded(void **unused) {
    char *dir = make_dir();
    struct shr_state *state = NULL;
    struct shr_identity other = mine, got;
    other.module_hash.b[0] = 0xcc;
    make(dir, 9);
    /* Read-only: used, but not recorded. */
    assert_ok(shr_state_open(&state, rocks(dir, true), &other, true, err));
    shr_state_identity(state, &got);
    assert_true(shr_hash_eq(&got.module_hash, &other.module_hash));
    shr_state_close(state);
    assert_ok(shr_state_open(&state, rocks(dir, false), &other, true, err));
    shr_state_close(state);
    assert_ok(shr_state_open(&state, rocks(dir, false), &other, false, err));
    apply(state, 10, 1);
    shr_state_close(state);
    assert_fails(shr_state_open(&state, rocks(dir, false), &mine, false, err), SHREWD_MISMATCH,
                 "another module");
    remove_dir(dir);
}

static void empty_store_needs_an_identity(void **unused) {
    char *dir = make_dir();
    struct shr_state *state = NULL;
    assert_fails(shr_state_open(&state, rocks(dir, false), NULL, false, err), SHREWD_NOT_FOUND,
                 dir);
    assert_fails(shr_state_open(&state, rocks(dir, true), &mine, false, err), SHREWD_NOT_FOUND,
                 "holds nothing");
    assert_ok(shr_state_open(&state, rocks(dir, false), &mine, false, err));
    shr_state_close(state);
    assert_ok(shr_state_open(&state, rocks(dir, false), NULL, false, err));
    shr_state_close(state);
    remove_dir(dir);
}

static void newer_format_is_refused(void **unused) {
    char *dir = make_dir();
    struct shr_state *state = NULL;
    make(dir, 8);
    struct shr_store *store = rocks(dir, false);
    struct shr_batch batch = {0};
    shr_batch_put(&batch, SHR_TABLE_META, TEXT("format"), TEXT("shrewdDB\0\0\0\6"));
    assert_ok(shr_store_write(store, &batch, true, err));
    assert_fails(shr_state_open(&state, store, NULL, false, err), SHREWD_MISMATCH,
                 "has format 6 and this shrewd reads formats 3 to 5");
    shr_batch_free(&batch);
    remove_dir(dir);
}

static void write_format(struct shr_store *store, struct shr_bytes row) {
    struct shr_batch batch = {0};
    shr_batch_put(&batch, SHR_TABLE_META, TEXT("format"), row);
    assert_ok(shr_store_write(store, &batch, true, err));
    shr_batch_free(&batch);
}

static void assert_format(struct shr_store *store, struct shr_bytes want) {
    struct shr_buf row = {0};
    assert_ok(shr_store_get(store, NULL, SHR_TABLE_META, &row, TEXT("format"), err));
    assert_bytes(shr_buf_bytes(&row), want);
    shr_buf_free(&row);
}

static void check_taken_over(struct shr_bytes format) {
    char *dir = make_dir();
    struct shr_state *state = NULL;
    make(dir, 8);
    struct shr_store *store = rocks(dir, false);
    assert_format(store, TEXT("shrewdDB\0\0\0\5"));
    write_format(store, format);
    shr_store_close(store);
    store = rocks(dir, true);
    assert_ok(shr_state_open(&state, store, NULL, false, err));
    assert_format(store, format);
    shr_state_close(state);
    store = rocks(dir, false);
    assert_ok(shr_state_open(&state, store, NULL, false, err));
    assert_format(store, TEXT("shrewdDB\0\0\0\5"));
    apply(state, 9, 1);
    shr_state_close(state);
    remove_dir(dir);
}

/* One of a format before is read as it is, and becomes one of this when it is to be written. */
static void older_formats_are_taken_over(void **unused) {
    check_taken_over(TEXT("shrewdDB\0\0\0\3"));
    check_taken_over(TEXT("shrewdDB\0\0\0\4"));
}

static void much_older_format_is_refused(void **unused) {
    char *dir = make_dir();
    struct shr_state *state = NULL;
    make(dir, 8);
    struct shr_store *store = rocks(dir, false);
    write_format(store, TEXT("shrewdDB\0\0\0\2"));
    assert_fails(shr_state_open(&state, store, NULL, false, err), SHREWD_MISMATCH,
                 "has format 2 and this shrewd reads formats 3 to 5");
    remove_dir(dir);
}

/* --- Forks --- */

struct two {
    char *base_dir, *fork_dir;
    struct shr_state *base;
    struct shr_reader *reader;
};

static void open_base(struct two *two) {
    assert_ok(shr_state_open(&two->base, rocks(two->base_dir, false), NULL, false, err));
    assert_ok(shr_reader_open(&two->reader, two->base, err));
}

static void close_base(struct two *two) {
    shr_reader_close(two->reader);
    shr_state_close(two->base);
}

/* A base of blocks 7 to 12, and a fork at 10 with a block of its own. */
static void start_two(struct two *two) {
    struct shr_state *fork = NULL;
    two->base_dir = make_dir();
    two->fork_dir = make_dir();
    make(two->base_dir, 12);
    open_base(two);
    assert_ok(shr_state_open_fork(&fork, rocks(two->fork_dir, false), two->reader, 10, &mine, false,
                                  err));
    apply(fork, 11, 2);
    shr_state_close(fork);
}

static void end_two(struct two *two) {
    close_base(two);
    remove_dir(two->fork_dir);
    remove_dir(two->base_dir);
}

static int open_fork(struct two *two, struct shr_state **out, uint32_t height,
                     const struct shr_identity *identity, bool accept, struct shrewd_error *err) {
    return shr_state_open_fork(out, rocks(two->fork_dir, false), two->reader, height, identity,
                               accept, err);
}

static void fork_reopens(void **unused) {
    struct two two;
    struct shr_state *fork = NULL;
    struct shr_block_record record;
    struct shr_buf value = {0};
    struct shr_hash wanted = hash_at(11, 2);
    start_two(&two);
    for (int i = 0; i < 2; i++) {
        assert_ok(
            open_fork(&two, &fork, i == 0 ? UINT32_MAX : 10, i == 0 ? NULL : &mine, false, err));
        assert_ok(shr_state_tip(fork, &record, err));
        assert_int_equal(record.height, 11);
        assert_true(shr_hash_eq(&record.hash, &wanted));
        assert_int_equal(record.total_keys, 6); /* "h", and 7 to 11 */
        assert_ok(shr_state_get_latest(fork, &value, TEXT("h"), err));
        assert_bytes(shr_buf_bytes(&value), TEXT("\0\0\0\x0b"));
        assert_ok(shr_state_get_latest(fork, &value, TEXT("\0\0\0\x07"), err));
        assert_int_equal(shr_state_get_latest(fork, &value, TEXT("\0\0\0\x0c"), NULL),
                         SHREWD_NOT_FOUND);
        shr_state_close(fork);
    }
    shr_buf_free(&value);
    end_two(&two);
}

static void fork_refuses_what_does_not_fit(void **unused) {
    struct two two;
    struct shr_state *fork = NULL;
    struct shr_identity other = mine;
    start_two(&two);
    assert_fails(open_fork(&two, &fork, 9, &mine, false, err), SHREWD_MISMATCH,
                 "a fork at block 10, not 9");
    other.module_hash.b[0] = 1;
    assert_fails(open_fork(&two, &fork, 10, &other, false, err), SHREWD_MISMATCH, "another module");
    other = mine;
    other.genesis.b[0] = 9;
    assert_fails(open_fork(&two, &fork, 10, &other, false, err), SHREWD_MISMATCH, "another chain");
    assert_fails(shr_state_open(&fork, rocks(two.fork_dir, false), &mine, false, err),
                 SHREWD_MISMATCH, "--fork");
    /* A plain database is no fork, and a block that the base has not cannot be forked at. */
    char *plain = make_dir();
    make(plain, 8);
    assert_fails(shr_state_open_fork(&fork, rocks(plain, false), two.reader, 10, &mine, false, err),
                 SHREWD_MISMATCH, "not a fork");
    assert_fails(
        shr_state_open_fork(&fork, shr_store_new_memory(), two.reader, 13, &mine, false, err),
        SHREWD_ABOVE_TIP, "the tip is 12");
    assert_fails(
        shr_state_open_fork(&fork, shr_store_new_memory(), two.reader, 6, &mine, false, err),
        SHREWD_BELOW_START, "first one held is 7");
    assert_fails(
        shr_state_open_fork(&fork, shr_store_new_memory(), two.reader, 10, &other, false, err),
        SHREWD_MISMATCH, "another chain");
    remove_dir(plain);
    end_two(&two);
}

static void fork_notices_another_base(void **unused) {
    struct two two;
    struct shr_state *fork = NULL;
    start_two(&two);
    close_base(&two);
    /* The base is rolled back below the fork, then grows a block of another hash there. */
    assert_ok(shr_state_open(&two.base, rocks(two.base_dir, false), &mine, false, err));
    assert_ok(shr_state_rollback(two.base, 9, err));
    assert_ok(shr_reader_open(&two.reader, two.base, err));
    assert_fails(open_fork(&two, &fork, UINT32_MAX, &mine, false, err), SHREWD_MISMATCH,
                 "a fork at block 10, which");
    shr_reader_close(two.reader);
    apply(two.base, 10, 3);
    assert_ok(shr_reader_open(&two.reader, two.base, err));
    assert_fails(open_fork(&two, &fork, UINT32_MAX, &mine, false, err), SHREWD_MISMATCH,
                 "a reorg replaced the block");
    end_two(&two);
}

/* A new module over an old state is what forks are for. */
static void fork_with_a_module_of_its_own(void **unused) {
    struct two two;
    struct shr_state *fork = NULL;
    struct shr_identity other = mine, got;
    start_two(&two);
    other.module_hash.b[0] = 0xcc;
    other.start_height = 0;
    assert_ok(shr_state_open_fork(&fork, shr_store_new_memory(), two.reader, UINT32_MAX, &other,
                                  false, err));
    shr_state_identity(fork, &got);
    assert_true(shr_hash_eq(&got.module_hash, &other.module_hash));
    assert_int_equal(got.start_height, mine.start_height);
    struct shr_block_record tip;
    assert_ok(shr_state_tip(fork, &tip, err));
    assert_int_equal(tip.height, 12);
    shr_state_close(fork);
    end_two(&two);
}

/* --- One writer, many readers --- */

struct race {
    struct shr_state *state;
    _Atomic bool stop;
    _Atomic uint32_t bad, checks;
};

/* What every consistent picture satisfies: "h" is the tip, and each block's own key is there
 * from its height on and not before. */
static bool consistent(struct shr_reader *reader) {
    struct shr_block_record tip, below;
    struct shr_buf value = {0};
    bool good = shr_reader_tip(reader, &tip, NULL) == 0;
    uint8_t number[4];
    for (uint32_t back = 0; good && back < 3 && tip.height - back >= mine.start_height; back++) {
        uint32_t height = tip.height - back;
        shr_put_be32(number, height);
        good = shr_reader_block(reader, &below, height, NULL) == 0 &&
               shr_reader_get(reader, &value, TEXT("h"), height, NULL) == 0 &&
               shr_bytes_eq(shr_buf_bytes(&value), shr_bytes(number, 4)) &&
               shr_reader_get(reader, &value, shr_bytes(number, 4), height, NULL) == 0;
        if (good && height > mine.start_height) {
            good = shr_reader_get(reader, &value, shr_bytes(number, 4), height - 1, NULL) ==
                   SHREWD_NOT_FOUND;
        }
    }
    shr_buf_free(&value);
    return good;
}

static void *read_on(void *ctx) {
    struct race *race = ctx;
    while (!atomic_load(&race->stop)) {
        struct shr_reader *reader = NULL;
        if (shr_reader_open(&reader, race->state, NULL) != 0) {
            atomic_fetch_add(&race->bad, 1);
            continue;
        }
        for (int i = 0; i < 3; i++) {
            atomic_fetch_add(&race->bad, consistent(reader) ? 0 : 1);
        }
        shr_reader_close(reader);
        struct shr_block_record record;
        int code = shr_state_block(race->state, &record, mine.start_height + 20, NULL);
        atomic_fetch_add(&race->bad, code == 0 || code == SHREWD_ABOVE_TIP ? 0 : 1);
        atomic_fetch_add(&race->checks, 1);
    }
    return NULL;
}

static void check_race(struct shr_store *store, uint32_t rounds) {
    struct race race = {0};
    struct rng rng = {4};
    assert_ok(shr_state_open(&race.state, store, &mine, false, err));
    uint32_t tip = mine.start_height;
    apply(race.state, tip, 1);
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, read_on, &race), 0);
    }
    for (uint32_t round = 0; round < rounds || atomic_load(&race.checks) < 50; round++) {
        if (rng_below(&rng, 4) > 0) {
            apply(race.state, ++tip, 1);
        } else {
            uint32_t held = tip - mine.start_height;
            tip -= rng_below(&rng, held < 6 ? held + 1 : 6);
            assert_ok(shr_state_rollback(race.state, tip, err));
        }
    }
    atomic_store(&race.stop, true);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(race.bad, 0);
    shr_state_close(race.state);
}

static void readers_see_whole_blocks(void **unused) {
    check_race(shr_store_new_memory(), 3000);
    char *dir = make_dir();
    check_race(rocks(dir, false), 300);
    remove_dir(dir);
}

struct writer {
    const char *dir;
    _Atomic uint32_t allowed; /* so many groups it may have written */
    _Atomic bool stop;
};

static void *write_groups(void *ctx) {
    struct writer *writer = ctx;
    struct shr_state *state = NULL;
    assert_ok(shr_state_open(&state, rocks(writer->dir, false), &mine, false, err));
    shr_state_set_load_min(state, 1);
    for (uint32_t written = 0; !atomic_load(&writer->stop);) {
        if (written < atomic_load(&writer->allowed)) {
            apply(state, 9 + written++, 1);
        } else {
            usleep(1000);
        }
    }
    shr_state_close(state);
    return NULL;
}

/* Opened read-only while groups are loaded: the whole of a tip's rows, or those of one before.
 * The writer rests after some groups: opening needs a moment in which no file comes, and how often
 * a slow machine finds one beside a writer that never rests is not what this tests. */
static void read_only_beside_a_writer(void **unused) {
    char *dir = make_dir();
    make(dir, 8);
    struct writer writer = {.dir = dir};
    pthread_t thread;
    int bad = 0;
    assert_int_equal(pthread_create(&thread, NULL, write_groups, &writer), 0);
    for (int round = 0; round < 60; round++) {
        struct shr_store *store = NULL;
        struct shr_state *state = NULL;
        struct shr_reader *reader = NULL;
        struct shr_rocks_options options = {.read_only = true};
        atomic_fetch_add(&writer.allowed, (uint32_t)round % 6);
        assert_ok(shr_store_open_rocks(&store, dir, &options, err));
        assert_ok(shr_state_open(&state, store, NULL, false, err));
        assert_ok(shr_reader_open(&reader, state, err));
        bad += !consistent(reader);
        shr_reader_close(reader);
        shr_state_close(state);
    }
    atomic_store(&writer.stop, true);
    pthread_join(thread, NULL);
    assert_int_equal(bad, 0);
    remove_dir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(identity_is_kept),
        cmocka_unit_test(other_identities_are_refused),
        cmocka_unit_test(accepted_module_is_recorded),
        cmocka_unit_test(empty_store_needs_an_identity),
        cmocka_unit_test(newer_format_is_refused),
        cmocka_unit_test(older_formats_are_taken_over),
        cmocka_unit_test(much_older_format_is_refused),
        cmocka_unit_test(fork_reopens),
        cmocka_unit_test(fork_refuses_what_does_not_fit),
        cmocka_unit_test(fork_notices_another_base),
        cmocka_unit_test(fork_with_a_module_of_its_own),
        cmocka_unit_test(readers_see_whole_blocks),
        cmocka_unit_test(read_only_beside_a_writer),
    };
    return cmocka_run_group_tests_name("state_open", tests, NULL, NULL);
}
