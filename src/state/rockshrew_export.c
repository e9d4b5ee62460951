/* Writing a state as rockshrew-mono's database. */
#include "state/rockshrew_impl.h"

#include "state/codec.h"
#include "state/state_impl.h"

#include "base/alloc.h"
#include "base/endian.h"
#include "base/hex.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_BYTES ((size_t)4 << 20)
#define WRITE_BUFFER_BYTES ((size_t)64 << 20)

struct export {
    struct shr_state *state;
    struct shr_reader *reader;
    uint32_t above;  /* one more than the tip */
    uint32_t oldest; /* the first height held: what there was before is said to be of it */
    struct shr_rockshrew_counts *counts;
    const char *path;
    struct shr_buf prefix;
    rocksdb_options_t *options;
    rocksdb_writeoptions_t *writes;
    rocksdb_t *db;
    rocksdb_writebatch_t *batch;
    size_t batch_bytes;
    struct shr_bytes key; /* whose entries are written */
    uint32_t n;           /* how many are */
    struct shr_buf row, entry, from, to, older;
    int code;
    struct shrewd_error *err;
};

static int open_new(struct export *export, struct shrewd_error *err) {
    char *message = NULL;
    export->options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(export->options, 1);
    rocksdb_options_set_error_if_exists(export->options, 1);
    rocksdb_options_set_write_buffer_size(export->options, WRITE_BUFFER_BYTES);
    rocksdb_options_set_max_background_jobs(export->options, 2);
    rocksdb_options_set_keep_log_file_num(export->options, 1);
    rocksdb_options_set_max_open_files(export->options, 512);
    export->writes = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(export->writes, 1);
    export->db = rocksdb_open(export->options, export->path, &message);
    return message == NULL ? 0 : shr_rocks_fail(export->path, message, "cannot create", err);
}

static int write_batch(struct export *export) {
    char *message = NULL;
    rocksdb_write(export->db, export->writes, export->batch, &message);
    rocksdb_writebatch_clear(export->batch);
    export->batch_bytes = 0;
    return message == NULL ? 0 : shr_rocks_fail(export->path, message, "cannot write", export->err);
}

static int put(struct export *export, struct shr_bytes row, struct shr_bytes value) {
    rocksdb_writebatch_put(export->batch, (const char *)row.data, row.len,
                           value.len == 0 ? "" : (const char *)value.data, value.len);
    export->batch_bytes += row.len + value.len;
    return export->batch_bytes < BATCH_BYTES ? 0 : write_batch(export);
}

/* A row of the present key; last: what comes after its slash. */
static int put_of_key(struct export *export, const char *last, struct shr_bytes value) {
    shr_buf_set(&export->row, shr_buf_bytes(&export->prefix));
    shr_buf_add(&export->row, export->key);
    shr_buf_add_u8(&export->row, '/');
    shr_buf_add_str(&export->row, last);
    return put(export, shr_buf_bytes(&export->row), value);
}

static int put_entry(struct export *export, struct shr_bytes value, uint32_t height) {
    char number[16];
    snprintf(number, sizeof number, "%u", export->n++);
    shr_buf_clear(&export->entry);
    shr_buf_printf(&export->entry, "%u:", height < export->oldest ? export->oldest : height);
    shr_hex_encode(&export->entry, value);
    export->counts->entries++;
    return put_of_key(export, number, shr_buf_bytes(&export->entry));
}

/* A version that a later one has replaced. */
static enum shr_scan_step on_history(void *ctx, struct shr_bytes row_key, struct shr_bytes row) {
    struct export *export = ctx;
    struct shr_bytes value;
    uint32_t height = 0;
    const char *wrong = shr_version_decode(&value, &height, row);
    export->code = wrong != NULL ? shr_corrupt(export->state->store, SHR_TABLE_HISTORY, row_key,
                                               wrong, export->err)
                                 : put_entry(export, value, height);
    return export->code == 0 ? SHR_SCAN_MORE : SHR_SCAN_DONE;
}

static int put_key(struct export *export, struct shr_bytes key, struct shr_bytes value,
                   uint32_t height) {
    export->key = key;
    export->n = 0;
    shr_history_key(&export->from, key, export->oldest + 1);
    shr_history_key(&export->to, key, export->above); /* beyond, rows may be ahead of the tip */
    int code = shr_store_scan(export->state->store, export->reader->snapshot, SHR_TABLE_HISTORY,
                              shr_buf_bytes(&export->from), shr_buf_bytes(&export->to), false,
                              on_history, export, export->err);
    code = code != 0 ? code : export->code;
    if (code == 0) {
        code = put_entry(export, value, height);
    }
    if (code == 0) {
        char count[16];
        snprintf(count, sizeof count, "%u", export->n);
        code = put_of_key(export, "length", shr_bytes_str(count));
        export->counts->keys++;
    }
    return code;
}

/* The version in force at the tip, which is older than one ahead of it; none of a key that is new.
 */
