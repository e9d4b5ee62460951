/* shared_blocks.h: real mainnet blocks for tests, where this machine has them: in the folder
 * that SHREWD_SHARED names, or in `shared` beside the source tree. */
#ifndef SHR_TEST_SHARED_BLOCKS_H
#define SHR_TEST_SHARED_BLOCKS_H

#include "base/alloc.h"
#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The path of blocks/NAME, to be freed; NULL, and a line saying so, when it is not there. */
static inline char *shared_block_path(const char *name) {
    const char *folder = getenv("SHREWD_SHARED");
    char *path = folder != NULL ? shr_asprintf("%s/blocks/%s", folder, name)
                                : shr_asprintf("%s/../shared/blocks/%s", SHREWD_SOURCE_DIR, name);
    if (access(path, R_OK) != 0) {
        fprintf(stderr, "skipped: no %s (SHREWD_SHARED names the folder that holds blocks/)\n",
                path);
        free(path);
        return NULL;
    }
    return path;
}

/* Appends mainnet blocks 1 to 255 as records of magic, length, block; false when absent. */
static inline bool shared_first_blocks(struct shr_buf *out) {
    char *path = shared_block_path("blocks1-256.bz2");
    if (path == NULL) {
        return false;
    }
    char *command = shr_asprintf("bzip2 -dc '%s'", path);
    FILE *pipe = popen(command, "r");
    free(command);
    free(path);
    if (pipe == NULL) {
        return false;
    }
    size_t got;
    do {
        uint8_t *at = shr_buf_grow(out, 65536);
        got = fread(at, 1, 65536, pipe);
        out->len -= 65536 - got;
    } while (got > 0);
    if (pclose(pipe) != 0) {
        fprintf(stderr, "skipped: bzip2 -dc failed\n");
        return false;
    }
    return true;
}

#endif
