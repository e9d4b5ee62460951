#include "chain/build.h"

#include "base/alloc.h"
#include "base/endian.h"

#include <assert.h>
#include <stdlib.h>

void shr_write_compact_size(struct shr_buf *out, uint64_t value) {
    if (value < 0xfd) {
        shr_buf_add_u8(out, (uint8_t)value);
    } else if (value <= 0xffff) {
        shr_buf_add_u8(out, 0xfd);
        shr_put_le16(shr_buf_grow(out, 2), (uint16_t)value);
    } else if (value <= UINT32_MAX) {
        shr_buf_add_u8(out, 0xfe);
        shr_buf_add_le32(out, (uint32_t)value);
    } else {
        shr_buf_add_u8(out, 0xff);
        shr_buf_add_le64(out, value);
    }
}

void shr_write_push(struct shr_buf *out, struct shr_bytes bytes) {
    assert(bytes.len <= 0xffff);
    if (bytes.len < 0x4c) {
        shr_buf_add_u8(out, (uint8_t)bytes.len);
    } else if (bytes.len <= 0xff) {
        shr_buf_add_u8(out, 0x4c);
        shr_buf_add_u8(out, (uint8_t)bytes.len);
    } else {
        shr_buf_add_u8(out, 0x4d);
        shr_put_le16(shr_buf_grow(out, 2), (uint16_t)bytes.len);
    }
    shr_buf_add(out, bytes);
}

void shr_write_height_push(struct shr_buf *out, uint32_t height) {
    if (height == 0) {
        shr_buf_add_u8(out, 0);
        return;
    }
    if (height <= 16) {
        shr_buf_add_u8(out, (uint8_t)(0x50 + height));
        return;
    }
    /* A script number: little-endian, the top bit free for the sign. */
    uint8_t bytes[5];
    size_t len = 0;
    for (uint64_t rest = height; rest != 0; rest >>= 8) {
        bytes[len++] = (uint8_t)rest;
    }
    if ((bytes[len - 1] & 0x80) != 0) {
        bytes[len++] = 0;
    }
    shr_write_push(out, shr_bytes(bytes, len));
}

static void write_string(struct shr_buf *out, struct shr_bytes bytes) {
    shr_write_compact_size(out, bytes.len);
    shr_buf_add(out, bytes);
}

static void write_witnesses(struct shr_buf *out, const struct shr_build_tx *tx) {
    for (size_t i = 0; i < tx->n_inputs; i++) {
        shr_write_compact_size(out, tx->inputs[i].n_witness);
        for (size_t j = 0; j < tx->inputs[i].n_witness; j++) {
            write_string(out, tx->inputs[i].witness[j]);
        }
    }
}

size_t shr_write_tx(struct shr_buf *out, const struct shr_build_tx *tx) {
    size_t start = out->len;
    size_t witness_bytes = 0;
    bool has_witness = false;
    for (size_t i = 0; i < tx->n_inputs; i++) {
        has_witness |= tx->inputs[i].n_witness > 0;
    }
    shr_buf_add_le32(out, (uint32_t)tx->version);
    if (has_witness) {
        shr_buf_append(out, "\x00\x01", 2);
    }
    shr_write_compact_size(out, tx->n_inputs);
    for (size_t i = 0; i < tx->n_inputs; i++) {
        const struct shr_build_input *input = &tx->inputs[i];
        shr_buf_append(out, input->spends.txid.b, sizeof input->spends.txid.b);
        shr_buf_add_le32(out, input->spends.index);
        write_string(out, input->script);
        shr_buf_add_le32(out, input->sequence);
    }
    shr_write_compact_size(out, tx->n_outputs);
    for (size_t i = 0; i < tx->n_outputs; i++) {
        shr_buf_add_le64(out, tx->outputs[i].value_sats);
        write_string(out, tx->outputs[i].script);
    }
    if (has_witness) {
        size_t before = out->len;
        write_witnesses(out, tx);
        witness_bytes = out->len - before + 2;
    }
    shr_buf_add_le32(out, tx->lock_time);
    return 4 * (out->len - start) - 3 * witness_bytes;
}

void shr_write_header(struct shr_buf *out, const struct shr_header *header) {
    shr_buf_add_le32(out, (uint32_t)header->version);
    shr_buf_append(out, header->prev.b, sizeof header->prev.b);
    shr_buf_append(out, header->merkle_root.b, sizeof header->merkle_root.b);
    shr_buf_add_le32(out, header->time);
    shr_buf_add_le32(out, header->bits);
    shr_buf_add_le32(out, header->nonce);
}

bool shr_mine_header(uint8_t header[SHR_HEADER_SIZE]) {
    uint32_t bits = shr_get_le32(header + 72);
    uint32_t nonce = shr_get_le32(header + 76);
    for (uint64_t tries = 0; tries <= UINT32_MAX; tries++) {
        struct shr_hash hash;
        shr_put_le32(header + 76, nonce++);
        shr_header_hash(&hash, shr_bytes(header, SHR_HEADER_SIZE));
        if (shr_pow_ok(&hash, bits)) {
            return true;
        }
    }
    return false;
}

