/* Who gets a connection, and how many there may be. */
#include "rpc/accept.h"

#include "fake_source.h"
#include "rpc/http.h"
#include "rpc/start.h"
#include "rpc_client.h"

#include <dirent.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define CLIENTS 24
#define HEIGHT "{\"id\":1,\"method\":\"metashrew_height\"}"

/* Threads of this process that have answered a request, by their name. */
static unsigned http_threads(void) {
    unsigned n = 0;
    DIR *dir = opendir("/proc/self/task");
    assert_non_null(dir);
    for (struct dirent *item; (item = readdir(dir)) != NULL;) {
        char path[300], name[20] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", item->d_name);
        FILE *file = fopen(path, "r");
        if (file != NULL) {
            n += fgets(name, sizeof name, file) != NULL && strcmp(name, "http\n") == 0;
            fclose(file);
        }
    }
    closedir(dir);
    return n;
}

/* Connections that are made one after the other are not left to the thread that woke first. */
static void connections_are_dealt_out(void **state) {
    struct fake fake = {0};
    struct shr_rpc_source source = fake_source(&fake);
    struct shr_server_options options = {.workers = 1};
    struct shr_server *server = NULL;
    struct shrewd_error err = {0};
    assert_int_equal(shr_server_start_on(&server, &source, &options, &err), 0);
    int fds[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = client_connect(shr_server_port(server));
        struct reply reply = client_call(fds[i], HEIGHT);
        assert_int_equal(reply.status, 200);
        reply_free(&reply);
    }
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    assert_int_equal(http_threads(), processors < 2 ? 2 : processors > 16 ? 16 : processors);
    for (int i = 0; i < CLIENTS; i++) {
        close(fds[i]);
    }
    assert_true(shr_server_stop(server, 60000));
}

static enum MHD_Result answer(void *cls, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *len, void **con_cls) {
    if (*con_cls == NULL) { /* an answer before the whole request is there ends the connection */
        *con_cls = cls;
        return MHD_YES;
    }
    struct MHD_Response *response =
        MHD_create_response_from_buffer(2, (void *)(uintptr_t) "ok", MHD_RESPMEM_PERSISTENT);
    enum MHD_Result result = MHD_queue_response(connection, MHD_HTTP_OK, response);
    MHD_destroy_response(response);
    return result;
}

static int ask(uint16_t port) {
    static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    int fd = client_connect(port);
    assert_int_equal(write(fd, request, sizeof request - 1), sizeof request - 1);
    return fd;
}

static bool answers(int fd, int ms) {
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    char text[2000];
    return poll(&readable, 1, ms) == 1 && read(fd, text, sizeof text) > 12 &&
           memcmp(text, "HTTP/1.1 200", 12) == 0;
}

/* The rest wait until one of those who came before leaves; none is refused. */
static void so_many_at_once_and_no_more(void **state) {
    struct shr_http_thread threads[2] = {0};
    uint16_t port = 0;
    int listens = -1, fds[6];
    struct shr_acceptor *acceptor = NULL;
    struct shrewd_error err = {0};
    assert_int_equal(shr_http_listen(&listens, &port, "127.0.0.1", &err), 0);
    for (int i = 0; i < 2; i++) {
        threads[i].daemon =
            MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC,
                             0, NULL, NULL, answer, threads, MHD_OPTION_NOTIFY_CONNECTION,
                             shr_acceptor_notice, &threads[i], MHD_OPTION_END);
        assert_non_null(threads[i].daemon);
    }
    assert_int_equal(shr_acceptor_start(&acceptor, threads, 2, listens, 3, &err), 0);
    for (int i = 0; i < 6; i++) {
        fds[i] = ask(port);
    }
    for (int i = 0; i < 3; i++) {
        assert_true(answers(fds[i], 60000));
    }
    for (int i = 3; i < 6; i++) {
        assert_false(answers(fds[i], 50));
        close(fds[i - 3]);
        assert_true(answers(fds[i], 60000));
        assert_in_range(threads[0].open, 1, 2);
        assert_int_equal(threads[0].open + threads[1].open, 3);
    }
    shr_acceptor_stop(acceptor);
    int late = ask(port); /* the kernel takes it, nobody else does */
    assert_false(answers(late, 50));
    close(late);
    MHD_stop_daemon(threads[0].daemon);
    MHD_stop_daemon(threads[1].daemon);
    for (int i = 3; i < 6; i++) {
        close(fds[i]);
    }
    close(listens);
    shr_acceptor_stop(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_are_dealt_out),
        cmocka_unit_test(so_many_at_once_and_no_more),
    };
    return cmocka_run_group_tests_name("accept", tests, NULL, NULL);
}
