/* Block files: every layout the source accepts, and what it does with damage. */
#include "base/endian.h"
#include "base/file.h"
#include "base/log.h"
#include "chain/build.h"
#include "node/source.h"

#include "chain/network.h"
#include "shared_blocks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static char folder[] = "/tmp/shrewd-files-XXXXXX";
static struct shr_stop stop;
static struct shr_buf log_text;

static void keep_log(void *ctx, enum shr_log_level level, const char *room, const char *message) {
    if (level >= SHR_LOG_WARN) {
        shr_buf_printf(&log_text, "%s\n", message);
    }
}

static void assert_logged(const char *text) {
    if (strstr(shr_buf_cstr(&log_text), text) == NULL) {
        fail_msg("the log does not say \"%s\": %s", text, shr_buf_cstr(&log_text));
    }
}

static char *in_folder(const char *name) {
    return shr_asprintf("%s/%s", folder, name);
}

static void write_file(const char *name, struct shr_bytes bytes) {
    char *path = in_folder(name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes.data, 1, bytes.len, file), bytes.len);
    assert_int_equal(fclose(file), 0);
    free(path);
}

static int try_open(struct shr_source **out, const char *name, uint32_t first_height,
                    struct shrewd_error *err) {
    char *path = in_folder(name);
    shr_buf_clear(&log_text);
    int status = shr_files_open(out, &stop, path, first_height, err);
    free(path);
    return status;
}

static struct shr_source *open_source(const char *name, uint32_t first_height) {
    struct shr_source *source = NULL;
    struct shrewd_error err = {0};
    if (try_open(&source, name, first_height, &err) != 0) {
        fail_msg("%s: %s", name, err.message);
    }
    return source;
}

#define N_BLOCKS 12

/* A chain on regtest's genesis, and one that leaves it after block 5 and is one block longer. */
struct chain {
    struct shr_buf blocks[N_BLOCKS + 2]; /* by height; 0 is the genesis block */
    struct shr_hash hashes[N_BLOCKS + 2];
    uint32_t tip;
};

static struct chain trunk;
static struct chain branch;

static void extend(struct chain *chain, uint32_t from, uint32_t to, const char *extra) {
    chain->tip = to;
    for (uint32_t height = from; height <= to; height++) {
        const struct shr_build_output reward = {50, shr_bytes_str("somebody's script")};
        const struct shr_build_block build = {
            .version = 0x20000000,
            .prev = chain->hashes[height - 1],
            .bits = SHR_REGTEST_BITS,
            .time = 1600000000 + height,
            .height = height,
            .extra = shr_bytes_str(extra),
            .outputs = &reward,
            .n_outputs = 1,
        };
        assert_int_equal(
            shr_write_block(&chain->blocks[height], &chain->hashes[height], &build, NULL), 0);
    }
}

static int make_chains(void **state) {
    const struct shr_network *regtest = shr_network_by_name("regtest");
    shr_log_set_sink(keep_log, NULL);
    shr_network_genesis(&trunk.blocks[0], regtest);
    trunk.hashes[0] = regtest->genesis_hash;
    extend(&trunk, 1, N_BLOCKS, "trunk");
    for (uint32_t height = 0; height <= 5; height++) {
        shr_buf_add(&branch.blocks[height], shr_buf_bytes(&trunk.blocks[height]));
        branch.hashes[height] = trunk.hashes[height];
    }
    extend(&branch, 6, N_BLOCKS + 1, "branch");
    return shr_stop_init(&stop) != 0 || mkdtemp(folder) == NULL;
}

static int remove_all(void **state) {
    for (size_t i = 0; i < N_BLOCKS + 2; i++) {
        shr_buf_free(&trunk.blocks[i]);
        shr_buf_free(&branch.blocks[i]);
    }
    shr_log_set_sink(NULL, NULL);
    shr_buf_free(&log_text);
    shr_stop_deinit(&stop);
    char *command = shr_asprintf("rm -r '%s'", folder);
    int status = system(command);
    free(command);
    return status;
}

