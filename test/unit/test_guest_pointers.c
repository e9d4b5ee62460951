/* Every import with every bad pointer: always a trap that says which, never more. */
#include "guest_bench.h"

/* 65536 bytes of memory. At 65532 lies a length of 1 with nothing after it, at 1028 one of
 * 2^32-1, at 2052 one that ends exactly at the memory's end. */
#define BAD_LENGTHS                                                                                \
    "(data (i32.const 65532) \"\\01\\00\\00\\00\")"                                                \
    "(data (i32.const 1024) \"\\ff\\ff\\ff\\ff\")"                                                 \
    "(data (i32.const 3072) \"\\01\\00\\00\\00k\")"
#define KEY "(i32.const 3076)" /* a good buffer */

static const struct {
    const char *call; /* %d is the pointer */
    const char *names;
} arguments[] = {
    {"(drop (call $get_len (i32.const %d)))", "__get_len: argument 'key'"},
    {"(call $get (i32.const %d) (i32.const 0))", "__get: argument 'key'"},
    {"(call $flush (i32.const %d))", "__flush: argument 'ptr'"},
    {"(call $log (i32.const %d))", "__log: argument 'ptr'"},
};
static const struct {
    int pointer;
    const char *says;
} buffers[] = {
    {0, "pointer 0 is null"},
    {3, "pointer 3 is null"},
    {65537, "pointer 65537 is past the end of the memory of 65536 bytes"},
    {65539, "past the end of the memory of 65536 bytes"},
    {-1, "pointer 4294967295 is past the end"},
    {INT32_MIN, "pointer 2147483648 is past the end"},
    {65536, "pointer 65536 with length 1 reaches past the end of the memory of 65536 bytes"},
    {1028, "pointer 1028 with length 4294967295 reaches past the end"},
};

static void expect_trap(const char *body, const char *names, const char *says) {
    struct bench bench;
    struct shrewd_error err;
    char wat[3000];
    bench_init(&bench);
    snprintf(wat, sizeof wat,
             GUEST(BAD_LENGTHS "(func $inner %s)(func (export \"_start\") "
                               "(call $inner))"),
             body);
    assert_int_equal(bench_run(&bench, NULL, wat, "_start", &err), SHREWD_TRAP);
    assert_contains(err.message, names);
    assert_contains(err.message, says);
    assert_contains(err.message, "_start at height 7: ");
    assert_contains(err.message, "; in inner (function 7 +0x");
    assert_int_equal(bench.flushed.len, 0);
    bench_deinit(&bench);
}

static void buffers_outside_the_memory_trap(void **state) {
    for (size_t a = 0; a < sizeof arguments / sizeof arguments[0]; a++) {
        for (size_t b = 0; b < sizeof buffers / sizeof buffers[0]; b++) {
            char body[200];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            snprintf(body, sizeof body, arguments[a].call, buffers[b].pointer);
#pragma GCC diagnostic pop
            expect_trap(body, arguments[a].names, buffers[b].says);
        }
    }
}

static void room_to_write_outside_the_memory_traps(void **state) {
    /* The input has 7 bytes, the value of "k" 5. */
    static const int bad_input[] = {65530, 65535, 65536, 65537, -1, -4, INT32_MIN};
    static const int bad_out[] = {65532, 65536, 65537, -1, -5, INT32_MIN};
    char body[200];
    for (size_t i = 0; i < sizeof bad_input / sizeof bad_input[0]; i++) {
        snprintf(body, sizeof body, "(call $load_input (i32.const %d))", bad_input[i]);
        char says[100];
        snprintf(says, sizeof says,
                 "7 bytes at pointer %u reach past the end of the memory of 65536",
                 (unsigned)bad_input[i]);
        expect_trap(body, "__load_input: argument 'ptr'", says);
    }
    for (size_t i = 0; i < sizeof bad_out / sizeof bad_out[0]; i++) {
        snprintf(body, sizeof body, "(call $get " KEY " (i32.const %d))", bad_out[i]);
        char says[100];
        snprintf(says, sizeof says,
                 "5 bytes at pointer %u reach past the end of the memory of 65536",
                 (unsigned)bad_out[i]);
        expect_trap(body, "__get: argument 'out'", says);
    }
}

