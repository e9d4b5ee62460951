/* bench_reads DBDIR: what one read of a small value costs, on RocksDB: from the read cache, on one
 * thread and on two, with the cache off, and in the past; and opening a reader. Runs are short and
 * many, and each figure is the first decile of them: what the code costs, not its neighbours. */
#include "base/alloc.h"
#include "base/clock.h"
#include "state/state.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define KEYS 1000
#define BLOCKS 50
#define RUNS 201

struct load {
    struct shr_state *state;
    struct shr_reader *reader;
    uint32_t height;
    unsigned rounds; /* over all keys */
    _Atomic unsigned ready;
    unsigned threads;
    _Atomic uint64_t ns; /* of the slowest thread */
};

/* All threads begin together. */
static uint64_t begin(struct load *load) {
    atomic_fetch_add(&load->ready, 1);
    while (atomic_load(&load->ready) < load->threads) {
    }
    return shr_now_ns();
}

static void end(struct load *load, uint64_t start) {
    uint64_t ns = shr_now_ns() - start, most = atomic_load(&load->ns);
    while (ns > most && !atomic_compare_exchange_weak(&load->ns, &most, ns)) {
    }
}

static void key_of(uint32_t i, char key[32]) {
    snprintf(key, 32, "/benchmark/%08u", i);
}

static int fill(struct shr_state *state, struct shrewd_error *err) {
    static char keys[KEYS][32];
    static struct shr_pair pairs[KEYS];
    for (uint32_t height = 0; height < BLOCKS; height++) {
        for (uint32_t i = 0; i < KEYS; i++) {
            key_of(i, keys[i]);
            pairs[i].key = shr_bytes_str(keys[i]);
            pairs[i].value = shr_bytes(&height, sizeof height);
        }
        struct shr_block_change change = {.height = height, .pairs = pairs, .n_pairs = KEYS};
        int code = shr_state_apply(state, &change, false, err);
        if (code != 0) {
            return code;
        }
    }
    return 0;
}

static void *read_all(void *ctx) {
    struct load *load = ctx;
    static _Thread_local char keys[KEYS][32];
    struct shr_buf value = {0};
    for (uint32_t i = 0; i < KEYS; i++) {
        key_of(i, keys[i]);
    }
    uint64_t start = begin(load);
    for (unsigned round = 0; round < load->rounds; round++) {
        for (uint32_t i = 0; i < KEYS; i++) {
            if (shr_reader_get(load->reader, &value, shr_bytes_str(keys[i]), load->height, NULL) !=
                    0 ||
                value.len != 4) {
                fprintf(stderr, "bench_reads: a key is missing\n");
                exit(1);
            }
        }
    }
    end(load, start);
    shr_buf_free(&value);
    return NULL;
}

static void *open_readers(void *ctx) {
    struct load *load = ctx;
    uint64_t start = begin(load);
    for (unsigned i = 0; i < load->rounds * KEYS; i++) {
        struct shr_reader *reader = NULL;
        if (shr_reader_open(&reader, load->state, NULL) == 0) {
            shr_reader_close(reader);
        }
    }
    end(load, start);
    return NULL;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Nanoseconds for one read on one of the threads. */
static double measure(struct load *load, void *(*work)(void *), unsigned threads) {
    double ns[RUNS];
    for (int run = -1; run < RUNS; run++) {
        pthread_t ids[8];
        load->threads = threads;
        atomic_store(&load->ready, 0);
        atomic_store(&load->ns, 0);
        for (unsigned i = 1; i < threads; i++) {
            if (pthread_create(&ids[i], NULL, work, load) != 0) {
                abort();
            }
        }
        work(load);
        for (unsigned i = 1; i < threads; i++) {
            pthread_join(ids[i], NULL);
        }
        if (run >= 0) {
            ns[run] = (double)atomic_load(&load->ns) / load->rounds / KEYS;
        }
    }
    qsort(ns, RUNS, sizeof ns[0], by_value);
    return ns[RUNS / 10];
}

static void report(struct load *load) {
    load->rounds = 20;
    load->height = BLOCKS - 1;
    double one = measure(load, read_all, 1), two = measure(load, read_all, 2);
    printf("read.cached_ns %.0f ns\n", one);
    printf("read.cached_2threads_ratio %.2f x\n", 2 * one / two);
    load->height = BLOCKS / 2;
    printf("read.cached_past_ns %.0f ns\n", measure(load, read_all, 1));
    printf("read.open_reader_ns %.0f ns\n", measure(load, open_readers, 1));
    shr_reader_close(load->reader);
    shr_state_set_cache(load->state, 0);
    (void)shr_reader_open(&load->reader, load->state, NULL);
    load->rounds = 1;
    load->height = BLOCKS - 1;
    printf("read.rocksdb_ns %.0f ns\n", measure(load, read_all, 1));
    load->height = BLOCKS / 2;
    printf("read.rocksdb_past_ns %.0f ns\n", measure(load, read_all, 1));
}

int main(int argc, char **argv) {
    struct shrewd_error err = {0};
    struct shr_rocks_options options = {.create = true};
    struct shr_identity identity = {.start_height = 0};
    struct shr_store *store = NULL;
    struct load load = {0};
    if (argc != 2) {
        fprintf(stderr, "usage: %s DBDIR\n", argv[0]);
        return 2;
    }
    if (shr_store_open_rocks(&store, argv[1], &options, &err) != 0 ||
        shr_state_open(&load.state, store, &identity, false, &err) != 0 ||
        fill(load.state, &err) != 0 || shr_reader_open(&load.reader, load.state, &err) != 0) {
        fprintf(stderr, "bench_reads: %s\n", err.message);
        return 1;
    }
    report(&load);
    shr_reader_close(load.reader);
    shr_state_close(load.state);
    return 0;
}
