/* Bodies and the exact replies to them. */
#include "rpc/jsonrpc.h"

#include "fake_source.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct fake fake;

static void fake_sync(void *ctx, struct shr_server_sync *out) {
    *out = (struct shr_server_sync){
        .running = true, .node_tip = 300, .blocks = 171, .reorgs = 2, .reorg_blocks = 3};
}

static void answer(struct shr_buf *reply, struct shr_bytes body) {
    static struct shr_rpc_env env;
    env.source = fake_source(&fake);
    env.sync = fake_sync;
    struct shr_rpc_body parsed;
    shr_rpc_body_parse(&parsed, body);
    shr_rpc_body_answer(reply, &parsed, &env, NULL);
    shr_rpc_body_free(&parsed);
}

struct example {
    const char *body;
    const char *reply; /* all of it; or, after a '~', a part of it */
};

static void check_reply(const char *body, size_t len, const char *expected) {
    struct shr_buf reply = {0};
    /* An exact copy, so that the sanitizer sees a byte read past it. */
    uint8_t *copy = malloc(len == 0 ? 1 : len);
    assert_non_null(copy);
    memcpy(copy, body, len);
    answer(&reply, shr_bytes(copy, len));
    free(copy);
    if (expected[0] == '~') {
        if (strstr(shr_buf_cstr(&reply), expected + 1) == NULL) {
            fail_msg("body  %s\nreply %s\nlacks %s", body, shr_buf_cstr(&reply), expected + 1);
        }
    } else if (strcmp(shr_buf_cstr(&reply), expected) != 0) {
        fail_msg("body   %s\nreply  %s\nwanted %s", body, shr_buf_cstr(&reply), expected);
    }
    shr_buf_free(&reply);
}

static void check_all(const struct example *examples, size_t n) {
    for (size_t i = 0; i < n; i++) {
        check_reply(examples[i].body, strlen(examples[i].body), examples[i].reply);
    }
}
#define CHECK(examples) check_all(examples, sizeof examples / sizeof examples[0])

#define CALL(method, params)                                                                       \
    "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"" method "\",\"params\":" params "}"
#define RESULT(text) "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":" text "}"
#define ERROR(code) "~{\"jsonrpc\":\"2.0\",\"id\":7,\"error\":{\"code\":" code ",\"message\":\""
#define HASH_270 "\"0x2d2c2b2a292827262524232221201f1e1d1c1b1a191817161514131211100f0e\""
#define ROOT "\"0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\""

static void test_methods(void **state) {
    static const struct example examples[] = {
        {CALL("metashrew_height", "[]"), RESULT("\"270\"")},
        {CALL("metashrew_height", "null"), RESULT("\"270\"")},
        {CALL("metashrew_height", "{}"), RESULT("\"270\"")},
        {"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"metashrew_height\"}", RESULT("\"270\"")},
        {CALL("metashrew_height", "[1]"), ERROR("-32602")},
        {CALL("metashrew_getblockhash", "[270]"), RESULT(HASH_270)},
        {CALL("metashrew_getblockhash", "[\"270\"]"), RESULT(HASH_270)},
        {CALL("metashrew_getblockhash", "[\"0x10e\"]"), RESULT(HASH_270)},
        {CALL("metashrew_getblockhash", "[\"0X10E\"]"), RESULT(HASH_270)},
        {CALL("metashrew_getblockhash", "[\"latest\"]"), RESULT(HASH_270)},
        {CALL("metashrew_getblockhash", "[null]"), RESULT(HASH_270)},
        {CALL("metashrew_getblockhash", "[]"), RESULT(HASH_270)},
        {CALL("metashrew_getblockhash", "{\"height\":270}"), RESULT(HASH_270)},
        {CALL("metashrew_getblockhash", "[271]"), ERROR("-32002")},
        {CALL("metashrew_getblockhash", "[271]"), "~is not indexed: the tip is 270"},
        {CALL("metashrew_getblockhash", "[4294967295]"), ERROR("-32002")},
        {CALL("metashrew_getblockhash", "[\"0xffffffff\"]"), "~is not indexed: the tip is 270"},
        {CALL("metashrew_getblockhash", "[99]"), ERROR("-32004")},
        {CALL("metashrew_getblockhash", "[4294967296]"), ERROR("-32602")},
        {CALL("metashrew_stateroot", "[]"), RESULT(ROOT)},
        {CALL("metashrew_stateroot", "[\"latest\"]"), RESULT(ROOT)},
        {CALL("metashrew_stateroot", "[268]"), RESULT(ROOT)},
        {CALL("metashrew_stateroot", "[269]"), ERROR("-32007")},
        {CALL("metashrew_stateroot", "[269]"), "~\"data\":{\"error\":\"NO_ROOT\"}"},
        {CALL("metashrew_snapshot", "[]"),
         "~\"result\":\"{\\\"enabled\\\":false,\\\"current_height\\\":270,\\\"indexed_height\\\":"
         "270,\\\"last_snapshot_height\\\":0,\\\"blocks_synced_normally\\\":171,"
         "\\\"blocks_synced_from_snapshots\\\":0,\\\"snapshots_applied\\\":0,"},
        {CALL("metashrew_snapshot", "[]"), "~\\\"node_tip\\\":300,\\\"reorgs\\\":2,"},
    };
    CHECK(examples);
}

