/* The HTTP server over real sockets, on a fake source: what it answers. Load and stopping:
 * test_server_load.c. */
#include "base/hex.h"
#include "rpc/start.h"

#include "fake_source.h"
#include "rpc_client.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define HEIGHT "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"metashrew_height\",\"params\":[]}"
#define HEIGHT_REPLY "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"270\"}"

static struct fake fake;
static struct shr_server_sync sync_now;

static void fake_sync(void *ctx, struct shr_server_sync *out) {
    *out = sync_now;
}

static struct shr_server *start(const struct shr_server_options *options) {
    struct shr_rpc_source source = fake_source(&fake);
    struct shr_server *server = NULL;
    struct shrewd_error err = {0};
    if (shr_server_start_on(&server, &source, options, &err) != 0) {
        fail_msg("%s", err.message);
    }
    return server;
}

static int setup(void **state) {
    sync_now = (struct shr_server_sync){
        .running = true, .has_node_tip = true, .node_tip = 280, .node_silent_s = 7, .blocks = 171};
    *state = start(&(struct shr_server_options){.workers = 2, .sync = fake_sync});
    return 0;
}

static int teardown(void **state) {
    return shr_server_stop(*state, 2000) ? 0 : -1;
}

static void check(struct reply reply, int status, const char *body) {
    if (reply.status != status || strcmp(shr_buf_cstr(&reply.body), body) != 0) {
        fail_msg("%d %s, not %d %s", reply.status, shr_buf_cstr(&reply.body), status, body);
    }
    reply_free(&reply);
}

static void check_part(struct reply reply, int status, const char *part) {
    if (reply.status != status || strstr(shr_buf_cstr(&reply.body), part) == NULL) {
        fail_msg("%d %s, not %d with %s", reply.status, shr_buf_cstr(&reply.body), status, part);
    }
    reply_free(&reply);
}

static void test_keep_alive(void **state) {
    int fd = client_connect(shr_server_port(*state));
    for (int i = 0; i < 50; i++) {
        check(client_call(fd, HEIGHT), 200, HEIGHT_REPLY);
        check(client_call(fd,
                          "{\"id\":2,\"method\":\"metashrew_view\",\"params\":[\"echo\",\"aa\"]}"),
              200, "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":\"0xaa\"}");
        check_part(client_call(fd, "{oops"), 200, "\"code\":-32700,");
        check(client_call(fd, "{\"method\":\"metashrew_height\"}"), 204, "");
        check(client_call(fd, "[" HEIGHT "," HEIGHT "]"), 200,
              "[" HEIGHT_REPLY "," HEIGHT_REPLY "]");
    }
    close(fd);
}

static void test_headers(void **state) {
    int fd = client_connect(shr_server_port(*state));
    struct reply reply = client_call(fd, HEIGHT);
    assert_int_equal(strncmp(reply_header(&reply, "\r\nContent-Type: "), "application/json", 16),
                     0);
    assert_null(reply_header(&reply, "\r\nAccess-Control-Allow-Origin:"));
    reply_free(&reply);
    close(fd);
}

/* Two requests sent before the first answer is read. */
static void test_pipelined(void **state) {
    int fd = client_connect(shr_server_port(*state));
    static const char view[] =
        "{\"id\":2,\"method\":\"metashrew_view\",\"params\":[\"sleep\",\"\"]}";
    client_post(fd, shr_bytes_str(view));
    client_post(fd, shr_bytes_str(HEIGHT));
    struct reply reply;
    assert_true(client_read(fd, &reply, false));
    check(reply, 200, "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":\"0x\"}");
    assert_true(client_read(fd, &reply, false));
    check(reply, 200, HEIGHT_REPLY);
    close(fd);
}

#define POST_HEAD "POST /any/path HTTP/1.1\r\nHost: x\r\n"

static void test_bodies(void **state) {
    uint16_t port = shr_server_port(*state);
    check_part(client_raw(port, POST_HEAD "\r\n"), 200, "it is empty");
    check_part(client_raw(port, POST_HEAD "Content-Length: 0\r\n\r\n"), 200, "\"code\":-32700,");
    check(client_raw(port,
                     POST_HEAD "Transfer-Encoding: chunked\r\n\r\n"
                               "b\r\n{\"id\":1,\"me\r\n1d\r\nthod\":\"metashrew_height\"    }\r\n"
                               "0\r\n\r\n"),
          200, HEIGHT_REPLY);
    check(client_raw(port, "POST / HTTP/1.0\r\nContent-Length: 36\r\n\r\n"
                           "{\"id\":1,\"method\":\"metashrew_height\"}"),
          200, HEIGHT_REPLY);
    check(client_raw(port, POST_HEAD "Content-Type: text/x-nonsense\r\nContent-Length: 36\r\n\r\n"
                                     "{\"id\":1,\"method\":\"metashrew_height\"}"),
          200, HEIGHT_REPLY);
    /* Split at every byte: the server waits for the rest. */
    int fd = client_connect(port);
    static const char text[] = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 36\r\n\r\n"
                               "{\"id\":1,\"method\":\"metashrew_height\"}";
    for (size_t i = 0; i + 1 < sizeof text; i++) {
        assert_true(client_send(fd, text + i, 1));
        usleep(i % 16 == 0 ? 2000 : 0);
    }
    struct reply reply;
    assert_true(client_read(fd, &reply, false));
    check(reply, 200, HEIGHT_REPLY);
    close(fd);
}

