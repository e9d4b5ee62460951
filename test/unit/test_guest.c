/* What a guest sees when it keeps to the ABI, and what its host gets. */
#include "guest_bench.h"

static void load_input_is_height_and_payload(void **state) {
    struct bench bench;
    struct shr_buf out = {0};
    struct shrewd_error err;
    bench_init(&bench);
    const char *wat = GUEST("(func (export \"echo\") (result i32)"
                            "  (call $load_input (i32.const 4096))"
                            "  (i32.store (i32.const 4092) (call $host_len))"
                            "  (i32.const 4096))");
    assert_int_equal(bench_run(&bench, &out, wat, "echo", &err), 0);
    assert_int_equal(out.len, 7);
    assert_memory_equal(out.data, "\x07\0\0\0abc", 7);
    shr_buf_free(&out);
    bench_deinit(&bench);
}

static void get_and_get_len_are_one_lookup(void **state) {
    struct bench bench;
    struct shr_buf out = {0};
    struct shrewd_error err;
    bench_init(&bench);
    const char *wat = GUEST("(data (i32.const 1024) \"\\01\\00\\00\\00k\")"
                            "(func (export \"v\") (result i32)"
                            "  (i32.store (i32.const 4092) (call $get_len (i32.const 1028)))"
                            "  (call $get (i32.const 1028) (i32.const 4096))"
                            "  (i32.const 4096))");
    assert_int_equal(bench_run(&bench, &out, wat, "v", &err), 0);
    assert_int_equal(out.len, 5);
    assert_memory_equal(out.data, "value", 5);
    assert_int_equal(bench.gets, 1);
    shr_buf_free(&out);
    bench_deinit(&bench);
}

static void absent_and_empty_values_have_length_0(void **state) {
    struct bench bench;
    struct shr_buf out = {0};
    struct shrewd_error err;
    bench_init(&bench);
    const char *wat = GUEST("(data (i32.const 1024) \"\\02\\00\\00\\00no\")"
                            "(data (i32.const 1056) \"\\05\\00\\00\\00empty\")"
                            "(data (i32.const 4092) \"\\08\\00\\00\\00\\aa\\aa\\aa\\aa\\aa\\aa\")"
                            "(func (export \"v\") (result i32)"
                            "  (call $get (i32.const 1028) (i32.const 4096))" /* writes nothing */
                            "  (call $get (i32.const 1060) (i32.const 4096))"
                            "  (i32.store8 (i32.const 4102) (call $get_len (i32.const 1028)))"
                            "  (i32.store8 (i32.const 4103) (call $get_len (i32.const 1060)))"
                            "  (i32.const 4096))");
    assert_int_equal(bench_run(&bench, &out, wat, "v", &err), 0);
    assert_int_equal(out.len, 8);
    assert_memory_equal(out.data, "\xaa\xaa\xaa\xaa\xaa\xaa\0\0", 8);
    shr_buf_free(&out);
    bench_deinit(&bench);
}

static void flush_and_log_reach_the_host(void **state) {
    struct bench bench;
    struct shrewd_error err;
    bench_init(&bench);
    const char *wat = GUEST(GUEST_FLUSHES "(data (i32.const 1024) \"\\04\\00\\00\\00hi\\ff\\0a\")"
                                          "(func (export \"_start\")"
                                          "  (call $log (i32.const 1028))" FLUSH_PAIR FLUSH_PAIR
                                          "  (call $log (i32.const 2100)))");
    assert_int_equal(bench_run(&bench, NULL, wat, "_start", &err), 0);
    assert_string_equal(shr_buf_cstr(&bench.flushed), "k=vv;k=vv;");
    assert_string_equal(shr_buf_cstr(&bench.logged), "hi\xff\n;;");
    bench_deinit(&bench);
}

static void start_without_flush_fails_and_an_empty_one_counts(void **state) {
    struct bench bench;
    struct shrewd_error err;
    bench_init(&bench);
    assert_int_equal(bench_run(&bench, NULL, GUEST("(func (export \"_start\"))"), "_start", &err),
                     SHREWD_GUEST);
    assert_contains(err.message, "indexer exited unexpectedly");
    assert_contains(err.message, "height 7");
    const char *wat = GUEST("(func (export \"_start\")" FLUSH_EMPTY ")");
    assert_int_equal(bench_run(&bench, NULL, wat, "_start", &err), 0);
    assert_int_equal(bench.flushed.len, 0);
    bench_deinit(&bench);
}