static void test_view(void **state) {
    static const struct example examples[] = {
        {CALL("metashrew_view", "[\"echo\",\"0xDEADbeef\",\"latest\"]"), RESULT("\"0xdeadbeef\"")},
        {CALL("metashrew_view", "[\"echo\",\"deadbeef\"]"), RESULT("\"0xdeadbeef\"")},
        {CALL("metashrew_view", "[\"echo\",\"0x\",null]"), RESULT("\"0x\"")},
        {CALL("metashrew_view", "[\"echo\",\"\"]"), RESULT("\"0x\"")},
        {CALL("metashrew_view", "[\"empty\",\"00\"]"), RESULT("\"0x\"")},
        {CALL("metashrew_view", "[\"height\",\"\",200]"), RESULT("\"0x323030\"")},
        {CALL("metashrew_view", "[\"height\",\"\",\"200\"]"), RESULT("\"0x323030\"")},
        {CALL("metashrew_view", "[\"height\",\"\",\"0xC8\"]"), RESULT("\"0x323030\"")},
        {CALL("metashrew_view", "[\"height\",\"\"]"), RESULT("\"0x323730\"")},
        {CALL("metashrew_view", "[\"h\\u0065ight\",\"\\u0030\\u0030\"]"), RESULT("\"0x323730\"")},
        {CALL("metashrew_view", "{\"view\":\"echo\",\"input\":\"0x01\",\"height\":200}"),
         RESULT("\"0x01\"")},
        {CALL("metashrew_view", "{\"input\":\"0x01\",\"view\":\"echo\"}"), RESULT("\"0x01\"")},
        {CALL("metashrew_view", "{\"view\":\"echo\",\"input\":\"0x01\",\"block\":1}"),
         "~unknown parameter \\\"block\\\""},
        {CALL("metashrew_view", "[\"height\",\"\",271]"), ERROR("-32002")},
        {CALL("metashrew_view", "[\"height\",\"\",4294967295]"), ERROR("-32002")},
        {CALL("metashrew_view", "[\"height\",\"\",1]"), ERROR("-32004")},
        {CALL("metashrew_view", "[\"nosuch\",\"\"]"), ERROR("-32000")},
        {CALL("metashrew_view", "[\"nosuch\",\"\"]"), "~\"data\":{\"error\":\"NO_VIEW\"}"},
        {CALL("metashrew_view", "[\"trap\",\"\"]"),
         "{\"jsonrpc\":\"2.0\",\"id\":7,\"error\":{\"code\":-32000,\"message\":\"view "
         "\\\"trap\\\": "
         "\xef\xbf\xbd\xef\xbf\xbd\\\"quoted\\\"\\u000a\\u0001 unreachable\","
         "\"data\":{\"error\":\"TRAP\"}}}"},
        /* The shapes some clients send. */
        {CALL("metashrew_view", "[\"deadbeef\",0]"), ERROR("-32602")},
        {CALL("metashrew_view", "[\"deadbeef\",0]"), "~params[1] (input) is a number"},
        {CALL("metashrew_view", "[]"), ERROR("-32602")},
        {CALL("metashrew_view", "[\"echo\"]"), "~params[1] (input) is missing"},
        {CALL("metashrew_view", "[\"echo\",null]"), "~params[1] (input) is missing"},
        {CALL("metashrew_view", "[1,\"\"]"), "~params[0] (view) is a number"},
        {CALL("metashrew_view", "[\"echo\",\"\",1,2]"), ERROR("-32602")},
        {CALL("metashrew_view", "\"echo\""), ERROR("-32602")},
        {CALL("metashrew_view", "7"), ERROR("-32602")},
        {CALL("metashrew_view", "[\"echo\",\"0x123\"]"), "~an odd number of digits"},
        {CALL("metashrew_view", "[\"echo\",\"0x12zz\"]"), "~offset 4 is not a hex digit"},
        {CALL("metashrew_view", "[\"e\\u0000o\",\"\"]"), ERROR("-32602")},
    };
    CHECK(examples);
}

