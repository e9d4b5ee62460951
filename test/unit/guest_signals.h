/* guest_signals.h: cmocka replaces the signal handlers by which Wasmtime turns faults into traps
 * before every test; this puts them back. In main, before the tests run: guest_signals_keep().
 * First thing in each test whose guest may trap: guest_signals_restore(). */
#ifndef SHR_TEST_GUEST_SIGNALS_H
#define SHR_TEST_GUEST_SIGNALS_H

#include "wasm/guest.h"

#include <signal.h>

/* Wasmtime is not built with the thread sanitizer, which so does not see how its threads wait for
 * each other. Reports whose innermost frame is Rust's are dropped; those of our code stay. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SHR_TEST_TSAN
#endif
#endif
#if defined(SHR_TEST_TSAN) || defined(__SANITIZE_THREAD__)
const char *__tsan_default_options(void);
const char *__tsan_default_options(void) {
    return "report_signal_unsafe=0"; /* Wasmtime leaves its handler on a path of its own */
}
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void) {
    return "race:wasmtime\nrace:cranelift\nrace:regalloc2\nrace:rayon\nrace:crossbeam\n"
           "race:allocator_api2\nrace:bumpalo\nrace:alloc::\nrace:core::\nrace:std::\nrace:"
           "hashbrown\nrace:wasmparser\n";
}
#endif

static const int guest_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
static struct sigaction guest_actions[4];

/* Makes an engine, so that Wasmtime installs its handlers, and remembers them. */
static inline void guest_signals_keep(void) {
    struct shr_engine *engine = NULL;
    if (shr_engine_new(&engine, NULL) == 0) {
        shr_engine_free(engine);
    }
    for (int i = 0; i < 4; i++) {
        sigaction(guest_signals[i], NULL, &guest_actions[i]);
    }
}

static inline void guest_signals_restore(void) {
    for (int i = 0; i < 4; i++) {
        sigaction(guest_signals[i], &guest_actions[i], NULL);
    }
}

#endif