static void add_record(struct shr_buf *out, const struct shr_buf *block) {
    shr_buf_append(out, shr_network_by_name("regtest")->magic, 4);
    shr_buf_add_le32(out, (uint32_t)block->len);
    shr_buf_add(out, shr_buf_bytes(block));
}

/* The source's best chain is exactly these blocks from `first` on, each whole. */
static void assert_serves(struct shr_source *source, const struct chain *chain, uint32_t first) {
    struct shr_tip tip;
    struct shr_hash hash;
    struct shr_buf block = {0};
    assert_int_equal(shr_source_tip(source, &tip, NULL), 0);
    assert_int_equal(tip.height, chain->tip);
    assert_true(shr_hash_eq(&tip.hash, &chain->hashes[chain->tip]));
    for (uint32_t height = first; height <= chain->tip; height++) {
        assert_int_equal(shr_source_hash_at(source, &hash, height, NULL), 0);
        assert_true(shr_hash_eq(&hash, &chain->hashes[height]));
        assert_int_equal(shr_source_block(source, &block, &hash, NULL), 0);
        assert_true(shr_bytes_eq(shr_buf_bytes(&block), shr_buf_bytes(&chain->blocks[height])));
    }
    shr_buf_free(&block);
    struct shrewd_error err;
    assert_int_equal(shr_source_hash_at(source, &hash, chain->tip + 1, &err), SHREWD_NOT_FOUND);
    if (first > 0) {
        assert_int_equal(shr_source_hash_at(source, &hash, first - 1, &err), SHREWD_NOT_FOUND);
    }
    memset(&hash, 7, sizeof hash);
    assert_int_equal(shr_source_block(source, &block, &hash, &err), SHREWD_NOT_FOUND);
    assert_int_equal(shr_source_genesis(source, &hash, NULL), 0);
    assert_true(shr_hash_eq(&hash, &shr_network_by_name("regtest")->genesis_hash));
    assert_true(source->ops->finite);
    assert_int_equal(shr_source_wait(source, 1, NULL), 0);
}

static void assert_file_serves(const struct shr_buf *records, const struct chain *chain) {
    write_file("bootstrap.dat", shr_buf_bytes(records));
    struct shr_source *source = open_source("bootstrap.dat", 0);
    assert_serves(source, chain, 0);
    shr_source_close(source);
}

static void records_in_any_order(void **state) {
    struct shr_buf forwards = {0};
    struct shr_buf backwards = {0};
    struct shr_buf twice = {0};
    for (uint32_t height = 0; height <= N_BLOCKS; height++) {
        add_record(&forwards, &trunk.blocks[height]);
        add_record(&backwards, &trunk.blocks[N_BLOCKS - height]);
        add_record(&twice, &trunk.blocks[height]);
        add_record(&twice, &trunk.blocks[height / 2]);
    }
    assert_file_serves(&forwards, &trunk);
    assert_file_serves(&backwards, &trunk);
    assert_file_serves(&twice, &trunk);
    assert_int_equal(log_text.len, 0);
    shr_buf_free(&forwards);
    shr_buf_free(&backwards);
    shr_buf_free(&twice);
}

static void genesis_is_supplied(void **state) {
    struct shr_buf records = {0};
    for (uint32_t height = N_BLOCKS; height >= 1; height--) {
        add_record(&records, &trunk.blocks[height]);
    }
    assert_file_serves(&records, &trunk);
    shr_buf_free(&records);
}

static void most_work_wins(void **state) {
    struct shr_buf records = {0};
    for (uint32_t height = 0; height <= N_BLOCKS; height++) {
        add_record(&records, &trunk.blocks[height]);
        if (height > 5) {
            add_record(&records, &branch.blocks[height]);
        }
    }
    assert_file_serves(&records, &trunk); /* equal work: found first */
    add_record(&records, &branch.blocks[N_BLOCKS + 1]);
    assert_file_serves(&records, &branch);

    /* The side chain's blocks can be had all the same. */
    struct shr_source *source = open_source("bootstrap.dat", 0);
    struct shr_buf block = {0};
    assert_int_equal(shr_source_block(source, &block, &trunk.hashes[9], NULL), 0);
    assert_true(shr_bytes_eq(shr_buf_bytes(&block), shr_buf_bytes(&trunk.blocks[9])));
    shr_buf_free(&block);
    shr_source_close(source);
    shr_buf_free(&records);
}

