#include "view/views.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "view/breakers.h"
#include "view/pool.h"
#include "view/results.h"
#include "view/verify.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB ((uint64_t)1 << 20)
#define MEMO_SIZE 64u /* versions judged while making room */
#define QUICK_MS 8u   /* of a call that others wait behind */

/* A view whose stateful answers were found to be wrong: it runs fresh for good. Never freed
 * before the service, so that the list is read without a lock. */
struct stained {
    struct stained *next;
    char *view;
};

struct counters {
    _Atomic uint64_t calls, fresh, warm, cached, previews, retried;
    _Atomic uint64_t timeouts, traps, limits, cancelled;
    _Atomic uint64_t sampled; /* stateful answers counted for verify_every */
};

struct shr_views {
    struct shr_state *state;
    struct shr_module *module;
    struct shr_views_options options;
    struct shr_instance_limits limits;
    struct shr_pool *pool;       /* NULL in fresh mode */
    struct shr_results *results; /* NULL when off */
    struct shr_verify *verify;   /* NULL when off */
    _Atomic(struct stained *) stained;
    struct shr_breakers breakers;
    struct counters count;
    pthread_mutex_t tip_mutex;
    bool has_tip;
    struct shr_version tip; /* as last seen by on_tip */
};

/* One call on its way. */
struct run {
    struct shr_views *views;
    const struct shr_view_call *call;
    struct shr_reader *reader;
    struct shr_version at;
    struct shr_deadline deadline;
    struct shr_views_cost *cost; /* NULL: not measured */
    bool reused;                 /* what answered had answered before */
};

