/* stop.h: a request to stop that every waiting thread notices at once.
 *
 * Everything that waits (a retry, a poll, a queue) waits on a stop as well. All functions are
 * thread-safe; shr_stop_request is also async-signal-safe. Lives as long as its users.
 */
#ifndef SHR_BASE_STOP_H
#define SHR_BASE_STOP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct shr_stop {
    _Atomic bool requested;
    int fd; /* an eventfd, readable once stop was requested; for poll() and libraries */
};

int shr_stop_init(struct shr_stop *stop); /* 0, or -1 with errno */
void shr_stop_deinit(struct shr_stop *stop);
void shr_stop_request(struct shr_stop *stop);
static inline bool shr_stopped(struct shr_stop *stop) {
    return atomic_load_explicit(&stop->requested, memory_order_acquire);
}
/* Sleeps up to `ms`; true when stop was requested before or during it. */
bool shr_stop_sleep(struct shr_stop *stop, uint32_t ms);

#endif
