#include "chain/block.h"

#include "base/alloc.h"
#include "base/endian.h"

#include <stdlib.h>

/* Version, one input, one output, lock time, at their smallest. */
#define TX_SIZE_MIN 60

int shr_header_parse(struct shr_header *out, struct shr_bytes bytes, struct shrewd_error *err) {
    if (bytes.len < SHR_HEADER_SIZE) {
        return shr_fail(err, SHREWD_BAD_BLOCK,
                        "a block begins with a header of %d bytes, but there are only %zu",
                        SHR_HEADER_SIZE, bytes.len);
    }
    out->version = (int32_t)shr_get_le32(bytes.data);
    memcpy(out->prev.b, bytes.data + 4, sizeof out->prev.b);
    memcpy(out->merkle_root.b, bytes.data + 36, sizeof out->merkle_root.b);
    out->time = shr_get_le32(bytes.data + 68);
    out->bits = shr_get_le32(bytes.data + 72);
    out->nonce = shr_get_le32(bytes.data + 76);
    return 0;
}

void shr_header_hash(struct shr_hash *out, struct shr_bytes bytes) {
    shr_sha256d(out, shr_bytes(bytes.data, SHR_HEADER_SIZE));
}

int shr_block_open(struct shr_reader_pos *pos, uint64_t *n_txs, struct shr_bytes block,
                   struct shrewd_error *err) {
    struct shr_header header;
    int status = shr_header_parse(&header, block, err);
    if (status != 0) {
        return status;
    }
    struct shr_reader_pos at = {
        shr_bytes(block.data + SHR_HEADER_SIZE, block.len - SHR_HEADER_SIZE)};
    uint64_t n;
    if (!shr_read_compact_size(&at, &n) || n == 0 || n > at.left.len / TX_SIZE_MIN) {
        return shr_fail(err, SHREWD_BAD_BLOCK,
                        "its number of transactions does not fit its %zu bytes", block.len);
    }
    *pos = at;
    *n_txs = n;
    return 0;
}

bool shr_witness_commitment(struct shr_hash *out, const struct shr_tx *coinbase) {
    static const uint8_t mark[6] = {0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed};
    struct shr_reader_pos pos = {coinbase->outputs};
    struct shr_output output;
    bool found = false;
    while (shr_read_output(&pos, &output)) {
        if (output.script.len >= sizeof mark + sizeof out->b &&
            memcmp(output.script.data, mark, sizeof mark) == 0) {
            memcpy(out->b, output.script.data + sizeof mark, sizeof out->b);
            found = true; /* BIP 141: the last one counts */
        }
    }
    return found;
}

/* BIP 141: the coinbase's witness is one item of 32 bytes. It lies between the outputs and the
 * lock time. NULL when it is anything else. */
static const uint8_t *reserved_value(const struct shr_tx *coinbase) {
    if (!coinbase->has_witness) {
        return NULL;
    }
    const uint8_t *at = coinbase->outputs.data + coinbase->outputs.len;
    const uint8_t *end = coinbase->raw.data + coinbase->raw.len - 4;
    return end - at == 34 && at[0] == 1 && at[1] == 32 ? at + 2 : NULL;
}

/* The merkle root covers no witness. Where there is one the coinbase commits to all of them. */
static int check_witness(const struct shr_tx *coinbase, struct shr_hash *wtxids, size_t n,
                         struct shrewd_error *err) {
    struct shr_hash committed;
    const uint8_t *reserved = reserved_value(coinbase);
    if (!shr_witness_commitment(&committed, coinbase) || reserved == NULL) {
        return shr_fail(err, SHREWD_BAD_BLOCK,
                        "it carries witnesses, but its coinbase does not commit to them");
    }
    struct shr_hash found;
    wtxids[0] = (struct shr_hash){{0}};
    shr_merkle_root(&found, NULL, wtxids, n);
    struct shr_bytes parts[2] = {shr_bytes(found.b, sizeof found.b), shr_bytes(reserved, 32)};
    shr_sha256d_parts(&found, parts, 2);
    if (!shr_hash_eq(&found, &committed)) {
        return shr_fail(err, SHREWD_BAD_BLOCK,
                        "its witnesses do not fit what its coinbase commits to");
    }
    return 0;
}

