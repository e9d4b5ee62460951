/* The methods as data (doc/rpc/), the documented error codes, and the server say the same. */
#include "base/file.h"
#include "rpc/jsonrpc.h"

#include "fake_source.h"

#include <jansson.h>
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct {
    int code;
    const char *name, *when;
} codes[] = {
#define SHR_X(name, code, text) {code, #name, text},
    SHR_RPC_ERROR_MAP(SHR_X)
#undef SHR_X
};

static json_t *load(const char *method) {
    char path[500];
    snprintf(path, sizeof path, "%s/doc/rpc/%s.json", SHREWD_SOURCE_DIR, method);
    json_error_t error;
    json_t *schema = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (schema == NULL) {
        fail_msg("%s: %s", path, error.text);
    }
    return schema;
}

static void check_params(const struct shr_method *method, json_t *schema) {
    json_t *params = json_object_get(schema, "params");
    size_t n = 0;
    for (; method->params.names[n] != NULL; n++) {
        json_t *param = json_array_get(params, n);
        assert_string_equal(json_string_value(json_object_get(param, "name")),
                            method->params.names[n]);
        assert_int_equal(json_is_true(json_object_get(param, "required")),
                         (int)n < method->params.required);
    }
    assert_int_equal(json_array_size(params), n);
}

static void check_errors(json_t *schema) {
    json_t *errors = json_object_get(schema, "errors");
    assert_true(json_array_size(errors) > 0);
    for (size_t i = 0; i < json_array_size(errors); i++) {
        json_t *error = json_array_get(errors, i);
        size_t c = 0;
        while (c < sizeof codes / sizeof codes[0] &&
               json_integer_value(json_object_get(error, "code")) != codes[c].code) {
            c++;
        }
        assert_true(c < sizeof codes / sizeof codes[0]);
        assert_string_equal(json_string_value(json_object_get(error, "name")), codes[c].name);
    }
}

static void check_content(json_t *schema, const char *text) {
    json_t *object = json_loads(text, 0, NULL);
    json_t *properties = json_object_get(schema, "properties");
    json_t *required = json_object_get(schema, "required");
    assert_true(json_is_object(object));
    assert_int_equal(json_object_size(object), json_object_size(properties));
    assert_int_equal(json_array_size(required), json_object_size(properties));
    for (size_t i = 0; i < json_array_size(required); i++) {
        const char *key = json_string_value(json_array_get(required, i));
        json_t *value = json_object_get(object, key);
        const char *type =
            json_string_value(json_object_get(json_object_get(properties, key), "type"));
        assert_true(strcmp(type, "integer") == 0 ? json_is_integer(value) : json_is_boolean(value));
    }
    json_decref(object);
}

/* An object: each member described, each described one there, of the type said. */
static void check_members(json_t *schema, json_t *object) {
    json_t *properties = json_object_get(schema, "properties");
    assert_int_equal(json_object_size(object), json_object_size(properties));
    const char *key;
    json_t *inner;
    json_object_foreach(properties, key, inner) {
        const char *type = json_string_value(json_object_get(inner, "type"));
        json_t *value = json_object_get(object, key);
        assert_true(strcmp(type, "integer") == 0   ? json_is_integer(value)
                    : strcmp(type, "array") == 0   ? json_is_array(value)
                    : strcmp(type, "boolean") == 0 ? json_is_boolean(value)
                                                   : json_is_string(value));
    }
}

static void check_result(json_t *schema, json_t *result) {
    if (json_is_object(result)) {
        assert_string_equal(json_string_value(json_object_get(schema, "type")), "object");
        check_members(schema, result);
        return;
    }
    assert_true(json_is_string(result));
    assert_string_equal(json_string_value(json_object_get(schema, "type")), "string");
    json_t *content = json_object_get(schema, "contentSchema");
    if (content != NULL) {
        check_content(content, json_string_value(result));
        return;
    }
    regex_t pattern;
    const char *text = json_string_value(json_object_get(schema, "pattern"));
    assert_int_equal(regcomp(&pattern, text, REG_EXTENDED | REG_NOSUB), 0);
    if (regexec(&pattern, json_string_value(result), 0, NULL, 0) != 0) {
        fail_msg("%s does not match %s", json_string_value(result), text);
    }
    regfree(&pattern);
}

