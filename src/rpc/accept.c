#include "rpc/accept.h"

#include "base/alloc.h"
#include "base/log.h"
#include "base/prompt.h"
#include "base/stop.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define FULL_MS 5     /* how soon it is noticed that a connection was closed */
#define FAILED_MS 100 /* no file or memory left for a connection */

struct shr_acceptor {
    struct shr_http_thread *threads;
    unsigned n_threads;
    int fd;
    uint32_t open_max;
    struct shr_stop stop;
    pthread_t thread;
};

void shr_acceptor_notice(void *cls, struct MHD_Connection *connection, void **socket_ctx,
                         enum MHD_ConnectionNotificationCode what) {
    if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
        atomic_fetch_sub(&((struct shr_http_thread *)cls)->open, 1);
    }
}

/* The one with the fewest connections; NULL: there may be no more. */
static struct shr_http_thread *choose(struct shr_acceptor *acceptor) {
    struct shr_http_thread *best = NULL;
    uint32_t fewest = UINT32_MAX;
    uint64_t all = 0;
    for (unsigned i = 0; i < acceptor->n_threads; i++) {
        uint32_t open = atomic_load(&acceptor->threads[i].open);
        all += open;
        if (open < fewest) {
            fewest = open;
            best = &acceptor->threads[i];
        }
    }
    return all < acceptor->open_max ? best : NULL;
}

/* What it is given the daemon closes, also when it fails. */
static void take(struct shr_acceptor *acceptor, struct shr_http_thread *thread) {
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    int fd = accept4(acceptor->fd, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            shr_debug("rpc", "cannot accept a connection: %s", strerror(errno));
            shr_stop_sleep(&acceptor->stop, FAILED_MS);
        }
        return; /* else that client has left, or another process took it */
    }
    atomic_fetch_add(&thread->open, 1);
    if (MHD_add_connection(thread->daemon, fd, (struct sockaddr *)&address, len) != MHD_YES) {
        atomic_fetch_sub(&thread->open, 1);
    }
}

static void *accept_main(void *ctx) {
    struct shr_acceptor *acceptor = ctx;
    shr_name_thread("accept");
    while (!shr_stopped(&acceptor->stop)) {
        struct shr_http_thread *thread = choose(acceptor);
        if (thread == NULL) {
            shr_stop_sleep(&acceptor->stop, FULL_MS);
            continue;
        }
        struct pollfd fds[] = {{.fd = acceptor->fd, .events = POLLIN},
                               {.fd = acceptor->stop.fd, .events = POLLIN}};
        if (poll(fds, 2, -1) > 0 && fds[0].revents != 0) {
            take(acceptor, thread);
        }
    }
    return NULL;
}

int shr_acceptor_start(struct shr_acceptor **out, struct shr_http_thread *threads, unsigned n,
                       int fd, uint32_t open_max, struct shrewd_error *err) {
    struct shr_acceptor *acceptor = shr_alloc(sizeof *acceptor);
    acceptor->threads = threads;
    acceptor->n_threads = n;
    acceptor->fd = fd;
    acceptor->open_max = open_max;
    int failed = shr_stop_init(&acceptor->stop) == 0 ? 0 : errno;
    if (failed == 0) {
        failed = pthread_create(&acceptor->thread, NULL, accept_main, acceptor);
        if (failed != 0) {
            shr_stop_deinit(&acceptor->stop);
        }
    }
    if (failed != 0) {
        free(acceptor);
        return shr_fail(err, SHREWD_IO, "cannot start the thread that takes connections: %s",
                        strerror(failed));
    }
    *out = acceptor;
    return 0;
}

void shr_acceptor_stop(struct shr_acceptor *acceptor) {
    if (acceptor != NULL) {
        shr_stop_request(&acceptor->stop);
        pthread_join(acceptor->thread, NULL);
        shr_stop_deinit(&acceptor->stop);
        free(acceptor);
    }
}
