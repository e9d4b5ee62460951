#include "rpc/server.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "rpc/http.h"
#include "rpc/start.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define HTTP_THREADS_MIN 2u /* one for each processor, within these bounds */
#define CONNECTIONS_MAX 4096u
#define SPARE_FILES 1024u /* for the database and the node */
#define IDLE_SECONDS 120u
#define BODY_MAX_DEFAULT (32u << 20)
#define WORKERS_DEFAULT 16u
#define QUEUE_DEFAULT 4096u

/* Each connection is a file; the usual soft limit of 1024 is for programs that use select(). */
static void raise_file_limit(void) {
    struct rlimit limit;
    rlim_t want = CONNECTIONS_MAX + SPARE_FILES;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < want) {
        limit.rlim_cur = limit.rlim_max < want ? limit.rlim_max : want;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static unsigned connections_max(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= CONNECTIONS_MAX + SPARE_FILES) {
        return CONNECTIONS_MAX;
    }
    return limit.rlim_cur > 256 ? (unsigned)limit.rlim_cur / 2 : 128;
}

static void log_http(void *ctx, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
static void log_http(void *ctx, const char *format, va_list args) {
    char text[512];
    vsnprintf(text, sizeof text, format, args);
    text[strcspn(text, "\n")] = 0;
    shr_debug("rpc", "%s", text);
}

static int check_options(const struct shr_server_options *options, struct shrewd_error *err) {
    if (options->body_max > SHR_JSON_TEXT_MAX) {
        return shr_fail(err, SHREWD_INVALID, "a body limit of %zu bytes: at most %u can be read",
                        options->body_max, SHR_JSON_TEXT_MAX);
    }
    if (options->cors != NULL &&
        (options->cors[0] == 0 || strpbrk(options->cors, "\r\n") != NULL)) {
        return shr_fail(err, SHREWD_INVALID,
                        "the CORS origin is empty or has a line break: expected * or origins such "
                        "as https://example.org, commas between");
    }
    return 0;
}

static struct shr_server *new_server(const struct shr_rpc_source *source,
                                     const struct shr_server_options *options) {
    struct shr_server *server = shr_alloc(sizeof *server);
    server->env.source = *source;
    server->env.sync = options->sync;
    server->env.sync_ctx = options->sync_ctx;
    server->cors = shr_strdup(options->cors);
    server->body_max = options->body_max == 0 ? BODY_MAX_DEFAULT : options->body_max;
    server->n_workers = options->workers == 0 ? WORKERS_DEFAULT : options->workers;
    server->queue_max = options->queue_max == 0 ? QUEUE_DEFAULT : options->queue_max;
    server->port = options->port;
    server->listens = -1;
    server->start_ns = shr_now_ns();
    pthread_mutex_init(&server->mutex, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&server->answered, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return server;
}

/* With no thread of its own left. */
static void free_server(struct shr_server *server) {
    shr_hangups_free(server->hangups);
    shr_workers_free(server->workers);
    pthread_cond_destroy(&server->answered);
    pthread_mutex_destroy(&server->mutex);
    if (server->listens >= 0) {
        close(server->listens);
    }
    free(server->cors);
    free(server);
}

static unsigned http_threads(void) {
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    if (processors <= (long)HTTP_THREADS_MIN) {
        return HTTP_THREADS_MIN;
    }
    return processors < (long)SHR_HTTP_THREADS_MAX ? (unsigned)processors : SHR_HTTP_THREADS_MAX;
}

static int start_http_thread(struct shr_server *server, struct shrewd_error *err) {
    struct shr_http_thread *thread = &server->http[server->n_http];
    thread->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME |
            MHD_USE_ERROR_LOG,
        0, NULL, NULL, shr_http_request, server, MHD_OPTION_EXTERNAL_LOGGER, log_http, NULL,
        MHD_OPTION_THREAD_STACK_SIZE, (size_t)SHR_GUEST_THREAD_STACK, MHD_OPTION_CONNECTION_LIMIT,
        CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECONDS, MHD_OPTION_NOTIFY_COMPLETED,
        shr_http_completed, server, MHD_OPTION_NOTIFY_CONNECTION, shr_acceptor_notice, thread,
        MHD_OPTION_END);
    if (thread->daemon == NULL) {
        return shr_fail(err, SHREWD_IO, "cannot start HTTP thread %u of %u", server->n_http + 1,
                        http_threads());
    }
    server->n_http++;
    return 0;
}

static void stop_http(struct shr_server *server) {
    shr_acceptor_stop(server->acceptor);
    for (unsigned i = 0; i < server->n_http; i++) {
        MHD_stop_daemon(server->http[i].daemon);
    }
}

static int start_http(struct shr_server *server, struct shrewd_error *err) {
    int code = 0;
    for (unsigned n = http_threads(); code == 0 && server->n_http < n;) {
        code = start_http_thread(server, err);
    }
    if (code == 0) {
        code = shr_acceptor_start(&server->acceptor, server->http, server->n_http, server->listens,
                                  connections_max(), err);
    }
    if (code != 0) {
        stop_http(server);
    }
    return code;
}

int shr_server_start_on(struct shr_server **out, const struct shr_rpc_source *source,
                        const struct shr_server_options *options, struct shrewd_error *err) {
    int rc = check_options(options, err);
    if (rc != 0) {
        return rc;
    }
    const char *host = options->host == NULL ? "127.0.0.1" : options->host;
    struct shr_server *server = new_server(source, options);
    raise_file_limit();
    rc = shr_http_listen(&server->listens, &server->port, host, err);
    if (rc == 0) {
        rc = shr_workers_start(&server->workers, server->n_workers, server->queue_max, err);
    }
    if (rc == 0) {
        rc = shr_http_hangups_start(server, err);
    }
    if (rc == 0) {
        rc = start_http(server, err);
    }
    if (rc != 0) {
        free_server(server);
        return rc;
    }
    *out = server;
    return 0;
}

uint16_t shr_server_port(const struct shr_server *server) {
    return server->port;
}

/* Waits until every answer is sent, or the time is up. */
static void wait_answered(struct shr_server *server, uint64_t until_ms) {
    struct timespec until = {.tv_sec = (time_t)(until_ms / 1000),
                             .tv_nsec = (long)(until_ms % 1000) * 1000000};
    pthread_mutex_lock(&server->mutex);
    int rc = 0;
    while (rc == 0 && server->in_hand > 0) {
        rc = pthread_cond_timedwait(&server->answered, &server->mutex, &until);
    }
    pthread_mutex_unlock(&server->mutex);
}

bool shr_server_stop(struct shr_server *server, uint32_t ms) {
    if (server == NULL) {
        return true;
    }
    uint64_t until_ms = shr_now_ms() + ms;
    atomic_store(&server->stopping, true);
    shr_acceptor_stop(server->acceptor);
    server->acceptor = NULL;
    /* What still runs after most of the time is ended; a tenth is kept for sending answers. */
    bool drained = shr_workers_drain(server->workers, ms / 10 * 6);
    if (!drained) {
        shr_hangups_end_all(server->hangups);
        drained = shr_workers_drain(server->workers, ms / 10 * 3);
    }
    if (!drained) {
        wait_answered(server, until_ms);
        return false;
    }
    shr_hangups_stop(server->hangups);
    wait_answered(server, until_ms);
    stop_http(server);
    free_server(server);
    return true;
}