static int on_version(struct export *export, struct shr_bytes key, struct shr_bytes row) {
    struct shr_store *store = export->state->store;
    struct shr_bytes value;
    uint32_t height = 0;
    bool found = true;
    const char *wrong = shr_version_decode(&value, &height, row);
    if (wrong != NULL) {
        return shr_corrupt(store, SHR_TABLE_LATEST, key, wrong, export->err);
    }
    if (height >= export->above) {
        int code = shr_history_find(store, export->reader->snapshot, &export->older, &found,
                                    &height, key, export->above - 1, export->err);
        if (code != 0) {
            return code;
        }
        value = shr_buf_bytes(&export->older);
    }
    return found ? put_key(export, key, value, height) : 0;
}

static enum shr_scan_step on_latest(void *ctx, struct shr_bytes key, struct shr_bytes row) {
    struct export *export = ctx;
    export->code = on_version(export, key, row);
    return export->code == 0 ? SHR_SCAN_MORE : SHR_SCAN_DONE;
}

static int put_named(struct export *export, const char *name, struct shr_bytes value) {
    return put(export, shr_bytes_str(name), value);
}

static enum shr_scan_step on_block(void *ctx, struct shr_bytes key, struct shr_bytes row) {
    struct export *export = ctx;
    struct shr_block_record record;
    const char *wrong = key.len != 4 ? "the key is not a height" : NULL;
    if (wrong == NULL) {
        wrong = shr_record_decode(&record, shr_get_be32(key.data), row);
    }
    if (wrong != NULL) {
        export->code = shr_corrupt(export->state->store, SHR_TABLE_BLOCKS, key, wrong, export->err);
        return SHR_SCAN_DONE;
    }
    if (record.height < export->oldest) {
        return SHR_SCAN_MORE;
    }
    char name[64];
    uint8_t shown[32];
    snprintf(name, sizeof name, SHR_ROCKSHREW_HASH "%u", record.height);
    for (size_t i = 0; i < 32; i++) {
        shown[i] = record.hash.b[31 - i];
    }
    export->code = put_named(export, name, shr_bytes(shown, sizeof shown));
    return export->code == 0 ? SHR_SCAN_MORE : SHR_SCAN_DONE;
}

/* The two records of the tip come last: without them the database is no whole one. */
static int put_tip(struct export *export, uint32_t height) {
    uint8_t bytes[4];
    struct shr_buf name = {0};
    shr_put_le32(bytes, height);
    shr_buf_add(&name, shr_buf_bytes(&export->prefix));
    shr_buf_add_str(&name, SHR_ROCKSHREW_TIP);
    int code = put(export, shr_buf_bytes(&name), shr_bytes(bytes, sizeof bytes));
    if (code == 0) {
        code = put_named(export, SHR_ROCKSHREW_HEIGHT, shr_bytes(bytes, sizeof bytes));
    }
    shr_buf_free(&name);
    return code == 0 ? write_batch(export) : code;
}

static int flush(struct export *export) {
    char *message = NULL;
    rocksdb_flushoptions_t *flushed = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(flushed, 1);
    rocksdb_flush(export->db, flushed, &message);
    rocksdb_flushoptions_destroy(flushed);
    return message == NULL ? 0 : shr_rocks_fail(export->path, message, "cannot write", export->err);
}

static int write_all(struct export *export, const struct shr_block_record *tip) {
    const struct shr_bytes all = {NULL, 0};
    struct shr_store *store = export->state->store;
    int code = shr_store_scan(store, export->reader->snapshot, SHR_TABLE_LATEST, all, all, false,
                              on_latest, export, export->err);
    code = code != 0 ? code : export->code;
    if (code == 0) {
        code = shr_store_scan(store, export->reader->snapshot, SHR_TABLE_BLOCKS, all, all, false,
                              on_block, export, export->err);
        code = code != 0 ? code : export->code;
    }
    if (code == 0) {
        code = put_tip(export, tip->height);
    }
    return code != 0 ? code : flush(export);
}

int shr_rockshrew_export(struct shr_state *state, const char *path, const char *label,
                         struct shr_rockshrew_counts *counts, struct shrewd_error *err) {
    struct shr_block_record tip;
    *counts = (struct shr_rockshrew_counts){0};
    struct export export = {.state = state,
                            .counts = counts,
                            .path = path,
                            .err = err,
                            .batch = rocksdb_writebatch_create()};
    if (label != NULL && label[0] != 0) {
        shr_buf_printf(&export.prefix, "%s://", label);
    }
    int code = state->base != NULL ? shr_fail(err, SHREWD_UNSUPPORTED,
                                              "a fork has no history of its own to export; "
                                              "export the database it was made on")
                                   : shr_reader_open(&export.reader, state, err);
    if (code == 0) {
        export.oldest = shr_reader_oldest(export.reader);
        code = shr_reader_tip(export.reader, &tip, err);
        export.above = code == 0 ? tip.height + 1 : 0;
    }
    if (code == 0) {
        code = open_new(&export, err);
    }
    if (code == 0) {
        code = write_all(&export, &tip);
    }
    if (export.db != NULL) {
        rocksdb_close(export.db);
    }
    if (export.options != NULL) {
        rocksdb_writeoptions_destroy(export.writes);
        rocksdb_options_destroy(export.options);
    }
    rocksdb_writebatch_destroy(export.batch);
    shr_reader_close(export.reader);
    shr_buf_free(&export.prefix);
    shr_buf_free(&export.row);
    shr_buf_free(&export.entry);
    shr_buf_free(&export.from);
    shr_buf_free(&export.to);
    shr_buf_free(&export.older);
    return code;
}
