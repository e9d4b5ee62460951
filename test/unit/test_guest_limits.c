/* What ends a guest, and what it is held to: traps, stack, memory, tables, NaNs, features. */
#include "guest_bench.h"

#include <pthread.h>
#include <sys/resource.h>

static void traps_name_functions_and_offsets(void **state) {
    static const struct {
        const char *body;
        const char *says;
    } cases[] = {
        {"unreachable", "unreachable code reached"},
        {"(drop (i32.div_u (i32.const 1) (i32.const 0)))", "integer division by zero"},
        {"(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))", "integer overflow"},
        {"(drop (i32.trunc_f32_s (f32.const nan)))", "a float that does not fit an integer"},
        {"(drop (i32.load (i32.const 65533)))", "memory access out of bounds"},
        {"(drop (i32.load offset=4294967295 (i32.const -1)))", "memory access out of bounds"},
        {"(drop (i32.load offset=33554432 (i32.const -1)))", "memory access out of bounds"},
        {"(memory.fill (i32.const 65530) (i32.const 0) (i32.const 7))", "out of bounds"},
        {"(call_indirect (type $none) (i32.const 0))", "indirect call to a null table entry"},
        {"(call_indirect (type $none) (i32.const 9))", "table access out of bounds"},
        {"(call_indirect (type $none) (i32.const 1))", "indirect call with another signature"},
        {"(call $inner)", "stack overflow"},
    };
    struct bench bench;
    struct shrewd_error err;
    bench_init(&bench);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char wat[3000];
        snprintf(wat, sizeof wat,
                 GUEST("(type $none (func))(table 2 funcref)(elem (i32.const 1) $host_len)"
                       "(func $inner %s)(func $outer (call $inner))"
                       "(func (export \"_start\") (call $outer))"),
                 cases[i].body);
        assert_int_equal(bench_run(&bench, NULL, wat, "_start", &err), SHREWD_TRAP);
        assert_contains(err.message, "_start at height 7: ");
        assert_contains(err.message, cases[i].says);
        assert_contains(err.message, "; in inner (function 7");
        assert_contains(err.message, ", module offset 0x");
        if (strstr(cases[i].body, "$inner") == NULL) {
            assert_contains(err.message, "called by outer (function 8 +0x");
            assert_contains(err.message, "called by (function 9 +0x"); /* it has no name */
        }
    }
    bench_deinit(&bench);
}

static void traps_before_the_entry_are_reported_too(void **state) {
    static const char *const wats[] = {
        GUEST("(func $begin unreachable)(start $begin)(func (export \"_start\"))"),
        GUEST("(func $begin (export \"_initialize\") unreachable)(func (export \"_start\"))"),
        GUEST("(func $begin (export \"__wasm_call_ctors\") unreachable)(func (export \"_start\"))"),
    };
    struct bench bench;
    struct shrewd_error err;
    bench_init(&bench);
    for (size_t i = 0; i < sizeof wats / sizeof wats[0]; i++) {
        assert_int_equal(bench_run(&bench, NULL, wats[i], "_start", &err), SHREWD_TRAP);
        assert_contains(err.message, "unreachable code reached; in begin (function 7");
    }
    const char *data = GUEST("(data (i32.const 65535) \"xx\")(func (export \"_start\"))");
    assert_int_equal(bench_run(&bench, NULL, data, "_start", &err), SHREWD_TRAP);
    assert_contains(err.message, "memory access out of bounds");
    bench_deinit(&bench);
}

static void unknown_imports_trap_only_when_called(void **state) {
    static const char *const imports[] = {
        "(import \"env\" \"clock\" (func $x (result i64)))",
        "(import \"other\" \"__host_len\" (func $x (result i32)))",
        "(import \"env\" \"__host_len\" (func $x (result i64)))", /* the name, not the type */
        "(import \"env\" \"__get\" (func $x (param i32 i32 i32) (result f64)))",
        "(import \"env\" \"v\" (func $x (param v128 funcref) (result v128)))",
        "(import \"\" \"\" (func $x))",
    };
    static const char *const names[] = {
        "env.clock () -> i64",           "other.__host_len () -> i32",
        "env.__host_len () -> i64",      "env.__get (i32, i32, i32) -> f64",
        "env.v (v128, funcref) -> v128", "the import . () -> ()",
    };
    static const char *const calls[] = {
        "(drop (call $x))",
        "(drop (call $x))",
        "(drop (call $x))",
        "(drop (call $x (i32.const 0) (i32.const 0) (i32.const 0)))",
        "(drop (call $x (v128.const i64x2 0 0) (ref.null func)))",
        "(call $x)"};
    struct bench bench;
    struct shr_buf out = {0};
    struct shrewd_error err;
    bench_init(&bench);
    for (size_t i = 0; i < sizeof imports / sizeof imports[0]; i++) {
        char wat[2000];
        snprintf(wat, sizeof wat,
                 "(module %s" GUEST_MEMORY "(func (export \"fine\") (result i32) (i32.const 8))"
                 "(func $bad (export \"bad\") (result i32) %s (i32.const 8)))",
                 imports[i], calls[i]);
        assert_int_equal(bench_run(&bench, &out, wat, "fine", &err), 0);
        assert_int_equal(bench_run(&bench, &out, wat, "bad", &err), SHREWD_TRAP);
        assert_contains(err.message, names[i]);
        assert_contains(err.message, "which shrewd does not provide; in bad (function 2");
    }
    bench_deinit(&bench);
}

