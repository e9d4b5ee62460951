/* manifest.h: what a snapshot is made of: DIR/manifest.json, as laid out in doc/snapshots.md.
 *
 * The file has one form only, byte for byte, and carries its own SHA-256: a change of any byte is
 * refused. That guards against damage, not against a forger: who restores checks the chain, the
 * module, and the state root against what a node and other operators say. */
#ifndef SHR_SNAPSHOT_MANIFEST_H
#define SHR_SNAPSHOT_MANIFEST_H

#include "snapshot/part.h"

#define SHR_MANIFEST_NAME "manifest.json"
#define SHR_MANIFEST_BYTES_MAX ((size_t)64 << 20)

struct shr_manifest {
    struct shr_identity identity;
    struct shr_part *base;  /* of a pruned database: the state after its oldest height (base.h) */
    struct shr_part *parts; /* in order of height, without gaps, from the start height on, or from
                               the one after the base */
    size_t n_base, n_parts;
};

void shr_manifest_free(struct shr_manifest *manifest); /* fine on {0} */
void shr_manifest_add(struct shr_manifest *manifest, const struct shr_part *part);
void shr_manifest_add_base(struct shr_manifest *manifest, const struct shr_part *part);
/* The first height that what is restored can be read at. */
uint32_t shr_manifest_oldest(const struct shr_manifest *manifest);
/* The first height that the next part must have. */
uint64_t shr_manifest_next(const struct shr_manifest *manifest);
/* The last part, or of the base; NULL when there is none. Its `to`, `block` and `root` are the
 * snapshot's. */
const struct shr_part *shr_manifest_last(const struct shr_manifest *manifest);
uint64_t shr_manifest_bytes(const struct shr_manifest *manifest);

/* Replaces `out`. */
void shr_manifest_encode(struct shr_buf *out, const struct shr_manifest *manifest);
/* `origin` is what messages call it. SHREWD_CORRUPT, SHREWD_MISMATCH for another format. */
int shr_manifest_decode(struct shr_manifest *out, struct shr_bytes text, const char *origin,
                        struct shrewd_error *err);
/* DIR/manifest.json; SHREWD_NOT_FOUND when there is none. */
int shr_manifest_read(struct shr_manifest *out, const char *dir, struct shrewd_error *err);
int shr_manifest_write(const char *dir, const struct shr_manifest *manifest,
                       struct shrewd_error *err);

#endif
