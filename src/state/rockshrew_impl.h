/* rockshrew_impl.h: what the files of rockshrew.h share; private to the room. */
#ifndef SHR_STATE_ROCKSHREW_IMPL_H
#define SHR_STATE_ROCKSHREW_IMPL_H

#include "state/rocks.h"
#include "state/rockshrew.h"

#define SHR_ROCKSHREW_TIP "/__INTERNAL/tip-height"
#define SHR_ROCKSHREW_HEIGHT "__INTERNAL/height"
#define SHR_ROCKSHREW_HASH "/__INTERNAL/height-to-hash/"

struct shr_rockshrew {
    char *path;
    char *scratch;
    struct shr_buf prefix; /* "LABEL://", or empty */
    rocksdb_options_t *options;
    rocksdb_readoptions_t *reads;
    rocksdb_t *db;
    uint32_t start, tip;
    struct shr_hash first;
    bool heights_differ;
};

/* SHREWD_CORRUPT: names the database, the row and what is wrong with it. */
int shr_rockshrew_bad_row(const struct shr_rockshrew *old, struct shr_bytes row, const char *what,
                          struct shrewd_error *err);
/* SHREWD_NOT_FOUND. Replaces `value`. */
int shr_rockshrew_get(const struct shr_rockshrew *old, struct shr_buf *value, struct shr_bytes row,
                      struct shrewd_error *err);
/* The hash of a block it must have. */
int shr_rockshrew_hash(const struct shr_rockshrew *old, struct shr_hash *out, uint32_t height,
                       struct shrewd_error *err);

#endif
