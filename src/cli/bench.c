/* shrewd bench: how fast one view answers, with a fresh instance a call and with warm ones. No
 * answer comes from the result cache: what is measured is the module. */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "chain/network.h"
#include "cli/database.h"
#include "cli/output.h"
#include "lib/lib.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SINGLES 21 /* services asked once, and calls measured: odd, for a middle one */
#define WARM_UP 3

struct figures {
    uint64_t total_ns;
    uint64_t p50_ns, p99_ns;
    uint64_t single_ns; /* the first call of a service */
    struct shr_views_cost cost;
};

struct bench {
    struct shr_config *config;
    struct shrewd *db;
    struct shr_view_call call;
    struct shr_buf input;
    struct shr_buf answer; /* the fresh one */
    bool differs;          /* a stateful one was another */
    struct figures fresh, stateful;
    struct shrewd_error *err;
};

/* --- Calls --- */

struct client {
    struct bench *bench;
    struct shr_views *views;
    uint64_t *ns; /* one a call */
    uint32_t calls;
    int code;
    struct shrewd_error err;
    bool differs;
};

static void *client_main(void *ctx) {
    struct client *client = ctx;
    struct bench *bench = client->bench;
    struct shr_buf answer = {0};
    for (uint32_t i = 0; i < client->calls && client->code == 0; i++) {
        uint64_t start = shr_now_ns();
        client->code = shr_views_call(client->views, &answer, &bench->call, NULL, &client->err);
        client->ns[i] = shr_now_ns() - start;
        client->differs =
            client->differs || !shr_bytes_eq(shr_buf_bytes(&answer), shr_buf_bytes(&bench->answer));
    }
    shr_buf_free(&answer);
    return NULL;
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static int start_clients(struct client *clients, pthread_t *threads, uint32_t n, uint32_t *started,
                         struct shrewd_error *err) {
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    int failed = pthread_attr_setstacksize(&attr, SHR_GUEST_THREAD_STACK);
    for (*started = 0; failed == 0 && *started < n; *started += failed == 0) {
        failed = pthread_create(&threads[*started], &attr, client_main, &clients[*started]);
    }
    pthread_attr_destroy(&attr);
    return failed == 0 ? 0
                       : shr_fail(err, SHREWD_NO_MEMORY, "cannot start client %u of %u: %s",
                                  *started + 1, n, strerror(failed));
}

/* All the calls of one mode, shared out among the clients. */
static int run_calls(struct bench *bench, struct shr_views *views, struct figures *out) {
    uint32_t calls = bench->config->calls;
    uint32_t n = bench->config->clients < calls ? bench->config->clients : calls;
    struct client *clients = shr_alloc_array(n, sizeof *clients);
    pthread_t *threads = shr_alloc_array(n, sizeof *threads);
    uint64_t *ns = shr_alloc_array(calls, sizeof *ns);
    uint32_t given = 0, started = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t share = calls / n + (i < calls % n);
        clients[i] =
            (struct client){.bench = bench, .views = views, .ns = ns + given, .calls = share};
        given += share;
    }
    uint64_t start = shr_now_ns();
    int code = start_clients(clients, threads, n, &started, bench->err);
    for (uint32_t i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
        bench->differs = bench->differs || clients[i].differs;
        if (code == 0 && clients[i].code != 0) {
            code = clients[i].code;
            *bench->err = clients[i].err;
        }
    }
    out->total_ns = shr_now_ns() - start;
    qsort(ns, calls, sizeof *ns, by_value);
    out->p50_ns = ns[calls / 2];
    out->p99_ns = ns[(uint64_t)calls * 99 / 100];
    free(ns);
    free(threads);
    free(clients);
    return code;
}

/* --- One mode --- */

static int new_views(struct bench *bench, struct shr_views **out, enum shr_views_mode mode) {
    const struct shr_config *config = bench->config;
    struct shr_views_options options = {
        .mode = mode,
        .results_off = true,
        .pool_bytes = (uint64_t)config->view_memory_mb << 20,
        .time_ms = config->view_timeout_ms,
        .memory_max = (uint64_t)config->view_instance_mb << 20,
        .result_max = (size_t)config->view_result_mb << 20,
        .log_lines_max = config->view_log_lines,
    };
    return shr_views_new(out, shr_lib_state(bench->db), shr_lib_module(bench->db), &options,
                         bench->err);
}

