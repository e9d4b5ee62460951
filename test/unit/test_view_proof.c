/* shrewd/prove.h: values and answers of views with proofs, and everything that is refused. */
#include "views_help.h"

#include "shrewd/prove.h"

#include <pthread.h>

#define PROOFS_WAT SHREWD_SOURCE_DIR "/test/unit/proofs.wat"
#define TIP 5u

static struct shrewd_error last; /* of a call that may fail */

static struct shrewd *open_proofs(unsigned flags, uint32_t time_ms) {
    struct shrewd *shrewd = NULL;
    struct made_block block;
    struct shr_hash tip = shr_network_by_name("regtest")->genesis_hash;
    guest_signals_restore();
    struct shrewd_options options = {
        .flags = SHREWD_CREATE | SHREWD_IN_MEMORY | flags,
        .module_path = PROOFS_WAT,
        .genesis32 = shr_network_by_name("regtest")->genesis_hash.b,
        .views = {.time_ms = time_ms},
    };
    assert_ok(shrewd_open(&shrewd, &options, err));
    for (uint32_t height = 0; height <= TIP; height++) {
        if (height == 0) {
            make_genesis(&block);
        } else {
            make_block(&block, &tip, height, 7);
        }
        tip = block.hash;
        assert_ok(shrewd_index_block(shrewd, block.bytes.data, block.bytes.len, err));
        shr_buf_free(&block.bytes);
    }
    return shrewd;
}

static struct shrewd_verifier *open_verifier(const char *module, uint32_t time_ms) {
    struct shrewd_verifier *verifier = NULL;
    struct shrewd_view_options limits = {.time_ms = time_ms};
    assert_ok(shrewd_verifier_open(&verifier, module, NULL, &limits, err));
    return verifier;
}

/* What every test begins with. */
struct fixture {
    struct shrewd *shrewd;
    struct shrewd_verifier *verifier;
    struct shrewd_view_proof *proof;
    struct shrewd_view_proof given; /* a copy, to be spoilt */
    uint8_t root[32];
};

/* Three keys that are there, one of them without bytes, and two that are not; one comes again. */
#define FIVE_READS "\1k\5empty\4none\5fixed\1k\0"

static void set_up(struct fixture *fixture) {
    fixture->shrewd = open_proofs(0, 0);
    fixture->verifier = open_verifier(PROOFS_WAT, 0);
    assert_ok(shrewd_prove_view(fixture->shrewd, &fixture->proof, "reads",
                                (const uint8_t *)FIVE_READS, sizeof FIVE_READS - 1, 3, err));
    fixture->given = *fixture->proof;
    memcpy(fixture->root, fixture->proof->reads.block.root, 32);
}

static void tear_down(struct fixture *fixture) {
    shrewd_view_proof_free(fixture->proof);
    shrewd_verifier_close(fixture->verifier);
    shrewd_close(fixture->shrewd);
}

static int verify(struct fixture *fixture, const struct shrewd_view_proof *proof) {
    last.message[0] = 0;
    return shrewd_verify_view(fixture->verifier, fixture->root, 3, proof, &last);
}

/* The claim is refused, for this reason. */
static void assert_refused(struct fixture *fixture, const struct shrewd_view_proof *proof,
                           const char *why) {
    assert_int_equal(verify(fixture, proof), SHREWD_UNPROVEN);
    assert_int_equal(last.code, SHREWD_UNPROVEN);
    if (strstr(last.message, "not proven") == NULL || strstr(last.message, why) == NULL) {
        fail_msg("'%s' does not say '%s'", last.message, why);
    }
}

/* --- What is true --- */

static void check_claim(const struct shrewd_claim *claim, const char *key, const char *value,
                        size_t value_len) {
    assert_bytes(shr_bytes(claim->key, claim->key_len), shr_bytes_str(key));
    assert_int_equal(claim->absent, value == NULL);
    if (value != NULL) {
        assert_bytes(shr_bytes(claim->value, claim->value_len), shr_bytes(value, value_len));
    }
}

