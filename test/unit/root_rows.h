/* root_rows.h: keys, and the rows of the state tree's tables, for its tests. */
#ifndef SHR_TEST_ROOT_ROWS_H
#define SHR_TEST_ROOT_ROWS_H

#include "state_help.h"

#include "state/store.h"

static inline void key_text(uint32_t i, char out[16]) {
    snprintf(out, 16, "key %u", i);
}

/* Every row of the tree's tables. */
static inline enum shr_scan_step add_row(void *ctx, struct shr_bytes key, struct shr_bytes value) {
    shr_buf_add_le32(ctx, (uint32_t)key.len);
    shr_buf_add(ctx, key);
    shr_buf_add_le32(ctx, (uint32_t)value.len);
    shr_buf_add(ctx, value);
    return SHR_SCAN_MORE;
}

static inline void read_rows(struct shr_store *store, struct shr_buf *out) {
    shr_buf_clear(out);
    assert_ok(
        shr_store_scan(store, NULL, SHR_TABLE_ROOT, NO_BYTES, NO_BYTES, false, add_row, out, err));
    assert_ok(shr_store_scan(store, NULL, SHR_TABLE_ROOT_PAGES, NO_BYTES, NO_BYTES, false, add_row,
                             out, err));
}

#endif
