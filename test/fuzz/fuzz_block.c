/* Any bytes as a block. They are read as they are, and once more with a header made to fit, so
 * that what lies behind the proof of work and the merkle root is reached as well. */
#include "base/alloc.h"
#include "base/endian.h"
#include "chain/block.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void require(bool holds) {
    if (!holds) {
        abort();
    }
}

/* A target that all but one hash in 65536 meet. */
#define EASY_BITS 0x2100ffffu

static void walk_tx(const struct shr_tx *tx) {
    struct shr_reader_pos inputs = {tx->inputs};
    struct shr_reader_pos outputs = {tx->outputs};
    struct shr_input input;
    struct shr_output output;
    uint64_t n_inputs = 0;
    uint64_t n_outputs = 0;
    while (shr_read_input(&inputs, &input)) {
        n_inputs++;
    }
    while (shr_read_output(&outputs, &output)) {
        n_outputs++;
    }
    require(n_inputs == tx->n_inputs && inputs.left.len == 0);
    require(n_outputs == tx->n_outputs && outputs.left.len == 0);
    struct shr_hash commitment;
    shr_witness_commitment(&commitment, tx);
}

/* True when all transactions parse to the last byte; *root is then their merkle root. */
static bool walk_block(struct shr_hash *root, struct shr_bytes block) {
    struct shr_reader_pos pos;
    uint64_t n;
    if (shr_block_open(&pos, &n, block, NULL) != 0) {
        return false;
    }
    struct shr_hash *txids = shr_alloc_array((size_t)n, sizeof *txids);
    const uint8_t *end = pos.left.data;
    uint64_t done = 0;
    for (struct shr_tx tx; done < n && shr_read_tx(&pos, &tx, NULL) == 0; done++) {
        require(tx.raw.data == end);
        end += tx.raw.len;
        require(end == pos.left.data);
        walk_tx(&tx);
        shr_tx_id(&txids[done], &tx);
    }
    if (done == n) {
        shr_merkle_root(root, NULL, txids, (size_t)n);
    }
    free(txids);
    return done == n && pos.left.len == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    struct shr_bytes block = shr_bytes(data, len);
    struct shr_header header;
    struct shr_hash hash;
    struct shrewd_error err;
    struct shr_hash root;
    bool parses = walk_block(&root, block);
    if (shr_block_check(&header, &hash, block, NULL, &err) == 0) {
        require(parses && shr_hash_eq(&root, &header.merkle_root));
    }
    if (!parses) {
        return 0;
    }
    struct shr_buf fitted = {0};
    shr_buf_add(&fitted, block);
    memcpy(fitted.data + 36, root.b, sizeof root.b);
    shr_put_le32(fitted.data + 72, EASY_BITS);
    (void)shr_block_check(NULL, NULL, shr_buf_bytes(&fitted), NULL, &err);
    shr_buf_free(&fitted);
    return 0;
}
