/* bench_view MODULE DIR PREFIX: the published benchmark's view in process, on RocksDB, with the
 * default limits on: a fresh instance a call, a warm one, an answer kept; the first call of a
 * process; one thread against two. Medians, so that a pause of the machine does not decide.
 * Result names begin with PREFIX, e.g. "view.". */
#include "measure.h"

#include <pthread.h>
#include <string.h>

#define CALLS 2000
#define WARM_UP 200
#define OPENINGS 21
#define THREAD_MS 1500
#define ROUNDS 3

static const char *prefix;

static void result(const char *name, double value, const char *unit) {
    char full[100];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    print_result(full, value, unit);
}

static void measure_mode(const char *name, const char *module, const char *dir,
                         const struct shrewd_view_options *views) {
    static uint64_t ns[CALLS];
    char p99[40];
    struct shrewd *shrewd = open_regtest(module, dir, views);
    for (int i = -WARM_UP; i < CALLS; i++) {
        uint64_t took = call_benchmark_view(shrewd);
        if (i >= 0) {
            ns[i] = took;
        }
    }
    shrewd_close(shrewd);
    snprintf(p99, sizeof p99, "%s_p99_us", name);
    result(p99, percentile_us(ns, CALLS, 0.99), "us");
    snprintf(p99, sizeof p99, "%s_us", name);
    result(p99, percentile_us(ns, CALLS, 0.5), "us");
}

/* The first call after opening: both modes in turn, so that both meet the same machine. */
static void measure_first(const char *module, const char *dir) {
    static const struct shrewd_view_options modes[2] = {{.fresh = true, .results_off = true},
                                                        {.fresh = false}};
    uint64_t ns[2][OPENINGS];
    for (int i = 0; i < OPENINGS; i++) {
        for (int mode = 0; mode < 2; mode++) {
            struct shrewd *shrewd = open_regtest(module, dir, &modes[mode]);
            ns[mode][i] = call_benchmark_view(shrewd);
            shrewd_close(shrewd);
        }
    }
    result("first_call_fresh_us", percentile_us(ns[0], OPENINGS, 0.5), "us");
    result("first_call_stateful_us", percentile_us(ns[1], OPENINGS, 0.5), "us");
}

struct worker {
    struct shrewd *shrewd;
    uint64_t until_ns;
    uint64_t calls;
};

static void *call_until(void *arg) {
    struct worker *worker = arg;
    while (shr_now_ns() < worker->until_ns) {
        call_benchmark_view(worker->shrewd);
        worker->calls++;
    }
    return NULL;
}

static double calls_per_s(struct shrewd *shrewd, int n_threads) {
    struct worker workers[2];
    pthread_t threads[2];
    pthread_attr_t attr;
    uint64_t start = shr_now_ns();
    uint64_t calls = 0;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 16u << 20);
    for (int i = 0; i < n_threads; i++) {
        workers[i] = (struct worker){shrewd, start + THREAD_MS * 1000000ull, 0};
        if (pthread_create(&threads[i], &attr, call_until, &workers[i]) != 0) {
            abort();
        }
    }
    for (int i = 0; i < n_threads; i++) {
        pthread_join(threads[i], NULL);
        calls += workers[i].calls;
    }
    pthread_attr_destroy(&attr);
    return (double)calls * 1e9 / (double)(shr_now_ns() - start);
}

/* One and two threads in turn; the best ratio of a few rounds, as others use the cores too. */
static void measure_threads(const char *module, const char *dir) {
    struct shrewd_view_options stateful = {.fresh = false};
    struct shrewd *shrewd = open_regtest(module, dir, &stateful);
    double best_one = 0, best_two = 0, best_ratio = 0;
    calls_per_s(shrewd, 2);
    for (int round = 0; round < ROUNDS; round++) {
        double one = calls_per_s(shrewd, 1);
        double two = calls_per_s(shrewd, 2);
        if (two / one > best_ratio) {
            best_ratio = two / one;
            best_one = one;
            best_two = two;
        }
    }
    shrewd_close(shrewd);
    result("stateful_1thread_per_s", best_one, "calls/s");
    result("stateful_2threads_per_s", best_two, "calls/s");
    result("stateful_2threads_ratio", best_ratio, "x");
}

int main(int argc, char **argv) {
    static const struct shrewd_view_options fresh = {.fresh = true, .results_off = true};
    static const struct shrewd_view_options stateful = {.fresh = false};
    static const struct shrewd_view_options cached = {.fresh = true};
    if (argc != 4) {
        fprintf(stderr, "usage: %s MODULE DIR PREFIX\n", argv[0]);
        return 2;
    }
    prefix = argv[3];
    shr_log_set_level(SHR_LOG_WARN);
    struct shrewd *shrewd = open_regtest(argv[1], argv[2], &stateful);
    index_genesis(shrewd);
    shrewd_close(shrewd);
    measure_mode("fresh", argv[1], argv[2], &fresh);
    measure_mode("stateful", argv[1], argv[2], &stateful);
    measure_mode("cached", argv[1], argv[2], &cached);
    measure_first(argv[1], argv[2]);
    measure_threads(argv[1], argv[2]);
    return 0;
}
