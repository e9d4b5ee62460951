/* network.h: the Bitcoin networks shrewd knows by name. Source: Bitcoin Core, chainparams. */
#ifndef SHR_CHAIN_NETWORK_H
#define SHR_CHAIN_NETWORK_H

#include "chain/hash.h"

struct shr_network {
    const char *name; /* main, test, testnet4, signet, regtest: as in getblockchaininfo */
    uint8_t magic[4]; /* the first bytes of each record in a block file */
    struct shr_hash genesis_hash;
};

/* NULL when unknown. Static storage. Any thread. */
const struct shr_network *shr_network_by_magic(const uint8_t magic[4]);
const struct shr_network *shr_network_by_name(const char *name);
const struct shr_network *shr_network_by_genesis(const struct shr_hash *hash);
/* Appends the genesis block as it is on the wire. `network` comes from one of the above. */
void shr_network_genesis(struct shr_buf *out, const struct shr_network *network);

#endif
