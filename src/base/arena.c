#include "base/arena.h"

#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

/* Chunks double in size up to the largest: most arenas are either tiny or large. */
#define CHUNK_MIN ((size_t)1024)
#define CHUNK_MAX ((size_t)256 * 1024)

static size_t next_size(const struct shr_arena *arena, size_t wanted) {
    size_t size = CHUNK_MIN;
    for (size_t i = 0; i < arena->n_chunks && size < CHUNK_MAX; i++) {
        size *= 2;
    }
    return wanted > size ? wanted : size;
}

uint8_t *shr_arena_take(struct shr_arena *arena, size_t len) {
    struct shr_buf *chunk = arena->n_chunks == 0 ? NULL : &arena->chunks[arena->n_chunks - 1];
    if (chunk == NULL || chunk->cap - chunk->len < len) {
        arena->chunks =
            shr_realloc_array(arena->chunks, arena->n_chunks + 1, sizeof *arena->chunks);
        size_t size = next_size(arena, len);
        chunk = &arena->chunks[arena->n_chunks++];
        *chunk = (struct shr_buf){0};
        shr_buf_reserve(chunk, size);
        arena->bytes += chunk->cap;
    }
    uint8_t *at = chunk->data + chunk->len;
    chunk->len += len; /* there is room: it does not move */
    return at;
}

struct shr_bytes shr_arena_keep(struct shr_arena *arena, struct shr_bytes bytes) {
    uint8_t *at = shr_arena_take(arena, bytes.len);
    if (bytes.len > 0) {
        memcpy(at, bytes.data, bytes.len);
    }
    return shr_bytes(at, bytes.len);
}

void shr_arena_move(struct shr_arena *arena, struct shr_arena *from) {
    arena->chunks =
        shr_realloc_array(arena->chunks, arena->n_chunks + from->n_chunks, sizeof *arena->chunks);
    /* The chunk with room left stays last. */
    size_t at = arena->n_chunks == 0 ? 0 : arena->n_chunks - 1;
    for (size_t i = 0; i < from->n_chunks; i++) {
        if (arena->n_chunks > 0) {
            arena->chunks[at + i + 1] = arena->chunks[at + i];
        }
        arena->chunks[at + i] = from->chunks[i];
    }
    arena->n_chunks += from->n_chunks;
    arena->bytes += from->bytes;
    free(from->chunks);
    *from = (struct shr_arena){0};
}

void shr_arena_free(struct shr_arena *arena) {
    for (size_t i = 0; i < arena->n_chunks; i++) {
        shr_buf_free(&arena->chunks[i]);
    }
    free(arena->chunks);
    *arena = (struct shr_arena){0};
}
