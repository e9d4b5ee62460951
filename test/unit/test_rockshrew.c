/* rockshrew-mono's layout: its rows one by one; whole databases imported, and exported again. */
#include "gate_store.h"
#include "state_model.h"

#include "base/endian.h"
#include "base/hex.h"
#include "state/rockshrew.h"

#include <rocksdb/c.h>
#include <sys/stat.h>

/* --- A database as rockshrew-mono would have written it --- */

struct old {
    char *dir, *scratch;
    const char *label;
    rocksdb_options_t *options;
    rocksdb_writeoptions_t *writes;
    rocksdb_readoptions_t *reads;
    rocksdb_t *db;
};

static void old_open(struct old *old, const char *label) {
    char *message = NULL;
    *old = (struct old){.dir = make_dir(), .scratch = make_dir(), .label = label};
    old->options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(old->options, 1);
    old->writes = rocksdb_writeoptions_create();
    old->reads = rocksdb_readoptions_create();
    old->db = rocksdb_open(old->options, old->dir, &message);
    assert_null(message);
}

static void old_close(struct old *old) {
    if (old->db != NULL) {
        rocksdb_close(old->db);
        old->db = NULL;
    }
}

static void old_free(struct old *old) {
    old_close(old);
    rocksdb_readoptions_destroy(old->reads);
    rocksdb_writeoptions_destroy(old->writes);
    rocksdb_options_destroy(old->options);
    remove_dir(old->dir);
    remove_dir(old->scratch);
}

/* A row as it is, without any label. */
static void put_row(struct old *old, struct shr_bytes row, struct shr_bytes value) {
    char *message = NULL;
    rocksdb_put(old->db, old->writes, (const char *)row.data, row.len, (const char *)value.data,
                value.len, &message);
    assert_null(message);
}

static void put_text(struct old *old, const char *row, const char *value) {
    put_row(old, shr_bytes_str(row), shr_bytes_str(value));
}

static void drop_row(struct old *old, const char *row) {
    char *message = NULL;
    rocksdb_delete(old->db, old->writes, row, strlen(row), &message);
    assert_null(message);
}

static void put_u32(struct old *old, const char *row, uint32_t value) {
    uint8_t bytes[4];
    shr_put_le32(bytes, value);
    put_row(old, shr_bytes_str(row), shr_bytes(bytes, 4));
}

/* A key's row, label and all. */
static void key_row(const struct old *old, struct shr_buf *out, struct shr_bytes key,
                    const char *last) {
    shr_buf_clear(out);
    if (old->label != NULL) {
        shr_buf_printf(out, "%s://", old->label);
    }
    shr_buf_add(out, key);
    shr_buf_printf(out, "/%s", last);
}

/* As append_update does there: the next entry, and the count. */
static void append(struct old *old, struct shr_bytes key, struct shr_bytes value, uint32_t height) {
    struct shr_buf row = {0}, text = {0};
    char *message = NULL, number[16];
    size_t len = 0;
    key_row(old, &row, key, "length");
    char *count = rocksdb_get(old->db, old->reads, (const char *)row.data, row.len, &len, &message);
    assert_null(message);
    uint32_t n = 0;
    if (count != NULL) {
        assert_true(shr_rockshrew_number(&n, shr_bytes(count, len)));
        rocksdb_free(count);
    }
    snprintf(number, sizeof number, "%u", n + 1);
    put_row(old, shr_buf_bytes(&row), shr_bytes_str(number));
    snprintf(number, sizeof number, "%u", n);
    key_row(old, &row, key, number);
    shr_buf_printf(&text, "%u:", height);
    shr_hex_encode(&text, value);
    put_row(old, shr_buf_bytes(&row), shr_buf_bytes(&text));
    shr_buf_free(&row);
    shr_buf_free(&text);
}

static void append_text(struct old *old, const char *key, const char *value, uint32_t height) {
    append(old, shr_bytes_str(key), shr_bytes_str(value), height);
}