static void test_preview(void **state) {
    char block[161];
    memset(block, 'a', 160);
    block[160] = 0;
    char body[600];
    snprintf(body, sizeof body, CALL("metashrew_preview", "[\"%s\",\"height\",\"\",200]"), block);
    check_reply(body, strlen(body), RESULT("\"0x38303a323031\""));
    snprintf(body, sizeof body, CALL("metashrew_preview", "[\"0x%s\",\"height\",\"0x\"]"), block);
    check_reply(body, strlen(body), RESULT("\"0x38303a323731\""));
    static const struct example examples[] = {
        {CALL("metashrew_preview", "[\"00\",\"height\",\"\"]"), ERROR("-32003")},
        {CALL("metashrew_preview", "[\"0g\",\"height\",\"\"]"), "~params[0] (block)"},
        {CALL("metashrew_preview", "[\"00\",\"height\"]"), "~params[2] (input) is missing"},
        {CALL("metashrew_preview", "[\"00\",\"height\",\"\",-1]"), ERROR("-32602")},
    };
    CHECK(examples);
}

/* An id is echoed as it was written. */
static void test_ids(void **state) {
    static const char *const ids[] = {"0",
                                      "-0",
                                      "1.0",
                                      "1e400",
                                      "-12.50e-3",
                                      "12345678901234567890123",
                                      "\"a:b\"",
                                      "\"\"",
                                      "\"\\u00e9\\ud800\\n\"",
                                      "\"\xc3\xa9\"",
                                      "null",
                                      "true",
                                      "[1, 2]",
                                      "{\"a\":{}}"};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        char body[200], reply[200];
        snprintf(body, sizeof body, "{\"id\": %s ,\"method\":\"metashrew_height\"}", ids[i]);
        snprintf(reply, sizeof reply, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":\"270\"}", ids[i]);
        check_reply(body, strlen(body), reply);
        snprintf(body, sizeof body, "{\"id\":%s,\"method\":\"x\"}", ids[i]);
        snprintf(reply, sizeof reply, "~{\"jsonrpc\":\"2.0\",\"id\":%s,\"error\":{\"code\":-32601,",
                 ids[i]);
        check_reply(body, strlen(body), reply);
    }
}

#define NULL_ERROR(code) "~{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":" code ","

