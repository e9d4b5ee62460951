/* Opening rockshrew-mono's database, and its rows one by one. */
#include "state/rockshrew_impl.h"

#include "base/alloc.h"
#include "base/endian.h"
#include "base/hex.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROW_SHOWN ((size_t)200)
#define LABELS_SHOWN 5
#define ROWS_LOOKED_AT 10000 /* for labels */

/* --- Rows --- */

bool shr_rockshrew_number(uint32_t *out, struct shr_bytes text) {
    uint64_t value = 0;
    if (text.len == 0 || text.len > 10 || (text.len > 1 && text.data[0] == '0')) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        value = value * 10 + (uint64_t)(text.data[i] - '0');
    }
    *out = (uint32_t)value;
    return value <= UINT32_MAX;
}

/* The rows that are the indexer's own, though some look like a guest's. */
static bool is_record(struct shr_bytes row) {
    struct shr_bytes hash = shr_bytes_str(SHR_ROCKSHREW_HASH);
    uint32_t height;
    if (shr_bytes_starts(row, hash)) {
        return shr_rockshrew_number(&height, shr_bytes(row.data + hash.len, row.len - hash.len));
    }
    return shr_bytes_eq(row, shr_bytes_str(SHR_ROCKSHREW_TIP)) ||
           shr_bytes_eq(row, shr_bytes_str(SHR_ROCKSHREW_HEIGHT));
}

enum shr_rockshrew_kind shr_rockshrew_row(struct shr_bytes *key, uint32_t *n,
                                          struct shr_bytes row) {
    size_t end = row.len;
    if (row.len == 0) {
        return SHR_ROCKSHREW_OTHER;
    }
    if (is_record(row)) {
        return SHR_ROCKSHREW_INTERNAL;
    }
    while (end > 0 && row.data[end - 1] != '/') {
        end--;
    }
    struct shr_bytes last = shr_bytes(row.data + end, row.len - end);
    bool counts = shr_bytes_eq(last, shr_bytes_str("length"));
    if (end > 0 && (counts || shr_rockshrew_number(n, last))) {
        *key = shr_bytes(row.data, end - 1);
        return counts ? SHR_ROCKSHREW_LENGTH : SHR_ROCKSHREW_ENTRY;
    }
    bool root = shr_bytes_starts(row, shr_bytes_str("smt:")) ||
                shr_bytes_starts(row, shr_bytes_str("block_hash_")) ||
                shr_bytes_starts(row, shr_bytes_str("state_root_"));
    return root ? SHR_ROCKSHREW_INTERNAL : SHR_ROCKSHREW_OTHER;
}

static bool split_entry(uint32_t *height, struct shr_bytes *hex, struct shr_bytes entry) {
    const uint8_t *colon = entry.len == 0 ? NULL : memchr(entry.data, ':', entry.len);
    if (colon == NULL) {
        return false;
    }
    size_t digits = (size_t)(colon - entry.data);
    *hex = shr_bytes(colon + 1, entry.len - digits - 1);
    return shr_rockshrew_number(height, shr_bytes(entry.data, digits));
}

bool shr_rockshrew_entry_height(uint32_t *height, struct shr_bytes entry) {
    struct shr_bytes hex;
    return split_entry(height, &hex, entry);
}

bool shr_rockshrew_entry(uint32_t *height, struct shr_buf *value, struct shr_bytes entry) {
    struct shr_bytes hex;
    shr_buf_clear(value);
    if (!split_entry(height, &hex, entry)) {
        return false;
    }
    /* The decoder takes a 0x that the layout does not have. */
    bool prefixed = hex.len >= 2 && (hex.data[1] | 0x20) == 'x';
    return !prefixed && shr_hex_decode(value, (const char *)hex.data, hex.len, NULL);
}

/* --- A database --- */

int shr_rockshrew_bad_row(const struct shr_rockshrew *old, struct shr_bytes row, const char *what,
                          struct shrewd_error *err) {
    struct shr_buf shown = {0};
    bool cut = row.len > ROW_SHOWN;
    shr_escape(&shown, shr_bytes(row.data, cut ? ROW_SHOWN : row.len));
    int code = shr_fail(err, SHREWD_CORRUPT,
                        "the row '%s'%s of rockshrew-mono's database '%s' %s; repair or restore "
                        "that database, or index again",
                        shr_buf_cstr(&shown), cut ? "..." : "", old->path, what);
    shr_buf_free(&shown);
    return code;
}

