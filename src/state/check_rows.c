/* Checking CHANGES, HISTORY and LATEST: each row by itself, against its neighbours, and into the
 * sums of its heights (check_impl.h). */
#include "state/check_impl.h"

#include "base/alloc.h"
#include "base/endian.h"
#include "state/state_impl.h"

#include <inttypes.h>
#include <stdlib.h>

#define CHUNK 512 /* keys asked of a fork's base at a time */

/* --- CHANGES --- */

struct changes {
    struct shr_check_run *run;
    uint64_t next;       /* the height expected */
    uint64_t total_keys; /* held before that height */
    /* of the row in hand */
    struct shr_check_height *at;
    uint64_t n_keys, key_bytes, n_new;
    struct shr_read below[CHUNK]; /* a fork: new keys, which its base may have */
    struct shr_buf values[CHUNK];
    size_t n_below;
};

/* In a fork a key that its base has is listed as new, but was held before. */
static void look_below(struct changes *changes) {
    struct shr_check_run *run = changes->run;
    if (changes->n_below > 0 && run->code == 0) {
        run->code = shr_reader_get_many(run->options->base, changes->below, changes->n_below,
                                        run->fork.height, run->err);
    }
    for (size_t i = 0; run->code == 0 && i < changes->n_below; i++) {
        changes->n_new -= changes->below[i].found;
    }
    changes->n_below = 0;
}

static void add_change(void *ctx, const struct shr_change *change) {
    struct changes *changes = ctx;
    struct shr_check_height *at = changes->at;
    uint64_t hash = shr_check_hash(changes->run, change->key);
    changes->n_keys++;
    changes->key_bytes += change->key.len;
    at->written -= hash;
    if (change->replaced) {
        at->replaced -= hash;
        return;
    }
    changes->n_new++;
    if (changes->run->has_fork) {
        size_t i = changes->n_below++;
        changes->below[i] = (struct shr_read){.key = change->key, .value = &changes->values[i]};
        if (changes->n_below == CHUNK) {
            look_below(changes);
        }
    }
}

bool shr_check_list(struct shr_check_run *run, struct shr_bytes key, struct shr_bytes row,
                    shr_check_change_fn *visit, void *ctx) {
    struct shr_bytes before = shr_bytes(NULL, 0);
    bool first = true;
    while (row.len > 0) {
        struct shr_change change;
        const char *wrong = shr_change_take(&change, &row);
        if (wrong == NULL && !first && shr_bytes_cmp(before, change.key) >= 0) {
            wrong = shr_bytes_eq(before, change.key) ? "a key is listed twice"
                                                     : "keys are not in order";
        }
        if (wrong != NULL) {
            shr_check_note(run, SHR_TABLE_CHANGES, key,
                           "the keys a block changed, each once, in order", "%s", wrong);
            return false;
        }
        visit(ctx, &change);
        before = change.key;
        first = false;
    }
    return true;
}

/* Whether the row is a sound list of keys. */
static bool read_changes(struct changes *changes, struct shr_check_height *at, struct shr_bytes key,
                         struct shr_bytes row) {
    changes->n_keys = changes->key_bytes = changes->n_new = 0;
    changes->at = at;
    if (!shr_check_list(changes->run, key, row, add_change, changes)) {
        changes->n_below = 0;
        return false;
    }
    look_below(changes);
    return true;
}

bool shr_check_record(struct shr_check_run *run, struct shr_block_record *out, uint32_t height) {
    struct shr_height_key key = shr_height_key(height);
    struct shr_buf row = {0};
    int code = shr_store_get(run->store, run->snapshot, SHR_TABLE_BLOCKS, &row,
                             shr_height_key_bytes(&key), NULL);
    bool sound = code == 0 && shr_record_decode(out, height, shr_buf_bytes(&row)) == NULL;
    shr_buf_free(&row);
    return sound;
}

static void compare(struct shr_check_run *run, uint32_t height, const char *expected,
                    uint64_t counted, uint64_t recorded) {
    struct shr_height_key key = shr_height_key(height);
    if (counted != recorded) {
        shr_check_note(run, SHR_TABLE_BLOCKS, shr_height_key_bytes(&key), expected,
                       "%" PRIu64 " in the record, %" PRIu64 " counted", recorded, counted);
    }
}

static void compare_record(struct changes *changes, struct shr_check_height *at, uint32_t height) {
    struct shr_check_run *run = changes->run;
    struct shr_block_record record;
    if (!shr_check_record(run, &record, height)) {
        at->reported = true;
        changes->total_keys += changes->n_new;
        return;
    }
    compare(run, height, "the number of keys changed", changes->n_keys, record.n_keys);
    compare(run, height, "the bytes of the keys changed", changes->key_bytes, record.key_bytes);
    compare(run, height, "the number of keys held", changes->total_keys + changes->n_new,
            record.total_keys);
    changes->total_keys = record.total_keys;
    at->value_bytes -= record.value_bytes;
}

