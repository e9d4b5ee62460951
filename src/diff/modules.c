#include "diff/modules.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "diff/impl.h"
#include "index/apply.h"
#include "node/feed.h"

#include <inttypes.h>
#include <stdlib.h>

#define FEED_WAIT_MS 1000
#define AGAIN_MS 100
#define TOLD_EVERY_MS 10000
/* A database lives as long as the run. */
#define CACHE_BYTES ((size_t)32 << 20)
#define WRITE_BUFFER_BYTES ((size_t)32 << 20)
#define PRUNE_EVERY 16
#define PRUNE_ROWS 100000

struct run {
    const struct shr_diff_modules *job;
    struct shr_diff_source sources[2]; /* of the block in hand */
    struct shr_state *states[2];       /* NULL for an index */
    struct shr_diff diff;
    struct shr_feed *feed;
    struct shr_feed_block block;
    struct shr_hash tip; /* the block before */
    uint64_t told_ms;
};

static int open_store(struct run *run, int side, struct shr_store **out, struct shrewd_error *err) {
    struct shr_rocks_options options = {
        .create = true, .cache_bytes = CACHE_BYTES, .write_buffer_bytes = WRITE_BUFFER_BYTES};
    if (run->job->scratch == NULL) {
        *out = shr_store_new_memory();
        return 0;
    }
    char *path = shr_asprintf("%s/%c", run->job->scratch, "ab"[side]);
    int code = shr_store_open_rocks(out, path, &options, err);
    free(path);
    return code;
}

static int open_states(struct run *run, struct shrewd_error *err) {
    struct shr_hash genesis;
    int code = shr_source_genesis(run->job->blocks, &genesis, err);
    for (int side = 0; code == 0 && side < 2; side++) {
        if (run->job->modules[side] != NULL) {
            struct shr_identity identity = {
                .genesis = genesis,
                .start_height = run->job->start,
                .module_hash = *shr_module_hash(run->job->modules[side]),
                .keep_root = SHR_KEEP_ROOT_NO,
            };
            struct shr_store *store = NULL;
            code = open_store(run, side, &store, err);
            code =
                code != 0 ? code : shr_state_open(&run->states[side], store, &identity, false, err);
        }
    }
    return code;
}

/* The height after which there is nothing more to run. */
static int last_height(struct run *run, uint32_t *out, struct shrewd_error *err) {
    const struct shr_diff_modules *job = run->job;
    struct shr_tip tip;
    int code = shr_source_tip(job->blocks, &tip, err);
    if (code != 0) {
        return code;
    }
    *out = tip.height;
    if (job->index.ops != NULL) {
        uint32_t height = 0;
        code = job->index.ops->tip(shr_diff_ask(&run->diff, 0), &height, err);
        if (code != 0) {
            return shr_diff_failed(&run->diff, 0, code, err);
        }
        *out = height < *out ? height : *out;
    }
    uint32_t wanted = job->options.height;
    if (wanted != UINT32_MAX && wanted > *out) {
        return shr_fail(err, SHREWD_ABOVE_TIP,
                        "height %" PRIu32 " is above the last block there is for both, %" PRIu32,
                        wanted, *out);
    }
    *out = wanted != UINT32_MAX ? wanted : *out;
    if (*out < job->start) {
        return shr_fail(err, SHREWD_BELOW_START,
                        "the first block is %" PRIu32 ", and the last one there is, %" PRIu32,
                        job->start, *out);
    }
    return 0;
}

/* The block of this height, on top of the one before. */
static int next_block(struct run *run, uint32_t height, struct shrewd_error *err) {
    int code;
    do { /* a block that is late, or did not check, is asked for again */
        code = shr_feed_next(run->feed, &run->block, FEED_WAIT_MS, err);
    } while ((code == SHREWD_NOT_FOUND || code == SHREWD_BAD_BLOCK) &&
             !shr_stop_sleep(run->job->blocks->stop, AGAIN_MS));
    if (code != 0) {
        return shr_stopped(run->job->blocks->stop) ? shr_fail(err, SHREWD_STOPPED, "stopped")
                                                   : code;
    }
    bool connects = height == run->job->start || shr_hash_eq(&run->block.header.prev, &run->tip);
    if (run->block.height != height || !connects) {
        return shr_fail(err, SHREWD_NOT_CONNECTED,
                        "the chain changed at block %" PRIu32 " while it was run: run this again",
                        height);
    }
    run->tip = run->block.hash;
    return 0;
}

