/* generated.h: a source that makes its own chain: for the demo, tests and benches without a node.
 *
 * A valid chain at regtest's difficulty on regtest's genesis block, as far as anything but a
 * script interpreter can tell: amounts, fees, coinbase maturity, subsidy halving every 150
 * blocks, spends of earlier outputs (of the same block too), witness commitments. Signatures,
 * keys and the hashes that scripts name are made up. The same options give the same bytes on
 * every machine. Blocks are made when the source is opened, and held in memory.
 */
#ifndef SHR_NODE_GENERATED_H
#define SHR_NODE_GENERATED_H

#include "node/source.h"

struct shr_generated_options {
    uint64_t seed;
    uint32_t blocks;        /* after the genesis block; 0 means 300, at most 100000 */
    uint32_t txs_per_block; /* at most, the coinbase apart; 0 means 50, at most 10000. Fewer where
                               the block is full or too few coins have matured: none up to
                               height 100. */
    uint32_t scripts;       /* how many addresses are paid; 0 means 400, at most 1000000 */
};

/* Copies the options (NULL: all defaults). SHREWD_INVALID, or SHREWD_STOPPED. */
int shr_generated_open(struct shr_source **out, struct shr_stop *stop,
                       const struct shr_generated_options *options, struct shrewd_error *err);

/* What the source knows of the unspent outputs after its last block, by the rules of Bitcoin
 * Core's set of them: an output whose script begins with OP_RETURN (0x6a) or is longer than 10000
 * bytes does not count, nor does the genesis block's; every other does, of value 0 too. */
struct shr_generated_totals {
    uint64_t n_utxos;
    uint64_t total_sats;
    uint64_t n_scripts; /* that hold at least one of them */
    uint64_t n_txs;     /* of all blocks, coinbases and the genesis block's included */
    uint64_t bytes;     /* of all blocks */
};

/* `source` comes from shr_generated_open; anything else is a bug and ends the process. */
void shr_generated_totals(struct shr_source *source, struct shr_generated_totals *out);
/* Visits each script that holds an unspent output, once, in an order that the options fix. The
 * bytes live as long as the source; false ends the walk. */
typedef bool shr_generated_visit(void *ctx, struct shr_bytes script, uint64_t balance_sats,
                                 uint64_t n_utxos);
void shr_generated_each_script(struct shr_source *source, shr_generated_visit *visit, void *ctx);

#endif
