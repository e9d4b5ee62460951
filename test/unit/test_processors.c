/* Which processors quick and slow calls keep to. */
#include "base/clock.h"
#include "rpc/processors.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

static void on(const cpu_set_t *expected) {
    cpu_set_t now;
    assert_int_equal(sched_getaffinity(0, sizeof now, &now), 0);
    assert_true(CPU_EQUAL(&now, expected));
}

/* A thread of its own, whose affinity ends with it. */
static void *heeds(void *ctx) {
    struct shr_processors *processors = ctx;
    on(&processors->all);
    for (uint32_t i = 0; i + 1 < processors->slow_max; i++) {
        shr_processors_begin_slow(processors);
    }
    shr_processors_heed(processors);
    on(&processors->all); /* one is still free */
    shr_processors_begin_slow(processors);
    shr_processors_heed(processors);
    on(&processors->quick);
    for (uint32_t i = 0; i < processors->slow_max; i++) {
        shr_processors_end_slow(processors);
    }
    for (uint64_t from = shr_now_ms();; usleep(10000)) { /* it does not move with every call */
        assert_true(shr_now_ms() - from < 60000);
        shr_processors_heed(processors);
        cpu_set_t now;
        assert_int_equal(sched_getaffinity(0, sizeof now, &now), 0);
        if (!CPU_EQUAL(&now, &processors->quick)) {
            break;
        }
    }
    on(&processors->all);
    return NULL;
}

static void *is_slow(void *ctx) {
    struct shr_processors *processors = ctx;
    shr_processors_join_slow(processors, 1);
    on(&processors->slow);
    shr_processors_heed(&(struct shr_processors){0}); /* nothing is filled: it stays */
    on(&processors->slow);
    return NULL;
}

static void in_thread(void *(*run)(void *ctx), struct shr_processors *processors) {
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run, processors), 0);
    pthread_join(thread, NULL);
}

static void test_two_sorts(void **state) {
    struct shr_processors processors;
    cpu_set_t both;
    shr_processors_init(&processors);
    if (CPU_COUNT(&processors.all) < 2) {
        assert_int_equal(processors.slow_max, 0);
        skip();
    }
    CPU_AND(&both, &processors.quick, &processors.slow);
    assert_int_equal(CPU_COUNT(&both), 0);
    CPU_OR(&both, &processors.quick, &processors.slow);
    assert_true(CPU_EQUAL(&both, &processors.all));
    assert_int_equal(CPU_COUNT(&processors.slow), processors.slow_max);
    in_thread(heeds, &processors);
    in_thread(is_slow, &processors);
}

/* One processor: calls share it. */
static void test_one(void **state) {
    struct shr_processors processors = {0};
    shr_processors_begin_slow(&processors);
    shr_processors_heed(&processors);
    shr_processors_end_slow(&processors);
    assert_int_equal(processors.slow_calls, 0);
    assert_int_equal(processors.filled_ns, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_sorts),
        cmocka_unit_test(test_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