/* Head, `n` times `fill`, tail. */
static struct shr_buf long_body(const char *head, char fill, size_t n, const char *tail) {
    struct shr_buf body = {0};
    shr_buf_add_str(&body, head);
    memset(shr_buf_grow(&body, n), fill, n);
    shr_buf_add_str(&body, tail);
    return body;
}

static void test_large(void **state) {
    uint16_t port = shr_server_port(*state);
    int fd = client_connect(port);
    /* A preview of a block of 4 MB, and one of the largest bodies that are read. */
    static const size_t sizes[] = {8000000, (32u << 20) - 200};
    for (size_t i = 0; i < 2; i++) {
        struct shr_buf body =
            long_body("{\"id\":1,\"method\":\"metashrew_preview\",\"params\":[\"0x", 'e', sizes[i],
                      "\",\"height\",\"\"]}");
        struct shr_buf digits = {0}, expected = {0};
        shr_buf_printf(&digits, "%zu:271", sizes[i] / 2);
        shr_buf_add_str(&expected, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"0x");
        shr_hex_encode(&expected, shr_buf_bytes(&digits));
        shr_buf_add_str(&expected, "\"}");
        check(client_call_bytes(fd, shr_buf_bytes(&body)), 200, shr_buf_cstr(&expected));
        shr_buf_free(&digits);
        shr_buf_free(&expected);
        shr_buf_free(&body);
    }
    /* A result of 8 MB. */
    struct reply reply = client_call(
        fd, "{\"id\":1,\"method\":\"metashrew_view\",\"params\":[\"big\",\"007a1200\"]}");
    assert_int_equal(reply.status, 200);
    assert_int_equal(reply.body.len,
                     strlen("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"0x\"}") + 16000000);
    assert_int_equal(strspn(strstr((char *)reply.body.data, "0x") + 2, "5a"), 16000000);
    reply_free(&reply);
    close(fd);
}

static void test_too_large(void **state) {
    uint16_t port = shr_server_port(*state);
    int fd = client_connect(port);
    struct shr_buf body = long_body("{\"id\":1,\"x\":\"", 'e', 33u << 20, "\"}");
    check_part(client_call_bytes(fd, shr_buf_bytes(&body)), 413, "\"code\":-32006,");
    check(client_call(fd, HEIGHT), 200, HEIGHT_REPLY); /* the connection goes on */
    close(fd);
    /* The same without its length announced. */
    fd = client_connect(port);
    assert_true(client_send(fd, POST_HEAD "Transfer-Encoding: chunked\r\n\r\n",
                            strlen(POST_HEAD "Transfer-Encoding: chunked\r\n\r\n")));
    for (size_t at = 0; at < body.len; at += 0x10000) {
        assert_true(client_send(fd, "10000\r\n", 7));
        size_t left = body.len - at < 0x10000 ? body.len - at : 0x10000;
        assert_true(client_send(fd, body.data + at, left));
        assert_true(client_send(fd, body.data, 0x10000 - left));
        assert_true(client_send(fd, "\r\n", 2));
    }
    assert_true(client_send(fd, "0\r\n\r\n", 5));
    struct reply reply;
    assert_true(client_read(fd, &reply, false));
    check_part(reply, 413, "\"code\":-32006,");
    close(fd);
    shr_buf_free(&body);
    /* A client that asks first, and one that threatens with more than will ever be read. */
    check_part(client_raw(port, POST_HEAD "Content-Length: 99999999\r\n"
                                          "Expect: 100-continue\r\n\r\n"),
               413, "\"id\":null,");
    check_part(client_raw(port, POST_HEAD "Content-Length: 99999999999999\r\n\r\n"), 413,
               "33554432 bytes");
}