static void test_answer(void **state) {
    static const char answer[] =
        "\4\0\0\0\3\0\0\0\0\0\0\0\0\0\0\0\3\0\0\0abc\4\0\0\0\3\0\0\0\0\0\0";
    struct fixture fixture;
    struct shrewd_block block;
    set_up(&fixture);
    const struct shrewd_view_proof *proof = fixture.proof;
    assert_bytes(shr_bytes(proof->answer, proof->answer_len), shr_bytes(answer, sizeof answer));
    assert_int_equal(proof->reads.n, 5);
    check_claim(&proof->reads.claims[0], "k", "\3\0\0\0", 4);
    check_claim(&proof->reads.claims[1], "empty", "", 0);
    check_claim(&proof->reads.claims[2], "none", NULL, 0);
    check_claim(&proof->reads.claims[3], "fixed", "abc", 3);
    check_claim(&proof->reads.claims[4], "", NULL, 0);
    assert_ok(shrewd_block_at(fixture.shrewd, &block, 3, err));
    assert_int_equal(proof->reads.block.height, 3);
    assert_memory_equal(proof->reads.block.root, block.root, 32);
    assert_memory_equal(proof->reads.block.hash, block.hash, 32);
    assert_int_equal(verify(&fixture, proof), 0);
    assert_int_equal(verify(&fixture, proof), 0); /* as often as one likes */
    tear_down(&fixture);
}

static void check_view(struct shrewd *shrewd, struct shrewd_verifier *verifier, const char *view,
                       struct shr_bytes input, uint32_t height, size_t reads) {
    struct shrewd_view_proof *proof = NULL;
    uint8_t *answer = NULL;
    size_t len = 0;
    assert_ok(shrewd_prove_view(shrewd, &proof, view, input.data, input.len, height, err));
    assert_ok(shrewd_view(shrewd, &answer, &len, view, input.data, input.len, height, err));
    assert_bytes(shr_bytes(proof->answer, proof->answer_len), shr_bytes(answer, len));
    assert_int_equal(proof->reads.n, reads);
    assert_ok(shrewd_verify_view(verifier, proof->reads.block.root, proof->reads.block.height,
                                 proof, err));
    shrewd_free(answer);
    shrewd_view_proof_free(proof);
}

static void test_heights(void **state) {
    struct shrewd *shrewd = open_proofs(0, 0);
    struct shrewd_verifier *verifier = open_verifier(PROOFS_WAT, 0);
    for (uint32_t height = 0; height <= TIP; height++) {
        check_view(shrewd, verifier, "reads", TEXT("\1k\4none"), height, 2);
        check_view(shrewd, verifier, "height", NO_BYTES, height, 0);
    }
    check_view(shrewd, verifier, "reads", TEXT("\1k"), SHREWD_LATEST, 1);
    check_view(shrewd, verifier, "reads", NO_BYTES, SHREWD_LATEST, 0);
    shrewd_verifier_close(verifier);
    shrewd_close(shrewd);
}

/* Never a warm instance, which knows what it has read, and may answer otherwise. */
static void test_fresh(void **state) {
    struct shrewd *shrewd = open_proofs(0, 0);
    struct shrewd_verifier *verifier = open_verifier(PROOFS_WAT, 0);
    for (uint8_t i = 1; i <= 3; i++) {
        struct shrewd_view_proof *proof = NULL;
        uint8_t *answer = NULL;
        size_t len = 0;
        assert_ok(shrewd_view(shrewd, &answer, &len, "counter", NULL, 0, SHREWD_LATEST, err));
        assert_int_equal(answer[0], i);
        assert_ok(shrewd_prove_view(shrewd, &proof, "counter", NULL, 0, SHREWD_LATEST, err));
        assert_int_equal(proof->answer[0], 1);
        assert_ok(shrewd_verify_view(verifier, proof->reads.block.root, TIP, proof, err));
        shrewd_free(answer);
        shrewd_view_proof_free(proof);
    }
    shrewd_verifier_close(verifier);
    shrewd_close(shrewd);
}

