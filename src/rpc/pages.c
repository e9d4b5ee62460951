/* What GET answers: a page for people, health for load balancers, metrics for Prometheus. */
#include "base/clock.h"
#include "rpc/http.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

struct state_now {
    bool has_tip;
    struct shr_block_record tip;
    bool has_sync;
    struct shr_server_sync sync;
    struct shrewd_error err; /* why there is no tip */
};

static void look(struct state_now *now, const struct shr_server *server) {
    const struct shr_rpc_env *env = &server->env;
    *now = (struct state_now){0};
    now->has_tip = env->source.tip(env->source.ctx, &now->tip, &now->err) == 0;
    now->has_sync = env->sync != NULL;
    if (now->has_sync) {
        env->sync(env->sync_ctx, &now->sync);
        now->sync.error[sizeof now->sync.error - 1] = 0;
    }
}

static uint32_t behind(const struct state_now *now) {
    return now->has_tip && now->sync.node_tip > now->tip.height
               ? now->sync.node_tip - now->tip.height
               : 0;
}

void shr_page_home(struct shr_buf *out, struct shr_server *server) {
    struct state_now now;
    look(&now, server);
    shr_buf_add_str(out, "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">"
                         "<title>shrewd</title>\n<h1>shrewd " SHREWD_VERSION "</h1>\n");
    if (now.has_tip) {
        char hash[SHR_HASH_HEX_LEN + 1];
        shr_hash_hex(hash, &now.tip.hash);
        shr_buf_printf(out, "<p>Indexed up to block %" PRIu32 ", %s.</p>\n", now.tip.height, hash);
    } else {
        shr_buf_add_str(out, "<p>No block is indexed yet.</p>\n");
    }
    if (now.has_sync && !now.sync.has_node_tip) {
        shr_buf_add_str(out, "<p>The node has not told its tip yet.</p>\n");
    } else if (now.has_sync) {
        shr_buf_printf(out, "<p>The node's tip is %" PRIu32 ": %" PRIu32 " to go.</p>\n",
                       now.sync.node_tip, behind(&now));
    }
    shr_buf_add_str(out, "<p>JSON-RPC 2.0 by POST to this address:</p>\n<ul>\n");
    for (int i = 0; i < SHR_METHOD_COUNT; i++) {
        const struct shr_method *method = &shr_methods[i];
        shr_buf_printf(out, "<li><code>%s [", method->name);
        for (int p = 0; method->params.names[p] != NULL; p++) {
            shr_buf_printf(out, "%s%s", p == 0 ? "" : ", ", method->params.names[p]);
        }
        shr_buf_add_str(out, "]</code></li>\n");
    }
    shr_buf_printf(out,
                   "</ul>\n<pre>curl -s http://127.0.0.1:%u -d "
                   "'{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"metashrew_height\",\"params\":[]}'"
                   "</pre>\n<p><a href=\"/health\">health</a> <a href=\"/metrics\">metrics</a></p>"
                   "\n</html>\n",
                   server->port);
}

static void add_number_or_null(struct shr_buf *out, const char *name, bool known, uint32_t number) {
    if (known) {
        shr_buf_printf(out, ",\"%s\":%" PRIu32, name, number);
    } else {
        shr_buf_printf(out, ",\"%s\":null", name);
    }
}

/* Well means: the tip can be read, and indexing (where this server knows of any) goes on, as far as
 * the node lets it. */
unsigned shr_page_health(struct shr_buf *out, struct shr_server *server) {
    struct state_now now;
    look(&now, server);
    const char *error = now.has_sync ? now.sync.error : "";
    if (error[0] == 0 && !now.has_tip && now.err.code != SHREWD_NOT_FOUND) {
        error = now.err.message;
    }
    bool stopping = atomic_load(&server->stopping);
    bool ok = error[0] == 0 && !stopping && (!now.has_sync || now.sync.running);
    shr_buf_printf(out, "{\"status\":\"%s\"", ok ? "ok" : stopping ? "stopping" : "failing");
    add_number_or_null(out, "tip", now.has_tip, now.tip.height);
    add_number_or_null(out, "node_tip", now.sync.has_node_tip, now.sync.node_tip);
    add_number_or_null(out, "behind", now.sync.has_node_tip && now.has_tip, behind(&now));
    add_number_or_null(out, "node_silent_s", now.has_sync, now.sync.node_silent_s);
    shr_buf_printf(out,
                   ",\"running\":%s,\"at_tip\":%s,\"error\":", now.sync.running ? "true" : "false",
                   now.sync.at_tip ? "true" : "false");
    if (error[0] == 0) {
        shr_buf_add_str(out, "null");
    } else {
        shr_json_write_string(out, shr_bytes_str(error));
    }
    shr_buf_add_str(out, "}\n");
    return ok ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
}

