/* The cache of answers: exact keys, bounded bytes, what is dropped. */
#include "view/results.h"

#include "base/endian.h"
#include "state_help.h"

#include <pthread.h>

#define MIB ((uint64_t)1 << 20)

static struct shr_version version(uint32_t height, uint8_t fork) {
    struct shr_version at = {.height = height};
    memset(at.hash.b, fork, sizeof at.hash.b);
    return at;
}

static void put(struct shr_results *results, struct shr_version at, const char *view,
                const char *input, const char *answer) {
    shr_results_put(results, &at, view, shr_bytes_str(input), shr_bytes_str(answer));
}

/* `answer` NULL: nothing is kept. */
static void check(struct shr_results *results, struct shr_version at, const char *view,
                  const char *input, const char *answer) {
    struct shr_buf out = {0};
    shr_buf_add_str(&out, "before");
    bool found = shr_results_get(results, &out, &at, view, shr_bytes_str(input));
    assert_int_equal(found, answer != NULL);
    assert_string_equal(shr_buf_cstr(&out), answer != NULL ? answer : "before");
    shr_buf_free(&out);
}

/* Keys that are alike in every way but one are different keys. */
static void test_exact(void **state) {
    struct shr_results *results = shr_results_new(MIB);
    put(results, version(7, 1), "ab", "c", "1");
    check(results, version(7, 1), "ab", "c", "1");
    check(results, version(7, 2), "ab", "c", NULL);
    check(results, version(8, 1), "ab", "c", NULL);
    check(results, version(7, 1), "a", "bc", NULL);
    check(results, version(7, 1), "abc", "", NULL);
    check(results, version(7, 1), "ab", "", NULL);
    check(results, version(7, 1), "ab", "cc", NULL);
    check(results, version(7, 1), "ab", "d", NULL);
    put(results, version(7, 2), "ab", "c", "2");
    put(results, version(7, 1), "a", "bc", "");
    put(results, version(7, 1), "ab", "", "4");
    check(results, version(7, 1), "ab", "c", "1");
    check(results, version(7, 2), "ab", "c", "2");
    check(results, version(7, 1), "a", "bc", "");
    check(results, version(7, 1), "ab", "", "4");
    put(results, version(7, 1), "ab", "c", "another");
    check(results, version(7, 1), "ab", "c", "another");
    struct shr_results_stats stats;
    shr_results_stats(results, &stats);
    assert_int_equal(stats.entries, 4);
    shr_results_free(results);
    shr_results_free(NULL);
}

/* Random puts and gets: what is kept is what was put last, and never more than the bound. */
static void test_bounded(void **state) {
    enum { KEYS = 2000, STEPS = 60000 };
    struct shr_results *results = shr_results_new(MIB);
    static uint32_t last[KEYS];
    memset(last, 0, sizeof last);
    struct rng rng = {42};
    struct shr_buf answer = {0}, out = {0};
    uint32_t hits = 0;
    for (uint32_t step = 1; step <= STEPS; step++) {
        uint32_t key = rng_below(&rng, KEYS);
        char input[20];
        snprintf(input, sizeof input, "%u", key);
        struct shr_version at = version(key % 3, (uint8_t)(key % 5));
        if (shr_results_get(results, &out, &at, "view", shr_bytes_str(input))) {
            hits++;
            assert_true(last[key] != 0);
            assert_int_equal(shr_get_le32(out.data), last[key]);
        }
        if (rng_below(&rng, 2) == 0) {
            size_t len = 4 + rng_below(&rng, rng_below(&rng, 8) == 0 ? 20000 : 600);
            shr_buf_clear(&answer);
            memset(shr_buf_grow(&answer, len), 'x', len);
            shr_put_le32(answer.data, step);
            last[key] = step;
            shr_results_put(results, &at, "view", shr_bytes_str(input), shr_buf_bytes(&answer));
        }
        struct shr_results_stats stats;
        shr_results_stats(results, &stats);
        assert_true(stats.bytes <= MIB);
        assert_true(stats.entries <= KEYS);
    }
    assert_true(hits > STEPS / 10);
    shr_buf_free(&answer);
    shr_buf_free(&out);
    shr_results_free(results);
}

