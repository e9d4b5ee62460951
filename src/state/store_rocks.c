/* The RocksDB store: one column family a table. Opening is in rocks_open.c. */
#include "state/rocks.h"

#include "base/alloc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Reads given to RocksDB at a time. */
#define CHUNK 512
/* Writes in a batch that is better off in fresh write buffers: a deep rollback. */
#define LARGE_BATCH ((size_t)100000)
/* Of the five buffers a table may have (rocks_open.c), so many may be full and wait. */
#define FULL_BUFFERS_MAX 2u
/* Of the first level's files, as many may still come while one looks. */
#define FRESH_FILES_SPARE 4u

/* Begins with a dot, as files that a new database's folder may hold (rocks_open.c). */
#define PROBE_NAME ".shrewd-probe"

struct snapshot {
    const rocksdb_snapshot_t *snapshot; /* NULL in a read-only database: nothing changes */
    rocksdb_readoptions_t *reads;
};

static struct shr_rocks *rocks_of(struct shr_store *store) {
    return (struct shr_rocks *)store;
}

/* RocksDB counts what every thread does, in thread-local memory that costs a call to find, and
 * nobody reads it. Tells it not to; once a thread. */
static void count_nothing(void) {
    static _Thread_local bool told;
    if (!told) {
        rocksdb_set_perf_level(rocksdb_disable);
        told = true;
    }
}

static const rocksdb_readoptions_t *reads_of(struct shr_rocks *rocks,
                                             const struct shr_snapshot *snapshot) {
    return snapshot == NULL ? rocks->reads
                            : ((const struct snapshot *)(const void *)snapshot)->reads;
}

static void take_value(struct shr_buf *value, const rocksdb_pinnableslice_t *slice) {
    size_t len;
    const char *data = rocksdb_pinnableslice_value(slice, &len);
    shr_buf_set(value, shr_bytes(data, len));
}

static int rocks_get(struct shr_store *store, const struct shr_snapshot *snapshot,
                     enum shr_table table, struct shr_buf *value, struct shr_bytes key,
                     struct shrewd_error *err) {
    struct shr_rocks *rocks = rocks_of(store);
    char *message = NULL;
    count_nothing();
    rocksdb_pinnableslice_t *slice =
        rocksdb_get_pinned_cf(rocks->db, reads_of(rocks, snapshot), rocks->families[table],
                              shr_rocks_chars(key), key.len, &message);
    if (message != NULL) {
        return shr_rocks_fail(rocks->path, message, "cannot read", err);
    }
    if (slice == NULL) {
        return shr_store_absent(err);
    }
    take_value(value, slice);
    rocksdb_pinnableslice_destroy(slice);
    return 0;
}

/* Up to CHUNK reads of one table, gathered out of a caller's list. */
struct chunk {
    size_t n;
    bool sorted;
    struct shr_read *reads[CHUNK];
    const char *keys[CHUNK];
    size_t lens[CHUNK];
    rocksdb_pinnableslice_t *slices[CHUNK];
    char *messages[CHUNK];
};

static int read_chunk(struct shr_rocks *rocks, const rocksdb_readoptions_t *options,
                      enum shr_table table, struct chunk *chunk, struct shrewd_error *err) {
    rocksdb_batched_multi_get_cf(rocks->db, options, rocks->families[table], chunk->n, chunk->keys,
                                 chunk->lens, chunk->slices, chunk->messages, chunk->sorted);
    int code = 0;
    for (size_t i = 0; i < chunk->n; i++) {
        rocksdb_pinnableslice_t *slice = chunk->slices[i];
        chunk->reads[i]->found = slice != NULL;
        if (chunk->messages[i] != NULL) {
            code = shr_rocks_fail(rocks->path, chunk->messages[i], "cannot read", err);
        }
        if (slice != NULL) {
            take_value(chunk->reads[i]->value, slice);
            rocksdb_pinnableslice_destroy(slice);
        }
    }
    chunk->n = 0;
    chunk->sorted = true;
    return code;
}

static void add_read(struct chunk *chunk, struct shr_read *read) {
    size_t n = chunk->n;
    if (n > 0 && shr_bytes_cmp(chunk->reads[n - 1]->key, read->key) > 0) {
        chunk->sorted = false;
    }
    chunk->reads[n] = read;
    chunk->keys[n] = shr_rocks_chars(read->key);
    chunk->lens[n] = read->key.len;
    chunk->n++;
}

