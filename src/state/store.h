/* store.h: the small storage interface under the versioned state. Implementations: RocksDB,
 * memory, and an overlay that keeps writes in memory over another store; one test suite holds
 * all of them. Made to fit a networked database too: several reads in one call, values copied
 * into the caller's buffers, borrowed bytes only inside a scan's callback.
 *
 * Keys are ordered as unsigned bytes. Threads: any thread may read; writers are serialised by
 * the caller (one writer). Errors: SHREWD_IO / SHREWD_CORRUPT with path and cause.
 */
#ifndef SHR_STATE_STORE_H
#define SHR_STATE_STORE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

/* X(NAME, "column family") */
#define SHR_TABLE_MAP(X)                                                                           \
    X(META, "default")    /* what the database is: see state.c */                                  \
    X(LATEST, "latest")   /* key -> newest version */                                              \
    X(HISTORY, "history") /* (key, height) -> version that this height replaced */                 \
    X(CHANGES, "changes") /* height -> keys written */                                             \
    X(BLOCKS, "blocks")   /* height -> block record */                                             \
    X(ROOT, "root")       /* (page of the state tree, height downwards) -> what it changed */      \
    X(ROOT_PAGES, "root_pages") /* height -> pages that have a row in ROOT */

enum shr_table {
#define SHR_X(name, family) SHR_TABLE_##name,
    SHR_TABLE_MAP(SHR_X)
#undef SHR_X
        SHR_TABLE_COUNT
};

struct shr_store;
struct shr_scans;
struct shr_snapshot; /* a consistent view of every table; owned by its store */

struct shr_read {
    enum shr_table table;
    struct shr_bytes key;
    struct shr_buf *value; /* replaced when found */
    bool found;            /* out */
};

enum shr_scan_step { SHR_SCAN_MORE, SHR_SCAN_DONE };
/* One entry; the bytes are valid during the call, which must not write to the store. */
typedef enum shr_scan_step shr_scan_fn(void *ctx, struct shr_bytes key, struct shr_bytes value);

struct shr_write {
    enum shr_table table;
    struct shr_bytes key;
    struct shr_bytes value;
    bool remove; /* true: delete the key; value is ignored */
};

/* An ordered list of puts and removes; owns copies. {0} is empty. A later write of a key wins. */
struct shr_batch {
    struct shr_write *writes;
    size_t n, cap;
    struct shr_arena arena; /* the bytes */
    size_t bytes;           /* keys and values together */
};
void shr_batch_put(struct shr_batch *batch, enum shr_table table, struct shr_bytes key,
                   struct shr_bytes value);
void shr_batch_remove(struct shr_batch *batch, enum shr_table table, struct shr_bytes key);
/* Makes room for n writes more. */
void shr_batch_reserve(struct shr_batch *batch, size_t n);
/* Appends what `from` has, which is empty then. */
void shr_batch_move(struct shr_batch *batch, struct shr_batch *from);
void shr_batch_clear(struct shr_batch *batch);
void shr_batch_free(struct shr_batch *batch);

/* Every call takes a snapshot, or NULL for the newest committed data. */
int shr_store_get(struct shr_store *store, const struct shr_snapshot *snapshot,
                  enum shr_table table, struct shr_buf *value, struct shr_bytes key,
                  struct shrewd_error *err); /* SHREWD_NOT_FOUND */
int shr_store_get_many(struct shr_store *store, const struct shr_snapshot *snapshot,
                       struct shr_read *reads, size_t n, struct shrewd_error *err);
/* Entries with from <= key, and key < to unless to.data is NULL, in order (or, `backward`, from
 * the last one down). */
int shr_store_scan(struct shr_store *store, const struct shr_snapshot *snapshot,
                   enum shr_table table, struct shr_bytes from, struct shr_bytes to, bool backward,
                   shr_scan_fn *visit, void *ctx, struct shrewd_error *err);
/* Many short scans of one table, forward, of the data as it is when this is made; for one thread.
 * What setting up a scan costs is paid once. */
struct shr_scans *shr_store_scans_new(struct shr_store *store, const struct shr_snapshot *snapshot,
                                      enum shr_table table);
