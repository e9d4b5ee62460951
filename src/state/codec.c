#include "state/codec.h"

#include "base/endian.h"

#include <assert.h>
#include <string.h>

#define HEIGHT_BYTES 4
#define HASH_BYTES sizeof(struct shr_hash)
#define RECORD_VERSION 1
#define RECORD_HAS_ROOT 1u
#define RECORD_BYTES (2 + 2 * HASH_BYTES + 4 * 8)
#define IDENTITY_BYTES (2 * HASH_BYTES + HEIGHT_BYTES)
#define FORK_BYTES (HEIGHT_BYTES + HASH_BYTES)
#define CHANGE_HEAD_BYTES SHR_CHANGE_BYTES_MIN

static const char format_magic[] = "shrewdDB"; /* eight bytes, without the NUL */
#define MAGIC_BYTES (sizeof format_magic - 1)

static void add_hash(struct shr_buf *out, const struct shr_hash *hash) {
    shr_buf_append(out, hash->b, sizeof hash->b);
}

static void get_hash(struct shr_hash *out, const uint8_t *at) {
    memcpy(out->b, at, sizeof out->b);
}

void shr_version_encode(struct shr_buf *out, struct shr_bytes value, uint32_t height) {
    shr_buf_set(out, value);
    shr_buf_add_be32(out, height);
}

const char *shr_version_decode(struct shr_bytes *value, uint32_t *height, struct shr_bytes row) {
    if (row.len < HEIGHT_BYTES) {
        return "a version is shorter than its height";
    }
    *value = shr_bytes(row.data, row.len - HEIGHT_BYTES);
    *height = shr_get_be32(row.data + value->len);
    return NULL;
}

void shr_history_key(struct shr_buf *out, struct shr_bytes key, uint32_t height) {
    assert(key.len <= UINT32_MAX);
    shr_buf_clear(out);
    shr_buf_add_be32(out, (uint32_t)key.len);
    shr_buf_add(out, key);
    shr_buf_add_be32(out, height);
}

const char *shr_history_key_height(uint32_t *height, struct shr_bytes row_key,
                                   struct shr_bytes key) {
    if (row_key.len != HEIGHT_BYTES + key.len + HEIGHT_BYTES ||
        !shr_bytes_eq(shr_bytes(row_key.data + HEIGHT_BYTES, key.len), key)) {
        return "a row between two versions of one key is of no key";
    }
    *height = shr_get_be32(row_key.data + HEIGHT_BYTES + key.len);
    return NULL;
}

struct shr_height_key shr_height_key(uint32_t height) {
    struct shr_height_key key;
    shr_put_be32(key.b, height);
    return key;
}

void shr_change_add(struct shr_buf *row, const struct shr_change *change) {
    assert(change->key.len <= UINT32_MAX);
    shr_buf_add_u8(row, change->replaced);
    shr_buf_add_be32(row, (uint32_t)change->key.len);
    shr_buf_add(row, change->key);
}

const char *shr_change_take(struct shr_change *out, struct shr_bytes *row) {
    if (row->len < CHANGE_HEAD_BYTES) {
        return "the list of keys ends inside an entry";
    }
    if (row->data[0] > 1) {
        return "an entry of the list of keys is neither new nor replaced";
    }
    uint32_t len = shr_get_be32(row->data + 1);
    if (len > row->len - CHANGE_HEAD_BYTES) {
        return "a key of the list runs past its end";
    }
    out->replaced = row->data[0] == 1;
    out->key = shr_bytes(row->data + CHANGE_HEAD_BYTES, len);
    *row = shr_bytes(out->key.data + len, row->len - CHANGE_HEAD_BYTES - len);
    return NULL;
}

static void add_record(struct shr_buf *out, const struct shr_block_record *record) {
    shr_buf_add_u8(out, RECORD_VERSION);
    shr_buf_add_u8(out, record->has_root ? RECORD_HAS_ROOT : 0);
    add_hash(out, &record->hash);
    add_hash(out, &record->root);
    shr_buf_add_be64(out, record->n_keys);
    shr_buf_add_be64(out, record->key_bytes);
    shr_buf_add_be64(out, record->value_bytes);
    shr_buf_add_be64(out, record->total_keys);
}

void shr_record_encode(struct shr_buf *out, const struct shr_block_record *record) {
    shr_buf_clear(out);
    add_record(out, record);
}

