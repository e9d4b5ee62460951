#include "state/root_aside.h"

#include "base/alloc.h"
#include "state/key_hash.h"

#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* What is written at a time; no bucket lies in two. */
#define CHUNK_BYTES_MIN ((size_t)4 << 10)
#define CHUNK_BYTES_MAX ((size_t)1 << 20)
#define RING_CHUNKS_MIN 8u
#define GROWTH_CHUNKS 64u /* for which the disk is asked what it has free */
#define LEAF_BYTES sizeof(struct shr_root_leaf)
/* Where a bucket is: its place, in units, and its leaves, which may be 1 to 32. */
#define UNIT_BYTES 16u
#define LEAVES_BITS 6u

/* Before a bucket's leaves. */
struct head {
    uint64_t sum; /* of what follows and the place */
    uint32_t diff_bytes;
    uint16_t n;
    uint8_t depth, n_diffs;
};
static_assert(sizeof(struct head) == UNIT_BYTES, "leaves begin at a unit");
static_assert(SHR_ROOT_BUCKET_MAX < 1u << LEAVES_BITS, "their number fits");
static_assert(LEAF_BYTES % UNIT_BYTES == 0, "buckets end at a unit");

struct record {
    struct head head;
    struct shr_root_leaf leaves[SHR_ROOT_BUCKET_MAX];
};

/* Places count from 0 on and are never used twice: what is at p is in the file at p modulo the
 * ring's size, until that much more has been written. */
struct shr_root_aside {
    char *folder;
    int fd; /* -1: there is no file yet */
    bool failed;
    uint64_t most;    /* bytes that the ring may come to: whole chunks */
    uint64_t ring;    /* the same, where the disk has no room for more */
    uint64_t written; /* whole chunks that are in the file, or were */
    size_t chunk_bytes;
    uint8_t *chunk; /* the one after those; NULL: nothing was put aside yet */
    size_t used;    /* bytes of it */
    struct shr_key_seed seed;
    pthread_mutex_t lock; /* for putting aside */
};

static size_t chunk_of(uint64_t ring) {
    uint64_t bytes = ring / RING_CHUNKS_MIN / CHUNK_BYTES_MIN * CHUNK_BYTES_MIN;
    return bytes < CHUNK_BYTES_MIN   ? CHUNK_BYTES_MIN
           : bytes > CHUNK_BYTES_MAX ? CHUNK_BYTES_MAX
                                     : (size_t)bytes;
}

struct shr_root_aside *shr_root_aside_new(const char *folder, uint64_t bytes) {
    struct shr_root_aside *aside = shr_alloc(sizeof *aside);
    aside->folder = shr_strdup(folder);
    aside->fd = -1;
    aside->chunk_bytes = chunk_of(bytes);
    aside->most = aside->ring = bytes / aside->chunk_bytes * aside->chunk_bytes;
    shr_key_seed_make(&aside->seed);
    int failed = pthread_mutex_init(&aside->lock, NULL);
    assert(failed == 0); /* cannot fail with default attributes on Linux */
    (void)failed;
    return aside;
}

void shr_root_aside_free(struct shr_root_aside *aside) {
    if (aside == NULL) {
        return;
    }
    if (aside->fd >= 0) {
        close(aside->fd);
    }
    pthread_mutex_destroy(&aside->lock);
    free(aside->chunk);
    free(aside->folder);
    free(aside);
}

void shr_root_aside_clear(struct shr_root_aside *aside) {
    if (aside->fd >= 0) {
        close(aside->fd);
    }
    aside->fd = -1;
    aside->failed = false;
    aside->ring = aside->most;
    aside->written = 0;
    aside->used = 0;
}

/* --- Writing --- */

/* A file without a name goes when the process ends, however it does. */
static int make_file(const char *folder) {
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) { /* not every file system can do that */
        char *path = shr_asprintf("%s/.shrewd-aside-XXXXXX", folder);
        fd = mkostemp(path, O_CLOEXEC);
        if (fd >= 0) {
            unlink(path);
        }
        free(path);
    }
    return fd;
}

/* Whether the file may take some more chunks: the disk is the database's. */
static bool may_grow(const struct shr_root_aside *aside) {
    struct statvfs disk;
    return fstatvfs(aside->fd, &disk) == 0 &&
           (uint64_t)disk.f_bavail * disk.f_frsize / 2 >= aside->ring;
}

