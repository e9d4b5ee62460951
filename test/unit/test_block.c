/* Blocks: the networks' genesis blocks, real mainnet blocks, built ones, and each broken in every
 * way that shr_block_check promises to notice. */
#include "base/endian.h"
#include "chain/build.h"
#include "chain/network.h"

#include "shared_blocks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static int check(struct shr_bytes block) {
    return shr_block_check(NULL, NULL, block, NULL, NULL);
}

static void assert_refused(struct shr_bytes block, const struct shr_hash *want,
                           const char *reason) {
    struct shrewd_error err = {0};
    assert_int_equal(shr_block_check(NULL, NULL, block, want, &err), SHREWD_BAD_BLOCK);
    if (strstr(err.message, reason) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", err.message, reason);
    }
}

static void genesis_blocks(void **state) {
    static const char *const names[] = {"main", "test", "testnet4", "signet", "regtest"};
    static const char *const times_root =
        "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b";
    static const char *const testnet4_root =
        "7aa0a7ae1e223414cb807e40cd57e667b718e42aaf9306db9102fe28912b7b4e";
    for (size_t i = 0; i < 5; i++) {
        const struct shr_network *network = shr_network_by_name(names[i]);
        struct shr_buf block = {0};
        struct shr_header header;
        struct shr_hash hash;
        struct shrewd_error err;
        assert_non_null(network);
        shr_network_genesis(&block, network);
        assert_int_equal(
            shr_block_check(&header, &hash, shr_buf_bytes(&block), &network->genesis_hash, &err),
            0);
        char root[SHR_HASH_HEX_LEN + 1];
        shr_hash_hex(root, &header.merkle_root);
        assert_string_equal(root, i == 2 ? testnet4_root : times_root);
        assert_true(shr_hash_is_zero(&header.prev));
        assert_ptr_equal(shr_network_by_genesis(&hash), network);
        assert_ptr_equal(shr_network_by_magic(network->magic), network);
        assert_int_equal(block.len, i == 2 ? 261 : 285);
        shr_buf_free(&block);
    }
    struct shr_hash none = {{0}};
    assert_null(shr_network_by_name("litecoin"));
    assert_null(shr_network_by_magic((const uint8_t *)"\0\0\0\0"));
    assert_null(shr_network_by_genesis(&none));
}

/* At mainnet's difficulty no flipped bit of a header goes unnoticed, wanted hash or not. */
static void header_bytes_flipped(void **state) {
    struct shr_buf block = {0};
    shr_network_genesis(&block, shr_network_by_name("main"));
    for (size_t i = 0; i < SHR_HEADER_SIZE * 8; i++) {
        block.data[i / 8] ^= (uint8_t)(1 << (i % 8));
        assert_int_equal(check(shr_buf_bytes(&block)), SHREWD_BAD_BLOCK);
        block.data[i / 8] ^= (uint8_t)(1 << (i % 8));
    }
    assert_int_equal(check(shr_buf_bytes(&block)), 0);
    shr_buf_free(&block);
}

/* A transaction that spends something that need not exist. */
static void write_some_tx(struct shr_buf *out, uint32_t n, bool witness) {
    const struct shr_bytes items[2] = {shr_bytes_str("signature"), shr_bytes(NULL, 0)};
    struct shr_build_input inputs[2] = {
        {.spends = {.index = n}, .script = shr_bytes_str("abc"), .sequence = 7},
        {.spends = {.txid = {{1}}, .index = UINT32_MAX}, .sequence = 8},
    };
    if (witness) {
        inputs[1].witness = items;
        inputs[1].n_witness = 2;
    }
    const struct shr_build_output outputs[2] = {{5, shr_bytes_str("out")}, {0, {NULL, 0}}};
    const struct shr_build_tx tx = {2, 9, inputs, 2, outputs, 2};
    shr_write_tx(out, &tx);
}

struct built {
    struct shr_buf block;
    struct shr_hash hash;
};

