/* shr_reader_each: every key and its value after a height, in key order. */
#include "state/state_impl.h"

#include "base/alloc.h"

#include <stdlib.h>

/* Rows of a fork's own that are held at a time. */
#define CHUNK_ROWS 256
#define CHUNK_BYTES ((size_t)1 << 20)

struct walk {
    struct shr_reader *reader;
    uint32_t height;
    shr_scan_fn *visit;
    void *ctx;
    bool done;
    int code;
    struct shrewd_error *err;
    struct shr_buf version; /* scratch */
};

static enum shr_scan_step emit(struct walk *walk, struct shr_bytes key, struct shr_bytes value) {
    walk->done = walk->visit(walk->ctx, key, value) == SHR_SCAN_DONE;
    return walk->done ? SHR_SCAN_DONE : SHR_SCAN_MORE;
}

/* One row of LATEST, in a state that reads through to nothing. */
static enum shr_scan_step visit_latest(void *ctx, struct shr_bytes key, struct shr_bytes row) {
    struct walk *walk = ctx;
    struct shr_bytes value;
    uint32_t written_at = 0;
    if (shr_version_decode(&value, &written_at, row) == NULL && written_at <= walk->height) {
        return emit(walk, key, value);
    }
    bool found = false;
    shr_buf_set(&walk->version, row);
    walk->code = shr_reader_resolve(walk->reader, &walk->version, &found, &written_at, key,
                                    walk->height, walk->err);
    if (walk->code != 0) {
        return SHR_SCAN_DONE;
    }
    return found ? emit(walk, key, shr_buf_bytes(&walk->version)) : SHR_SCAN_MORE;
}

/* Where the keys that start with `prefix` end: the prefix with its last byte raised, bytes that
 * cannot be raised cut off. Empty `end` and false: there is no end. */
static bool prefix_end(struct shr_buf *end, struct shr_bytes prefix) {
    shr_buf_set(end, prefix);
    while (end->len > 0 && end->data[end->len - 1] == 0xff) {
        end->len--;
    }
    if (end->len == 0) {
        return false;
    }
    end->data[end->len - 1]++;
    return true;
}

/* --- Forks: the base is walked, and the fork's own keys, read a chunk at a time, come between ---
 */

struct own_row {
    size_t key_at, key_len, value_at, value_len;
    bool found; /* the fork has a value of its own at the height */
};

struct fork_walk {
    struct walk walk;
    struct shr_buf next; /* where the next chunk starts */
    struct shr_bytes to;
    bool last; /* no chunk comes after this one */
    size_t n, at;
    struct own_row rows[CHUNK_ROWS];
    struct shr_buf bytes; /* what the rows point into */
};

static struct shr_bytes row_key(const struct fork_walk *fork, const struct own_row *row) {
    return shr_bytes(fork->bytes.data + row->key_at, row->key_len);
}

static enum shr_scan_step gather(void *ctx, struct shr_bytes key, struct shr_bytes value) {
    struct fork_walk *fork = ctx;
    struct own_row *row = &fork->rows[fork->n++];
    row->key_at = fork->bytes.len;
    row->key_len = key.len;
    shr_buf_add(&fork->bytes, key);
    row->value_at = fork->bytes.len;
    row->value_len = value.len;
    shr_buf_add(&fork->bytes, value);
    return fork->n == CHUNK_ROWS || fork->bytes.len >= CHUNK_BYTES ? SHR_SCAN_DONE : SHR_SCAN_MORE;
}

static int fill(struct fork_walk *fork) {
    struct walk *walk = &fork->walk;
    struct shr_reader *reader = walk->reader;
    fork->n = fork->at = 0;
    shr_buf_clear(&fork->bytes);
    int code = shr_store_scan(reader->state->store, reader->snapshot, SHR_TABLE_LATEST,
                              shr_buf_bytes(&fork->next), fork->to, false, gather, fork, walk->err);
    if (code != 0) {
        return code;
    }
    fork->last = fork->n == 0;
    if (!fork->last) {
        shr_buf_set(&fork->next, row_key(fork, &fork->rows[fork->n - 1]));
        shr_buf_add_u8(&fork->next, 0); /* the smallest key after it */
    }
    for (size_t i = 0; i < fork->n; i++) {
        struct own_row *row = &fork->rows[i];
        shr_buf_set(&walk->version, shr_bytes(fork->bytes.data + row->value_at, row->value_len));
        uint32_t written_at;
        code = shr_reader_resolve(reader, &walk->version, &row->found, &written_at,
                                  row_key(fork, row), walk->height, walk->err);
        if (code != 0) {
            return code;
        }
        row->value_at = fork->bytes.len;
        row->value_len = walk->version.len;
        shr_buf_add(&fork->bytes, shr_buf_bytes(&walk->version));
    }
    return 0;
}

