/* block.h: reading blocks and transactions, and checking a block before it is trusted.
 *
 * Sources: Bitcoin's wire format (headers, transactions), BIP 141 and BIP 144 (witness).
 * Nothing here allocates except where said; all views point into the caller's bytes. Every
 * function accepts any bytes and reads none outside them.
 */
#ifndef SHR_CHAIN_BLOCK_H
#define SHR_CHAIN_BLOCK_H

#include "base/error.h"
#include "chain/hash.h"

#define SHR_HEADER_SIZE 80
/* The most bytes a block may have: 4 million weight units, serialised. */
#define SHR_BLOCK_SIZE_MAX 4000000u

struct shr_header {
    int32_t version;
    struct shr_hash prev;
    struct shr_hash merkle_root;
    uint32_t time;
    uint32_t bits;
    uint32_t nonce;
};

struct shr_outpoint {
    struct shr_hash txid;
    uint32_t index;
};

struct shr_input {
    struct shr_outpoint spends;
    struct shr_bytes script;
    uint32_t sequence;
};

struct shr_output {
    uint64_t value_sats;
    struct shr_bytes script;
};

struct shr_tx {
    struct shr_bytes raw;     /* the whole transaction, witness included */
    struct shr_bytes inputs;  /* serialised inputs, without their count */
    struct shr_bytes outputs; /* serialised outputs, without their count */
    uint64_t n_inputs;
    uint64_t n_outputs;
    int32_t version;
    uint32_t lock_time;
    bool has_witness;
};

/* A place in bytes being read. A failed read leaves it unchanged. */
struct shr_reader_pos {
    struct shr_bytes left;
};

/* Fails with SHREWD_BAD_BLOCK when fewer than 80 bytes are given. */
int shr_header_parse(struct shr_header *out, struct shr_bytes bytes, struct shrewd_error *err);
/* The block hash: double SHA-256 of the first 80 bytes. len >= 80 is the caller's duty. */
void shr_header_hash(struct shr_hash *out, struct shr_bytes bytes);
/* True when `hash` as a number is at most the target that compact `bits` encodes, and the
 * target is positive and does not overflow. */
bool shr_pow_ok(const struct shr_hash *hash, uint32_t bits);

/* Bitcoin's CompactSize; non-canonical encodings and values over 2^32 - 1 are refused
 * (false). */
bool shr_read_compact_size(struct shr_reader_pos *pos, uint64_t *out);
/* Reads one transaction, advancing `pos`. One without inputs or outputs, with an unknown flag or
 * with a witness that is empty throughout is refused: SHREWD_BAD_BLOCK says what is wrong. */
int shr_read_tx(struct shr_reader_pos *pos, struct shr_tx *out, struct shrewd_error *err);
/* The transaction id (without witness). */
void shr_tx_id(struct shr_hash *out, const struct shr_tx *tx);
/* The hash of the transaction with its witness (BIP 141); its id when it has none. */
void shr_tx_wtxid(struct shr_hash *out, const struct shr_tx *tx);
/* True when its only input spends nothing: the outpoint of zeros and index 2^32 - 1. */
bool shr_tx_is_coinbase(const struct shr_tx *tx);
/* Read a transaction's inputs and outputs one by one from `inputs` or `outputs`; false at the
 * end. */
bool shr_read_input(struct shr_reader_pos *pos, struct shr_input *out);
bool shr_read_output(struct shr_reader_pos *pos, struct shr_output *out);
/* What the coinbase commits to as its block's witnesses (BIP 141); false when it has none. */
bool shr_witness_commitment(struct shr_hash *out, const struct shr_tx *coinbase);

/* Starts reading a block's transactions: sets `pos` after the count. */
int shr_block_open(struct shr_reader_pos *pos, uint64_t *n_txs, struct shr_bytes block,
                   struct shrewd_error *err);

/* What a block must be before it is applied: it hashes to `want` (NULL: any), its proof of
 * work meets its own target, its transactions parse to the last byte, the first and only the
 * first is a coinbase, the merkle root fits without repeated transactions (CVE-2012-2459), and
 * where there is any witness, the coinbase's commitment fits (BIP 141: the merkle root covers no
 * witness). Height, time, amounts, scripts and signatures are the node's business. Writes the
 * header and the hash (either may be NULL). SHREWD_BAD_BLOCK names what is wrong and the block's
 * hash. Allocates and frees. */
int shr_block_check(struct shr_header *header, struct shr_hash *hash, struct shr_bytes block,
                    const struct shr_hash *want, struct shrewd_error *err);

#endif
