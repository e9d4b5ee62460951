/* source.h: where blocks come from. One interface over a Bitcoin node (RPC, REST, ZMQ), block
 * files, and the generated demo chain.
 *
 * Every call that talks to the outside retries whatever can pass (refused, timeout, 5xx,
 * "warming up") with backoff and jitter until it succeeds or `stop` is requested
 * (SHREWD_STOPPED), and says so in the log once, then every 30 s. What cannot pass (401, not a
 * Bitcoin node, an unreadable file) returns SHREWD_NODE or SHREWD_IO with what to do.
 *
 * Threads: the calls of one source, but blocks(), are serialised by the source itself; any thread
 * may call.
 * Blocks are handed out unchecked: the feed (feed.h) checks them.
 */
#ifndef SHR_NODE_SOURCE_H
#define SHR_NODE_SOURCE_H

#include "base/stop.h"
#include "chain/block.h"

struct shr_tip {
    uint32_t height;
    struct shr_hash hash;
};

struct shr_source {
    const struct shr_source_ops *ops;
    struct shr_stop *stop; /* borrowed; outlives the source */
    /* Sent to the outside so far, and sent again since the first failed. Any thread. */
    _Atomic uint64_t requests;
    _Atomic uint64_t retries;
};

struct shr_source_ops {
    /* The best chain's tip. SHREWD_NOT_FOUND when there is no block at all. */
    int (*tip)(struct shr_source *, struct shr_tip *out, struct shrewd_error *);
    /* The best chain's hash at a height. SHREWD_NOT_FOUND above its tip (or below its first). */
    int (*hash_at)(struct shr_source *, struct shr_hash *out, uint32_t height,
                   struct shrewd_error *);
    /* Replaces `out` by the raw block. SHREWD_NOT_FOUND when the source does not hold it. */
    int (*block)(struct shr_source *, struct shr_buf *out, const struct shr_hash *hash,
                 struct shrewd_error *);
    /* Replaces out[i] by the raw block hashes[i], for all i below `n`; the same failures. Calls on
     * different lanes (below `lanes`) go on at the same time, next to all other calls; one thread
     * a lane. NULL: only block(), and one lane. */
    int (*blocks)(struct shr_source *, unsigned lane, struct shr_buf *out,
                  const struct shr_hash *hashes, size_t n, struct shrewd_error *);
    /* The block of this hash that was handed out did not check: where there is another place to
     * take it from, the next call does. Any thread. NULL: there is only one place. */
    void (*refuse)(struct shr_source *, const struct shr_hash *hash);
    /* Waits up to `ms`, returning early when the tip may have changed. */
    int (*wait)(struct shr_source *, uint32_t ms, struct shrewd_error *);
    /* The chain's genesis hash: what the database is bound to. */
    int (*genesis)(struct shr_source *, struct shr_hash *out, struct shrewd_error *);
    void (*close)(struct shr_source *); /* frees the source */
    /* Makes the wait in hand, or the next one, return early. NULL: waits are short anyway. */
    void (*wake)(struct shr_source *);
    /* While on, every call returns SHREWD_STOPPED at once instead of waiting or retrying: how
     * the feed ends its thread when no stop was requested. NULL: calls never take long. */
    void (*halt)(struct shr_source *, bool on);
    unsigned lanes; /* 0 means 1 */
    /* True when no block can ever follow the present tip (files, generated chains). */
    bool finite;
    const char *name; /* "rpc", "rest", "files", "generated": for the log and `status` */
};

#define shr_source_tip(s, out, err) ((s)->ops->tip((s), (out), (err)))
#define shr_source_hash_at(s, out, height, err) ((s)->ops->hash_at((s), (out), (height), (err)))
#define shr_source_block(s, out, hash, err) ((s)->ops->block((s), (out), (hash), (err)))
#define shr_source_wait(s, ms, err) ((s)->ops->wait((s), (ms), (err)))
#define shr_source_genesis(s, out, err) ((s)->ops->genesis((s), (out), (err)))
static inline void shr_source_close(struct shr_source *source) {
    if (source != NULL) {
        source->ops->close(source);
    }
}

struct shr_node_options {
    const char *url;         /* http[s]://[user:pass@]host:port[/path], or host:port; node/url.h */
    const char *auth;        /* "user:pass", or NULL; wins over the URL's, that over the cookie */
    const char *cookie_file; /* the node's .cookie, read again after each 401; or NULL */
    const char *zmq;         /* e.g. tcp://127.0.0.1:28332 for hashblock, or NULL: poll */
    uint32_t poll_ms;        /* how often to ask for the tip; 0 means 1000 */
    /* How long a request may go on under 1 KB/s; four times that under 4 KB/s. 0 means 30000. */
    uint32_t timeout_ms;
    /* NULL, or where to say when the first request failed that the node has not answered since
     * (shr_now_ms); 0: it answers. Outlives the source. */
    _Atomic uint64_t *silent_since_ms;
};

/* A node. Asks it once who it is (getblockchaininfo) and whether it offers REST; retries that
 * until `stop`. Copies the options. SSH-tunnelled URLs give SHREWD_UNSUPPORTED. */
int shr_node_open(struct shr_source **out, struct shr_stop *stop,
                  const struct shr_node_options *options, struct shrewd_error *err);

/* Files: a bootstrap.dat-like file (magic, length, block), one raw block, or a node's blocks/
 * folder (blk*.dat in any order, xor.dat honoured). Only the headers are kept in memory. The
 * best chain is the one with most work among the blocks found. Where the files do not begin at
 * genesis, the genesis block of the network (known by its magic) is supplied when it is the
 * parent; otherwise the first block of the best chain is taken to have height `first_height`.
 * A raw block does not name its network: regtest's bits mean regtest, all others mainnet.
 * SHREWD_IO: no block found there; SHREWD_BAD_BLOCK: a raw block that does not check. Damaged
 * places are passed over with a warning; blocks that connect to nothing are left out likewise. */
int shr_files_open(struct shr_source **out, struct shr_stop *stop, const char *path,
                   uint32_t first_height, struct shrewd_error *err);
/* Whether such a source holds a block of this hash. Any thread. */
bool shr_files_hold(const struct shr_source *files, const struct shr_hash *hash);

/* A node (shr_node_open) whose blocks are read from files (shr_files_open) where those hold them.
 * The node alone says which chain is best and where it ends. A block of the files that cannot be
 * read, or does not check, is taken from the node. Owns both on success. SHREWD_MISMATCH: they are
 * of different chains. */
int shr_handover_open(struct shr_source **out, struct shr_source *node, struct shr_source *files,
                      struct shrewd_error *err);

#endif
