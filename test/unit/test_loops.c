/* Marking: what is marked compiles, does the same as what it was made from, and says the same
 * places; what cannot be marked is said to be so. */
#include "base/file.h"
#include "base/log.h"
#include "guest_bench.h"
#include "wasm/instance.h"
#include "wasm/loops.h"

static struct shr_buf said;

static void hear(void *ctx, enum shr_log_level level, const char *room, const char *message) {
    shr_buf_add_str(&said, message);
}

/* Loads a module, and fails unless its marked copy compiled. */
static struct shr_module *load(struct shr_bytes code, const char *name) {
    struct shr_module *module = NULL;
    struct shrewd_error err = {0};
    shr_buf_clear(&said);
    shr_log_set_sink(hear, NULL);
    if (shr_module_new(&module, bench_engine, code, name, NULL, &err) != 0) {
        fail_msg("%s", err.message);
    }
    shr_log_set_sink(NULL, NULL);
    if (said.len > 0) {
        fail_msg("%s", shr_buf_cstr(&said));
    }
    return module;
}

static struct shr_module *load_file(const char *path) {
    struct shr_buf code = {0};
    struct shrewd_error err = {0};
    if (shr_file_read(&code, path, 1u << 26, &err) != 0) {
        fail_msg("%s", err.message);
    }
    struct shr_module *module = load(shr_buf_bytes(&code), path);
    shr_buf_free(&code);
    return module;
}

/* `_start` as it is, and marked: the same is flushed, or the same error said. */
static void assert_same(struct shr_module *module, struct shr_bytes payload) {
    struct bench plain;
    struct bench marked;
    struct shr_instance *instance = NULL;
    struct shrewd_error errors[2] = {{0}};
    bench_init(&plain);
    bench_init(&marked);
    struct shr_guest_call call = {.height = 3, .payload = payload, .host = &plain.host};
    int code = shr_guest_index(module, &call, &errors[0]);
    call.host = &marked.host;
    assert_int_equal(shr_instance_new(&instance, module, NULL, NULL), 0);
    assert_int_equal(shr_instance_index(instance, &call, NULL, &errors[1]), code);
    assert_string_equal(errors[0].message, errors[1].message);
    assert_true(shr_bytes_eq(shr_buf_bytes(&plain.flushed), shr_buf_bytes(&marked.flushed)));
    assert_true(shr_bytes_eq(shr_buf_bytes(&plain.logged), shr_buf_bytes(&marked.logged)));
    assert_int_equal(plain.gets, marked.gets);
    assert_true(code != 0 || plain.flushed.len > 0);
    shr_instance_free(instance);
    bench_deinit(&plain);
    bench_deinit(&marked);
}

static void every_instruction(void **state) {
    struct bench bench;
    struct shr_buf out = {0};
    bench_init(&bench);
    struct shr_module *module = load_file(SHREWD_SOURCE_DIR "/test/unit/opcodes.wat");
    assert_same(module, shr_bytes(NULL, 0));
    struct shr_guest_call index = {.host = &bench.host};
    struct shr_guest_call view = {.entry = "hash", .host = &bench.host};
    assert_int_equal(shr_guest_index(module, &index, NULL), 0);
    assert_int_equal(shr_guest_view(module, &out, &view, NULL), 0);
    assert_int_equal(out.len, 8);
    assert_int_equal(bench.flushed.len, 2 + 8 + 1); /* h=........; */
    assert_memory_equal(bench.flushed.data + 2, out.data, 8);
    shr_buf_free(&out);
    shr_module_free(module);
    bench_deinit(&bench);
}

static void the_samples(void **state) {
    static const char *const samples[] = {"minimal", "first", "benchmark", "benchmark_nocache",
                                          "balances"};
    guest_signals_restore();
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        static const uint8_t block[4000]; /* none, which guests notice */
        char path[300];
        snprintf(path, sizeof path, SHREWD_BUILD_DIR "/guest/%s.wasm", samples[i]);
        struct shr_module *module = load_file(path);
        assert_same(module, shr_bytes(block, sizeof block));
        assert_same(module, shr_bytes(block, 10));
        shr_module_free(module);
    }
}

/* A trap at each of many places is said to be at the same place. */
static void places_stay_the_same(void **state) {
    guest_signals_restore();
    for (int at = 0; at < 40; at++) {
        struct shr_buf wat = {0};
        shr_buf_add_str(&wat, "(module (func $f (param i32) (loop (loop (if (local.get 0) (then "
                              "unreachable)))) (drop (i32.const 70000)))");
        for (int i = 0; i < 40; i++) {
            shr_buf_printf(&wat, "(func $g%d (loop (call $f (i32.const %d)) (loop)))", i, i == at);
        }
        shr_buf_add_str(&wat, "(func (export \"_start\")");
        for (int i = 0; i < 40; i++) {
            shr_buf_printf(&wat, "(call $g%d)(loop)", i);
        }
        shr_buf_add_str(&wat, "))");
        struct shr_module *module = load(shr_buf_bytes(&wat), "traps.wat");
        assert_same(module, shr_bytes(NULL, 0));
        shr_module_free(module);
        shr_buf_free(&wat);
    }
}

