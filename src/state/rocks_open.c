#include "state/rocks.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define KIB ((size_t)1024)
#define MIB (KIB * 1024)
#define CACHE_BYTES_DEFAULT (256 * MIB)
#define CACHE_PART_BYTES_MIN (8 * MIB)
#define CACHE_PART_BITS_MAX 6
#define WRITE_BUFFER_BYTES_DEFAULT (256 * MIB) /* of all tables together */
/* Tables of which little is written keep parts of the log alive: beyond this they are written out,
 * so that opening after a kill has no more than this to read: some 15 ms a MiB. */
#define WAL_BYTES_MAX (48 * MIB)
/* Beside the log, which opening writes out as tables, room for RocksDB's small files. */
#define OPEN_BYTES_MIN MIB
/* A log that is read in a moment needs no writing out when closing. */
#define CLOSE_LOG_BYTES_MAX (4 * MIB)
#define ZSTD_LEVEL 1 /* most bytes are hashes: 3, the default, costs more and saves little */
#define ZSTD_WINDOW_BITS (-14)
/* Files of the first level beyond which writes wait. */
#define FRESH_FILES_STOP 80
#define BACKGROUND_JOBS 2
#define LOG_HEADERS_ONLY 5 /* rocksdb::InfoLogLevel::HEADER_LEVEL */

int shr_rocks_fail(const char *path, char *message, const char *doing, struct shrewd_error *err) {
    int code = SHREWD_IO;
    const char *hint = "";
    if (strstr(message, "lock hold by current process") != NULL ||
        (strstr(message, "While lock file") != NULL &&
         strstr(message, "Resource temporarily unavailable") != NULL)) {
        rocksdb_free(message);
        return shr_fail(err, SHREWD_LOCKED,
                        "'%s' is in use: another shrewd process has it; stop that one, or use "
                        "another folder",
                        path);
    }
    /* A file that the database's own records name must be there. */
    if (strncmp(message, "Corruption", 10) == 0 ||
        strstr(message, "No such file or directory") != NULL) {
        code = SHREWD_CORRUPT;
        hint = "; restore a copy of the folder, or index again into an empty one";
    } else if (strstr(message, "No space left") != NULL) {
        code = SHREWD_DISK_FULL;
        hint = "; free some space: what is stored is whole";
    }
    shr_fail(err, code, "%s the database '%s': %.600s%s", doing, path, message, hint);
    rocksdb_free(message);
    return code;
}

/* --- Options: every one that matters is set here, whatever RocksDB's defaults become --- */

struct family_plan {
    size_t write_buffer; /* with the default budget; as much larger or smaller as that is */
    int buffers;         /* at most, then writes wait */
    int merged;          /* of those, how many become one file */
    size_t block_bytes;  /* of a data block, before compression */
    double bloom_bits;   /* per key; 0: point reads are rare */
    int compression, bottom_compression;
    int fresh_files;  /* of the first level, gathered before they go down */
    bool point_reads; /* by a whole key, mostly: blocks have an index of their keys' hashes */
    bool pages;       /* read by page: filters are of a key's page, see shr_rocks_page_bytes */
};

/* LATEST is read at random by every guest: small blocks, cheap decompression, bloom filters, on
 * disk and in the write buffer, so that a key which is not there costs no search. HISTORY is
 * large and seldom read. Their write buffers are skip lists, and searching one costs the more cache
 * misses the larger it is: small ones, several of which become one file. All buffers of all tables
 * fit the budget, so it is kept even when writing out falls behind. CHANGES and BLOCKS are written
 * in the order of their keys: with one compression for all levels, RocksDB moves their files down
 * without reading them. LATEST's, HISTORY's and ROOT's are gathered longer: when they are loaded
 * (rocks_load.c) they come often, and what goes down is merged with all that is below. */
