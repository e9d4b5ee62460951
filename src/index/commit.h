/* commit.h: committing behind the guest: a thread that stores what blocks flush while the guest
 * runs on the next one.
 *
 * Blocks are handed over in order and wait, bounded in number and memory; the thread takes as many
 * as are there, up to a limit, into one atomic write, and may wait a while for that many. Between
 * shr_commit_begin and shr_commit_end reads see the state after the last block handed over,
 * committed or not (state/pending.h).
 *
 * A write that fails drops every block that waits: the state is whole, as after the last block
 * committed. The failure is returned once, by the next call that can; then it can go on from
 * there.
 *
 * Threads: one, the guest's, calls these functions; `committed` runs on the thread that commits.
 * Rolling back, and whatever else writes to the state, only after shr_commit_drain.
 */
#ifndef SHR_INDEX_COMMIT_H
#define SHR_INDEX_COMMIT_H

#include "base/stop.h"
#include "state/pending.h"

struct shr_commit;

/* Written here; any thread reads. Starts out zeroed. */
struct shr_commit_stats {
    _Atomic uint64_t busy_ns; /* writing */
    _Atomic uint64_t wait_ns; /* for a block to write */
    _Atomic uint64_t full_ns; /* the guest's thread waited for room */
    _Atomic uint64_t writes;
    _Atomic uint64_t blocks_waiting; /* handed over, not committed yet */
    _Atomic uint64_t bytes_waiting;  /* memory held by blocks */
};

struct shr_commit_options {
    size_t bytes_max;               /* of all blocks held; 0 means 128 MiB; one always fits */
    uint32_t blocks_max;            /* that wait; 0 means 1000 */
    size_t group_bytes_max;         /* in one write; 0 means a quarter of bytes_max */
    uint32_t group_blocks_max;      /* in one write; 0: as many as there are */
    uint32_t gather_ms;             /* how long blocks may wait for more to come, while nobody
                                       waits for them; 0: not at all */
    struct shr_stop *stop;          /* borrowed: nothing waits long after it */
    struct shr_commit_stats *stats; /* borrowed */
    /* These blocks (a list) are committed and published. May write to the state; when it fails,
     * what still waits is dropped as after a failed write. */
    int (*committed)(void *ctx, const struct shr_writes *blocks, struct shrewd_error *err);
    void *ctx;
};

int shr_commit_open(struct shr_commit **out, struct shr_state *state,
                    const struct shr_commit_options *options, struct shrewd_error *err);
/* Drops what waits, once the write in hand is done. NULL is fine. */
void shr_commit_close(struct shr_commit *commit);

int shr_commit_begin(struct shr_commit *commit, struct shrewd_error *err);
/* As shr_guest_host's get; `ctx` is the commit. */
int shr_commit_get(void *ctx, struct shr_buf *value, struct shr_bytes key,
                   struct shrewd_error *err);
void shr_commit_end(struct shr_commit *commit);

/* Takes over the next block, also on failure. Waits for room; SHREWD_STOPPED. */
int shr_commit_put(struct shr_commit *commit, struct shr_writes *writes, struct shrewd_error *err);
/* Waits until all is committed. After the stop it goes on for less than a second, then drops what
 * still waits (SHREWD_STOPPED). */
int shr_commit_drain(struct shr_commit *commit, struct shrewd_error *err);

#endif