/* Ids of the transactions from place 1 on; place 0 is left to the coinbase. */
static int hash_txs(struct shr_hash *txids, struct shr_hash *wtxids, bool *any_witness,
                    const struct shr_build_block *block, struct shrewd_error *err) {
    *any_witness = false;
    for (size_t i = 0; i < block->n_txs; i++) {
        struct shr_reader_pos pos = {block->txs[i]};
        struct shr_tx tx;
        int status = shr_read_tx(&pos, &tx, err);
        if (status != 0) {
            return shr_fail_in(err, status, "transaction %zu of a block to build", i + 1);
        }
        if (pos.left.len != 0) {
            return shr_fail(err, SHREWD_BAD_BLOCK,
                            "transaction %zu of a block to build: %zu bytes follow it", i + 1,
                            pos.left.len);
        }
        *any_witness |= tx.has_witness;
        shr_tx_id(&txids[i + 1], &tx);
        shr_tx_wtxid(&wtxids[i + 1], &tx);
    }
    return 0;
}

/* The script of BIP 141's commitment to wtxids[1..n]; wtxids is overwritten. */
static void write_commitment(struct shr_buf *script, struct shr_hash *wtxids, size_t n,
                             const uint8_t reserved[32]) {
    struct shr_hash root;
    wtxids[0] = (struct shr_hash){{0}};
    shr_merkle_root(&root, NULL, wtxids, n);
    struct shr_bytes parts[2] = {shr_bytes(root.b, sizeof root.b), shr_bytes(reserved, 32)};
    shr_sha256d_parts(&root, parts, 2);
    shr_buf_append(script, "\x6a\x24\xaa\x21\xa9\xed", 6);
    shr_buf_append(script, root.b, sizeof root.b);
}

static void write_coinbase(struct shr_buf *out, struct shr_hash *txid, struct shr_hash *wtxids,
                           bool any_witness, const struct shr_build_block *block) {
    static const uint8_t reserved[32];
    const struct shr_bytes item = shr_bytes(reserved, sizeof reserved);
    struct shr_buf script = {0};
    struct shr_buf commitment = {0};
    size_t n_outputs = block->n_outputs;
    struct shr_build_output *outputs = shr_alloc_array(n_outputs + 1, sizeof *outputs);
    for (size_t i = 0; i < n_outputs; i++) {
        outputs[i] = block->outputs[i];
    }
    if (any_witness) {
        write_commitment(&commitment, wtxids, block->n_txs + 1, reserved);
        outputs[n_outputs++].script = shr_buf_bytes(&commitment);
    }
    shr_write_height_push(&script, block->height);
    shr_write_push(&script, block->extra); /* also keeps the script at its least, two bytes */
    const struct shr_build_input input = {
        .spends = {.index = UINT32_MAX},
        .script = shr_buf_bytes(&script),
        .sequence = UINT32_MAX,
        .witness = &item,
        .n_witness = any_witness ? 1 : 0,
    };
    const struct shr_build_tx build = {
        .version = 2,
        .inputs = &input,
        .n_inputs = 1,
        .outputs = outputs,
        .n_outputs = n_outputs,
    };
    size_t start = out->len;
    shr_write_tx(out, &build);
    struct shr_reader_pos pos = {shr_bytes(out->data + start, out->len - start)};
    struct shr_tx tx;
    int status = shr_read_tx(&pos, &tx, NULL);
    assert(status == 0 && pos.left.len == 0);
    (void)status;
    shr_tx_id(txid, &tx);
    free(outputs);
    shr_buf_free(&commitment);
    shr_buf_free(&script);
}

int shr_write_block(struct shr_buf *out, struct shr_hash *hash, const struct shr_build_block *block,
                    struct shrewd_error *err) {
    assert(block->height > 0 && block->extra.len < 0x4c && block->n_outputs > 0);
    size_t n = block->n_txs + 1;
    size_t start = out->len;
    struct shr_hash *txids = shr_alloc_array(n, sizeof *txids);
    struct shr_hash *wtxids = shr_alloc_array(n, sizeof *wtxids);
    struct shr_buf coinbase = {0};
    struct shr_header header = {
        .version = block->version,
        .prev = block->prev,
        .time = block->time,
        .bits = block->bits,
        .nonce = block->nonce,
    };
    bool any_witness;
    int status = hash_txs(txids, wtxids, &any_witness, block, err);
    if (status != 0) {
        goto done;
    }
    write_coinbase(&coinbase, &txids[0], wtxids, any_witness, block);
    shr_merkle_root(&header.merkle_root, NULL, txids, n);
    shr_write_header(out, &header);
    if (!shr_mine_header(out->data + start)) {
        out->len = start;
        status = shr_fail(err, SHREWD_BAD_BLOCK, "no nonce meets bits 0x%08x", block->bits);
        goto done;
    }
    if (hash != NULL) {
        shr_header_hash(hash, shr_bytes(out->data + start, SHR_HEADER_SIZE));
    }
    shr_write_compact_size(out, n);
    shr_buf_add(out, shr_buf_bytes(&coinbase));
    for (size_t i = 0; i < block->n_txs; i++) {
        shr_buf_add(out, block->txs[i]);
    }

done:
    shr_buf_free(&coinbase);
    free(wtxids);
    free(txids);
    return status;
}
