/* follow.h: keeping the state at the source's tip: forward, and back over reorgs. */
#ifndef SHR_INDEX_FOLLOW_H
#define SHR_INDEX_FOLLOW_H

#include "index/prune.h"
#include "node/feed.h"
#include "state/state.h"
#include "wasm/guest.h"

#include <stdatomic.h>

#define SHR_NO_EXIT UINT32_MAX

/* Written by the following thread, read by any. */
struct shr_progress {
    _Atomic uint64_t blocks;     /* applied since start */
    _Atomic uint64_t bytes;      /* of those blocks */
    _Atomic uint64_t guest_ns;   /* spent in the guest */
    _Atomic uint64_t apply_ns;   /* spent in guest and state together */
    _Atomic uint64_t wait_ns;    /* spent waiting for blocks */
    _Atomic uint64_t started_ns; /* shr_now_ns at start */
    _Atomic uint64_t reorgs;
    _Atomic uint64_t reorg_blocks; /* rolled back by them */
    _Atomic uint32_t tip;          /* last block indexed; valid while has_tip */
    _Atomic uint32_t node_tip;     /* as last seen */
    _Atomic bool has_tip;
    _Atomic bool at_tip; /* caught up, waiting for the next block */
    struct shr_prune_progress prune;
};

struct shr_follow_options {
    uint32_t max_reorg_depth; /* blocks; 0 means 100 */
    uint32_t exit_at;         /* stop after this height; SHR_NO_EXIT: follow for ever */
    uint32_t near_tip;        /* blocks from the tip within which each block is made durable
                                 before it is announced; 0 means 6 */
    uint32_t prune;           /* blocks below the tip whose states stay readable; 0: all do */
    struct shr_feed_options feed;
    bool progress_bar;         /* on standard error; false: a log line every few seconds */
    void (*on_tip)(void *ctx); /* the tip changed: a block applied or rolled back; may be NULL */
    void *on_tip_ctx;
};

/* Runs on the caller's thread (SHR_GUEST_THREAD_STACK) until exit_at, the end of a finite
 * source, or the source's stop: then 0. A block the source serves wrong is logged and asked for
 * again; everything else that cannot pass is returned: SHREWD_REORG_DEPTH (nothing was rolled
 * back), a guest's failure (nothing of the block is stored), a storage error. */
int shr_follow(struct shr_state *state, struct shr_module *module, struct shr_source *source,
               const struct shr_follow_options *options, struct shr_progress *progress,
               struct shrewd_error *err);

#endif