static void note_missing(struct shr_check_run *run, uint64_t from, uint64_t to) {
    for (uint64_t height = from; height < to; height++) {
        struct shr_check_height *at = shr_check_height(run, (uint32_t)height);
        if (at != NULL) {
            at->reported = true;
        }
    }
    if (from < to && !run->unread[SHR_TABLE_CHANGES]) {
        struct shr_height_key key = shr_height_key((uint32_t)from);
        shr_check_note(run, SHR_TABLE_CHANGES, shr_height_key_bytes(&key),
                       "the keys changed by every block held",
                       "no row of heights %" PRIu64 " to %" PRIu64, from, to - 1);
    }
}

/* The keys held before `height`, as far as that can be known. */
static uint64_t keys_before(struct shr_check_run *run, uint64_t height) {
    struct shr_block_record record = {0};
    if (height > run->first) {
        shr_check_record(run, &record, (uint32_t)(height - 1));
    } else if (run->options->base != NULL &&
               shr_reader_block(run->options->base, &record, run->fork.height, NULL) != 0) {
        return 0;
    }
    return record.total_keys;
}

static enum shr_scan_step visit_changes(void *ctx, struct shr_bytes key, struct shr_bytes row) {
    struct changes *changes = ctx;
    struct shr_check_run *run = changes->run;
    uint32_t height = key.len == 4 ? shr_get_be32(key.data) : 0;
    struct shr_check_height *at = key.len == 4 ? shr_check_height(run, height) : NULL;
    if (key.len == 4 && shr_check_is_ahead(run, height)) {
        shr_check_ahead_list(run, key, row, height);
        return shr_check_step(run, key, row);
    }
    if (at == NULL) {
        shr_check_note(run, SHR_TABLE_CHANGES, key, "the height of a block with undo data",
                       "a key of %zu bytes, height %" PRIu32, key.len, height);
        return shr_check_step(run, key, row);
    }
    if (height != changes->next) {
        note_missing(run, changes->next, height);
        changes->total_keys = keys_before(run, height);
    }
    if (read_changes(changes, at, key, row)) {
        compare_record(changes, at, height);
    } else {
        at->reported = true;
        changes->total_keys = keys_before(run, (uint64_t)height + 1);
    }
    changes->next = (uint64_t)height + 1;
    return shr_check_step(run, key, row);
}

int shr_check_changes(struct shr_check_run *run) {
    struct changes *changes = shr_alloc(sizeof *changes);
    changes->run = run;
    changes->next = run->held_from;
    changes->total_keys = run->has_blocks ? keys_before(run, run->held_from) : 0;
    int code = shr_check_scan(run, SHR_TABLE_CHANGES, visit_changes, changes);
    if (code == 0 && run->has_blocks && !shr_check_full(run)) {
        note_missing(run, changes->next, (uint64_t)run->last + 1);
    }
    for (size_t i = 0; i < CHUNK; i++) {
        shr_buf_free(&changes->values[i]);
    }
    free(changes);
    return code;
}

/* --- HISTORY --- */

struct history {
    struct shr_check_run *run;
    bool any;
    struct shr_buf key; /* of the row before, without its height */
    uint32_t replaced_at;
    struct shr_root_leaf leaf; /* its hash, once it has been taken */
    bool has_leaf;
};

bool shr_check_history_key(struct shr_bytes *key, uint32_t *height, struct shr_bytes row) {
    if (row.len < 8 || shr_get_be32(row.data) != row.len - 8) {
        return false;
    }
    *key = shr_bytes(row.data + 4, row.len - 8);
    *height = shr_get_be32(row.data + row.len - 4);
    return true;
}

/* A version that was written at `height`; whether that may be. */
static bool add_version(struct shr_check_run *run, struct shr_bytes key, struct shr_bytes value,
                        uint32_t height) {
    struct shr_check_height *at = shr_check_height(run, height);
    if (at != NULL) {
        at->written += shr_check_hash(run, key);
        at->value_bytes += value.len;
    }
    return run->has_blocks && height >= run->first && height <= run->last;
}

/* The blocks that wrote and replaced a version, of the key in hand, each have it in their sum of
 * leaves. */
static void add_value(struct history *history, struct shr_bytes key, struct shr_bytes value,
                      uint32_t written_at, struct shr_check_height *replaced) {
    struct shr_check_run *run = history->run;
    struct shr_check_height *written = shr_check_value_height(run, written_at);
    if (!run->keep_root) {
        return;
    }
    if (!history->has_leaf) {
        shr_sha256(&history->leaf.key, key);
        history->has_leaf = true;
    }
    shr_sha256(&history->leaf.value, value);
    uint64_t sum = shr_check_leaf(run, &history->leaf);
    if (written != NULL) {
        written->values += sum;
    }
    if (replaced != NULL) {
        replaced->values -= sum;
    }
}

