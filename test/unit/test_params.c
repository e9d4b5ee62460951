/* Parameters: heights in every form, hex, names; and the JSON reader under them. */
#include "base/alloc.h"
#include "rpc/params.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct shr_param_spec spec = {{"height", "other"}, 0};

/* Binds the JSON array or object and reads its height; the result code. */
static int read_height(struct shr_height *out, const char *text, struct shrewd_error *err) {
    struct shr_json json;
    struct shr_params params;
    int rc = shr_json_parse(&json, shr_bytes_str(text), err);
    assert_int_equal(rc, 0);
    rc = shr_params_bind(&params, &spec, &json, 0, err);
    if (rc == 0) {
        rc = shr_param_height(out, &params, 0, err);
    }
    shr_json_free(&json);
    return rc;
}

static void test_heights(void **state) {
    static const struct {
        const char *text;
        uint32_t height;
    } good[] = {
        {"[0]", 0},
        {"[270]", 270},
        {"[4294967295]", UINT32_MAX},
        {"[\"0\"]", 0},
        {"[\"00270\"]", 270},
        {"[\"4294967295\"]", UINT32_MAX},
        {"[\"0x0\"]", 0},
        {"[\"0X10e\"]", 270},
        {"[\"0x10E\"]", 270},
        {"[\"0x00000000ffffffff\"]", UINT32_MAX},
        {"[\"\\u0030x1\"]", 1},
        {"{\"height\":5}", 5},
        {"{\"height\":4,\"height\":5}", 5},
        {"[5,null]", 5},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct shr_height height;
        struct shrewd_error err = {0};
        if (read_height(&height, good[i].text, &err) != 0 || height.latest ||
            height.height != good[i].height) {
            fail_msg("%s: %s", good[i].text, err.message);
        }
    }
    static const char *const latest[] = {"[]",
                                         "{}",
                                         "[null]",
                                         "[\"latest\"]",
                                         "{\"height\":null}",
                                         "{\"other\":1}",
                                         "[\"late\\u0073t\"]",
                                         "null"};
    for (size_t i = 0; i < sizeof latest / sizeof latest[0]; i++) {
        struct shr_height height = {.height = 1};
        struct shrewd_error err = {0};
        assert_int_equal(read_height(&height, latest[i], &err), 0);
        assert_true(height.latest);
    }
}

static void test_bad_heights(void **state) {
    static const char *const bad[] = {"[-1]",
                                      "[-0]",
                                      "[1.0]",
                                      "[1.5]",
                                      "[1e3]",
                                      "[4294967296]",
                                      "[99999999999999999999999999]",
                                      "[\"\"]",
                                      "[\"-1\"]",
                                      "[\"+1\"]",
                                      "[\" 1\"]",
                                      "[\"1 \"]",
                                      "[\"1.0\"]",
                                      "[\"0x\"]",
                                      "[\"0xg\"]",
                                      "[\"x10\"]",
                                      "[\"10e\"]",
                                      "[\"4294967296\"]",
                                      "[\"0x100000000\"]",
                                      "[\"18446744073709551616\"]",
                                      "[\"Latest\"]",
                                      "[\"latest\\u0000\"]",
                                      "[\"1\\u0000\"]",
                                      "[\"\\u0661\"]",
                                      "[true]",
                                      "[false]",
                                      "[[1]]",
                                      "[{}]",
                                      "[[]]"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct shr_height height;
        struct shrewd_error err = {0};
        if (read_height(&height, bad[i], &err) != SHREWD_INVALID) {
            fail_msg("%s was taken", bad[i]);
        }
        assert_non_null(strstr(err.message, "params[0] (height) is "));
        assert_non_null(strstr(err.message, "expected a height"));
    }
    static const struct {
        const char *text, *part;
    } shapes[] = {
        {"[1,2,3]", "3 parameters; this method takes [height?, other?]"},
        {"7", "params is a number; this method takes [height?, other?]"},
        {"\"latest\"", "params is a string"},
        {"true", "params is a boolean"},
        {"{\"heigth\":1}", "unknown parameter \"heigth\""},
        {"{\"\":1}", "unknown parameter \"\""},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct shr_height height;
        struct shrewd_error err = {0};
        assert_int_equal(read_height(&height, shapes[i].text, &err), SHREWD_INVALID);
        if (strstr(err.message, shapes[i].part) == NULL) {
            fail_msg("%s: %s", shapes[i].text, err.message);
        }
    }
}

static int read_hex(struct shr_buf *out, const char *text, struct shrewd_error *err) {
    static const struct shr_param_spec one = {{"input"}, 1};
    struct shr_json json;
    struct shr_params params;
    assert_int_equal(shr_json_parse(&json, shr_bytes_str(text), err), 0);
    int rc = shr_params_bind(&params, &one, &json, 0, err);
    if (rc == 0) {
        rc = shr_param_hex(out, &params, 0, err);
    }
    shr_json_free(&json);
    return rc;
}