static void a_chain_without_its_beginning(void **state) {
    struct shr_buf records = {0};
    for (uint32_t height = 4; height <= N_BLOCKS; height++) {
        add_record(&records, &trunk.blocks[height]);
    }
    write_file("tail.dat", shr_buf_bytes(&records));
    struct shr_source *source = open_source("tail.dat", 4);
    assert_serves(source, &trunk, 4);
    shr_source_close(source);

    /* With the beginning, but a gap: what leads back to genesis counts, though it is shorter. */
    add_record(&records, &trunk.blocks[1]);
    write_file("gap.dat", shr_buf_bytes(&records));
    source = open_source("gap.dat", 4);
    struct shr_tip tip;
    assert_int_equal(shr_source_tip(source, &tip, NULL), 0);
    assert_int_equal(tip.height, 1);
    assert_logged("9 blocks are left out");
    shr_source_close(source);

    struct shrewd_error err;
    assert_int_equal(try_open(&source, "tail.dat", UINT32_MAX - 3, &err), SHREWD_INVALID);
    shr_buf_free(&records);
}

static void garbage_between_records(void **state) {
    struct shr_buf records = {0};
    shr_buf_add_str(&records, "something else");
    const uint8_t *magic = shr_network_by_name("regtest")->magic;
    for (uint32_t height = 1; height <= N_BLOCKS; height++) {
        add_record(&records, &trunk.blocks[height]);
        if (height == 3) { /* zeros, as where a node preallocated */
            memset(shr_buf_grow(&records, 300000), 0, 300000);
        }
        if (height == 5) { /* magics that begin no record, over more than a search window */
            for (size_t i = 0; i < 150000; i++) {
                shr_buf_append(&records, magic, 1 + i % 4);
            }
        }
        if (height == 7) {
            shr_buf_append(&records, magic, 4);
            shr_buf_add_le32(&records, UINT32_MAX);
        }
    }
    shr_buf_append(&records, magic, 4); /* and a beginning of one at the end */
    assert_file_serves(&records, &trunk);
    assert_logged("bytes 0 to 13 are neither a block nor empty");
    shr_buf_free(&records);
}

static void every_cut(void **state) {
    struct shr_buf records = {0};
    add_record(&records, &trunk.blocks[0]);
    add_record(&records, &trunk.blocks[1]);
    size_t whole = records.len;
    add_record(&records, &trunk.blocks[2]);
    for (size_t len = whole; len < records.len; len++) {
        write_file("cut.dat", shr_bytes(records.data, len));
        struct shr_source *source = open_source("cut.dat", 0);
        struct shr_tip tip;
        assert_int_equal(shr_source_tip(source, &tip, NULL), 0);
        assert_int_equal(tip.height, 1);
        if (len > whole + 88) {
            assert_logged("it is left out");
        } else if (len > whole) {
            assert_logged("neither a block nor empty");
        }
        shr_source_close(source);
    }
    shr_buf_free(&records);
}

static void assert_open_fails(const char *name, int code, const char *reason) {
    struct shr_source *source;
    struct shrewd_error err = {0};
    assert_int_equal(try_open(&source, name, 0, &err), code);
    if (strstr(err.message, reason) == NULL || strstr(err.message, name) == NULL) {
        fail_msg("\"%s\" does not say \"%s\" of %s", err.message, reason, name);
    }
}

