/* Damaged rows: every one is reported with its table and key, and nothing is built on it. */
#include "state_help.h"

#include "base/endian.h"
#include "state/codec.h"

static const struct shr_identity identity = {.start_height = 1};

/* Blocks 1 to 4: "a" is written by all of them, "b" by 2 only. */
static struct shr_state *make(struct shr_store *store) {
    struct shr_state *state = NULL;
    assert_ok(shr_state_open(&state, store, &identity, false, err));
    for (uint32_t height = 1; height <= 4; height++) {
        struct shr_pair pairs[] = {{TEXT("a"), shr_bytes(&height, sizeof height)},
                                   {TEXT("b"), TEXT("of block 2")}};
        struct shr_block_change change = {
            .height = height, .pairs = pairs, .n_pairs = height == 2 ? 2 : 1};
        assert_ok(shr_state_apply(state, &change, false, err));
    }
    return state;
}

enum action { OPEN, READ_TIP, READ_PAST, WALK, BLOCK, APPLY, PRUNE, ROLL_BACK, ROLL_BACK_ALL };

static enum shr_scan_step pass(void *ctx, struct shr_bytes key, struct shr_bytes value) {
    return SHR_SCAN_MORE;
}

static int act_on_reader(struct shr_state *state, enum action action, struct shrewd_error *err) {
    struct shr_reader *reader = NULL;
    struct shr_buf value = {0};
    int code = shr_reader_open(&reader, state, err);
    if (code != 0) {
        return code;
    }
    if (action == WALK) {
        code = shr_reader_each(reader, NO_BYTES, 1, pass, NULL, err);
    } else {
        code = shr_reader_get(reader, &value, TEXT("a"), action == READ_TIP ? 4 : 2, err);
    }
    shr_buf_free(&value);
    shr_reader_close(reader);
    return code;
}

static int act(struct shr_state *state, enum action action, struct shrewd_error *err) {
    struct shr_pair pair = {TEXT("a"), TEXT("next")};
    struct shr_block_change change = {.height = 5, .pairs = &pair, .n_pairs = 1};
    struct shr_block_record record;
    struct shr_prune_step step;
    switch (action) {
    case OPEN:
        return 0;
    case BLOCK:
        return shr_state_block(state, &record, 3, err);
    case APPLY:
        return shr_state_apply(state, &change, false, err);
    case PRUNE:
        return shr_state_prune(state, 3, UINT64_MAX, &step, err);
    case ROLL_BACK:
        return shr_state_rollback(state, 2, err);
    case ROLL_BACK_ALL:
        return shr_state_rollback_all(state, err);
    default:
        return act_on_reader(state, action, err);
    }
}

/* Opens what is in `store` anew, so that nothing is known of its rows from before, and acts. What
 * is written goes to an overlay, of which nothing must be left after a failure. */
static int reopen_and_act(struct shr_store *store, enum action action,
                          struct shrewd_error *failed) {
    struct shr_store *overlay = shr_store_new_overlay(store, NULL);
    struct shr_state *state = NULL;
    struct shr_batch written = {0};
    int code = shr_state_open(&state, overlay, NULL, false, failed);
    if (code != 0) {
        return code;
    }
    code = act(state, action, failed);
    assert_ok(shr_overlay_collect(overlay, &written, err));
    assert_true(code == 0 || written.n == 0);
    shr_batch_free(&written);
    shr_state_close(state);
    return code;
}

struct damage {
    enum action action;
    enum shr_table table;
    struct shr_bytes key;
    struct shr_bytes value; /* NULL: the row is gone */
    const char *message;
};

#define BYTES(text)                                                                                \
    { (const uint8_t *)(text), sizeof(text) - 1 }
#define GONE                                                                                       \
    { NULL, 0 }
#define HISTORY_A(height) BYTES("\0\0\0\1a\0\0\0" height)
#define HEIGHT(height) BYTES("\0\0\0" height)

/* Sound in itself, but at height 0, which is below the first block. */
static const uint8_t tip_below[4 + 98] = {[4] = 1};

