#include "cli/daemon.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/prompt.h"
#include "cli/blocks.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STOP_INDEX_MS 1200
#define STOP_SERVER_MS 600
#define NODE_SILENT_S 60 /* from then on /health is not well: what is served grows old */

static int open_source(struct shr_daemon *d, struct shrewd_error *err) {
    return d->source != NULL ? 0
                             : shr_open_blocks(&d->source, d->config, d->stop,
                                               &d->progress.node_silent_since_ms, err);
}

static int open_database(struct shr_daemon *d, const char *dir, unsigned flags,
                         const struct shr_hash *genesis, uint32_t start, struct shrewd_error *err) {
    const struct shr_config *config = d->config;
    static const unsigned state_root[] = {SHREWD_STATE_ROOT_ON, SHREWD_STATE_ROOT_OFF};
    if (config->state_root != SHR_UNSET) {
        flags |= state_root[config->state_root];
    }
    struct shrewd_options options = {
        .flags = flags | (config->accept_module ? SHREWD_ACCEPT_MODULE : 0),
        .db_path = dir,
        .module_path = config->indexer,
        .cache_path = config->cache_dir,
        .fork_path = config->fork,
        .genesis32 = genesis == NULL ? NULL : genesis->b,
        .start_height = start,
        .cache_bytes = (size_t)config->cache_mb << 20,
        .read_cache_bytes = (size_t)config->read_cache_mb << 20,
        .read_cache_off = config->read_cache_mb == 0,
        .write_buffer_bytes = (size_t)config->write_buffer_mb << 20,
        .root_cache_bytes = (size_t)config->root_cache_mb << 20,
    };
    shr_config_views(&options.views, config);
    return shrewd_open(&d->shrewd, &options, err);
}

/* An accepted module is recorded, which takes opening with the whole identity. */
static int accept_module(struct shr_daemon *d, const char *dir, struct shrewd_error *err) {
    struct shrewd_info info;
    struct shr_hash genesis;
    int code = shrewd_info(d->shrewd, &info, err);
    if (code != 0) {
        return code;
    }
    memcpy(genesis.b, info.genesis, 32);
    shrewd_close(d->shrewd);
    d->shrewd = NULL;
    return open_database(d, dir, 0, &genesis, info.start_height, err);
}

/* A new, empty one; nothing is made for a start that its snapshot folder refuses. */
static int create_database(struct shr_daemon *d, const char *dir, const struct shr_hash *genesis,
                           struct shrewd_error *err) {
    int code = shr_snapshots_may_start(d->config, genesis, err);
    code = code != 0 ? code
                     : open_database(d, dir, SHREWD_CREATE, genesis, d->config->start_block, err);
    if (code == 0) {
        shr_info("state", "made a new database in '%s'", dir);
    }
    return code;
}

/* Begins a new database with the snapshot of --repo. */
static int restore_repo(struct shr_daemon *d, const char *dir, const struct shr_hash *genesis,
                        struct shrewd_error *err) {
    struct shr_snap_summary done;
    int code = shr_snapshot_fetch(&done, d->config, dir, d->config->repo, genesis, d->stop, err);
    bool unreachable = code == SHREWD_NOT_FOUND || code == SHREWD_NODE || code == SHREWD_NODE_BUSY;
    if (code == 0) {
        shr_info("snapshot", "restored '%s': %zu part%s, up to block %" PRIu32, d->config->repo,
                 done.parts, done.parts == 1 ? "" : "s", done.height);
        code = open_database(d, dir, 0, NULL, 0, err);
    } else if (unreachable && shr_snap_begun(dir)) {
        shr_fail_in(err, code,
                    "--repo: what is restored so far is kept in '%s.restore': start again to go "
                    "on with it, or delete it and leave --repo out to index from the start",
                    dir);
    } else if (unreachable) {
        shr_warn("snapshot", "--repo: %s: indexing from the start instead", err->message);
        return create_database(d, dir, genesis, err);
    } else if (code != SHREWD_STOPPED) {
        shr_fail_in(err, code, "--repo");
    }
    if (code == 0) {
        struct shr_identity identity;
        shr_state_identity(shr_lib_state(d->shrewd), &identity);
        d->restored = done.height - identity.start_height + 1;
    }
    return code;
}

