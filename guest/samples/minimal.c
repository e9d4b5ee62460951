/* minimal.c: the smallest module that is of use: keeps every block.
 *
 * State
 *   /blocks/<height, decimal>   the raw block
 *   /blocktracker               one byte a block: the first of its hash, in internal byte order
 *
 * Views
 *   getblock       input: a height, u32 little endian, or nothing for the view's own height;
 *                  output: the raw block, empty when that height is not indexed
 *   blocktracker   output: the value above
 */
#include "shrew_block.h"

static struct shrew_bytes block_key(struct shrew_buf *key, uint32_t height) {
    shrew_buf_add(key, SHREW_STR("/blocks/"));
    shrew_buf_add_dec(key, height);
    return shrew_buf_bytes(key);
}

SHREW_INDEX() {
    uint8_t room[32];
    struct shrew_buf key = SHREW_BUF(room);
    struct shrew_bytes raw = shrew_payload();
    struct shrew_block block;
    shrew_block_open(&block, raw);
    shrew_set(block_key(&key, shrew_height()), raw);

    uint8_t hash[32];
    shrew_header_hash(hash, block.header);
    struct shrew_buf tracker = {0};
    shrew_buf_add(&tracker, shrew_get(SHREW_STR("/blocktracker")));
    shrew_buf_add_u8(&tracker, hash[0]);
    shrew_set(SHREW_STR("/blocktracker"), shrew_buf_bytes(&tracker));
}

SHREW_VIEW(getblock) {
    uint8_t room[32];
    struct shrew_buf key = SHREW_BUF(room);
    struct shrew_bytes input = shrew_payload();
    if (input.len != 0 && input.len != 4) {
        shrew_fail(SHREW_STR("getblock: the input is a height of 4 bytes, or empty"));
    }
    uint32_t height = input.len == 4 ? shrew_load_u32(input.ptr) : shrew_height();
    return shrew_get(block_key(&key, height));
}

SHREW_VIEW(blocktracker) {
    return shrew_get(SHREW_STR("/blocktracker"));
}
