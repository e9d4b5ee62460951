#include "node/zmq.h"

#include "base/alloc.h"

#include <assert.h>
#include <stdlib.h>
#include <zmq.h>

#define FDS_MAX 4
#define MESSAGE_SIZE_MAX 4096

struct shr_zmq {
    void *context;
    void *socket;
};

static void set_option(void *socket, int option, int value) {
    int result = zmq_setsockopt(socket, option, &value, sizeof value);
    assert(result == 0);
    (void)result;
}

int shr_zmq_open(struct shr_zmq **out, const char *endpoint, struct shrewd_error *err) {
    struct shr_zmq *zmq = shr_alloc(sizeof *zmq);
    int64_t size_max = MESSAGE_SIZE_MAX;
    zmq->context = zmq_ctx_new();
    zmq->socket = zmq->context == NULL ? NULL : zmq_socket(zmq->context, ZMQ_SUB);
    if (zmq->socket == NULL) {
        shr_fail(err, SHREWD_IO, "ZMQ cannot be set up: %s", zmq_strerror(zmq_errno()));
        shr_zmq_close(zmq);
        return SHREWD_IO;
    }
    set_option(zmq->socket, ZMQ_LINGER, 0);
    set_option(zmq->socket, ZMQ_RCVHWM, 64);
    set_option(zmq->socket, ZMQ_RECONNECT_IVL, 250);
    set_option(zmq->socket, ZMQ_RECONNECT_IVL_MAX, 10000);
    set_option(zmq->socket, ZMQ_TCP_KEEPALIVE, 1);
    set_option(zmq->socket, ZMQ_TCP_KEEPALIVE_IDLE, 60);
    zmq_setsockopt(zmq->socket, ZMQ_MAXMSGSIZE, &size_max, sizeof size_max);
    zmq_setsockopt(zmq->socket, ZMQ_SUBSCRIBE, "hashblock", 9);
    if (zmq_connect(zmq->socket, endpoint) != 0) {
        shr_fail(err, SHREWD_INVALID,
                 "ZMQ endpoint '%.200s': %s; expected e.g. tcp://127.0.0.1:28332", endpoint,
                 zmq_strerror(zmq_errno()));
        shr_zmq_close(zmq);
        return SHREWD_INVALID;
    }
    *out = zmq;
    return 0;
}

void shr_zmq_close(struct shr_zmq *zmq) {
    if (zmq != NULL) {
        if (zmq->socket != NULL) {
            zmq_close(zmq->socket);
        }
        if (zmq->context != NULL) {
            zmq_ctx_term(zmq->context);
        }
        free(zmq);
    }
}

/* Takes every message there is; true when there was one. */
static bool drain(struct shr_zmq *zmq) {
    char part[MESSAGE_SIZE_MAX];
    bool any = false;
    while (zmq_recv(zmq->socket, part, sizeof part, ZMQ_DONTWAIT) >= 0) {
        any = true;
    }
    return any;
}

bool shr_zmq_wait(struct shr_zmq *zmq, const int *fds, int n_fds, uint32_t ms) {
    zmq_pollitem_t items[1 + FDS_MAX] = {{.socket = zmq->socket, .events = ZMQ_POLLIN}};
    assert(n_fds <= FDS_MAX);
    for (int i = 0; i < n_fds; i++) {
        items[1 + i] = (zmq_pollitem_t){.fd = fds[i], .events = ZMQ_POLLIN};
    }
    zmq_poll(items, 1 + n_fds, (long)ms);
    return drain(zmq);
}