/* --- Threads --- */

#define PROVERS 3

struct prover {
    struct shrewd *shrewd;
    struct shrewd_verifier *verifier; /* one for all */
    _Atomic bool *ending;
    uint32_t proven;
    struct shrewd_error err;
    pthread_t thread;
};

/* Each answer is of one block, and the one that its proof says. */
static int prove_one(struct prover *prover) {
    struct shrewd_view_proof *proof = NULL;
    struct shrewd_block block;
    int code = shrewd_prove_view(prover->shrewd, &proof, "reads", (const uint8_t *)"\1k\4none", 7,
                                 SHREWD_LATEST, &prover->err);
    if (code != 0) {
        return code;
    }
    code = shrewd_block_at(prover->shrewd, &block, proof->reads.block.height, &prover->err);
    if (code == 0 && shr_get_le32(proof->answer + 4) != block.height) {
        code = shr_fail(&prover->err, SHREWD_CORRUPT, "the answer is of another height");
    }
    if (code == 0) {
        code = shrewd_verify_view(prover->verifier, block.root, block.height, proof, &prover->err);
    }
    shrewd_view_proof_free(proof);
    return code;
}

static void *prover_main(void *ctx) {
    struct prover *prover = ctx;
    while (prover->err.code == 0 && (!atomic_load(prover->ending) || prover->proven == 0)) {
        prover->err.code = prove_one(prover);
        prover->proven++;
    }
    return NULL;
}

static void test_threads(void **state) {
    struct shrewd *shrewd = open_proofs(0, 60000);
    struct shrewd_verifier *verifier = open_verifier(PROOFS_WAT, 60000);
    struct prover provers[PROVERS];
    struct shrewd_block tip;
    _Atomic bool ending = false;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    assert_int_equal(pthread_attr_setstacksize(&attr, SHR_GUEST_THREAD_STACK), 0);
    for (size_t i = 0; i < PROVERS; i++) {
        provers[i] = (struct prover){.shrewd = shrewd, .verifier = verifier, .ending = &ending};
        assert_int_equal(pthread_create(&provers[i].thread, &attr, prover_main, &provers[i]), 0);
    }
    pthread_attr_destroy(&attr);
    assert_ok(shrewd_tip(shrewd, &tip, err));
    for (uint32_t i = 0; i < 100; i++) {
        struct made_block block;
        struct shr_hash prev;
        memcpy(prev.b, tip.hash, 32);
        make_block(&block, &prev, tip.height + 1, i);
        assert_ok(shrewd_index_block(shrewd, block.bytes.data, block.bytes.len, err));
        shr_buf_free(&block.bytes);
        assert_ok(shrewd_tip(shrewd, &tip, err));
    }
    atomic_store(&ending, true);
    for (size_t i = 0; i < PROVERS; i++) {
        pthread_join(provers[i].thread, NULL);
        if (provers[i].err.code != 0) {
            fail_msg("%s", provers[i].err.message);
        }
        assert_true(provers[i].proven > 0);
    }
    shrewd_verifier_close(verifier);
    shrewd_close(shrewd);
}

/* --- What is not --- */

/* Each byte of each part, at each position, to several other values. */
static void flip(struct fixture *fixture, const uint8_t **part, size_t len) {
    const uint8_t *kept = *part;
    uint8_t *spoilt = test_malloc(len);
    memcpy(spoilt, kept, len);
    *part = spoilt;
    for (size_t i = 0; i < len; i++) {
        for (unsigned other = 1; other < 256; other = other * 3 + 1) {
            spoilt[i] = (uint8_t)(kept[i] ^ other);
            assert_refused(fixture, &fixture->given, "");
        }
        spoilt[i] = kept[i];
    }
    assert_int_equal(verify(fixture, &fixture->given), 0);
    *part = kept;
    test_free(spoilt);
}

