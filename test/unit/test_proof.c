/* Proofs: what is true verifies, nothing else does, and no other bytes prove it. */
#include "proof_help.h"

#include "base/file.h"
#include "proof/sha256.h"

#include <jansson.h>

static void test_sha256(void **state) {
    (void)state;
    struct shr_buf data = {0};
    for (size_t len = 0; len < 300; len++) {
        uint8_t got[32];
        struct shr_hash want;
        shr_sha256(&want, shr_buf_bytes(&data));
        shr_proof_sha256(got, data.data, data.len);
        assert_memory_equal(got, want.b, 32);
        shr_buf_add_u8(&data, (uint8_t)(len * 7 + 1));
    }
    struct shr_hash a, b, want;
    uint8_t got[32];
    memcpy(a.b, data.data, 32);
    memcpy(b.b, data.data + 32, 32);
    root_model_join(&want, 1, &a, &b);
    shr_proof_sha256_node(got, 1, a.b, b.b);
    assert_memory_equal(got, want.b, 32);
    shr_buf_free(&data);
}

/* --- What is true, and what is not --- */

/* Every claim turned false, one at a time, is told by its number. */
static void check_lies(struct question *question, size_t step) {
    for (size_t i = 0; i < question->n; i += step) {
        struct shrewd_claim kept = question->claims[i];
        struct shrewd_claim *claim = &question->claims[i];
        size_t at = SIZE_MAX;
        claim->absent = !kept.absent;
        claim->value = (const uint8_t *)"x";
        claim->value_len = 1;
        assert_int_equal(question_verify(question, &question->proof, &at),
                         kept.absent ? SHREWD_UNPROVEN_IS_ABSENT : SHREWD_UNPROVEN_IS_PRESENT);
        assert_int_equal(at, i);
        if (!kept.absent) {
            claim->absent = 0;
            assert_int_equal(question_verify(question, &question->proof, &at),
                             SHREWD_UNPROVEN_OTHER_VALUE);
            assert_int_equal(at, i);
        }
        *claim = kept;
    }
    assert_int_equal(question_verify(question, &question->proof, NULL), 0);
}

static void test_true_and_false(void **state) {
    (void)state;
    static const uint32_t sizes[] = {0, 1, 2, 3, 10, 100, 2000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        static const uint32_t asked[][2] = {{0, 0}, {0, 1},  {5, 1},   {0, 2},
                                            {1, 4}, {0, 50}, {90, 20}, {1500, 1000}};
        for (size_t j = 0; j < sizeof asked / sizeof asked[0]; j++) {
            struct question question;
            question_range(&question, sizes[i], asked[j][0], asked[j][1]);
            check_lies(&question, asked[j][1] > 100 ? 101 : 1);
            question_free(&question);
        }
    }
}

/* A key claimed twice, rightly both times and once wrongly; claims in any order. */
static void test_repeated(void **state) {
    (void)state;
    struct root_model model = {0};
    static const uint32_t held[] = {1, 2, 3, TWIN_A, TWIN_B}, asked[] = {3, TWIN_B, 9, 3, 1, 9, 1};
    model_fill(&model, held, 5);
    struct question question;
    question_init(&question, model, asked, 7);
    check_lies(&question, 1);
    question_free(&question);
}

static void test_other_root(void **state) {
    (void)state;
    struct question question;
    question_range(&question, 20, 3, 2);
    for (size_t i = 0; i < 32; i++) {
        size_t at = 0;
        question.root.b[i] ^= 1;
        assert_int_equal(question_verify(&question, &question.proof, &at), SHREWD_UNPROVEN_ROOT);
        assert_int_equal(at, question.proof.len);
        question.root.b[i] ^= 1;
    }
    question_free(&question);
}

/* The model stays the same tree when keys go and come. */
static void test_model_removes(void **state) {
    (void)state;
    struct root_model model = {0};
    struct shr_hash before, after;
    static const uint32_t held[] = {1, TWIN_A, TWIN_B};
    model_fill(&model, held, 2);
    root_model_root(&model, &before);
    model_fill(&model, held, 3);
    root_model_root(&model, &after);
    assert_false(shr_hash_eq(&before, &after));
    root_model_remove(&model, TEXT("key-15029"));
    root_model_remove(&model, TEXT("never there"));
    root_model_root(&model, &after);
    assert_true(shr_hash_eq(&before, &after));
    root_model_remove(&model, TEXT("key-1"));
    root_model_remove(&model, TEXT("key-8337"));
    root_model_root(&model, &after);
    assert_true(shr_hash_is_zero(&after));
    root_model_free(&model);
}

/* --- Other bytes --- */

static void assert_refused(struct question *question, const struct shr_buf *proof) {
    size_t at = 0;
    int code = question_verify(question, proof, &at);
    assert_true(code < 0 && code >= SHREWD_UNPROVEN_IS_PRESENT);
    assert_true(at <= proof->len || at < question->n);
}

