/* arena.h: copies of bytes that stay where they are until all of them are freed at once.
 * Not thread-safe on one object. */
#ifndef SHR_BASE_ARENA_H
#define SHR_BASE_ARENA_H

#include "base/buf.h"

/* {0} is empty. */
struct shr_arena {
    struct shr_buf *chunks; /* private */
    size_t n_chunks;
    size_t bytes; /* memory held */
};

/* Valid until shr_arena_free. */
/* Room for `len` bytes, unset; never NULL. */
uint8_t *shr_arena_take(struct shr_arena *arena, size_t len);
struct shr_bytes shr_arena_keep(struct shr_arena *arena, struct shr_bytes bytes);
/* Appends what `from` keeps, which stays where it is, and leaves `from` empty. */
void shr_arena_move(struct shr_arena *arena, struct shr_arena *from);
void shr_arena_free(struct shr_arena *arena); /* leaves {0} */

#endif