int shr_rockshrew_get(const struct shr_rockshrew *old, struct shr_buf *value, struct shr_bytes row,
                      struct shrewd_error *err) {
    char *message = NULL;
    rocksdb_pinnableslice_t *slice =
        rocksdb_get_pinned(old->db, old->reads, (const char *)row.data, row.len, &message);
    if (message != NULL) {
        return shr_rocks_fail(old->path, message, "cannot read", err);
    }
    if (slice == NULL) {
        return shr_store_absent(err);
    }
    size_t len;
    const char *data = rocksdb_pinnableslice_value(slice, &len);
    shr_buf_set(value, shr_bytes(data, len));
    rocksdb_pinnableslice_destroy(slice);
    return 0;
}

/* One of its own records. Under a label some have it and some have not. *row is the one found. */
static int get_record(const struct shr_rockshrew *old, struct shr_buf *row, struct shr_buf *value,
                      const char *name, struct shrewd_error *err) {
    shr_buf_set(row, shr_buf_bytes(&old->prefix));
    shr_buf_add_str(row, name);
    int code = shr_rockshrew_get(old, value, shr_buf_bytes(row), err);
    if (code == SHREWD_NOT_FOUND && old->prefix.len > 0) {
        shr_buf_set(row, shr_bytes_str(name));
        code = shr_rockshrew_get(old, value, shr_buf_bytes(row), err);
    }
    return code;
}

int shr_rockshrew_hash(const struct shr_rockshrew *old, struct shr_hash *out, uint32_t height,
                       struct shrewd_error *err) {
    struct shr_buf row = {0}, value = {0};
    char name[64];
    snprintf(name, sizeof name, SHR_ROCKSHREW_HASH "%u", height);
    int code = get_record(old, &row, &value, name, err);
    if (code == SHREWD_NOT_FOUND) {
        code = shr_rockshrew_bad_row(old, shr_bytes_str(name),
                                     "is missing, though its block is below the tip", err);
    } else if (code == 0 && value.len != 32) {
        code = shr_rockshrew_bad_row(old, shr_buf_bytes(&row), "is not a hash of 32 bytes", err);
    }
    for (size_t i = 0; code == 0 && i < 32; i++) {
        out->b[i] = value.data[31 - i];
    }
    shr_buf_free(&row);
    shr_buf_free(&value);
    return code;
}

static int get_height(const struct shr_rockshrew *old, uint32_t *out, const char *name,
                      struct shrewd_error *err) {
    struct shr_buf row = {0}, value = {0};
    int code = get_record(old, &row, &value, name, err);
    if (code == 0 && value.len != 4) {
        code = shr_rockshrew_bad_row(old, shr_buf_bytes(&row), "is not a height of 4 bytes", err);
    } else if (code == 0) {
        *out = shr_get_le32(value.data);
    }
    shr_buf_free(&row);
    shr_buf_free(&value);
    return code;
}

static struct shr_bytes iter_row(rocksdb_iterator_t *rows) {
    size_t len;
    const char *data = rocksdb_iter_key(rows, &len);
    return shr_bytes(data, len);
}

/* How long the label is that a row may begin with; 0: it has none. */
static size_t label_length(struct shr_bytes row) {
    const uint8_t *end = row.len == 0 ? NULL : memmem(row.data, row.len, "://", 3);
    size_t len = end == NULL ? 0 : (size_t)(end - row.data);
    return len == 0 || len > ROW_SHOWN || memchr(row.data, '/', len) != NULL ? 0 : len;
}

