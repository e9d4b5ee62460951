/* Any bytes as a flush: pairs lie inside the message and in order, or the error says where. */
#include "wasm/flush.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct seen {
    struct shr_bytes message;
    const uint8_t *last;
    size_t pairs;
};

static void check_inside(struct seen *seen, struct shr_bytes item) {
    if (item.data < seen->last || item.len > seen->message.len ||
        item.data + item.len > seen->message.data + seen->message.len) {
        abort();
    }
    seen->last = item.data + item.len;
}

static int put(void *ctx, struct shr_bytes key, struct shr_bytes value, struct shrewd_error *err) {
    struct seen *seen = ctx;
    check_inside(seen, key);
    check_inside(seen, value);
    seen->pairs++;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    struct shr_buf copy = {0};
    struct shrewd_error err = {0};
    shr_buf_append(&copy, data, len);
    struct seen seen = {.message = shr_buf_bytes(&copy), .last = copy.data};
    int code = shr_flush_decode(seen.message, put, &seen, &err);
    if (code != 0 && (code != SHREWD_GUEST || strstr(err.message, "offset") == NULL)) {
        abort();
    }
    if (seen.pairs > len / 4) {
        abort(); /* each pair has at least four bytes */
    }
    shr_buf_free(&copy);
    return 0;
}
