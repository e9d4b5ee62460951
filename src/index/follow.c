#include "index/follow.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/prompt.h"
#include "index/apply.h"
#include "index/progress.h"

#include <inttypes.h>

/* Where processors are scarce, who asks goes first: with one that asks without a pause on two of
 * them, indexing keeps more than its fair share (bench_mixed). */
#define NICE 3
#define FEED_WAIT_MS 200   /* how long to wait for a block before looking around */
#define RETRY_PAUSE_MS 200 /* before asking again for a block that did not connect */
#define MAX_REORG_DEPTH 100
#define NEAR_TIP 6
/* How long a commit far from the tip waits for more blocks: a group costs less than its blocks
 * would one by one, as what several of them write is stored once and as files. */
#define GATHER_MS 1000
/* Until a full disk is tried again; twice as long each time, up to the second one. */
#define SPACE_PAUSE_MS 1000u
#define SPACE_PAUSE_MS_MAX 60000u
#define DISK_PAUSE_MS 1000u /* between two looks at a disk that fails */

struct follow {
    struct shr_state *state;
    struct shr_module *module;
    struct shr_source *source;
    const struct shr_follow_options *options;
    struct shr_progress *progress;
    struct shr_feed *feed;
    struct shr_commit *commit;
    struct shr_report_state report;
    struct shr_feed_block block;
    uint32_t first_height;
    bool has_head; /* the last block that went through the guest; the rest waits for commits */
    uint32_t head_height;
    struct shr_hash head_hash;
    bool has_tip; /* the state's, when nothing waits */
    struct shr_block_record tip;
    uint32_t space_pause_ms; /* 0: the disk is not known to be full */
    uint64_t space_blocks;   /* had been stored when it was seen to be */
    bool told_early;         /* that the node is below the first block */
};

static void set_trouble(struct shr_progress *progress, const struct shrewd_error *err) {
    pthread_mutex_lock(&progress->trouble_lock);
    progress->trouble = err == NULL ? (struct shrewd_error){0} : *err;
    pthread_mutex_unlock(&progress->trouble_lock);
}

bool shr_progress_trouble(struct shr_progress *progress, struct shrewd_error *out) {
    pthread_mutex_lock(&progress->trouble_lock);
    *out = progress->trouble;
    pthread_mutex_unlock(&progress->trouble_lock);
    return out->code != 0;
}

/* Reads the tip from the state again: after opening, committing and rolling back. */
static int load_tip(struct follow *f, struct shrewd_error *err) {
    struct shrewd_error none;
    int code = shr_state_tip(f->state, &f->tip, &none);
    if (code != 0 && code != SHREWD_NOT_FOUND) {
        return shr_fail(err, code, "%s", none.message);
    }
    f->has_tip = code == 0;
    f->has_head = f->has_tip;
    f->head_height = f->tip.height;
    f->head_hash = f->tip.hash;
    atomic_store(&f->progress->tip, f->has_tip ? f->tip.height : 0);
    atomic_store(&f->progress->has_tip, f->has_tip);
    return 0;
}

static void saw_node_tip(struct follow *f, uint32_t height) {
    atomic_store(&f->progress->node_tip, height);
    atomic_store(&f->progress->has_node_tip, true);
}

static void announce(struct follow *f) {
    if (f->options->on_tip != NULL) {
        f->options->on_tip(f->options->on_tip_ctx);
    }
}

static uint32_t next_height(const struct follow *f) {
    return f->has_head ? f->head_height + 1 : f->first_height;
}

/* On the thread that commits, or while it has nothing to do. */
static int prune(struct follow *f, bool idle, struct shrewd_error *err) {
    int code = shr_prune(f->state, f->options->prune, idle, &f->progress->prune, err);
    return code == 0 ? 0 : shr_fail_in(err, code, "pruning old versions");
}

/* On the committing thread. */
static int on_committed(void *ctx, const struct shr_writes *blocks, struct shrewd_error *err) {
    struct follow *f = ctx;
    for (const struct shr_writes *block = blocks; block != NULL; block = block->next) {
        atomic_fetch_add(&f->progress->blocks, 1);
        atomic_fetch_add(&f->progress->bytes, block->block_bytes);
        atomic_store(&f->progress->tip, block->height);
    }
    atomic_store(&f->progress->has_tip, true);
    announce(f);
    int code = 0;
    for (const struct shr_writes *block = blocks; block != NULL && code == 0; block = block->next) {
        code = prune(f, false, err);
    }
    return code;
}