/* The first few labels that rows begin with, with `between` between them; how many. */
static size_t find_labels(const struct shr_rockshrew *old, struct shr_buf *out,
                          const char *between) {
    rocksdb_iterator_t *rows = rocksdb_create_iterator(old->db, old->reads);
    struct shr_buf past = {0};
    size_t n = 0, looked_at = 0;
    rocksdb_iter_seek_to_first(rows);
    while (rocksdb_iter_valid(rows) && n < LABELS_SHOWN && looked_at++ < ROWS_LOOKED_AT) {
        struct shr_bytes row = iter_row(rows);
        size_t len = label_length(row);
        if (len == 0) {
            rocksdb_iter_next(rows);
            continue;
        }
        shr_buf_add_str(out, n++ > 0 ? between : "");
        shr_buf_append(out, row.data, len);
        shr_buf_set(&past, shr_bytes(row.data, len));
        shr_buf_add_str(&past, ":/0"); /* '0' follows '/' */
        rocksdb_iter_seek(rows, (const char *)past.data, past.len);
    }
    shr_buf_free(&past);
    rocksdb_iter_destroy(rows);
    return n;
}

/* Without a record of the tip: says what the folder holds instead. */
static int no_tip(const struct shr_rockshrew *old, struct shrewd_error *err) {
    struct shr_buf labels = {0};
    size_t n = find_labels(old, &labels, ", or ");
    int code = shr_fail(err, SHREWD_MISMATCH,
                        "'%s' is not a database that rockshrew-mono made: %s%s", old->path,
                        old->prefix.len > 0 ? "it has no tip under that label"
                        : n > 0             ? "its rows are labelled: give --label "
                                            : "there is no row '" SHR_ROCKSHREW_TIP "'",
                        old->prefix.len == 0 && n > 0 ? shr_buf_cstr(&labels) : "");
    shr_buf_free(&labels);
    return code;
}

/* Records may be there without the label; the keys of an index have it, or are of another one. */
static int check_label(const struct shr_rockshrew *old, struct shrewd_error *err) {
    struct shr_bytes prefix = shr_buf_bytes(&old->prefix);
    if (prefix.len == 0) {
        return 0;
    }
    rocksdb_iterator_t *rows = rocksdb_create_iterator(old->db, old->reads);
    rocksdb_iter_seek(rows, (const char *)prefix.data, prefix.len);
    bool there = rocksdb_iter_valid(rows) && shr_bytes_starts(iter_row(rows), prefix);
    char *message = NULL;
    rocksdb_iter_get_error(rows, &message);
    rocksdb_iter_destroy(rows);
    if (message != NULL) {
        return shr_rocks_fail(old->path, message, "cannot read", err);
    }
    if (there) {
        return 0;
    }
    struct shr_buf labels = {0};
    size_t n = find_labels(old, &labels, ", ");
    int code =
        shr_fail(err, SHREWD_MISMATCH,
                 "--label: no row of rockshrew-mono's database '%s' begins with '%.*s'; %s%s",
                 old->path, (int)prefix.len, (const char *)prefix.data,
                 n > 0 ? "the labels there are: " : "its rows have no label: leave --label out",
                 n > 0 ? shr_buf_cstr(&labels) : "");
    shr_buf_free(&labels);
    return code;
}

/* The lower of its two records: one is written with the data, the other after it, and a rollback
 * changes only one. */
static int find_tip(struct shr_rockshrew *old, struct shrewd_error *err) {
    uint32_t other = 0;
    int code = get_height(old, &old->tip, SHR_ROCKSHREW_TIP, err);
    if (code == SHREWD_NOT_FOUND) {
        return no_tip(old, err);
    }
    if (code == 0) {
        code = get_height(old, &other, SHR_ROCKSHREW_HEIGHT, err);
        if (code == SHREWD_NOT_FOUND) {
            return 0;
        }
    }
    old->heights_differ = code == 0 && other != old->tip;
    old->tip = code == 0 && other < old->tip ? other : old->tip;
    return code;
}

/* The lowest height with a block hash. */
static int scan_start(struct shr_rockshrew *old, struct shr_bytes prefix,
                      struct shrewd_error *err) {
    rocksdb_iterator_t *rows = rocksdb_create_iterator(old->db, old->reads);
    char *message = NULL;
    int code = 0;
    rocksdb_iter_seek(rows, (const char *)prefix.data, prefix.len);
    for (; code == 0 && rocksdb_iter_valid(rows); rocksdb_iter_next(rows)) {
        size_t len;
        struct shr_bytes row = {(const uint8_t *)rocksdb_iter_key(rows, &len), 0};
        uint32_t height;
        row.len = len;
        if (!shr_bytes_starts(row, prefix)) {
            break;
        }
        if (!shr_rockshrew_number(&height,
                                  shr_bytes(row.data + prefix.len, row.len - prefix.len))) {
            code = shr_rockshrew_bad_row(old, row, "does not end with a height", err);
        } else if (height < old->start) {
            old->start = height;
        }
    }
    rocksdb_iter_get_error(rows, &message);
    rocksdb_iter_destroy(rows);
    if (message != NULL) {
        return shr_rocks_fail(old->path, message, "cannot read", err);
    }
    return code;
}

