#include "state/versions.h"

#include "base/alloc.h"
#include "state/codec.h"

#include <stdlib.h>
#include <string.h>

#define DIGIT_BITS 8u
#define DIGITS (1u << DIGIT_BITS)
#define FETCHED_AHEAD 8 /* rows, by which their bytes are fetched before they are copied */

void shr_versions_add(struct shr_versions *versions, const struct shr_version_row *row,
                      bool keep_value) {
    if (versions->n == versions->cap) {
        versions->cap = versions->cap == 0 ? 1024 : versions->cap * 2;
        versions->rows = shr_realloc_array(versions->rows, versions->cap, sizeof *versions->rows);
    }
    versions->rows[versions->n] = *row;
    if (keep_value) {
        versions->rows[versions->n].value = shr_arena_keep(&versions->kept, row->value);
    }
    versions->n++;
}

void shr_versions_reserve(struct shr_versions *versions, size_t n) {
    if (versions->n + n > versions->cap) {
        versions->cap = versions->n + n;
        versions->rows = shr_realloc_array(versions->rows, versions->cap, sizeof *versions->rows);
    }
}

void shr_versions_move(struct shr_versions *versions, struct shr_versions *from) {
    shr_versions_reserve(versions, from->n);
    if (from->n > 0) {
        memcpy(versions->rows + versions->n, from->rows, from->n * sizeof *from->rows);
    }
    shr_arena_move(&versions->kept, &from->kept);
    versions->n += from->n;
    free(from->rows);
    *from = (struct shr_versions){0};
}

void shr_versions_free(struct shr_versions *versions) {
    free(versions->rows);
    shr_arena_free(&versions->kept);
    *versions = (struct shr_versions){0};
}

/* HISTORY's keys begin with the length of the state's: by that, what is equal stays in order. A
 * digit at a time, as few as the longest key has. */
static const struct shr_version_row **by_length(const struct shr_versions *versions) {
    const struct shr_version_row **order =
        shr_alloc_array(versions->n + 1, sizeof(struct shr_version_row *));
    const struct shr_version_row **spare =
        shr_alloc_array(versions->n + 1, sizeof(struct shr_version_row *));
    size_t lengths = 0; /* every bit that is set in one */
    for (size_t i = 0; i < versions->n; i++) {
        order[i] = &versions->rows[i];
        lengths |= versions->rows[i].key.len;
    }
    for (unsigned shift = 0; lengths >> shift != 0; shift += DIGIT_BITS) {
        size_t starts[DIGITS + 1] = {0};
        for (size_t i = 0; i < versions->n; i++) {
            starts[(order[i]->key.len >> shift & (DIGITS - 1)) + 1]++;
        }
        for (size_t digit = 0; digit < DIGITS; digit++) {
            starts[digit + 1] += starts[digit];
        }
        for (size_t i = 0; i < versions->n; i++) {
            spare[starts[order[i]->key.len >> shift & (DIGITS - 1)]++] = order[i];
        }
        const struct shr_version_row **sorted = spare;
        spare = order;
        order = sorted;
    }
    free(spare);
    return order;
}

struct walk {
    const struct shr_versions *versions;
    const struct shr_version_row **order; /* NULL: as they are, for LATEST */
    size_t next;
    struct shr_buf key, row;
};

static const struct shr_version_row *row_at(const struct walk *walk, size_t i) {
    return walk->order != NULL ? walk->order[i] : &walk->versions->rows[i];
}

static bool next_row(void *ctx, struct shr_write *row) {
    struct walk *walk = ctx;
    size_t left = walk->versions->n - walk->next;
    if (left == 0) {
        return false;
    }
    if (left > FETCHED_AHEAD) {
        const struct shr_version_row *soon = row_at(walk, walk->next + FETCHED_AHEAD);
        __builtin_prefetch(soon->key.data);
        __builtin_prefetch(soon->value.data);
    }
    const struct shr_version_row *version = row_at(walk, walk->next++);
    *row = (struct shr_write){.key = version->key};
    if (walk->order != NULL) {
        shr_history_key(&walk->key, version->key, version->height);
        row->key = shr_buf_bytes(&walk->key);
    }
    shr_version_encode(&walk->row, version->value, version->written_at);
    row->value = shr_buf_bytes(&walk->row);
    return true;
}

int shr_versions_make(struct shr_store *store, enum shr_table table,
                      const struct shr_versions *versions, struct shrewd_error *err) {
    struct walk walk = {.versions = versions};
    if (table == SHR_TABLE_HISTORY) {
        walk.order = by_length(versions);
    }
    int code = shr_store_make_rows(store, table, next_row, &walk, err);
    shr_buf_free(&walk.row);
    shr_buf_free(&walk.key);
    free(walk.order);
    return code;
}
