/* The source over a node and block files that hold some of its blocks: the node says which chain
 * is best, and a block is read from the files where they have it. So the files feed for as long as
 * their chain is the node's, the node from there on, and a reorg may go back over that place. */
#include "node/source.h"

#include "base/alloc.h"
#include "base/log.h"

#include <pthread.h>
#include <stdlib.h>

/* Files with so many bad blocks are not read any more. */
#define REFUSED_MAX 64u

struct handover {
    struct shr_source base; /* first */
    struct shr_source_ops ops;
    char *name;
    struct shr_source *node;
    struct shr_source *files;
    _Atomic bool over;    /* the node has given a block: said in the log once */
    pthread_mutex_t lock; /* over `refused` */
    _Atomic size_t refused_n;
    struct shr_hash refused[REFUSED_MAX];
};

static struct handover *self(struct shr_source *source) {
    return (struct handover *)source;
}

/* The node counts; who holds this source looks here. */
static int counted(struct handover *h, int code) {
    atomic_store_explicit(&h->base.requests, atomic_load(&h->node->requests), memory_order_relaxed);
    atomic_store_explicit(&h->base.retries, atomic_load(&h->node->retries), memory_order_relaxed);
    return code;
}

static int handover_tip(struct shr_source *source, struct shr_tip *out, struct shrewd_error *err) {
    struct handover *h = self(source);
    return counted(h, shr_source_tip(h->node, out, err));
}

static int handover_hash_at(struct shr_source *source, struct shr_hash *out, uint32_t height,
                            struct shrewd_error *err) {
    struct handover *h = self(source);
    return counted(h, shr_source_hash_at(h->node, out, height, err));
}

static void refuse(struct handover *h, const struct shr_hash *hash, const char *why) {
    char hex[SHR_HASH_HEX_LEN + 1];
    shr_hash_hex(hex, hash);
    pthread_mutex_lock(&h->lock);
    if (h->refused_n < REFUSED_MAX) {
        h->refused[h->refused_n] = *hash;
        atomic_fetch_add(&h->refused_n, 1);
    }
    pthread_mutex_unlock(&h->lock);
    shr_warn("files", "block %s is taken from the node: %s", hex, why);
}

static void handover_refuse(struct shr_source *source, const struct shr_hash *hash) {
    struct handover *h = self(source);
    if (shr_files_hold(h->files, hash)) {
        refuse(h, hash, "what the files hold does not check");
    }
}

/* Whether the files are to be asked for it. */
static bool in_files(struct handover *h, const struct shr_hash *hash) {
    size_t n = atomic_load(&h->refused_n);
    bool yes = n < REFUSED_MAX && shr_files_hold(h->files, hash);
    if (yes && n > 0) {
        pthread_mutex_lock(&h->lock);
        for (size_t i = 0; i < h->refused_n && yes; i++) {
            yes = !shr_hash_eq(&h->refused[i], hash);
        }
        pthread_mutex_unlock(&h->lock);
    }
    return yes;
}

static bool read_files(struct handover *h, struct shr_buf *out, const struct shr_hash *hash) {
    struct shrewd_error why = {0};
    if (shr_source_block(h->files, out, hash, &why) == 0) {
        return true;
    }
    refuse(h, hash, why.message);
    return false;
}

static void say_over(struct handover *h, const struct shr_hash *hash) {
    if (!atomic_exchange(&h->over, true)) {
        char hex[SHR_HASH_HEX_LEN + 1];
        shr_hash_hex(hex, hash);
        shr_info("files", "block %s and what else the files do not hold come from the node (%s)",
                 hex, h->node->ops->name);
    }
}

static int handover_block(struct shr_source *source, struct shr_buf *out,
                          const struct shr_hash *hash, struct shrewd_error *err) {
    struct handover *h = self(source);
    if (in_files(h, hash) && read_files(h, out, hash)) {
        return 0;
    }
    say_over(h, hash);
    return counted(h, shr_source_block(h->node, out, hash, err));
}

static int handover_blocks(struct shr_source *source, unsigned lane, struct shr_buf *out,
                           const struct shr_hash *hashes, size_t n, struct shrewd_error *err) {
    struct handover *h = self(source);
    int code = 0;
    for (size_t i = 0; i < n && code == 0;) {
        size_t run = 0;
        if (in_files(h, &hashes[i]) && read_files(h, &out[i], &hashes[i])) {
            i++;
            continue;
        }
        do {
            run++;
        } while (i + run < n && !in_files(h, &hashes[i + run]));
        say_over(h, &hashes[i]);
        code = h->node->ops->blocks(h->node, lane, out + i, hashes + i, run, err);
        i += run;
    }
    return counted(h, code);
}

static int handover_wait(struct shr_source *source, uint32_t ms, struct shrewd_error *err) {
    struct handover *h = self(source);
    return counted(h, shr_source_wait(h->node, ms, err));
}

static int handover_genesis(struct shr_source *source, struct shr_hash *out,
                            struct shrewd_error *err) {
    return shr_source_genesis(self(source)->node, out, err);
}

static void handover_close(struct shr_source *source) {
    struct handover *h = self(source);
    shr_source_close(h->files);
    shr_source_close(h->node);
    pthread_mutex_destroy(&h->lock);
    free(h->name);
    free(h);
}

static void handover_wake(struct shr_source *source) {
    struct shr_source *node = self(source)->node;
    node->ops->wake(node);
}

static void handover_halt(struct shr_source *source, bool on) {
    struct shr_source *node = self(source)->node;
    node->ops->halt(node, on);
}

int shr_handover_open(struct shr_source **out, struct shr_source *node, struct shr_source *files,
                      struct shrewd_error *err) {
    struct shr_hash of_node;
    struct shr_hash of_files;
    int code = shr_source_genesis(node, &of_node, err);
    if (code == 0) {
        code = shr_source_genesis(files, &of_files, err);
    }
    if (code == 0 && !shr_hash_eq(&of_node, &of_files)) {
        code = shr_fail(err, SHREWD_MISMATCH,
                        "the block files are of another chain than the node: give --blocks the "
                        "files of that node's chain, or only one of --blocks and --daemon-rpc-url");
    }
    if (code != 0) {
        return code;
    }
    struct handover *h = shr_alloc(sizeof *h);
    h->name = shr_asprintf("files, then %s", node->ops->name);
    h->ops = (struct shr_source_ops){
        .tip = handover_tip,
        .hash_at = handover_hash_at,
        .block = handover_block,
        .blocks = handover_blocks,
        .refuse = handover_refuse,
        .wait = handover_wait,
        .genesis = handover_genesis,
        .close = handover_close,
        .wake = handover_wake,
        .halt = handover_halt,
        .lanes = node->ops->lanes,
        .name = h->name,
    };
    h->base = (struct shr_source){.ops = &h->ops, .stop = node->stop};
    h->node = node;
    h->files = files;
    pthread_mutex_init(&h->lock, NULL);
    *out = &h->base;
    return 0;
}
