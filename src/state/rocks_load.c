/* Many rows of one table, as a file of the table's own: sorted and encoded once, where a write goes
 * to the log, into a write buffer and from there to a file. */
#include "state/rocks.h"

#include "base/alloc.h"

#include <stdlib.h>
#include <unistd.h>

/* Begins with a dot, as files that a new database's folder may hold (rocks_open.c). One that a kill
 * leaves behind goes at the next opening, as a name: it may be another one of a table's file. */
#define FILE_NAME "%s/.shrewd-load-%s.sst"

/* What is merged with other files soon is compressed then. What keeps its compression is moved down
 * as it is. */
static rocksdb_options_t *file_options(const struct shr_rocks *rocks, enum shr_table table) {
    rocksdb_options_t *options = rocksdb_options_create_copy(rocks->family_options[table]);
    int compression = rocksdb_options_get_compression(options);
    if (compression == rocksdb_lz4_compression) {
        compression = rocksdb_no_compression;
        rocksdb_options_set_compression(options, compression);
    }
    rocksdb_options_set_bottommost_compression(options, compression);
    return options;
}

static void add_row(rocksdb_sstfilewriter_t *file, const struct shr_write *row, char **message) {
    if (row->remove) {
        rocksdb_sstfilewriter_delete(file, shr_rocks_chars(row->key), row->key.len, message);
    } else {
        rocksdb_sstfilewriter_put(file, shr_rocks_chars(row->key), row->key.len,
                                  shr_rocks_chars(row->value), row->value.len, message);
    }
}

static char *write_file(const struct shr_rocks *rocks, const char *path, enum shr_table table,
                        shr_rows_fn *next, void *ctx, struct shr_write *row) {
    char *message = NULL;
    rocksdb_envoptions_t *env = rocksdb_envoptions_create();
    rocksdb_options_t *options = file_options(rocks, table);
    rocksdb_sstfilewriter_t *file = rocksdb_sstfilewriter_create(env, options);
    rocksdb_sstfilewriter_open(file, path, &message);
    for (bool more = true; message == NULL && more; more = next(ctx, row)) {
        add_row(file, row, &message);
    }
    if (message == NULL) {
        rocksdb_sstfilewriter_finish(file, &message);
    }
    rocksdb_sstfilewriter_destroy(file);
    rocksdb_options_destroy(options);
    rocksdb_envoptions_destroy(env);
    return message;
}

/* RocksDB (7.8) keeps it in mind for ever when an error has stopped it, also once there is space
 * again and it writes as before: it gives a file that is loaded then no number, and ends the
 * process. Such an error was a write's, or one of its own threads'. */
bool shr_rocks_loads(const struct shr_store *store) {
    const struct shr_rocks *rocks = (const struct shr_rocks *)store;
    uint64_t errors = 0;
    return !atomic_load(&rocks->failed) &&
           rocksdb_property_int(rocks->db, "rocksdb.background-errors", &errors) == 0 &&
           errors == 0;
}

static char *load_file(const struct shr_rocks *rocks, const char *path, enum shr_table table) {
    char *message = NULL;
    rocksdb_ingestexternalfileoptions_t *options = rocksdb_ingestexternalfileoptions_create();
    rocksdb_ingestexternalfileoptions_set_move_files(options, 1);
    rocksdb_ingest_external_file_cf(rocks->db, rocks->families[table], &path, 1, options, &message);
    rocksdb_ingestexternalfileoptions_destroy(options);
    return message;
}

static char *path_of(const struct shr_rocks *rocks, enum shr_table table) {
    return shr_asprintf(FILE_NAME, rocks->path, shr_table_name(table));
}

static int fail(struct shr_rocks *rocks, char *message, struct shrewd_error *err) {
    atomic_store(&rocks->failed, true);
    return shr_rocks_fail(rocks->path, message, "cannot write", err);
}

int shr_rocks_make(struct shr_store *store, enum shr_table table, shr_rows_fn *next, void *ctx,
                   struct shrewd_error *err) {
    struct shr_rocks *rocks = (struct shr_rocks *)store;
    struct shr_write row;
    shr_rocks_drop(store, table);
    if (!next(ctx, &row)) {
        return 0; /* there is no file without a row */
    }
    char *path = path_of(rocks, table);
    char *message = write_file(rocks, path, table, next, ctx, &row);
    free(path);
    return message == NULL ? 0 : fail(rocks, message, err);
}

int shr_rocks_take(struct shr_store *store, enum shr_table table, struct shrewd_error *err) {
    struct shr_rocks *rocks = (struct shr_rocks *)store;
    char *path = path_of(rocks, table), *message = NULL;
    bool made = access(path, F_OK) == 0, loads = shr_rocks_loads(store);
    if (made && loads) {
        message = load_file(rocks, path, table);
        unlink(path); /* what has been moved is gone already */
    }
    free(path);
    if (message != NULL) {
        return fail(rocks, message, err);
    }
    return !made || loads
               ? 0
               : shr_fail(err, SHREWD_DISK_FULL,
                          "cannot write the database '%s': its disk was full for a while; free "
                          "some space: what is stored is whole",
                          rocks->path);
}

void shr_rocks_drop(struct shr_store *store, enum shr_table table) {
    char *path = path_of((struct shr_rocks *)store, table);
    unlink(path);
    free(path);
}