static const struct family_plan plans[SHR_TABLE_COUNT] = {
    [SHR_TABLE_META] = {1 * MIB, 3, 1, 4 * KIB, 0, rocksdb_lz4_compression, rocksdb_lz4_compression,
                        8, false, false},
    [SHR_TABLE_LATEST] = {16 * MIB, 5, 2, 8 * KIB, 10, rocksdb_lz4_compression,
                          rocksdb_lz4_compression, 16, true, false},
    [SHR_TABLE_HISTORY] = {16 * MIB, 5, 2, 16 * KIB, 10, rocksdb_lz4_compression,
                           rocksdb_zstd_compression, 32, false, false},
    [SHR_TABLE_CHANGES] = {8 * MIB, 3, 1, 16 * KIB, 0, rocksdb_zstd_compression,
                           rocksdb_zstd_compression, 8, false, false},
    [SHR_TABLE_BLOCKS] = {2 * MIB, 3, 1, 4 * KIB, 0, rocksdb_zstd_compression,
                          rocksdb_zstd_compression, 8, false, false},
    [SHR_TABLE_ROOT] = {16 * MIB, 3, 1, 4 * KIB, 10, rocksdb_no_compression, rocksdb_no_compression,
                        32, false, true},
    [SHR_TABLE_ROOT_PAGES] = {2 * MIB, 3, 1, 16 * KIB, 0, rocksdb_zstd_compression,
                              rocksdb_zstd_compression, 8, false, false},
};

/* The cache's parts have a lock each, and none keeps a block larger than itself: a table's filter
 * may take more than a MiB, and to read it for every look-up costs a hundred times the look-up. */
static rocksdb_cache_t *make_cache(size_t bytes) {
    int bits = 0;
    while (bits < CACHE_PART_BITS_MAX && (bytes >> (bits + 1)) >= CACHE_PART_BYTES_MIN) {
        bits++;
    }
    rocksdb_lru_cache_options_t *options = rocksdb_lru_cache_options_create();
    rocksdb_lru_cache_options_set_capacity(options, bytes);
    rocksdb_lru_cache_options_set_num_shard_bits(options, bits);
    rocksdb_cache_t *cache = rocksdb_cache_create_lru_opts(options);
    rocksdb_lru_cache_options_destroy(options);
    return cache;
}

/* --- A page's name, as the prefix of ROOT's keys by which filters are made --- */

size_t shr_rocks_page_bytes(const char *key, size_t len) {
    size_t page = len == 0 ? 0 : 1 + ((size_t)(uint8_t)key[0] + 1) / 2;
    return page < len ? page : len;
}

static char *page_of(void *state, const char *key, size_t len, size_t *page_len) {
    *page_len = shr_rocks_page_bytes(key, len);
    return (char *)(uintptr_t)key; /* RocksDB does not write there */
}

static unsigned char has_page(void *state, const char *key, size_t len) {
    return len > 0;
}

static const char *prefix_name(void *state) {
    return "shrewd.page";
}

static void prefix_free(void *state) {
}

/* Options that RocksDB's C interface has no function for. One that this RocksDB does not know is
 * left out: it makes things faster, nothing else. */
static rocksdb_options_t *with_text(rocksdb_options_t *options, const char *text) {
    char *message = NULL;
    rocksdb_options_t *out = rocksdb_options_create();
    rocksdb_get_options_from_string(options, text, out, &message);
    if (message != NULL) {
        rocksdb_free(message);
        rocksdb_options_destroy(out);
        return options;
    }
    rocksdb_options_destroy(options);
    return out;
}

static rocksdb_block_based_table_options_t *table_options(const struct family_plan *plan,
                                                          rocksdb_cache_t *cache) {
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_size(table, plan->block_bytes);
    rocksdb_block_based_options_set_format_version(table, 5);
    rocksdb_block_based_options_set_block_cache(table, cache);
    /* Indexes and filters count against the cache: memory stays bounded as the data grows. */
    /* But for pages: what they are read from is not put into the cache, as they have one of their
     * own; their indexes and filters, some 0.5% of the data, are held beside it. */
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(table, !plan->pages);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks_with_high_priority(table, 1);
    rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(table, 1);
    if (plan->bloom_bits > 0) {
        rocksdb_block_based_options_set_filter_policy(
            table, rocksdb_filterpolicy_create_bloom_full(plan->bloom_bits));
        rocksdb_block_based_options_set_whole_key_filtering(table, !plan->pages);
    }
    if (plan->point_reads) {
        rocksdb_block_based_options_set_data_block_index_type(
            table, rocksdb_block_based_table_data_block_index_type_binary_search_and_hash);
        rocksdb_block_based_options_set_data_block_hash_ratio(table, 0.75);
    }
    return table;
}