/* The middle of several first calls, each of a service of its own. */
static int run_singles(struct bench *bench, enum shr_views_mode mode, struct figures *out) {
    uint64_t ns[SINGLES] = {0};
    struct shr_buf answer = {0};
    int code = 0;
    for (int i = -WARM_UP; i < SINGLES && code == 0; i++) {
        struct shr_views *views = NULL;
        code = new_views(bench, &views, mode);
        uint64_t start = shr_now_ns();
        if (code == 0) {
            code = shr_views_call(views, &answer, &bench->call, NULL, bench->err);
        }
        ns[i < 0 ? 0 : i] = shr_now_ns() - start;
        shr_views_free(views);
    }
    qsort(ns, SINGLES, sizeof ns[0], by_value);
    out->single_ns = ns[SINGLES / 2];
    if (mode == SHR_VIEWS_FRESH) {
        shr_buf_set(&bench->answer, shr_buf_bytes(&answer));
    }
    shr_buf_free(&answer);
    return code;
}

static int by_total(const void *a, const void *b) {
    const struct shr_views_cost *x = a;
    const struct shr_views_cost *y = b;
    return x->total_ns < y->total_ns ? -1 : x->total_ns > y->total_ns;
}

/* What looking at the clock costs, about: each measured host call does it twice. */
static uint64_t clock_cost_ns(void) {
    enum { LOOKS = 10000 };
    uint64_t start = shr_now_ns(), now = start;
    for (int i = 0; i < LOOKS; i++) {
        now = shr_now_ns();
    }
    return (now - start) / LOOKS;
}

static int run_measured(struct bench *bench, struct shr_views *views, struct figures *out) {
    struct shr_views_cost costs[SINGLES] = {{0}};
    struct shr_buf answer = {0};
    int code = 0;
    for (int i = 0; i < SINGLES && code == 0; i++) {
        code = shr_views_measure(views, &answer, &bench->call, &costs[i], bench->err);
    }
    qsort(costs, SINGLES, sizeof costs[0], by_total);
    out->cost = costs[SINGLES / 2];
    uint64_t looking = out->cost.host_calls * clock_cost_ns();
    out->cost.host_ns -= looking < out->cost.host_ns ? looking : out->cost.host_ns;
    shr_buf_free(&answer);
    return code;
}

static int run_mode(struct bench *bench, enum shr_views_mode mode, struct figures *out) {
    struct shr_views *views = NULL;
    int code = run_singles(bench, mode, out);
    if (code == 0) {
        code = new_views(bench, &views, mode);
    }
    if (code == 0) {
        code = run_calls(bench, views, out);
    }
    if (code == 0) {
        code = run_measured(bench, views, out);
    }
    shr_views_free(views);
    return code;
}

/* --- The state it runs on --- */

static int open_memory(struct bench *bench) {
    const struct shr_network *regtest = shr_network_by_name("regtest");
    struct shr_buf genesis = {0};
    struct shrewd_options options = {
        .flags = SHREWD_CREATE | SHREWD_IN_MEMORY,
        .module_path = bench->config->indexer,
        .cache_path = bench->config->cache_dir,
        .genesis32 = regtest->genesis_hash.b,
    };
    int code = shrewd_open(&bench->db, &options, bench->err);
    if (code == 0) {
        shr_network_genesis(&genesis, regtest);
        code = shrewd_index_block(bench->db, genesis.data, genesis.len, bench->err);
        shr_buf_free(&genesis);
    }
    return code;
}

/* Latest is settled once: the figures are all of one version. */
static int settle_height(struct bench *bench) {
    struct shrewd_block block;
    uint32_t height = bench->config->height;
    int code = shrewd_block_at(bench->db, &block, height == SHR_UNSET ? SHREWD_LATEST : height,
                               bench->err);
    bench->call.height = code == 0 ? block.height : 0;
    return code;
}

static int run(void *ctx) {
    struct bench *bench = ctx;
    struct shr_config *config = bench->config;
    int code = config->db_path != NULL
                   ? shr_database_open(&bench->db, config, SHREWD_READ_ONLY, true, bench->err)
                   : open_memory(bench);
    if (code == 0) {
        code = settle_height(bench);
    }
    if (code == 0) {
        code = run_mode(bench, SHR_VIEWS_FRESH, &bench->fresh);
    }
    bench->differs = false;
    if (code == 0) {
        code = run_mode(bench, SHR_VIEWS_STATEFUL, &bench->stateful);
    }
    shrewd_close(bench->db);
    return code;
}

/* --- What it prints --- */

static double us(uint64_t ns) {
    return (double)ns / 1e3;
}

/* Of a call as fast as the middle one: what it spends outside host functions. */
static double guest_us(const struct figures *figures) {
    uint64_t host = figures->cost.host_ns;
    return us(figures->p50_ns > host ? figures->p50_ns - host : 0);
}

static double per_second(const struct bench *bench, const struct figures *figures) {
    return bench->config->calls / ((double)figures->total_ns / 1e9);
}