static struct built build_block(size_t n_txs, bool witness) {
    struct built built = {0};
    struct shr_buf raw[8] = {{0}};
    struct shr_bytes txs[8];
    assert_true(n_txs <= 8);
    for (size_t i = 0; i < n_txs; i++) {
        write_some_tx(&raw[i], (uint32_t)i, witness && i % 2 == 0);
        txs[i] = shr_buf_bytes(&raw[i]);
    }
    const struct shr_build_output reward = {50, shr_bytes_str("miner")};
    const struct shr_build_block build = {
        .version = 0x20000000,
        .bits = SHR_REGTEST_BITS,
        .time = 1700000000,
        .height = 1000,
        .extra = shr_bytes_str("test"),
        .outputs = &reward,
        .n_outputs = 1,
        .txs = txs,
        .n_txs = n_txs,
    };
    struct shrewd_error err;
    assert_int_equal(shr_write_block(&built.block, &built.hash, &build, &err), 0);
    for (size_t i = 0; i < n_txs; i++) {
        shr_buf_free(&raw[i]);
    }
    return built;
}

static void built_blocks_pass(void **state) {
    for (size_t n = 0; n <= 8; n++) {
        for (int witness = 0; witness < 2; witness++) {
            struct built built = build_block(n, witness != 0);
            struct shr_header header;
            struct shrewd_error err = {0};
            assert_int_equal(
                shr_block_check(&header, NULL, shr_buf_bytes(&built.block), &built.hash, &err), 0);
            assert_int_equal(header.bits, SHR_REGTEST_BITS);
            assert_int_equal(header.time, 1700000000);
            struct shr_reader_pos pos;
            uint64_t n_txs;
            assert_int_equal(shr_block_open(&pos, &n_txs, shr_buf_bytes(&built.block), NULL), 0);
            assert_int_equal(n_txs, n + 1);
            shr_buf_free(&built.block);
        }
    }
}

/* Every bit of a block matters: header, transactions, and (by the commitment) witnesses. */
static void built_block_bits_flipped(void **state) {
    struct built built = build_block(3, true);
    for (size_t i = 0; i < built.block.len * 8; i++) {
        built.block.data[i / 8] ^= (uint8_t)(1 << (i % 8));
        if (shr_block_check(NULL, NULL, shr_buf_bytes(&built.block), &built.hash, NULL) == 0) {
            fail_msg("bit %zu of %zu can be flipped unnoticed", i, built.block.len * 8);
        }
        built.block.data[i / 8] ^= (uint8_t)(1 << (i % 8));
    }
    for (size_t len = 0; len < built.block.len; len++) {
        /* A copy of just that size, so that the sanitizers see any read past it. */
        uint8_t *cut = shr_alloc(len);
        if (len > 0) {
            memcpy(cut, built.block.data, len);
        }
        assert_int_equal(check(shr_bytes(cut, len)), SHREWD_BAD_BLOCK);
        free(cut);
    }
    shr_buf_add_u8(&built.block, 0);
    assert_refused(shr_buf_bytes(&built.block), NULL, "1 bytes follow its last transaction");
    shr_buf_free(&built.block);
}

static void wrong_block_given(void **state) {
    struct built built = build_block(1, false);
    struct shr_hash other = built.hash;
    other.b[3] ^= 1;
    assert_refused(shr_buf_bytes(&built.block), &other, "was asked for");
    shr_buf_free(&built.block);
}

/* The places where the block's transactions start, and its end. */
static size_t tx_offsets(size_t out[16], struct shr_bytes block) {
    struct shr_reader_pos pos;
    uint64_t n;
    assert_int_equal(shr_block_open(&pos, &n, block, NULL), 0);
    assert_true(n < 16);
    for (size_t i = 0; i <= n; i++) {
        struct shr_tx tx;
        out[i] = (size_t)(pos.left.data - block.data);
        assert_true(i == n || shr_read_tx(&pos, &tx, NULL) == 0);
    }
    return (size_t)n;
}

