/* The hashes of the state tree: of nodes and of messages, by each way there is; and the tops of
 * buckets, against a naive tree (root_model.h). */
#include "root_model.h"
#include "state_help.h"

#include "state/root_impl.h"

/* Every last byte, which is all of a message's second block; one, two and more at a time. */
static void test_hashes(void **state) {
    struct rng rng = {11};
    for (unsigned round = 0; round < 1024; round++) {
        struct shr_hash in[10], left[5], want[5];
        struct shr_root_job jobs[5], slow[5];
        size_t n = 1 + round % 5;
        uint8_t tag = round % 3 == 0 ? SHR_ROOT_TAG_LEAF : SHR_ROOT_TAG_INNER;
        for (size_t i = 0; i < sizeof in; i++) {
            ((uint8_t *)in)[i] = (uint8_t)rng_next(&rng);
        }
        for (size_t i = 0; i < n; i++) {
            in[2 * i + 1].b[31] = (uint8_t)(round / 4 + i);
            left[i] = in[2 * i];
            slow[i] = (struct shr_root_job){&in[2 * i], &in[2 * i + 1], &want[i]};
            jobs[i] = (struct shr_root_job){&left[i], &in[2 * i + 1], &left[i]};
        }
        shr_root_hash_portable(tag, slow, n);
        shr_root_hash(tag, jobs, n);
        assert_memory_equal(left, want, n * sizeof *want);
    }
}

/* Every length about which blocks end, beside every other; odd and even counts; none. */
static void test_messages(void **state) {
    enum { LEN_MAX = 600, AT_ONCE = 9 };
    uint8_t *bytes = shr_alloc(LEN_MAX);
    struct rng rng = {13};
    for (size_t i = 0; i < LEN_MAX; i++) {
        bytes[i] = (uint8_t)rng_next(&rng);
    }
    for (size_t len = 0; len <= LEN_MAX; len++) {
        for (size_t n = 0; n <= AT_ONCE; n++) {
            struct shr_root_message messages[AT_ONCE];
            struct shr_hash got[AT_ONCE + 1] = {{{0}}}, want;
            for (size_t i = 0; i < n; i++) {
                /* Each its own bytes, which end where the memory does. */
                size_t other = i % 3 == 0 ? len : rng_below(&rng, LEN_MAX + 1);
                struct shr_bytes message = shr_bytes(bytes + LEN_MAX - other, other);
                messages[i] = (struct shr_root_message){message, &got[i]};
            }
            shr_root_hash_messages(messages, n);
            for (size_t i = 0; i < n; i++) {
                shr_sha256(&want, messages[i].bytes);
                assert_memory_equal(got[i].b, want.b, sizeof want.b);
            }
            assert_true(shr_hash_is_zero(&got[n]));
        }
    }
    struct shr_hash got, want;
    struct shr_root_message none[2] = {{shr_bytes(NULL, 0), &got}, {shr_bytes(NULL, 0), &got}};
    shr_sha256(&want, shr_bytes(NULL, 0));
    shr_root_hash_messages(none, 2);
    assert_memory_equal(got.b, want.b, sizeof want.b);
    free(bytes);
}

/* Keys whose hashes have much in common cannot be found, so their hashes are made up. */
static void test_long_paths(void **state) {
    struct shr_root_leaf leaves[SHR_ROOT_BUCKET_MAX] = {{{{0}}, {{0}}}};
    struct rng rng = {9};
    for (size_t n = 0; n <= SHR_ROOT_BUCKET_MAX; n++) {
        struct root_model model = {0};
        struct shr_root_top top;
        struct shr_hash want, key = {{0}};
        for (size_t i = 0; model.n < n; i++) {
            unsigned bit =
                rng_below(&rng, 2) == 0 ? 255 - rng_below(&rng, 8) : rng_below(&rng, 256);
            key.b[bit / 8] ^= (uint8_t)(0x80u >> bit % 8);
            root_model_set_hash(&model, &key, &key);
        }
        if (n > 0) {
            memcpy(leaves, model.leaves, n * sizeof leaves[0]);
        }
        shr_root_leaves_top(&top, leaves, n, 0);
        root_model_root(&model, &want);
        assert_memory_equal(top.hash.b, want.b, 32);
        assert_int_equal(top.single, n == 1);
        root_model_free(&model);
    }
}