static const struct damage damages[] = {
    {OPEN, SHR_TABLE_META, BYTES("format"), GONE,
     "'default', key 0x666f726d6174: the format row is"},
    {OPEN, SHR_TABLE_META, BYTES("format"), BYTES("leveldb!\0\0\0\1"), "not shrewd's"},
    {OPEN, SHR_TABLE_META, BYTES("format"), BYTES("shrewdDB"), "not shrewd's"},
    {OPEN, SHR_TABLE_META, BYTES("identity"), GONE, "the identity row is missing"},
    {OPEN, SHR_TABLE_META, BYTES("identity"), BYTES("short"), "wrong length"},
    {OPEN, SHR_TABLE_META, BYTES("tip"), GONE, "not the last block"},
    {OPEN, SHR_TABLE_META, BYTES("tip"), BYTES("abc"), "shorter than a height"},
    {OPEN, SHR_TABLE_META, BYTES("tip"), BYTES("\xff\xff\xff\xff"), "out of range"},
    {OPEN, SHR_TABLE_META, BYTES("fork"), BYTES("abc"), "the fork row"},
    {OPEN, SHR_TABLE_META, BYTES("pruned"), BYTES("abc"), "'default', key 0x7072756e6564: the old"},
    {OPEN, SHR_TABLE_META, BYTES("pruned"), HEIGHT("\0"), "not that of a block held"},
    {OPEN, SHR_TABLE_META, BYTES("pruned"), HEIGHT("\5"), "not that of a block held"},
    {OPEN, SHR_TABLE_BLOCKS, HEIGHT("\4"), GONE, "not the last block"},
    {PRUNE, SHR_TABLE_CHANGES, HEIGHT("\2"), GONE, "'changes', key 0x00000002: the list"},
    {PRUNE, SHR_TABLE_CHANGES, HEIGHT("\2"), BYTES("\0\0"), "ends inside an entry"},
    {OPEN, SHR_TABLE_BLOCKS, HEIGHT("\5"), BYTES("row"), "not the last block"},
    {READ_TIP, SHR_TABLE_LATEST, BYTES("a"), BYTES("abc"),
     "'latest', key 0x61: a version is short"},
    {READ_PAST, SHR_TABLE_LATEST, BYTES("a"), BYTES("abc"),
     "'latest', key 0x61: a version is short"},
    {READ_PAST, SHR_TABLE_HISTORY, HISTORY_A("\3"), BYTES("abc"),
     "'history', key 0x00000001610000000"},
    {READ_PAST, SHR_TABLE_HISTORY, HISTORY_A("\3"), BYTES("abc\0\0\0\3"), "not older"},
    {WALK, SHR_TABLE_HISTORY, BYTES("\0\0\0\1b\0\0\0\3x"), BYTES("abcd"), "of no key"},
    {WALK, SHR_TABLE_LATEST, BYTES("a"), BYTES("abc"), "'latest', key 0x61"},
    {WALK, SHR_TABLE_LATEST, BYTES("c"), BYTES(""), "'latest', key 0x63"},
    {WALK, SHR_TABLE_HISTORY, HISTORY_A("\2"), BYTES(""), "'history'"},
    {BLOCK, SHR_TABLE_BLOCKS, HEIGHT("\3"), GONE,
     "'blocks', key 0x00000003: the record of a block"},
    {BLOCK, SHR_TABLE_BLOCKS, HEIGHT("\3"), BYTES("short"), "wrong length"},
    {OPEN, SHR_TABLE_META, BYTES("tip"), {tip_below, sizeof tip_below}, "not the last block"},
    {APPLY, SHR_TABLE_LATEST, BYTES("a"), BYTES("abc"), "'latest', key 0x61"},
    {APPLY, SHR_TABLE_LATEST, BYTES("a"), BYTES("abc\0\0\0\5"), "newer than the tip"},
    {APPLY, SHR_TABLE_META, BYTES("tip"), BYTES("abc"), "'default', key 0x746970"},
    {APPLY, SHR_TABLE_ROOT_PAGES, BYTES("\0\0\0\5x"), BYTES(""), "'root_pages', key 0x00000005"},
    {APPLY, SHR_TABLE_ROOT_PAGES, HEIGHT("\6"), BYTES("\1"), "'root_pages', key 0x00000006"},
    {ROLL_BACK, SHR_TABLE_CHANGES, HEIGHT("\4"), GONE, "'changes', key 0x00000004: the list"},
    {ROLL_BACK, SHR_TABLE_CHANGES, HEIGHT("\4"), BYTES("\0\0"), "ends inside an entry"},
    {ROLL_BACK, SHR_TABLE_CHANGES, HEIGHT("\4"), BYTES("\2\0\0\0\0"), "neither new nor"},
    {ROLL_BACK, SHR_TABLE_CHANGES, HEIGHT("\4"), BYTES("\1\0\0\0\2a"), "past its end"},
    {ROLL_BACK, SHR_TABLE_CHANGES, HEIGHT("\4"),
     BYTES("\1\xff\xff\xff\xff"
           "a"),
     "past its end"},
    {ROLL_BACK, SHR_TABLE_CHANGES, HEIGHT("\4"), BYTES("\1\0\0\0\1b"),
     "that a block replaced is missing"},
    {ROLL_BACK, SHR_TABLE_CHANGES, HEIGHT("\4"), BYTES("\0\0\0\0\1a"), "listed twice, or as new"},
    {ROLL_BACK, SHR_TABLE_CHANGES, HEIGHT("\4"), BYTES("\1\0\0\0\1a\1\0\0\0\1a"), "listed twice"},
    {ROLL_BACK, SHR_TABLE_CHANGES, HEIGHT("\4"), BYTES("\1\0\0\0\1b\1\0\0\0\1a"), "not in order"},
    {ROLL_BACK, SHR_TABLE_CHANGES, HEIGHT("\3"), GONE, "the list"},
    {ROLL_BACK, SHR_TABLE_HISTORY, HISTORY_A("\3"), GONE, "that a block replaced is missing"},
    {ROLL_BACK, SHR_TABLE_HISTORY, HISTORY_A("\3"), BYTES("abc"), "a version is shorter"},
    {ROLL_BACK, SHR_TABLE_HISTORY, HISTORY_A("\3"), BYTES("\0\0\0\3"), "not older"},
    {ROLL_BACK, SHR_TABLE_BLOCKS, HEIGHT("\2"), GONE, "the record of a block"},
    {ROLL_BACK_ALL, SHR_TABLE_BLOCKS, HEIGHT("\1"), GONE, "the record of a block"},
    {ROLL_BACK_ALL, SHR_TABLE_META, BYTES("tip"), BYTES("abc"), "'default', key 0x746970"},
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

static void every_damage_is_reported(void **unused) {
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        const struct damage *damage = &damages[i];
        struct shr_store *store = shr_store_new_memory();
        struct shr_state *state = make(store);
        write_row(store, damage);
        assert_fails(reopen_and_act(store, damage->action, err), SHREWD_CORRUPT, damage->message);
        shr_state_close(state);
    }
}

