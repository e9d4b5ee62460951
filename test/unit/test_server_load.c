/* The HTTP server under load and at its end: many clients, a full queue, clients that leave,
 * stopping while calls run. */
#include "rpc/start.h"

#include "base/clock.h"
#include "fake_source.h"
#include "rpc_client.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define PARALLEL 500
#define PATIENCE_MS 60000
#define HEIGHT "{\"id\":1,\"method\":\"metashrew_height\"}"
#define HEIGHT_REPLY "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"270\"}"
#define VIEW(name) "{\"id\":2,\"method\":\"metashrew_view\",\"params\":[\"" name "\",\"\"]}"
#define EMPTY_REPLY "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":\"0x\"}"

static struct fake fake;

static struct shr_server *start(uint32_t workers, uint32_t queue_max) {
    atomic_store(&fake.gate, false);
    atomic_store(&fake.runs, 0);
    atomic_store(&fake.cancelled, 0);
    struct shr_rpc_source source = fake_source(&fake);
    struct shr_server *server = NULL;
    struct shrewd_error err = {0};
    struct shr_server_options options = {.workers = workers, .queue_max = queue_max};
    if (shr_server_start_on(&server, &source, &options, &err) != 0) {
        fail_msg("%s", err.message);
    }
    return server;
}

static void expect(int fd, const char *body) {
    struct reply reply;
    if (!client_read(fd, &reply, false)) {
        fail_msg("hung up, instead of %s", body);
    }
    if (reply.status != 200 || strcmp(shr_buf_cstr(&reply.body), body) != 0) {
        fail_msg("%d %s, not %s", reply.status, shr_buf_cstr(&reply.body), body);
    }
    reply_free(&reply);
}

static void expect_part(int fd, const char *part) {
    struct reply reply;
    assert_true(client_read(fd, &reply, false));
    assert_int_equal(reply.status, 200);
    assert_non_null(strstr(shr_buf_cstr(&reply.body), part));
    reply_free(&reply);
}

static void wait_running(int n) {
    for (uint64_t from = shr_now_ms(); atomic_load(&fake.running) != n; usleep(1000)) {
        assert_true(shr_now_ms() - from < PATIENCE_MS);
    }
}

/* There is nothing to wait for: to wait in vain takes six tenths of the time allowed. */
static void stop_at_once(struct shr_server *server) {
    uint64_t from = shr_now_ms();
    assert_true(shr_server_stop(server, PATIENCE_MS));
    assert_in_range(shr_now_ms() - from, 0, PATIENCE_MS / 2);
}

/* Hangs up, and the server's end of the connection knows it. */
static void hang_up(int fd) {
    struct tcp_info info = {.tcpi_state = TCP_ESTABLISHED};
    socklen_t len = sizeof info;
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    while (info.tcpi_state == TCP_ESTABLISHED || info.tcpi_state == TCP_FIN_WAIT1) {
        assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
    }
    close(fd);
}

static uint64_t metric(uint16_t port, const char *name) {
    struct reply reply = client_raw(port, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    const char *at = strstr(shr_buf_cstr(&reply.body), name);
    assert_non_null(at);
    uint64_t value = strtoull(at + strlen(name), NULL, 10);
    reply_free(&reply);
    return value;
}

static void wait_metric(uint16_t port, const char *name, uint64_t value) {
    for (uint64_t from = shr_now_ms(); metric(port, name) != value; usleep(1000)) {
        assert_true(shr_now_ms() - from < PATIENCE_MS);
    }
}

/* All connections are open at once and every one has calls outstanding. */
static void test_parallel(void **state) {
    struct shr_server *server = start(4, 2 * PARALLEL); /* views not yet known get a part of it */
    static int fds[PARALLEL];
    for (int i = 0; i < PARALLEL; i++) {
        fds[i] = client_connect(shr_server_port(server));
    }
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < PARALLEL; i++) {
            char body[200];
            snprintf(body, sizeof body,
                     "{\"id\":%d,\"method\":\"metashrew_view\",\"params\":[\"echo\",\"%08x\"]}", i,
                     (unsigned)(i * 7 + round));
            client_post(fds[i], shr_bytes_str(body));
        }
        for (int i = 0; i < PARALLEL; i++) {
            char reply[200];
            snprintf(reply, sizeof reply, "{\"jsonrpc\":\"2.0\",\"id\":%d,\"result\":\"0x%08x\"}",
                     i, (unsigned)(i * 7 + round));
            expect(fds[i], reply);
        }
    }
    for (int i = 0; i < PARALLEL; i++) {
        close(fds[i]);
    }
    assert_int_equal(atomic_load(&fake.runs), 4 * PARALLEL);
    assert_int_equal(metric(shr_server_port(server), "\nshrewd_http_body_bytes "), 0);
    stop_at_once(server);
}

