/* Importing rockshrew-mono's database. Its rows are in the order of keys, a state is made in the
 * order of heights: the entries are sorted through a RocksDB of our own, in which every write
 * buffer becomes one sorted file, and reading merges the files. So memory holds write buffers and
 * one block, however large the database is. */
#include "state/rockshrew_impl.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/endian.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUN_BYTES ((size_t)64 << 20) /* of one sorted file, before compression */
#define BATCH_BYTES ((size_t)1 << 20)
#define SAY_EVERY_MS 10000
#define SYNC_EVERY 1000 /* blocks: so that what a crash loses is little, and memory stays low */

struct import {
    struct shr_rockshrew *old;
    struct shr_rockshrew_counts *counts;
    rocksdb_options_t *options; /* of the sorted runs */
    rocksdb_writeoptions_t *writes;
    rocksdb_t *runs;
    char *runs_path;
    rocksdb_writebatch_t *batch;
    size_t batch_bytes;
    struct shr_buf row, entry, value, run_key; /* scratch */
    struct shr_buf near_row, near_entry; /* the last entry row met: often the one wanted next */
    uint64_t entry_rows;
    uint64_t said_ms;
};

static void say(struct import *import, const char *what, uint64_t n, uint32_t height) {
    uint64_t now = shr_now_ms();
    if (import->said_ms == 0 || now - import->said_ms >= SAY_EVERY_MS) {
        if (import->said_ms != 0) {
            shr_info("state", "import: %s %llu, height %u", what, (unsigned long long)n, height);
        }
        import->said_ms = now;
    }
}

/* --- Sorted runs: height u32 BE, key -> value --- */

static int open_runs(struct import *import, struct shrewd_error *err) {
    char *message = NULL;
    import->runs_path = shr_asprintf("%s/sort", import->old->scratch);
    import->options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(import->options, 1);
    rocksdb_options_set_error_if_exists(import->options, 1);
    rocksdb_options_set_memtable_vector_rep(import->options);
    rocksdb_options_set_allow_concurrent_memtable_write(import->options, 0);
    rocksdb_options_set_write_buffer_size(import->options, RUN_BYTES);
    rocksdb_options_set_max_write_buffer_number(import->options, 3);
    rocksdb_options_set_max_background_jobs(import->options, 2);
    /* Runs pile up unmerged: each byte is written once and read once. */
    rocksdb_options_set_disable_auto_compactions(import->options, 1);
    rocksdb_options_set_level0_slowdown_writes_trigger(import->options, 1 << 30);
    rocksdb_options_set_level0_stop_writes_trigger(import->options, 1 << 30);
    rocksdb_options_set_compression(import->options, rocksdb_lz4_compression);
    rocksdb_options_set_max_open_files(import->options, 512);
    rocksdb_options_set_keep_log_file_num(import->options, 1);
    import->writes = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(import->writes, 1);
    import->runs = rocksdb_open(import->options, import->runs_path, &message);
    return message == NULL ? 0 : shr_rocks_fail(import->runs_path, message, "cannot create", err);
}

/* The runs, and their files. */
static void close_runs(struct import *import) {
    char *message = NULL;
    if (import->runs != NULL) {
        rocksdb_close(import->runs);
        rocksdb_destroy_db(import->options, import->runs_path, &message);
        rocksdb_free(message); /* what stays is in the caller's scratch folder */
    }
    if (import->writes != NULL) {
        rocksdb_writeoptions_destroy(import->writes);
    }
    if (import->options != NULL) {
        rocksdb_options_destroy(import->options);
    }
    rocksdb_writebatch_destroy(import->batch);
    free(import->runs_path);
}

static int write_batch(struct import *import, struct shrewd_error *err) {
    char *message = NULL;
    rocksdb_write(import->runs, import->writes, import->batch, &message);
    rocksdb_writebatch_clear(import->batch);
    import->batch_bytes = 0;
    return message == NULL ? 0 : shr_rocks_fail(import->runs_path, message, "cannot write", err);
}

static int add_to_runs(struct import *import, uint32_t height, struct shr_bytes key,
                       struct shrewd_error *err) {
    const struct shr_buf *value = &import->value;
    struct shr_buf *run_key = &import->run_key;
    shr_buf_clear(run_key);
    shr_buf_add_be32(run_key, height);
    shr_buf_add(run_key, key);
    rocksdb_writebatch_put(import->batch, (const char *)run_key->data, run_key->len,
                           value->len == 0 ? "" : (const char *)value->data, value->len);
    import->batch_bytes += run_key->len + value->len;
    return import->batch_bytes < BATCH_BYTES ? 0 : write_batch(import, err);
}

/* --- Reading the old rows --- */

