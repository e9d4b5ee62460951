/* held.h: what a snapshot's folder holds already, as the state sees it that is to go on with it. */
#ifndef SHR_SNAPSHOT_HELD_H
#define SHR_SNAPSHOT_HELD_H

#include "snapshot/manifest.h"

/* SHREWD_MISMATCH, naming the folder, what it holds and what the state is of: another chain, module
 * or start height, or state roots in only one of the two. */
int shr_held_check(const struct shr_manifest *held, const struct shr_identity *ours,
                   const char *dir, struct shrewd_error *err);
/* Takes out the parts of blocks that a reorg has taken back, saying so; *dropped: whether there
 * were any. What may be of the state's chain still is never taken out, so what is left must not
 * end above `height`: SHREWD_INVALID, or SHREWD_ABOVE_TIP when the state is not so far itself.
 * SHREWD_MISMATCH: of the same blocks, but with another state root. */
int shr_held_keep(struct shr_manifest *held, struct shr_reader *reader, uint32_t height,
                  const char *dir, bool *dropped, struct shrewd_error *err);
/* Whether all its files are there, each with its size: without one of them nobody can restore what
 * is added. The failures of shr_part_present, with what to do. */
int shr_held_present(const struct shr_manifest *held, const char *dir, struct shrewd_error *err);
/* Takes out everything: only the identity stays. */
void shr_held_clear(struct shr_manifest *held);

#endif