void shr_store_scans_free(struct shr_scans *scans); /* NULL is fine */
/* As shr_store_scan. In ROOT both bounds must be in one page (root_page.h). */
int shr_store_scans_next(struct shr_scans *scans, struct shr_bytes from, struct shr_bytes to,
                         shr_scan_fn *visit, void *ctx, struct shrewd_error *err);
/* All or nothing. `sync`: on disk when it returns. */
int shr_store_write(struct shr_store *store, const struct shr_batch *batch, bool sync,
                    struct shrewd_error *err);
/* Gives the next row, valid until the next call, but for its table; false: there is none. */
typedef bool shr_rows_fn(void *ctx, struct shr_write *row);
/* Rows of one table, in the order of their keys, each key once, to be put or removed: all or
 * nothing, and on disk when it returns. When there are tens of thousands this costs a fraction of
 * what a write does; it is for stores for which shr_store_loads. */
int shr_store_load_rows(struct shr_store *store, enum shr_table table, shr_rows_fn *next, void *ctx,
                        struct shrewd_error *err);
/* The rows of one table out of a batch, in any order, each key once. */
int shr_store_load(struct shr_store *store, const struct shr_batch *rows, enum shr_table table,
                   struct shrewd_error *err);
bool shr_store_loads(const struct shr_store *store);
/* Loading in two steps. The first makes a file, which no read sees: any thread may do so, also
 * while others read, write and make files of other tables; of one table there is one at a time. The
 * second makes its rows those of the table. Where there are no rows there is no file, and nothing
 * to do. */
int shr_store_make_rows(struct shr_store *store, enum shr_table table, shr_rows_fn *next, void *ctx,
                        struct shrewd_error *err);
int shr_store_make(struct shr_store *store, const struct shr_batch *rows, enum shr_table table,
                   struct shrewd_error *err);
int shr_store_take(struct shr_store *store, enum shr_table table, struct shrewd_error *err);
/* Instead of taking it, or after that failed. */
void shr_store_drop(struct shr_store *store, enum shr_table table);
int shr_store_snapshot(struct shr_store *store, struct shr_snapshot **out,
                       struct shrewd_error *err);
void shr_store_snapshot_free(struct shr_store *store, struct shr_snapshot *snapshot);
/* Bytes on disk (or in memory), and of each table about its own and its rows. */
struct shr_sizes {
    uint64_t bytes; /* of everything: also the log, and files no longer needed */
    struct {
        uint64_t bytes, rows;
    } tables[SHR_TABLE_COUNT];
};
int shr_store_sizes(struct shr_store *store, struct shr_sizes *out, struct shrewd_error *err);
/* Whether its disk takes a small file now, on the disk when it returns; SHREWD_IO with the cause.
 * RocksDB refuses every write after one that failed, whatever the disk does since: the store must
 * be opened anew then. (A full disk is different: writes go on when there is space.) */
int shr_store_probe(struct shr_store *store, struct shrewd_error *err);
void shr_store_close(struct shr_store *store); /* NULL is fine */

/* --- Implementations --- */

struct shr_rocks_options {
    bool create;               /* make it when absent; otherwise absent is SHREWD_NOT_FOUND */
    bool read_only;            /* also while another process writes */
    size_t cache_bytes;        /* block cache, with indexes and filters; 0 means 256 MiB */
    size_t write_buffer_bytes; /* most that write buffers take together; 0 means 256 MiB */
};
/* SHREWD_LOCKED when another process has it, naming the path. */
int shr_store_open_rocks(struct shr_store **out, const char *path,
                         const struct shr_rocks_options *options, struct shrewd_error *err);
struct shr_store *shr_store_new_memory(void);
/* Reads see the overlay's writes over `base` as of `snapshot` (NULL: as it is; then nobody else
 * may write base meanwhile). Borrows both. */
struct shr_store *shr_store_new_overlay(struct shr_store *base,
                                        const struct shr_snapshot *snapshot);
/* Appends the overlay's writes to `batch`, so that base can take them in one atomic write. */
int shr_overlay_collect(struct shr_store *overlay, struct shr_batch *batch,
                        struct shrewd_error *err);

#endif
