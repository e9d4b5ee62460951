/* shrew_block.h: reading Bitcoin blocks (the node's wire format, witness transactions included).
 *
 *     struct shrew_block block;
 *     struct shrew_tx tx;
 *     shrew_block_open(&block, shrew_payload());
 *     while (shrew_block_next(&block, &tx)) {
 *         struct shrew_input in;
 *         while (shrew_tx_next_input(&tx, &in)) { ... }
 *         struct shrew_output out;
 *         while (shrew_tx_next_output(&tx, &out)) { ... }
 *     }
 *
 * Everything points into the block's own bytes; nothing is copied. Hashes are in internal byte
 * order, which is the reverse of what explorers display. A block that does not parse ends the call.
 */
#ifndef SHREW_BLOCK_H
#define SHREW_BLOCK_H

#include "shrew.h"
#include "shrew_sha256.h"

#define SHREW_HEADER_LEN 80u

struct shrew_reader {
    const uint8_t *at;
    const uint8_t *end;
};

struct shrew_block {
    const uint8_t *header; /* 80 bytes */
    uint32_t n_txs;
    uint32_t next_tx; /* index of the transaction shrew_block_next() gives next */
    struct shrew_reader reader;
};

struct shrew_tx {
    struct shrew_bytes raw;      /* all of it, witnesses included */
    struct shrew_bytes ins_outs; /* from the input count to the end of the outputs */
    uint32_t version;
    uint32_t lock_time;
    uint32_t index; /* in the block; 0 is the coinbase */
    uint32_t n_inputs;
    uint32_t n_outputs;
    uint32_t next_input;
    uint32_t next_output;
    struct shrew_reader inputs; /* as far as they were not yet handed out */
    struct shrew_reader outputs;
};

struct shrew_input {
    const uint8_t *outpoint; /* 36 bytes: txid and vout, u32: what it spends */
    struct shrew_bytes script;
    uint32_t sequence;
};

struct shrew_output {
    uint64_t value; /* satoshi */
    struct shrew_bytes script;
    uint32_t vout;
};

SHREW_API struct shrew_bytes shrew_read(struct shrew_reader *reader, uint32_t len) {
    if (len > (uint32_t)(reader->end - reader->at)) {
        shrew_fail(SHREW_STR("malformed block: it ends early"));
    }
    struct shrew_bytes bytes = shrew_bytes(reader->at, len);
    reader->at += len;
    return bytes;
}

SHREW_API uint32_t shrew_read_u32(struct shrew_reader *reader) {
    return shrew_load_u32(shrew_read(reader, 4).ptr);
}

/* A compact size. Every length and count in a block is far below 32 MiB, the node's own bound. */
SHREW_API uint32_t shrew_read_size(struct shrew_reader *reader) {
    uint32_t size = *shrew_read(reader, 1).ptr;
    uint32_t least = 0; /* the smallest size that needs this form */
    if (size == 253) {
        size = shrew_load_u16(shrew_read(reader, 2).ptr);
        least = 253;
    } else if (size == 254) {
        size = shrew_read_u32(reader);
        least = 0x10000;
    } else if (size == 255) {
        shrew_fail(SHREW_STR("malformed block: a size of 64 bits"));
    }
    if (size < least || size > 0x02000000) {
        shrew_fail(SHREW_STR("malformed block: a size in no canonical form, or above 32 MiB"));
    }
    return size;
}

SHREW_API void shrew_skip_inputs(struct shrew_reader *reader, uint32_t n) {
    for (; n > 0; n--) {
        shrew_read(reader, 36);
        shrew_read(reader, shrew_read_size(reader));
        shrew_read(reader, 4);
    }
}

SHREW_API void shrew_skip_outputs(struct shrew_reader *reader, uint32_t n) {
    for (; n > 0; n--) {
        shrew_read(reader, 8);
        shrew_read(reader, shrew_read_size(reader));
    }
}

SHREW_API void shrew_skip_witnesses(struct shrew_reader *reader, uint32_t n_inputs) {
    for (; n_inputs > 0; n_inputs--) {
        for (uint32_t n = shrew_read_size(reader); n > 0; n--) {
            shrew_read(reader, shrew_read_size(reader));
        }
    }
}