static rocksdb_options_t *make_family_options(const struct family_plan *plan,
                                              size_t write_buffer_bytes, rocksdb_cache_t *cache) {
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_options_set_write_buffer_size(
        options, (size_t)((double)plan->write_buffer *
                          ((double)write_buffer_bytes / WRITE_BUFFER_BYTES_DEFAULT)));
    rocksdb_options_set_max_write_buffer_number(options, plan->buffers);
    rocksdb_options_set_min_write_buffer_number_to_merge(options, plan->merged);
    if (plan->bloom_bits > 0) {
        rocksdb_options_set_memtable_whole_key_filtering(options, !plan->pages);
        rocksdb_options_set_memtable_prefix_bloom_size_ratio(options, 0.02);
    }
    if (plan->pages) {
        /* Every page read is there, and most of it on the last level. */
        rocksdb_options_set_optimize_filters_for_hits(options, 1);
        rocksdb_options_set_prefix_extractor(
            options, rocksdb_slicetransform_create(NULL, prefix_free, page_of, has_page, has_page,
                                                   prefix_name));
    }
    rocksdb_options_set_compression(options, plan->compression);
    rocksdb_options_set_bottommost_compression(options, plan->bottom_compression);
    rocksdb_options_set_compaction_style(options, rocksdb_level_compaction);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(options, 1);
    rocksdb_options_set_compression_options(options, ZSTD_WINDOW_BITS, ZSTD_LEVEL, 0, 0);
    rocksdb_options_set_bottommost_compression_options(options, ZSTD_WINDOW_BITS, ZSTD_LEVEL, 0, 0,
                                                       1);
    rocksdb_options_set_level0_file_num_compaction_trigger(options, plan->fresh_files);
    rocksdb_options_set_level0_slowdown_writes_trigger(options, SHR_ROCKS_FRESH_FILES_SLOW);
    rocksdb_options_set_level0_stop_writes_trigger(options, FRESH_FILES_STOP);
    rocksdb_options_set_max_bytes_for_level_base(options, 1024 * MIB);
    rocksdb_options_set_target_file_size_base(options, 64 * MIB);
    rocksdb_block_based_table_options_t *table = table_options(plan, cache);
    rocksdb_options_set_block_based_table_factory(options, table);
    rocksdb_block_based_options_destroy(table);
    /* A block's rows come in key order: the search for a row's place begins at the one before. */
    return with_text(options, "memtable_insert_with_hint_prefix_extractor=fixed:0");
}

static rocksdb_options_t *make_db_options(bool create, size_t write_buffer_bytes) {
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(options, create);
    rocksdb_options_set_create_missing_column_families(options, create);
    rocksdb_options_set_paranoid_checks(options, 1);
    rocksdb_options_set_max_open_files(options, -1);
    rocksdb_options_set_skip_stats_update_on_db_open(options, 1);
    rocksdb_options_set_max_background_jobs(options, BACKGROUND_JOBS);
    rocksdb_options_set_db_write_buffer_size(options, write_buffer_bytes);
    rocksdb_options_set_max_total_wal_size(options, WAL_BYTES_MAX);
    /* After a crash: every block whose write is whole in the log, in order, and none after. */
    rocksdb_options_set_wal_recovery_mode(options, rocksdb_point_in_time_recovery);
    rocksdb_options_set_use_fsync(options, 0);
    rocksdb_options_set_bytes_per_sync(options, MIB);
    rocksdb_options_set_wal_bytes_per_sync(options, MIB);
    rocksdb_options_set_max_manifest_file_size(options, 64 * MIB);
    rocksdb_options_set_max_log_file_size(options, 4 * MIB);
    rocksdb_options_set_keep_log_file_num(options, 4);
    /* Nothing but the settings, when opening: a line that finds the disk full is lost, and RocksDB
     * asserts that no other comes after it, which would end the process. What goes wrong is told
     * by every call's own message. */
    rocksdb_options_set_info_log_level(options, LOG_HEADERS_ONLY);
    rocksdb_options_set_stats_dump_period_sec(options, 0);
    return options;
}