/* A bucket whose leaves change, of which only the groups with a change are hashed anew. */
static void test_bucket_tops(void **state) {
    struct rng rng = {12};
    for (unsigned round = 0; round < 200; round++) {
        struct shr_root_page *page = shr_root_page_new(rng_below(&rng, 4), false);
        struct root_model model = {0};
        unsigned alike = rng_below(&rng, 3); /* bytes that all keys have in common */
        size_t bytes = shr_root_page_bytes(page);
        shr_root_page_group(page);
        assert_true(shr_root_page_bytes(page) >= bytes + SHR_ROOT_GROUPS * sizeof(struct shr_hash));
        while (model.n < SHR_ROOT_BUCKET_MAX) {
            struct shr_hash key = {{0}}, value;
            struct shr_root_top got, want;
            size_t old = rng_below(&rng, SHR_ROOT_BUCKET_MAX);
            for (unsigned i = 2 + alike; i < sizeof key.b; i++) {
                key.b[i] = (uint8_t)rng_next(&rng);
            }
            key.b[page->depth / 2] |= (uint8_t)(rng_next(&rng) & (page->depth % 2 == 0 ? 255 : 15));
            key = old < model.n ? model.leaves[old].key : key;
            shr_sha256(&value, shr_bytes(&rng.state, sizeof rng.state));
            root_model_set_hash(&model, &key, &value);
            shr_root_page_reserve(page, model.n);
            memcpy(page->of.leaves, model.leaves, model.n * sizeof *model.leaves);
            page->n = (uint16_t)model.n;
            shr_root_forget_group(page, &key);
            shr_root_bucket_top(&got, page);
            shr_root_leaves_top(&want, page->of.leaves, page->n, page->depth * SHR_ROOT_LEVELS);
            assert_memory_equal(got.hash.b, want.hash.b, sizeof want.hash.b);
            assert_int_equal(got.single, want.single);
            assert_int_equal(page->known, SHR_ROOT_GROUPS_ALL);
        }
        root_model_free(&model);
        shr_root_page_free(page);
    }
}

/* What a block writes comes in order: also when many hashes begin alike, as somebody who looks for
 * such keys can have it. */
static void test_news(void **state) {
    enum { PAIRS = 700, ALIKE = 80, KEY_BYTES = 16 };
    struct shr_pair *pairs = shr_alloc_array(PAIRS, sizeof *pairs);
    const struct shr_pair **list = shr_alloc_array(PAIRS, sizeof *list);
    char(*keys)[KEY_BYTES] = shr_alloc_array(PAIRS, sizeof *keys);
    for (uint32_t i = 0, next = 0; i < PAIRS; next++) {
        struct shr_hash hash;
        snprintf(keys[i], KEY_BYTES, "key-%u", next);
        pairs[i] = (struct shr_pair){shr_bytes_str(keys[i]), shr_bytes(keys[i], i % 7)};
        shr_sha256(&hash, pairs[i].key);
        list[i] = &pairs[i];
        i += i >= ALIKE || (hash.b[0] == 0x5a && hash.b[1] >> 4 == 3);
    }
    static const size_t counts[] = {0, 1, 16, ALIKE, 255, 256, PAIRS};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct shr_root_news news = {0};
        struct root_model model = {0};
        shr_root_news_make(&news, list, counts[i], 1 + i % 3);
        for (size_t j = 0; j < counts[i]; j++) {
            root_model_put(&model, pairs[j].key, pairs[j].value);
        }
        for (unsigned slot = 0; slot < SHR_ROOT_SLOTS; slot++) {
            shr_root_news_sort(&news, slot);
            for (size_t j = news.starts[slot]; j < news.starts[slot + 1]; j++) {
                assert_int_equal(shr_root_nibble(&news.leaves[j].key, 0), slot);
            }
        }
        assert_int_equal(news.n, counts[i]);
        assert_int_equal(news.starts[SHR_ROOT_SLOTS], counts[i]);
        assert_int_equal(model.n, counts[i]);
        assert_true(counts[i] == 0 ||
                    memcmp(news.leaves, model.leaves, counts[i] * sizeof *model.leaves) == 0);
        root_model_free(&model);
        shr_root_news_free(&news);
    }
    free(keys);
    free(list);
    free(pairs);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hashes),     cmocka_unit_test(test_messages),
        cmocka_unit_test(test_long_paths), cmocka_unit_test(test_bucket_tops),
        cmocka_unit_test(test_news),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
