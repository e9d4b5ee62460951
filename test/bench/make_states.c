/* make_states DB KEYS BLOCKS MODULE LAST [ALTERED]: a database such as the module could have made
 * from the chain in the file BLOCKS, up to height LAST, with KEYS keys: those whose SHA-256 begins
 * with the byte h come with block h; later blocks write a few each. At height ALTERED one key gets
 * another value. A database that is there is gone on with. For comparing large states. */
#include "base/alloc.h"
#include "measure.h"
#include "node/source.h"
#include "state/state.h"
#include "wasm/guest.h"

#include <inttypes.h>
#include <stdlib.h>

#define RANGES 256u
#define TEXT_BYTES 40
#define FEW 10u /* keys of a later block */

struct maker {
    uint64_t n_keys;
    uint64_t *order; /* keys by range: the range, then the key's number */
    uint32_t altered;
    struct shr_state *state;
    char (*texts)[TEXT_BYTES];
    struct shr_pair *pairs;
    size_t n;
};

static size_t make_text(char text[TEXT_BYTES], uint64_t i) {
    return (size_t)snprintf(text, TEXT_BYTES, "/balances/%016" PRIx64, i * 0x9e3779b97f4a7c15u);
}

static int by_range(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void sort_keys(struct maker *maker) {
    maker->order = shr_alloc_array(maker->n_keys + 1, sizeof *maker->order);
    for (uint64_t i = 0; i < maker->n_keys; i++) {
        char text[TEXT_BYTES];
        struct shr_hash hash;
        shr_sha256(&hash, shr_bytes(text, make_text(text, i)));
        maker->order[i] = (uint64_t)hash.b[0] << 56 | i;
    }
    qsort(maker->order, maker->n_keys, sizeof *maker->order, by_range);
}

static void add_pair(struct maker *maker, uint64_t key, struct shr_bytes value) {
    char *text = maker->texts[maker->n];
    maker->pairs[maker->n++].key = shr_bytes(text, make_text(text, key));
    maker->pairs[maker->n - 1].value = value;
}

static void apply(struct maker *maker, uint32_t height, const struct shr_hash *hash) {
    struct shrewd_error err;
    uint64_t first = 0, last = maker->n_keys;
    uint8_t values[2] = {(uint8_t)height, (uint8_t)(height == maker->altered)};
    maker->n = 0;
    while (first < maker->n_keys && maker->order[first] >> 56 < height) {
        first++;
    }
    last = first;
    while (last < maker->n_keys && maker->order[last] >> 56 == height) {
        last++;
    }
    size_t n = height < RANGES ? last - first : FEW;
    maker->texts = shr_realloc_array(maker->texts, n + 1, sizeof *maker->texts);
    maker->pairs = shr_realloc_array(maker->pairs, n + 1, sizeof *maker->pairs);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t key = height < RANGES ? maker->order[first + i] & (UINT64_MAX >> 8)
                                       : (height * 7919u + i * 104729u) % maker->n_keys;
        add_pair(maker, key, shr_bytes(values, i == FEW / 2 ? 2 : 1));
    }
    struct shr_block_change change = {
        .height = height, .hash = *hash, .pairs = maker->pairs, .n_pairs = n};
    must(shr_state_apply(maker->state, &change, false, &err), &err);
}

static void open_state(struct maker *maker, const char *dir, struct shr_source *blocks,
                       const char *module_path) {
    struct shrewd_error err;
    struct shr_engine *engine = NULL;
    struct shr_module *module = NULL;
    struct shr_store *store = NULL;
    struct shr_identity identity = {.keep_root = SHR_KEEP_ROOT_YES};
    struct shr_rocks_options options = {.create = true};
    must(shr_engine_new(&engine, &err), &err);
    must(shr_module_open(&module, engine, module_path, NULL, &err), &err);
    identity.module_hash = *shr_module_hash(module);
    shr_module_free(module);
    shr_engine_free(engine);
    must(shr_source_genesis(blocks, &identity.genesis, &err), &err);
    must(shr_store_open_rocks(&store, dir, &options, &err), &err);
    must(shr_state_open(&maker->state, store, &identity, false, &err), &err);
}

int main(int argc, char **argv) {
    struct maker maker = {.altered = UINT32_MAX};
    struct shrewd_error err = {0};
    struct shr_source *blocks = NULL;
    struct shr_block_record tip;
    struct shr_stop stop;
    if (argc < 6 || argc > 7) {
        fprintf(stderr, "usage: %s DB KEYS BLOCKS MODULE LAST [ALTERED]\n", argv[0]);
        return 2;
    }
    maker.n_keys = strtoull(argv[2], NULL, 10);
    uint32_t last = (uint32_t)strtoul(argv[5], NULL, 10);
    maker.altered = argc == 7 ? (uint32_t)strtoul(argv[6], NULL, 10) : UINT32_MAX;
    if (shr_stop_init(&stop) != 0) {
        perror("make_states");
        return 1;
    }
    must(shr_files_open(&blocks, &stop, argv[3], 0, &err), &err);
    open_state(&maker, argv[1], blocks, argv[4]);
    sort_keys(&maker);
    uint32_t height = shr_state_tip(maker.state, &tip, &err) == 0 ? tip.height + 1 : 0;
    for (; height <= last; height++) {
        struct shr_hash hash;
        must(shr_source_hash_at(blocks, &hash, height, &err), &err);
        apply(&maker, height, &hash);
    }
    shr_state_close(maker.state);
    shr_source_close(blocks);
    free(maker.order);
    free(maker.texts);
    free(maker.pairs);
    return 0;
}