/* --- What the folder holds --- */

enum holding {
    HOLDS_NOTHING, /* absent, empty, or a creation that was cut short */
    HOLDS_DATABASE,
};

/* Files that RocksDB may leave behind when it is stopped before a new database exists, and what
 * an empty folder may well hold. */
static bool left_by_creation(const char *name) {
    static const char *const prefixes[] = {"LOCK",      "LOG",      "IDENTITY",
                                           "MANIFEST-", "OPTIONS-", "CURRENT"};
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0) {
            return true;
        }
    }
    size_t len = strlen(name);
    return name[0] == '.' || strcmp(name, "lost+found") == 0 ||
           (len > 6 && strcmp(name + len - 6, ".dbtmp") == 0);
}

/* A folder without RocksDB's CURRENT file: free to use unless something else is in it. */
static int look_at_folder(const char *path, bool *has_current, struct shrewd_error *err) {
    DIR *dir = opendir(path);
    *has_current = false;
    if (dir == NULL) {
        return errno == ENOENT ? 0 : shr_fail_errno(err, SHREWD_IO, "cannot open '%s'", path);
    }
    char *foreign = NULL;
    for (struct dirent *item; (item = readdir(dir)) != NULL;) {
        if (strcmp(item->d_name, "CURRENT") == 0) {
            *has_current = true;
        } else if (foreign == NULL && !left_by_creation(item->d_name)) {
            foreign = shr_strdup(item->d_name);
        }
    }
    closedir(dir);
    int code = 0;
    if (!*has_current && foreign != NULL) {
        code = shr_fail(err, SHREWD_MISMATCH,
                        "'%s' holds other files ('%s') and no shrewd database; give a folder of "
                        "its own",
                        path, foreign);
    }
    free(foreign);
    return code;
}

static bool is_our_family(const char *name) {
    for (int table = 0; table < SHR_TABLE_COUNT; table++) {
        if (strcmp(name, shr_table_name((enum shr_table)table)) == 0) {
            return true;
        }
    }
    return false;
}

/* Whether the default column family of a database of unknown origin has no row at all. */
static int default_is_empty(const char *path, bool *empty, struct shrewd_error *err) {
    char *message = NULL;
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_options_set_max_open_files(options, 64);
    rocksdb_t *db = rocksdb_open_for_read_only(options, path, 0, &message);
    rocksdb_options_destroy(options);
    if (message != NULL) {
        return shr_rocks_fail(path, message, "cannot open", err);
    }
    rocksdb_readoptions_t *reads = rocksdb_readoptions_create();
    rocksdb_iterator_t *rows = rocksdb_create_iterator(db, reads);
    rocksdb_iter_seek_to_first(rows);
    *empty = !rocksdb_iter_valid(rows);
    rocksdb_iter_get_error(rows, &message);
    rocksdb_iter_destroy(rows);
    rocksdb_readoptions_destroy(reads);
    rocksdb_close(db);
    return message == NULL ? 0 : shr_rocks_fail(path, message, "cannot read", err);
}

/* RocksDB makes column families one after the other: a database with some of ours and not a
 * row in it is one whose creation was cut short. */
