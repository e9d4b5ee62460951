/* shr_check: sound databases pass, and each kind of damage to each table is found and named. */
#include "state_help.h"

#include "state/check.h"
#include "state/codec.h"

static const struct shr_identity identity = {.start_height = 1};

/* Blocks 1 to 4: "a" is written by all of them, "b" by 2 only, "c" by 3 and 4. */
static struct shr_state *make(struct shr_store *store) {
    struct shr_state *state = NULL;
    assert_ok(shr_state_open(&state, store, &identity, false, err));
    for (uint32_t height = 1; height <= 4; height++) {
        struct shr_bytes value = shr_bytes(&height, sizeof height);
        struct shr_pair pairs[] = {{TEXT("a"), value},
                                   {height == 2 ? TEXT("b") : TEXT("c"), value}};
        struct shr_block_change change = {
            .height = height, .pairs = pairs, .n_pairs = height == 1 ? 1 : 2};
        assert_ok(shr_state_apply(state, &change, false, err));
    }
    return state;
}

/* Everything found, one line each. */
static struct shr_buf found;

static void take(void *ctx, const struct shr_check_finding *finding) {
    shr_buf_printf(&found, "%s ", shr_check_table(finding->table));
    for (size_t i = 0; i < finding->key.len; i++) {
        shr_buf_printf(&found, "%02x", finding->key.data[i]);
    }
    shr_buf_printf(&found, ": expected %s; found %s\n", finding->expected, finding->found);
}

static struct shr_check_summary check(struct shr_store *store, struct shr_reader *base) {
    struct shr_check_options options = {.base = base, .findings_max = 100, .found = take};
    struct shr_check_summary summary;
    shr_buf_clear(&found);
    assert_ok(shr_check(store, &options, &summary, err));
    shr_buf_cstr(&found);
    return summary;
}

static void assert_sound(struct shr_store *store, struct shr_reader *base) {
    struct shr_check_summary summary = check(store, base);
    if (summary.findings != 0) {
        fail_msg("%zu findings in a sound state:\n%s", summary.findings, (char *)found.data);
    }
}

/* --- Damage --- */

struct damage {
    enum shr_table table;
    struct shr_bytes key;
    struct shr_bytes value; /* NULL: the row is gone */
    const char *finding;
};

#define BYTES(text)                                                                                \
    { (const uint8_t *)(text), sizeof(text) - 1 }
#define GONE                                                                                       \
    { NULL, 0 }
#define H(height) "\0\0\0" height
#define HISTORY(key, height) BYTES("\0\0\0\1" key H(height))
#define HEIGHT(height) BYTES(H(height))
/* A record of no counts but those given; the hash is zero, as in `make`. */
#define ZEROS32 "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
#define RECORD(keys, key_bytes, value_bytes, total)                                                \
    BYTES("\1\0" ZEROS32 ZEROS32 "\0\0\0\0\0\0\0" keys "\0\0\0\0\0\0\0" key_bytes                  \
          "\0\0\0\0\0\0\0" value_bytes "\0\0\0\0\0\0\0" total)

#define TOP(height) BYTES("\0\xff\xff\xff" height)

