/* Checking rows ahead of the tip: what is left of a group of blocks that was not finished. */
#include "state/check_impl.h"

#include "base/alloc.h"
#include "state/state_impl.h"

#include <inttypes.h>
#include <stdlib.h>

#define CHUNK 512 /* keys looked up at a time */

/* Of one list, keys on their way to a look at LATEST. */
struct lookup {
    struct shr_check_run *run;
    struct shr_check_ahead *ahead;
    struct shr_read reads[CHUNK];
    struct shr_buf rows[CHUNK];
    size_t n;
};

static void look_up(struct lookup *lookup) {
    struct shr_check_run *run = lookup->run;
    struct shrewd_error err = {0};
    int code = lookup->n == 0 || run->code != 0
                   ? 0
                   : shr_store_get_many(run->store, run->snapshot, lookup->reads, lookup->n, &err);
    if (code != 0 && code != SHREWD_CORRUPT) { /* what cannot be read is found in LATEST's turn */
        run->code = shr_fail(run->err, code, "%s", err.message);
    }
    for (size_t i = 0; code == 0 && run->code == 0 && i < lookup->n; i++) {
        struct shr_bytes value;
        uint32_t written_at = 0;
        if (lookup->reads[i].found &&
            shr_version_decode(&value, &written_at, shr_buf_bytes(&lookup->rows[i])) == NULL &&
            written_at == lookup->ahead->height) {
            lookup->ahead->newest += shr_check_hash(run, lookup->reads[i].key);
        }
    }
    lookup->n = 0;
}

static void add_key(void *ctx, const struct shr_change *change) {
    struct lookup *lookup = ctx;
    size_t i = lookup->n++;
    lookup->reads[i] =
        (struct shr_read){.table = SHR_TABLE_LATEST, .key = change->key, .value = &lookup->rows[i]};
    if (lookup->n == CHUNK) {
        look_up(lookup);
    }
}

void shr_check_ahead_list(struct shr_check_run *run, struct shr_bytes key, struct shr_bytes row,
                          uint32_t height) {
    if (run->n_ahead == run->ahead_cap) {
        run->ahead_cap = run->ahead_cap == 0 ? 64 : 2 * run->ahead_cap;
        run->ahead = shr_realloc_array(run->ahead, run->ahead_cap, sizeof *run->ahead);
    }
    struct shr_check_ahead *ahead = &run->ahead[run->n_ahead++];
    *ahead = (struct shr_check_ahead){.height = height};
    struct lookup *lookup = shr_alloc(sizeof *lookup);
    lookup->run = run;
    lookup->ahead = ahead;
    if (shr_check_list(run, key, row, add_key, lookup)) {
        look_up(lookup);
    }
    for (size_t i = 0; i < CHUNK; i++) {
        shr_buf_free(&lookup->rows[i]);
    }
    free(lookup);
}

static int by_height(const void *a, const void *b) {
    uint32_t left = ((const struct shr_check_ahead *)a)->height;
    uint32_t right = ((const struct shr_check_ahead *)b)->height;
    return (left > right) - (left < right);
}

void shr_check_ahead_newest(struct shr_check_run *run, struct shr_bytes key, uint32_t written_at) {
    struct shr_check_ahead wanted = {.height = written_at};
    struct shr_check_ahead *ahead = run->n_ahead == 0 ? NULL
                                                      : bsearch(&wanted, run->ahead, run->n_ahead,
                                                                sizeof *run->ahead, by_height);
    if (ahead == NULL && run->unread[SHR_TABLE_CHANGES]) {
        return; /* its list may be there */
    }
    if (ahead == NULL) {
        shr_check_note(run, SHR_TABLE_LATEST, key,
                       "a version written by a block held, or by one that has a list of changes",
                       "written at height %" PRIu32, written_at);
    } else {
        ahead->newest -= shr_check_hash(run, key);
    }
}

void shr_check_ahead_end(struct shr_check_run *run) {
    for (size_t i = 0; i < run->n_ahead && !run->unread[SHR_TABLE_LATEST]; i++) {
        struct shr_height_key key = shr_height_key(run->ahead[i].height);
        if (run->ahead[i].newest != 0) {
            shr_check_note(run, SHR_TABLE_CHANGES, shr_height_key_bytes(&key),
                           "the keys of all versions in LATEST that the block wrote",
                           "LATEST has others");
        }
    }
}

bool shr_check_at_tip(struct shr_check_run *run, struct shr_bytes *value, uint32_t *written_at,
                      struct shr_bytes key) {
    bool found = false;
    if (!shr_check_is_ahead(run, *written_at)) {
        return true;
    }
    if (!run->has_tip || run->code != 0) {
        return false;
    }
    struct shrewd_error err = {0};
    int code = shr_history_find(run->store, run->snapshot, &run->older, &found, written_at, key,
                                run->tip.height, &err);
    *value = shr_buf_bytes(&run->older);
    if (code == SHREWD_CORRUPT) { /* what is damaged was found in HISTORY */
        run->older_unread = true;
    } else if (code != 0) {
        run->code = shr_fail(run->err, code, "%s", err.message);
    }
    return code == 0 && found;
}