static int look_at_families(const char *path, enum holding *out, struct shrewd_error *err) {
    char *message = NULL;
    size_t n = 0;
    rocksdb_options_t *options = rocksdb_options_create();
    char **names = rocksdb_list_column_families(options, path, &n, &message);
    rocksdb_options_destroy(options);
    if (message != NULL) {
        rocksdb_list_column_families_destroy(names, n);
        return shr_rocks_fail(path, message, "cannot open", err);
    }
    char *foreign = NULL;
    bool has_blocks = false;
    for (size_t i = 0; i < n; i++) {
        if (foreign == NULL && !is_our_family(names[i])) {
            foreign = shr_strdup(names[i]);
        }
        has_blocks |= strcmp(names[i], shr_table_name(SHR_TABLE_BLOCKS)) == 0;
    }
    rocksdb_list_column_families_destroy(names, n);
    int code = 0;
    *out = HOLDS_DATABASE;
    if (foreign != NULL) {
        code = shr_fail(err, SHREWD_MISMATCH,
                        "'%s' holds a RocksDB database with a column family '%.100s', which this "
                        "version of shrewd does not know; use another folder, or a newer shrewd",
                        path, foreign);
    } else if (n < SHR_TABLE_COUNT) {
        bool empty = false;
        code = default_is_empty(path, &empty, err);
        *out = HOLDS_NOTHING;
        if (code == 0 && !empty && has_blocks) {
            code = shr_fail(err, SHREWD_MISMATCH,
                            "'%s' holds a database of an older format, without a state root's "
                            "tables; use the shrewd that made it, or another folder and index "
                            "again",
                            path);
        } else if (code == 0 && !empty) {
            code =
                shr_fail(err, SHREWD_MISMATCH,
                         "'%s' holds a RocksDB database that shrewd did not make (perhaps "
                         "rockshrew-mono's); use another folder, and 'shrewd import-rockshrew' if "
                         "it is",
                         path);
        }
    }
    free(foreign);
    return code;
}

static int look(const char *path, enum holding *out, struct shrewd_error *err) {
    bool has_current = false;
    *out = HOLDS_NOTHING;
    int code = look_at_folder(path, &has_current, err);
    if (code != 0 || !has_current) {
        return code;
    }
    return look_at_families(path, out, err);
}

/* --- Opening --- */

char *shr_rocks_open_once(struct shr_rocks *rocks, bool read_only) {
    const char *names[SHR_TABLE_COUNT];
    const rocksdb_options_t *options[SHR_TABLE_COUNT];
    for (int table = 0; table < SHR_TABLE_COUNT; table++) {
        names[table] = shr_table_name((enum shr_table)table);
        options[table] = rocks->family_options[table];
    }
    char *message = NULL;
    if (read_only) {
        rocks->db = rocksdb_open_for_read_only_column_families(rocks->db_options, rocks->path,
                                                               SHR_TABLE_COUNT, names, options,
                                                               rocks->families, 0, &message);
    } else {
        rocks->db = rocksdb_open_column_families(rocks->db_options, rocks->path, SHR_TABLE_COUNT,
                                                 names, options, rocks->families, &message);
    }
    rocks->db = message == NULL ? rocks->db : NULL;
    return message;
}

void shr_rocks_close_once(struct shr_rocks *rocks) {
    if (rocks->db != NULL) {
        for (int table = 0; table < SHR_TABLE_COUNT; table++) {
            rocksdb_column_family_handle_destroy(rocks->families[table]);
        }
        rocksdb_close(rocks->db);
        rocks->db = NULL;
    }
}

