#include "view/breakers.h"

#include "shrewd/error.h"

#include <stdatomic.h>

#define CALLS 4u /* that end well in a row */

static uint32_t slot_of(const char *view) {
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (; *view != '\0'; view++) {
        hash = (hash ^ (unsigned char)*view) * 16777619u;
    }
    return (hash ^ hash >> 16) % SHR_BREAKERS;
}

bool shr_breakers_has(const struct shr_breakers *breakers, const char *view) {
    return atomic_load_explicit(&breakers->left[slot_of(view)], memory_order_relaxed) > 0;
}

void shr_breakers_ended(struct shr_breakers *breakers, const char *view, int code) {
    _Atomic uint32_t *left = &breakers->left[slot_of(view)];
    if (code == SHREWD_TRAP || code == SHREWD_GUEST || code == SHREWD_TIMEOUT ||
        code == SHREWD_LIMIT) {
        atomic_store_explicit(left, CALLS, memory_order_relaxed);
        return;
    }
    uint32_t now = atomic_load_explicit(left, memory_order_relaxed);
    if (code == 0 && now > 0) { /* two at once may count as one */
        atomic_store_explicit(left, now - 1, memory_order_relaxed);
    }
}