struct client {
    uint16_t port;
    int calls;
};

static void *client_main(void *ctx) {
    const struct client *client = ctx;
    int fd = client_connect(client->port);
    for (int i = 0; i < client->calls; i++) {
        struct reply reply = client_call(fd, i % 2 == 0 ? HEIGHT : VIEW("empty"));
        if (strcmp(shr_buf_cstr(&reply.body), i % 2 == 0 ? HEIGHT_REPLY : EMPTY_REPLY) != 0) {
            client_die(shr_buf_cstr(&reply.body));
        }
        reply_free(&reply);
    }
    close(fd);
    return NULL;
}

static void test_threads(void **state) {
    struct shr_server *server = start(4, 100);
    struct client client = {.port = shr_server_port(server), .calls = 300};
    pthread_t threads[16];
    for (int i = 0; i < 16; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, client_main, &client), 0);
    }
    for (int i = 0; i < 16; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(atomic_load(&fake.runs), 16 * 150);
    stop_at_once(server);
}

/* Two run (the third thread is kept for quick calls), three wait, the sixth is refused at once;
 * what runs no guest is answered meanwhile. */
static void test_queue_full(void **state) {
    struct shr_server *server = start(3, 3);
    uint16_t port = shr_server_port(server);
    int fds[6];
    for (int i = 0; i < 6; i++) {
        fds[i] = client_connect(port);
        if (i < 5) {
            client_post(fds[i], shr_bytes_str(VIEW("wait")));
            wait_running(i < 2 ? i + 1 : 2);
        }
    }
    wait_metric(port, "\nshrewd_view_queue ", 3);
    client_post(fds[5], shr_bytes_str("[" VIEW("wait") "," HEIGHT "]"));
    expect_part(fds[5],
                "[{\"jsonrpc\":\"2.0\",\"id\":2,\"error\":{\"code\":-32001,\"message\":\"3 ");
    client_post(fds[5], shr_bytes_str(HEIGHT));
    expect(fds[5], HEIGHT_REPLY);
    assert_int_equal(metric(port, "\nshrewd_rpc_refused_total "), 1);
    assert_int_equal(metric(port, "\nshrewd_view_workers_busy "), 2);
    atomic_store(&fake.gate, true);
    for (int i = 0; i < 5; i++) {
        expect(fds[i], EMPTY_REPLY);
    }
    client_post(fds[5], shr_bytes_str(VIEW("wait")));
    expect(fds[5], EMPTY_REPLY);
    for (int i = 0; i < 6; i++) {
        close(fds[i]);
    }
    assert_int_equal(atomic_load(&fake.runs), 6);
    stop_at_once(server);
}

/* A client that hangs up while its call waits costs no guest run. */
static void test_client_leaves(void **state) {
    struct shr_server *server = start(1, 100);
    uint16_t port = shr_server_port(server);
    int first = client_connect(port);
    client_post(first, shr_bytes_str(VIEW("wait")));
    wait_running(1);
    int fds[20];
    for (int i = 0; i < 20; i++) {
        fds[i] = client_connect(port);
        client_post(fds[i], shr_bytes_str(VIEW("wait")));
    }
    int stays = client_connect(port);
    client_post(stays, shr_bytes_str(VIEW("wait")));
    wait_metric(port, "\nshrewd_view_queue ", 21);
    for (int i = 0; i < 20; i++) {
        hang_up(fds[i]);
    }
    atomic_store(&fake.gate, true);
    expect(first, EMPTY_REPLY);
    expect(stays, EMPTY_REPLY);
    /* They are counted after they have left the queue, by whoever saw it first. */
    wait_metric(port, "\nshrewd_rpc_abandoned_total ", 20);
    assert_int_equal(atomic_load(&fake.runs), 2);
    close(first);
    close(stays);
    stop_at_once(server);
}

