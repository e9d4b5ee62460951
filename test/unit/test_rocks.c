/* What only the RocksDB store has: folders, other processes, crashes, damaged files. */
#include "state_help.h"

#include "state/store.h"

#include <rocksdb/c.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

static const char *self; /* this program, for the tests that need a second process */

static int open_as(struct shr_store **out, const char *path, bool create, bool read_only,
                   struct shrewd_error *err) {
    struct shr_rocks_options options = {
        .create = create, .read_only = read_only, .cache_bytes = 1 << 20};
    return shr_store_open_rocks(out, path, &options, err);
}

static void put(struct shr_store *store, enum shr_table table, const char *key, const char *value) {
    struct shr_batch batch = {0};
    shr_batch_put(&batch, table, shr_bytes_str(key), shr_bytes_str(value));
    assert_ok(shr_store_write(store, &batch, true, err));
    shr_batch_free(&batch);
}

static void assert_has(struct shr_store *store, enum shr_table table, const char *key,
                       const char *value) {
    struct shr_buf got = {0};
    assert_ok(shr_store_get(store, NULL, table, &got, shr_bytes_str(key), err));
    assert_bytes(shr_buf_bytes(&got), shr_bytes_str(value));
    shr_buf_free(&got);
}

/* --- What a folder holds --- */

static void absent_is_said(void **state) {
    char *dir = make_dir();
    char *below = shr_asprintf("%s/not/there", dir);
    struct shr_store *store = NULL;
    assert_fails(open_as(&store, below, false, false, err), SHREWD_NOT_FOUND, below);
    assert_fails(open_as(&store, below, false, true, err), SHREWD_NOT_FOUND, below);
    assert_fails(open_as(&store, dir, false, false, err), SHREWD_NOT_FOUND, dir);
    assert_int_not_equal(access(below, F_OK), 0); /* asking makes nothing */
    free(below);
    remove_dir(dir);
}

static uint64_t log_bytes(const char *path) {
    uint64_t bytes = 0;
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *item; (item = readdir(dir)) != NULL;) {
        size_t len = strlen(item->d_name);
        struct stat info;
        if (len > 4 && strcmp(item->d_name + len - 4, ".log") == 0) {
            assert_int_equal(fstatat(dirfd(dir), item->d_name, &info, 0), 0);
            bytes += (uint64_t)info.st_size;
        }
    }
    closedir(dir);
    return bytes;
}

/* RocksDB would abort when its first write fails. A log of a size that no disk has room for stands
 * for a full disk; it is sparse. */
static void full_disk_is_said_before_opening(void **state) {
    char *dir = make_dir();
    char *log = shr_asprintf("%s/999999.log", dir);
    struct shr_store *store = NULL;
    assert_ok(open_as(&store, dir, true, false, err));
    put(store, SHR_TABLE_LATEST, "k", "v");
    shr_store_close(store);
    int file = open(log, O_CREAT | O_WRONLY, 0600);
    assert_true(file >= 0);
    assert_int_equal(ftruncate(file, (off_t)4 << 40), 0);
    close(file);
    assert_fails(open_as(&store, dir, false, false, err), SHREWD_IO, "bytes are free");
    assert_fails(open_as(&store, dir, false, false, err), SHREWD_IO, dir);
    assert_int_equal(unlink(log), 0);
    assert_ok(open_as(&store, dir, false, false, err));
    assert_has(store, SHR_TABLE_LATEST, "k", "v");
    shr_store_close(store);
    free(log);
    remove_dir(dir);
}