static void test_faults(void **state) {
    static const struct example examples[] = {
        {"", NULL_ERROR("-32700")},
        {" ", NULL_ERROR("-32700")},
        {"{", NULL_ERROR("-32700")},
        {"nonsense", NULL_ERROR("-32700")},
        {"{\"id\":1,}", NULL_ERROR("-32700")},
        {"{\"id\":01}", NULL_ERROR("-32700")},
        {"{'id':1}", NULL_ERROR("-32700")},
        {"[1,]", NULL_ERROR("-32700")},
        {"[1 2]", NULL_ERROR("-32700")},
        {"{} {}", NULL_ERROR("-32700")},
        {"\"\\x\"", NULL_ERROR("-32700")},
        {"\"\\u12g4\"", NULL_ERROR("-32700")},
        {"\"a\nb\"", NULL_ERROR("-32700")},
        {"\"abcdefgh\tb\"", NULL_ERROR("-32700")},
        {"\"\xff\"", NULL_ERROR("-32700")},
        {"\"\xc0\x80\"", NULL_ERROR("-32700")},
        {"\"\xed\xa0\x80\"", NULL_ERROR("-32700")},
        {"\"\xf4\x90\x80\x80\"", NULL_ERROR("-32700")},
        {"\"\xe2\x82\"", NULL_ERROR("-32700")},
        {"\xef\xbb\xbf{}", NULL_ERROR("-32700")},
        {"1.", NULL_ERROR("-32700")},
        {".5", NULL_ERROR("-32700")},
        {"1e", NULL_ERROR("-32700")},
        {"+1", NULL_ERROR("-32700")},
        {"NaN", NULL_ERROR("-32700")},
        {"tru", NULL_ERROR("-32700")},
        {"1", NULL_ERROR("-32600")},
        {"\"text\"", NULL_ERROR("-32600")},
        {"null", NULL_ERROR("-32600")},
        {"{}", NULL_ERROR("-32600")},
        {"[]", NULL_ERROR("-32600")},
        {"{\"id\":3}", "~\"id\":3,\"error\":{\"code\":-32600,"},
        {"{\"id\":3,\"method\":4}", "~\"id\":3,\"error\":{\"code\":-32600,"},
        {"{\"id\":3,\"jsonrpc\":\"1.0\",\"method\":\"metashrew_height\"}",
         "~\"id\":3,\"error\":{\"code\":-32600,"},
        {"{\"id\":3,\"jsonrpc\":2.0,\"method\":\"metashrew_height\"}",
         "~\"id\":3,\"error\":{\"code\":-32600,"},
        {"{\"id\":3,\"method\":\"getinfo\"}",
         "~no method \\\"getinfo\\\"; there are metashrew_view"},
        {"{\"id\":3,\"method\":\"a\\u0000b\"}", "~no method \\\"a?b\\\"; there are"},
        /* Of equal members the last one counts. */
        {"{\"id\":1,\"method\":\"x\",\"id\":2,\"method\":\"metashrew_height\"}",
         "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":\"270\"}"},
        {"{\"\\u0069d\":2,\"method\":\"metashrew\\u005fheight\"}",
         "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":\"270\"}"},
    };
    CHECK(examples);
    check_reply("\"a\0b\"", 5, NULL_ERROR("-32700"));
}

static void test_batches(void **state) {
    static const struct example examples[] = {
        {"[{\"id\":1,\"method\":\"metashrew_height\"}]",
         "[{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"270\"}]"},
        {"[{\"id\":\"b\",\"method\":\"metashrew_height\"},"
         "{\"method\":\"metashrew_height\"},"
         "{\"id\":1,\"method\":\"metashrew_view\",\"params\":[\"echo\",\"0x07\"]}]",
         "[{\"jsonrpc\":\"2.0\",\"id\":\"b\",\"result\":\"270\"},"
         "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"0x07\"}]"},
        {"[1,2]", "[{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,\"message\":\"a "
                  "request must be an object\"}},{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{"
                  "\"code\":-32600,\"message\":\"a request must be an object\"}}]"},
        {"[{\"method\":\"metashrew_height\"},{\"method\":\"nosuch\"}]", ""},
        {"{\"method\":\"metashrew_view\",\"params\":[\"trap\",\"\"]}", ""},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"nosuch\"}", ""},
    };
    int before = atomic_load(&fake.runs);
    CHECK(examples);
    assert_int_equal(atomic_load(&fake.runs) - before, 1); /* notifications run no guest */
}