/* The hash of the block of `height`, in internal order. */
static struct shr_hash hash_at(uint32_t height) {
    struct shr_hash hash = {{1, 2, 3}};
    shr_put_le32(hash.b + 28, height + 1);
    return hash;
}

static void put_hash(struct old *old, uint32_t height) {
    char row[64];
    uint8_t shown[32];
    struct shr_hash hash = hash_at(height);
    for (size_t i = 0; i < 32; i++) {
        shown[i] = hash.b[31 - i];
    }
    snprintf(row, sizeof row, "/__INTERNAL/height-to-hash/%u", height);
    put_row(old, shr_bytes_str(row), shr_bytes(shown, 32));
}

static void put_tip(struct old *old, uint32_t tip) {
    char row[64];
    snprintf(row, sizeof row, "%s%s/__INTERNAL/tip-height", old->label != NULL ? old->label : "",
             old->label != NULL ? "://" : "");
    put_u32(old, row, tip);
    put_u32(old, "__INTERNAL/height", tip);
}

static void put_chain(struct old *old, uint32_t start, uint32_t tip) {
    for (uint32_t height = start; height <= tip; height++) {
        put_hash(old, height);
    }
    put_tip(old, tip);
}

/* --- Importing --- */

static int import(const struct old *old, struct shr_state **out,
                  struct shr_rockshrew_counts *counts, struct shrewd_error *err) {
    struct shr_rockshrew *from = NULL;
    struct shr_identity identity = {.module_hash = {{9}}};
    uint32_t tip;
    *out = NULL;
    int code = shr_rockshrew_open(&from, old->dir, old->label, old->scratch, err);
    if (code == 0) {
        shr_rockshrew_range(from, &identity.start_height, &tip, &identity.genesis);
        code = shr_state_open(out, shr_store_new_memory(), &identity, false, err);
    }
    if (code == 0) {
        code = shr_rockshrew_import(from, *out, counts, err);
    }
    shr_rockshrew_close(from);
    if (code != 0) {
        shr_state_close(*out);
        *out = NULL;
    }
    return code;
}

static void assert_value(struct shr_state *state, const char *key, uint32_t height,
                         const char *want) {
    struct shr_reader *reader;
    struct shr_buf value = {0};
    assert_ok(shr_reader_open(&reader, state, err));
    int code = shr_reader_get(reader, &value, shr_bytes_str(key), height, NULL);
    assert_int_equal(code, want == NULL ? SHREWD_NOT_FOUND : 0);
    if (want != NULL) {
        assert_bytes(shr_buf_bytes(&value), shr_bytes_str(want));
    }
    shr_reader_close(reader);
    shr_buf_free(&value);
}

