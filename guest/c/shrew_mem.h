/* shrew_mem.h: the ground under shrew.h: memory, byte order, byte strings, growing buffers.
 *
 * Freestanding: no libc, nothing but clang's builtins. Compile with
 *     clang --target=wasm32 -std=c17 -O3 -ffreestanding -nostdlib -mbulk-memory
 * All numbers in memory are little endian, as wasm is.
 *
 * Memory comes from an arena: shrew_alloc() only ever moves forward, and everything is given back
 * when the call into the module ends. There is no free(). When the host has no more memory the
 * module traps, so that no result ever depends on how much memory there was.
 */
#ifndef SHREW_MEM_H
#define SHREW_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef __wasm_bulk_memory__
#error "compile with -mbulk-memory: memcpy and memset become single instructions"
#endif

#define SHREW_API static inline __attribute__((unused))
/* The same, kept out of the way of the code that is hot. */
#define SHREW_COLD static __attribute__((unused, noinline))
/* Shared by all files of a module, however many include the SDK. */
#define SHREW_SHARED __attribute__((weak, visibility("hidden")))

/* Bytes that belong to someone else. */
struct shrew_bytes {
    const uint8_t *ptr;
    uint32_t len;
};

SHREW_API struct shrew_bytes shrew_bytes(const void *ptr, uint32_t len) {
    return (struct shrew_bytes){(const uint8_t *)ptr, len};
}

/* The bytes of a string literal, without the NUL. */
#define SHREW_STR(literal) shrew_bytes("" literal, sizeof(literal) - 1)

/* What clang may call by itself. memory.copy and memory.fill do the work. */
void *memcpy(void *restrict to, const void *restrict from, size_t len);
void *memmove(void *to, const void *from, size_t len);
void *memset(void *to, int byte, size_t len);
int memcmp(const void *left, const void *right, size_t len);

SHREW_SHARED void *memcpy(void *restrict to, const void *restrict from, size_t len) {
    return __builtin_memcpy(to, from, len);
}

SHREW_SHARED void *memmove(void *to, const void *from, size_t len) {
    return __builtin_memmove(to, from, len);
}

SHREW_SHARED void *memset(void *to, int byte, size_t len) {
    return __builtin_memset(to, byte, len);
}

/* Unaligned loads and stores, little endian. */
SHREW_API uint32_t shrew_load_u16(const void *from) {
    uint16_t value;
    __builtin_memcpy(&value, from, sizeof(value));
    return value;
}

SHREW_API uint32_t shrew_load_u32(const void *from) {
    uint32_t value;
    __builtin_memcpy(&value, from, sizeof(value));
    return value;
}

SHREW_API uint64_t shrew_load_u64(const void *from) {
    uint64_t value;
    __builtin_memcpy(&value, from, sizeof(value));
    return value;
}

SHREW_API void shrew_store_u32(void *to, uint32_t value) {
    __builtin_memcpy(to, &value, sizeof(value));
}

SHREW_API void shrew_store_u64(void *to, uint64_t value) {
    __builtin_memcpy(to, &value, sizeof(value));
}

/* Copies bytes that do not overlap. Short ones, which are nearly all, cost less this way than a
 * memory.copy, which leaves the compiled code for the engine. */
SHREW_API __attribute__((no_builtin("memcpy"))) void shrew_copy(void *to, const void *from,
                                                                uint32_t len) {
    uint8_t *out = (uint8_t *)to;
    const uint8_t *in = (const uint8_t *)from;
    if (len > 128) {
        __builtin_memcpy(out, in, len);
    } else if (len >= 8) {
        for (uint32_t at = 0; at + 8 < len; at += 8) {
            shrew_store_u64(out + at, shrew_load_u64(in + at));
        }
        shrew_store_u64(out + len - 8, shrew_load_u64(in + len - 8));
    } else {
        for (uint32_t at = 0; at < len; at++) {
            out[at] = in[at];
        }
    }
}

SHREW_API bool shrew_equal(const void *left, const void *right, uint32_t len) {
    const uint8_t *a = (const uint8_t *)left;
    const uint8_t *b = (const uint8_t *)right;
    if (len >= 8) {
        for (uint32_t at = 0; at + 8 < len; at += 8) {
            if (shrew_load_u64(a + at) != shrew_load_u64(b + at)) {
                return false;
            }
        }
        return shrew_load_u64(a + len - 8) == shrew_load_u64(b + len - 8);
    }
    for (uint32_t at = 0; at < len; at++) {
        if (a[at] != b[at]) {
            return false;
        }
    }
    return true;
}

SHREW_SHARED int memcmp(const void *left, const void *right, size_t len) {
    const uint8_t *a = (const uint8_t *)left;
    const uint8_t *b = (const uint8_t *)right;
    for (size_t at = 0; at < len; at++) {
        if (a[at] != b[at]) {
            return a[at] < b[at] ? -1 : 1;
        }
    }
    return 0;
}

/* ---- the arena --------------------------------------------------------------------------- */

/* 64-bit, because the end of a full memory, 4 GiB, does not fit 32. */
struct shrew_arena {
    uint64_t top; /* where the next allocation starts; 0: nothing was allocated yet */
    uint64_t end; /* the memory there is */
};

