#include "state/store.h"

#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

/* Bytes are copied into arenas that never move, so that the views in `writes` stay good. */
#define ARENA_BYTES ((size_t)256 * 1024)

static struct shr_bytes keep(struct shr_batch *batch, struct shr_bytes bytes) {
    struct shr_buf *arena = batch->n_arenas == 0 ? NULL : batch->arenas[batch->n_arenas - 1];
    if (arena == NULL || arena->cap - arena->len < bytes.len) {
        arena = shr_alloc(sizeof *arena);
        shr_buf_reserve(arena, bytes.len > ARENA_BYTES ? bytes.len : ARENA_BYTES);
        batch->arenas =
            shr_realloc_array(batch->arenas, batch->n_arenas + 1, sizeof(struct shr_buf *));
        batch->arenas[batch->n_arenas++] = arena;
    }
    const uint8_t *at = arena->data + arena->len;
    shr_buf_add(arena, bytes);
    batch->bytes += bytes.len;
    return shr_bytes(at, bytes.len);
}

static struct shr_write *next_write(struct shr_batch *batch) {
    if (batch->n == batch->cap) {
        batch->cap = batch->cap == 0 ? 64 : batch->cap * 2;
        batch->writes = shr_realloc_array(batch->writes, batch->cap, sizeof *batch->writes);
    }
    return &batch->writes[batch->n++];
}

void shr_batch_put(struct shr_batch *batch, enum shr_table table, struct shr_bytes key,
                   struct shr_bytes value) {
    struct shr_write *write = next_write(batch);
    write->table = table;
    write->key = keep(batch, key);
    write->value = keep(batch, value);
    write->remove = false;
}

void shr_batch_remove(struct shr_batch *batch, enum shr_table table, struct shr_bytes key) {
    struct shr_write *write = next_write(batch);
    write->table = table;
    write->key = keep(batch, key);
    write->value = shr_bytes(NULL, 0);
    write->remove = true;
}

void shr_batch_move(struct shr_batch *batch, struct shr_batch *from) {
    if (batch->n + from->n > batch->cap) {
        batch->cap = 2 * (batch->n + from->n);
        batch->writes = shr_realloc_array(batch->writes, batch->cap, sizeof *batch->writes);
    }
    if (from->n > 0) {
        memcpy(batch->writes + batch->n, from->writes, from->n * sizeof *from->writes);
    }
    size_t n_arenas = batch->n_arenas + from->n_arenas;
    batch->arenas = shr_realloc_array(batch->arenas, n_arenas + 1, sizeof(struct shr_buf *));
    /* The arena with room left stays last. */
    struct shr_buf *last = batch->n_arenas == 0 ? NULL : batch->arenas[--batch->n_arenas];
    for (size_t i = 0; i < from->n_arenas; i++) {
        batch->arenas[batch->n_arenas++] = from->arenas[i];
    }
    if (last != NULL) {
        batch->arenas[batch->n_arenas++] = last;
    }
    batch->n += from->n;
    batch->bytes += from->bytes;
    from->n_arenas = 0;
    from->n = 0;
    from->bytes = 0;
}

void shr_batch_clear(struct shr_batch *batch) {
    for (size_t i = 0; i < batch->n_arenas; i++) {
        shr_buf_free(batch->arenas[i]);
        free(batch->arenas[i]);
    }
    batch->n_arenas = 0;
    batch->n = 0;
    batch->bytes = 0;
}

void shr_batch_free(struct shr_batch *batch) {
    shr_batch_clear(batch);
    free(batch->arenas);
    free(batch->writes);
    *batch = (struct shr_batch){0};
}