/* Broken HTTP gets an answer of some kind; broken JSON always an error object. */
static void test_malformed(void **state) {
    uint16_t port = shr_server_port(*state);
    static const char *const http[] = {
        "nonsense with spaces\r\n\r\n",
        "GET /\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: five\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        "POST / HTTP/9.9\r\nHost: x\r\n\r\n",
        "GET  \r\n\r\n",
    };
    for (size_t i = 0; i < sizeof http / sizeof http[0]; i++) {
        struct reply reply = client_raw(port, http[i]);
        if (reply.status < 400 || reply.status > 599) {
            check_part(reply, 200, "\"error\":");
        } else {
            reply_free(&reply);
        }
    }
    /* A valid body cut, and changed, at every place: each on the same connection. */
    static const char valid[] = "{\"jsonrpc\":\"2.0\",\"id\":\"ab\",\"method\":\"metashrew_view\","
                                "\"params\":[\"echo\",\"0x00\",\"0x10e\"]}";
    int fd = client_connect(port);
    size_t len = strlen(valid);
    for (size_t i = 0; i < len; i++) {
        check_part(client_call_bytes(fd, shr_bytes(valid, i)), 200, "\"code\":-32700,");
        for (size_t c = 0; c < 3; c++) {
            struct shr_buf body = {0};
            shr_buf_append(&body, valid, len);
            body.data[i] = (uint8_t) "\xff\0{"[c];
            struct reply reply = client_call_bytes(fd, shr_buf_bytes(&body));
            if (reply.status == 204) { /* "id" misspelt: a notification */
                check(reply, 204, "");
            } else {
                check_part(reply, 200, "\"jsonrpc\":\"2.0\"");
            }
            shr_buf_free(&body);
        }
    }
    check(client_call(fd, HEIGHT), 200, HEIGHT_REPLY);
    close(fd);
}