static void test_spoilt(void **state) {
    struct fixture fixture;
    set_up(&fixture);
    struct shrewd_view_proof *given = &fixture.given;
    flip(&fixture, &given->answer, given->answer_len);
    flip(&fixture, &given->reads.proof, given->reads.proof_len);
    flip(&fixture, &given->reads.claims[0].key, 1);
    flip(&fixture, &given->reads.claims[0].value, 4);
    flip(&fixture, &given->reads.claims[2].key, 4);
    flip(&fixture, &given->reads.claims[3].value, 3);
    for (size_t i = 0; i < 32; i++) {
        given->module_hash[i] ^= 1;
        assert_refused(&fixture, given, "module with SHA-256");
        given->module_hash[i] ^= 1;
        given->reads.block.root[i] ^= 1;
        assert_refused(&fixture, given, "another state root");
        fixture.root[i] ^= 1;
        assert_refused(&fixture, given, "the proof belongs to another root");
        given->reads.block.root[i] ^= 1;
        fixture.root[i] ^= 1;
    }
    for (size_t i = 0; i < given->reads.n; i++) {
        given->reads.claims[i].absent ^= 1;
        assert_refused(&fixture, given, "entry");
        given->reads.claims[i].absent ^= 1;
    }
    given->answer_len--;
    assert_refused(&fixture, given, "answers 35 bytes, and other ones than the 34");
    given->answer_len++;
    given->reads.proof_len--;
    assert_refused(&fixture, given, "the proof ends");
    given->reads.proof_len++;
    given->reads.block.height = 4;
    assert_refused(&fixture, given, "of height 4, and 3 is asked for");
    given->reads.block.height = 3;
    assert_int_equal(verify(&fixture, given), 0);
    tear_down(&fixture);
}

/* The height belongs to the question: the same state at another height answers otherwise. */
static void test_other_height(void **state) {
    struct fixture fixture;
    struct shrewd_view_proof *proof = NULL;
    set_up(&fixture);
    assert_ok(shrewd_prove_view(fixture.shrewd, &proof, "height", NULL, 0, 3, err));
    assert_int_equal(verify(&fixture, proof), 0);
    proof->reads.block.height = 4;
    assert_int_equal(shrewd_verify_view(fixture.verifier, fixture.root, 4, proof, &last),
                     SHREWD_UNPROVEN);
    assert_non_null(strstr(last.message, "at height 4 answers"));
    shrewd_view_proof_free(proof);
    tear_down(&fixture);
}

/* The reads are replaced by others, which are proven as well. */
static void with_reads(struct fixture *fixture, const char *const *names, size_t n,
                       const char *why) {
    struct shrewd_key keys[8];
    struct shrewd_proof *reads = NULL;
    for (size_t i = 0; i < n; i++) {
        keys[i] = (struct shrewd_key){(const uint8_t *)names[i], strlen(names[i])};
    }
    assert_ok(shrewd_prove(fixture->shrewd, &reads, keys, n, 3, err));
    fixture->given.reads = *reads;
    if (why == NULL) {
        assert_int_equal(verify(fixture, &fixture->given), 0);
    } else {
        assert_refused(fixture, &fixture->given, why);
    }
    shrewd_proof_free(reads);
}

static void test_other_reads(void **state) {
    static const char *const all[] = {"fixed", "none", "", "k", "empty", "more"};
    static const char *const twice[] = {"fixed", "none", "", "k", "empty", "none"};
    struct fixture fixture;
    set_up(&fixture);
    with_reads(&fixture, all, 5, NULL); /* their order does not matter */
    with_reads(&fixture, all, 6, "does not read the key 0x6d6f7265 (4 bytes)");
    with_reads(&fixture, all, 4, "reads the key 0x656d707479 (5 bytes), of which the proof says");
    with_reads(&fixture, all + 1, 4, "reads the key 0x6669786564 (5 bytes)");
    with_reads(&fixture, all, 0, "reads the key 0x6b (1 bytes)");
    with_reads(&fixture, twice, 6, "key 0x6e6f6e65 (4 bytes) is there twice");
    tear_down(&fixture);
}