/* A client that hangs up ends its call, though it runs, and leaves the queue, though nobody works
 * on it. */
static void test_leaving_cancels(void **state) {
    struct shr_server *server = start(1, 2);
    uint16_t port = shr_server_port(server);
    int runs = client_connect(port);
    client_post(runs, shr_bytes_str(VIEW("spin")));
    wait_running(1);
    int waits[2] = {client_connect(port), client_connect(port)};
    client_post(waits[0], shr_bytes_str(VIEW("spin")));
    client_post(waits[1], shr_bytes_str("[" VIEW("spin") "," VIEW("spin") "]"));
    wait_metric(port, "\nshrewd_view_queue ", 2);
    close(waits[0]);
    close(waits[1]);
    wait_metric(port, "\nshrewd_rpc_abandoned_total ", 2);
    assert_int_equal(metric(port, "\nshrewd_view_queue "), 0);
    assert_int_equal(atomic_load(&fake.running), 1);
    close(runs);
    wait_running(0);
    assert_int_equal(atomic_load(&fake.runs), 1);
    assert_int_equal(atomic_load(&fake.cancelled), 1);
    /* The same while the thread that watches has been idle for long. */
    usleep(2500000);
    runs = client_connect(port);
    client_post(runs, shr_bytes_str(VIEW("spin")));
    wait_running(1);
    close(runs);
    wait_running(0);
    stop_at_once(server);
}

/* Stopping ends a call that would run on, with an answer. */
static void test_stop_ends(void **state) {
    struct shr_server *server = start(1, 2);
    int fd = client_connect(shr_server_port(server));
    client_post(fd, shr_bytes_str(VIEW("spin")));
    wait_running(1);
    assert_true(shr_server_stop(server, 5000)); /* which has two for the answer */
    expect_part(fd, "\"code\":-32001,");
    close(fd);
}

/* A client that hangs up in the middle of its body, or of its reply. */
static void test_broken_off(void **state) {
    struct shr_server *server = start(2, 100);
    uint16_t port = shr_server_port(server);
    for (int i = 0; i < 50; i++) {
        int fd = client_connect(port);
        static const char part[] =
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"id\"";
        assert_true(client_send(fd, part, sizeof part - 1));
        close(fd);
        fd = client_connect(port);
        client_post(fd, shr_bytes_str("{\"id\":2,\"method\":\"metashrew_view\",\"params\":[\"big\","
                                      "\"00100000\"]}"));
        char byte;
        assert_int_equal(recv(fd, &byte, 1, 0), 1);
        close(fd);
    }
    int fd = client_connect(port);
    client_post(fd, shr_bytes_str(HEIGHT));
    expect(fd, HEIGHT_REPLY);
    close(fd);
    stop_at_once(server);
}

/* Slow calls, however many, leave a thread, and room in the queue, for the others. */
static void test_slow_stand_aside(void **state) {
    struct shr_server *server = start(4, 8);
    uint16_t port = shr_server_port(server);
    int fds[12], other = client_connect(port);
    for (int i = 0; i < 100; i++) { /* "echo" is known to be quick then, busy as the machine is */
        client_post(other, shr_bytes_str(VIEW("echo")));
        expect(other, EMPTY_REPLY);
    }
    for (int i = 0; i < 12; i++) {
        fds[i] = client_connect(port);
        client_post(fds[i], shr_bytes_str(VIEW("wait")));
        wait_running(i < 3 ? i + 1 : 3);
        /* Each in its turn: the server's threads take up connections in any order. */
        if (i >= 3 && i < 9) {
            wait_metric(port, "\nshrewd_view_queue ", (uint64_t)i - 2);
        }
    }
    for (int i = 9; i < 12; i++) { /* three run, six wait: three quarters of the queue */
        expect_part(fds[i], "\"code\":-32001,");
    }
    for (int i = 0; i < 50; i++) {
        client_post(other, shr_bytes_str(VIEW("echo")));
        expect(other, EMPTY_REPLY);
    }
    assert_int_equal(metric(port, "\nshrewd_view_queue "), 6);
    assert_int_equal(atomic_load(&fake.running), 3);
    atomic_store(&fake.gate, true);
    for (int i = 0; i < 9; i++) {
        expect(fds[i], EMPTY_REPLY);
    }
    for (int i = 0; i < 12; i++) {
        close(fds[i]);
    }
    close(other);
    stop_at_once(server);
}

