/* bench_full BLOCKS MODULE DBDIR: full blocks (make_blocks writes them), from the first to the
 * last: how long the guest itself takes with the state in memory and nothing else to do
 * (`full_guest_s`), and how long the sync takes, from block files to RocksDB with the budget that
 * the daemon has by default (`full_total_s`). SHREWD_BENCH_ROOT=off: without a state root; names
 * then begin with sync.full_noroot_. */
#include "budget.h"
#include "chain/block.h"
#include "index/apply.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static bool no_root;

static void result(const char *name, double value, const char *unit) {
    char full[100];
    snprintf(full, sizeof full, "sync.full_%s%s", no_root ? "noroot_" : "", name);
    print_result(full, value, unit);
}

/* The guest's reads: everything written so far, in one table. */
struct held {
    struct shr_pending *all;
};

static int held_get(void *ctx, struct shr_buf *value, struct shr_bytes key,
                    struct shrewd_error *err) {
    return shr_pending_get(((struct held *)ctx)->all, value, key, err);
}

/* CPU time of this thread: of the stage that runs the guest, whatever the machine does besides. */
static double cpu_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* CPU time of the whole process. */
static double process_cpu_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double guest_seconds(struct shrewd *shrewd, struct shr_source *source, uint32_t last,
                            double *cpu) {
    struct shrewd_error err;
    struct held held = {.all = shr_pending_new(shr_lib_state(shrewd))};
    struct shr_writes **writes = calloc(last + 1, sizeof *writes);
    uint64_t total_ns = 0;
    struct shr_buf block = {0};
    for (uint32_t height = 0; height <= last; height++) {
        uint64_t guest_ns = 0;
        struct shr_apply apply = {.state = shr_lib_state(shrewd),
                                  .module = shr_lib_module(shrewd),
                                  .height = height,
                                  .guest_ns = &guest_ns,
                                  .get = held_get,
                                  .get_ctx = &held};
        must(shr_source_hash_at(source, &apply.hash, height, &err), &err);
        must(shr_source_block(source, &block, &apply.hash, &err), &err);
        apply.block = shr_buf_bytes(&block);
        must(shr_pending_begin(held.all, &err), &err);
        double before = cpu_seconds();
        must(shr_apply_run(&apply, &writes[height], &err), &err);
        *cpu += cpu_seconds() - before;
        shr_pending_end(held.all);
        shr_pending_add(held.all, writes[height]);
        total_ns += guest_ns;
    }
    shr_buf_free(&block);
    shr_pending_free(held.all);
    for (uint32_t height = 0; height <= last; height++) {
        shr_writes_free(writes[height]);
    }
    free(writes);
    return (double)total_ns / 1e9;
}

static double total_seconds(struct shrewd *shrewd, struct shr_source *source, uint32_t last) {
    struct shr_stage stages[SHR_STAGE_COUNT];
    double seconds = follow_in_budget(shrewd, source, last, stages);
    for (int i = 0; i < SHR_STAGE_COUNT; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s_busy_s", stages[i].name);
        result(name, (double)stages[i].busy_ns / 1e9, "s");
    }
    return seconds;
}

int main(int argc, char **argv) {
    struct shrewd_error err;
    struct shr_stop stop;
    struct shr_source *source = NULL;
    struct shr_tip tip;
    struct rusage usage;
    if (argc != 4 || shr_stop_init(&stop) != 0) {
        fprintf(stderr, "usage: %s BLOCKS MODULE DBDIR\n", argv[0]);
        return 2;
    }
    const char *root = getenv("SHREWD_BENCH_ROOT");
    no_root = root != NULL && strcmp(root, "off") == 0;
    shr_log_set_level(SHR_LOG_WARN);
    must(shr_files_open(&source, &stop, argv[1], 0, &err), &err);
    must(shr_source_tip(source, &tip, &err), &err);
    /* The sync first: what the other holds in memory is not to count as its peak. */
    struct shrewd *shrewd =
        open_in_budget(argv[2], argv[3], no_root ? SHREWD_STATE_ROOT_OFF : SHREWD_STATE_ROOT_ON);
    double start = cpu_seconds(), cpu_start = process_cpu_seconds();
    double total = total_seconds(shrewd, source, tip.height);
    result("index_thread_cpu_s", cpu_seconds() - start, "s");
    result("cpu_s", process_cpu_seconds() - cpu_start, "s");
    shrewd_close(shrewd);
    getrusage(RUSAGE_SELF, &usage);
    shrewd = open_in_budget(argv[2], NULL, SHREWD_STATE_ROOT_OFF);
    double guest_cpu = 0;
    double guest = guest_seconds(shrewd, source, tip.height, &guest_cpu);
    shrewd_close(shrewd);
    shr_source_close(source);
    result("total_s", total, "s");
    result("guest_s", guest, "s");
    result("guest_cpu_s", guest_cpu, "s");
    result("total_to_guest_ratio", total / guest, "x");
    result("peak_mib", (double)usage.ru_maxrss / 1024, "MiB");
    result("budget_mib", daemon_budget().memory_mb, "MiB");
    return 0;
}
