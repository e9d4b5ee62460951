/* embed.c: libshrewd in a program of your own.
 *
 *   embed MODULE BLOCK VIEW
 *
 * indexes one block (a file of its raw bytes; "-" stands for regtest's genesis block) in memory
 * and prints what the view answers. After `make install`:
 *
 *   cc embed.c -o embed $(pkg-config --cflags --libs shrewd)
 */
#include <shrewd/shrewd.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The hash of regtest's genesis block, in internal byte order: what the state is bound to. */
static const uint8_t regtest_genesis[32] = {
    0x06, 0x22, 0x6e, 0x46, 0x11, 0x1a, 0x0b, 0x59, 0xca, 0xaf, 0x12, 0x60, 0x43, 0xeb, 0x5b, 0xbf,
    0x28, 0xc3, 0x4f, 0x3a, 0x5e, 0x33, 0x2a, 0x1f, 0xc7, 0xb2, 0xb7, 0x3c, 0xf1, 0x88, 0x91, 0x0f,
};

/* That block: header, one coinbase. */
static const char regtest_genesis_block[] =
    "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c"
    "3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4adae5494dffff7f200200000001010000000100000000000000"
    "00000000000000000000000000000000000000000000000000ffffffff4d04ffff001d0104455468652054696d65"
    "732030332f4a616e2f32303039204368616e63656c6c6f72206f6e206272696e6b206f66207365636f6e64206261"
    "696c6f757420666f722062616e6b73ffffffff0100f2052a01000000434104678afdb0fe5548271967f1a67130b7"
    "105cd6a828e03909a67962e0ea1f61deb649f6bc3f4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6b"
    "f11d5fac00000000";

static size_t genesis_bytes(uint8_t *out) {
    size_t len = strlen(regtest_genesis_block) / 2;
    for (size_t i = 0; i < len; i++) {
        unsigned byte = 0;
        sscanf(regtest_genesis_block + 2 * i, "%2x", &byte);
        out[i] = (uint8_t)byte;
    }
    return len;
}

int main(int argc, char **argv) {
    static uint8_t block[4000000];
    struct shrewd *shrewd = NULL;
    struct shrewd_error err;
    uint8_t *answer = NULL;
    size_t len = 0;
    int status = 1;
    if (argc != 4) {
        fprintf(stderr, "usage: %s MODULE BLOCK VIEW\n", argv[0]);
        return 2;
    }
    if (strcmp(argv[2], "-") == 0) {
        len = genesis_bytes(block);
    } else {
        FILE *file = fopen(argv[2], "rb");
        if (file == NULL) {
            perror(argv[2]);
            return 1;
        }
        len = fread(block, 1, sizeof block, file);
        fclose(file);
    }
    const struct shrewd_options options = {
        .flags = SHREWD_IN_MEMORY,
        .module_path = argv[1],
        .genesis32 = regtest_genesis,
    };
    if (shrewd_open(&shrewd, &options, &err) != 0 ||
        shrewd_index_block(shrewd, block, len, &err) != 0 ||
        shrewd_view(shrewd, &answer, &len, argv[3], NULL, 0, SHREWD_LATEST, &err) != 0) {
        fprintf(stderr, "%s\n", err.message);
        goto out;
    }
    for (size_t i = 0; i < len; i++) {
        printf("%02x", answer[i]);
    }
    printf("\n");
    status = 0;
out:
    shrewd_free(answer);
    shrewd_close(shrewd);
    return status;
}