/* `every`: each byte, at each position, to every other value; else to three. */
static void check_mutations(struct question *question, bool every, size_t step) {
    struct shr_buf proof = {0};
    shr_buf_add(&proof, shr_buf_bytes(&question->proof));
    for (size_t i = 0; i < proof.len; i += step) {
        uint8_t kept = proof.data[i];
        for (unsigned other = 1; other < 256; other += every ? 1 : 101) {
            proof.data[i] = (uint8_t)(kept ^ other);
            assert_refused(question, &proof);
        }
        proof.data[i] = kept;
    }
    size_t whole = proof.len;
    for (size_t len = 0; len < whole; len += step) {
        proof.len = len;
        assert_refused(question, &proof);
    }
    proof.len = whole;
    for (unsigned more = 0; more < 256; more++) {
        shr_buf_add_u8(&proof, (uint8_t)more);
        assert_int_equal(question_verify(question, &proof, NULL), SHREWD_UNPROVEN_TRAILING);
        proof.len = whole;
    }
    assert_int_equal(question_verify(question, &proof, NULL), 0);
    shr_buf_free(&proof);
}

static void test_mutations(void **state) {
    (void)state;
    static const uint32_t cases[][3] = {{0, 0, 0},   {0, 0, 1},    {1, 0, 0}, {1, 0, 1},
                                        {1, 1, 1},   {2, 0, 2},    {3, 1, 4}, {20, 5, 1},
                                        {20, 15, 8}, {100, 99, 2}, {10, 7, 6}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct question question;
        question_range(&question, cases[i][0], cases[i][1], cases[i][2]);
        check_mutations(&question, question.proof.len < 700, 1);
        question_free(&question);
    }
}

static void test_mutations_of_many(void **state) {
    (void)state;
    struct question question;
    question_range(&question, 3000, 2500, 1000);
    check_mutations(&question, false, 449);
    question_free(&question);
}

/* Nothing but the proof of these very keys: not that of more, fewer or others. */
static void test_other_keys(void **state) {
    (void)state;
    struct question asked, other;
    question_range(&asked, 50, 10, 5);
    for (uint32_t n = 0; n < 8; n++) {
        question_range(&other, 50, 10, n);
        int code = question_verify(&asked, &other.proof, NULL);
        assert_true((code == 0) == (n == 5));
        question_free(&other);
    }
    question_free(&asked);
}

/* --- Each rule of the encoding, broken alone --- */

static void add_hash(struct shr_buf *proof, const struct shr_hash *hash) {
    shr_buf_add_u8(proof, SHREWD_PROOF_HASH);
    shr_buf_append(proof, hash->b, 32);
}

static void add_leaf(struct shr_buf *proof, const struct root_leaf *leaf) {
    shr_buf_add_u8(proof, SHREWD_PROOF_LEAF);
    shr_buf_append(proof, leaf->key.b, 32);
    shr_buf_append(proof, leaf->value.b, 32);
}

static void start_proof(struct shr_buf *proof) {
    shr_buf_clear(proof);
    shr_buf_add_u8(proof, SHREWD_PROOF_VERSION);
}

/* key-LEFT is asked for; its hash begins with the bit 0, that of key-0 with 1. */
#define LEFT 2u

