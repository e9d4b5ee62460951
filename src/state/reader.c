/* Reading: the value of a key after a height, block records, tips. */
#include "state/state_impl.h"

#include "base/alloc.h"

#include <stdlib.h>

#define FETCHED_AHEAD 8 /* keys, by which entries of the cache are fetched before they are read */

/* --- Blocks --- */

int shr_reader_tip(struct shr_reader *reader, struct shr_block_record *out,
                   struct shrewd_error *err) {
    const struct shr_state *state = reader->state;
    if (reader->has_tip) {
        *out = reader->tip;
        return 0;
    }
    if (state->base != NULL) {
        return shr_reader_block(state->base, out, state->fork.height, err);
    }
    return shr_fail(err, SHREWD_NOT_FOUND, "'%s' holds no block yet", state->store->name);
}

uint32_t shr_reader_first_height(struct shr_reader *reader) {
    const struct shr_state *state = reader->state;
    return state->base != NULL ? shr_reader_first_height(state->base)
                               : state->identity.start_height;
}

uint32_t shr_reader_oldest(struct shr_reader *reader) {
    const struct shr_state *state = reader->state;
    return state->base != NULL ? shr_reader_oldest(state->base) : reader->oldest;
}

bool shr_reader_pruned(const struct shr_reader *reader) {
    const struct shr_state *state = reader->state;
    return state->base != NULL ? shr_reader_pruned(state->base) : reader->pruned;
}

int shr_reader_check_held(const struct shr_reader *reader, uint32_t height,
                          struct shrewd_error *err) {
    if (height >= reader->oldest) {
        return 0;
    }
    return shr_fail(err, SHREWD_PRUNED,
                    "the state after block %u was pruned: the oldest height held is %u", height,
                    reader->oldest);
}

int shr_reader_block(struct shr_reader *reader, struct shr_block_record *out, uint32_t height,
                     struct shrewd_error *err) {
    const struct shr_state *state = reader->state;
    if (state->base != NULL && height <= state->fork.height) {
        return shr_reader_block(state->base, out, height, err);
    }
    uint32_t first = shr_reader_first_height(reader);
    if (height < first) {
        return shr_fail(err, SHREWD_BELOW_START,
                        "there is no block %u here: the first one held is %u", height, first);
    }
    struct shr_block_record tip = {0};
    int code = shr_reader_tip(reader, &tip, err);
    if (code == SHREWD_NOT_FOUND) {
        return shr_fail(err, SHREWD_ABOVE_TIP, "block %u is not indexed: no block is yet", height);
    }
    if (code != 0) {
        return code;
    }
    if (height > tip.height) {
        return shr_fail(err, SHREWD_ABOVE_TIP, "block %u is not indexed: the tip is %u", height,
                        tip.height);
    }
    if (reader->has_tip && height == reader->tip.height) {
        *out = reader->tip;
        return 0;
    }
    return shr_state_own_block(state, reader->snapshot, out, height, err);
}

int shr_reader_held(struct shr_reader *reader, struct shr_block_record *out, uint32_t height,
                    struct shrewd_error *err) {
    int code = shr_reader_block(reader, out, height, err);
    struct shr_reader *holder = reader;
    while (holder->state->base != NULL && height <= holder->state->fork.height) {
        holder = holder->state->base;
    }
    return code != 0 ? code : shr_reader_check_held(holder, height, err);
}

/* --- Values --- */

/* What HISTORY's first row of a key above some height says. */
struct older {
    struct shr_bytes key;
    uint32_t height; /* the version wanted is at most this old */
    struct shr_buf *value;
    uint32_t written_at; /* when it is found */
    bool found;
    const char *wrong;
    struct shr_buf *wrong_key;
};