static void one_function_may_be_imported_twice(void **state) {
    struct bench bench;
    struct shr_buf out = {0};
    struct shr_module *module = NULL;
    struct shrewd_error err;
    bench_init(&bench);
    const char *twice = "(module (import \"env\" \"__host_len\" (func $a (result i32)))"
                        "(import \"env\" \"__host_len\" (func $b (result i32)))" GUEST_MEMORY
                        "(func (export \"v\") (result i32) (i32.store (i32.const 8)"
                        "  (i32.sub (call $a) (call $b))) (i32.const 12)))";
    assert_int_equal(bench_run(&bench, &out, twice, "v", &err), 0);
    const char *two_types = "(module (import \"env\" \"f\" (func))"
                            "(import \"env\" \"f\" (func (result i32))))";
    assert_int_equal(
        shr_module_new(&module, bench_engine, shr_bytes_str(two_types), "two.wat", NULL, &err),
        SHREWD_MODULE);
    assert_contains(err.message, "'two.wat' cannot be linked");
    bench_deinit(&bench);
}

static void modules_that_cannot_run_are_refused(void **state) {
    static const struct {
        const char *code;
        const char *says;
    } cases[] = {
        {"(module (import \"env\" \"memory\" (memory 1)))", "memory env.memory"},
        {"(module (import \"a\" \"t\" (table 1 funcref)) (import \"b\" \"g\" (global i32)))",
         "table a.t, global b.g"},
        {"(module (memory 1 1 shared))", "cannot be compiled"},
        {"(module (memory i64 1))", "cannot be compiled"},
        {"(module (memory 1) (memory 1))", "cannot be compiled"},
        {"(module (memory 65537))", "cannot be compiled"},
        {"(module (type (struct (field i32))))", "cannot be compiled"},
        {"(module (func (param externref)))", "cannot be compiled"},
        {"(module (tag))", "cannot be compiled"},
        {"(module (func (result v128) (i8x16.relaxed_swizzle (v128.const i64x2 0 0)"
         "(v128.const i64x2 0 0))))",
         "cannot be compiled"},
        {"(module (func (result i32)))", "cannot be compiled"},
        {"(module (func (oops)))", "is not wasm, nor wat text"},
        {"", "is empty"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct shrewd_error err = {0};
        struct shr_module *module = NULL;
        if (shr_module_new(&module, bench_engine, shr_bytes_str(cases[i].code), "bad", NULL,
                           &err) != SHREWD_MODULE) {
            fail_msg("accepted: %s", cases[i].code);
        }
        assert_contains(err.message, "'bad' ");
        assert_contains(err.message, cases[i].says);
        assert_null(strchr(err.message, '\n'));
    }
    struct shrewd_error err = {0};
    struct shr_module *module = NULL;
    assert_int_equal(
        shr_module_new(&module, bench_engine, shr_bytes("\0asm\1\0\0\0\xff", 9), "cut", NULL, &err),
        SHREWD_MODULE);
    assert_int_equal(
        shr_module_new(&module, bench_engine, shr_bytes("(module)\0", 9), "nul", NULL, &err),
        SHREWD_MODULE);
    assert_contains(err.message, "neither wasm");
    assert_int_equal(shr_module_open(&module, bench_engine, "/nowhere/x.wasm", NULL, &err),
                     SHREWD_MODULE);
}

/* The view answers the results of two memory.grow and the size after them. */
#define GROW(memory, first, second)                                                                \
    "(module (memory (export \"memory\") " memory ")(func (export \"v\") (result i32)"             \
    "(i32.store (i32.const 16) (memory.grow (i32.const " first ")))"                               \
    "(i32.store (i32.const 20) (memory.grow (i32.const " second ")))"                              \
    "(i32.store (i32.const 24) (memory.size))"                                                     \
    "(i32.store8 (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 1)) (i32.const 9))" \
    "(i32.store (i32.const 12) (i32.const 12)) (i32.const 16)))"

static void memory_grows_to_the_modules_own_limit(void **state) {
    static const struct {
        const char *wat;
        uint64_t memory_max;
        int32_t grown[3];
    } cases[] = {
        {GROW("1", "9", "0"), 0, {1, 10, 10}},
        {GROW("1 10", "9", "1"), 0, {1, 10, 10 - 20}},
        {GROW("1", "65535", "1"), 0, {1, -1, 0}}, /* 4 GiB: all of it, and no more */
        {GROW("1", "65536", "65535"), 0, {-1, 1, 0}},
        {GROW("1", "-1", "2"), 0, {-1, 1, 3}},
        {GROW("1 32768", "32767", "1"), 0, {1, -1, 32768}},
        {GROW("1", "3", "1"), 4 * 65536, {1, -1, 4}}, /* a view's limit */
        {GROW("1", "4", "3"), 4 * 65536 + 100, {-1, 1, 4}},
    };
    struct bench bench;
    bench_init(&bench);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct shr_buf out = {0};
        struct shrewd_error err = {0};
        int32_t want[3] = {cases[i].grown[0], cases[i].grown[1], cases[i].grown[2]};
        if (i == 1) {
            want[1] = -1;
            want[2] = 10;
        }
        if (want[2] == 0) {
            want[2] = 65536;
        }
        struct shr_module *module = bench_module(cases[i].wat);
        struct shr_guest_call call = {
            .entry = "v", .host = &bench.host, .memory_max = cases[i].memory_max};
        if (shr_guest_view(module, &out, &call, &err) != 0) {
            fail_msg("case %zu: %s", i, err.message);
        }
        assert_int_equal(out.len, 12);
        assert_memory_equal(out.data, want, 12);
        shr_module_free(module);
        shr_buf_free(&out);
    }
    bench_deinit(&bench);
}

