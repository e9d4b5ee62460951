/* budget.h: opening a database and following a chain as `shrewd run` does with the memory it takes
 * by default. Programs that include it link shrewd_commands. */
#ifndef SHR_BENCH_BUDGET_H
#define SHR_BENCH_BUDGET_H

#include "cli/config.h"
#include "index/follow.h"
#include "lib/lib.h"
#include "measure.h"

/* The daemon's default budget, shared out as it does it, and its way to allocate. */
static inline struct shr_config daemon_budget(void) {
    struct shrewd_error err;
    shr_config_tune_malloc();
    struct shr_config config = {
        .memory_mb = SHR_UNSET, .cache_mb = SHR_UNSET, .read_cache_mb = SHR_UNSET};
    must(shr_config_memory(&config, true, &err), &err);
    return config;
}

/* On regtest, in `dir`; NULL: in memory. `flags` of enum shrewd_flags. */
static inline struct shrewd *open_in_budget(const char *module, const char *dir, unsigned flags) {
    struct shrewd *shrewd = NULL;
    struct shrewd_error err;
    struct shr_config config = daemon_budget();
    struct shrewd_options options = {
        .flags = SHREWD_CREATE | (dir == NULL ? SHREWD_IN_MEMORY : 0) | flags,
        .db_path = dir,
        .module_path = module,
        .genesis32 = shr_network_by_name("regtest")->genesis_hash.b,
        .cache_bytes = (size_t)config.cache_mb << 20,
        .read_cache_bytes = (size_t)config.read_cache_mb << 20,
        .write_buffer_bytes = (size_t)config.write_buffer_mb << 20,
        .root_cache_bytes = (size_t)config.root_cache_mb << 20,
    };
    must(shrewd_open(&shrewd, &options, &err), &err);
    return shrewd;
}

/* A database of a state opened without libshrewd's front: what it has of that budget. */
static inline struct shr_rocks_options rocks_in_budget(void) {
    struct shr_config config = daemon_budget();
    return (struct shr_rocks_options){
        .create = true,
        .cache_bytes = (size_t)config.cache_mb << 20,
        .write_buffer_bytes = (size_t)config.write_buffer_mb << 20,
    };
}

/* Up to this height; `stages` as they were then. Gives the seconds it took. */
static inline double follow_in_budget(struct shrewd *shrewd, struct shr_source *source,
                                      uint32_t last, struct shr_stage stages[SHR_STAGE_COUNT]) {
    struct shrewd_error err;
    struct shr_progress progress = {0};
    struct shr_config config = daemon_budget();
    struct shr_follow_options options = {
        .exit_at = last,
        .pending_bytes = (size_t)config.pending_mb << 20,
        .feed = {.bytes_max = (size_t)config.prefetch_mb << 20},
    };
    uint64_t start = shr_now_ns();
    must(shr_follow(shr_lib_state(shrewd), shr_lib_module(shrewd), source, &options, &progress,
                    &err),
         &err);
    uint64_t took = shr_now_ns() - start;
    shr_progress_stages(&progress, stages);
    return (double)took / 1e9;
}

#endif
