/* Warm instances: what they keep between calls and what not, their limits and their costs. */
#include "base/clock.h"
#include "guest_bench.h"
#include "wasm/instance.h"

#include <pthread.h>

/* `count` says how often it ran in this instance; `value` reads "k" twice; `input` gives the input
 * back; `starts` how often start section and constructor ran. */
#define WARM                                                                                       \
    GUEST("(global $calls (mut i32) (i32.const 0))(global $starts (mut i32) (i32.const 0))"        \
          "(data (i32.const 100) \"\\01\\00\\00\\00k\")"                                           \
          "(func $begin (global.set $starts (i32.add (global.get $starts) (i32.const 1))))"        \
          "(start $begin)"                                                                         \
          "(func (export \"_initialize\")"                                                         \
          "  (global.set $starts (i32.add (global.get $starts) (i32.const 16))))"                  \
          "(func $number (param i32) (result i32) (i32.store (i32.const 200) (i32.const 4))"       \
          "  (i32.store (i32.const 204) (local.get 0)) (i32.const 204))"                           \
          "(func (export \"count\") (result i32)"                                                  \
          "  (global.set $calls (i32.add (global.get $calls) (i32.const 1)))"                      \
          "  (call $number (global.get $calls)))"                                                  \
          "(func (export \"starts\") (result i32) (call $number (global.get $starts)))"            \
          "(func (export \"value\") (result i32)"                                                  \
          "  (i32.store (i32.const 300) (call $get_len (i32.const 104)))"                          \
          "  (call $get (i32.const 104) (i32.const 304)) (i32.const 304))"                         \
          "(func (export \"input\") (result i32) (i32.store (i32.const 4092) (call $host_len))"    \
          "  (call $load_input (i32.const 4096)) (i32.const 4096))"                                \
          "(func (export \"traps\") (result i32) unreachable)"                                     \
          "(func (export \"points_out\") (result i32) (i32.const -8))"                             \
          "(func (export \"long\") (result i32) (i32.store (i32.const 500) (i32.const 5000))"      \
          "  (i32.const 504))"                                                                     \
          "(func (export \"grows\") (result i32)"                                                  \
          "  (call $number (memory.grow (i32.const 15))))"                                         \
          "(func (export \"logs\") (result i32) (local $i i32)"                                    \
          "  (loop (call $log (i32.const 104)) (local.set $i (i32.add (local.get $i)"              \
          "    (i32.const 1))) (br_if 0 (i32.lt_u (local.get $i) (i32.const 500))))"               \
          "  (i32.const 104))")

static struct shr_module *module;
static struct bench bench;
static struct shr_buf out;
static struct shrewd_error err;

static struct shr_instance *make(const struct shr_instance_limits *limits) {
    struct shr_instance *instance = NULL;
    bench_deinit(&bench);
    bench_init(&bench);
    assert_int_equal(shr_instance_new(&instance, module, limits, &err), 0);
    assert_true(shr_instance_usable(instance));
    return instance;
}

static int view(struct shr_instance *instance, const char *name) {
    struct shr_guest_call call = {
        .entry = name, .height = 7, .payload = shr_bytes_str("abc"), .host = &bench.host};
    err.message[0] = 0;
    return shr_instance_view(instance, &out, &call, NULL, &err);
}

static uint32_t number(struct shr_instance *instance, const char *name) {
    uint32_t value;
    if (view(instance, name) != 0) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(out.len, 4);
    memcpy(&value, out.data, 4);
    return value;
}

static void memory_lives_from_call_to_call(void **state) {
    struct shr_instance *one = make(NULL);
    struct shr_instance *two = make(NULL);
    for (uint32_t i = 1; i < 100; i++) {
        assert_int_equal(number(one, "count"), i);
        assert_int_equal(number(one, "starts"), 17);
    }
    assert_int_equal(number(two, "count"), 1);
    shr_instance_free(one);
    shr_instance_free(two);
    shr_instance_free(NULL);
}

/* What is kept for the sake of __get_len and __get is kept for one call only. */
static void what_the_host_said_is_asked_again(void **state) {
    struct shr_instance *instance = make(NULL);
    assert_int_equal(view(instance, "value"), 0);
    assert_true(shr_bytes_eq(shr_buf_bytes(&out), shr_bytes_str("value")));
    assert_int_equal(bench.gets, 1);
    assert_int_equal(view(instance, "value"), 0);
    assert_int_equal(bench.gets, 2);
    shr_instance_free(instance);
}

static int view_of(struct shr_instance *instance, const char *name, uint64_t version) {
    struct shr_guest_call call = {.entry = name,
                                  .height = 7,
                                  .payload = shr_bytes_str("abc"),
                                  .host = &bench.host,
                                  .version = version};
    return shr_instance_view(instance, &out, &call, NULL, &err);
}