static void a_view_that_starts_above_its_limit_is_told_so(void **state) {
    static const char *const wats[] = {
        "(module (memory (export \"memory\") 10)(func (export \"v\") (result i32) (i32.const 8)))",
        "(module (memory 10)(func (export \"v\") (result i32) (i32.const 8)))"};
    struct bench bench;
    bench_init(&bench);
    for (size_t i = 0; i < 2; i++) {
        struct shrewd_error err = {0};
        struct shr_buf out = {0};
        struct shr_module *module = bench_module(wats[i]);
        struct shr_guest_call call = {.entry = "v", .host = &bench.host, .memory_max = 65536};
        assert_int_equal(shr_guest_view(module, &out, &call, &err), SHREWD_LIMIT);
        assert_contains(err.message, "memory");
        shr_module_free(module);
    }
    bench_deinit(&bench);
}

static void tables_grow_to_a_fixed_limit(void **state) {
    struct bench bench;
    struct shr_buf out = {0};
    struct shrewd_error err;
    bench_init(&bench);
    const char *wat =
        "(module (memory (export \"memory\") 1)(table $t 1 funcref)"
        "(func (export \"v\") (result i32)"
        "(i32.store (i32.const 16) (table.grow $t (ref.null func) (i32.const 1048575)))"
        "(i32.store (i32.const 20) (table.grow $t (ref.null func) (i32.const 1)))"
        "(i32.store (i32.const 12) (i32.const 8)) (i32.const 16)))";
    assert_int_equal(bench_run(&bench, &out, wat, "v", &err), 0);
    assert_int_equal(out.len, 8);
    assert_memory_equal(out.data, ((int32_t[]){1, -1}), 8);
    shr_buf_free(&out);
    bench_deinit(&bench);
}

/* Data bytes the process has now, from the kernel's own count, which RLIMIT_DATA is held to. */
static size_t data_bytes_now(void) {
    FILE *file = fopen("/proc/self/status", "r");
    char line[200];
    size_t kib = 0;
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL && sscanf(line, "VmData: %zu", &kib) != 1) {
    }
    fclose(file);
    return kib * 1024;
}