/* The database that is there, or a new one for the source's chain. */
static int open_or_create(struct shr_daemon *d, const char *dir, struct shrewd_error *err) {
    struct shr_hash genesis;
    int code = open_database(d, dir, 0, NULL, 0, err);
    bool found = code != SHREWD_NOT_FOUND;
    if (code == 0 || !found) { /* nothing is written for a start that fails on its port */
        code = shr_server_may_listen(d->config->host, d->config->port, err);
    }
    if (code == 0 && found && d->config->accept_module) {
        code = accept_module(d, dir, err);
    }
    if (code != 0 || found) {
        return code;
    }
    code = open_source(d, err);
    if (code == 0) {
        code = shr_source_genesis(d->source, &genesis, err);
    }
    if (code == 0 && d->config->repo != NULL) {
        return restore_repo(d, dir, &genesis, err);
    }
    return code != 0 ? code : create_database(d, dir, &genesis, err);
}

static int check_start(struct shr_daemon *d, const char *dir, struct shrewd_error *err) {
    struct shrewd_info info;
    uint32_t wanted = d->config->start_block;
    int code = shrewd_info(d->shrewd, &info, err);
    if (code == 0 && wanted != 0 && wanted != info.start_height) {
        code = shr_fail(err, SHREWD_MISMATCH,
                        "'%s' was started at block %" PRIu32 ", not at --start-block %" PRIu32
                        ": leave --start-block out, or give another --db-path",
                        dir, info.start_height, wanted);
    }
    return code;
}

static int check_chain(struct shr_daemon *d, struct shrewd_error *err) {
    struct shrewd_info info;
    struct shr_hash theirs;
    struct shr_hash ours;
    char ours_hex[SHR_HASH_HEX_LEN + 1];
    char theirs_hex[SHR_HASH_HEX_LEN + 1];
    int code = shr_source_genesis(d->source, &theirs, err);
    if (code == 0) {
        code = shrewd_info(d->shrewd, &info, err);
    }
    if (code != 0) {
        return code;
    }
    memcpy(ours.b, info.genesis, 32);
    if (shr_hash_eq(&ours, &theirs)) {
        return 0;
    }
    shr_hash_hex(ours_hex, &ours);
    shr_hash_hex(theirs_hex, &theirs);
    return shr_fail(err, SHREWD_MISMATCH,
                    "the database is of the chain with genesis block %s, the node of another one "
                    "(%s): use the node of that chain, or another --db-path",
                    ours_hex, theirs_hex);
}

static void on_tip(void *ctx) {
    struct shr_daemon *d = ctx;
    shr_views_on_tip(shr_lib_views(d->shrewd));
    shr_snapshots_on_tip(d->snapshots);
}

static void *index_main(void *arg) {
    /* In the order of the flag's words. */
    static const enum shr_fsync fsyncs[] = {SHR_FSYNC_ALWAYS, SHR_FSYNC_TIP, SHR_FSYNC_NEVER};
    struct shr_daemon *d = arg;
    shr_name_thread("index");
    struct shr_follow_options options = {
        .max_reorg_depth = d->config->max_reorg_depth,
        .exit_at = d->config->exit_at,
        .near_tip = d->config->reorg_check_threshold,
        .prune = d->config->prune,
        .fsync = fsyncs[d->config->fsync],
        .wait_for_space = true,
        .pending_bytes = (size_t)d->config->pending_mb << 20,
        .feed = {.blocks_max = d->config->prefetch_blocks,
                 .bytes_max = (size_t)d->config->prefetch_mb << 20},
        .on_tip = on_tip,
        .on_tip_ctx = d,
        .progress_bar = isatty(STDERR_FILENO) && shr_log_get_level() <= SHR_LOG_INFO,
    };
    int code = open_source(d, &d->error);
    if (code == 0) {
        code = check_chain(d, &d->error);
    }
    if (code == 0) {
        shr_info("node", "blocks come from %s", d->source->ops->name);
        shr_state_set_load_min(shr_lib_state(d->shrewd), d->config->load_pairs);
        code = shr_follow(shr_lib_state(d->shrewd), shr_lib_module(d->shrewd), d->source, &options,
                          &d->progress, &d->error);
    }
    if (code == SHREWD_LIMIT) { /* the module's, on a block: it would be so at each start */
        code = d->error.code = SHREWD_GUEST;
    }
    d->code = code == SHREWD_STOPPED ? 0 : code;
    shr_stop_request(&d->finished);
    return NULL;
}