/* Entry n of a key, which must be there. */
static int get_entry(struct import *import, struct shr_bytes key, uint32_t n,
                     struct shrewd_error *err) {
    char number[16];
    snprintf(number, sizeof number, "/%u", n);
    shr_buf_set(&import->row, shr_buf_bytes(&import->old->prefix));
    shr_buf_add(&import->row, key);
    shr_buf_add_str(&import->row, number);
    struct shr_bytes row = shr_buf_bytes(&import->row);
    if (shr_bytes_eq(row, shr_buf_bytes(&import->near_row))) {
        shr_buf_set(&import->entry, shr_buf_bytes(&import->near_entry));
        return 0;
    }
    int code = shr_rockshrew_get(import->old, &import->entry, row, err);
    return code == SHREWD_NOT_FOUND
               ? shr_rockshrew_bad_row(import->old, row, "is missing, though its key counts it",
                                       err)
               : code;
}

/* The entries of a key, from the last one back. One stays when every later one is of a greater
 * height: of equal heights the last wins; and what was written before a lower height belongs to a
 * block that a reorg took back, since blocks are indexed in order. */
static int take_key(struct import *import, struct shr_bytes key, uint32_t n,
                    struct shrewd_error *err) {
    struct shr_rockshrew_counts *counts = import->counts;
    uint64_t later = UINT64_MAX, before = counts->entries;
    for (uint32_t i = n; i-- > 0;) {
        uint32_t height;
        int code = get_entry(import, key, i, err);
        if (code != 0) {
            return code;
        }
        struct shr_bytes entry = shr_buf_bytes(&import->entry);
        struct shr_bytes row = shr_buf_bytes(&import->row);
        if (!shr_rockshrew_entry_height(&height, entry)) {
            return shr_rockshrew_bad_row(import->old, row, "is not HEIGHT:HEX", err);
        }
        if (height < import->old->start) {
            return shr_rockshrew_bad_row(import->old, row,
                                         "is of a height below the first block hash", err);
        }
        if (height > import->old->tip) {
            counts->above_tip++;
        } else if (height > later) {
            counts->orphaned++;
        } else if (height == later) {
            counts->superseded++;
        } else {
            later = height;
            counts->entries++;
            if (!shr_rockshrew_entry(&height, &import->value, entry)) {
                return shr_rockshrew_bad_row(import->old, row, "is not HEIGHT:HEX", err);
            }
            code = add_to_runs(import, height, key, err);
            if (code != 0) {
                return code;
            }
        }
    }
    counts->keys += counts->entries > before;
    return 0;
}

static void note_other(struct shr_rockshrew_counts *counts, struct shr_bytes row) {
    struct shr_buf shown = {0};
    if (counts->other_rows++ == 0) {
        shr_escape(&shown, row);
        snprintf(counts->other_row, sizeof counts->other_row, "%s", shr_buf_cstr(&shown));
        shr_buf_free(&shown);
    }
}

static int take_row(struct import *import, struct shr_bytes whole, struct shr_bytes value,
                    uint64_t *counted, struct shrewd_error *err) {
    size_t label = import->old->prefix.len;
    struct shr_bytes key, row = shr_bytes(whole.data + label, whole.len - label);
    uint32_t n = 0;
    switch (shr_rockshrew_row(&key, &n, row)) {
    case SHR_ROCKSHREW_ENTRY:
        import->entry_rows++;
        shr_buf_set(&import->near_row, whole);
        shr_buf_set(&import->near_entry, value);
        return 0;
    case SHR_ROCKSHREW_LENGTH:
        if (!shr_rockshrew_number(&n, value)) {
            return shr_rockshrew_bad_row(import->old, whole, "is not a number", err);
        }
        *counted += n;
        return take_key(import, key, n, err);
    case SHR_ROCKSHREW_INTERNAL:
        return 0;
    default:
        note_other(import->counts, row);
        return 0;
    }
}

static int read_rows(struct import *import, struct shrewd_error *err) {
    struct shr_bytes prefix = shr_buf_bytes(&import->old->prefix);
    rocksdb_iterator_t *rows = rocksdb_create_iterator(import->old->db, import->old->reads);
    char *message = NULL;
    int code = 0;
    uint64_t seen = 0, counted = 0;
    rocksdb_iter_seek(rows, prefix.len == 0 ? "" : (const char *)prefix.data, prefix.len);
    for (; code == 0 && rocksdb_iter_valid(rows); rocksdb_iter_next(rows)) {
        size_t row_len, value_len;
        const char *row = rocksdb_iter_key(rows, &row_len);
        const char *value = rocksdb_iter_value(rows, &value_len);
        if (!shr_bytes_starts(shr_bytes(row, row_len), prefix)) {
            break;
        }
        code =
            take_row(import, shr_bytes(row, row_len), shr_bytes(value, value_len), &counted, err);
        if (++seen % 4096 == 0) {
            say(import, "rows read", seen, 0);
        }
    }
    rocksdb_iter_get_error(rows, &message);
    rocksdb_iter_destroy(rows);
    if (message != NULL) {
        return shr_rocks_fail(import->old->path, message, "cannot read", err);
    }
    import->counts->unreached = import->entry_rows - counted;
    return code != 0 ? code : write_batch(import, err);
}