/* An answer over a 16th of the bytes is not kept, nor does it push others out. */
static void test_large(void **state) {
    struct shr_results *results = shr_results_new(MIB);
    struct shr_version at = version(1, 1);
    struct shr_buf large = {0}, out = {0};
    put(results, at, "small", "", "kept");
    memset(shr_buf_grow(&large, MIB / 16), 'x', MIB / 16);
    shr_results_put(results, &at, "large", NO_BYTES, shr_buf_bytes(&large));
    assert_false(shr_results_get(results, &out, &at, "large", NO_BYTES));
    shr_results_put(results, &at, "input", shr_buf_bytes(&large), NO_BYTES);
    assert_false(shr_results_get(results, &out, &at, "input", shr_buf_bytes(&large)));
    large.len -= 1000;
    shr_results_put(results, &at, "large", NO_BYTES, shr_buf_bytes(&large));
    assert_true(shr_results_get(results, &out, &at, "large", NO_BYTES));
    assert_bytes(shr_buf_bytes(&out), shr_buf_bytes(&large));
    check(results, at, "small", "", "kept");
    shr_buf_free(&large);
    shr_buf_free(&out);
    shr_results_free(results);
}

/* What is asked for stays; what is not goes first. */
static void test_least_recent(void **state) {
    struct shr_results *results = shr_results_new(MIB);
    struct shr_version at = version(1, 1);
    struct shr_buf filler = {0};
    memset(shr_buf_grow(&filler, 1000), 'x', 1000);
    put(results, at, "asked", "", "1");
    put(results, at, "not asked", "", "2");
    for (uint32_t i = 0; i < 5000; i++) {
        shr_results_put(results, &at, "filler", shr_bytes(&i, sizeof i), shr_buf_bytes(&filler));
        check(results, at, "asked", "", "1");
    }
    check(results, at, "not asked", "", NULL);
    shr_buf_free(&filler);
    shr_results_free(results);
}

static bool of_fork(void *ctx, const struct shr_version *at) {
    return at->hash.b[0] == *(uint8_t *)ctx;
}

static void test_drop(void **state) {
    struct shr_results *results = shr_results_new(MIB);
    for (uint32_t i = 0; i < 100; i++) {
        char input[20];
        snprintf(input, sizeof input, "%u", i);
        put(results, version(i, (uint8_t)(i % 2)), i < 50 ? "a" : "ab", input, "x");
    }
    uint8_t gone = 1;
    struct shr_results_stats stats;
    shr_results_drop(results, of_fork, &gone);
    shr_results_stats(results, &stats);
    assert_int_equal(stats.entries, 50);
    check(results, version(8, 0), "a", "8", "x");
    check(results, version(7, 1), "a", "7", NULL);
    shr_results_drop_view(results, "a");
    shr_results_stats(results, &stats);
    assert_int_equal(stats.entries, 25);
    check(results, version(8, 0), "a", "8", NULL);
    check(results, version(60, 0), "ab", "60", "x");
    shr_results_drop_view(results, "ab");
    shr_results_stats(results, &stats);
    assert_int_equal(stats.entries, 0);
    assert_int_equal(stats.bytes, 0);
    shr_results_free(results);
}

struct worker {
    struct shr_results *results;
    uint64_t seed;
    const char *wrong;
};

/* Every answer tells its key. */
static void *worker_main(void *ctx) {
    struct worker *worker = ctx;
    struct rng rng = {worker->seed};
    struct shr_buf out = {0};
    for (int i = 0; i < 20000 && worker->wrong == NULL; i++) {
        uint32_t key = rng_below(&rng, 3000);
        struct shr_version at = version(key % 7, (uint8_t)(key % 2));
        uint32_t answer[50] = {key};
        struct shr_bytes input = shr_bytes(&key, sizeof key);
        if (!shr_results_get(worker->results, &out, &at, "v", input)) {
            shr_results_put(worker->results, &at, "v", input, shr_bytes(answer, sizeof answer));
        } else if (out.len != sizeof answer || shr_get_le32(out.data) != key) {
            worker->wrong = "an answer of another key";
        }
        if (rng_below(&rng, 2000) == 0) {
            uint8_t gone = 1;
            shr_results_drop(worker->results, of_fork, &gone);
        }
    }
    shr_buf_free(&out);
    return NULL;
}

static void test_threads(void **state) {
    struct shr_results *results = shr_results_new(MIB / 2);
    struct worker workers[6];
    pthread_t threads[6];
    for (uint64_t i = 0; i < 6; i++) {
        workers[i] = (struct worker){.results = results, .seed = i};
        assert_int_equal(pthread_create(&threads[i], NULL, worker_main, &workers[i]), 0);
    }
    for (int i = 0; i < 6; i++) {
        pthread_join(threads[i], NULL);
        if (workers[i].wrong != NULL) {
            fail_msg("%s", workers[i].wrong);
        }
    }
    shr_results_free(results);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact), cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_large), cmocka_unit_test(test_least_recent),
        cmocka_unit_test(test_drop),  cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests_name("results", tests, NULL, NULL);
}
