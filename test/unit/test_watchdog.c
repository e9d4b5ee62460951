/* Calls that would run for ever are ended at their deadline, whatever they do, and the process
 * goes on. What each does is marked by name; `good` answers "good". */
#include "base/clock.h"
#include "base/log.h"
#include "guest_bench.h"
#include "wasm/instance.h"

#include <pthread.h>
#include <stdatomic.h>

#define DEADLINE_MS 40
/* Beyond the deadline, of a processor: what others keep from a call is not its own. A tick is 4 ms,
 * and run_fills_much can only be ended after each of its large fills. */
#define GRACE_MS 500
#define PATIENCE_MS 60000 /* by the clock, however busy the machine is */

#define GOOD                                                                                       \
    "(data (i32.const 8000) \"\\04\\00\\00\\00good\")"                                             \
    "(func (export \"good\") (result i32) (i32.const 8004))"
#define KEY "(data (i32.const 100) \"\\01\\00\\00\\00k\")"

static const char *const *names; /* those of runaways.wat that run away */
static size_t n_names;
static struct shr_module *module;

static int quiet_get(void *ctx, struct shr_buf *value, struct shr_bytes key,
                     struct shrewd_error *err) {
    shr_buf_set(value, key);
    return 0;
}

static void no_log(void *ctx, struct shr_bytes text) {
}

static const struct shr_guest_host quiet = {.get = quiet_get, .log = no_log};

static struct shr_deadline in_ms(uint64_t ms) {
    return (struct shr_deadline){.at_ns = shr_now_ns() + ms * 1000000, .allowed_ms = (uint32_t)ms};
}

static void assert_good(struct shr_module *of) {
    struct shr_buf out = {0};
    struct shrewd_error err = {0};
    struct shr_guest_call call = {.entry = "good", .host = &quiet};
    struct shr_instance *instance = NULL;
    struct shr_deadline deadline = in_ms(60000);
    assert_int_equal(shr_instance_new(&instance, of, NULL, &err), 0);
    for (int i = 0; i < 3; i++) {
        if (shr_instance_view(instance, &out, &call, &deadline, &err) != 0) {
            fail_msg("a good view fails: %s", err.message);
        }
        assert_true(shr_bytes_eq(shr_buf_bytes(&out), shr_bytes_str("good")));
        assert_true(shr_instance_usable(instance));
    }
    shr_instance_free(instance);
    shr_buf_free(&out);
}

static uint64_t cpu_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Runs to the deadline; for how long it used a processor beyond that, in ns, at least: had it used
 * one all the time before. */
static uint64_t run_away(struct shr_module *of, const char *name, const struct shr_deadline *limit,
                         int expected, const char *says) {
    struct shr_buf out = {0};
    struct shrewd_error err = {0};
    struct shr_instance *instance = NULL;
    struct shr_guest_call call = {.entry = name, .height = 7, .host = &quiet};
    struct shr_instance_limits limits = {.memory_max = 1u << 28};
    assert_int_equal(shr_instance_new(&instance, of, &limits, &err), 0);
    uint64_t start = shr_now_ns(), start_cpu = cpu_ns();
    int code = strcmp(name, "_start") == 0 ? shr_instance_index(instance, &call, limit, &err)
                                           : shr_instance_view(instance, &out, &call, limit, &err);
    uint64_t now = shr_now_ns(), used = cpu_ns() - start_cpu;
    if (code != expected) {
        fail_msg("%s: %d %s", name, code, err.message);
    }
    assert_contains(err.message, says);
    assert_false(shr_instance_usable(instance));
    assert_int_equal(shr_instance_view(instance, &out, &call, limit, &err), SHREWD_INVALID);
    shr_instance_free(instance);
    shr_buf_free(&out);
    if (limit->at_ns == 0) {
        return 0;
    }
    assert_in_range(now, start, limit->at_ns + PATIENCE_MS * 1000000ull);
    uint64_t allowed = limit->at_ns > start ? limit->at_ns - start : 0;
    return used > allowed ? used - allowed : 0;
}

static void each_is_ended(void **state) {
    guest_signals_restore();
    for (size_t i = 0; i < n_names; i++) {
        char says[100];
        snprintf(says, sizeof says, "%s at height 7 ran longer than the %d ms allowed", names[i],
                 DEADLINE_MS);
        uint64_t over_ns = 0;
        for (int round = 0; round < 3; round++) {
            struct shr_deadline limit = in_ms(DEADLINE_MS);
            uint64_t now_ns = run_away(module, names[i], &limit, SHREWD_LIMIT, says);
            over_ns = now_ns > over_ns ? now_ns : over_ns;
        }
        print_message("%-20s %6.1f ms past its deadline\n", names[i], (double)over_ns / 1e6);
        assert_in_range(over_ns, 0, GRACE_MS * 1000000ull);
        assert_good(module);
    }
}

static void previews_are_ended(void **state) {
    guest_signals_restore();
    struct shr_deadline limit = in_ms(DEADLINE_MS);
    run_away(module, "_start", &limit, SHREWD_LIMIT,
             "_start at height 7 ran longer than the 40 ms");
    assert_good(module);
}