const char *shr_record_decode(struct shr_block_record *out, uint32_t height, struct shr_bytes row) {
    if (row.len != RECORD_BYTES) {
        return "a block record has the wrong length";
    }
    if (row.data[0] != RECORD_VERSION) {
        return "a block record is of an unknown version";
    }
    if (row.data[1] > RECORD_HAS_ROOT) {
        return "a block record has unknown flags";
    }
    const uint8_t *at = row.data + 2;
    out->height = height;
    out->has_root = row.data[1] == RECORD_HAS_ROOT;
    get_hash(&out->hash, at);
    get_hash(&out->root, at + HASH_BYTES);
    at += 2 * HASH_BYTES;
    out->n_keys = shr_get_be64(at);
    out->key_bytes = shr_get_be64(at + 8);
    out->value_bytes = shr_get_be64(at + 16);
    out->total_keys = shr_get_be64(at + 24);
    return NULL;
}

void shr_format_encode(struct shr_buf *out) {
    shr_buf_clear(out);
    shr_buf_append(out, format_magic, MAGIC_BYTES);
    shr_buf_add_be32(out, SHR_FORMAT_VERSION);
}

const char *shr_format_decode(uint32_t *version, struct shr_bytes row) {
    if (row.len != MAGIC_BYTES + 4 || memcmp(row.data, format_magic, MAGIC_BYTES) != 0) {
        return "the format row is not shrewd's";
    }
    *version = shr_get_be32(row.data + MAGIC_BYTES);
    return NULL;
}

void shr_identity_encode(struct shr_buf *out, const struct shr_identity *identity) {
    shr_buf_clear(out);
    add_hash(out, &identity->genesis);
    add_hash(out, &identity->module_hash);
    shr_buf_add_be32(out, identity->start_height);
}

const char *shr_identity_decode(struct shr_identity *out, struct shr_bytes row) {
    if (row.len != IDENTITY_BYTES) {
        return "the identity row has the wrong length";
    }
    get_hash(&out->genesis, row.data);
    get_hash(&out->module_hash, row.data + HASH_BYTES);
    out->start_height = shr_get_be32(row.data + 2 * HASH_BYTES);
    return NULL;
}

void shr_keep_root_encode(struct shr_buf *out, bool keep) {
    shr_buf_clear(out);
    shr_buf_add_u8(out, keep ? 1 : 0);
}

const char *shr_keep_root_decode(bool *keep, struct shr_bytes row) {
    if (row.len != 1 || row.data[0] > 1) {
        return "whether a state root is kept is malformed";
    }
    *keep = row.data[0] == 1;
    return NULL;
}

void shr_tip_encode(struct shr_buf *out, const struct shr_block_record *tip) {
    shr_buf_clear(out);
    shr_buf_add_be32(out, tip->height);
    add_record(out, tip);
}

const char *shr_tip_decode(struct shr_block_record *out, struct shr_bytes row) {
    if (row.len < HEIGHT_BYTES) {
        return "the tip row is shorter than a height";
    }
    uint32_t height = shr_get_be32(row.data);
    if (height == UINT32_MAX) {
        return "the tip's height is out of range";
    }
    return shr_record_decode(out, height,
                             shr_bytes(row.data + HEIGHT_BYTES, row.len - HEIGHT_BYTES));
}

void shr_fork_encode(struct shr_buf *out, const struct shr_fork_record *fork) {
    shr_buf_clear(out);
    shr_buf_add_be32(out, fork->height);
    add_hash(out, &fork->hash);
}

const char *shr_fork_decode(struct shr_fork_record *out, struct shr_bytes row) {
    if (row.len != FORK_BYTES) {
        return "the fork row has the wrong length";
    }
    out->height = shr_get_be32(row.data);
    if (out->height == UINT32_MAX) {
        return "the fork's height is out of range";
    }
    get_hash(&out->hash, row.data + HEIGHT_BYTES);
    return NULL;
}

void shr_pruned_encode(struct shr_buf *out, uint32_t oldest) {
    shr_buf_clear(out);
    shr_buf_add_be32(out, oldest);
}

const char *shr_pruned_decode(uint32_t *oldest, struct shr_bytes row) {
    if (row.len != HEIGHT_BYTES) {
        return "the oldest height held has the wrong length";
    }
    *oldest = shr_get_be32(row.data);
    return NULL;
}
