/* bench_root DBDIR [MILLIONS...]: what the state root costs a key, on RocksDB, in states of 1, 4
 * and 16 million keys (or those given, ascending): blocks of 10,000 updates, half of them to new
 * keys, half to random old ones; with the write of the tree's own rows. The mean of all blocks,
 * so that what compaction takes in the background shows. The state has come about in the same way
 * as it goes on: its last million keys came in blocks that wrote all over the tree. Those before
 * came in the order of their hashes, to save time. */
#include "base/alloc.h"
#include "base/clock.h"
#include "budget.h"
#include "state/root.h"

#include <inttypes.h>
#include <sys/resource.h>

#define BLOCK_KEYS 10000u
#define BLOCKS 100u
#define FILL_RANDOM 1000000u

struct key {
    char text[40];
    struct shr_pair pair;
    uint64_t value[4];
};

struct bench {
    struct shr_store *store;
    struct shr_root *root;
    uint32_t height;
    uint64_t n_keys; /* in the state */
    uint64_t random;
    struct key *keys;
    const struct shr_pair **pairs;
    size_t n, cap;
    uint64_t bytes;
};

static uint64_t next_random(struct bench *bench) {
    uint64_t z = bench->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static int make_text(char text[40], uint64_t i) {
    return snprintf(text, 40, "/balances/%016" PRIx64 "/amount", i * 0x9e3779b97f4a7c15u);
}

static void add_key(struct bench *bench, uint64_t i) {
    if (bench->n == bench->cap) {
        bench->cap = bench->cap == 0 ? BLOCK_KEYS : bench->cap * 2;
        bench->keys = shr_realloc_array(bench->keys, bench->cap, sizeof *bench->keys);
        bench->pairs = shr_realloc_array(bench->pairs, bench->cap, sizeof *bench->pairs);
    }
    struct key *key = &bench->keys[bench->n++];
    key->pair.key.len = (size_t)make_text(key->text, i);
    key->value[0] = next_random(bench);
}

/* ns for one block of the keys added. */
static uint64_t update(struct bench *bench) {
    struct shr_batch batch = {0};
    struct shr_hash hash;
    struct shrewd_error err;
    for (size_t i = 0; i < bench->n; i++) {
        struct key *key = &bench->keys[i];
        key->pair.key.data = (const uint8_t *)key->text;
        key->pair.value = shr_bytes(key->value, sizeof key->value);
        bench->pairs[i] = &key->pair;
    }
    uint64_t start = shr_now_ns();
    must(shr_root_update(bench->root, bench->height++, bench->pairs, bench->n, &batch, &hash, &err),
         &err);
    must(shr_store_write(bench->store, &batch, false, &err), &err);
    shr_root_written(bench->root);
    uint64_t took = shr_now_ns() - start;
    bench->bytes += batch.bytes;
    shr_batch_free(&batch);
    bench->n = 0;
    return took;
}

static int by_range(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* More keys, in the order of their hashes, a block for each first byte: each page is built about
 * once. */
static void fill_in_order(struct bench *bench, size_t n) {
    uint64_t *order = shr_alloc_array(n, sizeof *order); /* first bytes of the hash, key */
    for (size_t i = 0; i < n; i++) {
        char text[40];
        struct shr_hash hash;
        size_t len = (size_t)make_text(text, bench->n_keys + i);
        shr_sha256(&hash, shr_bytes(text, len));
        order[i] = (uint64_t)hash.b[0] << 56 | i;
    }
    qsort(order, n, sizeof *order, by_range);
    for (size_t i = 0; i < n; i++) {
        add_key(bench, bench->n_keys + (order[i] & (UINT64_MAX >> 8)));
        if (i + 1 == n || order[i + 1] >> 56 != order[i] >> 56) {
            update(bench);
        }
    }
    free(order);
    bench->n_keys += n;
}

static void fill(struct bench *bench, uint64_t n_keys) {
    if (n_keys > bench->n_keys + FILL_RANDOM) {
        fill_in_order(bench, n_keys - FILL_RANDOM - bench->n_keys);
    }
    while (bench->n_keys < n_keys) {
        uint64_t left = n_keys - bench->n_keys;
        for (uint64_t i = 0; i < left && i < BLOCK_KEYS; i++) {
            add_key(bench, bench->n_keys + i);
        }
        bench->n_keys += bench->n;
        update(bench);
    }
}

/* Of all threads, RocksDB's too. */
static double cpu_us(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void measure(struct bench *bench, unsigned millions) {
    uint64_t ns[BLOCKS], total = 0;
    char name[64];
    bench->bytes = 0;
    double cpu = cpu_us();
    for (unsigned block = 0; block < BLOCKS; block++) {
        /* Steps that do not meet again: no key comes twice. */
        uint64_t first = next_random(bench), step = bench->n_keys / (BLOCK_KEYS / 2);
        for (unsigned i = 0; i < BLOCK_KEYS; i += 2) {
            add_key(bench, (first % bench->n_keys + i / 2 * step) % bench->n_keys);
            add_key(bench, bench->n_keys + i / 2);
        }
        bench->n_keys += BLOCK_KEYS / 2;
        ns[block] = update(bench);
        total += ns[block];
    }
    snprintf(name, sizeof name, "root.us_per_key_%um", millions);
    print_result(name, (double)total / 1000 / BLOCKS / BLOCK_KEYS, "us");
    snprintf(name, sizeof name, "root.p50_us_per_key_%um", millions);
    print_result(name, percentile_us(ns, BLOCKS, 0.5) / BLOCK_KEYS, "us");
    snprintf(name, sizeof name, "root.p95_us_per_key_%um", millions);
    print_result(name, percentile_us(ns, BLOCKS, 0.95) / BLOCK_KEYS, "us");
    snprintf(name, sizeof name, "root.cpu_us_per_key_%um", millions);
    print_result(name, (cpu_us() - cpu) / BLOCKS / BLOCK_KEYS, "us");
    snprintf(name, sizeof name, "root.bytes_per_key_%um", millions);
    print_result(name, (double)bench->bytes / BLOCKS / BLOCK_KEYS, "B");
}

int main(int argc, char **argv) {
    static const unsigned usual[] = {1, 4, 16};
    struct shrewd_error err = {0};
    struct shr_rocks_options options = rocks_in_budget();
    struct bench bench = {.random = 7};
    if (argc < 2) {
        fprintf(stderr, "usage: %s DBDIR [MILLIONS...]\n", argv[0]);
        return 2;
    }
    must(shr_store_open_rocks(&bench.store, argv[1], &options, &err), &err);
    size_t cache_bytes = (size_t)daemon_budget().root_cache_mb << 20;
    bench.root = shr_root_new(bench.store, cache_bytes, SHR_ROOT_THREADS_DEFAULT);
    shr_root_set_aside(bench.root, argv[1], SHR_ROOT_ASIDE_TIMES * cache_bytes);
    for (int i = 0; i < (argc > 2 ? argc - 2 : 3); i++) {
        unsigned millions = argc > 2 ? (unsigned)atoi(argv[2 + i]) : usual[i];
        fill(&bench, (uint64_t)millions * 1000000);
        measure(&bench, millions);
    }
    shr_root_free(bench.root);
    shr_store_close(bench.store);
    free(bench.keys);
    free(bench.pairs);
    return 0;
}
