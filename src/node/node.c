#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "node/ahead.h"
#include "node/rest.h"
#include "node/rpc.h"
#include "node/zmq.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define DEFAULT_POLL_MS 1000u
/* With ZMQ, polling only covers for an endpoint that went silent. */
#define ZMQ_POLL_FACTOR 5u
/* Hashes learnt ahead are used unasked for so long at most. */
#define AHEAD_TRUST_MS 1000u
/* A service that is no Bitcoin node should be told so, not asked for ever. */
#define GARBLED_MAX_AT_OPEN 5u
/* Connections that fetch blocks, next to the one that asks all else. */
#define LANES 4u
/* A node that refuses so many batches of blocks in a row will go on to. */
#define BATCHES_REFUSED_MAX 3u

/* One connection of those that fetch blocks; its thread's alone. */
struct lane {
    struct shr_link link;
    struct shr_rpc rpc;
    struct shr_rest rest;
    unsigned batches_refused; /* in a row */
};

struct node {
    struct shr_source source; /* first: what callers hold */
    struct shr_halt halt;
    int wake_bell; /* rung by wake() */
    uint32_t poll_ms;
    struct shr_retry_voice voice;
    struct lane lanes[LANES];
    _Atomic bool has_rest;
    struct shr_zmq *zmq;       /* used by whoever holds wait_lock */
    pthread_mutex_t wait_lock; /* taken before `lock` */
    pthread_mutex_t lock;      /* everything below */
    struct shr_link link;
    struct shr_rpc rpc;
    struct shr_rest rest;
    struct shr_hash genesis;
    struct shr_tip tip; /* as last seen; the height may lag behind the hash */
    uint32_t tip_told;  /* its height, by the last answer that named it */
    uint64_t tip_asked_ms;
    uint64_t tip_changes;        /* seen so far, by any call */
    uint64_t tip_changes_waited; /* of those, told to a caller of wait() */
    struct shr_ahead ahead;
};

static struct node *node_of(struct shr_source *source) {
    return (struct node *)source;
}

/* With the lock held, as all functions up to the ops. */
static void note_best(struct node *node, const struct shr_hash *best) {
    node->tip_asked_ms = shr_now_ms();
    if (!shr_hash_eq(&node->tip.hash, best)) {
        node->tip.hash = *best;
        node->tip_changes++;
    }
}

static int ask_best(struct node *node, struct shrewd_error *err) {
    struct shr_hash best;
    int code = shr_rpc_best(&node->rpc, &best, err);
    if (code == 0) {
        note_best(node, &best);
    }
    return code;
}

static int ask_tip(struct node *node, struct shrewd_error *err) {
    struct shr_tip tip;
    int code = shr_rpc_tip(&node->rpc, &tip, err);
    if (code == 0) {
        if (tip.height < node->tip_told) {
            shr_warn("node", "%s: its tip went back from height %u to %u", node->link.whom,
                     node->tip_told, tip.height);
        }
        note_best(node, &tip.hash);
        node->tip_told = tip.height;
        node->tip.height = tip.height;
    }
    return code;
}

/* Learns the hashes from `height` on. SHREWD_NOT_FOUND when the chain ends before it. */
static int fill_ahead(struct node *node, uint32_t height, struct shrewd_error *err) {
    struct shr_ahead *ahead = &node->ahead;
    size_t n = 0;
    size_t wanted = node->tip.height - height + 1;
    /* The tip first: should it change meanwhile, the next look at it will tell. */
    int code = ask_best(node, err);
    if (code != 0) {
        return code;
    }
    struct shr_hash best = node->tip.hash;
    if (node->has_rest) {
        code = shr_rpc_hashes(&node->rpc, ahead->hashes, &n, height, 1, err);
        if (code != 0) {
            return code;
        }
        struct shr_hash first = ahead->hashes[0];
        code = shr_rest_hashes_from(&node->rest, ahead->hashes, &n, &first,
                                    wanted < SHR_AHEAD_MAX ? wanted : SHR_AHEAD_MAX, err);
    }
    if (code == SHREWD_NOT_FOUND || n == 0) {
        code = shr_rpc_hashes(&node->rpc, ahead->hashes, &n, height,
                              wanted < SHR_RPC_HASHES_MAX ? wanted : SHR_RPC_HASHES_MAX, err);
    }
    if (code == 0) {
        shr_ahead_filled(ahead, height, n, &best, shr_now_ms());
    }
    return code;
}

