/* shrewd/shrewd.h: the indexer as a library: open, index a block, view, preview, roll back.
 *
 * A module (WebAssembly, the Metashrew ABI) is run over blocks one after the other; every
 * version of the state it writes is kept; views of the same module answer at any height.
 *
 * Conventions. Functions return 0 or a negative code of shrewd/error.h and fill the optional
 * `err`, always the last argument. Arguments come in this order: the handle, outputs, inputs; a
 * length follows its array. Hashes are 32 bytes in internal byte order (as hashed).
 *
 * Threads. One thread at a time may index and roll back; any number of threads may read (tip,
 * block, get, each, view, preview) meanwhile: each sees one consistent version. Threads that run
 * guests (index, view, preview) need 8 MiB of stack.
 *
 * Running out of memory on the host ends the process; what is stored stays whole.
 */
#ifndef SHREWD_SHREWD_H
#define SHREWD_SHREWD_H

#include "shrewd/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SHREWD_LATEST UINT32_MAX

struct shrewd;

enum shrewd_open_flags {
    SHREWD_CREATE = 1 << 0,        /* make the database when it is absent */
    SHREWD_READ_ONLY = 1 << 1,     /* also while another process writes it */
    SHREWD_IN_MEMORY = 1 << 2,     /* no database: state lives as long as the handle */
    SHREWD_ACCEPT_MODULE = 1 << 3, /* go on with another module than the one recorded */
    /* Whether each block gets a state root (doc/state-root.md): settled when a database is made, on
     * unless off; SHREWD_MISMATCH for one made otherwise. A fork keeps none. */
    SHREWD_STATE_ROOT_ON = 1 << 4,
    SHREWD_STATE_ROOT_OFF = 1 << 5,
};

/* How views answer: doc/views.md. Zero means the default. */
struct shrewd_view_options {
    bool fresh;               /* a new instance for every call; else stateful: instances are kept
                                 warm, each for one version of the state */
    bool results_off;         /* keep no answers in fresh mode either */
    uint64_t pool_bytes;      /* memory of idle warm instances; 256 MiB */
    uint64_t results_bytes;   /* answers kept; fresh: 64 MiB, stateful: none */
    uint32_t verify_every;    /* compute every Nth stateful answer again, fresh; never */
    uint32_t time_ms;         /* one view may take; 10000 */
    uint32_t preview_time_ms; /* one preview may take; 30000 */
    uint64_t memory_max;      /* bytes one instance may grow to; 1 GiB */
    size_t result_max;        /* bytes of one answer; 64 MiB */
    uint32_t log_lines_max;   /* of one call; 100 */
};

struct shrewd_options {
    unsigned flags;
    const char *db_path;      /* a folder; unused with SHREWD_IN_MEMORY */
    const char *module_path;  /* .wasm or .wat; NULL: no guest can run, reading works */
    const char *cache_path;   /* where machine code is kept; NULL: nowhere */
    const char *fork_path;    /* another database to read through to; NULL: none */
    const uint8_t *genesis32; /* the chain's genesis hash; NULL: what the database says */
    uint32_t start_height;    /* the first block, for a new database */
    size_t cache_bytes;       /* RocksDB block cache; 0: 256 MiB */
    size_t read_cache_bytes;  /* values kept as read; 0: 64 MiB */
    bool read_cache_off;
    size_t write_buffer_bytes; /* RocksDB's, of all tables together; 0: 256 MiB */
    /* Pages of the state's tree; 0: 64 MiB. What they have no room for goes into a file without a
     * name in db_path, of up to 16 times as much. Without a state root they are added to
     * read_cache_bytes, if that is not 0. */
    size_t root_cache_bytes;
    struct shrewd_view_options views;
};

struct shrewd_block {
    uint32_t height;
    uint8_t hash[32];
    bool has_root;
    uint8_t root[32];
    uint64_t n_keys;     /* keys this block wrote */
    uint64_t total_keys; /* keys held after it */
};

/* Copies what it needs of the options. SHREWD_MISMATCH: another chain or module, with the way
 * out; SHREWD_LOCKED: another process has the database; SHREWD_NOT_FOUND: nothing there and no
 * SHREWD_CREATE. A new database needs genesis32 and module_path. */
int shrewd_open(struct shrewd **out, const struct shrewd_options *options,
                struct shrewd_error *err);
void shrewd_close(struct shrewd *shrewd); /* NULL is fine */

/* The last block indexed; SHREWD_NOT_FOUND when there is none. */
int shrewd_tip(struct shrewd *shrewd, struct shrewd_block *out, struct shrewd_error *err);
int shrewd_block_at(struct shrewd *shrewd, struct shrewd_block *out, uint32_t height,
                    struct shrewd_error *err);

/* What the database recorded when it was made, and how large it is. */
#define SHREWD_TABLES_MAX 16

struct shrewd_info {
    uint8_t genesis[32];     /* the chain's genesis hash */
    uint8_t module_hash[32]; /* SHA-256 of the module's bytes */
    uint32_t start_height;   /* the first block it was made for */
    uint32_t first_height; /* the oldest height that can be read; start_height when never pruned */
    uint64_t disk_bytes;   /* the folder's files, about; in memory: that */
    uint64_t versions;     /* of all keys at all heights, about */
    uint32_t n_tables;
    struct shrewd_table {
        const char *name;        /* static */
        uint64_t bytes, rows;    /* about */
    } tables[SHREWD_TABLES_MAX]; /* doc/database.md */
};

int shrewd_info(struct shrewd *shrewd, struct shrewd_info *out, struct shrewd_error *err);

/* Checks and indexes the block that follows the tip: SHREWD_BAD_BLOCK, SHREWD_NOT_CONNECTED (roll
 * back first), SHREWD_TRAP or SHREWD_GUEST (nothing of it is stored). Durable on return. */
int shrewd_index_block(struct shrewd *shrewd, const uint8_t *block, size_t len,
                       struct shrewd_error *err);
/* Removes every block above `height`, in one atomic write; one that needs more than about 256 MiB
 * of memory goes in several, newest blocks first: the state is whole after each. */
int shrewd_rollback(struct shrewd *shrewd, uint32_t height, struct shrewd_error *err);

/* *out is allocated (never NULL on success); free it with shrewd_free. SHREWD_TIMEOUT and
 * SHREWD_LIMIT when a limit of shrewd_view_options was met. */
int shrewd_view(struct shrewd *shrewd, uint8_t **out, size_t *out_len, const char *view,
                const uint8_t *input, size_t input_len, uint32_t height, struct shrewd_error *err);
int shrewd_preview(struct shrewd *shrewd, uint8_t **out, size_t *out_len, const uint8_t *block,
                   size_t block_len, const char *view, const uint8_t *input, size_t input_len,
                   uint32_t height, struct shrewd_error *err);
int shrewd_get(struct shrewd *shrewd, uint8_t **out, size_t *out_len, const uint8_t *key,
               size_t key_len, uint32_t height, struct shrewd_error *err);
void shrewd_free(void *memory);

/* Visits every key that starts with `prefix` and its value after `height`, in key order, on one
 * consistent picture. The bytes are valid during the call; false ends the walk. */
typedef bool shrewd_visit_fn(void *ctx, const uint8_t *key, size_t key_len, const uint8_t *value,
                             size_t value_len);
int shrewd_each(struct shrewd *shrewd, const uint8_t *prefix, size_t prefix_len, uint32_t height,
                shrewd_visit_fn *visit, void *ctx, struct shrewd_error *err);

#ifdef __cplusplus
}
#endif

#endif
