/* rpc_client.h: a small HTTP client over plain sockets, for tests of the server. Every call that
 * fails ends the test. */
#ifndef TEST_RPC_CLIENT_H
#define TEST_RPC_CLIENT_H

#include "base/buf.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

struct reply {
    int status;
    struct shr_buf head; /* NUL-terminated */
    struct shr_buf body; /* NUL-terminated */
};

_Noreturn static inline void client_die(const char *what) {
    fprintf(stderr, "rpc_client: %s: %s\n", what, strerror(errno));
    abort();
}

static inline int client_connect(uint16_t port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = 60};
    int on = 1;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
        connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        client_die("connect");
    }
    return fd;
}

/* False when the server hung up. */
static inline bool client_send(int fd, const void *data, size_t len) {
    const char *at = data;
    while (len > 0) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        if (n <= 0) {
            return false;
        }
        at += n;
        len -= (size_t)n;
    }
    return true;
}

static inline void client_post(int fd, struct shr_bytes body) {
    char head[200];
    int n = snprintf(head, sizeof head,
                     "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                     "Content-Length: %zu\r\n\r\n",
                     body.len);
    if (!client_send(fd, head, (size_t)n) || !client_send(fd, body.data, body.len)) {
        client_die("send");
    }
}

static inline void reply_free(struct reply *reply) {
    shr_buf_free(&reply->head);
    shr_buf_free(&reply->body);
}

static inline const char *reply_header(struct reply *reply, const char *name) {
    const char *at = strcasestr(shr_buf_cstr(&reply->head), name);
    return at == NULL ? NULL : at + strlen(name);
}

/* Reads one reply; false when the connection ended before any byte of it. */
static inline bool client_read(int fd, struct reply *reply, bool head_only) {
    *reply = (struct reply){0};
    char *end = NULL;
    while (end == NULL) { /* byte by byte: nothing of a next reply is taken */
        char byte;
        ssize_t n = recv(fd, &byte, 1, 0);
        if (n <= 0) {
            reply_free(reply);
            return false;
        }
        shr_buf_append(&reply->head, &byte, 1);
        end = byte == '\n' ? strstr(shr_buf_cstr(&reply->head), "\r\n\r\n") : NULL;
    }
    if (sscanf(shr_buf_cstr(&reply->head), "HTTP/1.%*d %d", &reply->status) != 1) {
        client_die("status line");
    }
    const char *length = reply_header(reply, "\r\nContent-Length:");
    size_t left = length == NULL || head_only ? 0 : strtoul(length, NULL, 10);
    if (reply->status == 100) {
        reply_free(reply);
        return client_read(fd, reply, head_only);
    }
    shr_buf_reserve(&reply->body, left + 1);
    while (left > 0) {
        ssize_t n = recv(fd, reply->body.data + reply->body.len, left, 0);
        if (n <= 0) {
            client_die("body");
        }
        reply->body.len += (size_t)n;
        left -= (size_t)n;
    }
    shr_buf_cstr(&reply->body);
    return true;
}

/* A request on an open connection, and its reply. */
static inline struct reply client_call_bytes(int fd, struct shr_bytes body) {
    struct reply reply;
    client_post(fd, body);
    if (!client_read(fd, &reply, false)) {
        client_die("no reply");
    }
    return reply;
}

static inline struct reply client_call(int fd, const char *body) {
    return client_call_bytes(fd, shr_bytes_str(body));
}

/* Raw text on a connection of its own. */
static inline struct reply client_raw(uint16_t port, const char *text) {
    int fd = client_connect(port);
    struct reply reply;
    if (!client_send(fd, text, strlen(text)) ||
        !client_read(fd, &reply, strncmp(text, "HEAD", 4) == 0)) {
        client_die(text);
    }
    close(fd);
    return reply;
}

#endif