/* `n` times `unit` between brackets. */
static void check_many(const char *unit, size_t n, const char *close, const char *expected) {
    struct shr_buf body = {0};
    shr_buf_add_str(&body, "[");
    for (size_t i = 0; i < n; i++) {
        shr_buf_add_str(&body, i > 0 ? "," : "");
        shr_buf_add_str(&body, unit);
    }
    shr_buf_add_str(&body, close);
    check_reply(shr_buf_cstr(&body), body.len, expected);
    shr_buf_free(&body);
}

static void test_bounds(void **state) {
    char nested[512] = {0};
    for (int depth = 99; depth <= 101; depth++) {
        memset(nested, '[', (size_t)depth);
        memset(nested + depth, ']', (size_t)depth);
        nested[2 * depth] = 0;
        check_reply(nested, strlen(nested),
                    depth <= 100 ? "~a request must be an object" : "~nested deeper than 100");
    }
    struct shr_buf deep = {0};
    memset(shr_buf_grow(&deep, 4000000), '[', 4000000);
    check_reply(shr_buf_cstr(&deep), deep.len, "~\"code\":-32700,");
    shr_buf_free(&deep);
    check_many("{\"id\":1,\"method\":\"metashrew_height\"}", SHR_RPC_BATCH_MAX, "]",
               "~[{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"270\"},");
    check_many("{\"id\":1,\"method\":\"metashrew_height\"}", SHR_RPC_BATCH_MAX + 1, "]",
               NULL_ERROR("-32600"));
    check_many("0", SHR_JSON_VALUES_MAX, "]", "~values in one body");
}

static void test_nothing_indexed(void **state) {
    static const struct example examples[] = {
        {CALL("metashrew_height", "[]"), ERROR("-32005")},
        {CALL("metashrew_getblockhash", "[270]"), ERROR("-32005")},
        {CALL("metashrew_getblockhash", "[4294967295]"), ERROR("-32005")},
        {CALL("metashrew_view", "[\"echo\",\"\"]"), ERROR("-32005")},
        {CALL("metashrew_snapshot", "[]"), "~\\\"indexed_height\\\":0,"},
    };
    fake.empty = true;
    CHECK(examples);
    fake.empty = false;
}

/* Once the client has left, a batch runs no further guest, and still has every answer. */
static void test_gone(void **state) {
    static const char body[] =
        "[{\"id\":1,\"method\":\"metashrew_view\",\"params\":[\"echo\",\"\"]},"
        "{\"id\":2,\"method\":\"metashrew_view\",\"params\":[\"echo\",\"\"]},"
        "{\"id\":3,\"method\":\"metashrew_height\"}]";
    struct shr_rpc_env *env = calloc(1, sizeof *env);
    assert_non_null(env);
    env->source = fake_source(&fake);
    struct shr_rpc_body parsed;
    shr_rpc_body_parse(&parsed, shr_bytes_str(body));
    assert_true(shr_rpc_body_needs_worker(&parsed));
    struct shr_buf reply = {0};
    _Atomic bool gone = false;
    int before = atomic_load(&fake.runs);
    assert_int_equal(shr_rpc_body_answer(&reply, &parsed, env, &gone), 0);
    assert_int_equal(atomic_load(&fake.runs) - before, 2);
    shr_buf_clear(&reply);
    atomic_store(&gone, true);
    assert_int_equal(shr_rpc_body_answer(&reply, &parsed, env, &gone), 2);
    assert_int_equal(atomic_load(&fake.runs) - before, 2);
    assert_string_equal(shr_buf_cstr(&reply),
                        "[{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32001,\"message\":"
                        "\"not run: the client hung up\"}},"
                        "{\"jsonrpc\":\"2.0\",\"id\":2,\"error\":{\"code\":-32001,\"message\":"
                        "\"not run: the client hung up\"}},"
                        "{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":\"270\"}]");
    shr_buf_clear(&reply);
    shr_rpc_body_refuse(&reply, &parsed, SHR_RPC_BUSY, "no");
    assert_non_null(strstr(shr_buf_cstr(&reply), "\"id\":3,\"error\":{\"code\":-32001,"));
    shr_buf_free(&reply);
    shr_rpc_body_free(&parsed);
    free(env);
}

