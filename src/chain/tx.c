#include "chain/block.h"

#include "base/endian.h"

/* The least bytes one of them takes on the wire: what bounds a count by the bytes left. */
#define INPUT_SIZE_MIN 41
#define OUTPUT_SIZE_MIN 9

static bool skip(struct shr_reader_pos *pos, uint64_t n) {
    if (n > pos->left.len) {
        return false;
    }
    if (n > 0) {
        pos->left.data += n;
        pos->left.len -= (size_t)n;
    }
    return true;
}

bool shr_read_compact_size(struct shr_reader_pos *pos, uint64_t *out) {
    static const size_t widths[3] = {2, 4, 8};
    const uint8_t *at = pos->left.data;
    if (pos->left.len == 0) {
        return false;
    }
    if (at[0] < 0xfd) {
        *out = at[0];
        return skip(pos, 1);
    }
    size_t width = widths[at[0] - 0xfd];
    if (pos->left.len < 1 + width) {
        return false;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < width; i++) {
        value |= (uint64_t)at[1 + i] << (8 * i);
    }
    uint64_t least = width == 2 ? 0xfd : width == 4 ? 0x10000 : UINT64_C(0x100000000);
    if (value < least || value > UINT32_MAX) {
        return false;
    }
    *out = value;
    return skip(pos, 1 + width);
}

static bool skip_string(struct shr_reader_pos *pos) {
    uint64_t len;
    return shr_read_compact_size(pos, &len) && skip(pos, len);
}

static int read_inputs(struct shr_reader_pos *pos, struct shr_tx *tx, struct shrewd_error *err) {
    if (!shr_read_compact_size(pos, &tx->n_inputs) || tx->n_inputs == 0 ||
        tx->n_inputs > pos->left.len / INPUT_SIZE_MIN) {
        return shr_fail(err, SHREWD_BAD_BLOCK, "the number of its inputs is not possible");
    }
    struct shr_reader_pos start = *pos;
    for (uint64_t i = 0; i < tx->n_inputs; i++) {
        if (!skip(pos, 36) || !skip_string(pos) || !skip(pos, 4)) {
            return shr_fail(err, SHREWD_BAD_BLOCK, "input %llu is cut short or malformed",
                            (unsigned long long)i);
        }
    }
    tx->inputs = shr_bytes(start.left.data, start.left.len - pos->left.len);
    return 0;
}

static int read_outputs(struct shr_reader_pos *pos, struct shr_tx *tx, struct shrewd_error *err) {
    if (!shr_read_compact_size(pos, &tx->n_outputs) || tx->n_outputs == 0 ||
        tx->n_outputs > pos->left.len / OUTPUT_SIZE_MIN) {
        return shr_fail(err, SHREWD_BAD_BLOCK, "the number of its outputs is not possible");
    }
    struct shr_reader_pos start = *pos;
    for (uint64_t i = 0; i < tx->n_outputs; i++) {
        if (!skip(pos, 8) || !skip_string(pos)) {
            return shr_fail(err, SHREWD_BAD_BLOCK, "output %llu is cut short or malformed",
                            (unsigned long long)i);
        }
    }
    tx->outputs = shr_bytes(start.left.data, start.left.len - pos->left.len);
    return 0;
}

static int skip_witnesses(struct shr_reader_pos *pos, uint64_t n_inputs, struct shrewd_error *err) {
    bool any = false;
    for (uint64_t i = 0; i < n_inputs; i++) {
        uint64_t n_items;
        if (!shr_read_compact_size(pos, &n_items) || n_items > pos->left.len) {
            goto cut;
        }
        any |= n_items > 0;
        for (uint64_t j = 0; j < n_items; j++) {
            if (!skip_string(pos)) {
                goto cut;
            }
        }
        continue;
    cut:
        return shr_fail(err, SHREWD_BAD_BLOCK,
                        "the witness of input %llu is cut short or malformed",
                        (unsigned long long)i);
    }
    if (!any) {
        return shr_fail(err, SHREWD_BAD_BLOCK,
                        "it is marked as carrying a witness, but every one is empty");
    }
    return 0;
}

