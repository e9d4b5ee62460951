/* bench_view MODULE DIR PREFIX NAME: the published benchmark's view in process, on RocksDB, with
 * the default limits on: a fresh instance a call, a warm one, an answer kept; the first call of a
 * process; one thread against two. Fresh and warm calls take turns with those of the smallest host
 * there is (bare.h), so that both meet the same machine, minute by minute: a ratio is the median
 * of those of all turns. Times are medians, so that a pause of the machine does not decide.
 * Result names begin with PREFIX, e.g. "view."; those of the bare host with PREFIX and "bare_",
 * and each then has NAME, of the module's build: "" or "nocache_". */
#include "bare.h"
#include "base/file.h"
#include "measure.h"

#include <pthread.h>
#include <string.h>

#define CALLS 4000
#define WARM_UP 400
#define TURN 40 /* calls of one host before the other has its turn */
#define OPENINGS 41
#define THREAD_MS 1500
#define ROUNDS 5
#define VIEW "benchmark_view"

static const char *prefix;
static const char *build;

static void result_of(const char *host, const char *name, double value, const char *unit) {
    char full[100];
    snprintf(full, sizeof full, "%s%s%s%s", prefix, host, build, name);
    print_result(full, value, unit);
}

static void result(const char *name, double value, const char *unit) {
    result_of("", name, value, unit);
}

/* shrewd or the bare host; the latter calls `bare`. */
struct host {
    struct shrewd *shrewd;
    struct bare *bare;
    void (*call)(struct bare *bare, const char *view, struct shr_buf *out);
    struct shr_buf out;
};

static uint64_t call_host(struct host *host) {
    if (host->shrewd != NULL) {
        return call_benchmark_view(host->shrewd);
    }
    uint64_t start = shr_now_ns();
    host->call(host->bare, VIEW, &host->out);
    uint64_t took = shr_now_ns() - start;
    if (host->out.len != 1000) {
        fprintf(stderr, "bench: " VIEW " answered %zu bytes, not 1000\n", host->out.len);
        exit(1);
    }
    return took;
}

static void take_turn(struct host *host, uint64_t *ns) {
    for (int i = 0; i < TURN; i++) {
        ns[i] = call_host(host);
    }
}

static double median_of_turn(const uint64_t *ns) {
    uint64_t turn[TURN];
    memcpy(turn, ns, sizeof turn);
    return percentile_us(turn, TURN, 0.5);
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a;
    double y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *values, size_t n) {
    qsort(values, n, sizeof *values, by_value);
    return values[n / 2];
}

/* The median of what the turns of `ours` and `bare` say, each pair next to each other in time. */
static double ratio_of(const uint64_t *ours, const uint64_t *bare) {
    static double ratios[CALLS / TURN];
    size_t n = 0;
    for (size_t i = 0; i < CALLS; i += TURN) {
        ratios[n++] = median_of_turn(ours + i) / median_of_turn(bare + i);
    }
    return median(ratios, n);
}

/* Calls of `ours` in turn with those of `bare`, when there is one. */
static void measure_mode(const char *name, struct host *ours, struct host *bare) {
    static uint64_t ns[2][CALLS];
    char text[40];
    for (int i = -WARM_UP; i < CALLS; i += TURN) {
        int at = i < 0 ? 0 : i;
        bool first = i / TURN % 2 == 0;
        if (bare != NULL && first) {
            take_turn(bare, ns[1] + at);
        }
        take_turn(ours, ns[0] + at);
        if (bare != NULL && !first) {
            take_turn(bare, ns[1] + at);
        }
    }
    snprintf(text, sizeof text, "%s_to_bare_ratio", name);
    if (bare != NULL) {
        result(text, ratio_of(ns[0], ns[1]), "x");
    }
    snprintf(text, sizeof text, "%s_p99_us", name);
    result(text, percentile_us(ns[0], CALLS, 0.99), "us");
    snprintf(text, sizeof text, "%s_us", name);
    result(text, percentile_us(ns[0], CALLS, 0.5), "us");
    if (bare != NULL) {
        result_of("bare_", text, percentile_us(ns[1], CALLS, 0.5), "us");
    }
}

static void measure_modes(const char *module, const char *dir) {
    static const struct shrewd_view_options fresh = {.fresh = true, .results_off = true};
    static const struct shrewd_view_options stateful = {.fresh = false};
    static const struct shrewd_view_options cached = {.fresh = true};
    struct shrewd_error err;
    struct shr_buf wasm = {0};
    must(shr_file_read(&wasm, module, 1u << 24, &err), &err);
    struct host bare = {.bare = bare_new(shr_buf_bytes(&wasm), BARE)};
    struct host ours = {.shrewd = open_regtest(module, dir, &fresh)};
    index_genesis(ours.shrewd);
    bare.call = bare_fresh;
    measure_mode("fresh", &ours, &bare);
    shrewd_close(ours.shrewd);
    ours.shrewd = open_regtest(module, dir, &stateful);
    bare.call = bare_stateful;
    measure_mode("stateful", &ours, &bare);
    shrewd_close(ours.shrewd);
    ours.shrewd = open_regtest(module, dir, &cached);
    measure_mode("cached", &ours, NULL);
    shrewd_close(ours.shrewd);
    bare_free(bare.bare);
    shr_buf_free(&bare.out);
    shr_buf_free(&wasm);
}

/* The first call after opening: both modes in turn, each as often before the other as after it, so
 * that both meet the same machine. */
static void measure_first(const char *module, const char *dir) {
    static const struct shrewd_view_options modes[2] = {{.fresh = true, .results_off = true},
                                                        {.fresh = false}};
    uint64_t ns[2][OPENINGS];
    for (int i = 0; i < OPENINGS; i++) {
        for (int turn = 0; turn < 2; turn++) {
            int mode = (i + turn) % 2;
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

/* One and two threads in turn: the median of what the rounds say. */
static void measure_threads(const char *module, const char *dir) {
    struct shrewd_view_options stateful = {.fresh = false};
    struct shrewd *shrewd = open_regtest(module, dir, &stateful);
    double one[ROUNDS], two[ROUNDS], ratio[ROUNDS];
    calls_per_s(shrewd, 2);
    for (int round = 0; round < ROUNDS; round++) {
        one[round] = calls_per_s(shrewd, 1);
        two[round] = calls_per_s(shrewd, 2);
        ratio[round] = two[round] / one[round];
    }
    shrewd_close(shrewd);
    result("stateful_1thread_per_s", median(one, ROUNDS), "calls/s");
    result("stateful_2threads_per_s", median(two, ROUNDS), "calls/s");
    result("stateful_2threads_ratio", median(ratio, ROUNDS), "x");
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: %s MODULE DIR PREFIX NAME\n", argv[0]);
        return 2;
    }
    prefix = argv[3];
    build = argv[4];
    shr_log_set_level(SHR_LOG_WARN);
    measure_modes(argv[1], argv[2]);
    measure_first(argv[1], argv[2]);
    measure_threads(argv[1], argv[2]);
    return 0;
}