/* --- Blocks --- */

/* The pairs of one block; sizes are kept because the bytes move while they grow. */
struct block {
    struct shr_buf bytes;
    struct {
        size_t key_len, value_len;
    } * sizes;
    struct shr_pair *pairs;
    size_t n, cap;
};

static void block_add(struct block *block, struct shr_bytes key, struct shr_bytes value) {
    if (block->n == block->cap) {
        block->cap = block->cap == 0 ? 256 : 2 * block->cap;
        block->sizes = shr_realloc_array(block->sizes, block->cap, sizeof *block->sizes);
        block->pairs = shr_realloc_array(block->pairs, block->cap, sizeof *block->pairs);
    }
    block->sizes[block->n].key_len = key.len;
    block->sizes[block->n++].value_len = value.len;
    shr_buf_add(&block->bytes, key);
    shr_buf_add(&block->bytes, value);
}

static int block_apply(struct block *block, struct import *import, struct shr_state *state,
                       uint32_t height, struct shrewd_error *err) {
    const uint8_t *at = block->bytes.data;
    for (size_t i = 0; i < block->n; i++) {
        block->pairs[i].key = shr_bytes(at, block->sizes[i].key_len);
        at += block->sizes[i].key_len;
        block->pairs[i].value = shr_bytes(at, block->sizes[i].value_len);
        at += block->sizes[i].value_len;
    }
    struct shr_block_change change = {.height = height, .pairs = block->pairs, .n_pairs = block->n};
    int code = shr_rockshrew_hash(import->old, &change.hash, height, err);
    bool sync = height == import->old->tip || height % SYNC_EVERY == 0;
    if (code == 0) {
        code = shr_state_apply(state, &change, sync, err);
    }
    block->n = 0;
    shr_buf_clear(&block->bytes);
    return code;
}

static int make_blocks(struct import *import, struct shr_state *state, struct shrewd_error *err) {
    rocksdb_readoptions_t *reads = rocksdb_readoptions_create();
    rocksdb_readoptions_set_fill_cache(reads, 0);
    rocksdb_readoptions_set_readahead_size(reads, (size_t)256 << 10);
    rocksdb_iterator_t *rows = rocksdb_create_iterator(import->runs, reads);
    struct block block = {0};
    char *message = NULL;
    int code = 0;
    rocksdb_iter_seek_to_first(rows);
    for (uint64_t height = import->old->start; code == 0 && height <= import->old->tip; height++) {
        while (rocksdb_iter_valid(rows)) {
            size_t key_len, value_len;
            const char *key = rocksdb_iter_key(rows, &key_len);
            if (shr_get_be32(key) != height) {
                break;
            }
            const char *value = rocksdb_iter_value(rows, &value_len);
            block_add(&block, shr_bytes(key + 4, key_len - 4), shr_bytes(value, value_len));
            rocksdb_iter_next(rows);
        }
        rocksdb_iter_get_error(rows, &message);
        code = message != NULL ? shr_rocks_fail(import->runs_path, message, "cannot read", err)
                               : block_apply(&block, import, state, (uint32_t)height, err);
        say(import, "blocks made", height - import->old->start + 1, (uint32_t)height);
    }
    rocksdb_iter_destroy(rows);
    rocksdb_readoptions_destroy(reads);
    shr_buf_free(&block.bytes);
    free(block.sizes);
    free(block.pairs);
    return code;
}

int shr_rockshrew_import(struct shr_rockshrew *old, struct shr_state *state,
                         struct shr_rockshrew_counts *counts, struct shrewd_error *err) {
    *counts = (struct shr_rockshrew_counts){.heights_differ = old->heights_differ};
    struct import import = {.old = old, .counts = counts, .batch = rocksdb_writebatch_create()};
    int code = open_runs(&import, err);
    if (code == 0) {
        code = read_rows(&import, err);
    }
    if (code == 0) {
        code = make_blocks(&import, state, err);
    }
    close_runs(&import);
    shr_buf_free(&import.row);
    shr_buf_free(&import.entry);
    shr_buf_free(&import.value);
    shr_buf_free(&import.run_key);
    shr_buf_free(&import.near_row);
    shr_buf_free(&import.near_entry);
    return code;
}