/* What write buffers held is in tables after a clean close: the next opening reads no log. */
static void closing_leaves_little_log(void **state) {
    char *dir = make_dir();
    struct shr_store *store = NULL;
    struct shr_batch batch = {0};
    struct shr_buf value = {0};
    struct rng rng = {7};
    assert_ok(open_as(&store, dir, true, false, err));
    for (uint32_t i = 0; i < 1024; i++) {
        shr_buf_clear(&value);
        for (int j = 0; j < 1024; j++) {
            uint64_t word = rng_next(&rng);
            shr_buf_append(&value, &word, sizeof word);
        }
        shr_batch_put(&batch, SHR_TABLE_LATEST, shr_bytes(&i, sizeof i), shr_buf_bytes(&value));
    }
    assert_ok(shr_store_write(store, &batch, false, err));
    shr_store_close(store);
    assert_true(log_bytes(dir) < (1 << 20));
    assert_ok(open_as(&store, dir, false, false, err));
    for (size_t i = 0; i < batch.n; i++) {
        assert_ok(shr_store_get(store, NULL, SHR_TABLE_LATEST, &value, batch.writes[i].key, err));
        assert_bytes(shr_buf_bytes(&value), batch.writes[i].value);
    }
    shr_store_close(store);
    shr_buf_free(&value);
    shr_batch_free(&batch);
    remove_dir(dir);
}

/* Opening after a kill reads the log. One row of a table that is never written again must not keep
 * all that follows in it. */
static void log_stays_short(void **state) {
    enum { BATCHES = 160, ROWS = 256, ROW_BYTES = 4096, LOG_MAX = 80 << 20 };
    static uint8_t bytes[ROW_BYTES];
    char *dir = make_dir();
    struct shr_store *store = NULL;
    struct rng rng = {11};
    assert_ok(open_as(&store, dir, true, false, err));
    put(store, SHR_TABLE_META, "k", "v");
    for (uint32_t i = 0; i < BATCHES; i++) {
        struct shr_batch batch = {0};
        for (uint32_t j = 0; j < ROWS; j++) {
            uint32_t key = i * ROWS + j;
            for (size_t at = 0; at < sizeof bytes; at += sizeof(uint64_t)) {
                uint64_t word = rng_next(&rng);
                memcpy(bytes + at, &word, sizeof word);
            }
            shr_batch_put(&batch, SHR_TABLE_HISTORY, shr_bytes(&key, sizeof key),
                          shr_bytes(bytes, sizeof bytes));
        }
        assert_ok(shr_store_write(store, &batch, false, err));
        shr_batch_free(&batch);
    }
    /* What is written out is so in the background. */
    time_t end = time(NULL) + 120;
    while (log_bytes(dir) > LOG_MAX && time(NULL) < end) {
        put(store, SHR_TABLE_LATEST, "k", "v");
        usleep(20000);
    }
    assert_true(log_bytes(dir) <= LOG_MAX);
    assert_has(store, SHR_TABLE_META, "k", "v");
    shr_store_close(store);
    remove_dir(dir);
}

static void created_with_its_parents(void **state) {
    char *dir = make_dir();
    char *middle = shr_asprintf("%s/a", dir);
    char *below = shr_asprintf("%s/b", middle);
    struct shr_store *store = NULL;
    assert_ok(open_as(&store, below, true, false, err));
    put(store, SHR_TABLE_LATEST, "k", "v");
    shr_store_close(store);
    assert_ok(open_as(&store, below, false, false, err));
    assert_has(store, SHR_TABLE_LATEST, "k", "v");
    shr_store_close(store);
    remove_dir(below);
    remove_dir(middle);
    remove_dir(dir);
}