static enum shr_scan_step take_older(void *ctx, struct shr_bytes row_key, struct shr_bytes row) {
    struct older *older = ctx;
    uint32_t replaced_at = 0;
    struct shr_bytes value;
    older->wrong = shr_history_key_height(&replaced_at, row_key, older->key);
    if (older->wrong == NULL) {
        older->wrong = shr_version_decode(&value, &older->written_at, row);
    }
    if (older->wrong == NULL && older->written_at >= replaced_at) {
        older->wrong = "a version is not older than the block that replaced it";
    }
    if (older->wrong != NULL) {
        shr_buf_set(older->wrong_key, row_key);
        return SHR_SCAN_DONE;
    }
    older->found = older->written_at <= older->height;
    if (older->found) {
        shr_buf_set(older->value, value);
    }
    return SHR_SCAN_DONE;
}

/* The first row above `height` is the version that was in force at `height`, or one written
 * later still when the key did not exist then. */
int shr_history_find(struct shr_store *store, const struct shr_snapshot *snapshot,
                     struct shr_buf *value, bool *found, uint32_t *written_at, struct shr_bytes key,
                     uint32_t height, struct shrewd_error *err) {
    struct shr_buf from = {0}, to = {0}, wrong_key = {0};
    shr_history_key(&from, key, height + 1);
    shr_history_key(&to, key, UINT32_MAX);
    struct older older = {.key = key, .height = height, .value = value, .wrong_key = &wrong_key};
    int code = shr_store_scan(store, snapshot, SHR_TABLE_HISTORY, shr_buf_bytes(&from),
                              shr_buf_bytes(&to), false, take_older, &older, err);
    if (code == 0 && older.wrong != NULL) {
        code = shr_corrupt(store, SHR_TABLE_HISTORY, shr_buf_bytes(&wrong_key), older.wrong, err);
    }
    *found = older.found;
    *written_at = older.written_at;
    shr_buf_free(&wrong_key);
    shr_buf_free(&to);
    shr_buf_free(&from);
    return code;
}

static int read_history(struct shr_reader *reader, struct shr_buf *value, bool *found,
                        struct shr_bytes key, uint32_t height, struct shrewd_error *err) {
    uint32_t written_at;
    return shr_history_find(reader->state->store, reader->snapshot, value, found, &written_at, key,
                            height, err);
}

int shr_reader_resolve(struct shr_reader *reader, struct shr_buf *version, bool *found,
                       uint32_t *written_at, struct shr_bytes key, uint32_t height,
                       struct shrewd_error *err) {
    struct shr_bytes value;
    *found = false;
    const char *wrong = shr_version_decode(&value, written_at, shr_buf_bytes(version));
    if (wrong != NULL) {
        return shr_corrupt(reader->state->store, SHR_TABLE_LATEST, key, wrong, err);
    }
    if (*written_at <= height) {
        version->len = value.len;
        *found = true;
        return 0;
    }
    return read_history(reader, version, found, key, height, err);
}

static uint32_t base_height(const struct shr_state *state, uint32_t height) {
    return height < state->fork.height ? height : state->fork.height;
}

/* A fork's own versions are all above its fork height. Of what is above the tip the rows may be
 * there already (ahead.c): it is read as of the tip. */
bool shr_reader_own_height(const struct shr_reader *reader, uint32_t *height) {
    const struct shr_state *state = reader->state;
    if (!reader->has_tip || (state->base != NULL && *height <= state->fork.height)) {
        return false;
    }
    *height = *height < reader->tip.height ? *height : reader->tip.height;
    return true;
}

static uint64_t hash_of(const struct shr_reader *reader, struct shr_bytes key) {
    const struct shr_cache *cache = reader->state->cache;
    return cache == NULL ? 0 : shr_cache_hash(cache, key);
}

static enum shr_cache_answer look_up(struct shr_reader *reader, struct shr_buf *value,
                                     uint32_t *written_at, struct shr_bytes key, uint64_t hash,
                                     uint32_t height) {
    struct shr_cache *cache = reader->state->cache;
    return cache == NULL ? SHR_CACHE_MISS
                         : shr_cache_get(cache, &reader->at, value, written_at, key, hash, height);
}

/* Remembers a row of LATEST that was read, NULL when there was none. A row that is damaged is
 * not, so that it is found out every time; nor one ahead of the tip, which may go again. */
