#include "node/halt.h"

#include "base/clock.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

int shr_bell_open(void) {
    return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

void shr_bell_ring(int bell) {
    uint64_t one = 1;
    ssize_t written = write(bell, &one, sizeof one);
    (void)written; /* a full counter is readable as well */
}

void shr_bell_hush(int bell) {
    uint64_t count;
    ssize_t got = read(bell, &count, sizeof count);
    (void)got; /* nothing to read: it was not ringing */
}

int shr_halt_init(struct shr_halt *halt, struct shr_stop *stop) {
    halt->stop = stop;
    atomic_init(&halt->on, false);
    halt->fd = shr_bell_open();
    return halt->fd < 0 ? -1 : 0;
}

void shr_halt_deinit(struct shr_halt *halt) {
    if (halt->fd >= 0) {
        close(halt->fd);
        halt->fd = -1;
    }
}

void shr_halt_set(struct shr_halt *halt, bool on) {
    atomic_store_explicit(&halt->on, on, memory_order_release);
    if (on) {
        shr_bell_ring(halt->fd);
    } else {
        shr_bell_hush(halt->fd);
    }
}

bool shr_halt_sleep(struct shr_halt *halt, uint32_t ms) {
    uint64_t end = shr_now_ms() + ms;
    while (!shr_halted(halt)) {
        uint64_t now = shr_now_ms();
        if (now >= end) {
            return false;
        }
        struct pollfd wait[2] = {{.fd = halt->stop->fd, .events = POLLIN},
                                 {.fd = halt->fd, .events = POLLIN}};
        poll(wait, 2, (int)(end - now));
    }
    return true;
}