/* One thread alone serves both lanes in turn. */
static void test_one_thread(void **state) {
    struct shr_server *server = start(1, 100);
    uint16_t port = shr_server_port(server);
    int fds[20];
    atomic_store(&fake.gate, true);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 20; i++) {
            fds[i] = client_connect(port);
            client_post(fds[i], shr_bytes_str(i % 2 == 0 ? VIEW("echo")
                                              : i == 1   ? VIEW("sleep")
                                                         : VIEW("wait")));
        }
        for (int i = 0; i < 20; i++) {
            expect(fds[i], EMPTY_REPLY);
            close(fds[i]);
        }
    }
    stop_at_once(server);
}

static void *open_gate(void *ctx) {
    usleep(200000);
    atomic_store(&fake.gate, true);
    return NULL;
}

/* Stopping waits for what runs and what waits, and every client has its answer. */
static void test_stop_answers(void **state) {
    struct shr_server *server = start(3, 100);
    uint16_t port = shr_server_port(server);
    int fds[10];
    for (int i = 0; i < 10; i++) {
        fds[i] = client_connect(port);
        client_post(fds[i], shr_bytes_str(VIEW("wait")));
    }
    wait_metric(port, "\nshrewd_view_queue ", 8);
    int idle = client_connect(port);
    pthread_t gate;
    assert_int_equal(pthread_create(&gate, NULL, open_gate, NULL), 0);
    assert_true(shr_server_stop(server, PATIENCE_MS));
    pthread_join(gate, NULL);
    for (int i = 0; i < 10; i++) {
        expect(fds[i], EMPTY_REPLY);
        close(fds[i]);
    }
    char byte;
    assert_true(recv(idle, &byte, 1, 0) <= 0); /* closed, or reset when not accepted yet */
    close(idle);
}

/* A call that does not end: those that wait are answered, and the caller is told. */
static void test_stop_stuck(void **state) {
    struct shr_server *server = start(1, 100);
    uint16_t port = shr_server_port(server);
    int stuck = client_connect(port), waits = client_connect(port);
    client_post(stuck, shr_bytes_str(VIEW("wait")));
    wait_running(1);
    client_post(waits, shr_bytes_str(VIEW("wait")));
    wait_metric(port, "\nshrewd_view_queue ", 1);
    uint64_t from = shr_now_ms();
    assert_false(shr_server_stop(server, 500));
    uint64_t took = shr_now_ms() - from;
    assert_in_range(took, 400, PATIENCE_MS);
    expect_part(waits, "\"code\":-32001,\"message\":\"the server is stopping\"");
    assert_int_equal(atomic_load(&fake.runs), 1);
    /* The daemon would exit now; here the call ends after all. */
    atomic_store(&fake.gate, true);
    assert_true(shr_server_stop(server, PATIENCE_MS));
    expect(stuck, EMPTY_REPLY);
    close(stuck);
    close(waits);
}

static void test_stop_idle(void **state) {
    for (int i = 0; i < 5; i++) {
        struct shr_server *server = start(3, 1);
        int fd = client_connect(shr_server_port(server));
        stop_at_once(server); /* though the client stays */
        close(fd);
    }
    assert_true(shr_server_stop(NULL, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parallel),         cmocka_unit_test(test_threads),
        cmocka_unit_test(test_queue_full),       cmocka_unit_test(test_client_leaves),
        cmocka_unit_test(test_broken_off),       cmocka_unit_test(test_stop_answers),
        cmocka_unit_test(test_stop_stuck),       cmocka_unit_test(test_stop_idle),
        cmocka_unit_test(test_stop_ends),        cmocka_unit_test(test_leaving_cancels),
        cmocka_unit_test(test_slow_stand_aside), cmocka_unit_test(test_one_thread),
    };
    return cmocka_run_group_tests_name("server under load", tests, NULL, NULL);
}
