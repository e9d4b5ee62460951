#include "base/stop.h"

#include "base/clock.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

int shr_stop_init(struct shr_stop *stop) {
    atomic_init(&stop->requested, false);
    stop->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return stop->fd < 0 ? -1 : 0;
}

void shr_stop_deinit(struct shr_stop *stop) {
    if (stop->fd >= 0) {
        close(stop->fd);
        stop->fd = -1;
    }
}

void shr_stop_request(struct shr_stop *stop) {
    atomic_store_explicit(&stop->requested, true, memory_order_release);
    uint64_t one = 1;
    ssize_t written = write(stop->fd, &one, sizeof one);
    (void)written; /* a full counter is readable as well */
}

bool shr_stop_sleep(struct shr_stop *stop, uint32_t ms) {
    uint64_t end = shr_now_ms() + ms;
    while (!shr_stopped(stop)) {
        uint64_t now = shr_now_ms();
        if (now >= end) {
            return false;
        }
        struct pollfd wait = {.fd = stop->fd, .events = POLLIN};
        poll(&wait, 1, (int)(end - now));
    }
    return true;
}
