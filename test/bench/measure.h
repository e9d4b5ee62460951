/* measure.h: what the benchmark programs share: opening a state, medians, result lines. */
#ifndef SHR_BENCH_MEASURE_H
#define SHR_BENCH_MEASURE_H

#include "base/clock.h"
#include "base/log.h"
#include "chain/network.h"
#include "shrewd/shrewd.h"

#include <stdio.h>
#include <stdlib.h>

/* Ends the program unless a call of libshrewd succeeded. */
static inline void must(int code, const struct shrewd_error *err) {
    if (code != 0) {
        fprintf(stderr, "bench: %s\n", err->message);
        exit(1);
    }
}

static inline void print_result(const char *name, double value, const char *unit) {
    printf("%s %.2f %s\n", name, value, unit);
    fflush(stdout);
}

static inline int by_ns(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Of n times in any order, the one that `share` of them do not exceed, in us. Sorts them. */
static inline double percentile_us(uint64_t *ns, size_t n, double share) {
    qsort(ns, n, sizeof *ns, by_ns);
    size_t at = (size_t)((double)n * share);
    return (double)ns[at < n ? at : n - 1] / 1000;
}

/* Opens `dir` (made when it is not there) with a module and the view options given, on regtest. */
static inline struct shrewd *open_regtest(const char *module, const char *dir,
                                          const struct shrewd_view_options *views) {
    struct shrewd *shrewd = NULL;
    struct shrewd_error err;
    struct shrewd_options options = {
        .flags = SHREWD_CREATE,
        .db_path = dir,
        .module_path = module,
        .genesis32 = shr_network_by_name("regtest")->genesis_hash.b,
        .views = *views,
    };
    must(shrewd_open(&shrewd, &options, &err), &err);
    return shrewd;
}

static inline void index_genesis(struct shrewd *shrewd) {
    struct shr_buf genesis = {0};
    struct shrewd_error err;
    shr_network_genesis(&genesis, shr_network_by_name("regtest"));
    must(shrewd_index_block(shrewd, genesis.data, genesis.len, &err), &err);
    shr_buf_free(&genesis);
}

/* One call of the published benchmark's view, in ns. */
static inline uint64_t call_benchmark_view(struct shrewd *shrewd) {
    struct shrewd_error err;
    uint8_t *answer = NULL;
    size_t len = 0;
    uint64_t start = shr_now_ns();
    must(shrewd_view(shrewd, &answer, &len, "benchmark_view", NULL, 0, SHREWD_LATEST, &err), &err);
    uint64_t took = shr_now_ns() - start;
    shrewd_free(answer);
    if (len != 1000) {
        fprintf(stderr, "bench: benchmark_view answered %zu bytes, not 1000\n", len);
        exit(1);
    }
    return took;
}

#endif