static void remember(struct shr_reader *reader, struct shr_bytes key, uint64_t hash,
                     const struct shr_buf *row) {
    struct shr_cache *cache = reader->state->cache;
    struct shr_bytes value;
    uint32_t written_at = 0;
    if (cache != NULL && row == NULL) {
        shr_cache_fill(cache, &reader->at, key, hash, NULL, 0);
    } else if (cache != NULL && reader->has_tip &&
               shr_version_decode(&value, &written_at, shr_buf_bytes(row)) == NULL &&
               written_at <= reader->tip.height) {
        shr_cache_fill(cache, &reader->at, key, hash, &value, written_at);
    }
}

static void remember_past(struct shr_reader *reader, struct shr_bytes key, uint64_t hash,
                          const struct shr_buf *value, uint32_t height) {
    struct shr_cache *cache = reader->state->cache;
    if (cache != NULL && reader->has_tip && height <= reader->tip.height) {
        struct shr_bytes bytes = value == NULL ? shr_bytes(NULL, 0) : shr_buf_bytes(value);
        shr_cache_fill_past(cache, &reader->at, key, hash, value == NULL ? NULL : &bytes, height);
    }
}

/* A key's value after `height` in this state alone, without its base. */
static int own_get(struct shr_reader *reader, struct shr_buf *value, bool *found,
                   struct shr_bytes key, uint32_t height, struct shrewd_error *err) {
    uint64_t hash = hash_of(reader, key);
    uint32_t written_at = 0;
    enum shr_cache_answer answer = look_up(reader, value, &written_at, key, hash, height);
    *found = answer == SHR_CACHE_VALUE;
    if (*found || answer == SHR_CACHE_ABSENT) {
        return 0;
    }
    int code;
    if (answer == SHR_CACHE_NEWER && reader->has_tip && written_at <= reader->tip.height) {
        code = read_history(reader, value, found, key, height, err); /* LATEST has that version */
    } else {
        code = shr_store_get(reader->state->store, reader->snapshot, SHR_TABLE_LATEST, value, key,
                             err);
        if (code == 0 || code == SHREWD_NOT_FOUND) {
            remember(reader, key, hash, code == 0 ? value : NULL);
        }
        if (code != 0) {
            return code == SHREWD_NOT_FOUND ? 0 : code;
        }
        code = shr_reader_resolve(reader, value, found, &written_at, key, height, err);
    }
    if (code == 0 && (answer == SHR_CACHE_NEWER || written_at > height)) {
        remember_past(reader, key, hash, *found ? value : NULL, height);
    }
    return code;
}

int shr_reader_get(struct shr_reader *reader, struct shr_buf *value, struct shr_bytes key,
                   uint32_t height, struct shrewd_error *err) {
    struct shr_state *state = reader->state;
    uint32_t own_height = height;
    int code = shr_reader_check_held(reader, height, err);
    if (code == 0 && shr_reader_own_height(reader, &own_height)) {
        bool found = false;
        code = own_get(reader, value, &found, key, own_height, err);
        if (found) {
            return code;
        }
    }
    if (code != 0) {
        return code;
    }
    if (state->base != NULL) {
        return shr_reader_get(state->base, value, key, base_height(state, height), err);
    }
    return shr_store_absent(err);
}

static int base_get_many(struct shr_reader *reader, struct shr_read *reads, size_t n,
                         uint32_t height, struct shrewd_error *err) {
    struct shr_read *below = shr_alloc_array(n + 1, sizeof *below);
    size_t *where = shr_alloc_array(n + 1, sizeof *where);
    size_t n_below = 0;
    for (size_t i = 0; i < n; i++) {
        if (!reads[i].found) {
            below[n_below] = reads[i];
            where[n_below++] = i;
        }
    }
    int code = 0;
    if (n_below > 0) {
        code = shr_reader_get_many(reader->state->base, below, n_below,
                                   base_height(reader->state, height), err);
    }
    for (size_t i = 0; code == 0 && i < n_below; i++) {
        reads[where[i]].found = below[i].found;
    }
    free(where);
    free(below);
    return code;
}

