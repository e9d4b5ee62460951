#include "state/store.h"

#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

static struct shr_bytes keep(struct shr_batch *batch, struct shr_bytes bytes) {
    batch->bytes += bytes.len;
    return shr_arena_keep(&batch->arena, bytes);
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

void shr_batch_reserve(struct shr_batch *batch, size_t n) {
    if (batch->n + n > batch->cap) {
        batch->cap = 2 * (batch->n + n);
        batch->writes = shr_realloc_array(batch->writes, batch->cap, sizeof *batch->writes);
    }
}

void shr_batch_move(struct shr_batch *batch, struct shr_batch *from) {
    shr_batch_reserve(batch, from->n);
    if (from->n > 0) {
        memcpy(batch->writes + batch->n, from->writes, from->n * sizeof *from->writes);
    }
    shr_arena_move(&batch->arena, &from->arena);
    batch->n += from->n;
    batch->bytes += from->bytes;
    from->n = 0;
    from->bytes = 0;
}

void shr_batch_clear(struct shr_batch *batch) {
    shr_arena_free(&batch->arena);
    batch->n = 0;
    batch->bytes = 0;
}

void shr_batch_free(struct shr_batch *batch) {
    shr_batch_clear(batch);
    free(batch->writes);
    *batch = (struct shr_batch){0};
}