static void sync_status(void *ctx, struct shr_server_sync *out) {
    struct shr_daemon *d = ctx;
    bool finished = shr_stopped(&d->finished);
    *out = (struct shr_server_sync){
        .running = !finished || d->code == 0,
        .at_tip = atomic_load(&d->progress.at_tip),
        .has_node_tip = atomic_load(&d->progress.has_node_tip),
        .node_tip = atomic_load(&d->progress.node_tip),
        .blocks = atomic_load(&d->progress.blocks),
        .bytes = atomic_load(&d->progress.bytes),
        .guest_ns = atomic_load(&d->progress.guest_ns),
        .apply_ns = atomic_load(&d->progress.commit.busy_ns),
        .wait_ns = atomic_load(&d->progress.wait_ns),
        .pruned_rows = atomic_load(&d->progress.prune.rows),
        .reorgs = atomic_load(&d->progress.reorgs),
        .reorg_blocks = atomic_load(&d->progress.reorg_blocks),
        .snapshots = d->snapshots != NULL,
        .snapshot_height = shr_snapshots_height(d->snapshots),
        .restored = d->restored,
    };
    shr_progress_stages(&d->progress, out->stages);
    out->ready_blocks = atomic_load(&d->progress.feed.blocks_ready);
    out->ready_bytes = atomic_load(&d->progress.feed.bytes_ready);
    out->pending_blocks = atomic_load(&d->progress.commit.blocks_waiting);
    out->pending_bytes = atomic_load(&d->progress.commit.bytes_waiting);
    out->commits = atomic_load(&d->progress.commit.writes);
    uint64_t silent_since = atomic_load(&d->progress.node_silent_since_ms);
    if (silent_since != 0 && !finished) {
        out->node_silent_s = (uint32_t)((shr_now_ms() - silent_since) / 1000);
    }
    struct shrewd_error trouble;
    if (finished && d->code != 0) {
        snprintf(out->error, sizeof out->error, "%.511s", d->error.message);
    } else if (shr_progress_trouble(&d->progress, &trouble)) {
        snprintf(out->error, sizeof out->error, "%.511s", trouble.message);
    } else if (out->node_silent_s >= NODE_SILENT_S) {
        snprintf(out->error, sizeof out->error,
                 "the node has not answered for %" PRIu32 " s; the log says why",
                 out->node_silent_s);
    }
}

static int start_server(struct shr_daemon *d, struct shrewd_error *err) {
    const struct shr_config *config = d->config;
    struct shr_server_options options = {
        .host = config->host,
        .port = config->port,
        .cors = config->cors,
        .workers = config->view_concurrency,
        .queue_max = config->view_queue,
        .sync = sync_status,
        .sync_ctx = d,
    };
    int code = shr_server_start(&d->server, d->shrewd, &options, err);
    if (code == 0) {
        shr_info("rpc", "listening on http://%s:%u",
                 config->host == NULL ? "127.0.0.1" : config->host, shr_server_port(d->server));
    }
    return code;
}