static void recursion_is_a_trap(void **state) {
    guest_signals_restore();
    struct shr_deadline limit = in_ms(60000);
    run_away(module, "sinks", &limit, SHREWD_TRAP, "stack overflow");
    assert_good(module);
}

/* The message says where it was, in the offsets of the module as it came. */
static void the_message_says_where(void **state) {
    static const char wat[] =
        "(module (memory (export \"memory\") 1)" GOOD "(func $f (loop (loop)) unreachable)"
        "(func $spins (export \"spins\") (result i32) (call $f) (i32.const 4)))";
    guest_signals_restore();
    struct shr_module *marked = bench_module(wat);
    struct shr_deadline limit = in_ms(60000);
    run_away(marked, "spins", &limit, SHREWD_TRAP,
             "unreachable code reached; in f (function 1 +0x7, ");
    shr_module_free(marked);
}

static void *cancel_soon(void *ctx) {
    _Atomic bool *cancel = ctx;
    struct timespec pause = {.tv_nsec = 30000000};
    nanosleep(&pause, NULL);
    atomic_store(cancel, true);
    return NULL;
}

static void cancelled_calls_are_ended(void **state) {
    static const char *const some[] = {"run_empty", "run_logs", "run_fills", "run_tail"};
    guest_signals_restore();
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) {
        pthread_t thread;
        _Atomic bool cancel = false;
        struct shr_deadline limit = {.cancel = &cancel};
        assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &cancel), 0);
        run_away(module, some[i], &limit, SHREWD_STOPPED, "at height 7 was cancelled");
        pthread_join(thread, NULL);
        assert_good(module);
    }
}

/* Start section and constructor run in the first call, under its deadline. */
static void what_runs_before_the_view_is_ended(void **state) {
    static const char *const before[] = {
        "(func $begin (loop (br 0)))(start $begin)",
        "(func (export \"_initialize\") (loop (br 0)))",
        "(func $begin (loop (drop (call $get_len (i32.const 104))) (br 0)))(start $begin)",
    };
    guest_signals_restore();
    for (size_t i = 0; i < 3; i++) {
        struct shr_buf wat = {0};
        shr_buf_printf(&wat, "(module %s%s%s%s%s)", GUEST_IMPORTS, GUEST_MEMORY, KEY, GOOD,
                       before[i]);
        struct shr_module *starts = bench_module(shr_buf_cstr(&wat));
        struct shr_deadline limit = in_ms(DEADLINE_MS);
        run_away(starts, "good", &limit, SHREWD_LIMIT,
                 "good at height 7 ran longer than the 40 ms");
        shr_module_free(starts);
        shr_buf_free(&wat);
        assert_good(module);
    }
}

/* A module with no memory at all, or one without a page at first. */
static void modules_without_a_page_are_ended(void **state) {
    static const char wat[] =
        "(module " GUEST_IMPORTS "(memory (export \"memory\") 0)"
        "(func (export \"good\") (result i32) (drop (memory.grow (i32.const 1)))"
        "  (i32.store (i32.const 0) (i32.const 4)) (i32.store (i32.const 4) (i32.const 0x646f6f67))"
        "  (i32.const 4))"
        "(func (export \"spins\") (result i32) (loop (br 0)) unreachable))";
    static const char none[] =
        "(module (func (export \"spins\") (result i32) (loop (br 0)) unreachable))";
    guest_signals_restore();
    struct shr_module *modules[] = {bench_module(wat), bench_module(none)};
    for (int i = 0; i < 6; i++) {
        struct shr_deadline limit = in_ms(DEADLINE_MS);
        run_away(modules[i % 2], "spins", &limit, SHREWD_LIMIT, "spins at height 7 ran longer");
        assert_good(modules[0]);
    }
    shr_module_free(modules[0]);
    shr_module_free(modules[1]);
}

static void hear(void *ctx, enum shr_log_level level, const char *room, const char *message) {
    shr_buf_add_str(ctx, message);
}

/* A module that cannot be marked, for one function has too many loops, checks epochs. */
static void modules_without_marks_are_ended(void **state) {
    struct shr_buf said = {0};
    struct shr_buf wat = {0};
    guest_signals_restore();
    shr_buf_add_str(&wat, "(module " GUEST_IMPORTS GUEST_MEMORY GOOD
                          "(func (export \"spins\") (result i32) (loop (br 0)) unreachable)"
                          "(func (export \"asks\") (result i32)"
                          "  (loop (drop (call $host_len)) (br 0)) unreachable)(func ");
    for (int i = 0; i < 4097; i++) {
        shr_buf_add_str(&wat, "(loop)");
    }
    shr_buf_add_str(&wat, "))");
    shr_log_set_sink(hear, &said);
    struct shr_module *unmarked = bench_module(shr_buf_cstr(&wat));
    shr_log_set_sink(NULL, NULL);
    assert_contains(shr_buf_cstr(&said), "views of 'test.wat' run with epoch checks");
    assert_contains(shr_buf_cstr(&said), "a function with more loops than marks");
    for (int i = 0; i < 3; i++) {
        struct shr_deadline limit = in_ms(DEADLINE_MS);
        run_away(unmarked, "spins", &limit, SHREWD_LIMIT,
                 "spins at height 7 ran longer than the 40");
        limit = in_ms(DEADLINE_MS);
        run_away(unmarked, "asks", &limit, SHREWD_LIMIT, "asks at height 7 ran longer than the 40");
        assert_good(unmarked);
    }
    shr_module_free(unmarked);
    shr_buf_free(&said);
    shr_buf_free(&wat);
}

