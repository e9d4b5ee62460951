/* error.h: filling a struct shrewd_error. Any thread may call; `err` may be NULL everywhere. */
#ifndef SHR_BASE_ERROR_H
#define SHR_BASE_ERROR_H

#include "shrewd/error.h"

/* Writes code and message; returns `code`, so that `return shr_fail(err, ...)` reads well. */
int shr_fail(struct shrewd_error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "context: " before the message of an error already filled; returns its code.
 * For adding what the caller knows (a file, a height) to what the callee said. */
int shr_fail_in(struct shrewd_error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same as shr_fail with errno's text appended: "message: No space left on device". */
int shr_fail_errno(struct shrewd_error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