struct parsed_txs {
    struct shr_hash *txids;
    struct shr_hash *wtxids;
    struct shr_tx coinbase;
    size_t n;
    bool any_witness;
};

static int parse_txs(struct parsed_txs *out, struct shr_bytes block, struct shrewd_error *err) {
    struct shr_reader_pos pos;
    uint64_t n;
    int status = shr_block_open(&pos, &n, block, err);
    if (status != 0) {
        return status;
    }
    out->n = (size_t)n;
    out->txids = shr_alloc_array(out->n, sizeof *out->txids);
    out->wtxids = shr_alloc_array(out->n, sizeof *out->wtxids);
    for (size_t i = 0; i < out->n; i++) {
        struct shr_tx tx;
        status = shr_read_tx(&pos, &tx, err);
        if (status != 0) {
            return shr_fail_in(err, status, "transaction %zu of %zu", i, out->n);
        }
        if (i == 0 && !shr_tx_is_coinbase(&tx)) {
            return shr_fail(err, SHREWD_BAD_BLOCK, "its first transaction is no coinbase");
        }
        if (i > 0 && shr_tx_is_coinbase(&tx)) {
            return shr_fail(err, SHREWD_BAD_BLOCK, "transaction %zu of %zu is a second coinbase", i,
                            out->n);
        }
        shr_tx_id(&out->txids[i], &tx);
        out->wtxids[i] = out->txids[i];
        if (tx.has_witness) {
            out->any_witness = true;
            shr_tx_wtxid(&out->wtxids[i], &tx);
        }
        if (i == 0) {
            out->coinbase = tx;
        }
    }
    if (pos.left.len != 0) {
        return shr_fail(err, SHREWD_BAD_BLOCK, "%zu bytes follow its last transaction",
                        pos.left.len);
    }
    return 0;
}

static int check_txs(struct shr_bytes block, const struct shr_hash *merkle_root,
                     struct shrewd_error *err) {
    struct parsed_txs txs = {0};
    int status = parse_txs(&txs, block, err);
    if (status == 0) {
        struct shr_hash root;
        bool mutated;
        shr_merkle_root(&root, &mutated, txs.txids, txs.n);
        if (!shr_hash_eq(&root, merkle_root)) {
            status = shr_fail(err, SHREWD_BAD_BLOCK,
                              "its transactions do not give the merkle root of its header");
        } else if (mutated) {
            status = shr_fail(err, SHREWD_BAD_BLOCK,
                              "transactions were repeated in it without changing its merkle root");
        }
    }
    if (status == 0 && txs.any_witness) {
        status = check_witness(&txs.coinbase, txs.wtxids, txs.n, err);
    }
    free(txs.wtxids);
    free(txs.txids);
    return status;
}

int shr_block_check(struct shr_header *header, struct shr_hash *hash, struct shr_bytes block,
                    const struct shr_hash *want, struct shrewd_error *err) {
    struct shr_header own_header;
    struct shr_hash own_hash;
    char hex[SHR_HASH_HEX_LEN + 1];
    int status = shr_header_parse(&own_header, block, err);
    if (status != 0) {
        return status;
    }
    shr_header_hash(&own_hash, block);
    shr_hash_hex(hex, &own_hash);
    if (want != NULL && !shr_hash_eq(&own_hash, want)) {
        char wanted[SHR_HASH_HEX_LEN + 1];
        shr_hash_hex(wanted, want);
        return shr_fail(err, SHREWD_BAD_BLOCK, "block %s was given where %s was asked for", hex,
                        wanted);
    }
    if (!shr_pow_ok(&own_hash, own_header.bits)) {
        return shr_fail(err, SHREWD_BAD_BLOCK,
                        "block %s: its hash does not meet its own target (bits 0x%08x)", hex,
                        own_header.bits);
    }
    if (block.len > SHR_BLOCK_SIZE_MAX) {
        return shr_fail(err, SHREWD_BAD_BLOCK, "block %s: it has %zu bytes; a block has at most %u",
                        hex, block.len, SHR_BLOCK_SIZE_MAX);
    }
    status = check_txs(block, &own_header.merkle_root, err);
    if (status != 0) {
        return shr_fail_in(err, status, "block %s", hex);
    }
    if (header != NULL) {
        *header = own_header;
    }
    if (hash != NULL) {
        *hash = own_hash;
    }
    return 0;
}