static const struct damage damages[] = {
    {SHR_TABLE_META, BYTES("format"), GONE, "META 666f726d6174: expected the format; found no row"},
    {SHR_TABLE_META, BYTES("format"), BYTES("leveldb!\0\0\0\1"), "found the format row is not"},
    {SHR_TABLE_META, BYTES("format"), BYTES("shrewdDB\0\0\0\77"), "the format version"},
    {SHR_TABLE_META, BYTES("identity"), GONE, "META 6964656e74697479: expected the chain"},
    {SHR_TABLE_META, BYTES("identity"), BYTES("short"), "META 6964656e74697479: expected a row as"},
    {SHR_TABLE_META, BYTES("tip"), GONE, "META 746970: expected the last block held; found no"},
    {SHR_TABLE_META, BYTES("tip"), BYTES("abc"), "META 746970: expected a row as in doc"},
    {SHR_TABLE_META, BYTES("fork"), BYTES("abc"), "META 666f726b: expected a row as in doc"},
    {SHR_TABLE_META, BYTES("pruned"), BYTES("abc"), "META 7072756e6564: expected a row as in doc"},
    {SHR_TABLE_META, BYTES("pruned"), HEIGHT("\0"),
     "META 7072756e6564: expected a height not below the"},
    {SHR_TABLE_META, BYTES("pruned"), HEIGHT("\5"),
     "META 7072756e6564: expected a height not below the"},
    {SHR_TABLE_META, BYTES("pruned"), HEIGHT("\1"), "CHANGES 00000001: expected the height of a"},
    {SHR_TABLE_META, BYTES("pruned"), HEIGHT("\2"), "CHANGES 00000002: expected the height of a"},
    {SHR_TABLE_META, BYTES("pruned"), HEIGHT("\2"),
     "HISTORY 000000016100000002: expected a version"},
    {SHR_TABLE_META, BYTES("other"), BYTES("abc"), "META 6f74686572: expected no row"},

    {SHR_TABLE_BLOCKS, HEIGHT("\4"), GONE, "META 746970: expected the height of the last block"},
    {SHR_TABLE_BLOCKS, HEIGHT("\4"), GONE, "CHANGES 00000004: expected the height of a block"},
    {SHR_TABLE_BLOCKS, HEIGHT("\4"), RECORD("\2", "\2", "\7", "\3"),
     "META 746970: expected the re"},
    {SHR_TABLE_BLOCKS, HEIGHT("\2"), GONE,
     "BLOCKS 00000002: expected a record of every height from the first to the tip; found none of "
     "2 to 2"},
    {SHR_TABLE_BLOCKS, HEIGHT("\2"), BYTES("short"), "BLOCKS 00000002: expected the record of"},
    {SHR_TABLE_BLOCKS, HEIGHT("\0"), RECORD("\0", "\0", "\0", "\0"),
     "BLOCKS 00000000: expected no"},
    {SHR_TABLE_BLOCKS, BYTES("abc"), BYTES("x"), "BLOCKS 616263: expected a height"},
    {SHR_TABLE_BLOCKS, BYTES("\xff\xff\xff\xf0"), RECORD("\0", "\0", "\0", "\0"),
     "BLOCKS 00000005: expected a record of every height from the first to the tip; found none"},
    {SHR_TABLE_BLOCKS, HEIGHT("\2"), RECORD("\3", "\2", "\10", "\2"),
     "BLOCKS 00000002: expected the number of keys changed; found 3 in the record, 2 counted"},
    {SHR_TABLE_BLOCKS, HEIGHT("\2"), RECORD("\2", "\1", "\10", "\2"), "the bytes of the keys"},
    {SHR_TABLE_BLOCKS, HEIGHT("\2"), RECORD("\2", "\2", "\7", "\2"),
     "BLOCKS 00000002: expected the bytes of the values written; found 1 fewer"},
    {SHR_TABLE_BLOCKS, HEIGHT("\2"), RECORD("\2", "\2", "\10", "\3"),
     "BLOCKS 00000002: expected the number of keys held; found 3 in the record, 2 counted"},

    {SHR_TABLE_CHANGES, HEIGHT("\2"), GONE, "CHANGES 00000002: expected the keys changed by"},
    {SHR_TABLE_CHANGES, HEIGHT("\4"), GONE, "CHANGES 00000004: expected the keys changed by"},
    {SHR_TABLE_CHANGES, HEIGHT("\0"), BYTES(""), "CHANGES 00000000: expected the height of"},
    {SHR_TABLE_CHANGES, BYTES("abc"), BYTES(""), "CHANGES 616263: expected the height of"},
    {SHR_TABLE_CHANGES, HEIGHT("\2"), BYTES("\0\0"), "CHANGES 00000002: expected the keys a"},
    {SHR_TABLE_CHANGES, HEIGHT("\4"), BYTES("\2\0\0\0\1a"), "neither new nor"},
    {SHR_TABLE_CHANGES, HEIGHT("\2"), BYTES("\1\0\0\0\1a\1\0\0\0\1a"), "listed twice"},
    {SHR_TABLE_CHANGES, HEIGHT("\2"), BYTES("\0\0\0\0\1b\1\0\0\0\1a"), "not in order"},
    /* a replaced key as new, a new one as replaced, one that was not changed, one left out */
    {SHR_TABLE_CHANGES, HEIGHT("\2"), BYTES("\0\0\0\0\1a\0\0\0\0\1b"),
     "HISTORY 000000016100000002: expected no version from before"},
    {SHR_TABLE_CHANGES, HEIGHT("\2"), BYTES("\1\0\0\0\1a\1\0\0\0\1b"),
     "HISTORY 000000016200000002: expected the version that the block replaced"},
    {SHR_TABLE_CHANGES, HEIGHT("\2"), BYTES("\1\0\0\0\1a\0\0\0\0\1d"),
     "LATEST 64: expected the version written by the last block"},
    {SHR_TABLE_CHANGES, HEIGHT("\2"), BYTES("\1\0\0\0\1a\0\0\0\0\1d"),
     "LATEST 62: expected a version of a block that lists the key; found block 2"},
    {SHR_TABLE_CHANGES, HEIGHT("\2"), BYTES("\0\0\0\0\1b"),
     "HISTORY 000000016100000002: expected a version of a block that lists the key"},

    {SHR_TABLE_HISTORY, HISTORY("a", "\3"), GONE,
     "HISTORY 000000016100000003: expected the version that the block replaced; found none"},
    {SHR_TABLE_HISTORY, HISTORY("a", "\3"), GONE,
     "HISTORY 000000016100000004: expected a version written where the one before"},
    {SHR_TABLE_HISTORY, HISTORY("a", "\3"), BYTES("abc"), "HISTORY 000000016100000003: expected a"},
    {SHR_TABLE_HISTORY, HISTORY("a", "\3"), BYTES("\3\0\0\0\0\0\0\1"),
     "written at height 1, not 2"},
    {SHR_TABLE_HISTORY, HISTORY("a", "\2"), BYTES("\1\0\0\0\0\0\0\2"), "below the height that"},
    {SHR_TABLE_HISTORY, HISTORY("a", "\2"), BYTES("\1\0\0\0\0\0\0\0"), "found written at height 0"},
    {SHR_TABLE_HISTORY, HISTORY("a", "\2"), BYTES("\1\0\0\0\0\0\0\0\1"), "BLOCKS 00000001: expect"},
    {SHR_TABLE_HISTORY, HISTORY("b", "\3"), BYTES("\2\0\0\0\0\0\0\2"),
     "HISTORY 000000016200000003: expected a version of a block that lists the key; found block 3"},
    {SHR_TABLE_HISTORY, HISTORY("d", "\3"), BYTES("\2\0\0\0\0\0\0\2"), "HISTORY 0000000164000000"},
    {SHR_TABLE_HISTORY, BYTES("\0\0\0\2a\0\0\0\2"), BYTES("\2\0\0\0\0\0\0\1"),
     "expected a key and"},
    {SHR_TABLE_HISTORY, BYTES("abc"), BYTES(""), "HISTORY 616263: expected a key and a height"},

    {SHR_TABLE_HISTORY, HISTORY("a", "\3"), BYTES("\7\0\0\0\0\0\0\2"),
     "HISTORY 000000016100000003: expected the value that the state tree says; found another value "
     "after block 2\n"},
    {SHR_TABLE_LATEST, BYTES("a"), GONE, "LATEST 61: expected the version written by the last"},
    {SHR_TABLE_LATEST, BYTES("a"), GONE, "expected the number of keys in LATEST"},
    {SHR_TABLE_LATEST, BYTES("a"), BYTES("abc"), "LATEST 61: expected a version; found a version"},
    {SHR_TABLE_LATEST, BYTES("a"), BYTES("\4\0\0\0\0\0\0\3"), "found written at height 3, not 4"},
    {SHR_TABLE_LATEST, BYTES("a"), BYTES("\4\0\0\0\0\0\0\5"), "LATEST 61: expected a version writ"},
    {SHR_TABLE_LATEST, BYTES("a"), BYTES("\4\0\0\0\0\0\0\0\4"), "BLOCKS 00000004: expected the by"},
    {SHR_TABLE_LATEST, BYTES("b"), BYTES("\2\0\0\0\0\0\0\3"),
     "LATEST 62: expected a version of a block that lists the key; found block 3"},
    {SHR_TABLE_LATEST, BYTES("d"), BYTES("\2\0\0\0\0\0\0\2"),
     "LATEST 64: expected a version of a block that lists the key; found block 2"},
    {SHR_TABLE_LATEST, BYTES("a"), BYTES("\5\0\0\0\0\0\0\4"),
     "BLOCKS 00000004: expected the state root of the values in LATEST"},
    {SHR_TABLE_LATEST, BYTES("a"), BYTES("\5\0\0\0\0\0\0\4"),
     "LATEST 61: expected the value that the state tree says; found another value after block 4\n"},

    /* The tree is one bucket: rows of the page at the top, of heights 4 to 1 */
    {SHR_TABLE_ROOT, TOP("\xfb"), GONE, "ROOT 00fffffffb: expected the root of LATEST; found"},
    {SHR_TABLE_ROOT, TOP("\xfb"), GONE, "ROOT_PAGES 00000004: expected the pages that ROOT has"},
    {SHR_TABLE_ROOT, TOP("\xfd"), GONE, "ROOT_PAGES 00000002: expected the pages that ROOT has"},
    {SHR_TABLE_ROOT, TOP("\xfb"), BYTES("\11"), "ROOT 00fffffffb: expected rows of a page"},
    {SHR_TABLE_ROOT, TOP("\xfb"), BYTES("\2" ZEROS32 ZEROS32),
     "ROOT 00fffffffb: expected the root of LATEST; found another hash"},
    {SHR_TABLE_ROOT, BYTES("\0\xff\xff\xff\xff"), BYTES("\2" ZEROS32 ZEROS32),
     "ROOT 00ffffffff: expected the height of a block that is held; found 0"},
    {SHR_TABLE_ROOT, BYTES("\1\20\xff\xff\xff\xfb"), BYTES("\2" ZEROS32 ZEROS32),
     "ROOT_PAGES 00000004: expected the pages that ROOT has"},
    {SHR_TABLE_ROOT, BYTES("abc"), BYTES("\2"), "ROOT 616263: expected a page and a height"},
    {SHR_TABLE_ROOT_PAGES, HEIGHT("\2"), GONE,
     "ROOT_PAGES 00000002: expected the pages a block changed; found no row"},
    {SHR_TABLE_ROOT_PAGES, HEIGHT("\2"), BYTES(""), "ROOT_PAGES 00000002: expected the pages that"},
    {SHR_TABLE_ROOT_PAGES, HEIGHT("\2"), BYTES("\177"),
     "found the list of pages a block changed is"},
    {SHR_TABLE_ROOT_PAGES, HEIGHT("\3"), BYTES("\0\1\20"),
     "ROOT_PAGES 00000003: expected the pages"},
    {SHR_TABLE_ROOT_PAGES, HEIGHT("\0"), BYTES(""), "ROOT_PAGES 00000000: expected the height of"},
    {SHR_TABLE_ROOT_PAGES, BYTES("abc"), BYTES(""), "ROOT_PAGES 616263: expected the height of"},
};

