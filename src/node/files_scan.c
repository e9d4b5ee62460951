#include "node/files_scan.h"

#include "base/alloc.h"
#include "base/endian.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX_SIZE 8 /* magic and length */
#define RECORD_SIZE_MIN (PREFIX_SIZE + SHR_HEADER_SIZE + 1)
/* From header to header a little is read; where the next record is searched, more. */
#define STEP_BYTES 4096u
#define SEARCH_BYTES 262144u

/* A piece of the file, key taken off. */
struct window {
    const struct shr_files_file *file;
    int fd;
    uint64_t size; /* of the file */
    uint64_t start;
    size_t len;
    uint8_t data[SEARCH_BYTES];
};

static void take_key_off(uint8_t *out, size_t len, uint64_t offset,
                         const uint8_t key[SHR_FILES_KEY_SIZE]) {
    uint8_t turned[SHR_FILES_KEY_SIZE]; /* the key as it lies over out[0 .. 8) */
    for (size_t i = 0; i < SHR_FILES_KEY_SIZE; i++) {
        turned[i] = key[(offset + i) % SHR_FILES_KEY_SIZE];
    }
    uint64_t word = shr_get_le64(turned);
    if (word == 0) {
        return;
    }
    size_t i = 0;
    for (; i + sizeof word <= len; i += sizeof word) { /* many times as fast as by bytes */
        shr_put_le64(out + i, shr_get_le64(out + i) ^ word);
    }
    for (; i < len; i++) {
        out[i] ^= turned[i % SHR_FILES_KEY_SIZE];
    }
}

int shr_files_read(uint8_t *out, size_t len, int fd, uint64_t offset,
                   const struct shr_files_file *file, struct shrewd_error *err) {
    for (size_t done = 0; done < len;) {
        ssize_t got = pread(fd, out + done, len - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return shr_fail_errno(err, SHREWD_IO, "cannot read '%s'", file->path);
        }
        if (got == 0) {
            return shr_fail(err, SHREWD_IO,
                            "'%s' ends at byte %" PRIu64 ", but %zu bytes from %" PRIu64
                            " on are needed: was it changed meanwhile?",
                            file->path, offset + done, len, offset);
        }
        done += (size_t)got;
    }
    take_key_off(out, len, offset, file->key);
    return 0;
}

static int window_load(struct window *w, uint64_t at, size_t len, struct shrewd_error *err) {
    w->len = len < w->size - at ? len : (size_t)(w->size - at);
    w->start = at;
    int status = shr_files_read(w->data, w->len, w->fd, at, w->file, err);
    if (status != 0) {
        w->len = 0;
        return status;
    }
    return 0;
}

/* Whether the first n bytes are zeros as stored: what a node preallocates is not XORed. */
static bool window_blank(const struct window *w, size_t n) {
    uint8_t any = 0;
    for (size_t i = 0; i < n; i++) {
        any |= w->data[i] ^ w->file->key[(w->start + i) % SHR_FILES_KEY_SIZE];
    }
    return any == 0;
}

/* Loads what is missing of the bytes from `at` on, so that at least min(len, rest) are there. */
static int window_need(struct window *w, uint64_t at, size_t len, struct shrewd_error *err) {
    if (at >= w->start && at + len <= w->start + w->len) {
        return 0;
    }
    return window_load(w, at, STEP_BYTES, err);
}

struct found {
    struct shr_files_record record;
    struct shr_header header;
    const struct shr_network *network;
    bool cut; /* the file ends before the block does */
};

/* Whether a record begins at `at`: the magic, a length in bounds, a header with its proof of work.
 * The bytes at `at` up to RECORD_SIZE_MIN are in the window. */
static bool looks_like_record(struct found *out, const struct shr_files_scan *scan,
                              const struct window *w, uint64_t at) {
    if (w->size - at < RECORD_SIZE_MIN) {
        return false;
    }
    const uint8_t *bytes = w->data + (at - w->start);
    uint32_t len = shr_get_le32(bytes + 4);
    if (len < SHR_HEADER_SIZE + 1 || len > SHR_BLOCK_SIZE_MAX ||
        (scan->has_magic && memcmp(bytes, scan->magic, sizeof scan->magic) != 0)) {
        return false;
    }
    struct shr_bytes header = shr_bytes(bytes + PREFIX_SIZE, SHR_HEADER_SIZE);
    *out = (struct found){.record = {.offset = at + PREFIX_SIZE, .len = len}};
    shr_header_hash(&out->record.hash, header);
    if (shr_header_parse(&out->header, header, NULL) != 0 ||
        !shr_pow_ok(&out->record.hash, out->header.bits)) {
        return false;
    }
    if (!scan->has_magic) {
        /* A private signet has a magic of its own, but the genesis block of all signets. */
        out->network = shr_network_by_magic(bytes);
        if (out->network == NULL) {
            out->network = shr_network_by_genesis(&out->record.hash);
        }
        if (out->network == NULL) {
            return false;
        }
    }
    out->cut = len > w->size - at - PREFIX_SIZE;
    return true;
}