static void test_rules(void **state) {
    (void)state;
    static const uint32_t held[] = {0, LEFT}, asked[] = {LEFT};
    struct root_model model = {0};
    struct question question;
    struct shr_buf proof = {0};
    const struct shr_hash zero = {{0}};
    model_fill(&model, held, 2);
    question_init(&question, model, asked, 1);
    const struct root_leaf *left = &question.model.leaves[0], *right = left + 1;
    assert_int_equal(root_model_bit(&left->key, 0), 0);
    assert_int_equal(root_model_bit(&right->key, 0), 1);

    start_proof(&proof); /* the sibling is spelt out: the same root, other bytes */
    shr_buf_add_u8(&proof, SHREWD_PROOF_INNER);
    add_leaf(&proof, left);
    add_leaf(&proof, right);
    assert_int_equal(question_verify(&question, &proof, NULL), SHREWD_UNPROVEN_NEEDLESS);
    start_proof(&proof); /* an inner node that nobody enters */
    shr_buf_append(&proof, "\3\0\3", 3);
    assert_int_equal(question_verify(&question, &proof, NULL), SHREWD_UNPROVEN_NEEDLESS);
    start_proof(&proof); /* everything is a hash */
    add_hash(&proof, &question.root);
    assert_int_equal(question_verify(&question, &proof, NULL), SHREWD_UNPROVEN_HIDDEN);
    start_proof(&proof);
    shr_buf_add_u8(&proof, 4);
    assert_int_equal(question_verify(&question, &proof, NULL), SHREWD_UNPROVEN_TAG);
    proof.data[0] = 2;
    assert_int_equal(question_verify(&question, &proof, NULL), SHREWD_UNPROVEN_VERSION);
    start_proof(&proof);
    shr_buf_append(&proof, "\3\0\0", 3);
    assert_int_equal(question_verify(&question, &proof, NULL), SHREWD_UNPROVEN_NO_LEAVES);
    start_proof(&proof);
    shr_buf_append(&proof, "\3\0", 2);
    add_hash(&proof, &zero);
    assert_int_equal(question_verify(&question, &proof, NULL), SHREWD_UNPROVEN_ZERO_HASH);
    start_proof(&proof); /* a leaf, with nothing beside it */
    shr_buf_add_u8(&proof, SHREWD_PROOF_INNER);
    add_leaf(&proof, left);
    shr_buf_add_u8(&proof, SHREWD_PROOF_EMPTY);
    assert_int_equal(question_verify(&question, &proof, NULL), SHREWD_UNPROVEN_ONE_LEAF);
    start_proof(&proof); /* a leaf in the other's place */
    shr_buf_add_u8(&proof, SHREWD_PROOF_INNER);
    add_leaf(&proof, right);
    assert_int_equal(question_verify(&question, &proof, NULL), SHREWD_UNPROVEN_STRAY_LEAF);
    shr_buf_free(&proof);
    question_free(&question);
}

/* The same of a leaf on the right: its empty sibling comes first. */
static void test_one_leaf_right(void **state) {
    (void)state;
    struct question question;
    struct shr_buf proof = {0};
    question_range(&question, 1, 0, 1);
    start_proof(&proof);
    shr_buf_append(&proof, "\3\0", 2);
    add_leaf(&proof, &question.model.leaves[0]);
    assert_int_equal(question_verify(&question, &proof, NULL), SHREWD_UNPROVEN_ONE_LEAF);
    shr_buf_free(&proof);
    question_free(&question);
}

/* An absent key at the end of `depth` inner nodes, each with a hash on its other side. */
static void deep_proof(struct shr_buf *proof, struct shr_hash *root, const struct shr_hash *key,
                       size_t depth) {
    struct shr_hash other = {{7}};
    *root = (struct shr_hash){{0}};
    for (size_t i = depth; i-- > 0;) {
        bool right = i < 256 && root_model_bit(key, i);
        root_model_join(root, SHREWD_PROOF_INNER_BYTE, right ? &other : root,
                        right ? root : &other);
    }
    start_proof(proof);
    for (size_t i = 0; i < depth; i++) {
        shr_buf_add_u8(proof, SHREWD_PROOF_INNER);
        if (i < 256 && root_model_bit(key, i)) {
            add_hash(proof, &other);
        }
    }
    shr_buf_add_u8(proof, SHREWD_PROOF_EMPTY);
    for (size_t i = depth; i-- > 0;) {
        if (i >= 256 || !root_model_bit(key, i)) {
            add_hash(proof, &other);
        }
    }
}

static void test_depth(void **state) {
    (void)state;
    struct shr_buf proof = {0};
    struct shr_hash root, key;
    struct shrewd_claim claim = {.key = (const uint8_t *)"k", .key_len = 1, .absent = 1};
    shr_sha256(&key, TEXT("k"));
    deep_proof(&proof, &root, &key, 256);
    assert_int_equal(shrewd_proof_verify(root.b, proof.data, proof.len, &claim, 1, NULL), 0);
    deep_proof(&proof, &root, &key, 257);
    assert_int_equal(shrewd_proof_verify(root.b, proof.data, proof.len, &claim, 1, NULL),
                     SHREWD_UNPROVEN_DEPTH);
    shr_buf_free(&proof);
}

static void test_texts(void **state) {
    (void)state;
    for (int code = SHREWD_UNPROVEN_IS_PRESENT; code <= 0; code++) {
        assert_string_not_equal(shrewd_proof_strerror(code), "unknown error");
    }
    assert_string_equal(shrewd_proof_strerror(1), "unknown error");
    assert_string_equal(shrewd_proof_strerror(SHREWD_UNPROVEN_IS_PRESENT - 1), "unknown error");
}

/* --- The vectors of doc/state-root.md --- */

#define VECTORS SHREWD_SOURCE_DIR "/doc/state-root.vectors.json"

struct vector {
    const char *name;
    uint32_t held[8];
    size_t n_held;
    uint32_t asked[8];
    size_t n_asked;
};