static void print_row(const char *name, double fresh, double stateful, double ratio) {
    printf("  %-26s %12.2f %12.2f %11.2fx\n", name, fresh, stateful, ratio);
}

static void print_table(const struct bench *bench) {
    const struct figures *f = &bench->fresh, *s = &bench->stateful;
    const struct shr_config *config = bench->config;
    double calls = config->calls;
    printf("%s of %s at height %" PRIu32 " (%s): %" PRIu32 " calls, %" PRIu32
           " client%s, answers of %zu bytes\n\n",
           config->view, config->indexer, bench->call.height,
           config->db_path != NULL ? config->db_path : "in memory", config->calls, config->clients,
           config->clients == 1 ? "" : "s", bench->answer.len);
    printf("  %-26s %12s %12s %12s\n", "", "fresh", "stateful", "faster");
    double ratio = (double)f->total_ns / (double)s->total_ns;
    print_row("all calls, ms", us(f->total_ns) / 1e3, us(s->total_ns) / 1e3, ratio);
    print_row("average of a call, ms", us(f->total_ns) / 1e3 / calls, us(s->total_ns) / 1e3 / calls,
              ratio);
    print_row("calls/s", per_second(bench, f), per_second(bench, s), ratio);
    print_row("half within (p50), us", us(f->p50_ns), us(s->p50_ns),
              (double)f->p50_ns / (double)s->p50_ns);
    print_row("99 of 100 within, us", us(f->p99_ns), us(s->p99_ns),
              (double)f->p99_ns / (double)s->p99_ns);
    print_row("a single call, us", us(f->single_ns), us(s->single_ns),
              (double)f->single_ns / (double)s->single_ns);
    print_row("in the module, us", guest_us(f), guest_us(s), guest_us(f) / guest_us(s));
    printf("  %-26s %12.2f %12.2f\n", "in host functions, us", us(f->cost.host_ns),
           us(s->cost.host_ns));
    printf("  %-26s %12" PRIu64 " %12" PRIu64 "\n", "calls of host functions", f->cost.host_calls,
           s->cost.host_calls);
}

static json_t *figures_json(const struct bench *bench, const struct figures *figures) {
    return json_pack(
        "{s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:I}", "total_ms", us(figures->total_ns) / 1e3,
        "average_us", us(figures->total_ns) / bench->config->calls, "calls_per_s",
        per_second(bench, figures), "p50_us", us(figures->p50_ns), "p99_us", us(figures->p99_ns),
        "single_us", us(figures->single_ns), "guest_us", guest_us(figures), "host_us",
        us(figures->cost.host_ns), "host_calls", (json_int_t)figures->cost.host_calls);
}

static void print_json(const struct bench *bench) {
    const struct shr_config *config = bench->config;
    json_t *object = json_object();
    json_object_set_new(object, "module", json_string(config->indexer));
    json_object_set_new(object, "view", json_string(config->view));
    json_object_set_new(object, "height", json_integer(bench->call.height));
    json_object_set_new(object, "calls", json_integer(config->calls));
    json_object_set_new(object, "clients", json_integer(config->clients));
    json_object_set_new(object, "answer_bytes", json_integer((json_int_t)bench->answer.len));
    json_object_set_new(object, "same_answers", json_boolean(!bench->differs));
    json_object_set_new(object, "fresh", figures_json(bench, &bench->fresh));
    json_object_set_new(object, "stateful", figures_json(bench, &bench->stateful));
    shr_out_json(object);
}

int shr_cmd_bench(struct shr_config *config) {
    struct shrewd_error err = {0};
    struct bench bench = {.config = config, .err = &err};
    if (shr_log_get_level() == SHR_LOG_INFO) {
        shr_log_set_level(SHR_LOG_WARN); /* a guest that logs would be all there is to see */
    }
    free(config->indexer);
    config->indexer = shr_strdup(config->args[0]);
    int code =
        config->input != NULL ? shr_read_hex(&bench.input, config->input, "--input", &err) : 0;
    if (code == 0) {
        bench.call.view = config->view;
        bench.call.input = shr_buf_bytes(&bench.input);
        code = shr_on_guest_stack(run, &bench, &err);
    }
    int status = code == 0 ? SHR_EXIT_OK : shr_report(&err);
    if (code == 0 && config->json) {
        print_json(&bench);
    } else if (code == 0) {
        print_table(&bench);
    }
    if (code == 0 && bench.differs) {
        fprintf(stderr, "shrewd: stateful answers were not the fresh one: this view keeps "
                        "something between calls that changes its answers\n");
    }
    shr_buf_free(&bench.answer);
    shr_buf_free(&bench.input);
    return status;
}