/* Drops what was learnt ahead when the tip is no longer the one it was learnt under. */
static int check_ahead(struct node *node, struct shrewd_error *err) {
    struct shr_ahead *ahead = &node->ahead;
    uint64_t now = shr_now_ms();
    if (now - ahead->checked_ms >= AHEAD_TRUST_MS) {
        int code = ask_best(node, err);
        if (code != 0) {
            return code;
        }
        ahead->checked_ms = now;
    }
    if (!shr_hash_eq(&ahead->best, &node->tip.hash)) {
        shr_ahead_drop(ahead);
    }
    return 0;
}

static int hash_at(struct node *node, struct shr_hash *out, uint32_t height,
                   struct shrewd_error *err) {
    struct shr_ahead *ahead = &node->ahead;
    size_t n;
    int code = 0;
    if (!shr_ahead_ask(ahead, height)) {
        shr_ahead_drop(ahead);
        return shr_rpc_hashes(&node->rpc, out, &n, height, 1, err);
    }
    if (shr_ahead_has(ahead, height)) {
        code = check_ahead(node, err);
    }
    if (code == 0 && !shr_ahead_has(ahead, height)) {
        if (height >= node->tip.height) {
            return shr_rpc_hashes(&node->rpc, out, &n, height, 1, err);
        }
        code = fill_ahead(node, height, err);
    }
    if (code == 0) {
        shr_ahead_take(ahead, out);
    }
    return code;
}

/* On any connection. */
static int get_block(struct node *node, struct shr_rpc *rpc, struct shr_rest *rest,
                     struct shr_buf *out, const struct shr_hash *hash, struct shrewd_error *err) {
    bool has_rest = atomic_load(&node->has_rest);
    if (has_rest) {
        int code = shr_rest_block(rest, out, hash, err);
        if (code != SHREWD_NOT_FOUND) {
            return code;
        }
    }
    int code = shr_rpc_block(rpc, out, hash, err);
    if (code == 0 && has_rest && atomic_exchange(&node->has_rest, false)) {
        shr_warn("node", "%s: REST no longer answers; using JSON-RPC", node->link.whom);
    }
    return code;
}

static int op_tip(struct shr_source *source, struct shr_tip *out, struct shrewd_error *err) {
    struct node *node = node_of(source);
    pthread_mutex_lock(&node->lock);
    int code = ask_tip(node, err);
    if (code == 0) {
        *out = node->tip;
    }
    pthread_mutex_unlock(&node->lock);
    return code;
}

static int op_hash_at(struct shr_source *source, struct shr_hash *out, uint32_t height,
                      struct shrewd_error *err) {
    struct node *node = node_of(source);
    pthread_mutex_lock(&node->lock);
    int code = hash_at(node, out, height, err);
    pthread_mutex_unlock(&node->lock);
    return code;
}

static int op_block(struct shr_source *source, struct shr_buf *out, const struct shr_hash *hash,
                    struct shrewd_error *err) {
    struct node *node = node_of(source);
    pthread_mutex_lock(&node->lock);
    int code = get_block(node, &node->rpc, &node->rest, out, hash, err);
    pthread_mutex_unlock(&node->lock);
    return code;
}

static int op_blocks(struct shr_source *source, unsigned lane_number, struct shr_buf *out,
                     const struct shr_hash *hashes, size_t n, struct shrewd_error *err) {
    struct node *node = node_of(source);
    struct lane *lane = &node->lanes[lane_number];
    int code = 0;
    if (n > 1 && n <= SHR_RPC_BLOCKS_MAX && lane->batches_refused < BATCHES_REFUSED_MAX) {
        bool taken;
        code = shr_rpc_blocks(&lane->rpc, out, &taken, hashes, n, err);
        if (code != 0 || taken) {
            lane->batches_refused = 0;
            return code;
        }
        lane->batches_refused++;
    }
    for (size_t i = 0; i < n && code == 0; i++) {
        code = get_block(node, &lane->rpc, &lane->rest, &out[i], &hashes[i], err);
    }
    return code;
}

