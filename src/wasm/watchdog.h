/* watchdog.h: ending calls that run too long, at next to no cost for those that don't.
 *
 * One thread of an engine looks every few milliseconds at the calls that have a deadline. It ends
 * one by withdrawing access to the memory that the marks in the guest's code load from
 * (wasm/loops.h): the guest's next mark traps. Nothing else uses that memory, so no host function
 * and no instruction of the guest is disturbed. Code that is not marked checks epochs, which go on
 * with each tick of the watchdog, and looks for the end then.
 *
 * States of a watch: idle, armed (a call runs), busy (a thread looks at it or changes it; never for
 * longer than one system call), ended. Idle to armed and to idle again is the call's doing, to
 * ended the watchdog's; who changes it, or reads more than the state, makes it busy first, so that
 * the watchdog never looks at a call that is over.
 */
#ifndef SHR_WASM_WATCHDOG_H
#define SHR_WASM_WATCHDOG_H

#include "base/error.h"
#include "wasm/instance.h"

#include <stdatomic.h>
#include <stdint.h>

struct shr_watchdog;

enum shr_watch_state { SHR_WATCH_IDLE, SHR_WATCH_ARMED, SHR_WATCH_BUSY, SHR_WATCH_ENDED };
enum shr_watch_end { SHR_WATCH_RUNS, SHR_WATCH_LATE, SHR_WATCH_CANCELLED };

/* What the watchdog knows of an instance; zeroed at first. */
struct shr_watch {
    _Atomic unsigned state;
    _Atomic uint64_t at_ns;
    _Atomic(const _Atomic bool *) cancel;
    _Atomic(uint8_t *) marks; /* what is withdrawn; NULL: there is no such thing (yet) */
    enum shr_watch_end end;   /* of the call that runs, or of the last one */
    uint32_t allowed_ms;      /* of that call, for the message */
    struct shr_watchdog *dog;
    struct shr_watch *next; /* in the watchdog's list, with its lock */
    struct shr_watch **self;
};

struct shr_watchdog *shr_watchdog_new(void);
void shr_watchdog_free(struct shr_watchdog *dog); /* no watch may be left; NULL is fine */
/* On each of its ticks the watchdog calls `tick`; one caller only. */
void shr_watchdog_on_tick(struct shr_watchdog *dog, void (*tick)(void *ctx), void *ctx);

/* A call begins on this thread. Without a deadline nothing is done, and nothing can end it. */
int shr_watch_begin(struct shr_watch *watch, struct shr_watchdog *dog,
                    const struct shr_deadline *deadline, struct shrewd_error *err);
/* It is over: the marks are accessible again, and nobody looks at the watch any more. Fine to call
 * again, and without a beginning. */
enum shr_watch_end shr_watch_finish(struct shr_watch *watch);
/* The SHR_MARKS_SIZE bytes to withdraw; NULL: none any more, and those before are accessible. */
void shr_watch_marks(struct shr_watch *watch, uint8_t *marks);
/* The instance goes. */
void shr_watch_remove(struct shr_watch *watch);

static inline bool shr_watch_ended(const struct shr_watch *watch) {
    return atomic_load_explicit(&watch->state, memory_order_relaxed) == SHR_WATCH_ENDED;
}

#endif
