/* same.h: whether two short runs of bytes are equal, without a call: keys are mostly a few dozen
 * bytes, and compared several times a microsecond. */
#ifndef SHR_BASE_SAME_H
#define SHR_BASE_SAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t shr_word_at(const uint8_t *at) {
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static inline bool shr_same(const uint8_t *a, const uint8_t *b, size_t len) {
    if (len > 32) {
        return memcmp(a, b, len) == 0;
    }
    if (len >= 8) {
        uint64_t differs = shr_word_at(a + len - 8) ^ shr_word_at(b + len - 8);
        for (size_t at = 0; at + 8 < len; at += 8) {
            differs |= shr_word_at(a + at) ^ shr_word_at(b + at);
        }
        return differs == 0;
    }
    uint8_t differs = 0;
    for (size_t at = 0; at < len; at++) {
        differs |= a[at] ^ b[at];
    }
    return differs == 0;
}

#endif