static int run_modules(struct run *run, struct shrewd_error *err) {
    for (int side = 0; side < 2; side++) {
        if (run->states[side] == NULL) {
            continue;
        }
        struct shr_apply apply = {
            .state = run->states[side],
            .module = run->job->modules[side],
            .height = run->block.height,
            .hash = run->block.hash,
            .block = shr_buf_bytes(&run->block.raw),
        };
        uint64_t requests = run->sources[side].requests;
        int code = shr_apply_block(&apply, err);
        if (code == 0) {
            shr_diff_source_close(&run->sources[side]);
            code =
                shr_diff_state(&run->sources[side], run->states[side], run->job->names[side], err);
            run->sources[side].requests = requests;
        }
        if (code != 0) {
            return shr_fail_in(err, code, "%s", run->job->names[side]);
        }
    }
    return 0;
}

/* Whether the index has another block here. */
static int compare_hash(struct run *run, struct shrewd_error *err) {
    struct shr_diff_result *result = run->diff.result;
    uint32_t height = run->block.height;
    if (run->states[0] != NULL) {
        return 0;
    }
    struct shr_hash hash;
    int code = run->sources[0].ops->hash_at(shr_diff_ask(&run->diff, 0), &hash, height, err);
    if (code == 0 && !shr_hash_eq(&hash, &run->block.hash)) {
        result->chains_part = true;
        result->part_height = height;
        result->part_hash[0] = hash;
        result->part_hash[1] = run->block.hash;
    }
    return shr_diff_failed(&run->diff, 0, code, err);
}

static int compare_block(struct run *run, struct shrewd_error *err) {
    struct shr_diff_result *result = run->diff.result;
    int code = compare_hash(run, err);
    if (code != 0 || result->chains_part) {
        return code;
    }
    result->shares_any = true;
    result->compared = result->height = result->read_at = run->block.height;
    code = shr_diff_block(&run->diff, err);
    result->differ = result->n > 0;
    result->hash = run->block.hash;
    return code != 0 || !result->differ ? code : shr_diff_values(&run->diff, err);
}

/* Blocks that were compared are not asked for again. */
static int prune(struct run *run, uint32_t height, struct shrewd_error *err) {
    int code = 0;
    for (int side = 0; height % PRUNE_EVERY == 0 && side < 2 && code == 0; side++) {
        struct shr_prune_step step = {.more = run->states[side] != NULL};
        while (step.more && code == 0) {
            code = shr_state_prune(run->states[side], height, PRUNE_ROWS, &step, err);
        }
    }
    return code;
}

static int run_all(struct run *run, struct shrewd_error *err) {
    struct shr_diff_result *result = run->diff.result;
    uint32_t last = 0;
    int code = open_states(run, err);
    code = code != 0 ? code : last_height(run, &last, err);
    code = code != 0
               ? code
               : shr_feed_open(&run->feed, run->job->blocks, &(struct shr_feed_options){0}, err);
    if (code != 0) {
        return code;
    }
    result->tips[0] = result->tips[1] = last;
    run->told_ms = shr_now_ms();
    shr_feed_seek(run->feed, run->job->start);
    for (uint32_t height = run->job->start; code == 0; height++) {
        code = next_block(run, height, err);
        code = code != 0 ? code : run_modules(run, err);
        code = code != 0 ? code : compare_block(run, err);
        if (result->differ || result->chains_part || height == last) {
            break;
        }
        code = code != 0 ? code : prune(run, height, err);
        if (shr_now_ms() - run->told_ms >= TOLD_EVERY_MS) {
            shr_info("diff", "the same up to block %" PRIu32 " of %" PRIu32, height, last);
            run->told_ms = shr_now_ms();
        }
    }
    return code;
}

int shr_diff_modules(struct shr_diff_result *out, const struct shr_diff_modules *job,
                     struct shrewd_error *err) {
    *out = (struct shr_diff_result){0};
    struct run run = {.job = job};
    run.sources[0] = job->index;
    run.diff = (struct shr_diff){
        .sources = run.sources,
        .options = &job->options,
        .result = out,
        .keys_max = job->options.keys_max != 0 ? job->options.keys_max : SHR_DIFF_KEYS_DEFAULT,
    };
    int code = run_all(&run, err);
    out->requests[0] = run.sources[0].requests;
    out->requests[1] = run.sources[1].requests;
    shr_feed_close(run.feed);
    shr_buf_free(&run.block.raw);
    for (int side = 0; side < 2; side++) {
        if (run.states[side] != NULL) {
            shr_diff_source_close(&run.sources[side]);
            shr_state_close(run.states[side]);
        }
    }
    if (code != 0) {
        shr_diff_result_free(out);
    }
    return code;
}