static void test_other_questions(void **state) {
    struct fixture fixture;
    set_up(&fixture);
    struct shrewd_view_proof *given = &fixture.given;
    given->input_len -= 2; /* "k" once more */
    given->input_len -= 1; /* and the empty key */
    assert_refused(&fixture, given, "answers");
    given->input = (const uint8_t *)"\2k?";
    given->input_len = 3;
    assert_refused(&fixture, given, "reads the key 0x6b3f (2 bytes)");
    given->view = "height";
    assert_refused(&fixture, given, "answers");
    given->view = "traps";
    assert_refused(&fixture, given, "the view gives no answer: traps at height 3: unreachable");
    given->view = "points_past";
    assert_refused(&fixture, given, "the view gives no answer: points_past at height 3");
    given->view = "absent";
    assert_refused(&fixture, given, "no view 'absent'");
    given->view = "_start";
    assert_refused(&fixture, given, "no view '_start'");
    tear_down(&fixture);
}

static void test_other_module(void **state) {
    struct fixture fixture;
    set_up(&fixture);
    shrewd_verifier_close(fixture.verifier);
    fixture.verifier = open_verifier(VERSIONS_WAT, 0);
    assert_refused(&fixture, fixture.proof, "and the module given has");
    tear_down(&fixture);
    struct shrewd_verifier *verifier = NULL;
    assert_int_equal(shrewd_verifier_open(&verifier, "/nowhere.wasm", NULL, NULL, &last),
                     SHREWD_MODULE);
    assert_null(verifier);
    shrewd_verifier_close(NULL);
    shrewd_view_proof_free(NULL);
    shrewd_proof_free(NULL);
}

/* --- Bounds --- */

static int prove_many(struct shrewd *shrewd, struct shrewd_view_proof **proof, uint32_t n,
                      uint32_t size) {
    uint8_t input[8];
    shr_put_le32(input, n);
    shr_put_le32(input + 4, size);
    return shrewd_prove_view(shrewd, proof, "many", input, sizeof input, 3, &last);
}

static void test_too_much(void **state) {
    struct fixture fixture;
    struct shrewd_view_proof *proof = NULL;
    set_up(&fixture);
    assert_int_equal(prove_many(fixture.shrewd, &proof, SHREWD_PROVE_KEYS_MAX, 4), 0);
    assert_int_equal(proof->reads.n, SHREWD_PROVE_KEYS_MAX);
    assert_int_equal(verify(&fixture, proof), 0);
    shrewd_view_proof_free(proof);
    assert_int_equal(prove_many(fixture.shrewd, &proof, SHREWD_PROVE_KEYS_MAX + 1, 4),
                     SHREWD_LIMIT);
    assert_non_null(strstr(last.message, "'many' at height 3 reads more than 10000 different keys, "
                                         "or 64 MiB"));
    assert_int_equal(prove_many(fixture.shrewd, &proof, 64, 1 << 20), 0);
    assert_int_equal(proof->reads.n, 64);
    shrewd_view_proof_free(proof);
    assert_int_equal(prove_many(fixture.shrewd, &proof, 65, 1 << 20), SHREWD_LIMIT);
    assert_non_null(strstr(last.message, "too much for one proof"));
    tear_down(&fixture);
}

static void test_no_time(void **state) {
    struct shrewd *shrewd = open_proofs(0, 20);
    struct shrewd_verifier *verifier = open_verifier(PROOFS_WAT, 20);
    struct shrewd_view_proof *proof = NULL;
    assert_int_equal(shrewd_prove_view(shrewd, &proof, "spins", NULL, 0, 3, &last), SHREWD_TIMEOUT);
    assert_non_null(strstr(last.message, "--view-timeout-ms"));
    assert_ok(shrewd_prove_view(shrewd, &proof, "counter", NULL, 0, 3, err));
    proof->view = "spins";
    assert_int_equal(shrewd_verify_view(verifier, proof->reads.block.root, 3, proof, &last),
                     SHREWD_TIMEOUT);
    shrewd_view_proof_free(proof);
    shrewd_verifier_close(verifier);
    shrewd_close(shrewd);
}

