/* bench_mixed MODULE DIR: benchmark_view's latency on an idle index, and while full blocks are
 * being indexed as fast as they can be; and how much slower the sync is with such a caller. MODULE
 * keeps balances (guest/mixed.c), so that a block costs what a real one costs. One thread calls,
 * without a pause, both times. */
#include "measure.h"

#include "base/prompt.h"
#include "index/follow.h"
#include "lib/lib.h"
#include "node/generated.h"

#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define BLOCKS 170
#define FULL_FROM 130      /* before, coins mature, and blocks are small */
#define FULL_BYTES 1000000 /* of a full block, at least */
#define TXS_PER_BLOCK 4500
#define SCRIPTS 200000
#define IDLE_MS 4000
#define CALLS_MAX 4000000

struct sync {
    struct shrewd *shrewd;
    struct shr_source *source;
    struct shr_stop stop;
    struct shr_progress progress;
    uint32_t exit_at;
    _Atomic bool done;
    double seconds, cpu_s;
};

static uint64_t ns[CALLS_MAX];

static void on_tip(void *ctx) {
    struct sync *sync = ctx;
    shr_views_on_tip(shr_lib_views(sync->shrewd));
}

/* Of the whole process or of the calling thread. */
static double cpu_seconds(int who) {
    struct rusage used;
    getrusage(who, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void *run_sync(void *arg) {
    struct sync *sync = arg;
    struct shrewd_error err;
    struct shr_follow_options options = {
        .exit_at = sync->exit_at, .on_tip = on_tip, .on_tip_ctx = sync};
    double cpu = cpu_seconds(RUSAGE_SELF);
    uint64_t start = shr_now_ns();
    memset(&sync->progress, 0, sizeof sync->progress);
    must(shr_follow(shr_lib_state(sync->shrewd), shr_lib_module(sync->shrewd), sync->source,
                    &options, &sync->progress, &err),
         &err);
    sync->seconds = (double)(shr_now_ns() - start) / 1e9;
    sync->cpu_s = cpu_seconds(RUSAGE_SELF) - cpu;
    atomic_store(&sync->done, true);
    return NULL;
}

static void start_sync(struct sync *sync, pthread_t *thread, uint32_t exit_at) {
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, SHR_GUEST_THREAD_STACK);
    sync->exit_at = exit_at;
    atomic_store(&sync->done, false);
    if (pthread_create(thread, &attr, run_sync, sync) != 0) {
        abort();
    }
    pthread_attr_destroy(&attr);
}

static void sync_to(struct sync *sync, uint32_t exit_at) {
    pthread_t thread;
    start_sync(sync, &thread, exit_at);
    pthread_join(thread, NULL);
}

static void back_to_full_from(struct sync *sync) {
    struct shrewd_error err;
    must(shrewd_rollback(sync->shrewd, FULL_FROM, &err), &err);
    shr_views_on_tip(shr_lib_views(sync->shrewd));
}

static void print_latency(const char *name, size_t n, double *p99) {
    char text[60];
    snprintf(text, sizeof text, "view.%s_p50_us", name);
    print_result(text, percentile_us(ns, n, 0.5), "us");
    *p99 = percentile_us(ns, n, 0.99);
    snprintf(text, sizeof text, "view.%s_p99_us", name);
    print_result(text, *p99, "us");
}

static void measure(struct sync *sync) {
    pthread_t thread;
    double idle_p99 = 0, busy_p99 = 0;
    size_t n = 0;
    for (uint64_t until = shr_now_ns() + IDLE_MS * 1000000ull; shr_now_ns() < until; n++) {
        ns[n % CALLS_MAX] = call_benchmark_view(sync->shrewd);
    }
    print_latency("idle", n < CALLS_MAX ? n : CALLS_MAX, &idle_p99);

    double blocks = BLOCKS - FULL_FROM;
    double alone_s = sync->seconds, alone_cores = sync->cpu_s / sync->seconds;
    back_to_full_from(sync);
    double views_s = cpu_seconds(RUSAGE_THREAD);
    start_sync(sync, &thread, SHR_NO_EXIT);
    shr_prompt_thread(); /* as threads are that serve; after the sync's, which must not inherit it
                          */
    for (n = 0; n < CALLS_MAX && !atomic_load(&sync->done); n++) {
        ns[n] = call_benchmark_view(sync->shrewd);
    }
    views_s = cpu_seconds(RUSAGE_THREAD) - views_s;
    pthread_join(thread, NULL);
    print_latency("during_sync", n, &busy_p99);
    print_result("view.p99_during_sync_ratio", busy_p99 / idle_p99, "x");
    print_result("sync.full_alone_blocks_per_s", blocks / alone_s, "blocks/s");
    print_result("sync.full_alone_cores", alone_cores, "cores");
    print_result("sync.full_with_views_blocks_per_s", blocks / sync->seconds, "blocks/s");
    print_result("sync.full_with_views_cores", (sync->cpu_s - views_s) / sync->seconds, "cores");
    print_result("sync.full_views_cores", views_s / sync->seconds, "cores");
    print_result("sync.full_with_views_cpu_ratio",
                 (sync->cpu_s - views_s) / (alone_cores * alone_s), "x");
    print_result("sync.full_kept_share", alone_s / sync->seconds, "x");
    double left = (double)sysconf(_SC_NPROCESSORS_ONLN) - 1; /* by the one that calls */
    print_result("sync.full_fair_share", left < alone_cores ? left / alone_cores : 1, "x");
}

int main(int argc, char **argv) {
    struct shrewd_view_options stateful = {.fresh = false};
    struct shr_generated_options chain = {
        .blocks = BLOCKS, .txs_per_block = TXS_PER_BLOCK, .scripts = SCRIPTS};
    struct shrewd_error err;
    static struct sync sync;
    if (argc != 3) {
        fprintf(stderr, "usage: %s MODULE DIR\n", argv[0]);
        return 2;
    }
    shr_log_set_level(SHR_LOG_WARN);
    if (shr_stop_init(&sync.stop) != 0) {
        return 1;
    }
    must(shr_generated_open(&sync.source, &sync.stop, &chain, &err), &err);
    sync.shrewd = open_regtest(argv[1], argv[2], &stateful);
    sync_to(&sync, FULL_FROM);
    sync_to(&sync, SHR_NO_EXIT);
    back_to_full_from(&sync);
    sync_to(&sync, SHR_NO_EXIT); /* alone, as later beside views: after such a rollback */
    uint64_t bytes = atomic_load(&sync.progress.bytes);
    if (bytes < (uint64_t)(BLOCKS - FULL_FROM) * FULL_BYTES) {
        fprintf(stderr, "bench: the blocks are not full: %llu bytes\n", (unsigned long long)bytes);
        return 1;
    }
    measure(&sync);
    shrewd_close(sync.shrewd);
    shr_source_close(sync.source);
    return 0;
}