/* Of one version a warm instance asks once; its first call, which may be the only one, keeps
 * nothing. */
static void what_a_version_holds_is_remembered(void **state) {
    struct shr_instance *instance = make(NULL);
    static const struct {
        uint64_t version;
        unsigned gets;
    } calls[] = {{5, 1}, {5, 2}, {5, 2}, {5, 2}, {6, 3}, {6, 3}, {5, 4}, {0, 5}, {5, 5}};
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        assert_int_equal(view_of(instance, "value", calls[i].version), 0);
        assert_true(shr_bytes_eq(shr_buf_bytes(&out), shr_bytes_str("value")));
        assert_int_equal(bench.gets, calls[i].gets);
    }
    shr_instance_free(instance);
}

static void each_call_has_its_own_input(void **state) {
    struct shr_instance *instance = make(NULL);
    for (uint32_t height = 0; height < 5; height++) {
        uint8_t payload[5] = {1, 2, 3, 4, 5};
        struct shr_guest_call call = {.entry = "input",
                                      .height = height,
                                      .payload = shr_bytes(payload, height),
                                      .host = &bench.host};
        assert_int_equal(shr_instance_view(instance, &out, &call, NULL, &err), 0);
        assert_int_equal(out.len, 4 + height);
        assert_memory_equal(out.data, &height, 4);
        assert_memory_equal(out.data + 4, payload, height);
    }
    shr_instance_free(instance);
}

static void a_failure_spends_it(void **state) {
    static const struct {
        const char *view;
        int code;
    } failures[] = {{"traps", SHREWD_TRAP}, {"points_out", SHREWD_GUEST}, {"long", SHREWD_LIMIT}};
    struct shr_instance_limits limits = {.result_max = 4999};
    for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++) {
        struct shr_instance *instance = make(&limits);
        assert_int_equal(number(instance, "count"), 1);
        assert_int_equal(view(instance, failures[i].view), failures[i].code);
        assert_false(shr_instance_usable(instance));
        assert_int_equal(view(instance, "count"), SHREWD_INVALID);
        shr_instance_free(instance);
    }
    struct shr_instance *instance = make(NULL);
    bench.get_fails = SHREWD_IO;
    assert_int_equal(view(instance, "value"), SHREWD_IO);
    assert_string_equal(err.message, "the disk is on fire");
    assert_false(shr_instance_usable(instance));
    shr_instance_free(instance);
}

static void an_unknown_view_does_not(void **state) {
    struct shr_instance *instance = make(NULL);
    assert_int_equal(number(instance, "count"), 1);
    assert_int_equal(view(instance, "nothing"), SHREWD_NO_VIEW);
    assert_true(shr_instance_usable(instance));
    assert_int_equal(number(instance, "count"), 2);
    shr_instance_free(instance);
}

static void memory_is_told_and_limited(void **state) {
    struct shr_instance_limits limits = {.memory_max = 16 * 65536};
    struct shr_instance *instance = make(&limits);
    assert_int_equal(shr_instance_memory(instance), 0);
    assert_int_equal(number(instance, "grows"), 1);
    assert_int_equal(shr_instance_memory(instance), 16 * 65536);
    assert_int_equal(number(instance, "grows"), UINT32_MAX);
    assert_int_equal(shr_instance_memory(instance), 16 * 65536);
    shr_instance_free(instance);
    limits.memory_max = 65535;
    instance = make(&limits);
    assert_int_equal(view(instance, "count"), SHREWD_LIMIT);
    shr_instance_free(instance);
    limits.memory_max = 65536;
    instance = make(&limits);
    assert_int_equal(number(instance, "grows"), UINT32_MAX);
    shr_instance_free(instance);
}

static void log_lines_are_limited(void **state) {
    struct shr_instance_limits limits = {.log_lines_max = 100};
    struct shr_instance *instance = make(&limits);
    for (size_t i = 1; i < 4; i++) {
        assert_int_equal(view(instance, "logs"), 0);
        assert_int_equal(shr_instance_cost(instance).log_lines, 500);
        assert_int_equal(bench.logged.len, i * 200); /* "k;" a line */
    }
    shr_instance_free(instance);
    instance = make(NULL);
    assert_int_equal(view(instance, "logs"), 0);
    assert_int_equal(bench.logged.len, 1000);
    shr_instance_free(instance);
}

static int slow_get(void *ctx, struct shr_buf *value, struct shr_bytes key,
                    struct shrewd_error *error) {
    struct timespec pause = {.tv_nsec = 5000000};
    nanosleep(&pause, NULL);
    return SHREWD_NOT_FOUND;
}