static void touch(const char *dir, const char *name) {
    char *path = shr_asprintf("%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    free(path);
}

static void foreign_folder_is_refused(void **state) {
    char *dir = make_dir();
    struct shr_store *store = NULL;
    touch(dir, "holiday.jpg");
    assert_fails(open_as(&store, dir, true, false, err), SHREWD_MISMATCH, "holiday.jpg");
    assert_fails(open_as(&store, dir, false, true, err), SHREWD_MISMATCH, "folder of its own");
    char *file = shr_asprintf("%s/holiday.jpg", dir);
    assert_fails(open_as(&store, file, true, false, err), SHREWD_IO, "holiday.jpg");
    free(file);
    remove_dir(dir);
}

/* A RocksDB database with one row in `family` (made when it is not the default one). */
static void make_foreign(const char *dir, const char *family, bool row) {
    char *message = NULL;
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_t *db = rocksdb_open(options, dir, &message);
    assert_null(message);
    if (family != NULL) {
        rocksdb_column_family_handle_destroy(
            rocksdb_create_column_family(db, options, family, &message));
        assert_null(message);
    }
    if (row) {
        rocksdb_writeoptions_t *writes = rocksdb_writeoptions_create();
        rocksdb_put(db, writes, "k", 1, "v", 1, &message);
        assert_null(message);
        rocksdb_writeoptions_destroy(writes);
    }
    rocksdb_close(db);
    rocksdb_options_destroy(options);
}

static void foreign_database_is_refused(void **state) {
    struct shr_store *store = NULL;
    char *dir = make_dir();
    make_foreign(dir, NULL, true); /* what rockshrew-mono makes */
    assert_fails(open_as(&store, dir, true, false, err), SHREWD_MISMATCH, "did not make");
    assert_fails(open_as(&store, dir, false, true, err), SHREWD_MISMATCH, "rockshrew-mono");
    remove_dir(dir);
    dir = make_dir();
    make_foreign(dir, "blocks", true); /* shrewd's own, before there were state roots */
    assert_fails(open_as(&store, dir, true, false, err), SHREWD_MISMATCH, "older format");
    remove_dir(dir);
    dir = make_dir();
    make_foreign(dir, "wallet", false);
    assert_fails(open_as(&store, dir, true, false, err), SHREWD_MISMATCH, "'wallet'");
    remove_dir(dir);
}

/* Killed between making the database and its last column family. */
static void unfinished_creation_is_finished(void **state) {
    struct shr_store *store = NULL;
    char *dir = make_dir();
    make_foreign(dir, "latest", false);
    assert_fails(open_as(&store, dir, false, false, err), SHREWD_NOT_FOUND, dir);
    assert_fails(open_as(&store, dir, true, true, err), SHREWD_NOT_FOUND, dir);
    assert_ok(open_as(&store, dir, true, false, err));
    put(store, SHR_TABLE_BLOCKS, "k", "v");
    shr_store_close(store);
    remove_dir(dir);
    dir = make_dir();
    touch(dir, "LOCK"); /* earlier still */
    touch(dir, "MANIFEST-000001");
    assert_ok(open_as(&store, dir, true, false, err));
    put(store, SHR_TABLE_BLOCKS, "k", "v");
    shr_store_close(store);
    remove_dir(dir);
}

/* --- Other processes --- */

/* Runs this program with two arguments; its process id. */
static pid_t start(const char *role, const char *dir) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        execl(self, self, role, dir, (char *)NULL);
        _exit(99);
    }
    return child;
}

