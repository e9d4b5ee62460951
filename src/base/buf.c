#include "base/buf.h"

#include "base/alloc.h"
#include "base/endian.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct shr_bytes shr_bytes_str(const char *text) {
    return shr_bytes(text, strlen(text));
}

int shr_bytes_cmp(struct shr_bytes a, struct shr_bytes b) {
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
    if (order != 0) {
        return order;
    }
    return a.len < b.len ? -1 : a.len > b.len;
}

bool shr_bytes_eq(struct shr_bytes a, struct shr_bytes b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

bool shr_bytes_starts(struct shr_bytes bytes, struct shr_bytes prefix) {
    return bytes.len >= prefix.len &&
           (prefix.len == 0 || memcmp(bytes.data, prefix.data, prefix.len) == 0);
}

void shr_buf_free(struct shr_buf *buf) {
    free(buf->data);
    *buf = (struct shr_buf){0};
}

void shr_buf_clear(struct shr_buf *buf) {
    buf->len = 0;
}

void shr_buf_reserve(struct shr_buf *buf, size_t extra) {
    if (extra <= buf->cap - buf->len) {
        return;
    }
    size_t need = buf->len + extra;
    if (need < extra) {
        shr_out_of_memory(extra);
    }
    size_t cap = buf->cap < 64 ? 64 : buf->cap;
    while (cap < need) {
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    }
    buf->data = shr_realloc(buf->data, cap);
    buf->cap = cap;
}

uint8_t *shr_buf_grow(struct shr_buf *buf, size_t extra) {
    shr_buf_reserve(buf, extra == 0 ? 1 : extra);
    uint8_t *at = buf->data + buf->len;
    buf->len += extra;
    return at;
}

void shr_buf_append(struct shr_buf *buf, const void *data, size_t len) {
    if (len > 0) {
        memcpy(shr_buf_grow(buf, len), data, len);
    }
}

void shr_buf_add(struct shr_buf *buf, struct shr_bytes bytes) {
    shr_buf_append(buf, bytes.data, bytes.len);
}

void shr_buf_add_str(struct shr_buf *buf, const char *text) {
    shr_buf_append(buf, text, strlen(text));
}

void shr_buf_add_u8(struct shr_buf *buf, uint8_t value) {
    *shr_buf_grow(buf, 1) = value;
}

void shr_buf_add_le32(struct shr_buf *buf, uint32_t value) {
    shr_put_le32(shr_buf_grow(buf, 4), value);
}

void shr_buf_add_le64(struct shr_buf *buf, uint64_t value) {
    shr_put_le64(shr_buf_grow(buf, 8), value);
}

void shr_buf_add_be32(struct shr_buf *buf, uint32_t value) {
    shr_put_be32(shr_buf_grow(buf, 4), value);
}

void shr_buf_add_be64(struct shr_buf *buf, uint64_t value) {
    shr_put_be64(shr_buf_grow(buf, sizeof value), value);
}

void shr_buf_printf(struct shr_buf *buf, const char *format, ...) {
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len > 0) {
        shr_buf_reserve(buf, (size_t)len + 1);
        vsnprintf((char *)buf->data + buf->len, (size_t)len + 1, format, again);
        buf->len += (size_t)len;
    }
    va_end(again);
}

void shr_buf_set(struct shr_buf *buf, struct shr_bytes bytes) {
    shr_buf_clear(buf);
    shr_buf_add(buf, bytes);
}

char *shr_buf_cstr(struct shr_buf *buf) {
    shr_buf_reserve(buf, 1);
    buf->data[buf->len] = 0;
    return (char *)buf->data;
}
