/* make_blocks DIR FULL [TXS [SEED]]: writes a regtest chain as block files (DIR/blk00000.dat, ...),
 * in the format of a node's blocks/ folder: genesis, some 100 empty blocks until coinbases mature,
 * then blocks that pay and spend (node/generated.h) until FULL of them hold at least 1 MB. TXS
 * bounds the transactions of a block; without it, its weight does. The same arguments give the
 * same bytes everywhere. Prints the height of the first full block, of the last, and all bytes. */
#include "base/endian.h"
#include "chain/network.h"
#include "node/generated_chain.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_BYTES_MAX ((uint64_t)128 << 20) /* as Bitcoin Core's */
#define FULL_BYTES 1000000u
#define SCRIPTS 200000u
#define TXS_MAX 10000u

struct out {
    const char *dir;
    FILE *file;
    unsigned number;
    uint64_t in_file, bytes;
};

static void give_up(const char *what) {
    perror(what);
    exit(1);
}

static void next_file(struct out *out) {
    char path[4096];
    if (out->file != NULL && fclose(out->file) != 0) {
        give_up("make_blocks: cannot write");
    }
    snprintf(path, sizeof path, "%s/blk%05u.dat", out->dir, out->number++);
    out->file = fopen(path, "we");
    out->in_file = 0;
    if (out->file == NULL) {
        give_up(path);
    }
}

static void write_record(struct out *out, const struct shr_buf *block) {
    uint8_t head[8];
    if (out->file == NULL || out->in_file + block->len > FILE_BYTES_MAX) {
        next_file(out);
    }
    memcpy(head, shr_network_by_name("regtest")->magic, 4);
    shr_put_le32(head + 4, (uint32_t)block->len);
    if (fwrite(head, sizeof head, 1, out->file) != 1 ||
        fwrite(block->data, block->len, 1, out->file) != 1) {
        give_up("make_blocks: cannot write");
    }
    out->in_file += sizeof head + block->len;
    out->bytes += block->len;
}

int main(int argc, char **argv) {
    if (argc < 3 || argc > 5) {
        fprintf(stderr, "usage: %s DIR FULL_BLOCKS [TXS_PER_BLOCK [SEED]]\n", argv[0]);
        return 2;
    }
    const struct shr_network *regtest = shr_network_by_name("regtest");
    unsigned long full_wanted = strtoul(argv[2], NULL, 10);
    uint32_t txs = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : TXS_MAX;
    struct out out = {.dir = argv[1]};
    struct shr_maker maker;
    struct shr_buf block = {0};
    struct shr_hash prev = regtest->genesis_hash;
    struct shrewd_error err;
    uint32_t height = 0, first_full = 0;
    shr_maker_init(&maker, argc > 4 ? strtoull(argv[4], NULL, 10) : 1, SCRIPTS, txs);
    mkdir(argv[1], 0777); /* or there already */
    shr_network_genesis(&block, regtest);
    write_record(&out, &block);
    for (unsigned long full = 0; full < full_wanted;) {
        struct shr_hash hash;
        shr_buf_clear(&block);
        if (shr_maker_block(&block, &hash, &maker, ++height, &prev, &err) != 0) {
            fprintf(stderr, "make_blocks: block %" PRIu32 ": %s\n", height, err.message);
            return 1;
        }
        prev = hash;
        write_record(&out, &block);
        bool is_full = block.len >= FULL_BYTES || (argc > 3 && height > 200);
        first_full = is_full && full == 0 ? height : first_full;
        full += is_full;
    }
    if (out.file != NULL && fclose(out.file) != 0) {
        give_up("make_blocks: cannot write");
    }
    printf("%" PRIu32 " %" PRIu32 " %" PRIu64 "\n", first_full, height, out.bytes);
    shr_buf_free(&block);
    shr_maker_deinit(&maker);
    return 0;
}
