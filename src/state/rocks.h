/* rocks.h: the RocksDB store's own struct, shared by its files: rocks_open.c (options, what a
 * folder holds, opening), rocks_beside.c (opening while another process writes), store_rocks.c
 * (reading and writing) and rocks_load.c (writing much). */
#ifndef SHR_STATE_ROCKS_H
#define SHR_STATE_ROCKS_H

#include "state/store_ops.h"

#include <rocksdb/c.h>
#include <stdatomic.h>

struct shr_rocks {
    struct shr_store store;
    char *path;
    rocksdb_t *db;
    rocksdb_column_family_handle_t *families[SHR_TABLE_COUNT];
    rocksdb_env_t *env;
    rocksdb_options_t *db_options;
    rocksdb_options_t *family_options[SHR_TABLE_COUNT];
    rocksdb_cache_t *cache;
    rocksdb_readoptions_t *reads; /* of the newest data */
    rocksdb_writeoptions_t *writes, *synced_writes;
    _Atomic bool failed; /* a write has, since it was opened */
};

/* Files of the first level beyond which writes are slowed down. */
#define SHR_ROCKS_FRESH_FILES_SLOW 64

/* Opens the database at rocks->path and fills the rest; on failure what was filled is left for
 * shr_rocks_free. */
int shr_rocks_open(struct shr_rocks *rocks, const struct shr_rocks_options *options,
                   struct shrewd_error *err);
void shr_rocks_free(struct shr_rocks *rocks);
/* Opens rocks->db, with all else set; RocksDB's message when that fails. */
char *shr_rocks_open_once(struct shr_rocks *rocks, bool read_only);
void shr_rocks_close_once(struct shr_rocks *rocks);
/* rocks_beside.c. Opens rocks->db read-only, as it is at one moment while another process writes.
 */
int shr_rocks_open_beside(struct shr_rocks *rocks, struct shrewd_error *err);

/* How many of the first bytes of a ROOT key name its page. */
size_t shr_rocks_page_bytes(const char *key, size_t len);

/* RocksDB's slices: never a NULL pointer, not even for no bytes. */
static inline const char *shr_rocks_chars(struct shr_bytes bytes) {
    return bytes.len == 0 ? "" : (const char *)bytes.data;
}

/* As in store_ops.h. */
bool shr_rocks_loads(const struct shr_store *store);
int shr_rocks_make(struct shr_store *store, enum shr_table table, shr_rows_fn *next, void *ctx,
                   struct shrewd_error *err);
int shr_rocks_take(struct shr_store *store, enum shr_table table, struct shrewd_error *err);
void shr_rocks_drop(struct shr_store *store, enum shr_table table);

/* Turns RocksDB's message into an error that names the path, and frees it. `doing` is what
 * failed, e.g. "cannot read". */
int shr_rocks_fail(const char *path, char *message, const char *doing, struct shrewd_error *err);

#endif