/* What the table above relies on: without damage every action succeeds. */
static void sound_rows_pass(void **unused) {
    for (enum action action = OPEN; action <= ROLL_BACK_ALL; action++) {
        struct shr_store *store = shr_store_new_memory();
        struct shr_state *state = make(store);
        assert_ok(reopen_and_act(store, action, err));
        shr_state_close(state);
    }
}

/* --- The layout that doc/database.md promises, byte by byte --- */

static void assert_row(struct shr_store *store, enum shr_table table, struct shr_bytes key,
                       struct shr_bytes value) {
    struct shr_buf got = {0};
    assert_ok(shr_store_get(store, NULL, table, &got, key, err));
    assert_bytes(shr_buf_bytes(&got), value);
    shr_buf_free(&got);
}

static void add_hash(struct shr_buf *row, struct shr_bytes of) {
    struct shr_hash hash;
    shr_sha256(&hash, of);
    shr_buf_append(row, hash.b, sizeof hash.b);
}

/* The tree's one page: the hash of "b" comes before that of "a". */
static void check_pages(struct shr_store *store) {
    struct shr_buf row = {0};
    uint32_t height = 1;
    shr_buf_add(&row, TEXT("\2")); /* all of a bucket */
    add_hash(&row, TEXT("a"));
    add_hash(&row, shr_bytes(&height, sizeof height));
    assert_row(store, SHR_TABLE_ROOT, TEXT("\0\xff\xff\xff\xfe"), shr_buf_bytes(&row));
    shr_buf_clear(&row);
    height = 2;
    shr_buf_add(&row, TEXT("\4\1\0")); /* changes of a bucket: leaf 0, then a new one */
    add_hash(&row, shr_bytes(&height, sizeof height));
    add_hash(&row, TEXT("b"));
    add_hash(&row, TEXT("of block 2"));
    assert_row(store, SHR_TABLE_ROOT, TEXT("\0\xff\xff\xff\xfd"), shr_buf_bytes(&row));
    shr_buf_clear(&row);
    height = 3;
    shr_buf_add(&row, TEXT("\4\1\1"));
    add_hash(&row, shr_bytes(&height, sizeof height));
    assert_row(store, SHR_TABLE_ROOT, TEXT("\0\xff\xff\xff\xfc"), shr_buf_bytes(&row));
    assert_row(store, SHR_TABLE_ROOT_PAGES, TEXT("\0\0\0\1"), TEXT("\x80"));
    assert_row(store, SHR_TABLE_ROOT_PAGES, TEXT("\0\0\0\3"), TEXT("\0"));
    shr_buf_free(&row);
}

/* The tree's one page, of so many keys, of which each block after the first changes one: how often
 * its row is a whole page. */
