/* buf.h: byte views and growing buffers.
 *
 * `struct shr_bytes` is borrowed: whoever made it says how long it lives. `struct shr_buf` owns
 * its memory; zero-initialise it ({0}), free it with shr_buf_free. Running out of memory here
 * ends the process with a message (a block in hand is dropped whole; see base/alloc.h).
 * No function here is thread-safe on one object; different objects are independent.
 */
#ifndef SHR_BASE_BUF_H
#define SHR_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct shr_bytes {
    const uint8_t *data; /* may be NULL when len is 0 */
    size_t len;
};

struct shr_buf {
    uint8_t *data;
    size_t len;
    size_t cap;
};

static inline struct shr_bytes shr_bytes(const void *data, size_t len) {
    return (struct shr_bytes){(const uint8_t *)data, len};
}
static inline struct shr_bytes shr_buf_bytes(const struct shr_buf *buf) {
    return (struct shr_bytes){buf->data, buf->len};
}

/* The bytes of a C string, without its terminator. */
struct shr_bytes shr_bytes_str(const char *text);

/* <0, 0, >0 in unsigned byte order, a prefix before its extensions. */
int shr_bytes_cmp(struct shr_bytes a, struct shr_bytes b);
bool shr_bytes_eq(struct shr_bytes a, struct shr_bytes b);
bool shr_bytes_starts(struct shr_bytes bytes, struct shr_bytes prefix);

void shr_buf_free(struct shr_buf *buf);  /* leaves {0}; fine on {0} */
void shr_buf_clear(struct shr_buf *buf); /* len = 0, memory kept */
void shr_buf_reserve(struct shr_buf *buf, size_t extra);
/* Grows len by `extra` and returns where the new, unset bytes start. */
uint8_t *shr_buf_grow(struct shr_buf *buf, size_t extra);
void shr_buf_append(struct shr_buf *buf, const void *data, size_t len);
void shr_buf_add(struct shr_buf *buf, struct shr_bytes bytes);
void shr_buf_add_str(struct shr_buf *buf, const char *text);
void shr_buf_add_u8(struct shr_buf *buf, uint8_t value);
void shr_buf_add_le32(struct shr_buf *buf, uint32_t value);
void shr_buf_add_le64(struct shr_buf *buf, uint64_t value);
void shr_buf_add_be32(struct shr_buf *buf, uint32_t value);
void shr_buf_add_be64(struct shr_buf *buf, uint64_t value);
void shr_buf_printf(struct shr_buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Clears, then appends. */
void shr_buf_set(struct shr_buf *buf, struct shr_bytes bytes);
/* NUL-terminates (the NUL is not counted in len) and returns data as text. */
char *shr_buf_cstr(struct shr_buf *buf);

#endif