/* The next row of the fork's own; NULL at the end and on failure. */
static const struct own_row *peek(struct fork_walk *fork) {
    if (fork->at == fork->n && !fork->last && fork->walk.code == 0) {
        fork->walk.code = fill(fork);
    }
    return fork->walk.code == 0 && fork->at < fork->n ? &fork->rows[fork->at] : NULL;
}

static void emit_own(struct fork_walk *fork, const struct own_row *row) {
    fork->at++;
    if (row->found) {
        emit(&fork->walk, row_key(fork, row),
             shr_bytes(fork->bytes.data + row->value_at, row->value_len));
    }
}

static enum shr_scan_step visit_below(void *ctx, struct shr_bytes key, struct shr_bytes value) {
    struct fork_walk *fork = ctx;
    struct walk *walk = &fork->walk;
    const struct own_row *row;
    int order = 1;
    while (!walk->done && (row = peek(fork)) != NULL &&
           (order = shr_bytes_cmp(row_key(fork, row), key)) < 0) {
        emit_own(fork, row);
    }
    if (walk->code != 0 || walk->done) {
        return SHR_SCAN_DONE;
    }
    if (row != NULL && order == 0 && row->found) {
        emit_own(fork, row);
        return walk->done ? SHR_SCAN_DONE : SHR_SCAN_MORE;
    }
    return emit(walk, key, value);
}

static int each_in_fork(const struct walk *walk, struct shr_bytes prefix, struct shr_bytes from,
                        struct shr_bytes to) {
    struct shr_state *state = walk->reader->state;
    struct fork_walk *fork = shr_alloc(sizeof *fork);
    fork->walk = *walk;
    fork->to = to;
    shr_buf_set(&fork->next, from);
    int code = shr_reader_each_from(state->base, prefix, from, state->fork.height, visit_below,
                                    fork, walk->err);
    const struct own_row *row;
    while (code == 0 && !fork->walk.done && (row = peek(fork)) != NULL) {
        emit_own(fork, row);
    }
    code = code != 0 ? code : fork->walk.code;
    shr_buf_free(&fork->walk.version);
    shr_buf_free(&fork->bytes);
    shr_buf_free(&fork->next);
    free(fork);
    return code;
}

int shr_reader_each_from(struct shr_reader *reader, struct shr_bytes prefix, struct shr_bytes from,
                         uint32_t height, shr_scan_fn *visit, void *ctx, struct shrewd_error *err) {
    const struct shr_state *state = reader->state;
    uint32_t base_height = height < state->fork.height ? height : state->fork.height;
    int code = shr_reader_check_held(reader, height, err);
    bool own = shr_reader_own_height(reader, &height);
    if (code != 0 || (!own && state->base == NULL)) {
        return code;
    }
    if (!own) {
        return shr_reader_each_from(state->base, prefix, from, base_height, visit, ctx, err);
    }
    from = shr_bytes_cmp(from, prefix) < 0 ? prefix : from;
    struct walk walk = {.reader = reader, .height = height, .visit = visit, .ctx = ctx, .err = err};
    struct shr_buf end = {0};
    struct shr_bytes to = prefix_end(&end, prefix) ? shr_buf_bytes(&end) : shr_bytes(NULL, 0);
    if (state->base != NULL) {
        code = each_in_fork(&walk, prefix, from, to);
    } else {
        code = shr_store_scan(state->store, reader->snapshot, SHR_TABLE_LATEST, from, to, false,
                              visit_latest, &walk, err);
        code = code != 0 ? code : walk.code;
    }
    shr_buf_free(&walk.version);
    shr_buf_free(&end);
    return code;
}

int shr_reader_each(struct shr_reader *reader, struct shr_bytes prefix, uint32_t height,
                    shr_scan_fn *visit, void *ctx, struct shrewd_error *err) {
    return shr_reader_each_from(reader, prefix, prefix, height, visit, ctx, err);
}
