/* halt.h: the two reasons to break off: the process's stop, and a source's own halt
 * (source.h), which can be taken back. Any thread may call. */
#ifndef SHR_NODE_HALT_H
#define SHR_NODE_HALT_H

#include "base/stop.h"

struct shr_halt {
    struct shr_stop *stop; /* borrowed */
    _Atomic bool on;
    int fd; /* an eventfd, readable while on */
};

int shr_halt_init(struct shr_halt *halt, struct shr_stop *stop); /* 0, or -1 with errno */
void shr_halt_deinit(struct shr_halt *halt);
void shr_halt_set(struct shr_halt *halt, bool on);
static inline bool shr_halted(struct shr_halt *halt) {
    return shr_stopped(halt->stop) || atomic_load_explicit(&halt->on, memory_order_acquire);
}
/* Sleeps up to `ms`; true when halted before or during it. */
bool shr_halt_sleep(struct shr_halt *halt, uint32_t ms);

/* A bell: an eventfd that one thread rings and another waits for, together with a halt. */
int shr_bell_open(void); /* the descriptor, or -1 with errno; close() */
void shr_bell_ring(int bell);
void shr_bell_hush(int bell); /* takes back any ringing so far */

#endif