static void test_pages(void **state) {
    uint16_t port = shr_server_port(*state);
    check_part(client_raw(port, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"), 200,
               "Indexed up to block 270");
    check(client_raw(port, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"), 200, "");
    check_part(client_raw(port, "GET /nosuch HTTP/1.1\r\nHost: x\r\n\r\n"), 404, "\"error\":");
    static const char health[] = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
    check(client_raw(port, health), 200,
          "{\"status\":\"ok\",\"tip\":270,\"node_tip\":280,\"behind\":10,"
          "\"node_silent_s\":7,\"running\":true,"
          "\"at_tip\":false,\"error\":null}\n");
    sync_now.running = false;
    check_part(client_raw(port, health), 503, "\"status\":\"failing\"");
    sync_now.running = true;
    snprintf(sync_now.error, sizeof sync_now.error, "disk \"full\"");
    check_part(client_raw(port, health), 503, "\"error\":\"disk \\\"full\\\"\"");
    sync_now.error[0] = 0;
    fake.empty = true;
    check_part(client_raw(port, health), 200, "\"tip\":null,");
    check_part(client_raw(port, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"), 200, "No block is indexed");
    fake.empty = false;
}

static void test_metrics(void **state) {
    uint16_t port = shr_server_port(*state);
    int fd = client_connect(port);
    struct reply reply = client_call(fd, HEIGHT);
    reply_free(&reply);
    reply = client_call(fd, "{\"id\":1,\"method\":\"metashrew_view\",\"params\":[\"trap\",\"\"]}");
    reply_free(&reply);
    close(fd);
    static const char *const parts[] = {
        "\nshrewd_tip_height 270\n",
        "\nshrewd_node_tip_height 280\n",
        "\nshrewd_node_silent_seconds 7\n",
        "\nshrewd_blocks_total 171\n",
        "\nshrewd_rpc_calls_total{method=\"metashrew_height\"} ",
        "\nshrewd_rpc_seconds_total{method=\"metashrew_view\"} ",
        "\nshrewd_view_answers_total{by=\"cache\"} 33\n",
        "\nshrewd_view_failures_total{why=\"timeout\"} 44\n",
        "\nshrewd_view_workers 2\n",
        "\nshrewd_view_queue 0\n",
        "\nprocess_resident_memory_bytes ",
        "\n# TYPE shrewd_reorgs_total counter\n",
    };
    reply = client_raw(port, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(reply.status, 200);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (strstr(shr_buf_cstr(&reply.body), parts[i]) == NULL) {
            fail_msg("no %s in %s", parts[i], shr_buf_cstr(&reply.body));
        }
    }
    const char *errors =
        strstr(shr_buf_cstr(&reply.body), "shrewd_rpc_errors_total{method=\"metashrew_view\"} ");
    assert_non_null(errors);
    assert_true(strtoul(strchr(errors, ' '), NULL, 10) >= 1);
    reply_free(&reply);
}

static void test_other_methods(void **state) {
    uint16_t port = shr_server_port(*state);
    static const char *const methods[] = {"PUT", "DELETE", "PATCH", "OPTIONS", "BREW"};
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        char text[100];
        snprintf(text, sizeof text, "%s / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
                 methods[i]);
        struct reply reply = client_raw(port, text);
        assert_non_null(reply_header(&reply, "\r\nAllow: GET, HEAD, POST\r\n"));
        check_part(reply, 405, "\"code\":-32600,");
    }
}

static void check_origin(uint16_t port, const char *method, const char *origin, int status,
                         const char *allowed) {
    char text[300];
    snprintf(text, sizeof text,
             "%s / HTTP/1.1\r\nHost: x\r\nOrigin: %s\r\nAccess-Control-Request-Method: POST\r\n"
             "Access-Control-Request-Headers: content-type, x-thing\r\nContent-Length: 0\r\n\r\n",
             method, origin);
    struct reply reply = client_raw(port, text);
    assert_int_equal(reply.status, status);
    const char *got = reply_header(&reply, "\r\nAccess-Control-Allow-Origin: ");
    if (allowed == NULL) {
        assert_null(got);
    } else {
        assert_non_null(got);
        assert_int_equal(strncmp(got, allowed, strlen(allowed)), 0);
        assert_int_equal(got[strlen(allowed)], '\r');
    }
    if (strcmp(method, "OPTIONS") == 0) {
        assert_non_null(
            reply_header(&reply, "\r\nAccess-Control-Allow-Methods: GET, POST, OPTIONS"));
        assert_non_null(
            reply_header(&reply, "\r\nAccess-Control-Allow-Headers: content-type, x-thing"));
    }
    reply_free(&reply);
}

static void test_cors(void **state) {
    struct shr_server *any = start(&(struct shr_server_options){.workers = 1, .cors = "*"});
    check_origin(shr_server_port(any), "OPTIONS", "https://a.example", 204, "*");
    check_origin(shr_server_port(any), "POST", "https://a.example", 200, "*");
    check_origin(shr_server_port(any), "PUT", "https://a.example", 405, "*");
    check_origin(shr_server_port(any), "GET", "https://a.example", 200, "*");
    assert_true(shr_server_stop(any, 1000));
    struct shr_server *some = start(
        &(struct shr_server_options){.workers = 1, .cors = "https://a.example, https://b.example"});
    check_origin(shr_server_port(some), "OPTIONS", "https://b.example", 204, "https://b.example");
    check_origin(shr_server_port(some), "POST", "https://a.example", 200, "https://a.example");
    check_origin(shr_server_port(some), "POST", "https://c.example", 200, NULL);
    check_origin(shr_server_port(some), "POST", "https://a.exampl", 200, NULL);
    assert_true(shr_server_stop(some, 1000));
}

static void check_refused(const struct shr_server_options *options, const char *part) {
    struct shr_rpc_source source = fake_source(&fake);
    struct shr_server *server = NULL;
    struct shrewd_error err = {0};
    assert_true(shr_server_start_on(&server, &source, options, &err) < 0);
    if (strstr(err.message, part) == NULL) {
        fail_msg("\"%s\" lacks \"%s\"", err.message, part);
    }
}

static void test_start_errors(void **state) {
    uint16_t port = shr_server_port(*state);
    char part[60];
    snprintf(part, sizeof part, "cannot listen on 127.0.0.1:%u: Address already in use", port);
    check_refused(&(struct shr_server_options){.port = port}, part);
    struct shrewd_error early = {0};
    assert_int_equal(shr_server_may_listen(NULL, port, &early), SHREWD_IO);
    assert_non_null(strstr(early.message, part));
    assert_int_equal(shr_server_may_listen("no.such.host.invalid", 1, &early), SHREWD_INVALID);
    assert_int_equal(shr_server_may_listen("127.0.0.1", 0, &early), 0);
    check_refused(&(struct shr_server_options){.host = "no.such.host.invalid", .port = 1},
                  "no.such.host.invalid:1");
    check_refused(&(struct shr_server_options){.host = "192.0.2.1"}, "192.0.2.1:0");
    check_refused(&(struct shr_server_options){.cors = "a\r\nb"}, "CORS");
    check_refused(&(struct shr_server_options){.cors = ""}, "CORS");
    check_refused(&(struct shr_server_options){.body_max = (size_t)4 << 30}, "body limit");
}

static void test_hosts(void **state) {
    static const char *const hosts[] = {"localhost", "0.0.0.0", "127.0.0.1"};
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        struct shr_server *server =
            start(&(struct shr_server_options){.host = hosts[i], .workers = 1});
        assert_true(shr_server_port(server) > 0);
        assert_true(shr_server_stop(server, 1000));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keep_alive), cmocka_unit_test(test_headers),
        cmocka_unit_test(test_pipelined),  cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_large),      cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_malformed),  cmocka_unit_test(test_pages),
        cmocka_unit_test(test_metrics),    cmocka_unit_test(test_other_methods),
        cmocka_unit_test(test_cors),       cmocka_unit_test(test_start_errors),
        cmocka_unit_test(test_hosts),
    };
    return cmocka_run_group_tests_name("server", tests, setup, teardown);
}
