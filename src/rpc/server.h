/* server.h: the HTTP server: JSON-RPC 2.0 at POST /, GET /health, GET /metrics.
 *
 * Methods, parameters, results and errors: doc/json-rpc.md; error codes: rpc/codes.h. HTTP threads
 * run no guest for longer than 8 ms: calls that do are handed to `workers` threads through a
 * bounded queue.
 */
#ifndef SHR_RPC_SERVER_H
#define SHR_RPC_SERVER_H

#include "index/follow.h"
#include "lib/lib.h"

struct shr_server;

/* What the sync side can tell, for metashrew_snapshot, /health and /metrics. */
struct shr_server_sync {
    bool running; /* indexing (or waiting at the tip), not failed or finished */
    bool at_tip;
    bool has_node_tip; /* the node has told */
    uint32_t node_tip;
    uint32_t node_silent_s; /* since when it has not answered, in seconds; 0: it does */
    uint64_t blocks;        /* applied since start */
    uint64_t bytes;
    uint64_t guest_ns, apply_ns, wait_ns;
    struct shr_stage stages[SHR_STAGE_COUNT];
    uint64_t ready_blocks, ready_bytes;     /* fetched and checked, not with the guest yet */
    uint64_t pending_blocks, pending_bytes; /* through the guest, not committed yet */
    uint64_t commits;
    uint64_t pruned_rows;
    uint64_t reorgs, reorg_blocks;
    bool snapshots;           /* one is kept growing */
    uint32_t snapshot_height; /* of the last one taken; 0 before */
    uint32_t restored;        /* blocks that came from a snapshot at this start */
    char error[512];          /* why indexing stopped, or cannot go on; "" when it can */
};

struct shr_server_options {
    const char *host;   /* NULL: 127.0.0.1 */
    uint16_t port;      /* 0: any; see shr_server_port */
    const char *cors;   /* Access-Control-Allow-Origin value, or NULL */
    size_t body_max;    /* bytes; 0: 32 MiB */
    uint32_t workers;   /* threads for views; 0: 16 */
    uint32_t queue_max; /* calls waiting for one; 0: 4096 */
    /* May be NULL: nothing is indexing. Called by any thread of the server, several at once. */
    void (*sync)(void *ctx, struct shr_server_sync *out);
    void *sync_ctx;
};

/* Listens when it returns; SHREWD_IO or SHREWD_INVALID name host and port when it cannot. Raises
 * the soft limit of open files, since each connection is one. `cors`: "*", or origins with commas
 * between. `body_max`: 1 GiB at most. Borrows `shrewd`, which must have a module. Copies the
 * options. */
int shr_server_start(struct shr_server **out, struct shrewd *shrewd,
                     const struct shr_server_options *options, struct shrewd_error *err);
/* Fails as that would, when it could not listen there now: before anything is made for it. Nobody
 * can connect meanwhile. `host` as in the options. */
int shr_server_may_listen(const char *host, uint16_t port, struct shrewd_error *err);
uint16_t shr_server_port(const struct shr_server *server);
/* Answers what is in hand, then ends. `ms` at most; false when a call was still running then (the
 * server is not freed: its thread still uses it; the process must end, or stop it again later). */
bool shr_server_stop(struct shr_server *server, uint32_t ms);

#endif
