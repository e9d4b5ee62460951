/* The verifier compiled for wasm32, freestanding, says what the one of this machine says. */
#include "proof_help.h"

#include "chain/network.h"
#include "shrewd/shrewd.h"

static struct shrewd *wallet;

static void add_bytes(struct shr_buf *out, const uint8_t *bytes, size_t len) {
    shr_buf_add_le32(out, (uint32_t)len);
    shr_buf_append(out, bytes, len);
}

static void check_same(struct question *question, const struct shr_buf *proof) {
    struct shr_buf input = {0}, want = {0};
    size_t at = 0, len = 0;
    uint8_t *answer = NULL;
    int code = question_verify(question, proof, &at);
    shr_buf_append(&input, question->root.b, 32);
    add_bytes(&input, proof->data, proof->len);
    shr_buf_add_le32(&input, (uint32_t)question->n);
    for (size_t i = 0; i < question->n; i++) {
        const struct shrewd_claim *claim = &question->claims[i];
        add_bytes(&input, claim->key, claim->key_len);
        shr_buf_add_le32(&input, (uint32_t)claim->absent);
        add_bytes(&input, claim->value, claim->value_len);
    }
    assert_ok(
        shrewd_view(wallet, &answer, &len, "verify", input.data, input.len, SHREWD_LATEST, err));
    shr_buf_add_le32(&want, (uint32_t)code);
    shr_buf_add_le32(&want, (uint32_t)at);
    assert_bytes(shr_bytes(answer, len), shr_buf_bytes(&want));
    shrewd_free(answer);
    shr_buf_free(&input);
    shr_buf_free(&want);
}

static void test_same(void **state) {
    (void)state;
    static const uint32_t cases[][3] = {{0, 0, 0},    {0, 0, 1},   {1, 0, 1},
                                        {40, 30, 20}, {500, 7, 1}, {2500, 2000, 1000}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct question question;
        struct rng rng = {.state = i};
        question_range(&question, cases[i][0], cases[i][1], cases[i][2]);
        assert_int_equal(question_verify(&question, &question.proof, NULL), 0);
        check_same(&question, &question.proof);
        for (int j = 0; j < 100; j++) {
            uint8_t *byte = &question.proof.data[rng_below(&rng, (uint32_t)question.proof.len)];
            uint8_t kept = *byte;
            *byte = (uint8_t)rng_next(&rng);
            check_same(&question, &question.proof);
            *byte = kept;
        }
        question_free(&question);
    }
}

static int open_wallet(void **state) {
    (void)state;
    const struct shr_network *network = shr_network_by_name("regtest");
    struct shr_buf block = {0};
    const struct shrewd_options options = {
        .flags = SHREWD_IN_MEMORY,
        .module_path = SHREWD_BUILD_DIR "/test/proof_guest.wasm",
        .genesis32 = network->genesis_hash.b,
    };
    assert_ok(shrewd_open(&wallet, &options, err));
    shr_network_genesis(&block, network);
    assert_ok(shrewd_index_block(wallet, block.data, block.len, err));
    shr_buf_free(&block);
    return 0;
}

static int close_wallet(void **state) {
    (void)state;
    shrewd_close(wallet);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same)};
    return cmocka_run_group_tests_name("proof_wasm", tests, open_wallet, close_wallet);
}
