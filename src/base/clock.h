/* clock.h: monotonic time. */
#ifndef SHR_BASE_CLOCK_H
#define SHR_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t shr_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
static inline uint64_t shr_now_ms(void) {
    return shr_now_ns() / 1000000u;
}

#endif