static void test_rows(void **state) {
    (void)state;
    struct shr_bytes key;
    uint32_t n = 7, height = 0;
    struct shr_buf value = {0};
    assert_int_equal(shr_rockshrew_row(&key, &n, TEXT("a/b/length")), SHR_ROCKSHREW_LENGTH);
    assert_bytes(key, TEXT("a/b"));
    assert_int_equal(shr_rockshrew_row(&key, &n, TEXT("a/length/0")), SHR_ROCKSHREW_ENTRY);
    assert_bytes(key, TEXT("a/length"));
    assert_int_equal(n, 0);
    assert_int_equal(shr_rockshrew_row(&key, &n, TEXT("\0/\xff/4294967295")), SHR_ROCKSHREW_ENTRY);
    assert_bytes(key, TEXT("\0/\xff"));
    assert_int_equal(n, UINT32_MAX);
    assert_int_equal(shr_rockshrew_row(&key, &n, TEXT("/length")), SHR_ROCKSHREW_LENGTH);
    assert_int_equal(key.len, 0);
    static const char *const others[] = {"",
                                         "/",
                                         "length",
                                         "12",
                                         "a/01",
                                         "a/1x",
                                         "a/-1",
                                         "a/",
                                         "a/4294967296",
                                         "a/lengths",
                                         "a/ 1",
                                         "a/+1x",
                                         "__INTERNAL/heights"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_int_equal(shr_rockshrew_row(&key, &n, shr_bytes_str(others[i])),
                         SHR_ROCKSHREW_OTHER);
    }
    static const char *const internal[] = {"/__INTERNAL/tip-height",
                                           "__INTERNAL/height",
                                           "/__INTERNAL/height-to-hash/12",
                                           "smt:root:5",
                                           "smt:node:x",
                                           "block_hash_3",
                                           "state_root_3"};
    for (size_t i = 0; i < sizeof internal / sizeof internal[0]; i++) {
        assert_int_equal(shr_rockshrew_row(&key, &n, shr_bytes_str(internal[i])),
                         SHR_ROCKSHREW_INTERNAL);
    }
    /* A guest may have keys that look like it. */
    assert_int_equal(shr_rockshrew_row(&key, &n, TEXT("smt:root:5/0")), SHR_ROCKSHREW_ENTRY);
    assert_int_equal(shr_rockshrew_row(&key, &n, TEXT("__INTERNAL/height/length")),
                     SHR_ROCKSHREW_LENGTH);

    assert_true(shr_rockshrew_entry(&height, &value, TEXT("12:0aFf")));
    assert_int_equal(height, 12);
    assert_bytes(shr_buf_bytes(&value), TEXT("\x0a\xff"));
    assert_true(shr_rockshrew_entry(&height, &value, TEXT("0:")));
    assert_int_equal(value.len, 0);
    static const char *const bad[] = {"",    ":",    "1",    "1:0",    "1:0g",          ":00",
                                      "a:0", "01:0", "1:0x", "1:0x00", "4294967296:00", "-1:00"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(shr_rockshrew_entry(&height, &value, shr_bytes_str(bad[i])));
    }
    shr_buf_free(&value);
}

/* What may be in such a database besides plain entries, in one. */
static void test_oddities(void **unused) {
    (void)unused;
    struct old old;
    struct shr_state *state;
    struct shr_rockshrew_counts counts;
    struct shr_block_record block;
    old_open(&old, NULL);
    put_chain(&old, 0, 5);
    append_text(&old, "/k", "zero", 0);
    append_text(&old, "/k", "first", 2); /* superseded */
    append_text(&old, "/k", "second", 2);
    append_text(&old, "/k", "", 4);
    append_text(&old, "/k/length", "a list's", 1);
    append_text(&old, "/k/0", "inner", 3);
    append_text(&old, "", "no name", 1);
    append_text(&old, "reorg", "a", 1);
    append_text(&old, "reorg", "lost 3", 3);
    append_text(&old, "reorg", "lost 4", 4);
    append_text(&old, "reorg", "new 3", 3);
    append_text(&old, "reorg", "five", 5);
    append_text(&old, "cut", "kept", 5);
    append_text(&old, "cut", "not whole", 6);
    append_text(&old, "only above", "x", 6);
    put_text(&old, "/k/4", "3:00"); /* beyond the count */
    put_text(&old, "smt:root:3", "a root");
    put_text(&old, "what is this", "?");
    put_u32(&old, "/__INTERNAL/tip-height", 6);
    old_close(&old);
    assert_ok(import(&old, &state, &counts, err));
    assert_value(state, "/k", 0, "zero");
    assert_value(state, "/k", 1, "zero");
    assert_value(state, "/k", 2, "second");
    assert_value(state, "/k", 3, "second");
    assert_value(state, "/k", 5, "");
    assert_value(state, "/k/length", 0, NULL);
    assert_value(state, "/k/length", 1, "a list's");
    assert_value(state, "/k/0", 3, "inner");
    assert_value(state, "", 5, "no name");
    assert_value(state, "reorg", 2, "a");
    assert_value(state, "reorg", 3, "new 3");
    assert_value(state, "reorg", 4, "new 3");
    assert_value(state, "reorg", 5, "five");
    assert_value(state, "cut", 5, "kept");
    assert_value(state, "only above", 5, NULL);
    assert_int_equal(counts.keys, 6);
    assert_int_equal(counts.entries, 10);
    assert_int_equal(counts.superseded, 2); /* "lost 3" is one, too */
    assert_int_equal(counts.orphaned, 1);
    assert_int_equal(counts.above_tip, 2);
    assert_int_equal(counts.unreached, 1);
    assert_int_equal(counts.other_rows, 1);
    assert_string_equal(counts.other_row, "what is this");
    assert_true(counts.heights_differ);
    for (uint32_t height = 0; height <= 5; height++) {
        struct shr_hash want = hash_at(height);
        assert_ok(shr_state_block(state, &block, height, err));
        assert_true(shr_hash_eq(&block.hash, &want));
    }
    assert_fails(shr_state_block(state, &block, 6, err), SHREWD_ABOVE_TIP, "6");
    shr_state_close(state);
    old_free(&old);
}