static void test_hex(void **state) {
    struct shr_buf out = {0};
    struct shrewd_error err = {0};
    static const char *const same[] = {"[\"00aBfF\"]", "[\"0x00abff\"]", "[\"0X00ABFF\"]",
                                       "[\"\\u0030x00ab\\u0066f\"]"};
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        assert_int_equal(read_hex(&out, same[i], &err), 0);
        assert_int_equal(out.len, 3);
        assert_memory_equal(out.data, "\x00\xab\xff", 3);
    }
    assert_int_equal(read_hex(&out, "[\"\"]", &err), 0);
    assert_int_equal(out.len, 0);
    assert_int_equal(read_hex(&out, "[\"0x\"]", &err), 0);
    assert_int_equal(out.len, 0);
    static const struct {
        const char *text, *part;
    } bad[] = {
        {"[\"0\"]", "ends at offset 1"},
        {"[\"0x123\"]", "ends at offset 5"},
        {"[\"xyz\"]", "offset 0 is not"},
        {"[\"00 11\"]", "offset 2 is not"},
        {"[\"0x0x\"]", "offset 3 is not"},
        {"[\"00\\u0000\"]", "offset 2 is not"},
        {"[\"\xc3\xa9\"]", "offset 0"},
        {"[1]", "(input) is a number"},
        {"[[]]", "(input) is an array"},
        {"[{}]", "(input) is an object"},
        {"[true]", "(input) is a boolean"},
        {"[null]", "(input) is missing"},
        {"[]", "params[0] (input) is missing; this method takes [input]"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(read_hex(&out, bad[i].text, &err), SHREWD_INVALID);
        if (strstr(err.message, bad[i].part) == NULL) {
            fail_msg("%s: %s", bad[i].text, err.message);
        }
    }
    shr_buf_free(&out);
}

static void test_text(void **state) {
    static const struct {
        const char *json, *text;
        size_t len;
    } cases[] = {
        {"\"plain\"", "plain", 5},
        {"\"\"", "", 0},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8},
        {"\"\\u0041\\u00e9\\u20ac\"", "A\xc3\xa9\xe2\x82\xac", 6},
        {"\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80", 4},
        {"\"\\ud83d\"", "\xef\xbf\xbd", 3},
        {"\"\\ude00\\ud83d\"", "\xef\xbf\xbd\xef\xbf\xbd", 6},
        {"\"\\ud83d\\n\"", "\xef\xbf\xbd\n", 4},
        {"\"\\ud83d\\u0041\"",
         "\xef\xbf\xbd"
         "A",
         4},
        {"\"\\udbff\\udfff\"", "\xf4\x8f\xbf\xbf", 4},
        {"\"a\\u0000b\"", "a\0b", 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct shr_json json;
        struct shr_buf scratch = {0};
        assert_int_equal(shr_json_parse(&json, shr_bytes_str(cases[i].json), NULL), 0);
        struct shr_bytes text = shr_json_text(&json, 0, &scratch);
        assert_true(shr_bytes_eq(text, shr_bytes(cases[i].text, cases[i].len)));
        /* And back: what is written reads the same. */
        struct shr_buf written = {0}, again = {0};
        struct shr_json reread;
        shr_json_write_string(&written, text);
        assert_int_equal(shr_json_parse(&reread, shr_buf_bytes(&written), NULL), 0);
        assert_true(shr_bytes_eq(shr_json_text(&reread, 0, &again), text));
        shr_json_free(&reread);
        shr_json_free(&json);
        shr_buf_free(&written);
        shr_buf_free(&again);
        shr_buf_free(&scratch);
    }
}

/* The fast path over eight bytes stops at every byte that must not be passed over. */
static void test_long_strings(void **state) {
    for (int c = 0; c < 256; c++) {
        for (size_t at = 1; at < 33; at++) {
            char text[36];
            memset(text, 'a', sizeof text);
            text[0] = '"';
            text[34] = '"';
            text[at] = (char)c;
            struct shr_json json;
            struct shrewd_error err = {0};
            int rc = shr_json_parse(&json, shr_bytes(text, 35), &err);
            bool plain = c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
            assert_int_equal(rc == 0, plain);
            char place[40];
            /* The byte itself; after a quote or a backslash, the next. */
            snprintf(place, sizeof place, "byte %zu ", c == '"' || c == '\\' ? at + 1 : at);
            assert_true(plain || strstr(err.message, place) != NULL);
            shr_json_free(&json);
        }
    }
}

static void test_tree(void **state) {
    struct shr_json json;
    static const char text[] = " {\"a\": [1, {\"b\": null}, \"x\"] , \"c\":true} ";
    assert_int_equal(shr_json_parse(&json, shr_bytes_str(text), NULL), 0);
    static const struct {
        int type;
        uint32_t n, next;
        const char *raw;
    } expected[] = {
        {SHR_JSON_OBJECT, 2, 10, "{\"a\": [1, {\"b\": null}, \"x\"] , \"c\":true}"},
        {SHR_JSON_STRING, 0, 2, "\"a\""},
        {SHR_JSON_ARRAY, 3, 8, "[1, {\"b\": null}, \"x\"]"},
        {SHR_JSON_NUMBER, 0, 4, "1"},
        {SHR_JSON_OBJECT, 1, 7, "{\"b\": null}"},
        {SHR_JSON_STRING, 0, 6, "\"b\""},
        {SHR_JSON_NULL, 0, 7, "null"},
        {SHR_JSON_STRING, 0, 8, "\"x\""},
        {SHR_JSON_STRING, 0, 9, "\"c\""},
        {SHR_JSON_BOOL, 0, 10, "true"},
    };
    assert_int_equal(json.n, 10);
    for (uint32_t i = 0; i < 10; i++) {
        assert_int_equal(json.values[i].type, expected[i].type);
        assert_int_equal(json.values[i].n, expected[i].n);
        assert_int_equal(json.values[i].next, expected[i].next);
        assert_true(shr_bytes_eq(shr_json_raw(&json, i), shr_bytes_str(expected[i].raw)));
    }
    shr_json_free(&json);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heights), cmocka_unit_test(test_bad_heights),
        cmocka_unit_test(test_hex),     cmocka_unit_test(test_text),
        cmocka_unit_test(test_tree),    cmocka_unit_test(test_long_strings),
    };
    return cmocka_run_group_tests_name("params", tests, NULL, NULL);
}
