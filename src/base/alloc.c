#include "base/alloc.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void shr_out_of_memory(size_t wanted) {
    fprintf(stderr, "shrewd: out of memory (asked for %zu bytes)\n", wanted);
    abort();
}

void *shr_alloc(size_t size) {
    void *memory = calloc(1, size == 0 ? 1 : size);
    if (memory == NULL) {
        shr_out_of_memory(size);
    }
    return memory;
}

void *shr_alloc_array(size_t n, size_t size) {
    if (size != 0 && n > SIZE_MAX / size) {
        shr_out_of_memory(SIZE_MAX);
    }
    return shr_alloc(n * size);
}

void *shr_realloc(void *old, size_t size) {
    void *memory = realloc(old, size == 0 ? 1 : size);
    if (memory == NULL) {
        shr_out_of_memory(size);
    }
    return memory;
}

void *shr_realloc_array(void *old, size_t n, size_t size) {
    if (size != 0 && n > SIZE_MAX / size) {
        shr_out_of_memory(SIZE_MAX);
    }
    return shr_realloc(old, n * size);
}

char *shr_strdup(const char *text) {
    return text == NULL ? NULL : shr_strndup(text, strlen(text));
}

char *shr_strndup(const char *text, size_t len) {
    char *copy = shr_alloc(len + 1);
    memcpy(copy, text, len);
    return copy;
}

char *shr_asprintf(const char *format, ...) {
    va_list args;
    char *text = NULL;
    va_start(args, format);
    int len = vasprintf(&text, format, args);
    va_end(args);
    if (len < 0) {
        shr_out_of_memory(0);
    }
    return text;
}