static void add(_Atomic uint64_t *counter) {
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* --- The service --- */

static void set_defaults(struct shr_views_options *options) {
    bool fresh = options->mode == SHR_VIEWS_FRESH;
    options->pool_bytes = options->pool_bytes != 0 ? options->pool_bytes : 256 * MIB;
    options->time_ms = options->time_ms != 0 ? options->time_ms : 10000;
    options->preview_time_ms = options->preview_time_ms != 0 ? options->preview_time_ms : 30000;
    options->memory_max = options->memory_max != 0 ? options->memory_max : 1024 * MIB;
    options->result_max = options->result_max != 0 ? options->result_max : 64 * MIB;
    options->log_lines_max = options->log_lines_max != 0 ? options->log_lines_max : 100;
    if (options->results_off) {
        options->results_bytes = 0;
    } else if (options->results_bytes == 0 && fresh) {
        options->results_bytes = 64 * MIB;
    }
}

static bool is_stained(struct shr_views *views, const char *view) {
    const struct stained *item = atomic_load_explicit(&views->stained, memory_order_acquire);
    while (item != NULL && strcmp(item->view, view) != 0) {
        item = item->next;
    }
    return item != NULL;
}

static bool may_run_warm(struct shr_views *views, const char *view) {
    return views->pool != NULL && !is_stained(views, view) &&
           !shr_breakers_has(&views->breakers, view);
}

/* On the verifier's thread, the only one that adds. */
static void stain(void *ctx, const char *view) {
    struct shr_views *views = ctx;
    if (!is_stained(views, view)) {
        struct stained *item = shr_alloc(sizeof *item);
        item->view = shr_strdup(view);
        item->next = atomic_load(&views->stained);
        atomic_store(&views->stained, item);
    }
    if (views->results != NULL) {
        shr_results_drop_view(views->results, view);
    }
}

static int start_verifier(struct shr_views *views, struct shrewd_error *err) {
    struct shr_verify_options options = {
        .module = views->module,
        .limits = views->limits,
        .time_ms = views->options.time_ms,
        .differs = stain,
        .ctx = views,
    };
    return shr_verify_new(&views->verify, &options, err);
}

int shr_views_new(struct shr_views **out, struct shr_state *state, struct shr_module *module,
                  const struct shr_views_options *options, struct shrewd_error *err) {
    struct shr_views *views = shr_alloc(sizeof *views);
    views->state = state;
    views->module = module;
    views->options = *options;
    set_defaults(&views->options);
    views->limits = (struct shr_instance_limits){
        .memory_max = views->options.memory_max,
        .result_max = views->options.result_max,
        .log_lines_max = views->options.log_lines_max,
    };
    pthread_mutex_init(&views->tip_mutex, NULL);
    bool stateful = views->options.mode == SHR_VIEWS_STATEFUL;
    if (stateful) {
        views->pool = shr_pool_new(views->options.pool_bytes);
    }
    if (views->options.results_bytes > 0) {
        views->results = shr_results_new(views->options.results_bytes);
    }
    int code = stateful && views->options.verify_every > 0 ? start_verifier(views, err) : 0;
    if (code != 0) {
        shr_views_free(views);
        return code;
    }
    *out = views;
    return 0;
}

void shr_views_free(struct shr_views *views) {
    if (views == NULL) {
        return;
    }
    shr_verify_free(views->verify);
    shr_pool_free(views->pool);
    shr_results_free(views->results);
    for (struct stained *item = views->stained; item != NULL;) {
        struct stained *next = item->next;
        free(item->view);
        free(item);
        item = next;
    }
    pthread_mutex_destroy(&views->tip_mutex);
    free(views);
}

/* --- One view --- */

static void count_failure(struct shr_views *views, int code) {
    struct counters *count = &views->count;
    switch (code) {
    case SHREWD_TIMEOUT:
        add(&count->timeouts);
        break;
    case SHREWD_TRAP:
    case SHREWD_GUEST:
        add(&count->traps);
        break;
    case SHREWD_LIMIT:
        add(&count->limits);
        break;
    case SHREWD_STOPPED:
        add(&count->cancelled);
        break;
    default:
        break;
    }
}

/* A guest that runs out of memory traps in a way of its own; what it held tells why. */
static void hint_memory(const struct run *run, const struct shr_instance *instance,
                        struct shrewd_error *err) {
    uint64_t held = shr_instance_memory(instance);
    uint64_t max = run->views->options.memory_max;
    if (err != NULL && held > max / 2) {
        size_t len = strlen(err->message);
        snprintf(err->message + len, sizeof err->message - len,
                 "; it held %" PRIu64 " MiB of memory, and --view-instance-mb allows %" PRIu64,
                 held / MIB, max / MIB);
    }
}

static int run_in(struct run *run, struct shr_instance *instance, struct shr_buf *out,
                  struct shrewd_error *err) {
    uint64_t start = 0;
    if (run->cost != NULL) {
        shr_instance_measure(instance, true);
        start = shr_now_ns();
    }
    int code =
        shr_view_run(instance, out, run->reader, run->at.height, run->call, &run->deadline, err);
    if (run->cost != NULL) {
        struct shr_instance_cost cost = shr_instance_cost(instance);
        *run->cost = (struct shr_views_cost){.total_ns = shr_now_ns() - start,
                                             .host_ns = cost.host_ns,
                                             .host_calls = cost.host_calls};
        shr_instance_measure(instance, false);
    }
    if (code == SHREWD_TRAP) {
        hint_memory(run, instance, err);
    }
    return code;
}

/* The module must fit the memory that an instance may have. */
static int check_memory(const struct shr_views *views, struct shrewd_error *err) {
    uint64_t least = shr_module_info(views->module)->memory_pages_min * 65536;
    if (least <= views->options.memory_max) {
        return 0;
    }
    return shr_fail(err, SHREWD_LIMIT,
                    "the module starts with %" PRIu64 " MiB of memory, and an instance for views "
                    "may have %" PRIu64 " MiB (--view-instance-mb)",
                    least / MIB, views->options.memory_max / MIB);
}

static int run_new(struct run *run, struct shr_pool *pool, struct shr_buf *out,
                   struct shrewd_error *err) {
    struct shr_instance *instance = NULL;
    run->reused = false;
    int code = check_memory(run->views, err);
    if (code != 0) {
        return code;
    }
    code = shr_instance_new(&instance, run->views->module, &run->views->limits, err);
    if (code == 0) {
        code = run_in(run, instance, out, err);
    }
    if (code == 0 && pool != NULL) {
        shr_pool_give(pool, &run->at, instance);
    } else {
        shr_instance_free(instance);
    }
    return code;
}

/* A new instance, kept in `pool` (NULL: not kept). When there is no memory for it, those idle give
 * up theirs. */
static int run_fresh(struct run *run, struct shr_pool *pool, struct shr_buf *out,
                     struct shrewd_error *err) {
    int code = run_new(run, pool, out, err);
    if (code == SHREWD_NO_MEMORY && run->views->pool != NULL) {
        shr_pool_empty(run->views->pool);
        code = run_new(run, NULL, out, err);
    }
    return code;
}

/* An idle instance of the very version, or else a new one. What fails in a reused instance may be
 * due to what earlier calls left there (a heap that is full, say), so it is asked again, fresh. */
static int run_warm(struct run *run, struct shr_buf *out, struct shrewd_error *err) {
    struct shr_pool *pool = run->views->pool;
    struct shr_instance *instance = shr_pool_take(pool, &run->at);
    if (instance == NULL) {
        return run_fresh(run, pool, out, err);
    }
    run->reused = true;
    int code = run_in(run, instance, out, err);
    shr_pool_give(pool, &run->at, instance);
    if (code == SHREWD_TRAP || code == SHREWD_GUEST || code == SHREWD_NO_MEMORY) {
        add(&run->views->count.retried);
        code = run_fresh(run, pool, out, err);
    }
    return code;
}

/* True when this answer is the one in every so many that is verified. */
static bool sampled(struct shr_views *views) {
    if (views->verify == NULL) {
        return false;
    }
    uint64_t n = atomic_fetch_add_explicit(&views->count.sampled, 1, memory_order_relaxed);
    return (n + 1) % views->options.verify_every == 0;
}

/* What an answer is good for besides being returned. May take over the reader. */
static void keep_answer(struct run *run, struct shr_bytes answer, bool cacheable) {
    struct shr_views *views = run->views;
    add(run->reused ? &views->count.warm : &views->count.fresh);
    if (cacheable && views->results != NULL) {
        shr_results_put(views->results, &run->at, run->call->view, run->call->input, answer);
        if (run->reused && is_stained(views, run->call->view)) { /* since it began */
            shr_results_drop_view(views->results, run->call->view);
        }
    }
    if (run->reused && sampled(views)) {
        shr_verify_submit(views->verify, run->reader, &run->at, run->call, answer);
        run->reader = NULL;
    }
}

static struct shr_deadline deadline_in(uint32_t ms, const _Atomic bool *cancel) {
    return (struct shr_deadline){.at_ns = shr_now_ns() + (uint64_t)ms * 1000000u, .cancel = cancel};
}

/* The state is open and the result cache had nothing. */
static int compute(struct run *run, struct shr_buf *out, const _Atomic bool *cancel,
                   struct shrewd_error *err) {
    struct shr_views *views = run->views;
    uint32_t ms = views->options.time_ms;
    run->deadline = deadline_in(ms, cancel);
    bool warm = may_run_warm(views, run->call->view);
    int code = warm ? run_warm(run, out, err) : run_fresh(run, NULL, out, err);
    shr_breakers_ended(&views->breakers, run->call->view, code);
    if (code == 0) {
        keep_answer(run, shr_buf_bytes(out), run->cost == NULL);
    } else if (code == SHREWD_TIMEOUT) {
        shr_fail(err, code,
                 "view '%.100s' at height %" PRIu32 " did not end within %" PRIu32
                 " ms, the limit (--view-timeout-ms)",
                 run->call->view, run->at.height, ms);
    }
    count_failure(views, code);
    return code;
}

int shr_views_call(struct shr_views *views, struct shr_buf *out, const struct shr_view_call *call,
                   const _Atomic bool *cancel, struct shrewd_error *err) {
    struct run run = {.views = views, .call = call};
    add(&views->count.calls);
    int code = shr_view_open(&run.reader, &run.at, views->state, call->height, err);
    if (code != 0) {
        return code;
    }
    if (views->results != NULL &&
        shr_results_get(views->results, out, &run.at, call->view, call->input)) {
        add(&views->count.cached);
    } else {
        code = compute(&run, out, cancel, err);
    }
    shr_reader_close(run.reader);
    return code;
}

int shr_views_measure(struct shr_views *views, struct shr_buf *out,
                      const struct shr_view_call *call, struct shr_views_cost *cost,
                      struct shrewd_error *err) {
    struct run run = {.views = views, .call = call, .cost = cost};
    add(&views->count.calls);
    int code = shr_view_open(&run.reader, &run.at, views->state, call->height, err);
    if (code == 0) {
        code = compute(&run, out, NULL, err);
        shr_reader_close(run.reader);
    }
    return code;
}

bool shr_views_cached(struct shr_views *views, struct shr_buf *out,
                      const struct shr_view_call *call) {
    struct shr_reader *reader = NULL;
    struct shr_version at;
    if (views->results == NULL ||
        shr_view_open(&reader, &at, views->state, call->height, NULL) != 0) {
        return false;
    }
    bool found = shr_results_get(views->results, out, &at, call->view, call->input);
    shr_reader_close(reader);
    if (found) {
        add(&views->count.calls);
        add(&views->count.cached);
    }
    return found;
}

/* In an idle instance of the very version, if there is one. */
static bool run_quick(struct run *run, struct shr_buf *out) {
    struct shr_views *views = run->views;
    if (!may_run_warm(views, run->call->view)) {
        return false;
    }
    struct shr_instance *instance = shr_pool_take(views->pool, &run->at);
    if (instance == NULL) {
        return false;
    }
    uint32_t ms = views->options.time_ms;
    run->deadline = deadline_in(ms < QUICK_MS ? ms : QUICK_MS, NULL);
    run->reused = true;
    int code = run_in(run, instance, out, NULL);
    shr_pool_give(views->pool, &run->at, instance);
    if (code == 0) {
        keep_answer(run, shr_buf_bytes(out), true);
    }
    return code == 0;
}

bool shr_views_quick(struct shr_views *views, struct shr_buf *out,
                     const struct shr_view_call *call) {
    struct run run = {.views = views, .call = call};
    if (shr_view_open(&run.reader, &run.at, views->state, call->height, NULL) != 0) {
        return false;
    }
    bool cached = views->results != NULL &&
                  shr_results_get(views->results, out, &run.at, call->view, call->input);
    bool found = cached || run_quick(&run, out);
    if (found) {
        add(&views->count.calls);
    }
    if (cached) {
        add(&views->count.cached);
    }
    shr_reader_close(run.reader);
    return found;
}

/* --- Proofs --- */

int shr_views_prove(struct shr_views *views, struct shr_view_proved *out,
                    const struct shr_view_call *call, const _Atomic bool *cancel,
                    struct shrewd_error *err) {
    uint32_t ms = views->options.time_ms;
    struct shr_deadline deadline = deadline_in(ms, cancel);
    add(&views->count.calls);
    int code = check_memory(views, err);
    if (code == 0) {
        code =
            shr_view_prove(out, views->state, views->module, &views->limits, call, &deadline, err);
    }
    if (code == SHREWD_NO_MEMORY && views->pool != NULL) {
        shr_pool_empty(views->pool);
        code =
            shr_view_prove(out, views->state, views->module, &views->limits, call, &deadline, err);
    }
    if (code == 0) {
        add(&views->count.fresh);
    } else if (code == SHREWD_TIMEOUT) {
        shr_fail(err, code,
                 "view '%.100s' did not end within %" PRIu32 " ms, the limit (--view-timeout-ms)",
                 call->view, ms);
    }
    count_failure(views, code);
    return code;
}

/* --- Previews --- */

int shr_views_preview(struct shr_views *views, struct shr_buf *out, struct shr_bytes block,
                      const struct shr_view_call *call, const _Atomic bool *cancel,
                      struct shrewd_error *err) {
    struct shr_reader *reader = NULL;
    struct shr_version at;
    int code = shr_view_open(&reader, &at, views->state, call->height, err);
    if (code != 0) {
        return code;
    }
    uint32_t ms = views->options.preview_time_ms;
    struct shr_deadline deadline = deadline_in(ms, cancel);
    code = shr_view_preview(views->module, &views->limits, out, reader, at.height, block, call,
                            &deadline, err);
    shr_reader_close(reader);
    if (code == SHREWD_TIMEOUT) {
        shr_fail(err, code,
                 "the preview of view '%.100s' on height %" PRIu32 " did not end within %" PRIu32
                 " ms, the limit (--preview-timeout-ms)",
                 call->view, at.height, ms);
    }
    if (code == 0) {
        add(&views->count.previews);
    }
    count_failure(views, code);
    return code;
}

/* --- Making room --- */

/* Whether versions are still on the best chain, and held; many answers share few versions. */
struct judge {
    struct shr_reader *reader;
    struct {
        struct shr_version at;
        bool known, gone;
    } memo[MEMO_SIZE];
};

static bool on_chain(struct shr_reader *reader, const struct shr_version *at) {
    struct shr_block_record record;
    return shr_reader_held(reader, &record, at->height, NULL) == 0 &&
           shr_hash_eq(&record.hash, &at->hash);
}

static bool is_gone(void *ctx, const struct shr_version *at) {
    struct judge *judge = ctx;
    size_t slot = at->hash.b[0] % MEMO_SIZE;
    if (!judge->memo[slot].known || !shr_version_eq(&judge->memo[slot].at, at)) {
        judge->memo[slot].at = *at;
        judge->memo[slot].known = true;
        judge->memo[slot].gone = !on_chain(judge->reader, at);
    }
    return judge->memo[slot].gone;
}

/* A block on top of the last tip takes no version away: only what a reorg or a rollback did is
 * looked for. What is merely old goes when its room is wanted. */
void shr_views_on_tip(struct shr_views *views) {
    struct judge judge = {0};
    struct shr_version tip;
    if (shr_view_open(&judge.reader, &tip, views->state, SHR_LATEST, NULL) != 0) {
        if (views->pool != NULL) {
            shr_pool_empty(views->pool); /* all was rolled back */
        }
        return;
    }
    pthread_mutex_lock(&views->tip_mutex);
    bool extended = views->has_tip && on_chain(judge.reader, &views->tip);
    views->tip = tip;
    views->has_tip = true;
    pthread_mutex_unlock(&views->tip_mutex);
    if (!extended && views->pool != NULL) {
        shr_pool_drop(views->pool, is_gone, &judge);
    }
    if (!extended && views->results != NULL) {
        shr_results_drop(views->results, is_gone, &judge);
    }
    shr_reader_close(judge.reader);
}

void shr_views_stats(struct shr_views *views, struct shr_views_stats *out) {
    struct counters *count = &views->count;
    *out = (struct shr_views_stats){
        .calls = atomic_load(&count->calls),
        .fresh = atomic_load(&count->fresh),
        .warm = atomic_load(&count->warm),
        .cached = atomic_load(&count->cached),
        .previews = atomic_load(&count->previews),
        .retried = atomic_load(&count->retried),
        .timeouts = atomic_load(&count->timeouts),
        .traps = atomic_load(&count->traps),
        .limits = atomic_load(&count->limits),
        .cancelled = atomic_load(&count->cancelled),
    };
    if (views->pool != NULL) {
        struct shr_pool_stats pool;
        shr_pool_stats(views->pool, &pool);
        out->idle_instances = pool.instances;
        out->idle_bytes = pool.bytes;
        out->evicted = pool.evicted;
    }
    if (views->results != NULL) {
        struct shr_results_stats results;
        shr_results_stats(views->results, &results);
        out->result_entries = results.entries;
        out->result_bytes = results.bytes;
    }
    if (views->verify != NULL) {
        struct shr_verify_stats verify;
        shr_verify_stats(views->verify, &verify);
        out->verified = verify.verified;
        out->differed = verify.differed;
        out->verify_dropped = verify.dropped;
    }
}
