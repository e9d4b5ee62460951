/* bench_floor BYTES WORK_NS: an HTTP server that does nothing: whatever is sent on a connection at
 * once is one request, and its answer is BYTES zeros, after as many turns of a loop as take WORK_NS
 * when nothing disturbs them. One thread; prints its port. What a load generator says of it is what
 * the generator, the sockets and the machine cost at that rate. */
#include "base/clock.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST_MAX 65536
#define ANSWER_MAX 65536

static int listen_anywhere(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) != 0 || listen(fd, 64) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) != 0) {
        perror("bench: cannot listen");
        exit(1);
    }
    printf("%u\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static void watch(int epoll, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (fd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        perror("bench: cannot watch a connection");
        exit(1);
    }
}

static void work(uint64_t turns) {
    static volatile uint64_t turn;
    for (turn = 0; turn < turns; turn++) {
    }
}

/* The fastest of many tries counts. */
static uint64_t turns_in(uint64_t ns) {
    const uint64_t turns = 10000;
    uint64_t best_ns = UINT64_MAX;
    for (int i = 0; i < 1000; i++) {
        uint64_t start = shr_now_ns();
        work(turns);
        uint64_t took = shr_now_ns() - start;
        best_ns = took < best_ns ? took : best_ns;
    }
    return ns * turns / best_ns;
}

static void serve(int fd, const char *answer, size_t len, uint64_t turns) {
    static char request[REQUEST_MAX];
    if (read(fd, request, sizeof request) <= 0) {
        close(fd);
        return;
    }
    work(turns);
    if (write(fd, answer, len) != (ssize_t)len) {
        close(fd);
    }
}

int main(int argc, char **argv) {
    static char answer[ANSWER_MAX + 100];
    size_t bytes = argc == 3 ? strtoul(argv[1], NULL, 10) : 0;
    if (bytes == 0 || bytes > ANSWER_MAX) {
        fprintf(stderr, "usage: %s BYTES WORK_NS (at most %d bytes)\n", argv[0], ANSWER_MAX);
        return 2;
    }
    int head = snprintf(answer, 100, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", bytes);
    memset(answer + head, '0', bytes);
    uint64_t turns = turns_in(strtoull(argv[2], NULL, 10));
    int listener = listen_anywhere(), epoll = epoll_create1(EPOLL_CLOEXEC), one = 1;
    watch(epoll, listener);
    for (;;) {
        struct epoll_event events[64];
        int n = epoll_wait(epoll, events, 64, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd != listener) {
                serve(events[i].data.fd, answer, (size_t)head + bytes, turns);
                continue;
            }
            int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
            watch(epoll, fd);
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        }
    }
}