static void write_row(struct shr_store *store, const struct damage *damage) {
    struct shr_batch batch = {0};
    if (damage->value.data == NULL) {
        shr_batch_remove(&batch, damage->table, damage->key);
    } else {
        shr_batch_put(&batch, damage->table, damage->key, damage->value);
    }
    assert_ok(shr_store_write(store, &batch, false, err));
    shr_batch_free(&batch);
}

static void every_damage_is_found(void **unused) {
    struct shr_store *sound = shr_store_new_memory();
    struct shr_state *state = make(sound);
    assert_sound(sound, NULL);
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        const struct damage *damage = &damages[i];
        struct shr_store *store = shr_store_new_overlay(sound, NULL);
        write_row(store, damage);
        struct shr_check_summary summary = check(store, NULL);
        if (summary.findings == 0 || strstr((char *)found.data, damage->finding) == NULL) {
            fail_msg("damage %zu: '%s' is not in:\n%s", i, damage->finding, (char *)found.data);
        }
        shr_store_close(store);
    }
    assert_sound(sound, NULL);
    shr_state_close(state);
}

/* Rows ahead of the tip are no damage: a deep rollback leaves them, and a group cut short. */
static void rows_of_a_tree_that_was_left(void **unused) {
    static const struct damage left[] = {
        {SHR_TABLE_ROOT, TOP("\xfa"), BYTES("\2" ZEROS32 ZEROS32), NULL},
        {SHR_TABLE_ROOT, BYTES("\1\20\xff\xff\xff\xf9"), BYTES("\4\0"), NULL},
        {SHR_TABLE_ROOT_PAGES, HEIGHT("\5"), BYTES("\200"), NULL},
        {SHR_TABLE_ROOT_PAGES, HEIGHT("\6"), BYTES("\1\20"), NULL},
    };
    struct shr_store *store = shr_store_new_memory();
    struct shr_state *state = make(store);
    for (size_t i = 0; i < 4; i++) {
        write_row(store, &left[i]);
    }
    assert_sound(store, NULL);
    shr_state_close(state);
}