SHREW_SHARED struct shrew_arena shrew_arena;
extern uint8_t __heap_base; /* set by the linker: the end of the module's own data */

#define SHREW_PAGE 65536u
#define SHREW_GROW_PAGES 16u /* grow by 1 MiB at least: growing is a call to the host */

/* `len` bytes, aligned to 8, not cleared. Never NULL: traps when memory is out. */
SHREW_API void *shrew_alloc(uint32_t len) {
    struct shrew_arena *arena = &shrew_arena;
    if (arena->top == 0) {
        arena->top = ((uint64_t)(uintptr_t)&__heap_base + 7) & ~7ull;
        arena->end = (uint64_t)__builtin_wasm_memory_size(0) * SHREW_PAGE;
    }
    uint64_t start = arena->top;
    uint64_t top = (start + len + 7) & ~7ull;
    if (top > arena->end) {
        uint64_t need = (top - arena->end + SHREW_PAGE - 1) / SHREW_PAGE;
        uint64_t pages = need < SHREW_GROW_PAGES ? SHREW_GROW_PAGES : need;
        if (pages > 65536 || __builtin_wasm_memory_grow(0, (size_t)pages) == SIZE_MAX) {
            pages = need; /* the last pages below the limit */
            if (pages > 65536 || __builtin_wasm_memory_grow(0, (size_t)pages) == SIZE_MAX) {
                __builtin_trap();
            }
        }
        arena->end += pages * SHREW_PAGE;
    }
    arena->top = top;
    return (void *)(uintptr_t)start;
}

/* A buffer of the ABI: `len` bytes with their length, u32, at ptr - 4. Returns ptr. */
SHREW_API uint8_t *shrew_alloc_buffer(uint32_t len) {
    if (len > UINT32_MAX - 8) {
        __builtin_trap();
    }
    uint8_t *base = (uint8_t *)shrew_alloc(len + 8);
    shrew_store_u32(base + 4, len);
    return base + 8;
}

/* ---- growing buffers --------------------------------------------------------------------- */

/* Bytes being put together: a key, a record, a view's answer. Starts in the caller's own array,
 * or empty ({0}), and moves to the arena when it outgrows that. */
struct shrew_buf {
    uint8_t *ptr;
    uint32_t len;
    uint32_t cap;
};

/* struct shrew_buf buf = SHREW_BUF(array); */
#define SHREW_BUF(array)                                                                           \
    { (array), 0, sizeof(array) }

SHREW_API struct shrew_bytes shrew_buf_bytes(const struct shrew_buf *buf) {
    return shrew_bytes(buf->ptr, buf->len);
}

/* Room for `len` more bytes, which the caller writes. */
SHREW_API uint8_t *shrew_buf_extend(struct shrew_buf *buf, uint32_t len) {
    if (len > buf->cap - buf->len) {
        uint64_t cap = (uint64_t)buf->cap * 2 + len + 64;
        if (cap > UINT32_MAX) {
            __builtin_trap();
        }
        uint8_t *bigger = (uint8_t *)shrew_alloc((uint32_t)cap);
        shrew_copy(bigger, buf->ptr, buf->len);
        buf->ptr = bigger;
        buf->cap = (uint32_t)cap;
    }
    uint8_t *at = buf->ptr + buf->len;
    buf->len += len;
    return at;
}

SHREW_API void shrew_buf_add(struct shrew_buf *buf, struct shrew_bytes bytes) {
    shrew_copy(shrew_buf_extend(buf, bytes.len), bytes.ptr, bytes.len);
}

SHREW_API void shrew_buf_add_u8(struct shrew_buf *buf, uint8_t value) {
    *shrew_buf_extend(buf, 1) = value;
}

SHREW_API void shrew_buf_add_u32(struct shrew_buf *buf, uint32_t value) {
    shrew_store_u32(shrew_buf_extend(buf, 4), value);
}

SHREW_API void shrew_buf_add_u64(struct shrew_buf *buf, uint64_t value) {
    shrew_store_u64(shrew_buf_extend(buf, 8), value);
}

/* The number in decimal digits. */
SHREW_API void shrew_buf_add_dec(struct shrew_buf *buf, uint64_t value) {
    uint8_t digits[20];
    uint32_t at = sizeof(digits);
    do {
        digits[--at] = (uint8_t)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    shrew_buf_add(buf, shrew_bytes(digits + at, (uint32_t)sizeof(digits) - at));
}

/* The bytes in lower-case hex, in the order they have. */
SHREW_API void shrew_buf_add_hex(struct shrew_buf *buf, struct shrew_bytes bytes) {
    if (bytes.len > UINT32_MAX / 2) {
        __builtin_trap();
    }
    uint8_t *out = shrew_buf_extend(buf, bytes.len * 2);
    for (uint32_t at = 0; at < bytes.len; at++) {
        out[2 * at] = (uint8_t) "0123456789abcdef"[bytes.ptr[at] >> 4];
        out[2 * at + 1] = (uint8_t) "0123456789abcdef"[bytes.ptr[at] & 15];
    }
}

#endif