#define THREADS 8
#define PER_THREAD 25

static _Atomic unsigned next_name;
static _Atomic unsigned ended_runs;
static _Atomic uint64_t worst_ns;
static _Atomic bool crowd_is_done;

static void *run_away_often(void *ctx) {
    for (int i = 0; i < PER_THREAD; i++) {
        const char *name = names[atomic_fetch_add(&next_name, 1) % n_names];
        struct shr_deadline limit = in_ms(DEADLINE_MS / 2);
        uint64_t over_ns = run_away(module, name, &limit, SHREWD_LIMIT, "the 20 ms allowed");
        uint64_t worst = atomic_load(&worst_ns);
        while (over_ns > worst && !atomic_compare_exchange_weak(&worst_ns, &worst, over_ns)) {
        }
        atomic_fetch_add(&ended_runs, 1);
    }
    return NULL;
}

static void *answer_often(void *ctx) {
    while (!atomic_load(&crowd_is_done)) {
        assert_good(module);
    }
    return NULL;
}

static void many_at_once_beside_good_ones(void **state) {
    guest_signals_restore();
    pthread_t threads[THREADS];
    pthread_t good[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&good[i], NULL, answer_often, NULL), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, run_away_often, NULL), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    atomic_store(&crowd_is_done, true);
    for (int i = 0; i < 2; i++) {
        pthread_join(good[i], NULL);
    }
    assert_int_equal(atomic_load(&ended_runs), THREADS * PER_THREAD);
    print_message("200 at once: the last %.1f ms past its deadline\n",
                  (double)atomic_load(&worst_ns) / 1e6);
    assert_in_range(atomic_load(&worst_ns), 0, 4 * GRACE_MS * 1000000ull);
    assert_good(module);
}

/* A view that is just done when its time is up answers or is ended; nothing else happens. */
static void the_very_last_moment(void **state) {
    static const char wat[] =
        "(module " GUEST_IMPORTS GUEST_MEMORY GOOD
        "(func (export \"view\") (result i32) (local $i i32) (loop"
        " (br_if 0 (i32.ne (local.tee $i (i32.add (local.get $i) (i32.const 1)))"
        " (i32.const 4000000)))) (i32.const 8004)))";
    guest_signals_restore();
    struct shr_module *counts = bench_module(wat);
    struct shr_instance *instance = NULL;
    struct shrewd_error err = {0};
    struct shr_buf out = {0};
    struct shr_guest_call call = {.entry = "view", .host = &quiet};
    int answered = 0;
    for (int i = 0; i < 400; i++) {
        struct shr_deadline limit = {.at_ns = shr_now_ns() + (uint64_t)i * 10000};
        if (instance == NULL) {
            assert_int_equal(shr_instance_new(&instance, counts, NULL, &err), 0);
        }
        int code = shr_instance_view(instance, &out, &call, &limit, &err);
        assert_true(code == 0 || code == SHREWD_LIMIT);
        assert_int_equal(shr_instance_usable(instance), code == 0);
        answered += code == 0;
        if (code != 0) {
            shr_instance_free(instance);
            instance = NULL;
        }
    }
    print_message("%d of 400 answered\n", answered);
    shr_instance_free(instance);
    shr_module_free(counts);
    shr_buf_free(&out);
}

static int set_up(void **state) {
    struct shrewd_error err = {0};
    int code = bench_setup(state);
    if (code == 0) {
        code = shr_module_open(&module, bench_engine, SHREWD_SOURCE_DIR "/test/unit/runaways.wat",
                               NULL, &err);
    }
    if (code != 0) {
        print_error("%s\n", err.message);
        return code;
    }
    const struct shr_module_info *info = shr_module_info(module);
    assert_string_equal(info->views[0], "good"); /* sorted, and what runs away begins with "run" */
    names = info->views + 1;
    n_names = info->n_views - 2;
    assert_string_equal(names[n_names], "sinks");
    return 0;
}

static int tear_down(void **state) {
    shr_module_free(module);
    return bench_teardown(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_ended),
        cmocka_unit_test(previews_are_ended),
        cmocka_unit_test(recursion_is_a_trap),
        cmocka_unit_test(the_message_says_where),
        cmocka_unit_test(cancelled_calls_are_ended),
        cmocka_unit_test(what_runs_before_the_view_is_ended),
        cmocka_unit_test(modules_without_a_page_are_ended),
        cmocka_unit_test(modules_without_marks_are_ended),
        cmocka_unit_test(many_at_once_beside_good_ones),
        cmocka_unit_test(the_very_last_moment),
    };
    guest_signals_keep();
    return cmocka_run_group_tests_name("watchdog", tests, set_up, tear_down);
}
