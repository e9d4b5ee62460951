/* follow.h: keeping the state at the source's tip: forward, and back over reorgs.
 *
 * Four stages work at once, each on blocks of its own: the feed fetches and checks (node/feed.h),
 * the calling thread runs the guest, another commits (index/commit.h). Far from the source's tip
 * the guest runs ahead of the commits, and a commit takes many blocks; near the tip each
 * block is committed before the next. The state is the same, byte for byte, however they fall. */
#ifndef SHR_INDEX_FOLLOW_H
#define SHR_INDEX_FOLLOW_H

#include "index/commit.h"
#include "index/prune.h"
#include "node/feed.h"
#include "wasm/guest.h"

#include <pthread.h>
#include <stdatomic.h>

#define SHR_NO_EXIT UINT32_MAX

/* When a commit is on disk before it is announced (doc/database.md). */
enum shr_fsync {
    SHR_FSYNC_TIP, /* near the source's tip */
    SHR_FSYNC_ALWAYS,
    SHR_FSYNC_NEVER, /* the kernel writes when it likes */
};

/* Written while following, read by any thread. */
struct shr_progress {
    _Atomic uint64_t blocks;     /* committed since start */
    _Atomic uint64_t bytes;      /* of those blocks */
    _Atomic uint64_t guest_ns;   /* spent in the guest */
    _Atomic uint64_t wait_ns;    /* spent by the guest's thread waiting for blocks */
    _Atomic uint64_t started_ns; /* shr_now_ns at start */
    _Atomic uint64_t reorgs;
    _Atomic uint64_t reorg_blocks; /* rolled back by them */
    _Atomic uint32_t tip;          /* last block committed and published; valid while has_tip */
    _Atomic uint32_t node_tip;     /* as last seen; valid while has_node_tip */
    _Atomic bool has_tip, has_node_tip;
    _Atomic uint64_t node_silent_since_ms; /* the source's, where it is a node; node/source.h */
    _Atomic bool at_tip;                   /* caught up, waiting for the next block */
    struct shr_prune_progress prune;
    struct shr_feed_stats feed;
    struct shr_commit_stats commit;
    /* Why blocks cannot be stored now, while that is tried again; see shr_progress_trouble. */
    pthread_mutex_t trouble_lock; /* zeroes, as its initializer is here */
    struct shrewd_error trouble;  /* code 0: none */
};

struct shr_follow_options {
    uint32_t max_reorg_depth; /* blocks; 0 means 100 */
    uint32_t exit_at;         /* stop after this height; SHR_NO_EXIT: follow for ever */
    uint32_t near_tip;        /* blocks from the tip within which each block is made durable
                                 before it is announced; 0 means 6 */
    uint32_t prune;           /* blocks below the tip whose states stay readable; 0: all do */
    enum shr_fsync fsync;
    bool wait_for_space;          /* a full disk is no failure: try again until there is space */
    struct shr_feed_options feed; /* `stats` is the progress's */
    size_t pending_bytes;         /* held by blocks not committed yet; 0 means 128 MiB */
    uint32_t group_blocks;     /* in one write far from the tip, at most; 0: no bound but memory */
    bool progress_bar;         /* on standard error; false: a log line every few seconds */
    void (*on_tip)(void *ctx); /* the tip changed: blocks committed or rolled back; may be NULL.
                                  On any thread, one call at a time */
    void *on_tip_ctx;
};

/* Runs on the caller's thread (SHR_GUEST_THREAD_STACK), which stands back from then on where
 * processors are scarce (shr_patient_thread), until exit_at, the end of a finite
 * source, or the source's stop: then 0. A block the source serves wrong is logged and asked for
 * again; everything else that cannot pass is returned: SHREWD_REORG_DEPTH (nothing was rolled
 * back), a guest's failure (all blocks before it are stored, and nothing of it), a storage error
 * (the state is as after a block before). A full disk is told once, and tried again at growing
 * intervals. */
int shr_follow(struct shr_state *state, struct shr_module *module, struct shr_source *source,
               const struct shr_follow_options *options, struct shr_progress *progress,
               struct shrewd_error *err);
/* What the stages have done since start. Any thread. */
enum { SHR_STAGE_FETCH, SHR_STAGE_CHECK, SHR_STAGE_GUEST, SHR_STAGE_COMMIT, SHR_STAGE_COUNT };
struct shr_stage {
    const char *name; /* static */
    uint64_t threads; /* the times are sums over them */
    uint64_t busy_ns; /* at work */
    uint64_t wait_ns; /* with nothing to work on, or no room for more */
};
void shr_progress_stages(struct shr_progress *progress, struct shr_stage out[SHR_STAGE_COUNT]);
/* What keeps blocks from being stored now; false: nothing. Any thread. */
bool shr_progress_trouble(struct shr_progress *progress, struct shrewd_error *out);

#endif