static void costs_are_told(void **state) {
    struct shr_instance *instance = make(NULL);
    assert_int_equal(view(instance, "value"), 0);
    assert_int_equal(shr_instance_cost(instance).host_calls, 2);
    assert_int_equal(shr_instance_cost(instance).host_ns, 0);
    shr_instance_measure(instance, true);
    bench.host.get = slow_get;
    assert_int_equal(view(instance, "value"), 0);
    assert_int_equal(shr_instance_cost(instance).host_calls, 2);
    assert_in_range(shr_instance_cost(instance).host_ns, 5000000, 5000000000u);
    assert_int_equal(view(instance, "count"), 0);
    assert_int_equal(shr_instance_cost(instance).host_calls, 0);
    assert_int_equal(shr_instance_cost(instance).host_ns, 0);
    shr_instance_measure(instance, false);
    shr_instance_free(instance);
}

/* One that was made and never called; a module that cannot index. */
static void odd_ends(void **state) {
    struct shr_instance *instance = make(NULL);
    shr_instance_free(instance);
    instance = make(NULL);
    struct shr_guest_call call = {.host = &bench.host};
    assert_int_equal(shr_instance_index(instance, &call, NULL, &err), SHREWD_MODULE);
    assert_true(shr_instance_usable(instance));
    shr_instance_free(instance);
}

static void previews_run_in_one(void **state) {
    struct shr_instance *instance = NULL;
    struct shr_module *flushes = bench_module(
        GUEST(GUEST_FLUSHES
              "(func (export \"_start\") (loop (if (i32.eqz (i32.load (i32.const 3000)))"
              " (then (i32.store (i32.const 3000) (i32.const 1)) (br 1)))) " FLUSH_PAIR ")"));
    struct shr_module *silent = bench_module(GUEST("(func (export \"_start\"))"));
    struct shr_guest_call call = {.height = 9, .host = &bench.host};
    bench_deinit(&bench);
    bench_init(&bench);
    assert_int_equal(shr_instance_new(&instance, flushes, NULL, &err), 0);
    assert_int_equal(shr_instance_index(instance, &call, NULL, &err), 0);
    assert_string_equal(shr_buf_cstr(&bench.flushed), "k=vv;");
    shr_instance_free(instance);
    assert_int_equal(shr_instance_new(&instance, silent, NULL, &err), 0);
    assert_int_equal(shr_instance_index(instance, &call, NULL, &err), SHREWD_GUEST);
    assert_contains(err.message, "indexer exited unexpectedly");
    assert_false(shr_instance_usable(instance));
    shr_instance_free(instance);
    shr_module_free(flushes);
    shr_module_free(silent);
}

#define THREADS 8
#define ROUNDS 300

static void *work(void *ctx) {
    struct bench own;
    struct shr_buf answer = {0};
    bench_init(&own);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        struct shr_instance *instance = NULL;
        struct shr_deadline deadline = {.at_ns = shr_now_ns() + 60000000000u};
        struct shr_guest_call call = {.entry = "count", .host = &own.host};
        if (shr_instance_new(&instance, module, NULL, NULL) != 0) {
            abort();
        }
        for (uint32_t calls = 1; calls < 1 + i % 7; calls++) {
            int code = shr_instance_view(instance, &answer, &call, &deadline, NULL);
            if (code != 0 || answer.len != 4 || answer.data[0] != calls) {
                abort();
            }
        }
        shr_instance_free(instance);
    }
    bench_deinit(&own);
    shr_buf_free(&answer);
    return NULL;
}

static void threads_have_their_own(void **state) {
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, work, NULL), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
}

static int set_up(void **state) {
    int code = bench_setup(state);
    if (code == 0) {
        module = bench_module(WARM);
    }
    return code;
}

static int tear_down(void **state) {
    shr_module_free(module);
    shr_buf_free(&out);
    bench_deinit(&bench);
    return bench_teardown(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_lives_from_call_to_call),
        cmocka_unit_test(what_the_host_said_is_asked_again),
        cmocka_unit_test(what_a_version_holds_is_remembered),
        cmocka_unit_test(each_call_has_its_own_input),
        cmocka_unit_test(a_failure_spends_it),
        cmocka_unit_test(an_unknown_view_does_not),
        cmocka_unit_test(memory_is_told_and_limited),
        cmocka_unit_test(log_lines_are_limited),
        cmocka_unit_test(costs_are_told),
        cmocka_unit_test(odd_ends),
        cmocka_unit_test(previews_run_in_one),
        cmocka_unit_test(threads_have_their_own),
    };
    guest_signals_keep();
    return cmocka_run_group_tests_name("instance", tests, set_up, tear_down);
}