/* Every look-up in the cache goes to memory twice: all of the first at once. */
static void fetch_ahead(const struct shr_reader *reader, const struct shr_read *reads,
                        uint64_t *hashes, size_t n) {
    struct shr_cache *cache = reader->state->cache;
    for (size_t i = 0; cache != NULL && i < n; i++) {
        hashes[i] = shr_cache_hash(cache, reads[i].key);
        shr_cache_prefetch_set(cache, hashes[i]);
    }
}

int shr_reader_own_many(struct shr_reader *reader, struct shr_read *reads, uint32_t *written_at,
                        size_t n, uint32_t height, struct shrewd_error *err) {
    struct shr_read *slow = shr_alloc_array(n + 1, sizeof *slow);
    size_t *where = shr_alloc_array(n + 1, sizeof *where);
    uint64_t *hashes = shr_alloc_array(n + 1, sizeof *hashes);
    size_t n_slow = 0;
    fetch_ahead(reader, reads, hashes, n);
    for (size_t i = 0; i < n; i++) {
        if (reader->state->cache != NULL && i + FETCHED_AHEAD < n) {
            shr_cache_prefetch_entry(reader->state->cache, hashes[i + FETCHED_AHEAD]);
        }
        enum shr_cache_answer answer =
            look_up(reader, reads[i].value, &written_at[i], reads[i].key, hashes[i], height);
        reads[i].found = answer == SHR_CACHE_VALUE;
        if (!reads[i].found && answer != SHR_CACHE_ABSENT) {
            slow[n_slow] = reads[i];
            slow[n_slow].table = SHR_TABLE_LATEST;
            where[n_slow++] = i;
        }
    }
    int code = 0;
    if (n_slow > 0) {
        code = shr_store_get_many(reader->state->store, reader->snapshot, slow, n_slow, err);
    }
    for (size_t i = 0; code == 0 && i < n_slow; i++) {
        struct shr_read *read = &reads[where[i]];
        remember(reader, read->key, hashes[where[i]], slow[i].found ? read->value : NULL);
        if (slow[i].found) {
            code = shr_reader_resolve(reader, read->value, &read->found, &written_at[where[i]],
                                      read->key, height, err);
        }
    }
    free(hashes);
    free(where);
    free(slow);
    return code;
}

int shr_reader_get_many(struct shr_reader *reader, struct shr_read *reads, size_t n,
                        uint32_t height, struct shrewd_error *err) {
    struct shr_state *state = reader->state;
    uint32_t own_height = height;
    int code = shr_reader_check_held(reader, height, err);
    for (size_t i = 0; i < n; i++) {
        reads[i].found = false;
    }
    if (code == 0 && shr_reader_own_height(reader, &own_height)) {
        uint32_t *written_at = shr_alloc_array(n + 1, sizeof *written_at);
        code = shr_reader_own_many(reader, reads, written_at, n, own_height, err);
        free(written_at);
    }
    if (code == 0 && state->base != NULL) {
        code = base_get_many(reader, reads, n, height, err);
    }
    return code;
}

/* --- Without a reader --- */

int shr_state_get_latest(struct shr_state *state, struct shr_buf *value, struct shr_bytes key,
                         struct shrewd_error *err) {
    return shr_reader_get(&state->now, value, key, UINT32_MAX, err);
}

int shr_state_writer_tip(struct shr_state *state, struct shr_block_record *out,
                         struct shrewd_error *err) {
    return shr_reader_tip(&state->now, out, err);
}

int shr_state_tip(struct shr_state *state, struct shr_block_record *out, struct shrewd_error *err) {
    struct shr_reader *reader;
    int code = shr_reader_open(&reader, state, err);
    if (code == 0) {
        code = shr_reader_tip(reader, out, err);
        shr_reader_close(reader);
    }
    return code;
}

int shr_state_block(struct shr_state *state, struct shr_block_record *out, uint32_t height,
                    struct shrewd_error *err) {
    struct shr_reader *reader;
    int code = shr_reader_open(&reader, state, err);
    if (code == 0) {
        code = shr_reader_block(reader, out, height, err);
        shr_reader_close(reader);
    }
    return code;
}
