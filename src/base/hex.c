#include "base/hex.h"

static const char digits[] = "0123456789abcdef";

void shr_hex_write(char *out, struct shr_bytes bytes) {
    for (size_t i = 0; i < bytes.len; i++) {
        out[2 * i] = digits[bytes.data[i] >> 4];
        out[2 * i + 1] = digits[bytes.data[i] & 15];
    }
    out[2 * bytes.len] = 0;
}

void shr_hex_encode(struct shr_buf *out, struct shr_bytes bytes) {
    shr_buf_reserve(out, 2 * bytes.len + 1);
    shr_hex_write((char *)out->data + out->len, bytes);
    out->len += 2 * bytes.len;
}

static int digit_value(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

bool shr_hex_decode(struct shr_buf *out, const char *text, size_t len, size_t *bad_at) {
    size_t at = len >= 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X') ? 2 : 0;
    size_t start = out->len;
    shr_buf_reserve(out, (len - at) / 2 + 1);
    for (; at < len; at += 2) {
        int high = digit_value(text[at]);
        int low = at + 1 < len ? digit_value(text[at + 1]) : -1;
        if (high < 0 || low < 0) {
            if (bad_at != NULL) {
                *bad_at = high < 0 ? at : at + 1;
            }
            out->len = start;
            return false;
        }
        out->data[out->len++] = (uint8_t)(high << 4 | low);
    }
    return true;
}
