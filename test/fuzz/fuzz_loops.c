/* Any bytes can be handed to the marking of loops, and it never marks what the engine refuses
 * then: whatever the engine takes as a module has a marked copy that it takes, too. */
#include "base/log.h"
#include "wasm/guest.h"
#include "wasm/instance.h"
#include "wasm/loops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* The room says so when it cannot mark a module that it could compile. */
static void hear(void *ctx, enum shr_log_level level, const char *room, const char *message) {
    fprintf(stderr, "%s\n", message);
    abort();
}

static struct shr_engine *start(void) {
    static struct shr_engine *engine; /* held for a leak checker to see */
    if (engine == NULL) {
        if (shr_engine_new(&engine, NULL) != 0) {
            abort();
        }
        shr_log_set_sink(hear, NULL);
    }
    return engine;
}

/* Each offset of the copy is one of the original, or where a mark was put. */
static void check_map(const struct shr_loops_map *map, size_t marked_len, size_t len) {
    size_t before = 0;
    for (size_t i = 0; i < map->n; i++) {
        size_t original = shr_loops_original(map, map->steps[i].from);
        if (map->steps[i].from > marked_len || original > len || original < before) {
            abort();
        }
        before = original;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    struct shr_engine *engine = start();
    struct shr_bytes bytes = shr_bytes(data, len);
    struct shr_buf marked = {0};
    struct shr_loops_map map = {0};
    struct shr_module *module = NULL;
    if (shr_loops_mark(&marked, &map, bytes, NULL) == 0) {
        check_map(&map, marked.len, len);
    }
    shr_loops_map_free(&map);
    shr_buf_free(&marked);
    if (len >= 8 && memcmp(data, "\0asm", 4) == 0 &&
        shr_module_new(&module, engine, bytes, "fuzz", NULL, NULL) == 0) {
        shr_module_free(module);
    }
    return 0;
}