static json_t *call(const char *method, const char *params) {
    static struct fake fake;
    static struct shr_rpc_env env;
    env.source = fake_source(&fake);
    struct shr_buf body = {0}, reply = {0};
    shr_buf_printf(&body, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":%s}", method,
                   params);
    struct shr_rpc_body parsed;
    shr_rpc_body_parse(&parsed, shr_buf_bytes(&body));
    shr_rpc_body_answer(&reply, &parsed, &env, NULL);
    json_t *answer = json_loadb((const char *)reply.data, reply.len, 0, NULL);
    assert_non_null(answer);
    shr_rpc_body_free(&parsed);
    shr_buf_free(&body);
    shr_buf_free(&reply);
    return answer;
}

static const char *const params_for[SHR_METHOD_COUNT] = {
    "[\"echo\",\"0xDEADBEEF\",270]",
    NULL,
    "[]",
    "[270]",
    "[270]",
    "[]",
    "[[\"0x00\",\"\"],270]",
    "[\"echo\",\"0xDEADBEEF\",270]",
    "[[\"\",\"0a1\"],270]",
    "[270,\"0x00\"]",
    "[\"0x0102\",270,\"0x03\",5]",
};

static void check_calls(const struct shr_method *method, json_t *schema) {
    struct shr_buf preview = {0};
    shr_buf_printf(&preview, "[\"%0160d\",\"height\",\"\"]", 0);
    const char *params = params_for[method - shr_methods];
    json_t *answer = call(method->name, params == NULL ? shr_buf_cstr(&preview) : params);
    check_result(json_object_get(schema, "result"), json_object_get(answer, "result"));
    json_decref(answer);
    /* The examples have the shapes the server takes and gives. */
    json_t *examples = json_object_get(schema, "examples");
    assert_true(json_array_size(examples) > 0);
    for (size_t i = 0; i < json_array_size(examples); i++) {
        json_t *example = json_array_get(examples, i);
        check_result(json_object_get(schema, "result"), json_object_get(example, "result"));
        char *text = json_dumps(json_object_get(example, "params"), 0);
        answer = call(method->name, text);
        json_int_t code =
            json_integer_value(json_object_get(json_object_get(answer, "error"), "code"));
        assert_int_not_equal(code, SHR_RPC_PARAMS);
        free(text);
        json_decref(answer);
    }
    shr_buf_free(&preview);
}

static void test_methods(void **state) {
    for (int i = 0; i < SHR_METHOD_COUNT; i++) {
        json_t *schema = load(shr_methods[i].name);
        assert_string_equal(json_string_value(json_object_get(schema, "method")),
                            shr_methods[i].name);
        check_params(&shr_methods[i], schema);
        check_errors(schema);
        check_calls(&shr_methods[i], schema);
        json_decref(schema);
    }
}

/* Every code and every method has its row in the page for people. */
static void test_page(void **state) {
    struct shr_buf page = {0};
    struct shrewd_error err = {0};
    assert_int_equal(shr_file_read(&page, SHREWD_SOURCE_DIR "/doc/json-rpc.md", 1 << 20, &err), 0);
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        char row[60];
        snprintf(row, sizeof row, "| %d | %s | ", codes[i].code, codes[i].name);
        if (strstr(shr_buf_cstr(&page), row) == NULL) {
            fail_msg("doc/json-rpc.md lacks %s", row);
        }
    }
    for (int i = 0; i < SHR_METHOD_COUNT; i++) {
        char link[100];
        snprintf(link, sizeof link, "(rpc/%s.json)", shr_methods[i].name);
        assert_non_null(strstr(shr_buf_cstr(&page), link));
    }
    shr_buf_free(&page);
}

/* Every error of libshrewd has a JSON-RPC code of the list. */
static void test_mapping(void **state) {
    static const int errors[] = {
#define SHREWD_X(name, code, text) code,
        SHREWD_ERROR_MAP(SHREWD_X)
#undef SHREWD_X
    };
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        size_t c = 0;
        while (c < sizeof codes / sizeof codes[0] && codes[c].code != shr_rpc_code_for(errors[i])) {
            c++;
        }
        assert_true(c < sizeof codes / sizeof codes[0]);
    }
    assert_int_equal(shr_rpc_code_for(SHREWD_NO_VIEW), -32000);
    assert_int_equal(shr_rpc_code_for(SHREWD_INVALID), -32602);
    assert_int_equal(shr_rpc_code_for(SHREWD_ABOVE_TIP), -32002);
    assert_int_equal(shr_rpc_code_for(SHREWD_CORRUPT), -32603);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_methods),
        cmocka_unit_test(test_page),
        cmocka_unit_test(test_mapping),
    };
    return cmocka_run_group_tests_name("rpc schema", tests, NULL, NULL);
}