static void the_last_bytes_of_memory_are_good(void **state) {
    struct bench bench;
    struct shrewd_error err;
    bench_init(&bench);
    const char *wat = GUEST(BAD_LENGTHS "(func (export \"_start\")"
                                        "  (call $load_input (i32.const 65529))"
                                        "  (call $get " KEY " (i32.const 65531))"
                                        "  (i32.store (i32.const 65531) (i32.const 1))"
                                        "  (call $log (i32.const 65535))"
                                        "  (i32.store (i32.const 65532) (i32.const 0))"
                                        "  (call $log (i32.const 65536))"
                                        "  (call $flush (i32.const 65536)))");
    assert_int_equal(bench_run(&bench, NULL, wat, "_start", &err), 0);
    assert_int_equal(bench.logged.len, 3); /* one byte, none, and their separators */
    bench_deinit(&bench);
}

static void results_outside_the_memory_are_refused(void **state) {
    struct bench bench;
    struct shr_buf out = {0};
    struct shrewd_error err;
    bench_init(&bench);
    for (size_t b = 0; b < sizeof buffers / sizeof buffers[0]; b++) {
        char wat[2000];
        snprintf(wat, sizeof wat,
                 GUEST(BAD_LENGTHS "(func (export \"v\") (result i32) (i32.const %d))"),
                 buffers[b].pointer);
        assert_int_equal(bench_run(&bench, &out, wat, "v", &err), SHREWD_GUEST);
        assert_contains(err.message, buffers[b].says);
        assert_contains(err.message, "v at height 7: its result");
    }
    assert_int_equal(out.len, 0);
    shr_buf_free(&out);
    bench_deinit(&bench);
}

static void a_result_can_be_too_large(void **state) {
    struct bench bench;
    struct shr_buf out = {0};
    struct shrewd_error err;
    bench_init(&bench);
    struct shr_module *module =
        bench_module(GUEST("(data (i32.const 1024) \"\\0a\\00\\00\\00\")"
                           "(func (export \"v\") (result i32) (i32.const 1028))"));
    struct shr_guest_call call = {.entry = "v", .host = &bench.host, .result_max = 10};
    assert_int_equal(shr_guest_view(module, &out, &call, &err), 0);
    assert_int_equal(out.len, 10);
    call.result_max = 9;
    assert_int_equal(shr_guest_view(module, &out, &call, &err), SHREWD_LIMIT);
    assert_contains(err.message, "10 bytes is more than the 9 allowed");
    shr_module_free(module);
    shr_buf_free(&out);
    bench_deinit(&bench);
}

static void without_a_memory_pointers_trap(void **state) {
    static const char *const calls[] = {
        "(call $load_input (i32.const 0))",
        "(drop (call $get_len (i32.const 8)))",
        "(call $get (i32.const 8) (i32.const 8))",
        "(call $flush (i32.const 8))",
        "(call $log (i32.const 8))",
        "(call $abort (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))"};
    struct bench bench;
    struct shr_buf out = {0};
    struct shrewd_error err;
    bench_init(&bench);
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        char wat[2000];
        snprintf(wat, sizeof wat,
                 "(module " GUEST_IMPORTS "(global (export \"memory\") i32 (i32.const 0))"
                 "(func (export \"_start\") %s))",
                 calls[i]);
        assert_int_equal(bench_run(&bench, NULL, wat, "_start", &err), SHREWD_TRAP);
        assert_contains(err.message, "exports no memory named 'memory'");
    }
    const char *view = "(module (func (export \"v\") (result i32) (i32.const 8)))";
    assert_int_equal(bench_run(&bench, &out, view, "v", &err), SHREWD_GUEST);
    assert_contains(err.message, "exports no memory named 'memory'");
    bench_deinit(&bench);
}

