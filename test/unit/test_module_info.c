/* What is told about a module without running it, and about one that cannot run. */
#include "base/file.h"
#include "guest_bench.h"

#include <stdio.h>
#include <unistd.h>

static char path[] = "/tmp/shrewd-module-XXXXXX";

static struct shr_module *inspect(const char *wat) {
    struct shr_module *module = NULL;
    struct shrewd_error err = {0};
    assert_int_equal(shr_file_write(path, shr_bytes_str(wat), NULL), 0);
    if (shr_module_inspect(&module, bench_engine, path, NULL, &err) != 0) {
        fail_msg("%s", err.message);
    }
    return module;
}

static void imports_have_types_and_a_status(void **state) {
    struct shr_module *module = inspect(
        "(module (import \"env\" \"__get\" (func (param i32 i32)))"
        "(import \"env\" \"__get_len\" (func (param i32) (result i64)))"
        "(import \"wasi\" \"clock\" (func (param i64 f32 f64 v128 funcref) (result i32 i32)))"
        "(import \"env\" \"__host_len\" (func (result i32))))");
    static const struct {
        const char *module, *name, *type;
        enum shr_import_status status;
    } want[] = {
        {"env", "__get", "(i32, i32) -> ()", SHR_IMPORT_ABI},
        {"env", "__get_len", "(i32) -> i64", SHR_IMPORT_TRAPS},
        {"wasi", "clock", "(i64, f32, f64, v128, funcref) -> (i32, i32)", SHR_IMPORT_TRAPS},
        {"env", "__host_len", "() -> i32", SHR_IMPORT_ABI},
    };
    const struct shr_module_info *info = shr_module_info(module);
    assert_int_equal(info->n_imports, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(info->imports[i].module, want[i].module);
        assert_string_equal(info->imports[i].name, want[i].name);
        assert_string_equal(info->imports[i].type, want[i].type);
        assert_int_equal(info->imports[i].status, want[i].status);
    }
    assert_null(shr_module_unusable(module));
    shr_module_free(module);
}

static void exports_are_views_or_others(void **state) {
    struct shr_module *module = inspect(
        "(module (memory (export \"memory\") 3 170)(func $i (result i32) (i32.const 0))"
        "(func $n)(func $p (param i32) (result i32) (i32.const 0))(global (export \"g\") i32"
        " (i32.const 0))(export \"z\" (func $i))(export \"a\" (func $i))(export \"_start\" (func "
        "$n))"
        "(export \"p\" (func $p))(export \"nul\\00x\" (func $i))(start $n))");
    const struct shr_module_info *info = shr_module_info(module);
    assert_int_equal(info->n_views, 2);
    assert_string_equal(info->views[0], "a");
    assert_string_equal(info->views[1], "z");
    assert_int_equal(info->n_others, 5);
    assert_string_equal(info->others[0], "_start");
    assert_string_equal(info->others[1], "g");
    assert_string_equal(info->others[2], "memory");
    assert_string_equal(info->others[3], "nul\\x00x");
    assert_string_equal(info->others[4], "p");
    assert_true(info->has_start_export && info->has_start_section);
    assert_true(info->has_memory && info->memory_has_max);
    assert_int_equal(info->memory_pages_min, 3);
    assert_int_equal(info->memory_pages_max, 170);
    shr_module_free(module);
}

static void what_is_missing_is_told(void **state) {
    struct shr_module *module = inspect("(module (memory 1)(func (export \"memory\")))");
    const struct shr_module_info *info = shr_module_info(module);
    assert_false(info->has_memory || info->has_start_export || info->has_start_section);
    assert_int_equal(info->n_views + info->n_imports, 0);
    assert_int_equal(info->n_others, 1);
    shr_module_free(module);
    module = inspect("(module (memory (export \"memory\") 1))");
    assert_false(shr_module_info(module)->memory_has_max);
    assert_int_equal(shr_module_info(module)->memory_pages_max, 65536);
    shr_module_free(module);
}

static void a_module_that_cannot_run_can_be_looked_at(void **state) {
    struct shrewd_error err = {0};
    struct shr_buf out = {0};
    struct bench bench;
    bench_init(&bench);
    struct shr_module *module =
        inspect("(module (import \"env\" \"memory\" (memory 1))"
                "(func (export \"v\") (result i32) (i32.const 0))(func (export \"_start\")))");
    assert_int_equal(shr_module_info(module)->imports[0].status, SHR_IMPORT_UNSUPPORTED);
    assert_string_equal(shr_module_info(module)->imports[0].type, "memory");
    assert_contains(shr_module_unusable(module), "memory env.memory");
    struct shr_guest_call call = {.entry = "v", .host = &bench.host};
    assert_int_equal(shr_guest_view(module, &out, &call, &err), SHREWD_MODULE);
    assert_contains(err.message, "memory env.memory");
    assert_int_equal(shr_guest_index(module, &call, &err), SHREWD_MODULE);
    shr_module_free(module);
    module = NULL;
    assert_int_equal(shr_module_open(&module, bench_engine, path, NULL, &err), SHREWD_MODULE);
    assert_null(module);
    bench_deinit(&bench);
}

static void the_hash_is_of_the_binary(void **state) {
    static const char empty[] = "\0asm\1\0\0\0";
    struct shr_hash want;
    struct shr_module *module = inspect("(module)");
    shr_sha256(&want, shr_bytes(empty, 8));
    assert_memory_equal(shr_module_hash(module)->b, want.b, 32);
    assert_int_equal(shr_module_info(module)->wasm_size, 8);
    shr_module_free(module);
    module = NULL;
    assert_int_equal(
        shr_module_new(&module, bench_engine, shr_bytes(empty, 8), "empty", NULL, NULL), 0);
    assert_memory_equal(shr_module_hash(module)->b, want.b, 32);
    shr_module_free(module);
}

static int setup(void **state) {
    int fd = mkstemp(path);
    if (fd < 0) {
        return -1;
    }
    close(fd);
    return bench_setup(state);
}

static int teardown(void **state) {
    unlink(path);
    return bench_teardown(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(imports_have_types_and_a_status),
        cmocka_unit_test(exports_are_views_or_others),
        cmocka_unit_test(what_is_missing_is_told),
        cmocka_unit_test(a_module_that_cannot_run_can_be_looked_at),
        cmocka_unit_test(the_hash_is_of_the_binary),
    };
    guest_signals_keep();
    return cmocka_run_group_tests_name("module info", tests, setup, teardown);
}
