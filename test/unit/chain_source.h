/* chain_source.h: for tests: an in-memory source whose chain can be switched under its reader. */
#ifndef SHR_TEST_CHAIN_SOURCE_H
#define SHR_TEST_CHAIN_SOURCE_H

#include "base/alloc.h"
#include "chain/build.h"
#include "chain/network.h"
#include "node/source.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define CHAIN_BLOCKS_MAX 512

struct chain_source {
    struct shr_source source;
    pthread_mutex_t lock;
    struct shr_buf blocks[CHAIN_BLOCKS_MAX]; /* every block ever made; the source keeps them */
    struct shr_hash hashes[CHAIN_BLOCKS_MAX];
    unsigned n_blocks;
    unsigned best[CHAIN_BLOCKS_MAX]; /* indexes into blocks by height - first */
    uint32_t first;                  /* height of best[0] */
    uint32_t height;                 /* of the tip */
    struct shr_source_ops ops;
};

static inline int chain_tip(struct shr_source *source, struct shr_tip *out,
                            struct shrewd_error *err) {
    struct chain_source *chain = (struct chain_source *)(void *)source;
    pthread_mutex_lock(&chain->lock);
    out->height = chain->height;
    out->hash = chain->hashes[chain->best[chain->height - chain->first]];
    pthread_mutex_unlock(&chain->lock);
    return 0;
}

static inline int chain_hash_at(struct shr_source *source, struct shr_hash *out, uint32_t height,
                                struct shrewd_error *err) {
    struct chain_source *chain = (struct chain_source *)(void *)source;
    int code = SHREWD_NOT_FOUND;
    pthread_mutex_lock(&chain->lock);
    if (height >= chain->first && height <= chain->height) {
        *out = chain->hashes[chain->best[height - chain->first]];
        code = 0;
    }
    pthread_mutex_unlock(&chain->lock);
    return code;
}

static inline int chain_block(struct shr_source *source, struct shr_buf *out,
                              const struct shr_hash *hash, struct shrewd_error *err) {
    struct chain_source *chain = (struct chain_source *)(void *)source;
    int code = SHREWD_NOT_FOUND;
    pthread_mutex_lock(&chain->lock);
    for (unsigned i = 0; i < chain->n_blocks && code != 0; i++) {
        if (shr_hash_eq(&chain->hashes[i], hash)) {
            shr_buf_set(out, shr_buf_bytes(&chain->blocks[i]));
            code = 0;
        }
    }
    pthread_mutex_unlock(&chain->lock);
    return code;
}

static inline int chain_wait(struct shr_source *source, uint32_t ms, struct shrewd_error *err) {
    shr_stop_sleep(source->stop, ms < 5 ? ms : 5);
    return 0;
}

static inline int chain_genesis(struct shr_source *source, struct shr_hash *out,
                                struct shrewd_error *err) {
    *out = shr_network_by_name("regtest")->genesis_hash;
    return 0;
}

static inline void chain_close(struct shr_source *source) {
    struct chain_source *chain = (struct chain_source *)(void *)source;
    for (unsigned i = 0; i < chain->n_blocks; i++) {
        shr_buf_free(&chain->blocks[i]);
    }
    pthread_mutex_destroy(&chain->lock);
    free(chain);
}

/* Goes back to `height` on the best chain, then adds `n` blocks on another branch; `branch` makes
 * their contents differ. */
static inline void chain_extend(struct chain_source *chain, uint32_t height, unsigned n,
                                uint8_t branch) {
    pthread_mutex_lock(&chain->lock);
    for (unsigned i = 0; i < n; i++, height++) {
        static const uint8_t script[] = {0x51};
        struct shr_build_output output = {.value_sats = 50, .script = {script, sizeof script}};
        struct shr_build_block block = {
            .version = 4,
            .prev = chain->hashes[chain->best[height - chain->first]],
            .time = 1600000000u + height,
            .bits = SHR_REGTEST_BITS,
            .height = height + 1,
            .extra = {&branch, 1},
            .outputs = &output,
            .n_outputs = 1,
        };
        unsigned slot = chain->n_blocks++;
        if (slot >= CHAIN_BLOCKS_MAX ||
            shr_write_block(&chain->blocks[slot], &chain->hashes[slot], &block, NULL) != 0) {
            abort();
        }
        chain->best[height + 1 - chain->first] = slot;
    }
    chain->height = height;
    pthread_mutex_unlock(&chain->lock);
}

/* A chain of the regtest genesis block and `n` blocks on it. */
static inline struct chain_source *chain_new(struct shr_stop *stop, unsigned n, bool finite) {
    struct chain_source *chain = shr_alloc(sizeof *chain);
    chain->ops = (struct shr_source_ops){
        .tip = chain_tip,
        .hash_at = chain_hash_at,
        .block = chain_block,
        .wait = chain_wait,
        .genesis = chain_genesis,
        .close = chain_close,
        .finite = finite,
        .name = "test",
    };
    chain->source.ops = &chain->ops;
    chain->source.stop = stop;
    pthread_mutex_init(&chain->lock, NULL);
    shr_network_genesis(&chain->blocks[0], shr_network_by_name("regtest"));
    shr_header_hash(&chain->hashes[0], shr_buf_bytes(&chain->blocks[0]));
    chain->n_blocks = 1;
    chain_extend(chain, 0, n, 1);
    return chain;
}

#endif