/* Answers at hand: of one view call only, and just as a worker would answer it. */
static void test_cached(void **state) {
    static const struct {
        const char *body, *reply; /* NULL: it takes a worker */
    } examples[] = {
        {CALL("metashrew_view", "[\"kept\",\"0xAB\",\"latest\"]"), RESULT("\"0xab\"")},
        {CALL("metashrew_view", "{\"view\":\"kept\",\"input\":\"\",\"height\":200}"),
         RESULT("\"0x\"")},
        {CALL("metashrew_view", "[\"echo\",\"ab\"]"), NULL},
        {CALL("metashrew_view", "[\"kept\",\"no hex\"]"), NULL},
        {CALL("metashrew_view", "[]"), NULL},
        {CALL("metashrew_preview", "[\"ab\",\"kept\",\"ab\"]"), NULL},
        {"[" CALL("metashrew_view", "[\"kept\",\"ab\"]") "]", NULL},
    };
    struct shr_rpc_env *env = calloc(1, sizeof *env);
    assert_non_null(env);
    env->source = fake_source(&fake);
    for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++) {
        struct shr_rpc_body parsed;
        struct shr_buf reply = {0};
        shr_rpc_body_parse(&parsed, shr_bytes_str(examples[i].body));
        assert_true(shr_rpc_body_needs_worker(&parsed));
        bool found = shr_rpc_body_answer_at_once(&reply, &parsed, env, false);
        assert_int_equal(found, examples[i].reply != NULL);
        assert_string_equal(shr_buf_cstr(&reply), found ? examples[i].reply : "");
        shr_buf_free(&reply);
        shr_rpc_body_free(&parsed);
    }
    assert_int_equal(atomic_load(&env->stats[0].calls), 2);
    free(env);
}

static bool quick_echo(void *ctx, struct shr_buf *out, const struct shr_view_call *call) {
    bool echo = strcmp(call->view, "echo") == 0;
    if (echo) {
        shr_buf_set(out, call->input);
    }
    return echo;
}

/* What a warm instance has at once is given so only to those who ask for it. */
static void test_quick(void **state) {
    static const char *const bodies[] = {CALL("metashrew_view", "[\"echo\",\"0xab\"]"),
                                         CALL("metashrew_view", "[\"height\",\"0x\"]")};
    struct shr_rpc_env *env = calloc(1, sizeof *env);
    assert_non_null(env);
    env->source = fake_source(&fake);
    for (int i = 0; i < 6; i++) {
        struct shr_rpc_body parsed;
        struct shr_buf reply = {0};
        shr_rpc_body_parse(&parsed, shr_bytes_str(bodies[i % 2]));
        env->source.quick = i < 4 ? quick_echo : NULL;
        bool found = shr_rpc_body_answer_at_once(&reply, &parsed, env, i < 2 || i >= 4);
        assert_int_equal(found, i == 0);
        assert_string_equal(shr_buf_cstr(&reply), found ? RESULT("\"0xab\"") : "");
        shr_buf_free(&reply);
        shr_rpc_body_free(&parsed);
    }
    free(env);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_methods),         cmocka_unit_test(test_view),
        cmocka_unit_test(test_preview),         cmocka_unit_test(test_ids),
        cmocka_unit_test(test_faults),          cmocka_unit_test(test_batches),
        cmocka_unit_test(test_bounds),          cmocka_unit_test(test_gone),
        cmocka_unit_test(test_nothing_indexed), cmocka_unit_test(test_cached),
        cmocka_unit_test(test_quick),
    };
    return cmocka_run_group_tests_name("jsonrpc", tests, NULL, NULL);
}