/* A group that was loaded and not finished: what it replaced counts, and it must be whole enough
 * for that, and listed. */
static void rows_of_a_group_that_was_not_finished(void **unused) {
    static const struct damage group[] = {
        {SHR_TABLE_CHANGES, HEIGHT("\5"), BYTES("\1\0\0\0\1a\0\0\0\0\1n"), NULL},
        {SHR_TABLE_CHANGES, HEIGHT("\6"), BYTES("\1\0\0\0\1n"), NULL},
        {SHR_TABLE_HISTORY, HISTORY("a", "\5"), BYTES("\4\0\0\0\0\0\0\4"), NULL},
        {SHR_TABLE_HISTORY, HISTORY("n", "\6"), BYTES("\5\0\0\0\0\0\0\5"), NULL},
        {SHR_TABLE_LATEST, BYTES("a"), BYTES("\5\0\0\0\0\0\0\5"), NULL},
        {SHR_TABLE_LATEST, BYTES("n"), BYTES("\6\0\0\0\0\0\0\6"), NULL},
    };
    static const struct damage worse[] = {
        {SHR_TABLE_CHANGES, HEIGHT("\5"), BYTES("\1\0\0\0\1a\0"),
         "CHANGES 00000005: expected the keys a block changed, each once, in order"},
        {SHR_TABLE_CHANGES, HEIGHT("\5"), BYTES("\0\0\0\0\1n"),
         "CHANGES 00000005: expected the keys of all versions in LATEST that the block wrote"},
        {SHR_TABLE_CHANGES, HEIGHT("\5"), GONE, "LATEST 61: expected a version written by a block"},
        {SHR_TABLE_HISTORY, HISTORY("a", "\5"), GONE, "expected the number of keys in LATEST"},
        {SHR_TABLE_HISTORY, HISTORY("a", "\5"), GONE,
         "LATEST 61: expected the version written by the last block"},
        {SHR_TABLE_HISTORY, HISTORY("a", "\5"), BYTES("abc"),
         "HISTORY 000000016100000005: expected a version"},
        {SHR_TABLE_HISTORY, HISTORY("a", "\5"), BYTES("\4\0\0\0\0\0\0\5"),
         "HISTORY 000000016100000005: expected a version written below"},
        {SHR_TABLE_HISTORY, HISTORY("a", "\5"), BYTES("\4\0\0\0\0\0\0\3"),
         "found written at height 3, not 4"},
        {SHR_TABLE_HISTORY, HISTORY("a", "\5"), BYTES("\7\0\0\0\0\0\0\4"),
         "BLOCKS 00000004: expected the state root of the values in LATEST"},
        {SHR_TABLE_HISTORY, HISTORY("a", "\5"), BYTES("\7\0\0\0\0\0\0\4"),
         "HISTORY 000000016100000005: expected the value that the state tree says; found another "
         "value after block 4\n"},
        {SHR_TABLE_LATEST, BYTES("x"), BYTES("\6\0\0\0\0\0\0\6"),
         "CHANGES 00000006: expected the keys of all versions in LATEST that the block wrote"},
        {SHR_TABLE_LATEST, BYTES("x"), BYTES("\6\0\0\0\0\0\0\7"),
         "LATEST 78: expected a version written by a block held, or by one that has a list"},
    };
    struct shr_store *sound = shr_store_new_memory();
    struct shr_state *state = make(sound);
    for (size_t i = 0; i < sizeof group / sizeof group[0]; i++) {
        write_row(sound, &group[i]); /* in the order of a load, but for the tree's */
        assert_sound(sound, NULL);
    }
    assert_int_equal(check(sound, NULL).keys, 3);
    for (size_t i = 0; i < sizeof worse / sizeof worse[0]; i++) {
        struct shr_store *store = shr_store_new_overlay(sound, NULL);
        write_row(store, &worse[i]);
        if (check(store, NULL).findings == 0 ||
            strstr((char *)found.data, worse[i].finding) == NULL) {
            fail_msg("damage %zu: '%s' is not in:\n%s", i, worse[i].finding, (char *)found.data);
        }
        shr_store_close(store);
    }
    shr_state_close(state);
}

