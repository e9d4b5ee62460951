/* bench_sync URL AUTH MODULE DBDIR N: how fast blocks 0 to N of a node's chain are indexed, with a
 * state root in DBDIR and without one in DBDIR-noroot, and how fast the node itself hands them out
 * over REST on one connection. */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"
#include "index/follow.h"
#include "lib/lib.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t count_bytes(char *data, size_t size, size_t n, void *ctx) {
    *(size_t *)ctx += size * n;
    return size * n;
}

/* Fetches every block by its hash on one keep-alive connection. */
static double rest_seconds(const char *url, struct shr_source *source, uint32_t last) {
    char(*urls)[512] = calloc(last + 1, sizeof *urls);
    CURL *curl = curl_easy_init();
    size_t bytes = 0;
    double seconds = -1;
    for (uint32_t height = 0; height <= last; height++) {
        struct shr_hash hash;
        char hex[SHR_HASH_HEX_LEN + 1];
        if (shr_source_hash_at(source, &hash, height, NULL) != 0) {
            goto out;
        }
        shr_hash_hex(hex, &hash);
        snprintf(urls[height], sizeof urls[height], "%.400s/rest/block/%s.bin", url, hex);
    }
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, count_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &bytes);
    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    uint64_t start = shr_now_ns();
    for (uint32_t height = 0; height <= last; height++) {
        curl_easy_setopt(curl, CURLOPT_URL, urls[height]);
        if (curl_easy_perform(curl) != CURLE_OK) {
            goto out;
        }
    }
    seconds = (double)(shr_now_ns() - start) / 1e9;
out:
    curl_easy_cleanup(curl);
    free(urls);
    return seconds;
}

static int sync_seconds(double *out, char **argv, const char *dir, unsigned root,
                        struct shr_stop *stop, uint32_t last, struct shrewd_error *err) {
    struct shr_node_options node = {.url = argv[1], .auth = argv[2]};
    struct shr_source *source = NULL;
    struct shrewd *shrewd = NULL;
    struct shr_hash genesis;
    struct shr_progress progress = {0};
    struct shr_follow_options follow = {.exit_at = last};
    int code = shr_node_open(&source, stop, &node, err);
    if (code == 0) {
        code = shr_source_genesis(source, &genesis, err);
    }
    if (code == 0) {
        struct shrewd_options options = {
            .flags = SHREWD_CREATE | root,
            .db_path = dir,
            .module_path = argv[3],
            .genesis32 = genesis.b,
        };
        code = shrewd_open(&shrewd, &options, err);
    }
    if (code == 0) {
        uint64_t start = shr_now_ns();
        code = shr_follow(shr_lib_state(shrewd), shr_lib_module(shrewd), source, &follow, &progress,
                          err);
        *out = (double)(shr_now_ns() - start) / 1e9;
    }
    shrewd_close(shrewd);
    shr_source_close(source);
    return code;
}

int main(int argc, char **argv) {
    struct shrewd_error err = {0};
    struct shr_stop stop;
    struct shr_source *source = NULL;
    double sync = 0, noroot = 0;
    if (argc != 6 || shr_stop_init(&stop) != 0) {
        fprintf(stderr, "usage: %s URL USER:PASS MODULE DBDIR LAST_HEIGHT\n", argv[0]);
        return 2;
    }
    shr_log_set_level(SHR_LOG_WARN);
    uint32_t last = (uint32_t)strtoul(argv[5], NULL, 10);
    struct shr_node_options node = {.url = argv[1], .auth = argv[2]};
    if (shr_node_open(&source, &stop, &node, &err) != 0) {
        fprintf(stderr, "bench_sync: %s\n", err.message);
        return 1;
    }
    double rest = rest_seconds(argv[1], source, last);
    shr_source_close(source);
    char *dir = shr_asprintf("%s-noroot", argv[4]);
    int code = sync_seconds(&sync, argv, argv[4], SHREWD_STATE_ROOT_ON, &stop, last, &err);
    if (code == 0) {
        code = sync_seconds(&noroot, argv, dir, SHREWD_STATE_ROOT_OFF, &stop, last, &err);
    }
    free(dir);
    if (rest < 0 || code != 0) {
        fprintf(stderr, "bench_sync: %s\n",
                rest < 0 ? "the node's REST did not answer" : err.message);
        return 1;
    }
    printf("sync.small_blocks_per_s %.0f blocks/s\n", (last + 1) / sync);
    printf("sync.small_noroot_blocks_per_s %.0f blocks/s\n", (last + 1) / noroot);
    printf("sync.node_rest_blocks_per_s %.0f blocks/s\n", (last + 1) / rest);
    return 0;
}