int shr_read_tx(struct shr_reader_pos *pos, struct shr_tx *out, struct shrewd_error *err) {
    struct shr_reader_pos at = *pos;
    struct shr_tx tx = {0};
    if (at.left.len < 10) {
        return shr_fail(err, SHREWD_BAD_BLOCK, "it is cut short: %zu bytes are left", at.left.len);
    }
    tx.version = (int32_t)shr_get_le32(at.left.data);
    /* BIP 144: a zero where the number of inputs belongs marks a witness; the flag follows. */
    tx.has_witness = at.left.data[4] == 0;
    if (tx.has_witness && at.left.data[5] != 1) {
        return shr_fail(err, SHREWD_BAD_BLOCK, "it has no inputs, or the unknown flag 0x%02x",
                        at.left.data[5]);
    }
    skip(&at, tx.has_witness ? 6 : 4);
    int status = read_inputs(&at, &tx, err);
    if (status == 0) {
        status = read_outputs(&at, &tx, err);
    }
    if (status == 0 && tx.has_witness) {
        status = skip_witnesses(&at, tx.n_inputs, err);
    }
    if (status != 0) {
        return status;
    }
    if (at.left.len < 4) {
        return shr_fail(err, SHREWD_BAD_BLOCK, "it is cut short before its lock time");
    }
    tx.lock_time = shr_get_le32(at.left.data);
    skip(&at, 4);
    tx.raw = shr_bytes(pos->left.data, pos->left.len - at.left.len);
    *out = tx;
    *pos = at;
    return 0;
}

bool shr_read_input(struct shr_reader_pos *pos, struct shr_input *out) {
    struct shr_reader_pos at = *pos;
    uint64_t len;
    if (!skip(&at, 36) || !shr_read_compact_size(&at, &len) || len > at.left.len ||
        at.left.len - len < 4) {
        return false;
    }
    memcpy(out->spends.txid.b, pos->left.data, sizeof out->spends.txid.b);
    out->spends.index = shr_get_le32(pos->left.data + 32);
    out->script = shr_bytes(at.left.data, (size_t)len);
    skip(&at, len);
    out->sequence = shr_get_le32(at.left.data);
    skip(&at, 4);
    *pos = at;
    return true;
}

bool shr_read_output(struct shr_reader_pos *pos, struct shr_output *out) {
    struct shr_reader_pos at = *pos;
    uint64_t len;
    if (!skip(&at, 8) || !shr_read_compact_size(&at, &len) || len > at.left.len) {
        return false;
    }
    out->value_sats = shr_get_le64(pos->left.data);
    out->script = shr_bytes(at.left.data, (size_t)len);
    skip(&at, len);
    *pos = at;
    return true;
}

bool shr_tx_is_coinbase(const struct shr_tx *tx) {
    static const uint8_t nothing[36] = {[32] = 0xff, 0xff, 0xff, 0xff};
    return tx->n_inputs == 1 && tx->inputs.len >= sizeof nothing &&
           memcmp(tx->inputs.data, nothing, sizeof nothing) == 0;
}

void shr_tx_id(struct shr_hash *out, const struct shr_tx *tx) {
    if (!tx->has_witness) {
        shr_sha256d(out, tx->raw);
        return;
    }
    /* Version; inputs and outputs with their counts; lock time. */
    const uint8_t *middle = tx->raw.data + 6;
    const uint8_t *end = tx->outputs.data + tx->outputs.len;
    struct shr_bytes parts[3] = {
        shr_bytes(tx->raw.data, 4),
        shr_bytes(middle, (size_t)(end - middle)),
        shr_bytes(tx->raw.data + tx->raw.len - 4, 4),
    };
    shr_sha256d_parts(out, parts, 3);
}

void shr_tx_wtxid(struct shr_hash *out, const struct shr_tx *tx) {
    shr_sha256d(out, tx->raw);
}
