/* part.h: one file of a snapshot: what a run of blocks wrote, as laid out in doc/snapshots.md.
 *
 * A part is made from one picture of a state and never changes: its name carries the beginning of
 * its hash. Applying a part to a state that ends where it begins gives, row for row, the state
 * that it was made from. */
#ifndef SHR_SNAPSHOT_PART_H
#define SHR_SNAPSHOT_PART_H

#include "base/stop.h"
#include "state/state.h"

#define SHR_PART_NAME_MAX 64
/* What one block may take in a part: its keys and values, and SHR_PART_PAIR_COST for each pair. It
 * is held in memory whole. Above all that a module may flush, and the largest pair: an imported
 * database has blocks that no module of ours has written. */
#define SHR_PART_BLOCK_MAX ((uint64_t)1280 << 20)
#define SHR_PART_PAIR_COST 32u

struct shr_part {
    char name[SHR_PART_NAME_MAX];
    bool base; /* the `index`th file of what a snapshot begins with (base.h): from is to */
    uint32_t index;
    uint32_t from, to;      /* heights, both held */
    uint64_t bytes;         /* of the file */
    uint64_t writes;        /* keys written by its blocks, together */
    struct shr_hash sha256; /* of the file; in the order of its bytes */
    struct shr_hash block;  /* hash of block `to` */
    struct shr_hash root;   /* the state root after it; zero while has_root is false */
    bool has_root;
};

/* Writes the blocks from `from` on, up to `last` or until `raw_max` bytes (before compression) are
 * passed, into a file of `dir`. The reader must hold them all. SHREWD_LIMIT: one of them takes more
 * than SHR_PART_BLOCK_MAX. */
int shr_part_write(struct shr_part *out, const char *dir, struct shr_reader *reader, uint32_t from,
                   uint32_t last, uint64_t raw_max, struct shr_stop *stop,
                   struct shrewd_error *err);
/* Whether the file is there, and has its size; costs no reading. The failures are those of
 * shr_part_verify: SHREWD_IO when it is not there, SHREWD_CORRUPT. */
int shr_part_present(const struct shr_part *part, const char *path, struct shrewd_error *err);
/* Reads the file and compares its size and hash. SHREWD_CORRUPT names the part. */
int shr_part_verify(const struct shr_part *part, const char *path, struct shrewd_error *err);
/* Applies the blocks that are above the state's tip, which must be at from - 1 or later, and
 * compares each, and the file, with what the part says. `sync` is for the last block. The state is
 * whole after a failure, at some block of the part. */
int shr_part_apply(const struct shr_part *part, struct shr_state *state, const char *path,
                   struct shr_stop *stop, struct shrewd_error *err);
/* The file's name, from its other fields. */
void shr_part_name(struct shr_part *part);
/* Ends the file that `stream` has written at `staged`, and gives it its name in `dir`. */
struct shr_zout;
int shr_part_keep(struct shr_part *part, const char *dir, const char *staged,
                  struct shr_zout *stream, struct shrewd_error *err);
/* Takes the lengths of the next pair; SHREWD_CORRUPT when no state could hold it. */
struct shr_zin;
int shr_part_take_lengths(const struct shr_part *part, struct shr_zin *stream, uint32_t *key_len,
                          uint32_t *value_len, struct shrewd_error *err);
/* SHREWD_CORRUPT, naming the part. */
int shr_part_damaged(const struct shr_part *part, struct shrewd_error *err, const char *what);
/* `code` as it is told of a part: a fault of what is in it is SHREWD_CORRUPT, and names it. */
int shr_part_fault(const struct shr_part *part, int code, struct shrewd_error *err);

#endif