/* The logs in a folder: what opening writes out again. */
static uint64_t log_bytes(const char *path) {
    uint64_t bytes = 0;
    DIR *dir = opendir(path);
    for (struct dirent *item; dir != NULL && (item = readdir(dir)) != NULL;) {
        size_t len = strlen(item->d_name);
        struct stat info;
        if (len > 4 && strcmp(item->d_name + len - 4, ".log") == 0 &&
            fstatat(dirfd(dir), item->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0) {
            bytes += (uint64_t)info.st_size;
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return bytes;
}

/* With no room at all RocksDB does not give an error but ends the process, asserting that nothing
 * follows a write that failed; with some it gives an error when that is used up. */
static int check_writable(const char *path, struct shrewd_error *err) {
    struct statvfs disk;
    if (access(path, W_OK | X_OK) != 0) {
        return shr_fail_errno(err, SHREWD_IO,
                              "cannot write to the database folder '%s'; make it writable for "
                              "this user, or give another --db-path",
                              path);
    }
    if (statvfs(path, &disk) != 0) {
        return shr_fail_errno(err, SHREWD_IO, "cannot tell how much space '%s' has", path);
    }
    uint64_t blocks = geteuid() == 0 ? disk.f_bfree : disk.f_bavail;
    uint64_t bytes = blocks * disk.f_frsize, needed = log_bytes(path) + OPEN_BYTES_MIN;
    if (bytes < needed) {
        return shr_fail(err, SHREWD_IO,
                        "cannot open the database '%s' for writing: No space left on device: "
                        "%" PRIu64 " bytes are free and opening may need %" PRIu64
                        "; free some space and start again: what is stored is whole",
                        path, bytes, needed);
    }
    return 0;
}

static int open_db(struct shr_rocks *rocks, bool read_only, struct shrewd_error *err) {
    if (read_only) {
        return shr_rocks_open_beside(rocks, err);
    }
    char *message = shr_rocks_open_once(rocks, false);
    return message == NULL ? 0 : shr_rocks_fail(rocks->path, message, "cannot open", err);
}

int shr_rocks_open(struct shr_rocks *rocks, const struct shr_rocks_options *options,
                   struct shrewd_error *err) {
    enum holding holding;
    int code = look(rocks->path, &holding, err);
    bool create = options->create && !options->read_only && holding == HOLDS_NOTHING;
    if (code == 0 && holding == HOLDS_NOTHING && !create) {
        code = shr_fail(err, SHREWD_NOT_FOUND, "there is no shrewd database at '%s'", rocks->path);
    }
    if (code == 0 && create) {
        code = shr_dir_make(rocks->path, err);
    }
    if (code == 0 && !options->read_only) {
        code = check_writable(rocks->path, err);
    }
    if (code != 0) {
        return code;
    }
    size_t write_buffer_bytes =
        options->write_buffer_bytes == 0 ? WRITE_BUFFER_BYTES_DEFAULT : options->write_buffer_bytes;
    rocks->cache =
        make_cache(options->cache_bytes == 0 ? CACHE_BYTES_DEFAULT : options->cache_bytes);
    rocks->env = rocksdb_create_default_env();
    /* What is rewritten in the background waits for views and the guest, not they for it. */
    rocksdb_env_lower_thread_pool_cpu_priority(rocks->env);
    rocks->db_options = make_db_options(create, write_buffer_bytes);
    rocksdb_options_set_env(rocks->db_options, rocks->env);
    for (int table = 0; table < SHR_TABLE_COUNT; table++) {
        rocks->family_options[table] =
            make_family_options(&plans[table], write_buffer_bytes, rocks->cache);
    }
    rocks->reads = rocksdb_readoptions_create();
    rocksdb_readoptions_set_verify_checksums(rocks->reads, 1);
    rocks->writes = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(rocks->writes, 0);
    rocks->synced_writes = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(rocks->synced_writes, 0);
    rocksdb_writeoptions_set_sync(rocks->synced_writes, 1);
    return open_db(rocks, options->read_only, err);
}

/* Writes out what only the log has, so that the next opening need not read it. A failure costs the
 * next opening time and nothing else. */
static void write_out(struct shr_rocks *rocks) {
    uint64_t bytes = 0;
    for (int table = 0; table < SHR_TABLE_COUNT; table++) {
        uint64_t held = 0;
        if (rocksdb_property_int_cf(rocks->db, rocks->families[table],
                                    "rocksdb.cur-size-all-mem-tables", &held) == 0) {
            bytes += held;
        }
    }
    if (bytes < CLOSE_LOG_BYTES_MAX) {
        return;
    }
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    for (int table = 0; table < SHR_TABLE_COUNT; table++) {
        char *message = NULL;
        rocksdb_flush_cf(rocks->db, options, rocks->families[table], &message);
        rocksdb_free(message);
    }
    rocksdb_flushoptions_destroy(options);
}

void shr_rocks_free(struct shr_rocks *rocks) {
    if (rocks->db != NULL && !rocks->store.read_only) {
        write_out(rocks);
    }
    shr_rocks_close_once(rocks);
    if (rocks->db_options != NULL) { /* these are made together */
        rocksdb_writeoptions_destroy(rocks->synced_writes);
        rocksdb_writeoptions_destroy(rocks->writes);
        rocksdb_readoptions_destroy(rocks->reads);
        for (int table = 0; table < SHR_TABLE_COUNT; table++) {
            rocksdb_options_destroy(rocks->family_options[table]);
        }
        rocksdb_options_destroy(rocks->db_options);
        rocksdb_cache_destroy(rocks->cache);
        rocksdb_env_destroy(rocks->env);
    }
    free(rocks->path);
    free(rocks);
}
