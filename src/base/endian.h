/* endian.h: fixed-width integers at unaligned addresses. */
#ifndef SHR_BASE_ENDIAN_H
#define SHR_BASE_ENDIAN_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define SHR_ENDIAN_PAIR(name, type, from, to)                                                      \
    static inline type shr_get_##name(const void *at) {                                            \
        type value;                                                                                \
        memcpy(&value, at, sizeof value);                                                          \
        return from(value);                                                                        \
    }                                                                                              \
    static inline void shr_put_##name(void *at, type value) {                                      \
        value = to(value);                                                                         \
        memcpy(at, &value, sizeof value);                                                          \
    }

SHR_ENDIAN_PAIR(le16, uint16_t, le16toh, htole16)
SHR_ENDIAN_PAIR(le32, uint32_t, le32toh, htole32)
SHR_ENDIAN_PAIR(le64, uint64_t, le64toh, htole64)
SHR_ENDIAN_PAIR(be16, uint16_t, be16toh, htobe16)
SHR_ENDIAN_PAIR(be32, uint32_t, be32toh, htobe32)
SHR_ENDIAN_PAIR(be64, uint64_t, be64toh, htobe64)

#undef SHR_ENDIAN_PAIR

#endif