static int start_thread(struct shr_daemon *d, struct shrewd_error *err) {
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, SHR_GUEST_THREAD_STACK);
    int bad = pthread_create(&d->thread, &attr, index_main, d);
    pthread_attr_destroy(&attr);
    d->threaded = bad == 0;
    return bad == 0 ? 0
                    : shr_fail(err, SHREWD_NO_MEMORY, "cannot start the indexing thread: %s",
                               strerror(bad));
}

static void log_start(struct shr_daemon *d, const char *dir) {
    char hash[2 * 32 + 1];
    struct shr_block_record tip;
    shr_hex_write(hash, shr_bytes(shr_module_hash(shr_lib_module(d->shrewd))->b, 32));
    shr_info("state", "shrewd %s, module %s (SHA-256 %s), database '%s'", SHREWD_VERSION,
             d->config->indexer, hash, dir);
    if (d->config->write_buffer_mb != 0) { /* else this command has no budget */
        shr_config_log_memory(d->config);
    }
    if (shr_state_tip(shr_lib_state(d->shrewd), &tip, NULL) == 0) {
        shr_info("state", "indexed up to block %" PRIu32, tip.height);
        atomic_store(&d->progress.tip, tip.height);
        atomic_store(&d->progress.has_tip, true);
    }
}

int shr_daemon_start(struct shr_daemon *d, const struct shr_config *config,
                     struct shr_source *source, struct shr_stop *stop, struct shrewd_error *err) {
    memset(d, 0, sizeof *d);
    d->config = config;
    d->stop = stop;
    d->source = source;
    char *dir = shr_config_db_dir(config);
    int code = 0;
    if (shr_stop_init(&d->finished) != 0) {
        code = shr_fail_errno(err, SHREWD_IO, "cannot make an eventfd");
    }
    if (code == 0) {
        code = open_or_create(d, dir, err);
    }
    if (code == 0) {
        code = check_start(d, dir, err);
    }
    if (code == 0 && config->snapshot_directory != NULL) {
        code =
            shr_snapshots_start(&d->snapshots, shr_lib_state(d->shrewd), config->snapshot_directory,
                                config->snapshot_interval, stop, err);
    }
    if (code == 0) {
        log_start(d, dir);
        code = start_server(d, err);
    }
    if (code == 0) {
        code = start_thread(d, err);
    }
    if (code != 0) {
        shr_daemon_stop(d);
    }
    free(dir);
    return code;
}

void shr_daemon_wait(struct shr_daemon *d) {
    struct pollfd fds[2] = {
        {.fd = d->stop->fd, .events = POLLIN},
        {.fd = d->finished.fd, .events = POLLIN},
    };
    while (!shr_stopped(d->stop) && !shr_stopped(&d->finished)) {
        poll(fds, 2, -1);
    }
}

/* True when the indexing thread ended in time. */
static bool join_index(struct shr_daemon *d) {
    if (!d->threaded) {
        return true;
    }
    shr_stop_request(d->stop);
    struct pollfd ended = {.fd = d->finished.fd, .events = POLLIN};
    uint64_t until = shr_now_ns() + STOP_INDEX_MS * UINT64_C(1000000);
    while (!shr_stopped(&d->finished)) {
        uint64_t now = shr_now_ns();
        if (now >= until) {
            return false;
        }
        poll(&ended, 1, (int)((until - now) / 1000000) + 1);
    }
    return pthread_join(d->thread, NULL) == 0;
}

bool shr_daemon_stop(struct shr_daemon *d) {
    bool server_ended = d->server == NULL || shr_server_stop(d->server, STOP_SERVER_MS);
    bool index_ended = join_index(d);
    if (!index_ended) {
        shr_warn("index", "stopped inside block %" PRIu32 ": the block was dropped whole",
                 atomic_load(&d->progress.has_tip) ? atomic_load(&d->progress.tip) + 1 : 0);
    }
    if (!server_ended || !index_ended) {
        return false;
    }
    shr_stop_request(d->stop);
    shr_snapshots_stop(d->snapshots);
    shrewd_close(d->shrewd);
    shr_source_close(d->source);
    shr_stop_deinit(&d->finished);
    return true;
}