static void repeated_transactions(void **state) {
    struct built built = build_block(2, false); /* three transactions with the coinbase */
    size_t at[16];
    size_t n = tx_offsets(at, shr_buf_bytes(&built.block));
    assert_int_equal(n, 3);
    struct shr_buf copy = {0};
    shr_buf_append(&copy, built.block.data + at[2], at[3] - at[2]);
    shr_buf_add(&built.block, shr_buf_bytes(&copy));
    built.block.data[SHR_HEADER_SIZE] = 4;
    assert_refused(shr_buf_bytes(&built.block), &built.hash, "repeated");
    shr_buf_free(&copy);
    shr_buf_free(&built.block);
}

/* `block` with its header's merkle root replaced by that of its transactions, and mined. */
static void remine(struct shr_buf *block) {
    struct shr_reader_pos pos;
    uint64_t n;
    struct shr_hash leaves[16];
    struct shr_hash root;
    assert_int_equal(shr_block_open(&pos, &n, shr_buf_bytes(block), NULL), 0);
    for (size_t i = 0; i < n; i++) {
        struct shr_tx tx;
        assert_int_equal(shr_read_tx(&pos, &tx, NULL), 0);
        shr_tx_id(&leaves[i], &tx);
    }
    shr_merkle_root(&root, NULL, leaves, (size_t)n);
    memcpy(block->data + 36, root.b, sizeof root.b);
    assert_true(shr_mine_header(block->data));
}

static void transactions_in_wrong_places(void **state) {
    struct built built = build_block(2, false);
    size_t at[16];
    tx_offsets(at, shr_buf_bytes(&built.block));
    const uint8_t *data = built.block.data;
    struct shr_buf block = {0};

    /* The coinbase left out; only a coinbase twice; the order of two changed. */
    shr_buf_append(&block, data, SHR_HEADER_SIZE);
    shr_buf_add_u8(&block, 2);
    shr_buf_append(&block, data + at[1], at[3] - at[1]);
    remine(&block);
    assert_refused(shr_buf_bytes(&block), NULL, "no coinbase");

    block.len = SHR_HEADER_SIZE;
    shr_buf_add_u8(&block, 3);
    shr_buf_append(&block, data + at[0], at[2] - at[0]);
    shr_buf_append(&block, data + at[0], at[1] - at[0]);
    remine(&block);
    assert_refused(shr_buf_bytes(&block), NULL, "second coinbase");

    shr_buf_clear(&block);
    shr_buf_append(&block, data, at[1]);
    shr_buf_append(&block, data + at[2], at[3] - at[2]);
    shr_buf_append(&block, data + at[1], at[2] - at[1]);
    assert_refused(shr_buf_bytes(&block), &built.hash, "merkle root");
    remine(&block);
    assert_int_equal(check(shr_buf_bytes(&block)), 0);
    shr_buf_free(&block);
    shr_buf_free(&built.block);
}

static void witness_without_commitment(void **state) {
    struct built plain = build_block(0, false); /* a coinbase that commits to nothing */
    struct built full = build_block(1, true);
    size_t at[16];
    tx_offsets(at, shr_buf_bytes(&full.block));
    shr_buf_append(&plain.block, full.block.data + at[1], at[2] - at[1]);
    plain.block.data[SHR_HEADER_SIZE] = 2;
    remine(&plain.block);
    assert_refused(shr_buf_bytes(&plain.block), NULL, "does not commit");

    /* The reserved value is all that differs: the ids stay, the commitment does not fit. */
    full.block.data[at[1] - 5] ^= 1;
    assert_refused(shr_buf_bytes(&full.block), &full.hash, "do not fit what its coinbase");
    shr_buf_free(&full.block);
    shr_buf_free(&plain.block);
}

static void too_large(void **state) {
    struct built built = build_block(1, false);
    uint8_t *more = shr_buf_grow(&built.block, SHR_BLOCK_SIZE_MAX);
    memset(more, 0, SHR_BLOCK_SIZE_MAX);
    assert_refused(shr_buf_bytes(&built.block), NULL, "a block has at most 4000000");
    shr_buf_free(&built.block);
}

