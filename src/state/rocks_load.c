/* Many rows of one table, as a file of the table's own: sorted and encoded once, where a write goes
 * to the log, into a write buffer and from there to a file. */
#include "state/rocks.h"

#include "base/alloc.h"
#include "state/order.h"

#include <stdlib.h>
#include <unistd.h>

/* Begins with a dot, as files that a new database's folder may hold (rocks_open.c). One that a kill
 * leaves behind goes when the next is made, as a name: it may be another one of a table's file. */
#define LOAD_NAME ".shrewd-load.sst"

static struct shr_ordered *order_rows(const struct shr_batch *rows, enum shr_table table,
                                      size_t *n) {
    struct shr_ordered *order = shr_alloc_array(rows->n + 1, sizeof *order);
    *n = 0;
    for (size_t i = 0; i < rows->n; i++) {
        if (rows->writes[i].table == table) {
            order[(*n)++] = (struct shr_ordered){.key = rows->writes[i].key, .rank = i};
        }
    }
    shr_order(order, *n);
    return order;
}

/* As what goes to the first level is compressed: the last one's way costs several times as much. */
static rocksdb_options_t *file_options(const struct shr_rocks *rocks, enum shr_table table) {
    rocksdb_options_t *options = rocksdb_options_create_copy(rocks->family_options[table]);
    rocksdb_options_set_bottommost_compression(options, rocksdb_options_get_compression(options));
    return options;
}

static char *write_file(const struct shr_rocks *rocks, const char *path, enum shr_table table,
                        const struct shr_batch *rows, const struct shr_ordered *order, size_t n) {
    char *message = NULL;
    rocksdb_envoptions_t *env = rocksdb_envoptions_create();
    rocksdb_options_t *options = file_options(rocks, table);
    rocksdb_sstfilewriter_t *file = rocksdb_sstfilewriter_create(env, options);
    rocksdb_sstfilewriter_open(file, path, &message);
    for (size_t i = 0; message == NULL && i < n; i++) {
        const struct shr_write *row = &rows->writes[order[i].rank];
        rocksdb_sstfilewriter_put(file, shr_rocks_chars(row->key), row->key.len,
                                  shr_rocks_chars(row->value), row->value.len, &message);
    }
    if (message == NULL) {
        rocksdb_sstfilewriter_finish(file, &message);
    }
    rocksdb_sstfilewriter_destroy(file);
    rocksdb_options_destroy(options);
    rocksdb_envoptions_destroy(env);
    return message;
}

int shr_rocks_load(struct shr_store *store, const struct shr_batch *rows, enum shr_table table,
                   struct shrewd_error *err) {
    struct shr_rocks *rocks = (struct shr_rocks *)store;
    size_t n;
    struct shr_ordered *order = order_rows(rows, table, &n);
    if (n == 0) {
        free(order);
        return 0;
    }
    char *path = shr_asprintf("%s/%s", rocks->path, LOAD_NAME);
    unlink(path);
    char *message = write_file(rocks, path, table, rows, order, n);
    if (message == NULL) {
        const char *paths[] = {path};
        rocksdb_ingestexternalfileoptions_t *options = rocksdb_ingestexternalfileoptions_create();
        rocksdb_ingestexternalfileoptions_set_move_files(options, 1);
        rocksdb_ingest_external_file_cf(rocks->db, rocks->families[table], paths, 1, options,
                                        &message);
        rocksdb_ingestexternalfileoptions_destroy(options);
    }
    unlink(path); /* what has been moved is gone already */
    free(path);
    free(order);
    return message == NULL ? 0 : shr_rocks_fail(rocks->path, message, "cannot write", err);
}