static void check_whole_pages(unsigned n_keys, uint32_t period) {
    struct shr_store *store = shr_store_new_memory();
    struct shr_state *state = NULL;
    struct shr_pair pairs[32];
    assert_true(n_keys <= sizeof pairs / sizeof pairs[0]);
    assert_ok(shr_state_open(&state, store, &identity, false, err));
    for (uint32_t height = 1; height <= 3 * period; height++) {
        uint8_t keys[32];
        for (unsigned i = 0; i < n_keys; i++) {
            keys[i] = (uint8_t)i;
            pairs[i] = (struct shr_pair){shr_bytes(&keys[i], 1), shr_bytes(&height, 4)};
        }
        struct shr_block_change change = {
            .height = height, .pairs = pairs, .n_pairs = height == 1 ? n_keys : 1};
        assert_ok(shr_state_apply(state, &change, false, err));
        struct shr_height_key key = shr_height_key(height);
        assert_row(store, SHR_TABLE_ROOT_PAGES, shr_height_key_bytes(&key),
                   height % period == 1 ? TEXT("\x80") : TEXT("\0"));
    }
    shr_state_close(state);
}

static void whole_pages(void **unused) {
    check_whole_pages(1, 6);   /* of 65 bytes: 6 changes of 35 would come to three times that */
    check_whole_pages(32, 73); /* of 2049 bytes: 72 changes do not */
}

static void layout(void **unused) {
    struct shr_store *store = shr_store_new_memory();
    struct shr_state *state = make(store);
    static const uint8_t root[32] = {0xa1, 0xeb, 0xff, 0x0f, 0x97, 0xc6, 0xa2, 0x1e,
                                     0x2b, 0xb2, 0xb5, 0x4d, 0x4d, 0xc0, 0x05, 0xed,
                                     0xe0, 0xeb, 0xe5, 0xdc, 0xa0, 0x80, 0x61, 0x67,
                                     0xec, 0x72, 0x52, 0x21, 0xbc, 0xf2, 0x5d, 0xc6};
    uint8_t record[98] = {1}, identity_row[68] = {0}, tip[102];
    /* version, flags, hash, root, then four counters: keys, key bytes, value bytes, total keys */
    /* By doc/state-root.md: "a" is 4, 0, 0, 0 and "b" is "of block 2". */
    record[1] = 1;
    memcpy(record + 34, root, sizeof root);
    record[66 + 7] = 1;
    record[74 + 7] = 1;
    record[82 + 7] = 4;
    record[90 + 7] = 2;
    identity_row[67] = 1;
    shr_put_be32(tip, 4);
    memcpy(tip + 4, record, sizeof record);
    assert_row(store, SHR_TABLE_META, TEXT("format"), TEXT("shrewdDB\0\0\0\5"));
    assert_row(store, SHR_TABLE_META, TEXT("identity"),
               shr_bytes(identity_row, sizeof identity_row));
    assert_row(store, SHR_TABLE_META, TEXT("root"), TEXT("\1"));
    assert_row(store, SHR_TABLE_META, TEXT("tip"), shr_bytes(tip, sizeof tip));
    assert_row(store, SHR_TABLE_BLOCKS, TEXT("\0\0\0\4"), shr_bytes(record, sizeof record));
    assert_row(store, SHR_TABLE_CHANGES, TEXT("\0\0\0\1"), TEXT("\0\0\0\0\1a"));
    assert_row(store, SHR_TABLE_CHANGES, TEXT("\0\0\0\2"), TEXT("\1\0\0\0\1a\0\0\0\0\1b"));
    assert_row(store, SHR_TABLE_LATEST, TEXT("b"), TEXT("of block 2\0\0\0\2"));
    assert_row(store, SHR_TABLE_HISTORY, TEXT("\0\0\0\1a\0\0\0\4"), TEXT("\3\0\0\0\0\0\0\3"));
    check_pages(store);
    shr_state_close(state);
}

static void records_keep_their_root(void **unused) {
    struct shr_block_record got, record = {.height = 9, .has_root = true, .n_keys = UINT64_MAX};
    struct shr_buf row = {0};
    memset(record.root.b, 7, sizeof record.root.b);
    shr_record_encode(&row, &record);
    assert_null(shr_record_decode(&got, 9, shr_buf_bytes(&row)));
    assert_true(got.has_root);
    assert_true(shr_hash_eq(&got.root, &record.root));
    assert_true(got.n_keys == UINT64_MAX);
    row.data[1] = 2;
    assert_non_null(shr_record_decode(&got, 9, shr_buf_bytes(&row)));
    row.data[1] = 1;
    row.data[0] = 2;
    assert_non_null(shr_record_decode(&got, 9, shr_buf_bytes(&row)));
    shr_buf_free(&row);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_rows_pass),
        cmocka_unit_test(every_damage_is_reported),
        cmocka_unit_test(layout),
        cmocka_unit_test(whole_pages),
        cmocka_unit_test(records_keep_their_root),
    };
    return cmocka_run_group_tests_name("rows", tests, NULL, NULL);
}