/* Where no state root is kept, no row of a tree belongs. */
static void rows_of_a_tree_that_is_not_kept(void **unused) {
    static const struct damage strays[] = {
        {SHR_TABLE_ROOT, TOP("\xfb"), BYTES("\2" ZEROS32 ZEROS32),
         "ROOT 00fffffffb: expected no row"},
        {SHR_TABLE_ROOT_PAGES, HEIGHT("\2"), BYTES(""), "ROOT_PAGES 00000002: expected no row"},
    };
    struct shr_identity without = identity;
    without.keep_root = SHR_KEEP_ROOT_NO;
    for (size_t i = 0; i < 2; i++) {
        struct shr_store *store = shr_store_new_memory();
        struct shr_state *state = NULL;
        struct shr_pair pair = {TEXT("a"), TEXT("b")};
        struct shr_block_change change = {.height = 1, .pairs = &pair, .n_pairs = 1};
        assert_ok(shr_state_open(&state, store, &without, false, err));
        assert_ok(shr_state_apply(state, &change, false, err));
        assert_sound(store, NULL);
        assert_false(check(store, NULL).values);
        write_row(store, &strays[i]);
        assert_int_equal(check(store, NULL).findings, 1);
        assert_non_null(strstr((char *)found.data, strays[i].finding));
        shr_state_close(state);
    }
}

