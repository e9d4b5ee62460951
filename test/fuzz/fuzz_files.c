/* Any bytes as a block file: found blocks must be the file's own bytes, and each of them served. */
#include "base/alloc.h"
#include "base/log.h"
#include "node/source.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void require(bool holds) {
    if (!holds) {
        abort();
    }
}

static void walk(struct shr_source *source) {
    struct shr_tip tip;
    struct shr_buf block = {0};
    struct shr_hash parent = {{0}};
    require(shr_source_tip(source, &tip, NULL) == 0);
    uint32_t height = tip.height;
    /* Downwards from the tip, each the parent of the one before. */
    for (struct shr_hash hash; shr_source_hash_at(source, &hash, height, NULL) == 0; height--) {
        struct shr_hash found;
        struct shr_header header;
        require(height == tip.height || shr_hash_eq(&hash, &parent));
        require(shr_source_block(source, &block, &hash, NULL) == 0);
        shr_header_hash(&found, shr_buf_bytes(&block));
        require(shr_hash_eq(&found, &hash));
        require(shr_header_parse(&header, shr_buf_bytes(&block), NULL) == 0);
        parent = header.prev;
        if (height == 0) {
            break;
        }
    }
    shr_buf_free(&block);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    static struct shr_stop stop;
    static int file = -1;
    if (file < 0) {
        require(shr_stop_init(&stop) == 0);
        shr_log_set_level(SHR_LOG_OFF);
        file = memfd_create("fuzz_files", 0);
        require(file >= 0);
    }
    require(ftruncate(file, 0) == 0);
    require(pwrite(file, data, len, 0) == (ssize_t)len);
    char *path = shr_asprintf("/proc/self/fd/%d", file);
    struct shr_source *source = NULL;
    struct shrewd_error err;
    if (shr_files_open(&source, &stop, path, 7, &err) == 0) {
        walk(source);
    }
    shr_source_close(source);
    free(path);
    return 0;
}
