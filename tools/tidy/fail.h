/* What clang-tidy cannot know of functions it does not see into: the three that report an error
 * return the code they are given, and a trap that was made is not NULL, so neither caller goes on
 * as after success. tools/check-tidy puts this before every file but the one that defines them. */
#ifndef SHR_TIDY_FAIL_H
#define SHR_TIDY_FAIL_H

#include "base/error.h"

#include <wasmtime.h>

#define shr_fail(err, code, ...) ((void)(shr_fail)(err, code, __VA_ARGS__), (code))
#define shr_fail_in(err, code, ...) ((void)(shr_fail_in)(err, code, __VA_ARGS__), (code))
#define shr_fail_errno(err, code, ...) ((void)(shr_fail_errno)(err, code, __VA_ARGS__), (code))

static inline wasm_trap_t *tidy_not_null(wasm_trap_t *trap) {
    if (trap == NULL) {
        __builtin_unreachable();
    }
    return trap;
}
#define wasmtime_trap_new(message, len) tidy_not_null((wasmtime_trap_new)(message, len))

#endif