static void test_failures(void **state) {
    struct shrewd *shrewd = open_proofs(0, 0);
    struct shrewd_view_proof *proof = NULL;
    assert_int_equal(shrewd_prove_view(shrewd, &proof, "absent", NULL, 0, 3, &last),
                     SHREWD_NO_VIEW);
    assert_int_equal(shrewd_prove_view(shrewd, &proof, "traps", NULL, 0, 3, &last), SHREWD_TRAP);
    assert_int_equal(shrewd_prove_view(shrewd, &proof, "points_past", NULL, 0, 3, &last),
                     SHREWD_GUEST);
    assert_int_equal(shrewd_prove_view(shrewd, &proof, "height", NULL, 0, TIP + 1, &last),
                     SHREWD_ABOVE_TIP);
    assert_null(proof);
    shrewd_close(shrewd);
    shrewd = open_proofs(SHREWD_STATE_ROOT_OFF, 0);
    assert_int_equal(shrewd_prove_view(shrewd, &proof, "height", NULL, 0, 3, &last),
                     SHREWD_NO_ROOT);
    assert_null(proof);
    shrewd_close(shrewd);
}

/* --- Keys alone --- */

static void test_keys(void **state) {
    static const struct shrewd_key keys[] = {{(const uint8_t *)"fixed", 5},
                                             {(const uint8_t *)"none", 4},
                                             {(const uint8_t *)"k", 1},
                                             {NULL, 0},
                                             {(const uint8_t *)"fixed", 5}};
    struct shrewd *shrewd = open_proofs(0, 0);
    struct shrewd_proof *proof = NULL;
    for (uint32_t height = 0; height <= TIP; height++) {
        char value[4] = {(char)height, 0, 0, 0};
        assert_ok(shrewd_prove(shrewd, &proof, keys, 5, height, err));
        assert_int_equal(proof->n, 5);
        check_claim(&proof->claims[0], "fixed", "abc", 3);
        check_claim(&proof->claims[1], "none", NULL, 0);
        check_claim(&proof->claims[2], "k", value, 4);
        check_claim(&proof->claims[3], "", NULL, 0);
        check_claim(&proof->claims[4], "fixed", "abc", 3);
        assert_int_equal(proof->block.height, height);
        assert_int_equal(shrewd_proof_verify(proof->block.root, proof->proof, proof->proof_len,
                                             proof->claims, proof->n, NULL),
                         0);
        shrewd_proof_free(proof);
        proof = NULL;
    }
    assert_int_equal(shrewd_prove(shrewd, &proof, keys, 1, TIP + 1, &last), SHREWD_ABOVE_TIP);
    struct shrewd_key *many = shr_alloc_array(SHREWD_PROVE_KEYS_MAX + 1, sizeof *many);
    assert_int_equal(
        shrewd_prove(shrewd, &proof, many, SHREWD_PROVE_KEYS_MAX + 1, SHREWD_LATEST, &last),
        SHREWD_LIMIT);
    assert_null(proof);
    assert_ok(shrewd_prove(shrewd, &proof, many, SHREWD_PROVE_KEYS_MAX, SHREWD_LATEST, err));
    assert_int_equal(proof->block.height, TIP);
    shrewd_proof_free(proof);
    free(many);
    shrewd_close(shrewd);
}

int main(void) {
    guest_signals_keep();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answer),       cmocka_unit_test(test_heights),
        cmocka_unit_test(test_fresh),        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_spoilt),       cmocka_unit_test(test_other_height),
        cmocka_unit_test(test_other_reads),  cmocka_unit_test(test_other_questions),
        cmocka_unit_test(test_other_module), cmocka_unit_test(test_too_much),
        cmocka_unit_test(test_no_time),      cmocka_unit_test(test_failures),
        cmocka_unit_test(test_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