static void the_hosts_lack_of_memory_is_not_the_guests(void **state) {
    struct bench bench;
    struct shr_buf out = {0};
    struct shrewd_error err = {0};
    struct rlimit before;
    bench_init(&bench);
    /* It asks for 1 GiB, and would go on without: the answer must not be its own. */
    struct shr_module *grows =
        bench_module(GUEST("(func (export \"_start\")"
                           "(drop (memory.grow (i32.const 16384)))" FLUSH_EMPTY ")"));
    struct shr_module *starts_large =
        bench_module("(module " GUEST_IMPORTS "(memory (export \"memory\") 16384)"
                     "(func (export \"_start\")" FLUSH_EMPTY "))");
    struct shr_guest_call call = {.entry = "_start", .host = &bench.host};
    assert_int_equal(shr_guest_index(grows, &call, &err), 0);
    assert_int_equal(shr_guest_index(starts_large, &call, &err), 0);
    assert_int_equal(getrlimit(RLIMIT_DATA, &before), 0);
    struct rlimit tight = before;
    tight.rlim_cur = data_bytes_now() + 256 * 1024 * 1024;
    assert_int_equal(setrlimit(RLIMIT_DATA, &tight), 0);
    int grown = shr_guest_index(grows, &call, &err);
    int started = shr_guest_index(starts_large, &call, NULL);
    assert_int_equal(setrlimit(RLIMIT_DATA, &before), 0);
    assert_int_equal(grown, SHREWD_NO_MEMORY);
    assert_contains(err.message, "the host has no memory left");
    assert_int_equal(started, SHREWD_NO_MEMORY);
    assert_int_equal(shr_guest_index(grows, &call, &err), 0); /* and it is over with */
    shr_module_free(grows);
    shr_module_free(starts_large);
    shr_buf_free(&out);
    bench_deinit(&bench);
}

static void nans_are_canonical(void **state) {
    struct bench bench;
    struct shr_buf out = {0};
    struct shrewd_error err;
    bench_init(&bench);
    /* Each operand is a NaN with a payload, which hardware would hand through. */
    const char *wat = GUEST("(global $a (mut f32) (f32.const nan:0x200001))"
                            "(global $b (mut f64) (f64.const -nan:0x4000000000001))"
                            "(func (export \"v\") (result i32)"
                            "  (f32.store (i32.const 16) (f32.add (global.get $a) (f32.const 1)))"
                            "  (f32.store (i32.const 20) (f32.div (f32.const 0) (f32.const 0)))"
                            "  (f64.store (i32.const 24) (f64.mul (global.get $b) (f64.const 2)))"
                            "  (f64.store (i32.const 32) (f64.sqrt (f64.const -1)))"
                            "  (f64.store (i32.const 40) (f64.promote_f32 (global.get $a)))"
                            "  (v128.store (i32.const 48) (f32x4.add (f32x4.splat (global.get $a))"
                            "    (f32x4.splat (global.get $a))))"
                            "  (i32.store (i32.const 12) (i32.const 48)) (i32.const 16))");
    assert_int_equal(bench_run(&bench, &out, wat, "v", &err), 0);
    assert_int_equal(out.len, 48);
    assert_memory_equal(out.data,
                        "\0\0\xc0\x7f\0\0\xc0\x7f"
                        "\0\0\0\0\0\0\xf8\x7f\0\0\0\0\0\0\xf8\x7f\0\0\0\0\0\0\xf8\x7f"
                        "\0\0\xc0\x7f\0\0\xc0\x7f\0\0\xc0\x7f\0\0\xc0\x7f",
                        48);
    shr_buf_free(&out);
    bench_deinit(&bench);
}

/* `dirty` fills 160 pages, more than a kept memory keeps; `clean` says how many bytes of a
 * fresh memory, and of what it grows to, are not zero. */
#define DIRTY_OR_CLEAN(pages, grow)                                                                \
    "(module (memory (export \"memory\") " pages ")"                                               \
    "(func (export \"dirty\") (result i32) (drop (memory.grow (i32.const " grow ")))"              \
    "  (memory.fill (i32.const 0) (i32.const 255) (i32.mul (memory.size) (i32.const 65536)))"      \
    "  (i32.store (i32.const 4) (i32.const 0)) (i32.const 8))"                                     \
    "(func (export \"clean\") (result i32) (local $at i32) (local $n i32) (local $end i32)"        \
    "  (drop (memory.grow (i32.const " grow ")))"                                                  \
    "  (local.set $end (i32.mul (memory.size) (i32.const 65536)))"                                 \
    "  (loop $next"                                                                                \
    "    (if (i64.ne (i64.load (local.get $at)) (i64.const 0))"                                    \
    "      (then (local.set $n (i32.add (local.get $n) (i32.const 1)))))"                          \
    "    (local.set $at (i32.add (local.get $at) (i32.const 8)))"                                  \
    "    (br_if $next (i32.lt_u (local.get $at) (local.get $end))))"                               \
    "  (i32.store (i32.const 8) (local.get $n)) (i32.store (i32.const 4) (i32.const 4))"           \
    "  (i32.const 8)))"

