#include "base/alloc.h"
#include "rpc/http.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 4096

static int try_address(const struct addrinfo *address, bool listens) {
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, address->ai_addr, address->ai_addrlen) != 0 ||
        (listens && listen(fd, BACKLOG) != 0)) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

static uint16_t port_of(int fd) {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address = {.v6 = {0}};
    socklen_t len = sizeof address;
    getsockname(fd, &address.any, &len);
    return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
}

static const char *advice(int error) {
    switch (error) {
    case EADDRINUSE:
        return "another process has this port; stop it or choose another port (0 picks one)";
    case EADDRNOTAVAIL:
        return "this machine has no such address; 127.0.0.1 or 0.0.0.0 always work";
    case EACCES:
        return "ports below 1024 need privileges; choose a higher one";
    default:
        return "choose another host or port";
    }
}

/* A socket that has the address, and listens, or has not been told to yet. */
static int take_address(int *fd, uint16_t *port, const char *host, bool listens,
                        struct shrewd_error *err) {
    size_t len = strlen(host);
    bool brackets = len > 2 && host[0] == '[' && host[len - 1] == ']';
    char *name = brackets ? shr_strndup(host + 1, len - 2) : shr_strdup(host);
    char service[8];
    snprintf(service, sizeof service, "%u", *port);
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int rc = getaddrinfo(name, service, &hints, &found);
    free(name);
    if (rc != 0) {
        return shr_fail(err, SHREWD_INVALID,
                        "cannot listen on %s:%u: %s: expected an address of this machine, such as "
                        "127.0.0.1 or 0.0.0.0",
                        host, *port, gai_strerror(rc));
    }
    *fd = -1;
    errno = 0;
    for (const struct addrinfo *at = found; *fd < 0 && at != NULL; at = at->ai_next) {
        *fd = try_address(at, listens);
    }
    int saved = errno;
    freeaddrinfo(found);
    if (*fd < 0) {
        return shr_fail(err, SHREWD_IO, "cannot listen on %s:%u: %s: %s", host, *port,
                        strerror(saved), advice(saved));
    }
    *port = port_of(*fd);
    return 0;
}

int shr_http_listen(int *fd, uint16_t *port, const char *host, struct shrewd_error *err) {
    return take_address(fd, port, host, true, err);
}

int shr_server_may_listen(const char *host, uint16_t port, struct shrewd_error *err) {
    int fd = -1;
    int code = take_address(&fd, &port, host == NULL ? "127.0.0.1" : host, false, err);
    if (code == 0) {
        close(fd);
    }
    return code;
}
