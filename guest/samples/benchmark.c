/* benchmark.c: measures what reading state costs: a view that reads a thousand keys.
 *
 * The first block it sees puts a thousand values of one byte, 0x01, into the list /storage.
 *
 * Views (no input; output: the thousand values, one after the other)
 *   benchmark_view            reads the list
 *   benchmark_view_with_set   the same, then writes a key and flushes, which must change nothing
 *
 * Built twice: as benchmark.wasm, and with SHREW_NO_READ_CACHE as benchmark_nocache.wasm, in which
 * every read is a call to the host, also in an instance that is kept warm.
 */
#include "shrew.h"

#define STORAGE SHREW_STR("/storage")
#define STORAGE_LENGTH 1000u

SHREW_INDEX() {
    if (shrew_list_length(STORAGE) == 0) {
        for (uint32_t i = 0; i < STORAGE_LENGTH; i++) {
            shrew_list_push(STORAGE, SHREW_STR("\x01"));
        }
    }
}

static struct shrew_bytes read_all(void) {
    struct shrew_buf all = {0};
    uint32_t length = shrew_list_length(STORAGE);
    for (uint32_t i = 0; i < length; i++) {
        shrew_buf_add(&all, shrew_list_get(STORAGE, i));
    }
    return shrew_buf_bytes(&all);
}

SHREW_VIEW(benchmark_view) {
    return read_all();
}

SHREW_VIEW(benchmark_view_with_set) {
    struct shrew_bytes all = read_all();
    shrew_set(SHREW_STR("/written-by-a-view"), SHREW_STR("gone when the call is"));
    shrew_flush();
    return all;
}