static void compact_sizes(void **state) {
    static const struct {
        uint8_t bytes[9];
        size_t len;
        bool ok;
        uint64_t value;
    } cases[] = {
        {{0}, 0, false, 0},
        {{0}, 1, true, 0},
        {{0xfc}, 1, true, 0xfc},
        {{0xfd, 0xfd, 0}, 3, true, 0xfd},
        {{0xfd, 0xfc, 0}, 3, false, 0},
        {{0xfd, 0xfd}, 2, false, 0},
        {{0xfd, 0xff, 0xff}, 3, true, 0xffff},
        {{0xfe, 0, 0, 1, 0}, 5, true, 0x10000},
        {{0xfe, 0xff, 0xff, 0, 0}, 5, false, 0},
        {{0xfe, 0xff, 0xff, 0xff, 0xff}, 5, true, UINT32_MAX},
        {{0xfe, 0, 0, 1}, 4, false, 0},
        {{0xff, 0, 0, 0, 0, 1, 0, 0, 0}, 9, false, 0},
        {{0xff, 1, 0, 0, 0, 0, 0, 0, 0}, 9, false, 0},
        {{0xff, 255, 255, 255, 255, 255, 255, 255, 255}, 9, false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct shr_reader_pos pos = {shr_bytes(cases[i].bytes, cases[i].len)};
        uint64_t value = 0;
        assert_int_equal(shr_read_compact_size(&pos, &value), cases[i].ok);
        assert_int_equal(value, cases[i].value);
        assert_int_equal(pos.left.len, cases[i].ok ? 0 : cases[i].len);
        if (cases[i].ok) {
            struct shr_buf written = {0};
            shr_write_compact_size(&written, value);
            assert_int_equal(written.len, cases[i].len);
            assert_memory_equal(written.data, cases[i].bytes, written.len);
            shr_buf_free(&written);
        }
    }
}

static void assert_tx_refused(const char *bytes, size_t len) {
    struct shr_reader_pos pos = {shr_bytes(bytes, len)};
    struct shr_tx tx;
    struct shrewd_error err;
    assert_int_equal(shr_read_tx(&pos, &tx, &err), SHREWD_BAD_BLOCK);
    assert_int_equal(pos.left.len, len);
}

static void hostile_transactions(void **state) {
    /* No inputs; flags 0 and 2; a huge number of inputs; four billion witness items. */
    assert_tx_refused("\1\0\0\0\0\0\0\0\0\0", 10);
    assert_tx_refused("\1\0\0\0\0\2\1\0\0\0", 10);
    assert_tx_refused("\1\0\0\0\xfe\xff\xff\xff\xff\0\0\0\0\0\0\0", 16);
    struct shr_buf tx = {0};
    write_some_tx(&tx, 0, true);
    struct shr_reader_pos pos = {shr_buf_bytes(&tx)};
    struct shr_tx parsed;
    assert_int_equal(shr_read_tx(&pos, &parsed, NULL), 0);
    assert_true(parsed.has_witness);
    assert_int_equal(parsed.n_inputs, 2);
    assert_int_equal(parsed.n_outputs, 2);
    assert_int_equal(parsed.version, 2);
    assert_int_equal(parsed.lock_time, 9);
    struct shr_reader_pos at = {parsed.inputs};
    struct shr_input input;
    assert_true(shr_read_input(&at, &input));
    assert_true(shr_bytes_eq(input.script, shr_bytes_str("abc")));
    assert_true(shr_read_input(&at, &input));
    assert_int_equal(input.sequence, 8);
    assert_int_equal(input.spends.index, UINT32_MAX);
    assert_false(shr_read_input(&at, &input));

    /* Witness items: 0 of input 0, 2 of input 1. A witness that is empty is refused. */
    size_t stacks = (size_t)(parsed.outputs.data + parsed.outputs.len - tx.data);
    assert_int_equal(tx.data[stacks + 1], 2);
    tx.data[stacks + 1] = 0;
    assert_tx_refused((const char *)tx.data, tx.len);
    assert_tx_refused((const char *)tx.data, stacks + 6);
    memcpy(tx.data + stacks, "\xfe\xff\xff\xff\xff", 5);
    assert_tx_refused((const char *)tx.data, tx.len);
    shr_buf_free(&tx);
}

/* The height in the coinbase of a real block (BIP 34, three bytes at these heights). */
static uint32_t height_in(struct shr_bytes block) {
    struct shr_reader_pos pos;
    uint64_t n;
    struct shr_tx tx;
    struct shr_input input;
    assert_int_equal(shr_block_open(&pos, &n, block, NULL), 0);
    assert_int_equal(shr_read_tx(&pos, &tx, NULL), 0);
    struct shr_reader_pos at = {tx.inputs};
    assert_true(shr_read_input(&at, &input));
    assert_true(input.script.len >= 4 && input.script.data[0] == 3);
    return input.script.data[1] | (uint32_t)input.script.data[2] << 8 |
           (uint32_t)input.script.data[3] << 16;
}

static void real_block(const char *name, uint32_t height) {
    char *path = shared_block_path(name);
    if (path == NULL) {
        skip();
    }
    struct shr_buf block = {0};
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    uint8_t *at = shr_buf_grow(&block, SHR_BLOCK_SIZE_MAX);
    block.len = fread(at, 1, SHR_BLOCK_SIZE_MAX, file);
    fclose(file);
    free(path);
    struct shr_hash hash;
    struct shrewd_error err = {0};
    assert_int_equal(shr_block_check(NULL, &hash, shr_buf_bytes(&block), NULL, &err), 0);
    assert_int_equal(height_in(shr_buf_bytes(&block)), height);
    for (size_t i = 0; i < SHR_HEADER_SIZE; i++) {
        block.data[i] ^= 0x10;
        assert_int_equal(check(shr_buf_bytes(&block)), SHREWD_BAD_BLOCK);
        block.data[i] ^= 0x10;
    }
    for (size_t i = 1; i < 40; i++) {
        size_t place = SHR_HEADER_SIZE + (block.len - SHR_HEADER_SIZE) / 40 * i;
        block.data[place] ^= 1; /* in a transaction or a witness: nowhere unnoticed */
        assert_int_equal(check(shr_buf_bytes(&block)), SHREWD_BAD_BLOCK);
        block.data[place] ^= 1;
        assert_int_equal(check(shr_bytes(block.data, place)), SHREWD_BAD_BLOCK);
    }
    shr_buf_free(&block);
}

static void real_block_849236(void **state) {
    real_block("mainnet-849236.bin", 849236);
}
static void real_block_849250(void **state) {
    real_block("mainnet-849250.bin", 849250);
}
static void real_block_905646(void **state) {
    real_block("mainnet-905646.bin", 905646);
}

static void first_real_blocks(void **state) {
    struct shr_buf records = {0};
    if (!shared_first_blocks(&records)) {
        skip();
    }
    struct shr_hash tip = shr_network_by_name("main")->genesis_hash;
    uint32_t n = 0;
    for (size_t at = 0; at + 8 <= records.len; n++) {
        size_t len = shr_get_le32(records.data + at + 4);
        struct shr_header header;
        struct shrewd_error err;
        struct shr_hash parent = tip;
        assert_true(len <= records.len - at - 8);
        assert_int_equal(
            shr_block_check(&header, &tip, shr_bytes(records.data + at + 8, len), NULL, &err), 0);
        assert_true(shr_hash_eq(&header.prev, &parent));
        at += 8 + len;
    }
    assert_int_equal(n, 255);
    shr_buf_free(&records);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(genesis_blocks),
        cmocka_unit_test(header_bytes_flipped),
        cmocka_unit_test(built_blocks_pass),
        cmocka_unit_test(built_block_bits_flipped),
        cmocka_unit_test(wrong_block_given),
        cmocka_unit_test(repeated_transactions),
        cmocka_unit_test(transactions_in_wrong_places),
        cmocka_unit_test(witness_without_commitment),
        cmocka_unit_test(too_large),
        cmocka_unit_test(compact_sizes),
        cmocka_unit_test(hostile_transactions),
        cmocka_unit_test(real_block_849236),
        cmocka_unit_test(real_block_849250),
        cmocka_unit_test(real_block_905646),
        cmocka_unit_test(first_real_blocks),
    };
    return cmocka_run_group_tests_name("block", tests, NULL, NULL);
}