static int find_start(struct shr_rockshrew *old, struct shrewd_error *err) {
    struct shr_buf prefix = {0};
    old->start = UINT32_MAX;
    int code = scan_start(old, shr_bytes_str(SHR_ROCKSHREW_HASH), err);
    if (code == 0 && old->prefix.len > 0) {
        shr_buf_add(&prefix, shr_buf_bytes(&old->prefix));
        shr_buf_add_str(&prefix, SHR_ROCKSHREW_HASH);
        code = scan_start(old, shr_buf_bytes(&prefix), err);
    }
    shr_buf_free(&prefix);
    if (code == 0 && old->start > old->tip) {
        code = shr_fail(err, SHREWD_NOT_FOUND,
                        "rockshrew-mono's database '%s' has no block hash up to its tip, %u",
                        old->path, old->tip);
    }
    return code != 0 ? code : shr_rockshrew_hash(old, &old->first, old->start, err);
}

/* RocksDB would say that a file is missing, and what to do with a damaged database of ours. */
static int check_there(const char *path, struct shrewd_error *err) {
    char *current = shr_asprintf("%s/CURRENT", path);
    int code = 0;
    if (access(path, F_OK) != 0) {
        code = shr_fail_errno(err, SHREWD_NOT_FOUND, "cannot open rockshrew-mono's database '%s'",
                              path);
    } else if (access(current, F_OK) != 0) {
        code = shr_fail(err, SHREWD_NOT_FOUND,
                        "'%s' holds no RocksDB database: give the folder that rockshrew-mono had "
                        "as --db-path",
                        path);
    }
    free(current);
    return code;
}

int shr_rockshrew_open(struct shr_rockshrew **out, const char *path, const char *label,
                       const char *scratch, struct shrewd_error *err) {
    int code = check_there(path, err);
    if (code != 0) {
        return code;
    }
    struct shr_rockshrew *old = shr_alloc(sizeof *old);
    char *message = NULL;
    old->path = shr_strdup(path);
    old->scratch = shr_strdup(scratch);
    if (label != NULL && label[0] != 0) {
        shr_buf_printf(&old->prefix, "%s://", label);
    }
    old->options = rocksdb_options_create();
    rocksdb_options_set_max_open_files(old->options, 256);
    /* RocksDB's own log would be written there even by a reader. */
    rocksdb_options_set_db_log_dir(old->options, scratch);
    old->reads = rocksdb_readoptions_create();
    rocksdb_readoptions_set_verify_checksums(old->reads, 1);
    rocksdb_readoptions_set_readahead_size(old->reads, (size_t)1 << 20);
    old->db = rocksdb_open_for_read_only(old->options, path, 0, &message);
    code = message == NULL ? 0 : shr_rocks_fail(path, message, "cannot open", err);
    if (code == 0) {
        code = check_label(old, err);
    }
    if (code == 0) {
        code = find_tip(old, err);
    }
    if (code == 0) {
        code = find_start(old, err);
    }
    if (code != 0) {
        shr_rockshrew_close(old);
        return code;
    }
    *out = old;
    return 0;
}

void shr_rockshrew_close(struct shr_rockshrew *old) {
    if (old == NULL) {
        return;
    }
    if (old->db != NULL) {
        rocksdb_close(old->db);
    }
    rocksdb_readoptions_destroy(old->reads);
    rocksdb_options_destroy(old->options);
    shr_buf_free(&old->prefix);
    free(old->scratch);
    free(old->path);
    free(old);
}

void shr_rockshrew_range(const struct shr_rockshrew *old, uint32_t *start, uint32_t *tip,
                         struct shr_hash *first) {
    *start = old->start;
    *tip = old->tip;
    *first = old->first;
}
