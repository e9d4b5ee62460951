/* instance.h: instances that live for more than one call, and calls that can be ended.
 *
 * A warm instance keeps the guest's memory between calls, so that a guest's own caches survive.
 * It knows nothing of versions: whoever keeps it binds it to one (view/pool.h).
 *
 * How a call is ended. No code in the guest counts anything. A watchdog thread of the engine looks
 * every few milliseconds for calls past their deadline or cancelled, and withdraws access to a
 * memory from which views and previews load a byte in each round of each loop (wasm/watchdog.h,
 * wasm/loops.h): the next such load traps. doc/limits.md says what that costs, measured.
 */
#ifndef SHR_WASM_INSTANCE_H
#define SHR_WASM_INSTANCE_H

#include "wasm/guest.h"

#include <stdatomic.h>

struct shr_instance;

struct shr_instance_limits {
    uint64_t memory_max;    /* bytes it may grow to, a page at least; 0: SHR_GUEST_MEMORY_MAX */
    size_t result_max;      /* bytes of one answer; 0: 256 MiB */
    uint32_t log_lines_max; /* of one call; more are counted, not handed on; 0: no limit */
};

/* What ends a call early. Both may be unset. */
struct shr_deadline {
    uint64_t at_ns;             /* shr_now_ns() time; 0: none */
    uint32_t allowed_ms;        /* for the message; 0: what is left when the call begins */
    const _Atomic bool *cancel; /* becomes true when nobody wants the answer; NULL: never */
};

/* A fresh instance, not yet instantiated guest code run: start section and constructors run in the
 * first call, under its deadline and host. Module and limits stay as given. */
int shr_instance_new(struct shr_instance **out, struct shr_module *module,
                     const struct shr_instance_limits *limits, struct shrewd_error *err);
void shr_instance_free(struct shr_instance *instance); /* NULL is fine */

/* Runs a view in it: as shr_guest_view, without a new instance. SHREWD_LIMIT when the deadline
 * passed (message: the limit in ms), SHREWD_STOPPED when cancelled. After any failure, and after
 * SHREWD_NO_VIEW, ask shr_instance_usable before the next call. One thread at a time. */
int shr_instance_view(struct shr_instance *instance, struct shr_buf *out,
                      const struct shr_guest_call *call, const struct shr_deadline *deadline,
                      struct shrewd_error *err);
/* `_start` in it, for a preview: as shr_guest_index, with a deadline. */
int shr_instance_index(struct shr_instance *instance, const struct shr_guest_call *call,
                       const struct shr_deadline *deadline, struct shrewd_error *err);

/* False once a call in it trapped, was ended, or failed inside the guest: its memory may be in any
 * state and must not answer again. */
bool shr_instance_usable(const struct shr_instance *instance);
/* Bytes it holds now: linear memory, and what it has read, remembered. */
uint64_t shr_instance_memory(const struct shr_instance *instance);
/* Host calls the last call made, and the time it spent in them (0 unless measuring is on): for
 * `shrewd bench`. */
struct shr_instance_cost {
    uint64_t host_calls;
    uint64_t host_ns;
    uint64_t log_lines; /* those beyond the limit as well */
};
void shr_instance_measure(struct shr_instance *instance, bool on);
struct shr_instance_cost shr_instance_cost(const struct shr_instance *instance);

#endif
