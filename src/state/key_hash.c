/* Products of seeded words, folded; after Lemire and Kaser's multilinear hashing and the way the
 * wyhash family folds 128 bits to 64. */
#include "state/key_hash.h"

#include "base/clock.h"

#include <string.h>
#include <sys/random.h>

uint64_t shr_key_fold(uint64_t a, uint64_t b) {
    __extension__ unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t load64(const uint8_t *at) {
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

uint64_t shr_key_hash(const struct shr_key_seed *seed, struct shr_bytes key) {
    const uint8_t *at = key.data;
    size_t left = key.len;
    uint64_t state = seed->words[0] ^ key.len;
    while (left > 16) {
        state = shr_key_fold(load64(at) ^ seed->words[1], load64(at + 8) ^ state);
        at += 16;
        left -= 16;
    }
    uint64_t low = 0, high = 0;
    if (left >= 8) {
        low = load64(at);
        high = load64(at + left - 8);
    } else if (left > 0) {
        memcpy(&low, at, left);
    }
    state = shr_key_fold(low ^ seed->words[1], high ^ state);
    return shr_key_fold(state ^ seed->words[2], seed->words[1]);
}

void shr_key_seed_make(struct shr_key_seed *seed) {
    if (getrandom(seed->words, sizeof seed->words, GRND_NONBLOCK) != sizeof seed->words) {
        for (size_t i = 0; i < 3; i++) { /* early in the machine's life: better than nothing */
            seed->words[i] = shr_now_ns() * 0x9e3779b97f4a7c15u ^ (uint64_t)(uintptr_t)seed ^ i;
        }
    }
    for (size_t i = 0; i < 3; i++) {
        seed->words[i] |= 1;
    }
}
