/* bench_files BLOCKS MODULE DBDIR: how fast a node's block files are indexed, first height to
 * last, in MB (1e6 bytes) of blocks a second, the look through the files included. */
#include "base/clock.h"
#include "base/log.h"
#include "index/follow.h"
#include "lib/lib.h"

#include <stdio.h>

static int sync_files(double *mb_per_s, char **argv, struct shr_stop *stop,
                      struct shrewd_error *err) {
    struct shr_source *source = NULL;
    struct shrewd *shrewd = NULL;
    struct shr_hash genesis;
    struct shr_progress progress = {0};
    struct shr_follow_options follow = {.exit_at = SHR_NO_EXIT};
    uint64_t start = shr_now_ns();
    int code = shr_files_open(&source, stop, argv[1], 0, err);
    if (code == 0) {
        code = shr_source_genesis(source, &genesis, err);
    }
    if (code == 0) {
        struct shrewd_options options = {
            .flags = SHREWD_CREATE,
            .db_path = argv[3],
            .module_path = argv[2],
            .genesis32 = genesis.b,
        };
        code = shrewd_open(&shrewd, &options, err);
    }
    if (code == 0) {
        code = shr_follow(shr_lib_state(shrewd), shr_lib_module(shrewd), source, &follow, &progress,
                          err);
        *mb_per_s = (double)atomic_load(&progress.bytes) * 1e3 / (double)(shr_now_ns() - start);
    }
    shrewd_close(shrewd);
    shr_source_close(source);
    return code;
}

int main(int argc, char **argv) {
    struct shrewd_error err = {0};
    struct shr_stop stop;
    double mb_per_s = 0;
    if (argc != 4 || shr_stop_init(&stop) != 0) {
        fprintf(stderr, "usage: %s BLOCKS MODULE DBDIR\n", argv[0]);
        return 2;
    }
    shr_log_set_level(SHR_LOG_WARN);
    if (sync_files(&mb_per_s, argv, &stop, &err) != 0) {
        fprintf(stderr, "bench_files: %s\n", err.message);
        return 1;
    }
    printf("sync.files_mb_per_s %.1f MB/s\n", mb_per_s);
    return 0;
}