static void a_fresh_memory_is_all_zero(void **state) {
    static const char *const order[] = {"dirty", "clean", "clean", "dirty", "dirty", "clean"};
    struct bench bench;
    bench_init(&bench);
    struct shr_module *modules[] = {
        bench_module(DIRTY_OR_CLEAN("1", "159")), bench_module(DIRTY_OR_CLEAN("160", "0")),
        bench_module(DIRTY_OR_CLEAN("2", "1")), bench_module(DIRTY_OR_CLEAN("63", "2"))};
    for (size_t i = 0; i < 96; i++) {
        struct shr_buf out = {0};
        struct shrewd_error err = {0};
        struct shr_guest_call call = {.entry = order[i % 6], .host = &bench.host};
        /* every module after every other */
        if (shr_guest_view(modules[(i / 6 * 5 + i) % 4], &out, &call, &err) != 0) {
            fail_msg("%s", err.message);
        }
        if (out.len > 0) {
            uint32_t not_zero = 0;
            memcpy(&not_zero, out.data, sizeof not_zero);
            assert_int_equal(not_zero, 0);
        }
        shr_buf_free(&out);
    }
    for (size_t i = 0; i < 4; i++) {
        shr_module_free(modules[i]);
    }
    bench_deinit(&bench);
}

#define THREADS 8
#define ROUNDS 200

static struct shr_module *shared;

static void *run_many(void *arg) {
    struct bench bench;
    uint32_t *id = arg;
    bench_init(&bench);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        struct shr_buf out = {0};
        struct shrewd_error err = {0};
        struct shr_guest_call call = {.entry = i % 4 == 3 ? "trap" : "v",
                                      .height = *id * ROUNDS + i,
                                      .payload = shr_bytes("p", 1),
                                      .host = &bench.host};
        int code = shr_guest_view(shared, &out, &call, &err);
        uint32_t seen = 0;
        if (out.len == 5) {
            memcpy(&seen, out.data, 4);
        }
        bool good = i % 4 == 3 ? code == SHREWD_TRAP && strstr(err.message, "bad") != NULL
                               : code == 0 && seen == call.height;
        shr_buf_free(&out);
        if (!good) {
            *id = UINT32_MAX;
            break;
        }
    }
    bench_deinit(&bench);
    return NULL;
}

static void threads_share_a_module(void **state) {
    pthread_t threads[THREADS];
    uint32_t ids[THREADS];
    shared = bench_module(
        GUEST("(data (i32.const 1024) \"\\01\\00\\00\\00k\")"
              "(func (export \"v\") (result i32) (call $load_input (i32.const 4096))"
              "  (drop (memory.grow (i32.const 3))) (call $get (i32.const 1028) (i32.const 131072))"
              "  (i32.store (i32.const 4092) (call $host_len)) (i32.const 4096))"
              "(func $bad (export \"trap\") (result i32) unreachable)"));
    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_attr_t attr;
        ids[i] = i;
        pthread_attr_init(&attr);
        pthread_attr_setstacksize(&attr, SHR_GUEST_THREAD_STACK);
        assert_int_equal(pthread_create(&threads[i], &attr, run_many, &ids[i]), 0);
        pthread_attr_destroy(&attr);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(ids[i], i);
    }
    shr_module_free(shared);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(traps_name_functions_and_offsets),
        cmocka_unit_test(traps_before_the_entry_are_reported_too),
        cmocka_unit_test(unknown_imports_trap_only_when_called),
        cmocka_unit_test(one_function_may_be_imported_twice),
        cmocka_unit_test(modules_that_cannot_run_are_refused),
        cmocka_unit_test(memory_grows_to_the_modules_own_limit),
        cmocka_unit_test(a_view_that_starts_above_its_limit_is_told_so),
        cmocka_unit_test(tables_grow_to_a_fixed_limit),
        cmocka_unit_test(the_hosts_lack_of_memory_is_not_the_guests),
        cmocka_unit_test(nans_are_canonical),
        cmocka_unit_test(a_fresh_memory_is_all_zero),
        cmocka_unit_test(threads_share_a_module),
    };
    guest_signals_keep();
    return cmocka_run_group_tests_name("guest limits", tests, bench_setup, bench_teardown);
}