/* --- Sound ones --- */

static void apply_random(struct rng *rng, struct shr_state *state, uint32_t height) {
    struct shr_buf keys[12] = {{0}}, values[12] = {{0}};
    struct shr_pair pairs[12];
    size_t n = rng_below(rng, 13);
    for (size_t i = 0; i < n; i++) {
        rng_key(rng, &keys[i]);
        rng_value(rng, &values[i]);
        pairs[i] = (struct shr_pair){shr_buf_bytes(&keys[i]), shr_buf_bytes(&values[i])};
    }
    struct shr_block_change change = {.height = height, .pairs = pairs, .n_pairs = n};
    assert_ok(shr_state_apply(state, &change, false, err));
    for (size_t i = 0; i < n; i++) {
        shr_buf_free(&keys[i]);
        shr_buf_free(&values[i]);
    }
}

/* Random blocks and rollbacks, then a fork on it with blocks and a rollback of its own. */
static void sound_states_pass(void **unused) {
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct rng rng = {seed};
        struct shr_store *store = shr_store_new_memory(), *above = shr_store_new_memory();
        struct shr_state *state = NULL, *fork = NULL;
        struct shr_reader *base = NULL;
        assert_ok(shr_state_open(&state, store, &identity, false, err));
        assert_sound(store, NULL);
        for (uint32_t height = 1; height <= 40; height++) {
            apply_random(&rng, state, height);
        }
        assert_sound(store, NULL);
        assert_ok(shr_state_rollback(state, 20 + rng_below(&rng, 20), err));
        assert_sound(store, NULL);
        assert_ok(shr_reader_open(&base, state, err));
        assert_ok(shr_state_open_fork(&fork, above, base, 15, NULL, false, err));
        assert_sound(above, base);
        for (uint32_t height = 16; height <= 30; height++) {
            apply_random(&rng, fork, height);
        }
        assert_sound(above, base);
        assert_ok(shr_state_rollback(fork, 20, err));
        assert_sound(above, base);
        shr_state_close(fork);
        shr_reader_close(base);
        assert_ok(shr_state_rollback_all(state, err));
        assert_sound(store, NULL);
        shr_state_close(state);
    }
}

