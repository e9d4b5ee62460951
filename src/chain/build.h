/* build.h: writing transactions and blocks: for the networks' genesis blocks, the generated demo
 * chain, tests and benches. Pure but for the buffers they append to; any thread.
 *
 * Sources: Bitcoin's wire format, BIP 34 (height in the coinbase), BIP 141 (witness commitment),
 * BIP 144 (witness serialisation). */
#ifndef SHR_CHAIN_BUILD_H
#define SHR_CHAIN_BUILD_H

#include "chain/block.h"

#define SHR_REGTEST_BITS 0x207fffffu

struct shr_build_input {
    struct shr_outpoint spends;
    struct shr_bytes script;
    uint32_t sequence;
    const struct shr_bytes *witness; /* its stack's items, bottom first */
    size_t n_witness;
};

struct shr_build_output {
    uint64_t value_sats;
    struct shr_bytes script;
};

struct shr_build_tx {
    int32_t version;
    uint32_t lock_time;
    const struct shr_build_input *inputs;
    size_t n_inputs;
    const struct shr_build_output *outputs;
    size_t n_outputs;
};

struct shr_build_block {
    int32_t version;
    struct shr_hash prev;
    uint32_t time;
    uint32_t bits;
    uint32_t nonce;         /* where mining starts */
    uint32_t height;        /* BIP 34; at least 1 */
    struct shr_bytes extra; /* pushed after the height in the coinbase; at most 75 bytes */
    const struct shr_build_output *outputs; /* the coinbase's, without the commitment */
    size_t n_outputs;
    const struct shr_bytes *txs; /* serialised, without the coinbase */
    size_t n_txs;
};

void shr_write_compact_size(struct shr_buf *out, uint64_t value);
/* A script's instruction that pushes the bytes (at most 65535); never the OP_1.. short forms. */
void shr_write_push(struct shr_buf *out, struct shr_bytes bytes);
/* BIP 34's push of a height, as Bitcoin Core writes it (OP_1 to OP_16 for 1 to 16). */
void shr_write_height_push(struct shr_buf *out, uint32_t height);

/* Appends the transaction, with the witness form when an input has a witness. Returns its weight
 * (BIP 141). */
size_t shr_write_tx(struct shr_buf *out, const struct shr_build_tx *tx);
void shr_write_header(struct shr_buf *out, const struct shr_header *header);
/* Tries nonces, upwards from the one in the 80 bytes, until the proof of work fits; false when all
 * of them fail. Meant for regtest's bits, where every second hash will do. */
bool shr_mine_header(uint8_t header[SHR_HEADER_SIZE]);
/* Appends a block that shr_block_check takes: coinbase (with the witness commitment when a
 * transaction has a witness), merkle root, mined header. *hash may be NULL. SHREWD_BAD_BLOCK when
 * a transaction does not parse, or no nonce fits; nothing is appended then. */
int shr_write_block(struct shr_buf *out, struct shr_hash *hash, const struct shr_build_block *block,
                    struct shrewd_error *err);

#endif
