/* alloc.h: allocation that does not fail. When memory runs out the process prints what it
 * asked for and aborts: a block is one atomic write, so nothing stored is lost or half-done. */
#ifndef SHR_BASE_ALLOC_H
#define SHR_BASE_ALLOC_H

#include <stddef.h>

_Noreturn void shr_out_of_memory(size_t wanted);
void *shr_alloc(size_t size);                 /* zeroed; free with free() */
void *shr_alloc_array(size_t n, size_t size); /* zeroed, overflow checked */
void *shr_realloc(void *old, size_t size);
void *shr_realloc_array(void *old, size_t n, size_t size);
char *shr_strdup(const char *text); /* NULL in, NULL out */
char *shr_strndup(const char *text, size_t len);
char *shr_asprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