static void flush_of_other_things_names_the_fault(void **state) {
    struct bench bench;
    struct shrewd_error err;
    bench_init(&bench);
    const char *odd = GUEST("(data (i32.const 2048) \"\\03\\00\\00\\00\\0a\\01k\")"
                            "(func (export \"_start\")" FLUSH_PAIR ")");
    assert_int_equal(bench_run(&bench, NULL, odd, "_start", &err), SHREWD_GUEST);
    assert_contains(err.message, "the last key has no value");
    assert_contains(err.message, "_start at height 7: __flush");
    const char *garbage = GUEST("(data (i32.const 2048) \"\\04\\00\\00\\00\\0a\\7fkk\")"
                                "(func (export \"_start\")" FLUSH_PAIR ")");
    assert_int_equal(bench_run(&bench, NULL, garbage, "_start", &err), SHREWD_GUEST);
    assert_contains(err.message, "past the end");
    bench_deinit(&bench);
}

static void a_views_flush_is_nothing_at_all(void **state) {
    struct bench bench;
    struct shr_buf out = {0};
    struct shrewd_error err;
    bench_init(&bench);
    const char *wat =
        GUEST(GUEST_FLUSHES "(func (export \"v\") (result i32)" FLUSH_PAIR
                            "  (call $flush (i32.const 0)) (call $flush (i32.const -1))"
                            "  (call $flush (i32.const 70000))"
                            "  (i32.const 2100))");
    assert_int_equal(bench_run(&bench, &out, wat, "v", &err), 0);
    assert_int_equal(out.len, 0);
    assert_int_equal(bench.flushed.len, 0);
    bench_deinit(&bench);
    shr_buf_free(&out);
}

static void start_section_and_constructors_run_first(void **state) {
    struct bench bench;
    struct shrewd_error err;
    bench_init(&bench);
    const char *section = GUEST(
        GUEST_FLUSHES "(data (i32.const 1024) \"\\05\\00\\00\\00first\")"
                      "(global $got (mut i32) (i32.const 0))"
                      "(func $begin (call $load_input (i32.const 4096))"
                      "  (call $log (i32.const 1028))"
                      "  (global.set $got (i32.load (i32.const 4096))))"
                      "(start $begin)"
                      "(func (export \"_start\")"
                      "  (if (i32.eq (global.get $got) (i32.const 7)) (then" FLUSH_PAIR ")))");
    assert_int_equal(bench_run(&bench, NULL, section, "_start", &err), 0);
    assert_string_equal(shr_buf_cstr(&bench.logged), "first;");
    assert_string_equal(shr_buf_cstr(&bench.flushed), "k=vv;");
    static const char *const names[] = {"_initialize", "__wasm_call_ctors"};
    for (size_t i = 0; i < 2; i++) {
        char wat[2000];
        snprintf(wat, sizeof wat,
                 GUEST("(global $n (mut i32) (i32.const 0))"
                       "(func (export \"%s\")"
                       "  (global.set $n (i32.add (global.get $n) (i32.const 1))))"
                       "(func (export \"v\") (result i32)"
                       "  (i32.store (i32.const 4092) (global.get $n)) (i32.const 4096))"),
                 names[i]);
        struct shr_buf out = {0};
        assert_int_equal(bench_run(&bench, &out, wat, "v", &err), 0);
        assert_int_equal(out.len, 1); /* called once: the counter is the result's length */
        shr_buf_free(&out);
    }
    bench_deinit(&bench);
}

static void a_flush_in_the_start_section_counts(void **state) {
    struct bench bench;
    struct shrewd_error err;
    bench_init(&bench);
    const char *wat = GUEST(GUEST_FLUSHES "(func $begin" FLUSH_PAIR ")(start $begin)"
                                          "(func (export \"_start\"))");
    assert_int_equal(bench_run(&bench, NULL, wat, "_start", &err), 0);
    assert_string_equal(shr_buf_cstr(&bench.flushed), "k=vv;");
    bench_deinit(&bench);
}

static void each_call_has_a_fresh_instance(void **state) {
    struct bench bench;
    bench_init(&bench);
    struct shr_module *module =
        bench_module(GUEST("(func (export \"v\") (result i32)"
                           "  (i32.store (i32.const 4092)"
                           "    (i32.add (i32.load (i32.const 4092)) (i32.const 1)))"
                           "  (i32.const 4096))"));
    struct shr_guest_call call = {.entry = "v", .host = &bench.host};
    for (int i = 0; i < 3; i++) {
        struct shr_buf out = {0};
        assert_int_equal(shr_guest_view(module, &out, &call, NULL), 0);
        assert_int_equal(out.len, 1);
        shr_buf_free(&out);
    }
    shr_module_free(module);
    bench_deinit(&bench);
}