/* The disk was full, and has taken what it is to hold. */
static void well_again(struct follow *f) {
    if (f->space_pause_ms != 0) {
        f->space_pause_ms = 0;
        set_trouble(f->progress, NULL);
        shr_info("index", "there is space again");
    }
}

/* Everything that went through the guest is in the state. */
static int settle(struct follow *f, struct shrewd_error *err) {
    int code = shr_commit_drain(f->commit, err);
    if (code == 0) {
        code = load_tip(f, err);
    }
    if (code == 0 && atomic_load(&f->progress->blocks) != f->space_blocks) {
        well_again(f);
    }
    return code;
}

/* Finds the highest of our blocks that is on the source's best chain. A source that is merely
 * behind us (its tip is one of our blocks) has nothing to say against ours: no reorg. */
static int find_fork(struct follow *f, uint32_t *fork, struct shrewd_error *err) {
    uint32_t max = f->options->max_reorg_depth == 0 ? MAX_REORG_DEPTH : f->options->max_reorg_depth;
    uint32_t height = f->tip.height;
    struct shr_tip best;
    int code = shr_source_tip(f->source, &best, err);
    if (code != 0) {
        return code == SHREWD_NOT_FOUND ? 0 : code;
    }
    saw_node_tip(f, best.height);
    *fork = f->tip.height;
    bool behind = best.height < height;
    if (best.height < f->first_height) {
        return 0; /* not even at our first block yet: nothing to compare */
    }
    if (behind) {
        height = best.height;
    }
    for (bool first = true;; first = false, height--) {
        struct shr_block_record ours;
        struct shr_hash theirs;
        code = shr_state_block(f->state, &ours, height, err);
        if (code == 0) {
            code = shr_source_hash_at(f->source, &theirs, height, err);
        }
        if (code == SHREWD_NOT_FOUND) {
            return 0; /* the source's tip moved back under us: look again later */
        }
        if (code != 0) {
            return code;
        }
        if (shr_hash_eq(&ours.hash, &theirs)) {
            *fork = behind && first ? f->tip.height : height;
            return 0;
        }
        if (f->tip.height - height + 1 > max) {
            return shr_fail(err, SHREWD_REORG_DEPTH,
                            "the node's chain parts from ours more than %" PRIu32
                            " blocks below our tip %" PRIu32
                            "; nothing was rolled back. If the node is right, start again with a "
                            "larger --max-reorg-depth",
                            max, f->tip.height);
        }
        if (height == f->first_height) {
            *fork = height - 1; /* even the first block was replaced; see below for height 0 */
            return height > 0 ? 0
                              : shr_fail(err, SHREWD_MISMATCH,
                                         "the node has another genesis block than this database: "
                                         "use another node or another --db-path");
        }
    }
}

/* Rolls back to the source's chain when it has left ours. */
static int reconcile(struct follow *f, bool *rolled_back, struct shrewd_error *err) {
    uint32_t fork = 0;
    *rolled_back = false;
    if (!f->has_tip) {
        return 0;
    }
    fork = f->tip.height;
    int code = find_fork(f, &fork, err);
    if (code != 0 || fork == f->tip.height) {
        return code;
    }
    uint32_t depth = f->tip.height - fork;
    shr_warn("index", "reorg: rolling back %" PRIu32 " block%s to %" PRIu32, depth,
             depth == 1 ? "" : "s", fork);
    code = shr_state_rollback(f->state, fork, err);
    if (code != 0) {
        return code;
    }
    atomic_fetch_add(&f->progress->reorgs, 1);
    atomic_fetch_add(&f->progress->reorg_blocks, depth);
    *rolled_back = true;
    well_again(f);
    code = load_tip(f, err);
    announce(f);
    return code;
}

/* The guest has failed; what came before its block goes into the state. */
static int end_before(struct follow *f, int code, struct shrewd_error *err) {
    struct shrewd_error failed = *err;
    int settled = settle(f, err);
    if (settled != 0) {
        shr_error("index", "%s", failed.message);
        return settled;
    }
    *err = failed;
    return code;
}

static int run_guest(struct follow *f, struct shr_writes **out, struct shrewd_error *err) {
    uint64_t guest_ns = 0;
    struct shr_apply apply = {
        .state = f->state,
        .module = f->module,
        .height = f->block.height,
        .hash = f->block.hash,
        .block = shr_buf_bytes(&f->block.raw),
        .guest_ns = &guest_ns,
        .get = shr_commit_get,
        .get_ctx = f->commit,
    };
    int code = shr_commit_begin(f->commit, err);
    if (code != 0) {
        return code;
    }
    code = shr_apply_run(&apply, out, err);
    shr_commit_end(f->commit);
    atomic_fetch_add(&f->progress->guest_ns, guest_ns);
    return code != 0 ? end_before(f, code, err) : 0;
}

