/* bench_mixed MODULE DIR: benchmark_view's latency on an idle index, and while full blocks are
 * being indexed as fast as they can; and how much slower the sync is with such a caller. */
#include "measure.h"

#include "index/follow.h"
#include "lib/lib.h"
#include "node/generated.h"

#include <pthread.h>
#include <string.h>

#define BLOCKS 260
#define TXS_PER_BLOCK 3600 /* about 1.5 MB */
#define CALLS_MAX 400000

struct sync {
    struct shrewd *shrewd;
    struct shr_source *source;
    struct shr_stop stop;
    _Atomic bool done;
    double seconds;
};

static void on_tip(void *ctx) {
    struct sync *sync = ctx;
    shr_views_on_tip(shr_lib_views(sync->shrewd));
}

static void *run_sync(void *arg) {
    struct sync *sync = arg;
    struct shrewd_error err;
    struct shr_progress progress = {0};
    struct shr_follow_options options = {
        .exit_at = SHR_NO_EXIT, .on_tip = on_tip, .on_tip_ctx = sync};
    uint64_t start = shr_now_ns();
    must(shr_follow(shr_lib_state(sync->shrewd), shr_lib_module(sync->shrewd), sync->source,
                    &options, &progress, &err),
         &err);
    sync->seconds = (double)(shr_now_ns() - start) / 1e9;
    atomic_store(&sync->done, true);
    return NULL;
}

static void start_sync(struct sync *sync, pthread_t *thread) {
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, SHR_GUEST_THREAD_STACK);
    atomic_store(&sync->done, false);
    if (pthread_create(thread, &attr, run_sync, sync) != 0) {
        abort();
    }
    pthread_attr_destroy(&attr);
}

int main(int argc, char **argv) {
    static uint64_t ns[CALLS_MAX];
    struct shrewd_view_options stateful = {.fresh = false};
    struct shr_generated_options chain = {
        .blocks = BLOCKS, .txs_per_block = TXS_PER_BLOCK, .scripts = 20000};
    struct shrewd_error err;
    struct sync sync;
    pthread_t thread;
    size_t n = 0;
    if (argc != 3) {
        fprintf(stderr, "usage: %s MODULE DIR\n", argv[0]);
        return 2;
    }
    shr_log_set_level(SHR_LOG_WARN);
    memset(&sync, 0, sizeof sync);
    if (shr_stop_init(&sync.stop) != 0) {
        return 1;
    }
    must(shr_generated_open(&sync.source, &sync.stop, &chain, &err), &err);
    sync.shrewd = open_regtest(argv[1], argv[2], &stateful);

    start_sync(&sync, &thread); /* alone */
    pthread_join(thread, NULL);
    double alone_s = sync.seconds;

    for (n = 0; n < 20000; n++) {
        ns[n] = call_benchmark_view(sync.shrewd);
    }
    double idle_p50 = percentile_us(ns, n, 0.5);
    double idle_p99 = percentile_us(ns, n, 0.99);

    must(shrewd_rollback(sync.shrewd, 0, &err), &err);
    shr_views_on_tip(shr_lib_views(sync.shrewd));
    start_sync(&sync, &thread); /* with a caller that never rests */
    for (n = 0; n < CALLS_MAX && !atomic_load(&sync.done); n++) {
        ns[n] = call_benchmark_view(sync.shrewd);
    }
    pthread_join(thread, NULL);
    print_result("view.idle_p50_us", idle_p50, "us");
    print_result("view.idle_p99_us", idle_p99, "us");
    print_result("view.during_sync_p50_us", percentile_us(ns, n, 0.5), "us");
    double busy_p99 = percentile_us(ns, n, 0.99);
    print_result("view.during_sync_p99_us", busy_p99, "us");
    print_result("view.p99_during_sync_ratio", busy_p99 / idle_p99, "x");
    print_result("sync.full_alone_blocks_per_s", BLOCKS / alone_s, "blocks/s");
    print_result("sync.full_with_views_blocks_per_s", BLOCKS / sync.seconds, "blocks/s");
    shrewd_close(sync.shrewd);
    shr_source_close(sync.source);
    return 0;
}