static const struct vector vectors[] = {
    {"no key, absent", {0}, 0, {0}, 1},
    {"one key", {0}, 1, {0}, 1},
    {"one key, another is absent", {0}, 1, {1}, 1},
    {"two keys", {0, 1}, 2, {0}, 1},
    {"two keys, both", {0, 1}, 2, {0, 1}, 2},
    {"three keys, the third", {0, 1, 2}, 3, {2}, 1},
    {"three keys, absent", {0, 1, 2}, 3, {3}, 1},
    {"two hashes that agree in 32 bits", {TWIN_A, TWIN_B}, 2, {TWIN_A}, 1},
    {"absent, at an empty place", {TWIN_A, TWIN_B}, 2, {0}, 1},
    {"absent, agreeing in 32 bits with a leaf", {0, 1, TWIN_B}, 3, {TWIN_A}, 1},
    {"eight keys, of four one is absent",
     {0, 1, 2, 3, 4, 5, TWIN_A, TWIN_B},
     8,
     {TWIN_B, 3, 7, 0},
     4},
    {"nothing asked", {0, 1, 2}, 3, {0}, 0},
};

static json_t *json_hex(struct shr_bytes bytes) {
    struct shr_buf text = {0};
    shr_buf_add_str(&text, "0x");
    for (size_t i = 0; i < bytes.len; i++) {
        shr_buf_printf(&text, "%02x", bytes.data[i]);
    }
    json_t *json = json_string(shr_buf_cstr(&text));
    shr_buf_free(&text);
    return json;
}

static json_t *json_pair(struct shr_bytes key, struct shr_bytes value, bool absent) {
    json_t *pair = json_object();
    json_object_set_new(pair, "key", json_hex(key));
    json_object_set_new(pair, "value", absent ? json_null() : json_hex(value));
    return pair;
}

static json_t *json_vector(const struct vector *vector) {
    struct root_model model = {0};
    struct question question;
    json_t *json = json_object(), *pairs = json_array(), *entries = json_array();
    struct shr_buf key = {0}, value = {0};
    model_fill(&model, vector->held, vector->n_held);
    question_init(&question, model, vector->asked, vector->n_asked);
    assert_int_equal(question_verify(&question, &question.proof, NULL), 0);
    for (size_t i = 0; i < vector->n_held; i++) {
        numbered(&key, "key", vector->held[i]);
        numbered(&value, "value", vector->held[i]);
        json_array_append_new(pairs, json_pair(shr_buf_bytes(&key), shr_buf_bytes(&value), false));
    }
    for (size_t i = 0; i < question.n; i++) {
        const struct shrewd_claim *claim = &question.claims[i];
        json_array_append_new(entries, json_pair(shr_bytes(claim->key, claim->key_len),
                                                 shr_bytes(claim->value, claim->value_len),
                                                 claim->absent != 0));
    }
    json_object_set_new(json, "name", json_string(vector->name));
    json_object_set_new(json, "state", pairs);
    json_object_set_new(json, "root", json_hex(shr_bytes(question.root.b, 32)));
    json_object_set_new(json, "entries", entries);
    json_object_set_new(json, "proof", json_hex(shr_buf_bytes(&question.proof)));
    shr_buf_free(&key);
    shr_buf_free(&value);
    question_free(&question);
    return json;
}

/* The page that explains it shows the same roots. */
static void check_page(json_t *made) {
    struct shr_buf page = {0};
    assert_ok(shr_file_read(&page, SHREWD_SOURCE_DIR "/doc/state-root.md", 1 << 20, err));
    for (size_t i = 0; i < json_array_size(made); i++) {
        const char *root = json_string_value(json_object_get(json_array_get(made, i), "root"));
        if (strstr(shr_buf_cstr(&page), root + 2) == NULL) {
            fail_msg("doc/state-root.md does not have the root %s", root);
        }
    }
    shr_buf_free(&page);
}

/* The file is what the model says. With SHREWD_WRITE_VECTORS set it is written. */
static void test_vectors(void **state) {
    (void)state;
    json_t *made = json_array();
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        json_array_append_new(made, json_vector(&vectors[i]));
    }
    if (getenv("SHREWD_WRITE_VECTORS") != NULL) {
        assert_int_equal(json_dump_file(made, VECTORS, JSON_INDENT(1)), 0);
    }
    json_t *kept = json_load_file(VECTORS, 0, NULL);
    assert_non_null(kept);
    assert_true(json_equal(kept, made));
    json_decref(kept);
    check_page(made);
    json_decref(made);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_true_and_false),
        cmocka_unit_test(test_repeated),
        cmocka_unit_test(test_other_root),
        cmocka_unit_test(test_model_removes),
        cmocka_unit_test(test_mutations),
        cmocka_unit_test(test_mutations_of_many),
        cmocka_unit_test(test_other_keys),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_one_leaf_right),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_vectors),
    };
    return cmocka_run_group_tests_name("proof", tests, NULL, NULL);
}