static void unknown_views_list_those_there_are(void **state) {
    struct bench bench;
    struct shr_buf out = {0};
    struct shrewd_error err;
    bench_init(&bench);
    const char *wat = GUEST("(func (export \"two\") (result i32) (i32.const 2100))"
                            "(func (export \"one\") (result i32) (i32.const 2100))"
                            "(func (export \"takes\") (param i32) (result i32) (i32.const 0))"
                            "(func (export \"_start\") (result i32) (i32.const 0))");
    static const char *const wrong[] = {"three", "takes", "_start", "memory", ""};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(bench_run(&bench, &out, wat, wrong[i], &err), SHREWD_NO_VIEW);
        assert_contains(err.message, "one, two");
    }
    assert_int_equal(bench_run(&bench, &out, wat, "one", &err), 0);
    assert_int_equal(bench_run(&bench, NULL, wat, "_start", &err), SHREWD_MODULE);
    assert_contains(err.message, "_start");
    shr_buf_free(&out);
    bench_deinit(&bench);
}

static void a_long_list_of_views_is_cut(void **state) {
    struct bench bench;
    struct shr_buf wat = {0};
    struct shr_buf out = {0};
    struct shrewd_error err;
    bench_init(&bench);
    shr_buf_add_str(&wat, "(module (func $f (result i32) (i32.const 0))");
    for (int i = 0; i < 1000; i++) {
        shr_buf_printf(&wat, "(export \"view_number_%d\" (func $f))", i);
    }
    shr_buf_add_str(&wat, ")");
    assert_int_equal(bench_run(&bench, &out, shr_buf_cstr(&wat), "x", &err), SHREWD_NO_VIEW);
    assert_contains(err.message, "more");
    shr_buf_free(&wat);
    bench_deinit(&bench);
}

static void the_hosts_errors_pass_through(void **state) {
    struct bench bench;
    struct shrewd_error err;
    bench_init(&bench);
    const char *wat =
        GUEST(GUEST_FLUSHES "(data (i32.const 1024) \"\\01\\00\\00\\00k\")"
                            "(func (export \"_start\")"
                            "  (drop (call $get_len (i32.const 1028)))" FLUSH_PAIR ")");
    bench.get_fails = SHREWD_IO;
    assert_int_equal(bench_run(&bench, NULL, wat, "_start", &err), SHREWD_IO);
    assert_int_equal(err.code, SHREWD_IO);
    assert_string_equal(err.message, "the disk is on fire");
    bench.get_fails = 0;
    bench.put_fails = SHREWD_STOPPED;
    assert_int_equal(bench_run(&bench, NULL, wat, "_start", &err), SHREWD_STOPPED);
    assert_string_equal(err.message, "the batch is full");
    bench_deinit(&bench);
}

static void a_host_function_exported_as_a_view_is_harmless(void **state) {
    struct bench bench;
    struct shr_buf out = {0};
    struct shrewd_error err;
    bench_init(&bench);
    const char *wat = GUEST("(export \"v\" (func $host_len))");
    assert_int_equal(bench_run(&bench, &out, wat, "v", &err), 0); /* 7: a buffer of length 0 */
    assert_int_equal(out.len, 0);
    bench_deinit(&bench);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(load_input_is_height_and_payload),
        cmocka_unit_test(get_and_get_len_are_one_lookup),
        cmocka_unit_test(absent_and_empty_values_have_length_0),
        cmocka_unit_test(flush_and_log_reach_the_host),
        cmocka_unit_test(start_without_flush_fails_and_an_empty_one_counts),
        cmocka_unit_test(flush_of_other_things_names_the_fault),
        cmocka_unit_test(a_views_flush_is_nothing_at_all),
        cmocka_unit_test(start_section_and_constructors_run_first),
        cmocka_unit_test(a_flush_in_the_start_section_counts),
        cmocka_unit_test(each_call_has_a_fresh_instance),
        cmocka_unit_test(unknown_views_list_those_there_are),
        cmocka_unit_test(a_long_list_of_views_is_cut),
        cmocka_unit_test(the_hosts_errors_pass_through),
        cmocka_unit_test(a_host_function_exported_as_a_view_is_harmless),
    };
    guest_signals_keep();
    return cmocka_run_group_tests_name("guest", tests, bench_setup, bench_teardown);
}