static int rocks_get_many(struct shr_store *store, const struct shr_snapshot *snapshot,
                          struct shr_read *reads, size_t n, struct shrewd_error *err) {
    struct shr_rocks *rocks = rocks_of(store);
    const rocksdb_readoptions_t *options = reads_of(rocks, snapshot);
    struct chunk *chunk = shr_alloc(sizeof *chunk);
    chunk->sorted = true;
    int code = 0;
    count_nothing();
    for (int table = 0; code == 0 && table < SHR_TABLE_COUNT; table++) {
        for (size_t i = 0; code == 0 && i < n; i++) {
            if ((int)reads[i].table == table) {
                add_read(chunk, &reads[i]);
            }
            if (chunk->n == CHUNK) {
                code = read_chunk(rocks, options, (enum shr_table)table, chunk, err);
            }
        }
        if (code == 0 && chunk->n > 0) {
            code = read_chunk(rocks, options, (enum shr_table)table, chunk, err);
        }
    }
    free(chunk);
    return code;
}

/* Places the iterator on the first entry of the range, in the order asked for. */
static void seek(rocksdb_iterator_t *rows, struct shr_bytes from, struct shr_bytes to,
                 bool backward) {
    if (!backward) {
        rocksdb_iter_seek(rows, shr_rocks_chars(from), from.len);
    } else if (to.data == NULL) {
        rocksdb_iter_seek_to_last(rows);
    } else {
        rocksdb_iter_seek_for_prev(rows, shr_rocks_chars(to), to.len);
        size_t len;
        const char *key = rocksdb_iter_valid(rows) ? rocksdb_iter_key(rows, &len) : NULL;
        if (key != NULL && shr_bytes_eq(shr_bytes(key, len), to)) {
            rocksdb_iter_prev(rows);
        }
    }
}

/* Filters know pages only: they are of use to a scan that stays within one. */
static bool within_page(enum shr_table table, struct shr_bytes from, struct shr_bytes to) {
    size_t page = shr_rocks_page_bytes(shr_rocks_chars(from), from.len);
    return table == SHR_TABLE_ROOT && from.len > 0 && to.data != NULL &&
           shr_rocks_page_bytes(shr_rocks_chars(to), to.len) == page &&
           shr_bytes_eq(shr_bytes(from.data, page), shr_bytes(to.data, page));
}

static int rocks_scan(struct shr_store *store, const struct shr_snapshot *snapshot,
                      enum shr_table table, struct shr_bytes from, struct shr_bytes to,
                      bool backward, shr_scan_fn *visit, void *ctx, struct shrewd_error *err) {
    struct shr_rocks *rocks = rocks_of(store);
    const struct snapshot *held = (const struct snapshot *)(const void *)snapshot;
    rocksdb_readoptions_t *options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_verify_checksums(options, 1);
    if (held != NULL && held->snapshot != NULL) {
        rocksdb_readoptions_set_snapshot(options, held->snapshot);
    }
    rocksdb_readoptions_set_total_order_seek(options, !within_page(table, from, to));
    /* The bound lets RocksDB stop at the range's end instead of stepping over what is deleted
     * beyond it; the comparison below is what decides. */
    if (!backward && to.data != NULL) {
        rocksdb_readoptions_set_iterate_upper_bound(options, shr_rocks_chars(to), to.len);
    }
    if (backward && from.len > 0) {
        rocksdb_readoptions_set_iterate_lower_bound(options, shr_rocks_chars(from), from.len);
    }
    count_nothing();
    rocksdb_iterator_t *rows =
        rocksdb_create_iterator_cf(rocks->db, options, rocks->families[table]);
    for (seek(rows, from, to, backward); rocksdb_iter_valid(rows);
         backward ? rocksdb_iter_prev(rows) : rocksdb_iter_next(rows)) {
        size_t key_len, value_len;
        const char *key_data = rocksdb_iter_key(rows, &key_len);
        const char *value_data = rocksdb_iter_value(rows, &value_len);
        struct shr_bytes key = shr_bytes(key_data, key_len);
        if (backward ? shr_bytes_cmp(key, from) < 0
                     : to.data != NULL && shr_bytes_cmp(key, to) >= 0) {
            break;
        }
        if (visit(ctx, key, shr_bytes(value_data, value_len)) == SHR_SCAN_DONE) {
            break;
        }
    }
    char *message = NULL;
    rocksdb_iter_get_error(rows, &message);
    rocksdb_iter_destroy(rows);
    rocksdb_readoptions_destroy(options);
    return message == NULL ? 0 : shr_rocks_fail(rocks->path, message, "cannot read", err);
}