/* The header, then `sections`. */
static int mark(struct shr_buf *out, struct shr_loops_map *map, const char *sections, size_t len,
                struct shrewd_error *err) {
    struct shr_buf module = {0};
    shr_buf_append(&module, "\0asm\1\0\0\0", 8);
    shr_buf_append(&module, sections, len);
    int code = shr_loops_mark(out, map, shr_buf_bytes(&module), err);
    shr_buf_free(&module);
    return code;
}
#define MARK(out, map, sections, err) mark(out, map, sections, sizeof(sections) - 1, err)

#define TYPE "\1\4\1\x60\0\0"
#define FUNCTION "\3\2\1\0"

/* Byte for byte: type, function, memory (added), code with one loop. */
static void the_very_bytes(void **state) {
    static const char expected[] = "\0asm\1\0\0\0" TYPE FUNCTION "\5\4\1\1\1\1"
                                   "\x0a\x8e\x80\x80\x80\0\1\x0c\0\3\x40"
                                   "\x41\0\x2d\x40\0\0\x1a"
                                   "\x0b\x0b";
    struct shr_buf out = {0};
    struct shr_loops_map map = {0};
    shr_buf_add_str(&out, "before");
    assert_int_equal(MARK(&out, &map, TYPE FUNCTION "\x0a\7\1\5\0\3\x40\x0b\x0b", NULL), 0);
    assert_int_equal(out.len, 6 + sizeof expected - 1);
    assert_memory_equal(out.data + 6, expected, sizeof expected - 1);
    assert_int_equal(map.marks, 1);
    assert_int_equal(map.memory, 0);
    shr_buf_free(&out);
    shr_loops_map_free(&map);
}

static void what_needs_no_marks_gets_none(void **state) {
    struct shr_buf out = {0};
    struct shr_loops_map map = {0};
    assert_int_equal(MARK(&out, &map, TYPE FUNCTION "\x0a\4\1\2\0\x0b", NULL), 0);
    assert_int_equal(map.marks, 0);
    shr_loops_map_free(&map);
    assert_int_equal(MARK(&out, NULL, "", NULL), 0);
    shr_buf_free(&out);
}

/* Sections with offsets into the code would be wrong; others stay. */
static void custom_sections(void **state) {
    struct shr_buf out = {0};
    assert_int_equal(MARK(&out, NULL, "\0\x0d\x0b.debug_linex\0\6\4namex", NULL), 0);
    assert_int_equal(out.len, 8 + 8);
    assert_memory_equal(out.data + 8, "\0\6\4namex", 8);
    shr_buf_free(&out);
}

static void what_cannot_be_marked_is_said(void **state) {
    static const struct {
        const char *sections;
        size_t len;
        const char *says;
    } cases[] = {
#define CASE(sections, says) {sections, sizeof(sections) - 1, says}
        CASE("\1", "too early"),
        CASE("\1\5\0", "too early"),
        CASE("\1\xff\xff\xff\xff\x7f", "does not fit 32 bits"),
        CASE("\1\xff\xff\xff\xff\xff\0", "does not fit 32 bits"),
        CASE("\2\6\1\1m\1n", "too early"),
        CASE("\2\x08\1\1m\1n\2\0\1", "an imported memory"),
        CASE("\5\5\2\0\1\0\1", "more than one memory"),
        CASE("\5\3\1\0\1\5\3\1\0\1", "more than one memory"),
        CASE("\x0a\4\1\2\0\xff", "an instruction that is not known"),
        CASE("\x0a\5\1\3\0\x06\x40", "an instruction that is not known"),
        CASE("\x0a\6\1\4\0\xfc\x12\x0b", "an instruction 0xfc that is not known"),
        CASE("\x0a\7\1\5\0\xfd\x80\2\x0b", "an instruction 0xfd that is not known"),
        CASE("\x0a\7\1\5\0\x28\x42\0\0", "an alignment that is not known"),
        CASE("\x0a\6\1\4\0\2\x63\x0b", "a type that is not known"),
        CASE("\x0a\6\1\4\1\1\x64\x0b", "a type that is not known"),
        CASE("\x0a\6\1\4\0\x0b\x0b\x0b", "a function that is not as long as it says"),
        CASE("\x0a\5\1\2\0\x0b\x0b", "a code section that is not as long as it says"),
        CASE("\x0a\3\1\2\0\x0b", "a code section that is not as long as it says"),
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct shr_buf out = {0};
        struct shr_loops_map map = {0};
        struct shrewd_error err = {0};
        shr_buf_add_str(&out, "before");
        if (mark(&out, &map, cases[i].sections, cases[i].len, &err) != SHREWD_UNSUPPORTED) {
            fail_msg("case %zu is marked", i);
        }
        assert_contains(err.message, cases[i].says);
        assert_contains(err.message, "at offset 0x");
        assert_int_equal(out.len, 6);
        assert_null(map.steps);
        shr_buf_free(&out);
    }
}

static int tear_down(void **state) {
    shr_buf_free(&said);
    return bench_teardown(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_instruction),
        cmocka_unit_test(the_samples),
        cmocka_unit_test(places_stay_the_same),
        cmocka_unit_test(the_very_bytes),
        cmocka_unit_test(what_needs_no_marks_gets_none),
        cmocka_unit_test(custom_sections),
        cmocka_unit_test(what_cannot_be_marked_is_said),
    };
    guest_signals_keep();
    return cmocka_run_group_tests_name("loops", tests, bench_setup, tear_down);
}