static int exit_of(pid_t child) {
    int status = 0;
    while (waitpid(child, &status, 0) < 0) {
        assert_int_equal(errno, EINTR);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Role "open": tries to open for writing, and exits with the error's number. */
static int role_open(const char *dir) {
    struct shr_store *store = NULL;
    int code = open_as(&store, dir, true, false, NULL);
    shr_store_close(store);
    return -code;
}

static void one_writer_at_a_time(void **state) {
    char *dir = make_dir();
    struct shr_store *store = NULL, *second = NULL;
    assert_ok(open_as(&store, dir, true, false, err));
    assert_fails(open_as(&second, dir, true, false, err), SHREWD_LOCKED, dir);
    assert_int_equal(exit_of(start("open", dir)), -SHREWD_LOCKED);
    shr_store_close(store);
    assert_int_equal(exit_of(start("open", dir)), 0);
    remove_dir(dir);
}

static void read_only_beside_a_writer(void **state) {
    char *dir = make_dir();
    struct shr_store *writer = NULL, *reader = NULL;
    assert_ok(open_as(&writer, dir, true, false, err));
    put(writer, SHR_TABLE_LATEST, "k", "old");
    assert_ok(open_as(&reader, dir, false, true, err));
    put(writer, SHR_TABLE_LATEST, "k", "new");
    put(writer, SHR_TABLE_LATEST, "k2", "new");
    assert_has(reader, SHR_TABLE_LATEST, "k", "old"); /* as of opening */
    struct shr_snapshot *snapshot = NULL;
    struct shr_buf value = {0};
    assert_ok(shr_store_snapshot(reader, &snapshot, err));
    assert_ok(shr_store_get(reader, snapshot, SHR_TABLE_LATEST, &value, TEXT("k"), err));
    assert_bytes(shr_buf_bytes(&value), TEXT("old"));
    shr_store_snapshot_free(reader, snapshot);
    struct shr_batch batch = {0};
    shr_batch_put(&batch, SHR_TABLE_META, TEXT("k"), TEXT("v"));
    assert_fails(shr_store_write(reader, &batch, true, err), SHREWD_UNSUPPORTED, "read-only");
    shr_batch_free(&batch);
    shr_store_close(reader);
    assert_ok(open_as(&reader, dir, false, true, err));
    assert_has(reader, SHR_TABLE_LATEST, "k", "new");
    shr_store_close(reader);
    shr_store_close(writer);
    shr_buf_free(&value);
    remove_dir(dir);
}

/* --- Killed while writing --- */

#define ROUND_KEYS 30

/* Writes round after round, every key of a round with the round's number, until that fails. */
static int write_rounds(const char *dir) {
    struct shr_store *store = NULL;
    int code = open_as(&store, dir, true, false, NULL);
    for (uint32_t round = 1; code == 0; round++) {
        struct shr_batch batch = {0};
        for (uint8_t i = 0; i < ROUND_KEYS; i++) {
            shr_batch_put(&batch, (enum shr_table)(i % SHR_TABLE_COUNT), shr_bytes(&i, 1),
                          shr_bytes(&round, sizeof round));
        }
        code = shr_store_write(store, &batch, false, NULL);
        shr_batch_free(&batch);
    }
    shr_store_close(store);
    return -code;
}

/* Role "fill": the same where no file may grow beyond 300 kB, which fails as a full disk does. */
static int role_fill(const char *dir) {
    struct rlimit limit = {300000, 300000};
    signal(SIGXFSZ, SIG_IGN);
    return setrlimit(RLIMIT_FSIZE, &limit) == 0 ? write_rounds(dir) : 1;
}

static uint32_t last_round(const char *dir) {
    struct shr_store *store = NULL;
    assert_ok(open_as(&store, dir, true, false, err));
    struct shr_buf value = {0};
    uint32_t round = 0;
    for (uint8_t i = 0; i < ROUND_KEYS; i++) {
        uint32_t found = 0;
        int code = shr_store_get(store, NULL, (enum shr_table)(i % SHR_TABLE_COUNT), &value,
                                 shr_bytes(&i, 1), NULL);
        assert_true(code == 0 || code == SHREWD_NOT_FOUND);
        if (code == 0) {
            assert_int_equal(value.len, sizeof found);
            memcpy(&found, value.data, sizeof found);
        }
        if (i == 0) {
            round = found;
        }
        assert_int_equal(found, round); /* all of a batch, or nothing of it */
    }
    shr_buf_free(&value);
    shr_store_close(store);
    return round;
}

static void killed_while_writing(void **state) {
    char *dir = make_dir();
    struct rng rng = {9};
    uint32_t before = 0, grew = 0;
    for (int i = 0; i < 12 || (grew == 0 && i < 60); i++) {
        pid_t child = start("write", dir);
        /* A slow machine may not come to its first write in that time. */
        struct timespec pause = {.tv_sec = i / 12,
                                 .tv_nsec = 1000000L * (5 + rng_below(&rng, 300))};
        nanosleep(&pause, NULL);
        kill(child, SIGKILL);
        exit_of(child);
        uint32_t round = last_round(dir);
        grew += round != before;
        before = round;
    }
    assert_true(grew > 0);
    remove_dir(dir);
}

static void full_disk_is_an_error_and_no_more(void **state) {
    char *dir = make_dir();
    assert_int_equal(exit_of(start("fill", dir)), -SHREWD_IO);
    assert_true(last_round(dir) > 100);
    assert_int_equal(exit_of(start("open", dir)), 0);
    remove_dir(dir);
}

/* --- Damaged files --- */

static enum shr_scan_step count_row(void *ctx, struct shr_bytes key, struct shr_bytes value) {
    ++*(size_t *)ctx;
    return SHR_SCAN_MORE;
}

/* Turns bytes in the middle of every table file over; how many files there are. */
static size_t damage(const char *dir) {
    size_t files = 0;
    DIR *listing = opendir(dir);
    assert_non_null(listing);
    for (struct dirent *item; (item = readdir(listing)) != NULL;) {
        size_t len = strlen(item->d_name);
        if (len < 4 || strcmp(item->d_name + len - 4, ".sst") != 0) {
            continue;
        }
        int fd = openat(dirfd(listing), item->d_name, O_RDWR | O_CLOEXEC);
        struct stat info = {0};
        uint8_t bytes[64];
        assert_true(fd >= 0);
        assert_int_equal(fstat(fd, &info), 0);
        off_t middle = info.st_size / 3;
        assert_int_equal(pread(fd, bytes, sizeof bytes, middle), sizeof bytes);
        for (size_t i = 0; i < sizeof bytes; i++) {
            bytes[i] ^= 0x55;
        }
        assert_int_equal(pwrite(fd, bytes, sizeof bytes, middle), sizeof bytes);
        close(fd);
        files++;
    }
    closedir(listing);
    return files;
}

static void damage_is_noticed(void **state) {
    char *dir = make_dir();
    struct shr_store *store = NULL;
    struct shr_batch batch = {0};
    struct rng rng = {3};
    assert_ok(open_as(&store, dir, true, false, err));
    for (int i = 0; i < 5000; i++) {
        uint64_t key = rng_next(&rng), value[8] = {rng_next(&rng), rng_next(&rng)};
        shr_batch_put(&batch, SHR_TABLE_LATEST, shr_bytes(&key, sizeof key),
                      shr_bytes(value, sizeof value));
    }
    assert_ok(shr_store_write(store, &batch, true, err));
    shr_batch_free(&batch);
    shr_store_close(store);
    assert_ok(open_as(&store, dir, false, false, err)); /* moves the log into table files */
    shr_store_close(store);
    assert_true(damage(dir) > 0);
    struct shrewd_error err;
    int code = open_as(&store, dir, false, false, &err);
    if (code == 0) {
        size_t rows = 0;
        code = shr_store_scan(store, NULL, SHR_TABLE_LATEST, NO_BYTES, NO_BYTES, false, count_row,
                              &rows, &err);
        shr_store_close(store);
    }
    assert_int_equal(code, SHREWD_CORRUPT);
    assert_non_null(strstr(err.message, dir));
    remove_dir(dir);
}

/* More writes than fit the usual way go into write buffers of their own. */
static void very_large_batch(void **state) {
    char *dir = make_dir();
    struct shr_store *store = NULL;
    struct shr_batch batch = {0};
    assert_ok(open_as(&store, dir, true, false, err));
    put(store, SHR_TABLE_LATEST, "before", "1");
    for (uint32_t i = 0; i < 120000; i++) {
        shr_batch_put(&batch, SHR_TABLE_LATEST, shr_bytes(&i, sizeof i), TEXT("v"));
    }
    assert_ok(shr_store_write(store, &batch, true, err));
    shr_batch_free(&batch);
    put(store, SHR_TABLE_LATEST, "after", "2");
    size_t rows = 0;
    assert_ok(shr_store_scan(store, NULL, SHR_TABLE_LATEST, NO_BYTES, NO_BYTES, true, count_row,
                             &rows, err));
    assert_int_equal(rows, 120002);
    shr_store_close(store);
    remove_dir(dir);
}

static void assert_rows(struct shr_store *store, enum shr_table table, uint64_t rows) {
    struct shr_sizes sizes;
    assert_ok(shr_store_sizes(store, &sizes, err));
    assert_int_equal(sizes.tables[table].rows, rows);
    assert_true(sizes.tables[table].bytes > rows);
}

static void assert_rows_opened(const char *dir, uint64_t rows) {
    for (int read_only = 1; read_only >= 0; read_only--) {
        struct shr_store *store = NULL;
        assert_ok(open_as(&store, dir, false, read_only, err));
        assert_rows(store, SHR_TABLE_HISTORY, rows);
        assert_rows(store, SHR_TABLE_ROOT, 0);
        shr_store_close(store);
    }
}

/* As many rows are told after opening as before closing, whether they lie in files or in the log.
 */
static void rows_are_counted_after_opening(void **state) {
    static const uint32_t counts[] = {3000, 200000};
    for (size_t i = 0; i < 2; i++) {
        char *dir = make_dir();
        struct shr_store *store = NULL;
        struct shr_batch batch = {0};
        assert_ok(open_as(&store, dir, true, false, err));
        for (uint32_t key = 0; key < counts[i]; key++) {
            shr_batch_put(&batch, SHR_TABLE_HISTORY, shr_bytes(&key, sizeof key),
                          TEXT("a value of some length"));
        }
        assert_ok(shr_store_write(store, &batch, true, err));
        assert_rows(store, SHR_TABLE_HISTORY, counts[i]);
        shr_store_close(store);
        assert_rows_opened(dir, counts[i]);
        shr_batch_clear(&batch);
        for (uint32_t key = 0; key < 1000; key++) {
            shr_batch_remove(&batch, SHR_TABLE_HISTORY, shr_bytes(&key, sizeof key));
        }
        assert_ok(open_as(&store, dir, false, false, err));
        assert_ok(shr_store_write(store, &batch, true, err));
        assert_rows(store, SHR_TABLE_HISTORY, counts[i] - 1000);
        shr_store_close(store);
        assert_rows_opened(dir, counts[i] - 1000);
        shr_batch_free(&batch);
        remove_dir(dir);
    }
}

int main(int argc, char **argv) {
    self = "/proc/self/exe";
    if (argc == 3) {
        return strcmp(argv[1], "open") == 0   ? role_open(argv[2])
               : strcmp(argv[1], "fill") == 0 ? role_fill(argv[2])
                                              : write_rounds(argv[2]);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent_is_said),
        cmocka_unit_test(full_disk_is_said_before_opening),
        cmocka_unit_test(closing_leaves_little_log),
        cmocka_unit_test(log_stays_short),
        cmocka_unit_test(rows_are_counted_after_opening),
        cmocka_unit_test(created_with_its_parents),
        cmocka_unit_test(foreign_folder_is_refused),
        cmocka_unit_test(foreign_database_is_refused),
        cmocka_unit_test(unfinished_creation_is_finished),
        cmocka_unit_test(one_writer_at_a_time),
        cmocka_unit_test(read_only_beside_a_writer),
        cmocka_unit_test(killed_while_writing),
        cmocka_unit_test(full_disk_is_an_error_and_no_more),
        cmocka_unit_test(damage_is_noticed),
        cmocka_unit_test(very_large_batch),
    };
    return cmocka_run_group_tests_name("rocks", tests, NULL, NULL);
}
