/* A line of a dump (snapshot/load.h): what is taken from it is what it says. */
#include "base/hex.h"
#include "snapshot/load.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    struct shr_buf key = {0}, value = {0}, again = {0}, key2 = {0}, value2 = {0};
    if (shr_dump_line(&key, &value, shr_bytes(data, len)) == NULL) {
        if (2 * (key.len + value.len) > len) {
            abort();
        }
        shr_hex_encode(&again, shr_buf_bytes(&key));
        shr_buf_add_u8(&again, ' ');
        shr_hex_encode(&again, shr_buf_bytes(&value));
        if (shr_dump_line(&key2, &value2, shr_buf_bytes(&again)) != NULL ||
            !shr_bytes_eq(shr_buf_bytes(&key), shr_buf_bytes(&key2)) ||
            !shr_bytes_eq(shr_buf_bytes(&value), shr_buf_bytes(&value2))) {
            abort();
        }
    }
    shr_buf_free(&key);
    shr_buf_free(&value);
    shr_buf_free(&again);
    shr_buf_free(&key2);
    shr_buf_free(&value2);
    return 0;
}
