/* Any bytes as a row of rockshrew-mono's database: what is taken out of it puts the same row
 * together again, and an entry's value is what its hex says. */
#include "state/rockshrew.h"

#include "base/hex.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_row(struct shr_bytes row) {
    struct shr_bytes key = {NULL, 0};
    struct shr_buf again = {0};
    uint32_t n = 0;
    enum shr_rockshrew_kind kind = shr_rockshrew_row(&key, &n, row);
    if (kind == SHR_ROCKSHREW_LENGTH || kind == SHR_ROCKSHREW_ENTRY) {
        shr_buf_add(&again, key);
        if (kind == SHR_ROCKSHREW_LENGTH) {
            shr_buf_add_str(&again, "/length");
        } else {
            shr_buf_printf(&again, "/%u", n);
        }
        if (!shr_bytes_eq(shr_buf_bytes(&again), row)) {
            abort();
        }
    }
    shr_buf_free(&again);
}

static void check_entry(struct shr_bytes entry) {
    struct shr_buf value = {0}, again = {0};
    uint32_t height = 0, alone = 0;
    bool ok = shr_rockshrew_entry(&height, &value, entry);
    if (ok) {
        shr_buf_printf(&again, "%u:", height);
        shr_hex_encode(&again, shr_buf_bytes(&value));
        if (!shr_rockshrew_entry_height(&alone, entry) || alone != height ||
            again.len != entry.len ||
            strncasecmp((const char *)again.data, (const char *)entry.data, again.len) != 0) {
            abort();
        }
    }
    shr_buf_free(&value);
    shr_buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    struct shr_buf copy = {0};
    shr_buf_append(&copy, data, len);
    check_row(shr_buf_bytes(&copy));
    check_entry(shr_buf_bytes(&copy));
    shr_buf_free(&copy);
    return 0;
}