static uint64_t resident_bytes(void) {
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file != NULL) {
        if (fscanf(file, "%*u %llu", &pages) != 1) {
            pages = 0;
        }
        fclose(file);
    }
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void head(struct shr_buf *out, const char *name, const char *type, const char *help) {
    shr_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void metric(struct shr_buf *out, const char *name, const char *type, uint64_t value,
                   const char *help) {
    head(out, name, type, help);
    shr_buf_printf(out, "%s %" PRIu64 "\n", name, value);
}

static void seconds(struct shr_buf *out, const char *name, const char *type, uint64_t ns,
                    const char *help) {
    head(out, name, type, help);
    shr_buf_printf(out, "%s %.9f\n", name, (double)ns / 1e9);
}

/* The stage whose busy time grows by its threads' seconds a second is the one the others wait for.
 */
static void add_stages(struct shr_buf *out, const struct shr_server_sync *sync) {
    head(out, "shrewd_stage_threads", "gauge", "Threads of each stage of the sync.");
    for (int i = 0; i < SHR_STAGE_COUNT && sync->stages[i].name != NULL; i++) {
        shr_buf_printf(out, "shrewd_stage_threads{stage=\"%s\"} %" PRIu64 "\n",
                       sync->stages[i].name, sync->stages[i].threads);
    }
    head(out, "shrewd_stage_busy_seconds_total", "counter", "Time its threads were at work.");
    for (int i = 0; i < SHR_STAGE_COUNT && sync->stages[i].name != NULL; i++) {
        shr_buf_printf(out, "shrewd_stage_busy_seconds_total{stage=\"%s\"} %.9f\n",
                       sync->stages[i].name, (double)sync->stages[i].busy_ns / 1e9);
    }
    head(out, "shrewd_stage_wait_seconds_total", "counter",
         "Time they had nothing to work on, or no room for more.");
    for (int i = 0; i < SHR_STAGE_COUNT && sync->stages[i].name != NULL; i++) {
        shr_buf_printf(out, "shrewd_stage_wait_seconds_total{stage=\"%s\"} %.9f\n",
                       sync->stages[i].name, (double)sync->stages[i].wait_ns / 1e9);
    }
    metric(out, "shrewd_blocks_ready", "gauge", sync->ready_blocks,
           "Blocks fetched and checked ahead of the module.");
    metric(out, "shrewd_blocks_ready_bytes", "gauge", sync->ready_bytes, "Their memory.");
    metric(out, "shrewd_blocks_pending", "gauge", sync->pending_blocks,
           "Blocks through the module that wait to be committed.");
    metric(out, "shrewd_blocks_pending_bytes", "gauge", sync->pending_bytes, "Their memory.");
    metric(out, "shrewd_commits_total", "counter", sync->commits,
           "Writes to the database, of one block or several.");
}

static void add_sync(struct shr_buf *out, const struct shr_server_sync *sync) {
    if (sync->has_node_tip) {
        metric(out, "shrewd_node_tip_height", "gauge", sync->node_tip, "Height of the node's tip.");
    }
    metric(out, "shrewd_node_silent_seconds", "gauge", sync->node_silent_s,
           "Since when the node has not answered; 0 when it does.");
    metric(out, "shrewd_indexing", "gauge", sync->running, "1 while indexing goes on.");
    metric(out, "shrewd_at_tip", "gauge", sync->at_tip, "1 when the node's tip is indexed.");
    metric(out, "shrewd_blocks_total", "counter", sync->blocks, "Blocks indexed since start.");
    metric(out, "shrewd_block_bytes_total", "counter", sync->bytes, "Bytes of those blocks.");
    metric(out, "shrewd_reorgs_total", "counter", sync->reorgs, "Reorganisations followed.");
    metric(out, "shrewd_reorg_blocks_total", "counter", sync->reorg_blocks,
           "Blocks rolled back by them.");
    metric(out, "shrewd_pruned_rows_total", "counter", sync->pruned_rows,
           "Rows removed by pruning.");
    seconds(out, "shrewd_guest_seconds_total", "counter", sync->guest_ns,
            "Time in the module, indexing.");
    seconds(out, "shrewd_apply_seconds_total", "counter", sync->apply_ns, "Time writing state.");
    seconds(out, "shrewd_wait_seconds_total", "counter", sync->wait_ns, "Time waiting for blocks.");
    add_stages(out, sync);
}

static void add_stored(struct shr_buf *out, struct shr_server *server) {
    const struct shr_rpc_source *source = &server->env.source;
    struct shrewd_info info;
    if (source->info == NULL || source->info(source->ctx, &info, NULL) != 0) {
        return;
    }
    metric(out, "shrewd_oldest_height", "gauge", info.first_height,
           "The oldest height whose state can be read.");
    metric(out, "shrewd_versions", "gauge", info.versions,
           "Versions held, of all keys at all heights, about.");
    metric(out, "shrewd_database_bytes", "gauge", info.disk_bytes, "The database's files.");
    head(out, "shrewd_table_bytes", "gauge", "Bytes of a table, about.");
    for (uint32_t i = 0; i < info.n_tables; i++) {
        shr_buf_printf(out, "shrewd_table_bytes{table=\"%s\"} %" PRIu64 "\n", info.tables[i].name,
                       info.tables[i].bytes);
    }
    head(out, "shrewd_table_rows", "gauge", "Rows of a table, about.");
    for (uint32_t i = 0; i < info.n_tables; i++) {
        shr_buf_printf(out, "shrewd_table_rows{table=\"%s\"} %" PRIu64 "\n", info.tables[i].name,
                       info.tables[i].rows);
    }
}

static void add_methods(struct shr_buf *out, struct shr_server *server) {
    struct shr_method_stats *stats = server->env.stats;
    head(out, "shrewd_rpc_calls_total", "counter", "Calls, by method.");
    for (int i = 0; i < SHR_METHOD_COUNT; i++) {
        shr_buf_printf(out, "shrewd_rpc_calls_total{method=\"%s\"} %" PRIu64 "\n",
                       shr_methods[i].name, atomic_load(&stats[i].calls));
    }
    head(out, "shrewd_rpc_errors_total", "counter", "Calls that failed, by method.");
    for (int i = 0; i < SHR_METHOD_COUNT; i++) {
        shr_buf_printf(out, "shrewd_rpc_errors_total{method=\"%s\"} %" PRIu64 "\n",
                       shr_methods[i].name, atomic_load(&stats[i].errors));
    }
    head(out, "shrewd_rpc_seconds_total", "counter", "Time in calls, by method, without queueing.");
    for (int i = 0; i < SHR_METHOD_COUNT; i++) {
        shr_buf_printf(out, "shrewd_rpc_seconds_total{method=\"%s\"} %.9f\n", shr_methods[i].name,
                       (double)atomic_load(&stats[i].ns) / 1e9);
    }
}

/* What stands beside the number of a counter or gauge. */
struct view_metric {
    const char *name, *type, *help;
    uint64_t value;
};

static void add_views(struct shr_buf *out, struct shr_server *server) {
    struct shr_views_stats s = {0};
    server->env.source.stats(server->env.source.ctx, &s);
    head(out, "shrewd_view_answers_total", "counter", "Views answered, by how.");
    shr_buf_printf(out,
                   "shrewd_view_answers_total{by=\"fresh\"} %" PRIu64
                   "\nshrewd_view_answers_total{by=\"warm\"} %" PRIu64
                   "\nshrewd_view_answers_total{by=\"cache\"} %" PRIu64 "\n",
                   s.fresh, s.warm, s.cached);
    head(out, "shrewd_view_failures_total", "counter", "Views and previews that failed, by why.");
    shr_buf_printf(out,
                   "shrewd_view_failures_total{why=\"timeout\"} %" PRIu64
                   "\nshrewd_view_failures_total{why=\"trap\"} %" PRIu64
                   "\nshrewd_view_failures_total{why=\"limit\"} %" PRIu64
                   "\nshrewd_view_failures_total{why=\"cancelled\"} %" PRIu64 "\n",
                   s.timeouts, s.traps, s.limits, s.cancelled);
    const struct view_metric metrics[] = {
        {"shrewd_previews_total", "counter", "Previews answered.", s.previews},
        {"shrewd_view_retried_total", "counter",
         "Views run again, fresh, since a warm instance failed.", s.retried},
        {"shrewd_view_instances_idle", "gauge", "Warm instances that wait.", s.idle_instances},
        {"shrewd_view_instances_bytes", "gauge", "Their memory.", s.idle_bytes},
        {"shrewd_view_instances_evicted_total", "counter", "Warm instances given up.", s.evicted},
        {"shrewd_view_cache_entries", "gauge", "Answers kept.", s.result_entries},
        {"shrewd_view_cache_bytes", "gauge", "Their memory.", s.result_bytes},
        {"shrewd_view_verified_total", "counter", "Stateful answers verified.", s.verified},
        {"shrewd_view_differed_total", "counter", "Of them, found to be wrong.", s.differed},
        {"shrewd_view_verify_dropped_total", "counter", "Samples not verified.", s.verify_dropped},
    };
    for (size_t i = 0; i < sizeof metrics / sizeof metrics[0]; i++) {
        metric(out, metrics[i].name, metrics[i].type, metrics[i].value, metrics[i].help);
    }
}

static uint64_t connections(const struct shr_server *server) {
    uint64_t open = 0;
    for (unsigned i = 0; i < server->n_http; i++) {
        open += atomic_load(&server->http[i].open);
    }
    return open;
}

void shr_page_metrics(struct shr_buf *out, struct shr_server *server) {
    struct state_now now;
    look(&now, server);
    uint32_t busy = 0, waiting = 0;
    shr_workers_count(server->workers, &busy, &waiting);
    head(out, "shrewd_build_info", "gauge", "Always 1; the version is a label.");
    shr_buf_add_str(out, "shrewd_build_info{version=\"" SHREWD_VERSION "\"} 1\n");
    if (now.has_tip) {
        metric(out, "shrewd_tip_height", "gauge", now.tip.height, "Last block indexed.");
        metric(out, "shrewd_keys", "gauge", now.tip.total_keys, "Keys held after it.");
    }
    add_stored(out, server);
    if (now.has_sync) {
        add_sync(out, &now.sync);
    }
    add_methods(out, server);
    add_views(out, server);
    metric(out, "shrewd_http_requests_total", "counter", atomic_load(&server->stats.requests),
           "HTTP requests answered.");
    metric(out, "shrewd_rpc_faults_total", "counter", atomic_load(&server->stats.faults),
           "JSON-RPC errors sent, malformed requests included.");
    metric(out, "shrewd_rpc_refused_total", "counter", atomic_load(&server->stats.refused),
           "Requests refused: queue full, too many bytes held, stopping.");
    metric(out, "shrewd_rpc_abandoned_total", "counter", atomic_load(&server->stats.abandoned),
           "Requests not run since their client had left.");
    metric(out, "shrewd_http_connections", "gauge", connections(server), "Open connections.");
    metric(out, "shrewd_http_body_bytes", "gauge", atomic_load(&server->held),
           "Bytes of request bodies held.");
    metric(out, "shrewd_view_workers", "gauge", server->n_workers, "Threads for views.");
    metric(out, "shrewd_view_workers_busy", "gauge", busy, "Of them, running a view.");
    metric(out, "shrewd_view_queue", "gauge", waiting, "Requests that wait for one.");
    metric(out, "shrewd_view_queue_max", "gauge", server->queue_max, "How many may wait.");
    metric(out, "process_resident_memory_bytes", "gauge", resident_bytes(), "Resident memory.");
    seconds(out, "shrewd_uptime_seconds", "gauge", shr_now_ns() - server->start_ns, "Since start.");
}