static void nothing_to_read(void **state) {
    assert_open_fails("absent", SHREWD_IO, "No such file");
    write_file("empty", shr_bytes(NULL, 0));
    assert_open_fails("empty", SHREWD_IO, "holds no block: expected records");
    write_file("text", shr_bytes_str("this is a text, and no block chain, however long it may be; "
                                     "it goes on and on and on, past the length of a header"));
    assert_open_fails("text", SHREWD_IO, "holds no block");
    char *path = in_folder("nothing");
    assert_int_equal(shr_dir_make(path, NULL), 0);
    free(path);
    assert_open_fails("nothing", SHREWD_IO, "holds no blk*.dat");
    write_file("nothing/blk00000.dat", shr_bytes(NULL, 0));
    assert_open_fails("nothing", SHREWD_IO, "holds no block");
    write_file("nothing/xor.dat", shr_bytes_str("short"));
    assert_open_fails("nothing", SHREWD_IO, "has 5 bytes, but a key has 8");
    /* Only the first block, cut short. */
    struct shr_buf records = {0};
    add_record(&records, &trunk.blocks[0]);
    write_file("stump", shr_bytes(records.data, records.len - 1));
    assert_open_fails("stump", SHREWD_IO, "holds no block");
    assert_logged("it is left out");
    shr_buf_free(&records);
}

static void write_keyed(const char *name, const struct shr_buf *records, const uint8_t key[8],
                        size_t n_zeros) {
    struct shr_buf stored = {0};
    shr_buf_add(&stored, shr_buf_bytes(records));
    for (size_t i = 0; i < stored.len; i++) {
        stored.data[i] ^= key[i % 8];
    }
    memset(shr_buf_grow(&stored, n_zeros), 0, n_zeros); /* preallocated: never XORed */
    write_file(name, shr_buf_bytes(&stored));
    shr_buf_free(&stored);
}

static void a_nodes_folder(void **state) {
    static const uint8_t key[8] = {0x13, 0x9a, 0xf0, 0x01, 0xfa, 0xbf, 0xb5, 0xda};
    struct shr_buf files[3] = {{0}};
    char *path = in_folder("blocks");
    assert_int_equal(shr_dir_make(path, NULL), 0);
    free(path);
    for (uint32_t height = N_BLOCKS + 1; height-- > 0;) {
        add_record(&files[(height * 7) % 3], &trunk.blocks[height]);
    }
    write_keyed("blocks/blk00000.dat", &files[0], key, 1000000);
    write_keyed("blocks/blk00001.dat", &files[1], key, 0);
    write_keyed("blocks/blk00002.dat", &files[2], key, 3);
    write_file("blocks/xor.dat", shr_bytes(key, sizeof key));
    write_file("blocks/rev00000.dat", shr_bytes_str("undo data is of no interest"));
    write_file("blocks/blk00003.dat.bak", shr_bytes_str("neither is this"));
    struct shr_source *source = open_source("blocks", 0);
    assert_serves(source, &trunk, 0);
    assert_int_equal(log_text.len, 0);
    shr_source_close(source);

    /* One of the files by itself finds its key as well: block 0, 3, 6 ... only. */
    source = open_source("blocks/blk00000.dat", 0);
    struct shr_hash hash;
    struct shr_buf block = {0};
    assert_int_equal(shr_source_hash_at(source, &hash, 0, NULL), 0);
    assert_int_equal(shr_source_block(source, &block, &trunk.hashes[9], NULL), 0);
    assert_true(shr_bytes_eq(shr_buf_bytes(&block), shr_buf_bytes(&trunk.blocks[9])));
    shr_buf_free(&block);
    shr_source_close(source);
    for (size_t i = 0; i < 3; i++) {
        shr_buf_free(&files[i]);
    }
}

static void one_raw_block(void **state) {
    write_file("raw", shr_buf_bytes(&trunk.blocks[7]));
    struct shr_source *source = open_source("raw", 7);
    struct chain one = trunk;
    one.tip = 7;
    assert_serves(source, &one, 7);
    shr_source_close(source);
    for (size_t cut = 1; cut < 30; cut++) {
        write_file("raw", shr_bytes(trunk.blocks[7].data, trunk.blocks[7].len - cut));
        assert_open_fails("raw", SHREWD_BAD_BLOCK, "begins like one raw block");
    }
}