/* The first place at or after `from` where a magic stands, in the window; its end otherwise. */
static size_t find_magic(const struct shr_files_scan *scan, const struct window *w, size_t from) {
    if (scan->has_magic) {
        const uint8_t *hit = memmem(w->data + from, w->len - from, scan->magic, sizeof scan->magic);
        return hit == NULL ? w->len : (size_t)(hit - w->data);
    }
    size_t at = from;
    while (at + 4 <= w->len && shr_network_by_magic(w->data + at) == NULL) {
        at++;
    }
    return at + 4 <= w->len ? at : w->len;
}

/* Finds the next record at or after `from`; *at is the file's size when there is none. *dirt is
 * set when something other than zeros was passed over. */
static int resync(uint64_t *at, bool *dirt, struct found *found, const struct shr_files_scan *scan,
                  struct window *w, uint64_t from, struct shrewd_error *err) {
    uint64_t next = from;
    while (next < w->size) {
        if (shr_stopped(scan->stop)) {
            return shr_fail(err, SHREWD_STOPPED, "stopped while reading '%s'", w->file->path);
        }
        int status = window_load(w, next, SEARCH_BYTES, err);
        if (status != 0) {
            return status;
        }
        for (size_t hit = find_magic(scan, w, 0); hit < w->len;
             hit = find_magic(scan, w, hit + 1)) {
            uint64_t place = w->start + hit;
            if (w->len - hit < RECORD_SIZE_MIN && w->start + w->len < w->size) {
                break; /* the record may reach past the window */
            }
            if (looks_like_record(found, scan, w, place) && !found->cut) {
                *dirt |= !window_blank(w, hit);
                *at = place;
                return 0;
            }
        }
        bool last = w->start + w->len == w->size;
        size_t passed = last ? w->len : w->len - (RECORD_SIZE_MIN - 1);
        *dirt |= !window_blank(w, passed);
        next += passed;
    }
    *at = w->size;
    return 0;
}

static void add_found(struct shr_files_scan *scan, struct found *found, uint32_t number,
                      const uint8_t *magic) {
    if (!scan->has_magic) {
        memcpy(scan->magic, magic, sizeof scan->magic);
        scan->has_magic = true;
        scan->index->network = found->network;
    }
    found->record.file = number;
    shr_files_index_add(scan->index, &found->record, &found->header);
}

static int scan_window(struct shr_files_scan *scan, struct window *w, uint32_t number,
                       struct shrewd_error *err) {
    const char *path = w->file->path;
    for (uint64_t at = 0; at < w->size;) {
        struct found found;
        int status = shr_stopped(scan->stop)
                         ? shr_fail(err, SHREWD_STOPPED, "stopped while reading '%s'", path)
                         : window_need(w, at, RECORD_SIZE_MIN, err);
        if (status != 0) {
            return status;
        }
        bool ok = looks_like_record(&found, scan, w, at);
        if (ok && found.cut) {
            shr_warn("files",
                     "'%s' ends inside the block at byte %" PRIu64 ": %" PRIu64
                     " of its %u bytes are there; it is left out",
                     path, at, w->size - at - PREFIX_SIZE, found.record.len);
        }
        if (!ok || found.cut) {
            uint64_t next = w->size;
            bool dirt = false;
            status = resync(&next, &dirt, &found, scan, w, ok ? at + PREFIX_SIZE : at, err);
            if (status != 0) {
                return status;
            }
            if (dirt && !ok) {
                shr_warn("files",
                         "'%s': bytes %" PRIu64 " to %" PRIu64
                         " are neither a block nor empty; passed over",
                         path, at, next - 1);
            }
            at = next;
            if (at == w->size) {
                break;
            }
        }
        add_found(scan, &found, number, w->data + (at - w->start));
        at += PREFIX_SIZE + found.record.len;
    }
    return 0;
}

static int window_open(struct window **out, const struct shr_files_file *file,
                       struct shrewd_error *err) {
    int fd = open(file->path, O_RDONLY | O_CLOEXEC);
    struct stat about;
    if (fd < 0 || fstat(fd, &about) != 0) {
        int code = shr_fail_errno(err, SHREWD_IO, "cannot open '%s'", file->path);
        if (fd >= 0) {
            close(fd);
        }
        return code;
    }
    struct window *w = shr_alloc(sizeof *w);
    w->file = file;
    w->fd = fd;
    w->size = (uint64_t)about.st_size;
    *out = w;
    return 0;
}

static void window_close(struct window *w) {
    close(w->fd);
    free(w);
}

int shr_files_scan(struct shr_files_scan *scan, const struct shr_files_file *file, uint32_t number,
                   struct shrewd_error *err) {
    struct window *w = NULL;
    int status = window_open(&w, file, err);
    if (status != 0) {
        return status;
    }
    status = scan_window(scan, w, number, err);
    window_close(w);
    return status;
}

bool shr_files_starts_with_record(const struct shr_files_file *file) {
    struct window *w = NULL;
    struct found found;
    const struct shr_files_scan scan = {0};
    if (window_open(&w, file, NULL) != 0) {
        return false;
    }
    bool yes = w->size > 0 && window_load(w, 0, STEP_BYTES, NULL) == 0 &&
               looks_like_record(&found, &scan, w, 0);
    window_close(w);
    return yes;
}
