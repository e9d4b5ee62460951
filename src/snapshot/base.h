/* base.h: what the snapshot of a pruned database begins with, as laid out in doc/snapshots.md: the
 * whole state after the oldest block that can be read, and the records of all blocks up to it. A
 * few files, each as a part (part.h) of that one height. */
#ifndef SHR_SNAPSHOT_BASE_H
#define SHR_SNAPSHOT_BASE_H

#include "snapshot/manifest.h"
#include "state/found.h"

/* Writes the state after the block of `height`, which the reader must hold, into files of `dir`,
 * each ended when `raw_max` bytes (before compression) are passed, and adds them to the manifest's
 * base. */
int shr_base_write(struct shr_manifest *out, const char *dir, struct shr_reader *reader,
                   uint32_t height, uint64_t raw_max, struct shr_stop *stop,
                   struct shrewd_error *err);
/* Gives what the file holds to `found`; files in their order. SHREWD_CORRUPT names the part. */
int shr_base_apply(const struct shr_part *part, struct shr_found *found, const char *path,
                   struct shr_stop *stop, struct shrewd_error *err);

#endif
