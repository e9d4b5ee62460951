/* generated_chain.h: making the generated chain's blocks one after the other. One thread. */
#ifndef SHR_NODE_GENERATED_CHAIN_H
#define SHR_NODE_GENERATED_CHAIN_H

#include "node/generated_wallet.h"

/* An output that can be spent. */
struct shr_coin {
    struct shr_outpoint at;
    uint64_t value_sats;
    uint32_t script; /* number in the wallet */
    uint32_t height; /* from which on it can be spent */
};

struct shr_coins {
    struct shr_coin *items;
    size_t n;
    size_t cap;
};

struct shr_maker {
    struct shr_wallet wallet; /* with the balances after the last block */
    struct shr_rng rng;
    struct shr_coins coins;    /* can be spent now */
    struct shr_coins immature; /* coinbases, lowest first */
    size_t n_matured;          /* how many of these have become coins */
    uint32_t txs_max;          /* in one block, the coinbase apart */
    uint64_t n_txs;            /* so far */
};

void shr_maker_init(struct shr_maker *maker, uint64_t seed, uint32_t n_scripts, uint32_t txs_max);
void shr_maker_deinit(struct shr_maker *maker);
/* Appends the block of this height (1, 2, ...) on `prev`, and writes its hash. */
int shr_maker_block(struct shr_buf *out, struct shr_hash *hash, struct shr_maker *maker,
                    uint32_t height, const struct shr_hash *prev, struct shrewd_error *err);

#endif
