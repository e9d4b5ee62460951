/* ROOT and ROOT_PAGES: each row of a page of the state's tree is listed by its block, and each one
 * listed is there. Compared by sums, one for each height: ROOT takes off what the lists put on. */
#include "state/check_impl.h"
#include "state/root_page.h"

#include "base/endian.h"

#include <inttypes.h>
#include <string.h>

#define HEIGHT_BYTES 4
#define LISTED "the pages that ROOT has a row of, and of which a whole one"

/* Of a row: which page, of which height, and whether all of it. */
static uint64_t sum_of(const struct shr_check_run *run, struct shr_bytes page, uint32_t height,
                       bool full) {
    return shr_check_hash(run, page) * (((uint64_t)height << 2) + (full ? 3 : 1));
}

static void note_unwanted(struct shr_check_run *run, enum shr_table table, struct shr_bytes key) {
    shr_check_note(run, table, key, "no row, as no state root is kept", "one");
}

/* Adds a list to a sum; NULL, or what is wrong with it. */
static const char *add_list(const struct shr_check_run *run, uint64_t *sum, uint32_t height,
                            struct shr_bytes row) {
    while (row.len > 0) {
        uint8_t scratch[SHR_ROOT_KEY_BYTES_MAX];
        struct shr_root_listed page;
        const char *wrong = shr_root_list_take(&page, scratch, &row);
        if (wrong != NULL) {
            return wrong;
        }
        *sum += sum_of(run, page.page, height, page.full);
    }
    return NULL;
}

static enum shr_scan_step visit_list(void *ctx, struct shr_bytes key, struct shr_bytes row) {
    struct shr_check_run *run = ctx;
    bool sound = key.len == HEIGHT_BYTES;
    uint32_t at = sound ? shr_get_be32(key.data) : 0;
    struct shr_check_height *height = sound ? shr_check_height(run, at) : NULL;
    if (!run->keep_root) {
        note_unwanted(run, SHR_TABLE_ROOT_PAGES, key);
    } else if (sound && shr_check_is_ahead(run, at)) {
        return shr_check_step(run, key, row);
    } else if (height == NULL) {
        shr_check_note(run, SHR_TABLE_ROOT_PAGES, key,
                       "the height of a block that is held and not pruned", "another key");
    } else {
        const char *wrong = add_list(run, &height->pages, at, row);
        if (wrong != NULL) {
            shr_check_note(run, SHR_TABLE_ROOT_PAGES, key, "the pages a block changed", "%s",
                           wrong);
        }
        height->pages_listed = true;
        height->pages_reported = wrong != NULL;
    }
    return shr_check_step(run, key, row);
}

/* A ROOT row's page and height; false when the key is none. */
static bool take_key(struct shr_bytes *page, uint32_t *height, struct shr_bytes key) {
    size_t len = key.len > 0 && key.data[0] <= SHR_ROOT_DEPTH_MAX
                     ? shr_root_key_page_bytes(key.data[0])
                     : SIZE_MAX;
    if (key.len < HEIGHT_BYTES || key.len - HEIGHT_BYTES != len) {
        return false;
    }
    *page = shr_bytes(key.data, len);
    *height = UINT32_MAX - shr_get_be32(key.data + len);
    return true;
}

static enum shr_scan_step visit_row(void *ctx, struct shr_bytes key, struct shr_bytes row) {
    struct shr_check_leaves *leaves = ctx;
    struct shr_check_run *run = leaves->run;
    struct shr_bytes page;
    uint32_t at = 0;
    if (!run->keep_root) {
        note_unwanted(run, SHR_TABLE_ROOT, key);
    } else if (!take_key(&page, &at, key)) {
        shr_check_note(run, SHR_TABLE_ROOT, key, "a page and a height", "%zu bytes", key.len);
    } else if (shr_check_is_ahead(run, at)) {
        return shr_check_step(run, key, row);
    } else if (run->has_blocks && at < run->first) {
        shr_check_note(run, SHR_TABLE_ROOT, key, "the height of a block that is held", "%" PRIu32,
                       at);
    } else {
        struct shr_check_height *height = shr_check_height(run, at);
        bool full = row.len > 0 && shr_root_row_full(row.data[0]);
        if (height != NULL) { /* a pruned height has no list */
            height->pages -= sum_of(run, page, at, full);
        }
        shr_check_leaf_row(leaves, page, at, row);
    }
    return shr_check_step(run, key, row);
}

int shr_check_pages(struct shr_check_run *run) {
    struct shr_check_leaves leaves;
    shr_check_leaf_begin(&leaves, run);
    int code = shr_check_scan(run, SHR_TABLE_ROOT_PAGES, visit_list, run);
    if (code == 0) {
        code = shr_check_scan(run, SHR_TABLE_ROOT, visit_row, &leaves);
        if (!run->unread[SHR_TABLE_ROOT]) {
            shr_check_leaf_end(&leaves);
        }
    }
    shr_check_leaf_free(&leaves);
    bool unread = run->unread[SHR_TABLE_ROOT] || run->unread[SHR_TABLE_ROOT_PAGES];
    if (code != 0 || !run->keep_root || !run->has_blocks || unread) {
        return code;
    }
    for (uint64_t at = run->held_from; at <= run->last && !shr_check_full(run); at++) {
        const struct shr_check_height *height = shr_check_height(run, (uint32_t)at);
        struct shr_height_key key = shr_height_key((uint32_t)at);
        if (height->pages_reported) {
            continue;
        }
        if (!height->pages_listed) {
            shr_check_note(run, SHR_TABLE_ROOT_PAGES, shr_height_key_bytes(&key),
                           "the pages a block changed", "no row");
        } else if (height->pages != 0) {
            shr_check_note(run, SHR_TABLE_ROOT_PAGES, shr_height_key_bytes(&key), LISTED,
                           "other rows there");
        }
    }
    return 0;
}
