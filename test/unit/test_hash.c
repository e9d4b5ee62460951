/* Hashes, merkle roots, targets and work against published and hand-computed values. */
#include "base/hex.h"
#include "chain/hash.h"
#include "chain/work.h"

#include "chain/block.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct shr_hash hash_of(const char *text) {
    struct shr_hash hash;
    assert_true(shr_hash_parse(&hash, text, strlen(text)));
    return hash;
}

static void assert_raw_hex(const struct shr_hash *hash, const char *hex) {
    char shown[SHR_HASH_HEX_LEN + 1];
    shr_hex_write(shown, shr_bytes(hash->b, sizeof hash->b));
    assert_string_equal(shown, hex);
}

static void sha256_known_answers(void **state) {
    struct shr_hash hash;
    shr_sha256(&hash, shr_bytes_str("abc"));
    assert_raw_hex(&hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    shr_sha256(&hash, shr_bytes(NULL, 0));
    assert_raw_hex(&hash, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    shr_sha256d(&hash, shr_bytes_str("hello"));
    assert_raw_hex(&hash, "9595c9df90075148eb06860365df33584b75bff782a510c6cd4883a419833d50");
    struct shr_bytes parts[4] = {shr_bytes_str("he"), shr_bytes(NULL, 0), shr_bytes_str("l"),
                                 shr_bytes_str("lo")};
    struct shr_hash joined;
    shr_sha256d_parts(&joined, parts, 4);
    assert_true(shr_hash_eq(&hash, &joined));
}

static void text_form(void **state) {
    const char *text = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f";
    struct shr_hash hash = hash_of(text);
    assert_int_equal(hash.b[0], 0x6f);
    assert_int_equal(hash.b[31], 0);
    char shown[SHR_HASH_HEX_LEN + 1];
    shr_hash_hex(shown, &hash);
    assert_string_equal(shown, text);

    struct shr_hash again =
        hash_of("0x000000000019D6689C085AE165831E934FF763AE46A2A6C172B3F1B60A8CE26F");
    assert_true(shr_hash_eq(&hash, &again));
    assert_false(shr_hash_parse(&again, text, 63));
    assert_false(shr_hash_parse(&again, text, 0));
    assert_false(shr_hash_parse(
        &again, "0x0000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f", 64));
    assert_false(shr_hash_parse(
        &again, "00000000x019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f", 64));
    assert_false(shr_hash_parse(
        &again, "0x0x0000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f", 66));
    assert_false(shr_hash_is_zero(&hash));
    memset(&hash, 0, sizeof hash);
    assert_true(shr_hash_is_zero(&hash));
}

static void merkle_of_block_100000(void **state) {
    struct shr_hash leaves[4] = {
        hash_of("8c14f0db3df150123e6f3dbbf30f8b955a8249b62ac1d1ff16284aefa3d06d87"),
        hash_of("fff2525b8931402dd09222c50775608f75787bd2b87e56995a7bdd30f79702c4"),
        hash_of("6359f0868171b1d194cbee1af2f16ea598ae8fad666d9b012c8ed2b79a236ec4"),
        hash_of("e9a66845e05d5abc0ad04ec80f774a7e585c6e8db975962d069a522137b80c1d"),
    };
    struct shr_hash want =
        hash_of("f3e94742aca4b5ef85488dc37c06c3282295ffec960994b2c0d5ac2a25a95766");
    struct shr_hash root;
    bool mutated = true;
    shr_merkle_root(&root, &mutated, leaves, 4);
    assert_true(shr_hash_eq(&root, &want));
    assert_false(mutated);
}

/* The definition, without working in place. */
static struct shr_hash slow_merkle(const struct shr_hash *leaves, size_t n) {
    struct shr_hash level[64];
    memcpy(level, leaves, n * sizeof *leaves);
    while (n > 1) {
        if (n % 2 != 0) {
            level[n] = level[n - 1];
            n++;
        }
        struct shr_hash next[32];
        for (size_t i = 0; i < n; i += 2) {
            uint8_t pair[64];
            memcpy(pair, level[i].b, 32);
            memcpy(pair + 32, level[i + 1].b, 32);
            shr_sha256d(&next[i / 2], shr_bytes(pair, sizeof pair));
        }
        n /= 2;
        memcpy(level, next, n * sizeof *next);
    }
    return level[0];
}

static void merkle_of_every_width(void **state) {
    for (size_t n = 1; n < 60; n++) {
        struct shr_hash leaves[60];
        for (size_t i = 0; i < n; i++) {
            shr_sha256(&leaves[i], shr_bytes(&i, sizeof i));
        }
        struct shr_hash want = slow_merkle(leaves, n);
        struct shr_hash root;
        bool mutated;
        shr_merkle_root(&root, &mutated, leaves, n);
        assert_true(shr_hash_eq(&root, &want));
        assert_false(mutated);
    }
    struct shr_hash root;
    shr_merkle_root(&root, NULL, NULL, 0);
    assert_true(shr_hash_is_zero(&root));
}

/* CVE-2012-2459: 6 leaves, and the same with the last two repeated, share a root. */
static void merkle_twins(void **state) {
    struct shr_hash leaves[8];
    struct shr_hash twins[8];
    for (size_t i = 0; i < 6; i++) {
        shr_sha256(&leaves[i], shr_bytes(&i, sizeof i));
    }
    memcpy(twins, leaves, sizeof twins);
    twins[6] = leaves[4];
    twins[7] = leaves[5];
    struct shr_hash honest;
    struct shr_hash forged;
    bool mutated;
    shr_merkle_root(&honest, &mutated, leaves, 6);
    assert_false(mutated);
    shr_merkle_root(&forged, &mutated, twins, 8);
    assert_true(shr_hash_eq(&honest, &forged));
    assert_true(mutated);
}

static void targets(void **state) {
    struct shr_work target;
    static const uint32_t refused[] = {
        0x00000000, 0x00123456, 0x01003456, 0x02000056, 0x03000000, 0x04000000,
        0x01fedcba, 0x04923456, 0x03800001, 0x1d80ffff, 0x20ffffff, 0xff123456,
        0x23000001, 0x22000100, 0x21010000, 0x04800000,
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        assert_false(shr_target_decode(&target, refused[i]));
        shr_work_of(&target, refused[i]);
        assert_true((target.limb[0] | target.limb[1] | target.limb[2] | target.limb[3]) == 0);
    }
    static const struct {
        uint32_t bits;
        struct shr_work target;
    } taken[] = {
        {0x01123456, {{0x12}}},
        {0x02123456, {{0x1234}}},
        {0x03123456, {{0x123456}}},
        {0x04123456, {{0x12345600}}},
        {0x05009234, {{0x92340000}}},
        {0x09123456, {{0x3456000000000000, 0x12}}},
        {0x1d00ffff, {{0, 0, 0, 0x00000000ffff0000}}},
        {0x207fffff, {{0, 0, 0, 0x7fffff0000000000}}},
        {0x2100ffff, {{0, 0, 0, 0xffff000000000000}}},
        {0x220000ff, {{0, 0, 0, 0xff00000000000000}}},
    };
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++) {
        assert_true(shr_target_decode(&target, taken[i].bits));
        assert_memory_equal(&target, &taken[i].target, sizeof target);
    }
}

static void proof_of_work_edges(void **state) {
    struct shr_hash hash = {{0}};
    hash.b[26] = 0xff; /* 0xffff followed by 26 zero bytes: exactly the easiest mainnet target */
    hash.b[27] = 0xff;
    assert_true(shr_pow_ok(&hash, 0x1d00ffff));
    hash.b[0] = 1;
    assert_false(shr_pow_ok(&hash, 0x1d00ffff));
    memset(&hash, 0, sizeof hash);
    assert_true(shr_pow_ok(&hash, 0x01010000));
    assert_false(shr_pow_ok(&hash, 0));
    assert_false(shr_pow_ok(&hash, 0x1d80ffff));
    assert_false(shr_pow_ok(&hash, 0xff00ffff));
}

static void work(void **state) {
    struct shr_work got;
    static const struct {
        uint32_t bits;
        struct shr_work work;
    } known[] = {
        {0x1d00ffff, {{0x100010001}}}, /* mainnet's first */
        {0x207fffff, {{2}}},           /* regtest */
        {0x1e0377ae, {{0x49d414}}},    /* signet's first */
        {0x2100ffff, {{1}}},
        {0x01010000, {{0, 0, 0, 0x8000000000000000}}},
        {0x01020000,
         {{0x5555555555555555, 0x5555555555555555, 0x5555555555555555, 0x5555555555555555}}},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        shr_work_of(&got, known[i].bits);
        assert_memory_equal(&got, &known[i].work, sizeof got);
    }
    struct shr_work sum = {{UINT64_MAX, UINT64_MAX, 7, 0}};
    const struct shr_work one = {{1, 0, 0, 0}};
    shr_work_add(&sum, &one);
    const struct shr_work carried = {{0, 0, 8, 0}};
    assert_int_equal(shr_work_cmp(&sum, &carried), 0);
    assert_true(shr_work_cmp(&one, &carried) < 0);
    assert_true(shr_work_cmp(&carried, &one) > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_known_answers),   cmocka_unit_test(text_form),
        cmocka_unit_test(merkle_of_block_100000), cmocka_unit_test(merkle_of_every_width),
        cmocka_unit_test(merkle_twins),           cmocka_unit_test(targets),
        cmocka_unit_test(proof_of_work_edges),    cmocka_unit_test(work),
    };
    return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
