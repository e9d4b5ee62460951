/* Opening read-only, beside a process that writes.
 *
 * RocksDB reads its list of files first, then opens them, then reads the log. What happens
 * meanwhile may tear that apart: files that are loaded after the list was read are missed, where
 * the write that follows them is in the log and is not; and a log whose rows have gone into a file
 * since is not there any more. Either way the tip would be of a block of which not all rows are
 * seen. So: as long as the list has not grown meanwhile, all is well. Else the log that was the
 * oldest must still be there, as logs go from the oldest on, and the last table that is loaded must
 * have what the tip's list of changes says. */
#include "state/rocks.h"

#include "base/endian.h"
#include "state/codec.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TRIES 60
#define TRIES_FAILED 5 /* a file was gone between listing and opening */
#define PAUSE_MS 50

/* What a writer has in its folder. */
struct moment {
    char list[32];      /* the name of the list of files */
    off_t list_bytes;   /* it is appended to */
    uint64_t first_log; /* the number of the oldest log */
};

static uint64_t first_log(const char *path) {
    uint64_t first = 0;
    DIR *dir = opendir(path);
    for (struct dirent *item; dir != NULL && (item = readdir(dir)) != NULL;) {
        char *end = NULL;
        uint64_t number = strtoull(item->d_name, &end, 10);
        if (end != item->d_name && strcmp(end, ".log") == 0 && (first == 0 || number < first)) {
            first = number;
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return first;
}

/* A log without a number, and an empty list, when they cannot be told. */
static void look(struct moment *out, const char *path) {
    *out = (struct moment){.first_log = first_log(path)};
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int current = openat(folder, "CURRENT", O_RDONLY | O_CLOEXEC);
    ssize_t n = current < 0 ? 0 : read(current, out->list, sizeof out->list - 1);
    out->list[n < 0 ? 0 : n] = 0;
    out->list[strcspn(out->list, "\n")] = 0;
    struct stat info;
    if (out->list[0] != 0 && fstatat(folder, out->list, &info, 0) == 0) {
        out->list_bytes = info.st_size;
    }
    if (current >= 0) {
        close(current);
    }
    if (folder >= 0) {
        close(folder);
    }
}

/* --- The rows of the tip --- */

/* The highest block that changed a key, from the tip down; every one must have its list. */
struct newest {
    int64_t from, next; /* the heights of the last list, it not included, and of the one to come */
    bool found;
    uint32_t height;
    struct shr_buf key; /* the first it changed */
};

static enum shr_scan_step take_list(void *ctx, struct shr_bytes key, struct shr_bytes row) {
    struct newest *newest = ctx;
    struct shr_change change;
    newest->height = key.len == 4 ? shr_get_be32(key.data) : 0;
    if (newest->height > newest->next) { /* ahead of the tip */
        return SHR_SCAN_MORE;
    }
    if (newest->height < newest->next || newest->next == newest->from) {
        return SHR_SCAN_DONE;
    }
    newest->next--;
    newest->found = row.len > 0 && shr_change_take(&change, &row) == NULL;
    if (newest->found) {
        shr_buf_set(&newest->key, change.key);
    }
    return newest->found ? SHR_SCAN_DONE : SHR_SCAN_MORE;
}

static bool latest_has(struct shr_store *store, const struct newest *newest, struct shr_buf *row) {
    struct shr_bytes value;
    uint32_t written_at = 0;
    return shr_store_get(store, NULL, SHR_TABLE_LATEST, row, shr_buf_bytes(&newest->key), NULL) ==
               0 &&
           shr_version_decode(&value, &written_at, shr_buf_bytes(row)) == NULL &&
           written_at >= newest->height;
}

/* The height from which on, it not included, there must be lists; false: META does not tell. */
static bool lists_from(struct shr_store *store, int64_t *from) {
    struct shr_buf rows[3] = {{0}};
    struct shr_read reads[] = {
        {.table = SHR_TABLE_META, .key = shr_bytes_str(SHR_META_PRUNED), .value = &rows[0]},
        {.table = SHR_TABLE_META, .key = shr_bytes_str(SHR_META_FORK), .value = &rows[1]},
        {.table = SHR_TABLE_META, .key = shr_bytes_str(SHR_META_IDENTITY), .value = &rows[2]},
    };
    struct shr_fork_record fork;
    struct shr_identity identity;
    uint32_t oldest = 0;
    bool known = shr_store_get_many(store, NULL, reads, 3, NULL) == 0;
    if (known && reads[0].found) {
        known = shr_pruned_decode(&oldest, shr_buf_bytes(&rows[0])) == NULL;
        *from = oldest;
    } else if (known && reads[1].found) {
        known = shr_fork_decode(&fork, shr_buf_bytes(&rows[1])) == NULL;
        *from = known ? fork.height : 0;
    } else if (known) {
        known = reads[2].found && shr_identity_decode(&identity, shr_buf_bytes(&rows[2])) == NULL;
        *from = known ? (int64_t)identity.start_height - 1 : 0;
    }
    for (size_t i = 0; i < 3; i++) {
        shr_buf_free(&rows[i]);
    }
    return known;
}

static bool tip_is_whole(struct shr_store *store) {
    struct shr_buf row = {0};
    struct shr_block_record tip;
    struct newest newest = {0};
    int code = shr_store_get(store, NULL, SHR_TABLE_META, &row, shr_bytes_str(SHR_META_TIP), NULL);
    bool whole = false; /* nor without a tip: it may be in what was missed */
    if (code == 0 && shr_tip_decode(&tip, shr_buf_bytes(&row)) == NULL &&
        lists_from(store, &newest.from)) {
        newest.next = tip.height;
        code = shr_store_scan(store, NULL, SHR_TABLE_CHANGES, shr_bytes(NULL, 0),
                              shr_bytes(NULL, 0), true, take_list, &newest, NULL);
        whole = code == 0 &&
                (newest.found ? latest_has(store, &newest, &row) : newest.next == newest.from);
    }
    shr_buf_free(&newest.key);
    shr_buf_free(&row);
    return whole;
}

/* --- Opening --- */

static void pause_a_moment(void) {
    struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};
    nanosleep(&pause, NULL);
}

int shr_rocks_open_beside(struct shr_rocks *rocks, struct shrewd_error *err) {
    for (int tries = 1; tries <= TRIES; tries++) {
        struct moment before, after;
        look(&before, rocks->path);
        char *message = shr_rocks_open_once(rocks, true);
        look(&after, rocks->path);
        bool same = strcmp(after.list, before.list) == 0 && after.list_bytes == before.list_bytes;
        bool logs = before.first_log != 0 && after.first_log == before.first_log;
        if (message == NULL && (same || (logs && tip_is_whole(&rocks->store)))) {
            return 0;
        }
        if (message != NULL && same && tries >= TRIES_FAILED) {
            return shr_rocks_fail(rocks->path, message, "cannot open", err);
        }
        rocksdb_free(message);
        shr_rocks_close_once(rocks);
        pause_a_moment();
    }
    return shr_fail(err, SHREWD_IO,
                    "cannot open the database '%s' for reading: the process that writes it is too "
                    "fast; try again, or ask that process",
                    rocks->path);
}