struct scans {
    rocksdb_readoptions_t *options;
    rocksdb_iterator_t *rows;
};

static void *rocks_scans_new(struct shr_store *store, const struct shr_snapshot *snapshot,
                             enum shr_table table) {
    struct shr_rocks *rocks = rocks_of(store);
    const struct snapshot *held = (const struct snapshot *)(const void *)snapshot;
    struct scans *scans = shr_alloc(sizeof *scans);
    scans->options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_verify_checksums(scans->options, 1);
    if (held != NULL && held->snapshot != NULL) {
        rocksdb_readoptions_set_snapshot(scans->options, held->snapshot);
    }
    rocksdb_readoptions_set_total_order_seek(scans->options, table != SHR_TABLE_ROOT);
    rocksdb_readoptions_set_prefix_same_as_start(scans->options, table == SHR_TABLE_ROOT);
    /* A block's pages are kept beside; a proof's are not, and the upper ones are every proof's. */
    rocksdb_readoptions_set_fill_cache(scans->options, table != SHR_TABLE_ROOT || held != NULL);
    count_nothing();
    scans->rows = rocksdb_create_iterator_cf(rocks->db, scans->options, rocks->families[table]);
    return scans;
}

static void rocks_scans_free(void *iterator) {
    struct scans *scans = iterator;
    rocksdb_iter_destroy(scans->rows);
    rocksdb_readoptions_destroy(scans->options);
    free(scans);
}

static int rocks_scans_next(struct shr_store *store, void *iterator, struct shr_bytes from,
                            struct shr_bytes to, shr_scan_fn *visit, void *ctx,
                            struct shrewd_error *err) {
    struct scans *scans = iterator;
    count_nothing();
    for (rocksdb_iter_seek(scans->rows, shr_rocks_chars(from), from.len);
         rocksdb_iter_valid(scans->rows); rocksdb_iter_next(scans->rows)) {
        size_t key_len, value_len;
        const char *key_data = rocksdb_iter_key(scans->rows, &key_len);
        const char *value_data = rocksdb_iter_value(scans->rows, &value_len);
        struct shr_bytes key = shr_bytes(key_data, key_len);
        if ((to.data != NULL && shr_bytes_cmp(key, to) >= 0) ||
            visit(ctx, key, shr_bytes(value_data, value_len)) == SHR_SCAN_DONE) {
            break;
        }
    }
    char *message = NULL;
    rocksdb_iter_get_error(scans->rows, &message);
    return message == NULL ? 0 : shr_rocks_fail(rocks_of(store)->path, message, "cannot read", err);
}

/* A number that RocksDB gives as text for some properties; the largest when it gives none. */
static uint64_t count_of(struct shr_rocks *rocks, enum shr_table table, const char *property) {
    char *text = rocksdb_property_value_cf(rocks->db, rocks->families[table], property);
    uint64_t n = text == NULL ? UINT64_MAX : strtoull(text, NULL, 10);
    rocksdb_free(text);
    return n;
}

/* Whether a table's write buffer can be written out without waiting. RocksDB would hold the caller
 * back while one more would slow writes down, until a compaction has made room: 18 s, once, rolling
 * back with 16 million keys. */
static bool takes_fresh_buffer(struct shr_rocks *rocks, enum shr_table table) {
    return count_of(rocks, table, "rocksdb.num-immutable-mem-table") <= FULL_BUFFERS_MAX &&
           count_of(rocks, table, "rocksdb.num-files-at-level0") <
               SHR_ROCKS_FRESH_FILES_SLOW - FRESH_FILES_SPARE;
}

/* Starts fresh write buffers, the full ones being written out meanwhile. Sorted writes into an
 * empty buffer are faster than between the many entries of a full one: rolling back 95 blocks of
 * 5,000 keys took 0.7 s instead of 1.5 s. */
