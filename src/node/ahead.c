#include "node/ahead.h"

#include <assert.h>

bool shr_ahead_ask(struct shr_ahead *ahead, uint32_t height) {
    bool next = ahead->any_asked && height == ahead->last_asked + 1 && height != 0;
    ahead->any_asked = true;
    ahead->last_asked = height;
    return next;
}

void shr_ahead_drop(struct shr_ahead *ahead) {
    ahead->used = 0;
    ahead->n = 0;
}

bool shr_ahead_has(const struct shr_ahead *ahead, uint32_t height) {
    return ahead->used < ahead->n && ahead->next == height;
}

void shr_ahead_take(struct shr_ahead *ahead, struct shr_hash *out) {
    assert(ahead->used < ahead->n);
    *out = ahead->hashes[ahead->used++];
    ahead->next++;
}

void shr_ahead_filled(struct shr_ahead *ahead, uint32_t first, size_t n,
                      const struct shr_hash *best, uint64_t now_ms) {
    assert(n <= SHR_AHEAD_MAX);
    ahead->next = first;
    ahead->used = 0;
    ahead->n = n;
    ahead->best = *best;
    ahead->checked_ms = now_ms;
}