static int index_one(struct follow *f, struct shrewd_error *err) {
    uint32_t near_blocks = f->options->near_tip == 0 ? NEAR_TIP : f->options->near_tip;
    uint32_t node_tip = shr_feed_tip_height(f->feed);
    bool near = f->block.height + near_blocks > node_tip;
    struct shr_writes *writes = NULL;
    int code = run_guest(f, &writes, err);
    if (code != 0) {
        return code;
    }
    writes->sync =
        f->options->fsync == SHR_FSYNC_ALWAYS || (f->options->fsync == SHR_FSYNC_TIP && near);
    code = shr_commit_put(f->commit, writes, err);
    if (code != 0) {
        return code;
    }
    f->has_head = true;
    f->head_height = f->block.height;
    f->head_hash = f->block.hash;
    saw_node_tip(f, node_tip);
    /* While the disk is full, one block at a time finds out when it no longer is. */
    return near || f->space_pause_ms != 0 ? settle(f, err) : 0;
}

/* No block came: is the source's chain still ours, are we at its tip, is it at its end? */
static int look_around(struct follow *f, bool *ended, struct shrewd_error *err) {
    struct shr_tip best;
    bool rolled_back = false;
    int code = settle(f, err);
    if (code == 0) {
        code = reconcile(f, &rolled_back, err);
    }
    if (code != 0) {
        return code;
    }
    if (rolled_back) {
        shr_feed_seek(f->feed, next_height(f));
        return 0;
    }
    code = shr_source_tip(f->source, &best, err);
    bool empty = code == SHREWD_NOT_FOUND;
    if (code != 0 && !empty) {
        return code;
    }
    if (!empty) {
        saw_node_tip(f, best.height);
    }
    bool at_tip = empty || best.height < next_height(f);
    bool early = !empty && !f->has_head && (uint64_t)best.height + 1 < f->first_height;
    if (early && !f->told_early) {
        f->told_early = true;
        shr_info("index",
                 "waiting for block %" PRIu32
                 ", the first to be indexed: the node's tip is %" PRIu32,
                 f->first_height, best.height);
    }
    atomic_store(&f->progress->at_tip, at_tip && !early);
    *ended = at_tip && f->source->ops->finite;
    /* At the end of a finite source nobody comes back to what is left to prune. */
    do {
        code = prune(f, true, err);
    } while (code == 0 && *ended && shr_prune_due(f->state, f->options->prune) &&
             !shr_stopped(f->source->stop));
    if (code == 0 && at_tip) {
        well_again(f); /* nothing is left to be written */
    }
    return code;
}

static int step(struct follow *f, bool *ended, struct shrewd_error *err) {
    uint64_t start = shr_now_ns();
    int code = shr_feed_next(f->feed, &f->block, FEED_WAIT_MS, err);
    atomic_fetch_add(&f->progress->wait_ns, shr_now_ns() - start);
    if (code == SHREWD_BAD_BLOCK) {
        return 0; /* the feed has said so, and asks again */
    }
    if (code == SHREWD_NOT_FOUND) {
        return look_around(f, ended, err);
    }
    if (code != 0) {
        return code;
    }
    atomic_store(&f->progress->at_tip, false);
    bool connects = !f->has_head || shr_hash_eq(&f->block.header.prev, &f->head_hash);
    if (connects && f->block.height == next_height(f)) {
        return index_one(f, err);
    }
    bool rolled_back = false;
    code = settle(f, err);
    if (code == 0) {
        code = reconcile(f, &rolled_back, err);
    }
    if (code == 0) {
        shr_feed_seek(f->feed, next_height(f));
        if (!rolled_back && shr_stop_sleep(f->source->stop, RETRY_PAUSE_MS)) {
            code = SHREWD_STOPPED;
        }
    }
    return code;
}