static void the_summary_counts(void **unused) {
    struct shr_store *store = shr_store_new_memory();
    struct shr_state *state = make(store);
    struct shr_check_summary summary = check(store, NULL);
    assert_true(summary.has_tip);
    assert_int_equal(summary.first_height, 1);
    assert_int_equal(summary.tip_height, 4);
    assert_int_equal(summary.blocks, 4);
    assert_int_equal(summary.keys, 3);
    assert_int_equal(summary.versions, 7);
    assert_true(summary.values);
    assert_true(summary.bytes > 4 * 98);
    shr_state_close(state);
}

static void it_stops_when_enough_is_found(void **unused) {
    struct shr_store *store = shr_store_new_memory();
    struct shr_state *state = make(store);
    struct shr_check_options options = {.findings_max = 2, .found = take};
    struct shr_check_summary summary;
    shr_buf_clear(&found);
    write_row(store, &(struct damage){SHR_TABLE_HISTORY, HISTORY("a", "\3"), BYTES(""), NULL});
    write_row(store, &(struct damage){SHR_TABLE_LATEST, BYTES("a"), BYTES(""), NULL});
    write_row(store, &(struct damage){SHR_TABLE_LATEST, BYTES("b"), BYTES(""), NULL});
    assert_ok(shr_check(store, &options, &summary, err));
    assert_int_equal(summary.findings, 2);
    shr_state_close(state);
}

static void a_fork_and_its_base_go_together(void **unused) {
    struct shr_check_options options = {.findings_max = 2, .found = take};
    struct shr_check_summary summary;
    struct shr_store *store = shr_store_new_memory(), *above = shr_store_new_memory();
    assert_fails(shr_check(store, &options, &summary, err), SHREWD_NOT_FOUND, "holds nothing");
    struct shr_state *state = make(store), *fork = NULL;
    struct shr_reader *base = NULL;
    assert_ok(shr_reader_open(&base, state, err));
    assert_ok(shr_state_open_fork(&fork, above, base, 3, NULL, false, err));
    assert_fails(shr_check(above, &options, &summary, err), SHREWD_MISMATCH, "--fork");
    options.base = base;
    assert_fails(shr_check(store, &options, &summary, err), SHREWD_MISMATCH, "not a fork");
    shr_state_close(fork);
    shr_reader_close(base);
    shr_state_close(state);
}

static int free_found(void **unused) {
    shr_buf_free(&found);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_states_pass),
        cmocka_unit_test(every_damage_is_found),
        cmocka_unit_test(rows_of_a_tree_that_was_left),
        cmocka_unit_test(rows_of_a_group_that_was_not_finished),
        cmocka_unit_test(rows_of_a_tree_that_is_not_kept),
        cmocka_unit_test(the_summary_counts),
        cmocka_unit_test(it_stops_when_enough_is_found),
        cmocka_unit_test(a_fork_and_its_base_go_together),
    };
    return cmocka_run_group_tests_name("check", tests, NULL, free_found);
}