static int fresh_buffers(struct shr_rocks *rocks, struct shrewd_error *err) {
    static const enum shr_table large[] = {SHR_TABLE_LATEST, SHR_TABLE_HISTORY};
    char *message = NULL;
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(options, 0);
    for (size_t i = 0; message == NULL && i < sizeof large / sizeof large[0]; i++) {
        if (takes_fresh_buffer(rocks, large[i])) {
            rocksdb_flush_cf(rocks->db, options, rocks->families[large[i]], &message);
        }
    }
    rocksdb_flushoptions_destroy(options);
    return message == NULL ? 0 : shr_rocks_fail(rocks->path, message, "cannot write", err);
}

static int rocks_write(struct shr_store *store, const struct shr_batch *batch, bool sync,
                       struct shrewd_error *err) {
    struct shr_rocks *rocks = rocks_of(store);
    if (batch->n >= LARGE_BATCH) {
        int code = fresh_buffers(rocks, err);
        if (code != 0) {
            return code;
        }
    }
    rocksdb_writebatch_t *writes = rocksdb_writebatch_create();
    for (size_t i = 0; i < batch->n; i++) {
        const struct shr_write *write = &batch->writes[i];
        rocksdb_column_family_handle_t *family = rocks->families[write->table];
        if (write->remove) {
            rocksdb_writebatch_delete_cf(writes, family, shr_rocks_chars(write->key),
                                         write->key.len);
        } else {
            rocksdb_writebatch_put_cf(writes, family, shr_rocks_chars(write->key), write->key.len,
                                      shr_rocks_chars(write->value), write->value.len);
        }
    }
    char *message = NULL;
    count_nothing();
    rocksdb_write(rocks->db, sync ? rocks->synced_writes : rocks->writes, writes, &message);
    rocksdb_writebatch_destroy(writes);
    if (message != NULL) {
        atomic_store(&rocks->failed, true);
    }
    return message == NULL ? 0 : shr_rocks_fail(rocks->path, message, "cannot write", err);
}

static int rocks_snapshot(struct shr_store *store, struct shr_snapshot **out,
                          struct shrewd_error *err) {
    struct shr_rocks *rocks = rocks_of(store);
    struct snapshot *made = shr_alloc(sizeof *made);
    made->reads = rocksdb_readoptions_create();
    rocksdb_readoptions_set_verify_checksums(made->reads, 1);
    if (!store->read_only) {
        made->snapshot = rocksdb_create_snapshot(rocks->db);
        rocksdb_readoptions_set_snapshot(made->reads, made->snapshot);
    }
    *out = (struct shr_snapshot *)(void *)made;
    return 0;
}

static void rocks_snapshot_free(struct shr_store *store, struct shr_snapshot *snapshot) {
    struct snapshot *made = (struct snapshot *)(void *)snapshot;
    rocksdb_readoptions_destroy(made->reads);
    if (made->snapshot != NULL) {
        rocksdb_release_snapshot(rocks_of(store)->db, made->snapshot);
    }
    free(made);
}

/* The folder's files, counted as the file system does. */
static int folder_bytes(const char *path, uint64_t *bytes, struct shrewd_error *err) {
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return shr_fail_errno(err, SHREWD_IO, "cannot open '%s'", path);
    }
    *bytes = 0;
    for (struct dirent *item; (item = readdir(dir)) != NULL;) {
        struct stat info;
        /* A file may be gone by now: RocksDB works on. */
        if (fstatat(dirfd(dir), item->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(info.st_mode)) {
            *bytes += (uint64_t)info.st_blocks * 512;
        }
    }
    closedir(dir);
    return 0;
}

/* The number after a name in the text of a property. */
static uint64_t number_after(const char *text, const char *name) {
    const char *at = text == NULL ? NULL : strstr(text, name);
    return at == NULL ? 0 : strtoull(at + strlen(name), NULL, 10);
}

/* What was written less what was removed. RocksDB's own estimate leaves out the files that were
 * there before it was opened, unless it reads some of them then; but each file's own counts are in
 * memory, as all files are kept open. About: until it is compacted, a row that was replaced counts
 * twice, and one removed while it was still in a write buffer once less than not at all. */