/* Everything not committed is dropped; after a while it goes on from the tip. */
static int wait_for_space(struct follow *f, struct shrewd_error *err) {
    struct shrewd_error again;
    uint32_t pause = f->space_pause_ms;
    if (pause == 0) {
        shr_error("index", "%s; trying again until there is space", err->message);
        set_trouble(f->progress, err);
    }
    f->space_blocks = atomic_load(&f->progress->blocks);
    f->space_pause_ms = pause == 0                       ? SPACE_PAUSE_MS
                        : pause < SPACE_PAUSE_MS_MAX / 2 ? 2 * pause
                                                         : SPACE_PAUSE_MS_MAX;
    while (shr_commit_drain(f->commit, &again) != 0 && !shr_stopped(f->source->stop)) {
        shr_debug("index", "%s", again.message); /* the same, of blocks handed over since */
    }
    if (shr_stop_sleep(f->source->stop, f->space_pause_ms)) {
        return SHREWD_STOPPED;
    }
    int code = load_tip(f, err);
    shr_feed_seek(f->feed, next_height(f));
    return code;
}

/* After a write that failed the store takes none until it is opened anew, which readers do not
 * allow. While the disk fails as well, views are answered from here; once it takes a file again,
 * the failure is returned, for whoever starts this process to start it anew. */
static int wait_for_disk(struct follow *f, struct shrewd_error *err) {
    struct shrewd_error first = *err, again;
    if (shr_state_probe(f->state, &again) == 0) {
        return first.code;
    }
    shr_error("index",
              "%s; until the disk can be written views are answered, and nothing is indexed",
              first.message);
    set_trouble(f->progress, &first);
    do {
        if (shr_stop_sleep(f->source->stop, DISK_PAUSE_MS)) {
            return SHREWD_STOPPED;
        }
    } while (shr_state_probe(f->state, &again) != 0);
    return shr_fail(err, first.code, "%.800s; the disk can be written again: start shrewd again",
                    first.message);
}

static bool at_exit(const struct follow *f) {
    return f->has_head && f->options->exit_at != SHR_NO_EXIT &&
           f->head_height >= f->options->exit_at;
}

static int run(struct follow *f, struct shrewd_error *err) {
    bool ended = false;
    bool rolled_back;
    int code = reconcile(f, &rolled_back, err);
    shr_feed_seek(f->feed, next_height(f));
    for (;;) {
        if (code == SHREWD_DISK_FULL && f->options->wait_for_space) {
            ended = false;
            code = wait_for_space(f, err);
        }
        if (code == SHREWD_IO && f->options->wait_for_space) {
            code = wait_for_disk(f, err);
        }
        if (code != 0 || ended || shr_stopped(f->source->stop)) {
            break;
        }
        ended = at_exit(f);
        code = ended ? settle(f, err) : step(f, &ended, err);
        shr_progress_show(&f->report);
    }
    if (code == 0) {
        code = settle(f, err); /* the stop came */
    } else if (code != SHREWD_STOPPED) {
        struct shrewd_error first = *err;
        settle(f, err); /* what went through the guest before is not lost */
        *err = first;
    }
    return code;
}

static int open_stages(struct follow *f, struct shrewd_error *err) {
    struct shr_feed_options feed = f->options->feed;
    struct shr_commit_options commit = {
        .bytes_max = f->options->pending_bytes,
        .group_blocks_max = f->options->group_blocks,
        .gather_ms = GATHER_MS,
        .stop = f->source->stop,
        .stats = &f->progress->commit,
        .committed = on_committed,
        .ctx = f,
    };
    feed.stats = &f->progress->feed;
    int code = shr_feed_open(&f->feed, f->source, &feed, err);
    return code != 0 ? code : shr_commit_open(&f->commit, f->state, &commit, err);
}

int shr_follow(struct shr_state *state, struct shr_module *module, struct shr_source *source,
               const struct shr_follow_options *options, struct shr_progress *progress,
               struct shrewd_error *err) {
    struct shrewd_error local;
    struct follow f = {
        .state = state,
        .module = module,
        .source = source,
        .options = options,
        .progress = progress,
    };
    struct shr_identity identity;
    err = err == NULL ? &local : err;
    shr_state_identity(state, &identity);
    f.first_height = identity.start_height;
    shr_patient_thread(NICE); /* and with it those that it starts, for commits and fetching */
    atomic_store(&progress->started_ns, shr_now_ns());
    int code = load_tip(&f, err);
    if (code == 0) {
        code = open_stages(&f, err);
    }
    if (code == 0) {
        shr_progress_start(&f.report, progress, options->progress_bar);
        code = run(&f, err);
        shr_progress_end(&f.report);
    }
    shr_commit_close(f.commit);
    shr_feed_close(f.feed);
    shr_buf_free(&f.block.raw);
    return code == SHREWD_STOPPED ? 0 : code;
}