static void check_version(struct history *history, struct shr_bytes row_key, struct shr_bytes key,
                          uint32_t replaced_at, struct shr_bytes row) {
    struct shr_check_run *run = history->run;
    struct shr_check_height *at = shr_check_height(run, replaced_at);
    struct shr_bytes value;
    uint32_t written_at = 0;
    const char *wrong = shr_version_decode(&value, &written_at, row);
    bool same_key = history->any && shr_bytes_eq(shr_buf_bytes(&history->key), key);
    history->has_leaf = history->has_leaf && same_key;
    if (at == NULL) {
        shr_check_note(run, SHR_TABLE_HISTORY, row_key, "a version that a block held replaced",
                       "replaced at height %" PRIu32, replaced_at);
    } else {
        at->replaced += shr_check_hash(run, key);
    }
    if (wrong != NULL) {
        shr_check_note(run, SHR_TABLE_HISTORY, row_key, "a version", "%s", wrong);
        if (at != NULL) {
            at->values_unknown = true;
        }
        return;
    }
    add_value(history, key, value, written_at, at);
    if (!add_version(run, key, value, written_at) || written_at >= replaced_at) {
        shr_check_note(run, SHR_TABLE_HISTORY, row_key,
                       "a version written by a block held, below the height that replaced it",
                       "written at height %" PRIu32, written_at);
    } else if (same_key && written_at != history->replaced_at) {
        shr_check_note(run, SHR_TABLE_HISTORY, row_key,
                       "a version written where the one before it was replaced",
                       "written at height %" PRIu32 ", not %" PRIu32, written_at,
                       history->replaced_at);
    }
}

/* One ahead of the tip may be what LATEST has no more. */
static void check_version_ahead(struct shr_check_run *run, struct shr_bytes row_key,
                                uint32_t replaced_at, struct shr_bytes row) {
    struct shr_bytes value;
    uint32_t written_at = 0;
    const char *wrong = shr_version_decode(&value, &written_at, row);
    if (wrong != NULL) {
        shr_check_note(run, SHR_TABLE_HISTORY, row_key, "a version", "%s", wrong);
    } else if (written_at >= replaced_at) {
        shr_check_note(run, SHR_TABLE_HISTORY, row_key,
                       "a version written below the height that replaced it",
                       "written at height %" PRIu32, written_at);
    }
}

static enum shr_scan_step visit_history(void *ctx, struct shr_bytes row_key, struct shr_bytes row) {
    struct history *history = ctx;
    struct shr_check_run *run = history->run;
    struct shr_bytes key;
    uint32_t replaced_at = 0;
    run->out->versions++;
    if (!shr_check_history_key(&key, &replaced_at, row_key)) {
        shr_check_note(run, SHR_TABLE_HISTORY, row_key, "a key and a height",
                       "a length that does not fit");
        return shr_check_step(run, row_key, row);
    }
    if (shr_check_is_ahead(run, replaced_at)) {
        check_version_ahead(run, row_key, replaced_at, row);
        return shr_check_step(run, row_key, row);
    }
    check_version(history, row_key, key, replaced_at, row);
    history->any = true;
    shr_buf_set(&history->key, key);
    history->replaced_at = replaced_at;
    return shr_check_step(run, row_key, row);
}

int shr_check_history(struct shr_check_run *run) {
    struct history history = {.run = run};
    int code = shr_check_scan(run, SHR_TABLE_HISTORY, visit_history, &history);
    shr_buf_free(&history.key);
    return code;
}

/* --- LATEST --- */

static enum shr_scan_step visit_latest(void *ctx, struct shr_bytes key, struct shr_bytes row) {
    struct shr_check_run *run = ctx;
    struct shr_bytes value;
    uint32_t written_at = 0;
    run->out->versions++;
    const char *wrong = shr_version_decode(&value, &written_at, row);
    if (wrong != NULL) {
        run->out->keys++;
        shr_check_note(run, SHR_TABLE_LATEST, key, "a version", "%s", wrong);
        return shr_check_step(run, key, row);
    }
    if (shr_check_is_ahead(run, written_at)) {
        shr_check_ahead_newest(run, key, written_at);
    }
    if (shr_check_at_tip(run, &value, &written_at, key)) {
        run->out->keys++;
        if (!add_version(run, key, value, written_at)) {
            shr_check_note(run, SHR_TABLE_LATEST, key, "a version written by a block held",
                           "written at height %" PRIu32, written_at);
        }
    }
    return shr_check_step(run, key, row);
}

int shr_check_latest(struct shr_check_run *run) {
    struct shr_block_record record;
    int code = shr_check_scan(run, SHR_TABLE_LATEST, visit_latest, run);
    if (code == 0) {
        shr_check_ahead_end(run);
    }
    bool whole = code == 0 && run->has_blocks && !run->has_fork && !shr_check_full(run) &&
                 !run->unread[SHR_TABLE_LATEST] && !run->older_unread;
    if (whole && shr_check_record(run, &record, run->last)) {
        compare(run, run->last, "the number of keys in LATEST", run->out->keys, record.total_keys);
    }
    return code;
}
