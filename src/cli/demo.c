/* shrewd demo: the whole way once, without a node. A generated chain goes through the same
 * pipeline as a real one, with the `balances` sample; the server is asked over HTTP; what it
 * answers is compared with what the generator knows. */
#include "cli/client.h"
#include "cli/daemon.h"
#include "cli/database.h"
#include "cli/demo_checks.h"
#include "cli/signals.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "node/generated.h"

#include <ftw.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where `balances` lies: beside the program in a build, below share/ once installed. */
static char *find_sample(struct shrewd_error *err) {
    static const char *const places[] = {"guest/balances.wasm", "../share/shrewd/balances.wasm"};
    char program[PATH_MAX] = "";
    ssize_t len = readlink("/proc/self/exe", program, sizeof program - 1);
    char *folder = dirname(program);
    for (size_t i = 0; len > 0 && i < sizeof places / sizeof places[0]; i++) {
        char *path = shr_asprintf("%s/%s", folder, places[i]);
        if (access(path, R_OK) == 0) {
            return path;
        }
        free(path);
    }
    shr_fail(err, SHREWD_NOT_FOUND,
             "the sample module balances.wasm is not beside the program; name it with --indexer");
    return NULL;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *ftw) {
    (void)remove(path);
    return 0;
}

struct demo {
    struct shr_config *config;
    struct shr_stop stop;
    struct shr_source *source;
    struct shr_daemon daemon;
    char folder[64]; /* the database, when the operator named none */
};

/* A database that is there must be an earlier demo's, or its blocks would be rolled back. Its
 * genesis block shows nothing: that is every regtest's. */
static int check_own(struct demo *demo, struct shrewd_error *err) {
    struct shrewd *db = NULL;
    struct shrewd_block tip;
    struct shr_hash ours;
    int code = shr_database_open(&db, demo->config, SHREWD_READ_ONLY, false, err);
    if (code == SHREWD_NOT_FOUND) {
        return 0; /* none is there */
    }
    if (code != 0) {
        return code;
    }
    bool own = shrewd_tip(db, &tip, NULL) == 0 && tip.height > 0 &&
               shr_source_hash_at(demo->source, &ours, tip.height, NULL) == 0 &&
               memcmp(ours.b, tip.hash, sizeof ours.b) == 0;
    shrewd_close(db);
    return own ? 0
               : shr_fail(err, SHREWD_MISMATCH,
                          "--db-path: '%s' holds a database that the demo did not make; name a "
                          "folder that is not there, or leave --db-path out",
                          demo->config->db_path);
}

static int prepare(struct demo *demo, struct shrewd_error *err) {
    struct shr_config *config = demo->config;
    if (!config->keep) {
        config->port = 0; /* nobody else will ask, and the default may be taken */
    }
    if (config->db_path == NULL) {
        snprintf(demo->folder, sizeof demo->folder, "/tmp/shrewd-demo-XXXXXX");
        if (mkdtemp(demo->folder) == NULL) {
            return shr_fail_errno(err, SHREWD_IO, "cannot make a folder like '%s'", demo->folder);
        }
        config->db_path = shr_strdup(demo->folder);
    }
    if (config->indexer == NULL) {
        config->indexer = find_sample(err);
        if (config->indexer == NULL) {
            return SHREWD_NOT_FOUND;
        }
    }
    int code = shr_generated_open(&demo->source, &demo->stop, NULL, err);
    if (code == 0 && demo->folder[0] == 0) {
        code = check_own(demo, err);
    }
    return code;
}

/* Waits until the generated chain is indexed to its end. */
static int wait_for_tip(struct demo *demo, struct shrewd_error *err) {
    shr_daemon_wait(&demo->daemon);
    if (!shr_stopped(&demo->daemon.finished)) {
        return shr_fail(err, SHREWD_STOPPED, "stopped before the chain was indexed");
    }
    if (demo->daemon.code != 0) {
        *err = demo->daemon.error;
        return demo->daemon.code;
    }
    return 0;
}

static void print_sync(struct demo *demo, double made_s, double indexed_s) {
    struct shr_generated_totals totals;
    struct shr_progress *progress = &demo->daemon.progress;
    uint64_t blocks = atomic_load(&progress->blocks);
    uint64_t bytes = atomic_load(&progress->bytes);
    shr_generated_totals(demo->source, &totals);
    printf("\n  generated   %" PRIu64 " blocks, %" PRIu64 " transactions, %.1f MB in %.2f s\n",
           blocks, totals.n_txs, (double)totals.bytes / 1e6, made_s);
    printf("  indexed     %" PRIu64 " blocks in %.2f s: %.0f blocks/s, %.1f MB/s\n", blocks,
           indexed_s, (double)blocks / indexed_s, (double)bytes / 1e6 / indexed_s);
}

static int tour(struct demo *demo, struct shrewd_error *err) {
    uint64_t start = shr_now_ns();
    int code = prepare(demo, err);
    double made_s = (double)(shr_now_ns() - start) / 1e9;
    if (code != 0) {
        shr_source_close(demo->source);
        return code;
    }
    struct shr_source *source = demo->source;
    code = shr_daemon_start(&demo->daemon, demo->config, source, &demo->stop, err);
    if (code != 0) {
        demo->source = NULL; /* the daemon has closed it */
        return code;
    }
    code = wait_for_tip(demo, err);
    if (code == 0) {
        start = atomic_load(&demo->daemon.progress.started_ns);
        print_sync(demo, made_s, (double)(shr_now_ns() - start) / 1e9);
        char *url = shr_asprintf("http://127.0.0.1:%u", shr_server_port(demo->daemon.server));
        printf("  serving     %s\n\n", url);
        code = shr_demo_check(source, url, err);
        if (code == 0 && demo->config->keep) {
            printf("\nStill serving at %s; Ctrl-C ends it. Try:\n"
                   "  curl -s -d '{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"metashrew_view\","
                   "\"params\":[\"totals\",\"0x\"]}' %s\n",
                   url, url);
            fflush(stdout);
            while (!shr_stop_sleep(&demo->stop, 60000)) {
            }
        }
        free(url);
    }
    if (!shr_daemon_stop(&demo->daemon)) {
        fflush(stdout);
        _exit(code == 0 ? SHR_EXIT_OK : shr_signals_report(err));
    }
    return code;
}

int shr_cmd_demo(struct shr_config *config) {
    struct demo demo = {.config = config};
    struct shrewd_error err = {0};
    if (shr_signals_install(&demo.stop, &err) != 0) {
        return shr_report(&err);
    }
    if (shr_log_get_level() == SHR_LOG_INFO) {
        shr_log_set_level(SHR_LOG_WARN); /* the table says it all */
    }
    int code = tour(&demo, &err);
    if (demo.folder[0] != 0) {
        nftw(demo.folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    }
    shr_signals_restore(&demo.stop);
    return code == 0 ? SHR_EXIT_OK : shr_signals_report(&err);
}