static bool write_all(int fd, const uint8_t *bytes, size_t n, uint64_t at) {
    while (n > 0) {
        ssize_t done = pwrite(fd, bytes, n, (off_t)at);
        if (done <= 0) {
            return false;
        }
        bytes += done;
        n -= (size_t)done;
        at += (uint64_t)done;
    }
    return true;
}

/* The chunk in memory is full. A ring that may not grow is as large as it is. */
static void write_chunk(struct shr_root_aside *aside) {
    if (aside->fd < 0) {
        aside->fd = make_file(aside->folder);
    }
    bool grows = aside->written < aside->ring;
    if (grows && aside->fd >= 0 && aside->written / aside->chunk_bytes % GROWTH_CHUNKS == 0 &&
        !may_grow(aside)) {
        aside->ring = aside->written;
    }
    aside->failed =
        aside->fd < 0 || aside->ring == 0 ||
        !write_all(aside->fd, aside->chunk, aside->chunk_bytes, aside->written % aside->ring);
    if (!aside->failed) {
        aside->written += aside->chunk_bytes;
        aside->used = 0;
    }
}

static uint64_t sum_of(const struct shr_root_aside *aside, const struct record *record,
                       uint64_t place) {
    const uint8_t *from = (const uint8_t *)record + sizeof record->head.sum;
    size_t n = sizeof record->head - sizeof record->head.sum + record->head.n * LEAF_BYTES;
    return shr_key_fold(shr_key_hash(&aside->seed, shr_bytes(from, n)) ^ place,
                        aside->seed.words[0]);
}

/* Room for so many bytes in the chunk in memory; NULL: there is none. */
static struct record *make_room(struct shr_root_aside *aside, size_t bytes) {
    if (aside->chunk == NULL) {
        aside->chunk = shr_alloc(aside->chunk_bytes);
    }
    if (!aside->failed && aside->used + bytes > aside->chunk_bytes) {
        write_chunk(aside);
    }
    return aside->failed ? NULL : (struct record *)(void *)(aside->chunk + aside->used);
}

uint64_t shr_root_aside_put(struct shr_root_aside *aside, const struct shr_root_page *page) {
    size_t bytes = sizeof(struct head) + page->n * LEAF_BYTES;
    uint64_t at = 0;
    pthread_mutex_lock(&aside->lock);
    struct record *record = aside->ring == 0 ? NULL : make_room(aside, bytes);
    if (record != NULL) {
        uint64_t place = aside->written + aside->used;
        record->head = (struct head){.diff_bytes = page->diff_bytes,
                                     .n = page->n,
                                     .depth = page->depth,
                                     .n_diffs = page->n_diffs};
        memcpy(record->leaves, page->of.leaves, page->n * LEAF_BYTES);
        record->head.sum = sum_of(aside, record, place);
        aside->used += bytes;
        at = place / UNIT_BYTES << LEAVES_BITS | page->n;
    }
    pthread_mutex_unlock(&aside->lock);
    return at;
}

/* --- Reading --- */

static bool read_record(const struct shr_root_aside *aside, struct record *out, uint64_t place,
                        size_t bytes) {
    if (place >= aside->written) {
        memcpy(out, aside->chunk + (place - aside->written), bytes);
        return true;
    }
    uint64_t chunk = place / aside->chunk_bytes * aside->chunk_bytes;
    return aside->fd >= 0 && aside->written - chunk <= aside->ring &&
           pread(aside->fd, out, bytes, (off_t)(place % aside->ring)) == (ssize_t)bytes;
}

struct shr_root_page *shr_root_aside_take(struct shr_root_aside *aside, uint64_t at,
                                          unsigned depth) {
    struct record record;
    size_t n = at & ((1u << LEAVES_BITS) - 1);
    uint64_t place = (at >> LEAVES_BITS) * UNIT_BYTES;
    if (!read_record(aside, &record, place, sizeof record.head + n * LEAF_BYTES) ||
        record.head.n != n || record.head.depth != depth ||
        record.head.sum != sum_of(aside, &record, place)) {
        return NULL;
    }
    struct shr_root_page *page = shr_root_page_new(depth, false);
    page->n = record.head.n;
    page->n_diffs = record.head.n_diffs;
    page->diff_bytes = record.head.diff_bytes;
    shr_root_page_reserve(page, n);
    memcpy(page->of.leaves, record.leaves, n * LEAF_BYTES);
    return page;
}
