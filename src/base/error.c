#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *shrewd_strerror(int code) {
    switch (code) {
#define SHREWD_X(name, number, text)                                                               \
    case number:                                                                                   \
        return text;
        SHREWD_ERROR_MAP(SHREWD_X)
#undef SHREWD_X
    case 0:
        return "success";
    default:
        return "unknown error";
    }
}

const char *shrewd_error_name(int code) {
    switch (code) {
#define SHREWD_X(name, number, text)                                                               \
    case number:                                                                                   \
        return #name;
        SHREWD_ERROR_MAP(SHREWD_X)
#undef SHREWD_X
    case 0:
        return "OK";
    default:
        return "UNKNOWN";
    }
}

int shr_fail(struct shrewd_error *err, int code, const char *format, ...) {
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        err->code = code;
        vsnprintf(err->message, sizeof err->message, format, args);
        va_end(args);
    }
    return code;
}

int shr_fail_in(struct shrewd_error *err, int code, const char *format, ...) {
    if (err != NULL) {
        char context[sizeof err->message];
        char inner[sizeof err->message];
        va_list args;
        va_start(args, format);
        vsnprintf(context, sizeof context, format, args);
        va_end(args);
        memcpy(inner, err->message, sizeof inner);
        err->code = code;
        int used = snprintf(err->message, sizeof err->message, "%.400s: ", context);
        snprintf(err->message + used, sizeof err->message - (size_t)used, "%.590s", inner);
    }
    return code;
}

int shr_fail_errno(struct shrewd_error *err, int code, const char *format, ...) {
    int saved = errno;
    if (err != NULL) {
        char text[128];
        va_list args;
        va_start(args, format);
        err->code = code;
        int used = vsnprintf(err->message, sizeof err->message - sizeof text - 3, format, args);
        va_end(args);
        size_t at = strnlen(err->message, sizeof err->message - sizeof text - 3);
        if (used < 0) {
            at = 0;
        }
        snprintf(err->message + at, sizeof err->message - at, ": %s",
                 strerror_r(saved, text, sizeof text));
    }
    return code;
}