static void a_file_that_shrinks(void **state) {
    struct shr_buf records = {0};
    add_record(&records, &trunk.blocks[0]);
    add_record(&records, &trunk.blocks[1]);
    write_file("shrinks", shr_buf_bytes(&records));
    struct shr_source *source = open_source("shrinks", 0);
    write_file("shrinks", shr_bytes(records.data, 400));
    struct shr_buf block = {0};
    struct shrewd_error err = {0};
    assert_int_equal(shr_source_block(source, &block, &trunk.hashes[1], &err), SHREWD_IO);
    assert_non_null(strstr(err.message, "changed meanwhile"));
    shr_buf_free(&block);
    shr_source_close(source);
    shr_buf_free(&records);
}

static void stopped_while_scanning(void **state) {
    struct shr_stop now;
    struct shr_source *source;
    struct shrewd_error err;
    struct shr_buf records = {0};
    add_record(&records, &trunk.blocks[0]);
    write_file("stopped", shr_buf_bytes(&records));
    char *path = in_folder("stopped");
    assert_int_equal(shr_stop_init(&now), 0);
    shr_stop_request(&now);
    assert_int_equal(shr_files_open(&source, &now, path, 0, &err), SHREWD_STOPPED);
    shr_stop_deinit(&now);
    free(path);
    shr_buf_free(&records);
}

static void first_mainnet_blocks(void **state) {
    struct shr_buf records = {0};
    if (!shared_first_blocks(&records)) {
        skip();
    }
    write_file("mainnet.dat", shr_buf_bytes(&records));
    struct shr_source *source = open_source("mainnet.dat", 0);
    const struct shr_network *mainnet = shr_network_by_name("main");
    struct shr_tip tip;
    struct shr_hash hash;
    struct shr_buf block = {0};
    assert_int_equal(shr_source_tip(source, &tip, NULL), 0);
    assert_int_equal(tip.height, 255);
    for (uint32_t height = 0; height <= 255; height++) {
        assert_int_equal(shr_source_hash_at(source, &hash, height, NULL), 0);
        assert_int_equal(shr_source_block(source, &block, &hash, NULL), 0);
        assert_int_equal(shr_block_check(NULL, NULL, shr_buf_bytes(&block), &hash, NULL), 0);
        assert_true(height != 0 || shr_hash_eq(&hash, &mainnet->genesis_hash));
    }
    assert_int_equal(shr_source_genesis(source, &hash, NULL), 0);
    assert_true(shr_hash_eq(&hash, &mainnet->genesis_hash));
    shr_source_close(source);
    shr_buf_free(&block);
    shr_buf_free(&records);
}

static void a_raw_mainnet_block(void **state) {
    char *path = shared_block_path("mainnet-849236.bin");
    if (path == NULL) {
        skip();
    }
    struct shr_source *source;
    struct shr_hash hash;
    struct shr_tip tip;
    struct shr_buf block = {0};
    assert_int_equal(shr_files_open(&source, &stop, path, 849236, NULL), 0);
    assert_int_equal(shr_source_tip(source, &tip, NULL), 0);
    assert_int_equal(tip.height, 849236);
    assert_int_equal(shr_source_block(source, &block, &tip.hash, NULL), 0);
    assert_int_equal(shr_block_check(NULL, NULL, shr_buf_bytes(&block), &tip.hash, NULL), 0);
    assert_int_equal(shr_source_genesis(source, &hash, NULL), 0);
    assert_true(shr_hash_eq(&hash, &shr_network_by_name("main")->genesis_hash));
    shr_source_close(source);
    shr_buf_free(&block);
    free(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_in_any_order),    cmocka_unit_test(genesis_is_supplied),
        cmocka_unit_test(most_work_wins),          cmocka_unit_test(a_chain_without_its_beginning),
        cmocka_unit_test(garbage_between_records), cmocka_unit_test(every_cut),
        cmocka_unit_test(nothing_to_read),         cmocka_unit_test(a_nodes_folder),
        cmocka_unit_test(one_raw_block),           cmocka_unit_test(a_file_that_shrinks),
        cmocka_unit_test(stopped_while_scanning),  cmocka_unit_test(first_mainnet_blocks),
        cmocka_unit_test(a_raw_mainnet_block),
    };
    return cmocka_run_group_tests_name("files", tests, make_chains, remove_all);
}
