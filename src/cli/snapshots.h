/* snapshots.h: snapshots as the daemon has them: a new database begun from one, and one that
 * grows in a folder while indexing goes on. */
#ifndef SHR_CLI_SNAPSHOTS_H
#define SHR_CLI_SNAPSHOTS_H

#include "cli/config.h"
#include "snapshot/snapshot.h"

/* Restores the snapshot at `place` into `dir`, as the configuration wants it: its --indexer's
 * module, if one is given, and --expect-root; `genesis` may be NULL. Needs the stack of guests. */
int shr_snapshot_fetch(struct shr_snap_summary *out, const struct shr_config *config,
                       const char *dir, const char *place, const struct shr_hash *genesis,
                       struct shr_stop *stop, struct shrewd_error *err);

/* Whether --snapshot-directory, if it is given, takes the snapshots of a new database of this
 * chain: as shr_snapshots_start would find, before there is one. Makes the folder, if it does. */
int shr_snapshots_may_start(const struct shr_config *config, const struct shr_hash *genesis,
                            struct shrewd_error *err);

struct shr_snapshots;

/* Starts a thread of low priority that brings the snapshot in `dir` up to each height that
 * `interval` divides, once the tip is there. What is in `dir` must be a snapshot of the state, or
 * none: SHREWD_MISMATCH, SHREWD_CORRUPT. Borrows state and stop. */
int shr_snapshots_start(struct shr_snapshots **out, struct shr_state *state, const char *dir,
                        uint32_t interval, struct shr_stop *stop, struct shrewd_error *err);
/* The tip has moved. Any thread; costs little. NULL is fine. */
void shr_snapshots_on_tip(struct shr_snapshots *snapshots);
/* The height of the last one taken, 0 before. NULL is fine. */
uint32_t shr_snapshots_height(struct shr_snapshots *snapshots);
/* The tip moves no more: takes the one that is due, if one is, before the thread ends; a stop
 * breaks it off. What it could not take is an error. NULL is fine. */
int shr_snapshots_finish(struct shr_snapshots *snapshots, struct shrewd_error *err);
/* Ends within a block. NULL is fine. Stop must have been requested, unless it was finished. */
void shr_snapshots_stop(struct shr_snapshots *snapshots);

#endif
