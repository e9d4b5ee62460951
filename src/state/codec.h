/* codec.h: the bytes of every row, as laid out in doc/database.md. Pure functions; any thread.
 *
 * Decoders never trust a row. They return NULL when it is sound, else what is wrong with it
 * (static text), for shr_corrupt to put in a message with the table and the key.
 */
#ifndef SHR_STATE_CODEC_H
#define SHR_STATE_CODEC_H

#include "state/state.h"

#define SHR_FORMAT_VERSION 5u
/* Read too; the first opening for writing makes it the present one. */
#define SHR_FORMAT_OLDEST 3u

/* META keys. */
#define SHR_META_FORMAT "format"
#define SHR_META_IDENTITY "identity"
#define SHR_META_TIP "tip"
#define SHR_META_FORK "fork"
#define SHR_META_PRUNED "pruned"
#define SHR_META_ROOT "root"

struct shr_fork_record {
    uint32_t height; /* the last block read from the base */
    struct shr_hash hash;
};

/* A version is its value, then the height of the block that wrote it: a reader cuts four bytes
 * off the end instead of moving the value. `out` is replaced. */
void shr_version_encode(struct shr_buf *out, struct shr_bytes value, uint32_t height);
const char *shr_version_decode(struct shr_bytes *value, uint32_t *height, struct shr_bytes row);

/* HISTORY's key; replaces `out`. */
void shr_history_key(struct shr_buf *out, struct shr_bytes key, uint32_t height);
/* The height in a HISTORY row's key, which must be of `key`. */
const char *shr_history_key_height(uint32_t *height, struct shr_bytes row_key,
                                   struct shr_bytes key);

/* The key of CHANGES and BLOCKS. */
struct shr_height_key {
    uint8_t b[4];
};
struct shr_height_key shr_height_key(uint32_t height);
static inline struct shr_bytes shr_height_key_bytes(const struct shr_height_key *key) {
    return shr_bytes(key->b, sizeof key->b);
}

/* One key of a CHANGES row. `replaced`: HISTORY has the version it had before. */
struct shr_change {
    struct shr_bytes key;
    bool replaced;
};
#define SHR_CHANGE_BYTES_MIN 5u /* one with an empty key */
void shr_change_add(struct shr_buf *row, const struct shr_change *change);
/* Takes the first change off `row`, which must not be empty. */
const char *shr_change_take(struct shr_change *out, struct shr_bytes *row);

/* BLOCKS; the height is the row's key. Replaces `out`. */
void shr_record_encode(struct shr_buf *out, const struct shr_block_record *record);
const char *shr_record_decode(struct shr_block_record *out, uint32_t height, struct shr_bytes row);

/* META's rows. Each encoder replaces `out`. */
void shr_format_encode(struct shr_buf *out);
const char *shr_format_decode(uint32_t *version, struct shr_bytes row);
void shr_identity_encode(struct shr_buf *out, const struct shr_identity *identity);
const char *shr_identity_decode(struct shr_identity *out, struct shr_bytes row);
/* Whether each block has a state root. */
void shr_keep_root_encode(struct shr_buf *out, bool keep);
const char *shr_keep_root_decode(bool *keep, struct shr_bytes row);
void shr_tip_encode(struct shr_buf *out, const struct shr_block_record *tip);
const char *shr_tip_decode(struct shr_block_record *out, struct shr_bytes row);
void shr_fork_encode(struct shr_buf *out, const struct shr_fork_record *fork);
const char *shr_fork_decode(struct shr_fork_record *out, struct shr_bytes row);
void shr_pruned_encode(struct shr_buf *out, uint32_t oldest);
const char *shr_pruned_decode(uint32_t *oldest, struct shr_bytes row);

#endif
