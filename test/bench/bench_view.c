/* bench_view MODULE DBDIR: the published benchmark view, in process, on RocksDB: indexes a few
 * generated blocks with the `benchmark` sample, then calls benchmark_view, a fresh instance a
 * call. Prints the median, so that one pause of the machine does not decide. */
#include "base/clock.h"
#include "base/log.h"
#include "chain/network.h"
#include "shrewd/shrewd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALLS 2000
#define WARM_UP 200

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static int open_indexed(struct shrewd **out, const char *module, const char *dir,
                        struct shrewd_error *err) {
    const struct shr_network *regtest = shr_network_by_name("regtest");
    struct shr_buf genesis = {0};
    struct shrewd_options options = {
        .flags = SHREWD_CREATE,
        .db_path = dir,
        .module_path = module,
        .genesis32 = regtest->genesis_hash.b,
    };
    int code = shrewd_open(out, &options, err);
    if (code == 0) {
        shr_network_genesis(&genesis, regtest);
        code = shrewd_index_block(*out, genesis.data, genesis.len, err);
        shr_buf_free(&genesis);
    }
    return code;
}

static int measure(struct shrewd *shrewd, uint64_t *ns, struct shrewd_error *err) {
    for (int i = -WARM_UP; i < CALLS; i++) {
        uint8_t *answer = NULL;
        size_t len = 0;
        uint64_t start = shr_now_ns();
        int code =
            shrewd_view(shrewd, &answer, &len, "benchmark_view", NULL, 0, SHREWD_LATEST, err);
        uint64_t took = shr_now_ns() - start;
        shrewd_free(answer);
        if (code != 0 || len != 1000) {
            fprintf(stderr, "benchmark_view answered %zu bytes, not 1000\n", len);
            return -1;
        }
        if (i >= 0) {
            ns[i] = took;
        }
    }
    return 0;
}

int main(int argc, char **argv) {
    static uint64_t ns[CALLS];
    struct shrewd_error err = {0};
    struct shrewd *shrewd = NULL;
    if (argc != 3) {
        fprintf(stderr, "usage: %s MODULE DBDIR\n", argv[0]);
        return 2;
    }
    shr_log_set_level(SHR_LOG_WARN);
    if (open_indexed(&shrewd, argv[1], argv[2], &err) != 0 || measure(shrewd, ns, &err) != 0) {
        fprintf(stderr, "bench_view: %s\n", err.message);
        return 1;
    }
    shrewd_close(shrewd);
    qsort(ns, CALLS, sizeof ns[0], by_value);
    printf("view.fresh_us %.1f us\n", (double)ns[CALLS / 2] / 1000);
    printf("view.fresh_p99_us %.1f us\n", (double)ns[CALLS * 99 / 100] / 1000);
    return 0;
}