static uint64_t count_rows(struct shr_rocks *rocks, enum shr_table table) {
    static const char *const entries[] = {"rocksdb.num-entries-active-mem-table",
                                          "rocksdb.num-entries-imm-mem-tables"};
    static const char *const removals[] = {"rocksdb.num-deletes-active-mem-table",
                                           "rocksdb.num-deletes-imm-mem-tables"};
    rocksdb_column_family_handle_t *family = rocks->families[table];
    char *text =
        rocksdb_property_value_cf(rocks->db, family, "rocksdb.aggregated-table-properties");
    uint64_t all = number_after(text, "# entries="), removed = number_after(text, "# deletions=");
    rocksdb_free(text);
    for (size_t i = 0; i < 2; i++) {
        uint64_t n = 0, n_removed = 0;
        rocksdb_property_int_cf(rocks->db, family, entries[i], &n);
        rocksdb_property_int_cf(rocks->db, family, removals[i], &n_removed);
        all += n;
        removed += n_removed;
    }
    return all > 2 * removed ? all - 2 * removed : 0; /* a removal is an entry too */
}

/* What lies in files, and what still waits in write buffers. */
static int table_sizes(struct shr_rocks *rocks, enum shr_table table, uint64_t *bytes,
                       uint64_t *rows) {
    rocksdb_column_family_handle_t *family = rocks->families[table];
    uint64_t in_files = 0, in_buffers = 0;
    *rows = count_rows(rocks, table);
    int failed = rocksdb_property_int_cf(rocks->db, family, "rocksdb.total-sst-files-size",
                                         &in_files) != 0 ||
                 rocksdb_property_int_cf(rocks->db, family, "rocksdb.cur-size-all-mem-tables",
                                         &in_buffers) != 0;
    *bytes = in_files + in_buffers;
    return failed;
}

static int rocks_sizes(struct shr_store *store, struct shr_sizes *out, struct shrewd_error *err) {
    struct shr_rocks *rocks = rocks_of(store);
    for (int table = 0; table < SHR_TABLE_COUNT; table++) {
        if (table_sizes(rocks, (enum shr_table)table, &out->tables[table].bytes,
                        &out->tables[table].rows)) {
            return shr_fail(err, SHREWD_IO, "the database '%s' does not tell its size",
                            rocks->path);
        }
    }
    return folder_bytes(rocks->path, &out->bytes, err);
}

static int rocks_probe(struct shr_store *store, struct shrewd_error *err) {
    static const char bytes[4096];
    char *path = shr_asprintf("%s/%s", rocks_of(store)->path, PROBE_NAME);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool well =
        fd >= 0 && write(fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes && fsync(fd) == 0;
    int code = well ? 0 : shr_fail_errno(err, SHREWD_IO, "cannot write '%s'", path);
    if (fd >= 0) {
        close(fd);
        unlink(path);
    }
    free(path);
    return code;
}

static void rocks_close(struct shr_store *store) {
    shr_rocks_free(rocks_of(store));
}

int shr_store_open_rocks(struct shr_store **out, const char *path,
                         const struct shr_rocks_options *options, struct shrewd_error *err) {
    static const struct shr_store_ops ops = {
        .get = rocks_get,
        .get_many = rocks_get_many,
        .scan = rocks_scan,
        .scans_new = rocks_scans_new,
        .scans_free = rocks_scans_free,
        .scans_next = rocks_scans_next,
        .write = rocks_write,
        .loads = shr_rocks_loads,
        .make = shr_rocks_make,
        .take = shr_rocks_take,
        .drop = shr_rocks_drop,
        .snapshot = rocks_snapshot,
        .snapshot_free = rocks_snapshot_free,
        .probe = rocks_probe,
        .sizes = rocks_sizes,
        .close = rocks_close,
    };
    struct shr_rocks *rocks = shr_alloc(sizeof *rocks);
    rocks->store.ops = &ops;
    rocks->path = shr_strdup(path);
    rocks->store.name = rocks->store.folder = rocks->path;
    rocks->store.read_only = options->read_only;
    int code = shr_rocks_open(rocks, options, err);
    if (code != 0) {
        shr_rocks_free(rocks);
        return code;
    }
    for (int table = 0; !options->read_only && table < SHR_TABLE_COUNT; table++) {
        shr_rocks_drop(&rocks->store, (enum shr_table)table); /* what a kill left of a group */
    }
    *out = &rocks->store;
    return 0;
}