SHREW_API void shrew_block_open(struct shrew_block *block, struct shrew_bytes raw) {
    block->reader = (struct shrew_reader){raw.ptr, raw.ptr + raw.len};
    block->header = shrew_read(&block->reader, SHREW_HEADER_LEN).ptr;
    block->n_txs = shrew_read_size(&block->reader);
    block->next_tx = 0;
}

/* The hash of an 80-byte header. */
SHREW_API void shrew_header_hash(uint8_t out[32], const uint8_t *header) {
    shrew_sha256d(out, shrew_bytes(header, SHREW_HEADER_LEN));
}

/* The genesis block names no parent. */
SHREW_API bool shrew_block_is_genesis(const struct shrew_block *block) {
    static const uint8_t zeros[32];
    return shrew_equal(block->header + 4, zeros, 32);
}

/* One transaction, checked to its end. */
SHREW_API void shrew_tx_read(struct shrew_tx *tx, struct shrew_reader *reader) {
    const uint8_t *start = reader->at;
    tx->version = shrew_read_u32(reader);
    /* An input count of 0 cannot be: it marks a witness transaction, and a flag follows. */
    bool witness = reader->at < reader->end && *reader->at == 0;
    if (witness && shrew_read(reader, 2).ptr[1] != 1) {
        shrew_fail(SHREW_STR("malformed block: a transaction with an unknown flag"));
    }
    const uint8_t *ins_outs = reader->at;
    tx->n_inputs = shrew_read_size(reader);
    tx->inputs.at = reader->at;
    shrew_skip_inputs(reader, tx->n_inputs);
    tx->inputs.end = reader->at;
    tx->n_outputs = shrew_read_size(reader);
    tx->outputs.at = reader->at;
    shrew_skip_outputs(reader, tx->n_outputs);
    tx->outputs.end = reader->at;
    tx->ins_outs = shrew_bytes(ins_outs, (uint32_t)(reader->at - ins_outs));
    if (witness) {
        shrew_skip_witnesses(reader, tx->n_inputs);
    }
    tx->lock_time = shrew_read_u32(reader);
    tx->raw = shrew_bytes(start, (uint32_t)(reader->at - start));
    tx->next_input = 0;
    tx->next_output = 0;
}

/* The next transaction; false after the last, which must end the block. */
SHREW_API bool shrew_block_next(struct shrew_block *block, struct shrew_tx *tx) {
    if (block->next_tx == block->n_txs) {
        if (block->reader.at != block->reader.end) {
            shrew_fail(SHREW_STR("malformed block: bytes after the last transaction"));
        }
        return false;
    }
    shrew_tx_read(tx, &block->reader);
    tx->index = block->next_tx++;
    return true;
}

SHREW_API bool shrew_tx_next_input(struct shrew_tx *tx, struct shrew_input *in) {
    if (tx->next_input == tx->n_inputs) {
        return false;
    }
    in->outpoint = shrew_read(&tx->inputs, 36).ptr;
    in->script = shrew_read(&tx->inputs, shrew_read_size(&tx->inputs));
    in->sequence = shrew_read_u32(&tx->inputs);
    tx->next_input++;
    return true;
}

SHREW_API bool shrew_tx_next_output(struct shrew_tx *tx, struct shrew_output *out) {
    if (tx->next_output == tx->n_outputs) {
        return false;
    }
    out->value = shrew_load_u64(shrew_read(&tx->outputs, 8).ptr);
    out->script = shrew_read(&tx->outputs, shrew_read_size(&tx->outputs));
    out->vout = tx->next_output++;
    return true;
}

/* The transaction's id: the hash of its bytes without marker, flag and witnesses. */
SHREW_API void shrew_tx_id(uint8_t out[32], const struct shrew_tx *tx) {
    if (tx->raw.len == tx->ins_outs.len + 8) {
        shrew_sha256d(out, tx->raw);
        return;
    }
    struct shrew_sha256 sha;
    shrew_sha256_init(&sha);
    shrew_sha256_add(&sha, shrew_bytes(tx->raw.ptr, 4));
    shrew_sha256_add(&sha, tx->ins_outs);
    shrew_sha256_add(&sha, shrew_bytes(tx->raw.ptr + tx->raw.len - 4, 4));
    shrew_sha256d_final(&sha, out);
}

#endif