/* A UTF-16 string at 1028, "boom: \n\u00e9\U0001F600" and a lone surrogate; a file at 2052. */
#define ABORT_TEXTS                                                                                \
    "(data (i32.const 1024) \"\\16\\00\\00\\00b\\00o\\00o\\00m\\00:\\00 \\00\\0a\\00\\e9\\00"      \
    "\\3d\\d8\\00\\de\\00\\d8\")"                                                                  \
    "(data (i32.const 2048) \"\\08\\00\\00\\00a\\00.\\00t\\00s\\00\")"
#define ABORT(message, file)                                                                       \
    GUEST(ABORT_TEXTS "(data (i32.const 3072) \"\\ff\\ff\\ff\\ff\")"                               \
                      "(func (export \"_start\") (call $abort (i32.const " message                 \
                      ") (i32.const " file ") (i32.const 12) (i32.const 34)))")

static void abort_is_decoded(void **state) {
    static const struct {
        const char *wat;
        const char *says;
    } cases[] = {
        {ABORT("1028", "2052"), "_start at height 7: abort: boom: \\x0a\xc3\xa9\xf0\x9f\x98\x80"
                                "\xef\xbf\xbd at a.ts:12:34; in "},
        {ABORT("0", "0"), "abort: (null) at (null):12:34"},
        {ABORT("3", "2052"), "abort: (pointer 3 is null"},
        {ABORT("1028", "-1"), "at (pointer 4294967295 is past the end of the memory of 65536"},
        {ABORT("3076", "2052"), "length 4294967295 reaches past the end"},
    };
    struct bench bench;
    struct shrewd_error err;
    bench_init(&bench);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(bench_run(&bench, NULL, cases[i].wat, "_start", &err), SHREWD_TRAP);
        assert_contains(err.message, cases[i].says);
    }
    const char *huge = GUEST("(data (i32.const 1024) \"\\00\\80\\00\\00\")"
                             "(func (export \"_start\")"
                             "  (memory.fill (i32.const 1028) (i32.const 65) (i32.const 32768))"
                             "  (call $abort (i32.const 1028) (i32.const 0) (i32.const 1)"
                             "    (i32.const 2)))");
    assert_int_equal(bench_run(&bench, NULL, huge, "_start", &err), SHREWD_TRAP);
    assert_contains(err.message, "... at (null):1:2");
    bench_deinit(&bench);
}

static void a_value_that_fits_no_i32_traps(void **state) {
    struct bench bench;
    struct shrewd_error err;
    bench_init(&bench);
    bench.value_len = (size_t)INT32_MAX + 1;
    const char *wat = GUEST("(data (i32.const 1024) \"\\03\\00\\00\\00big\")"
                            "(func (export \"_start\") (drop (call $get_len (i32.const 1028))))");
    assert_int_equal(bench_run(&bench, NULL, wat, "_start", &err), SHREWD_TRAP);
    assert_contains(err.message, "__get_len: argument 'key': its value of 2147483648 bytes");
    bench_deinit(&bench);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffers_outside_the_memory_trap),
        cmocka_unit_test(room_to_write_outside_the_memory_traps),
        cmocka_unit_test(the_last_bytes_of_memory_are_good),
        cmocka_unit_test(results_outside_the_memory_are_refused),
        cmocka_unit_test(a_result_can_be_too_large),
        cmocka_unit_test(without_a_memory_pointers_trap),
        cmocka_unit_test(abort_is_decoded),
        cmocka_unit_test(a_value_that_fits_no_i32_traps),
    };
    guest_signals_keep();
    return cmocka_run_group_tests_name("guest pointers", tests, bench_setup, bench_teardown);
}