/* Each wrong row is named. */
static void test_bad_rows(void **unused) {
    (void)unused;
    static const struct {
        const char *row, *value; /* value NULL: the row is removed */
        int code;
        const char *says;
    } cases[] = {
        {"k/0", "2", SHREWD_CORRUPT, "the row 'k/0'"},
        {"k/1", "3:0", SHREWD_CORRUPT, "the row 'k/1'"},
        {"k/0", "0:00", SHREWD_CORRUPT, "below the first"},
        {"k/1", NULL, SHREWD_CORRUPT, "the row 'k/1'"},
        {"k/length", "x", SHREWD_CORRUPT, "the row 'k/length'"},
        {"k/length", "3", SHREWD_CORRUPT, "the row 'k/2'"},
        {"/__INTERNAL/height-to-hash/3", NULL, SHREWD_CORRUPT, "height-to-hash/3"},
        {"/__INTERNAL/height-to-hash/3", "short", SHREWD_CORRUPT, "height-to-hash/3"},
        {"/__INTERNAL/height-to-hash/x", "", SHREWD_CORRUPT, "height-to-hash/x"},
        {"/__INTERNAL/tip-height", "abc", SHREWD_CORRUPT, "tip-height"},
        {"/__INTERNAL/tip-height", NULL, SHREWD_MISMATCH, "tip-height"},
        {"__INTERNAL/height", "\x01\x00\x00\x00\x00", SHREWD_CORRUPT, "__INTERNAL/height"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct old old;
        struct shr_state *state;
        struct shr_rockshrew_counts counts;
        old_open(&old, NULL);
        put_chain(&old, 1, 4);
        append_text(&old, "k", "v", 2);
        append_text(&old, "k", "w", 3);
        if (cases[i].value == NULL) {
            drop_row(&old, cases[i].row);
        } else {
            put_text(&old, cases[i].row, cases[i].value);
        }
        old_close(&old);
        assert_fails(import(&old, &state, &counts, err), cases[i].code, cases[i].says);
        old_free(&old);
    }
}

static void test_other_folders(void **unused) {
    (void)unused;
    struct old old;
    struct shr_state *state;
    struct shr_rockshrew_counts counts;
    old_open(&old, NULL);
    old_close(&old);
    assert_fails(import(&old, &state, &counts, err), SHREWD_MISMATCH, "there is no row");
    old_free(&old);
    old_open(&old, NULL);
    put_tip(&old, 3);
    old_close(&old);
    assert_fails(import(&old, &state, &counts, err), SHREWD_NOT_FOUND, "no block hash");
    old_free(&old);
    old_open(&old, "main net");
    append_text(&old, "k", "v", 0);
    put_chain(&old, 0, 0);
    old_close(&old);
    old.label = NULL;
    assert_fails(import(&old, &state, &counts, err), SHREWD_MISMATCH, "--label main net");
    old.label = "other";
    assert_fails(import(&old, &state, &counts, err), SHREWD_MISMATCH,
                 "begins with 'other://'; the labels there are: main net");
    old_free(&old);
    /* Records without the label do not make it that label's. */
    old_open(&old, "b");
    append_text(&old, "k", "v", 0);
    old.label = "a";
    append_text(&old, "k", "v", 0);
    append_text(&old, "l", "v", 0);
    old.label = NULL;
    put_chain(&old, 0, 0);
    old_close(&old);
    old.label = "typo";
    assert_fails(import(&old, &state, &counts, err), SHREWD_MISMATCH, "there are: a, b");
    old_free(&old);
    old_open(&old, NULL);
    append_text(&old, "/x://y", "v", 0);
    put_chain(&old, 0, 0);
    old_close(&old);
    old.label = "typo";
    assert_fails(import(&old, &state, &counts, err), SHREWD_MISMATCH, "leave --label out");
    old_free(&old);
    char *dir = make_dir();
    old = (struct old){.dir = dir, .scratch = dir};
    assert_fails(import(&old, &state, &counts, err), SHREWD_NOT_FOUND, "holds no RocksDB database");
    remove_dir(dir);
}

/* --- Random histories, there and back --- */

/* What rockshrew-mono would have written for the chain, with blocks now and then indexed twice
 * because of a reorg. */
static void write_chain(struct old *old, const struct chain *chain, struct rng *rng) {
    struct shr_buf junk = {0};
    for (size_t b = 0; b < chain->n; b++) {
        const struct model_block *block = &chain->blocks[b];
        uint32_t height = chain->start + (uint32_t)b;
        for (uint32_t lost = rng_below(rng, 4) == 0 ? rng_below(rng, 6) : 0; lost > 0; lost--) {
            if (b + 1 < chain->n) { /* else nothing later says that it is lost */
                rng_value(rng, &junk);
                const struct model_block *next = &chain->blocks[b + 1];
                size_t i = next->n > 0 ? rng_below(rng, (uint32_t)next->n) : 0;
                if (block->n > 0 && next->n > 0) {
                    append(old, shr_buf_bytes(&next->keys[i]), shr_buf_bytes(&junk), height + 1);
                }
            }
        }
        for (size_t i = 0; i < block->n; i++) {
            append(old, shr_buf_bytes(&block->keys[i]), shr_buf_bytes(&block->values[i]), height);
        }
    }
    shr_buf_free(&junk);
}

static void check_state(struct shr_state *state, const struct chain *chain, struct rng *rng) {
    struct shr_reader *reader;
    assert_ok(shr_reader_open(&reader, state, err));
    check_reader(reader, chain, rng);
    shr_reader_close(reader);
}

static void test_random(void **unused) {
    (void)unused;
    struct rng rng = {.state = 12};
    for (int round = 0; round < 12; round++) {
        struct chain chain = {.start = 1 + rng_below(&rng, 3) * 7};
        struct old old, again;
        struct shr_state *state, *back;
        struct shr_rockshrew_counts counts;
        const char *label = round % 3 == 2 ? "lab" : NULL;
        size_t n = 1 + rng_below(&rng, 30);
        old_open(&old, label);
        for (size_t b = 0; b < n; b++) {
            chain_grow(&chain, &rng);
            chain.blocks[b].hash = hash_at(chain.start + (uint32_t)b);
        }
        write_chain(&old, &chain, &rng);
        put_chain(&old, chain.start, chain.start + (uint32_t)n - 1);
        old_close(&old);
        assert_ok(import(&old, &state, &counts, err));
        assert_int_equal(counts.unreached + counts.above_tip + counts.other_rows, 0);
        check_state(state, &chain, &rng);
        /* There and back: the same state. */
        old_open(&again, label);
        old_close(&again);
        remove_dir(again.dir);
        again.dir = shr_asprintf("%s/db", again.scratch);
        assert_ok(shr_rockshrew_export(state, again.dir, label, &counts, err));
        shr_state_close(state);
        assert_ok(import(&again, &back, &counts, err));
        assert_int_equal(counts.superseded + counts.orphaned, 0);
        check_state(back, &chain, &rng);
        shr_state_close(back);
        chain_free(&chain);
        old_free(&old);
        old_free(&again);
    }
}

/* A group that is loaded whole, and not finished, as found by whoever opens the database to read.
 */
static void leave_ahead(struct shr_state **state, struct gate_store *gate, struct chain *chain,
                        struct rng *rng) {
    struct shrewd_error failure;
    chain_grow(chain, rng);
    chain_grow(chain, rng);
    shr_state_set_load_min(*state, 1);
    gate->loads_left = 5;
    atomic_store(&gate->fail_with, SHREWD_IO);
    assert_int_equal(chain_apply_lasts(*state, chain, 2, &failure), SHREWD_IO);
    chain_pop(chain);
    chain_pop(chain);
    gate->kept = true;
    shr_state_close(*state);
    gate->kept = false;
    gate->store.read_only = true;
    assert_ok(shr_state_open(state, &gate->store, NULL, false, err));
}

/* Heights whose versions are gone are not in an export, nor is what is ahead of the tip. */
static void test_pruned(void **unused) {
    (void)unused;
    struct rng rng = {.state = 5};
    struct old again = {.scratch = make_dir()};
    struct shr_state *state, *back;
    struct shr_rockshrew_counts counts;
    struct shr_prune_step step = {.more = true};
    struct shr_identity identity = {.start_height = 1};
    struct chain chain = {.start = 1};
    struct gate_store *gate = gate_new();
    assert_ok(shr_state_open(&state, &gate->store, &identity, false, err));
    for (uint32_t height = 1; height <= 20; height++) {
        chain_grow(&chain, &rng);
        chain.blocks[height - 1].hash = hash_at(height);
        assert_ok(chain_apply_last(state, &chain, err));
    }
    while (step.more) {
        assert_ok(shr_state_prune(state, 13, 1000, &step, err));
    }
    leave_ahead(&state, gate, &chain, &rng);
    again.dir = shr_asprintf("%s/db", again.scratch);
    assert_ok(shr_rockshrew_export(state, again.dir, NULL, &counts, err));
    assert_ok(import(&again, &back, &counts, err));
    shr_state_identity(back, &identity);
    assert_int_equal(identity.start_height, 13);
    struct shr_reader *reader;
    assert_ok(shr_reader_open(&reader, back, err));
    for (size_t b = 12; b < 20; b++) {
        check_each(reader, &chain, b, NO_BYTES, SIZE_MAX);
    }
    shr_reader_close(reader);
    shr_state_close(back);
    shr_state_close(state);
    chain_free(&chain);
    remove_dir(again.dir);
    remove_dir(again.scratch);
}

static void test_export_refuses(void **unused) {
    (void)unused;
    struct shr_state *state;
    struct shr_rockshrew_counts counts;
    struct shr_identity identity = {.module_hash = {{9}}};
    char *dir = make_dir();
    assert_ok(shr_state_open(&state, shr_store_new_memory(), &identity, false, err));
    assert_int_equal(shr_rockshrew_export(state, dir, NULL, &counts, NULL), SHREWD_NOT_FOUND);
    struct shr_block_change change = {.height = 0};
    assert_ok(shr_state_apply(state, &change, false, err));
    assert_ok(shr_rockshrew_export(state, dir, NULL, &counts, err));
    assert_int_equal(counts.keys, 0);
    assert_fails(shr_rockshrew_export(state, dir, NULL, &counts, err), SHREWD_IO, dir);
    shr_state_close(state);
    remove_dir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),           cmocka_unit_test(test_oddities),
        cmocka_unit_test(test_bad_rows),       cmocka_unit_test(test_other_folders),
        cmocka_unit_test(test_random),         cmocka_unit_test(test_pruned),
        cmocka_unit_test(test_export_refuses),
    };
    return cmocka_run_group_tests_name("rockshrew", tests, NULL, NULL);
}