static int op_genesis(struct shr_source *source, struct shr_hash *out, struct shrewd_error *err) {
    *out = node_of(source)->genesis; /* never changes after open */
    return 0;
}

/* Sleeps up to `ms`; true when there is news: woken, or announced. */
static bool sleep_for_news(struct node *node, uint32_t ms) {
    int fds[3] = {node->source.stop->fd, node->halt.fd, node->wake_bell};
    struct pollfd bell = {.fd = node->wake_bell, .events = POLLIN};
    bool announced = false;
    if (node->zmq != NULL) {
        announced = shr_zmq_wait(node->zmq, fds, 3, ms);
    } else {
        struct pollfd all[3];
        for (int i = 0; i < 3; i++) {
            all[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
        }
        poll(all, 3, (int)ms);
    }
    if (poll(&bell, 1, 0) == 1) {
        shr_bell_hush(node->wake_bell);
        return true;
    }
    return announced;
}

/* What there is to do now for one who waits until `end_ms`: true when done; else *sleep_ms is how
 * long nothing will be. Asks the node for its tip when that is due. */
static bool wait_step(struct node *node, uint64_t end_ms, uint32_t *sleep_ms, int *code,
                      struct shrewd_error *err) {
    uint64_t interval = (uint64_t)node->poll_ms * (node->zmq == NULL ? 1 : ZMQ_POLL_FACTOR);
    pthread_mutex_lock(&node->lock);
    if (node->tip_changes == node->tip_changes_waited &&
        shr_now_ms() >= node->tip_asked_ms + interval) {
        *code = ask_best(node, err);
    }
    bool changed = node->tip_changes != node->tip_changes_waited;
    node->tip_changes_waited = node->tip_changes;
    uint64_t due_ms = node->tip_asked_ms + interval;
    pthread_mutex_unlock(&node->lock);
    uint64_t now = shr_now_ms();
    uint64_t until = due_ms < end_ms ? due_ms : end_ms;
    *sleep_ms = until > now ? (uint32_t)(until - now) : 0;
    return *code != 0 || changed || now >= end_ms;
}

static int op_wait(struct shr_source *source, uint32_t ms, struct shrewd_error *err) {
    struct node *node = node_of(source);
    uint64_t end_ms = shr_now_ms() + ms;
    int code = 0;
    if (pthread_mutex_trylock(&node->wait_lock) != 0) { /* one listens; others just sleep */
        return shr_halt_sleep(&node->halt, ms) ? shr_fail(err, SHREWD_STOPPED, "stopped") : 0;
    }
    uint32_t sleep_ms;
    while (!shr_halted(&node->halt) && !wait_step(node, end_ms, &sleep_ms, &code, err) &&
           !sleep_for_news(node, sleep_ms)) {
    }
    pthread_mutex_unlock(&node->wait_lock);
    if (code == 0 && shr_halted(&node->halt)) {
        code = shr_fail(err, SHREWD_STOPPED, "stopped while waiting for the node's next block");
    }
    return code;
}

static void op_wake(struct shr_source *source) {
    shr_bell_ring(node_of(source)->wake_bell);
}

static void op_halt(struct shr_source *source, bool on) {
    shr_halt_set(&node_of(source)->halt, on);
}

static void op_close(struct shr_source *source) {
    struct node *node = node_of(source);
    shr_zmq_close(node->zmq);
    for (unsigned i = 0; i < LANES; i++) {
        shr_rest_deinit(&node->lanes[i].rest);
        shr_rpc_deinit(&node->lanes[i].rpc);
        shr_link_close(&node->lanes[i].link);
    }
    shr_rest_deinit(&node->rest);
    shr_rpc_deinit(&node->rpc);
    shr_link_close(&node->link);
    shr_retry_voice_deinit(&node->voice);
    shr_halt_deinit(&node->halt);
    if (node->wake_bell >= 0) {
        close(node->wake_bell);
    }
    pthread_mutex_destroy(&node->wait_lock);
    pthread_mutex_destroy(&node->lock);
    free(node);
}

#define NODE_OPS(shown)                                                                            \
    {                                                                                              \
        .tip = op_tip, .hash_at = op_hash_at, .block = op_block, .blocks = op_blocks,              \
        .lanes = LANES, .wait = op_wait, .genesis = op_genesis, .close = op_close,                 \
        .wake = op_wake, .halt = op_halt, .name = (shown)                                          \
    }

static const struct shr_source_ops rpc_ops = NODE_OPS("rpc");
static const struct shr_source_ops rest_ops = NODE_OPS("rest");

/* Who is it, and what does it offer? */
static int meet(struct node *node, struct shrewd_error *err) {
    size_t n;
    node->link.garbled_max = GARBLED_MAX_AT_OPEN;
    int code = ask_tip(node, err);
    if (code == 0) {
        code = shr_rpc_hashes(&node->rpc, &node->genesis, &n, 0, 1, err);
    }
    if (code == SHREWD_NOT_FOUND) {
        code = shr_fail(err, SHREWD_NODE, "%s: has no genesis block; is this a Bitcoin node?",
                        node->link.whom);
    }
    if (code == 0) {
        bool has_rest = false;
        code = shr_rest_probe(&node->rest, &has_rest, &node->genesis, err);
        atomic_store(&node->has_rest, has_rest);
    }
    if (code != 0) {
        return code;
    }
    node->link.garbled_max = 0;
    node->link.met = true;
    node->tip_changes_waited = node->tip_changes;
    node->source.ops = node->has_rest ? &rest_ops : &rpc_ops;
    shr_info("node", "%s: height %u, blocks by %s%s", node->link.whom, node->tip.height,
             node->has_rest ? "REST" : "JSON-RPC (rest=1 on the node is faster)",
             node->zmq != NULL ? ", new tips by ZMQ" : "");
    return 0;
}

/* The connections for blocks are made when they are first used, by then to a known node. */
static int open_lanes(struct node *node, const struct shr_node_options *options,
                      struct shrewd_error *err) {
    int code = 0;
    for (unsigned i = 0; i < LANES && code == 0; i++) {
        struct lane *lane = &node->lanes[i];
        code = shr_link_open(&lane->link, &node->halt, &node->source, &node->voice, options, err);
        lane->link.met = true;
        shr_rpc_init(&lane->rpc, &lane->link);
        shr_rest_init(&lane->rest, &lane->link);
    }
    return code;
}

int shr_node_open(struct shr_source **out, struct shr_stop *stop,
                  const struct shr_node_options *options, struct shrewd_error *err) {
    struct node *node = shr_alloc(sizeof *node);
    node->source = (struct shr_source){.ops = &rpc_ops, .stop = stop};
    node->poll_ms = options->poll_ms == 0 ? DEFAULT_POLL_MS : options->poll_ms;
    pthread_mutex_init(&node->lock, NULL);
    pthread_mutex_init(&node->wait_lock, NULL);
    shr_retry_voice_init(&node->voice);
    int code = 0;
    node->wake_bell = shr_bell_open();
    if (shr_halt_init(&node->halt, stop) != 0 || node->wake_bell < 0) {
        code = shr_fail_errno(err, SHREWD_IO, "eventfd");
    }
    if (code == 0) {
        code = shr_link_open(&node->link, &node->halt, &node->source, &node->voice, options, err);
    }
    if (code == 0 && options->zmq != NULL) {
        code = shr_zmq_open(&node->zmq, options->zmq, err);
    }
    if (code == 0) {
        shr_rpc_init(&node->rpc, &node->link);
        shr_rest_init(&node->rest, &node->link);
        code = meet(node, err);
    }
    if (code == 0) {
        code = open_lanes(node, options, err);
    }
    if (code != 0) {
        op_close(&node->source);
        return code;
    }
    *out = &node->source;
    return 0;
}
