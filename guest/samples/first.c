/* first.c: the module of the walk-through in guest/README.md: counts transactions.
 *
 * State
 *   /txs/<height, decimal>   transactions of that block, u32
 *   /txs                     transactions of all blocks so far, u64
 *
 * Views
 *   txs     input: a height, u32; output: the first value, empty when that height is not indexed
 *   total   output: the second
 */
#include "shrew_block.h"

SHREW_INDEX() {
    uint8_t room[32];
    struct shrew_buf key = SHREW_BUF(room);
    struct shrew_buf value = {0};
    struct shrew_block block;
    shrew_block_open(&block, shrew_payload());

    shrew_buf_add(&key, SHREW_STR("/txs/"));
    shrew_buf_add_dec(&key, shrew_height());
    shrew_buf_add_u32(&value, block.n_txs);
    shrew_set(shrew_buf_bytes(&key), shrew_buf_bytes(&value));

    struct shrew_bytes before = shrew_get(SHREW_STR("/txs"));
    struct shrew_buf total = {0};
    shrew_buf_add_u64(&total, (before.len == 8 ? shrew_load_u64(before.ptr) : 0) + block.n_txs);
    shrew_set(SHREW_STR("/txs"), shrew_buf_bytes(&total));
}

SHREW_VIEW(txs) {
    uint8_t room[32];
    struct shrew_buf key = SHREW_BUF(room);
    if (shrew_payload().len != 4) {
        shrew_fail(SHREW_STR("txs: the input is a height, 4 bytes, little endian"));
    }
    shrew_buf_add(&key, SHREW_STR("/txs/"));
    shrew_buf_add_dec(&key, shrew_load_u32(shrew_payload().ptr));
    return shrew_get(shrew_buf_bytes(&key));
}

SHREW_VIEW(total) {
    return shrew_get(SHREW_STR("/txs"));
}
