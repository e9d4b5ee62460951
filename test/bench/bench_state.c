/* bench_state DBDIR [MILLIONS [BLOCKS]]: the versioned state on RocksDB, with up to 16 MILLIONS of
 * keys: how fast BLOCKS (100) blocks of 5,000 new and 5,000 overwritten keys are applied with 1, 4
 * and 16 million keys held, what an entry takes on disk, how long opening takes after a clean close
 * and after a kill, and a rollback of 100 blocks of 5,000 keys right after opening, and the next
 * block.
 *
 * BLOCKS 0 only fills, so that a measurement can begin with a copy. Keys are numbered in the order
 * in which they are first written, so a folder that holds some is gone on with: it is brought to
 * the sizes above that it is still below. A new one keeps a state root unless $SHREWD_BENCH_ROOT is
 * "off". It is one of regtest's; with $SHREWD_BENCH_MODULE, of that module, so that `shrewd run`
 * can serve it. Keys have a prefix of a table and 32 bytes of a hash, values an amount and up to 32
 * bytes of a hash: 8 to 40 bytes. */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "budget.h"
#include "state/state.h"

#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define MILLION 1000000u
#define FILL_PAIRS 50000u /* new keys of a block that fills */
#define BLOCK_NEW 5000u
#define BLOCK_PAIRS (2 * BLOCK_NEW)
#define UNDONE_BLOCKS 100u
#define UNDONE_PAIRS 5000u
#define KEY_BYTES_MAX 48
#define VALUE_BYTES_MAX 40
#define MODULE_BYTES_MAX ((size_t)1 << 26)
#define DIES "dies" /* instead of MILLIONS: what this program calls itself with */

struct bench {
    const char *dir;
    struct shr_store *store; /* the state's own */
    struct shr_state *state;
    uint64_t held; /* keys 0 to held - 1 */
    uint32_t next; /* height */
    uint64_t seed;
    struct shr_pair pairs[FILL_PAIRS];
    uint8_t keys[FILL_PAIRS][KEY_BYTES_MAX];
    uint8_t values[FILL_PAIRS][VALUE_BYTES_MAX];
    size_t n_pairs;
};

/* splitmix64 */
static uint64_t mix(uint64_t z) {
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void fill_random(uint8_t *out, size_t words, uint64_t seed) {
    for (size_t i = 0; i < words; i++) {
        uint64_t word = mix(seed + i * 0x2545f4914f6cdd1du);
        memcpy(out + 8 * i, &word, sizeof word);
    }
}

static uint64_t below(struct bench *bench, uint64_t n) {
    bench->seed = mix(bench->seed);
    return bench->seed % n;
}

static struct shr_bytes key_of(uint8_t out[KEY_BYTES_MAX], uint64_t number) {
    static const char *const tables[] = {"/utxo/", "/balance/", "/script/"};
    const char *table = tables[mix(number) % 3];
    size_t len = strlen(table);
    memcpy(out, table, len);
    fill_random(out + len, 4, number << 8);
    return shr_bytes(out, len + 32);
}

/* The value that block `height` gives to a key. */
static struct shr_bytes value_of(uint8_t out[VALUE_BYTES_MAX], uint64_t number, uint32_t height) {
    uint64_t random = mix(number * 0x9e3779b97f4a7c15u + height);
    uint64_t amount = random % 100000000000u;
    memcpy(out, &amount, sizeof amount);
    fill_random(out + 8, 4, random);
    return shr_bytes(out, 8 + (random >> 48) % 33);
}

static void add_pair(struct bench *bench, uint64_t number) {
    size_t at = bench->n_pairs++;
    bench->pairs[at].key = key_of(bench->keys[at], number);
    bench->pairs[at].value = value_of(bench->values[at], number, bench->next);
}

/* A block of new keys and of ones that are held, anywhere among all of them. */
static void make_block(struct bench *bench, uint32_t n_new, uint32_t n_old) {
    uint64_t before = bench->held;
    bench->n_pairs = 0;
    for (uint32_t i = 0; i < n_new; i++) {
        add_pair(bench, bench->held++);
    }
    for (uint32_t i = 0; i < n_old; i++) {
        add_pair(bench, below(bench, before));
    }
}

/* Gives the nanoseconds that it took. */
static uint64_t apply_block(struct bench *bench) {
    struct shrewd_error err;
    struct shr_block_change change = {
        .height = bench->next++, .pairs = bench->pairs, .n_pairs = bench->n_pairs};
    uint64_t start = shr_now_ns();
    must(shr_state_apply(bench->state, &change, false, &err), &err);
    return shr_now_ns() - start;
}

/* Of the module that is to serve it, if any. */
static struct shr_identity identity_wanted(void) {
    struct shrewd_error err;
    const char *root = getenv("SHREWD_BENCH_ROOT"), *path = getenv("SHREWD_BENCH_MODULE");
    bool off = root != NULL && strcmp(root, "off") == 0;
    struct shr_identity identity = {.keep_root = off ? SHR_KEEP_ROOT_NO : SHR_KEEP_ROOT_YES,
                                    .genesis = shr_network_by_name("regtest")->genesis_hash};
    if (path != NULL) {
        struct shr_buf wasm = {0};
        must(shr_file_read(&wasm, path, MODULE_BYTES_MAX, &err), &err);
        shr_sha256(&identity.module_hash, shr_buf_bytes(&wasm));
        shr_buf_free(&wasm);
    }
    return identity;
}

/* Until a key can be read: in ns. */
static uint64_t open_state(struct bench *bench) {
    struct shrewd_error err;
    struct shr_rocks_options options = rocks_in_budget();
    struct shr_config config = daemon_budget();
    struct shr_identity identity = identity_wanted();
    struct shr_block_record tip = {0};
    struct shr_buf value = {0};
    uint8_t key[KEY_BYTES_MAX];
    uint64_t start = shr_now_ns();
    must(shr_store_open_rocks(&bench->store, bench->dir, &options, &err), &err);
    must(shr_state_open(&bench->state, bench->store, &identity, false, &err), &err);
    shr_state_set_cache(bench->state, (size_t)config.read_cache_mb << 20);
    shr_state_set_root_cache(bench->state, (size_t)config.root_cache_mb << 20);
    int code = shr_state_tip(bench->state, &tip, &err);
    if (code == 0) {
        must(shr_state_get_latest(bench->state, &value, key_of(key, 0), &err), &err);
    } else if (code != SHREWD_NOT_FOUND) {
        must(code, &err);
    }
    uint64_t took = shr_now_ns() - start;
    shr_buf_free(&value);
    bench->held = tip.total_keys;
    bench->next = code == 0 ? tip.height + 1 : 0;
    bench->seed = mix(bench->next);
    return took;
}

static void close_state(struct bench *bench) {
    shr_state_close(bench->state);
    bench->state = NULL;
}

/* CPU of all threads, and the most memory, of this process. */
static double cpu_s(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static double peak_mb(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss / 1024;
}

static void print_at(const char *name, uint64_t millions, double value, const char *unit) {
    char full[80];
    snprintf(full, sizeof full, "state.%s_%llum", name, (unsigned long long)millions);
    print_result(full, value, unit);
}

/* Fills up to so many keys, then times blocks of the size that is asked for. */
static double measure_at(struct bench *bench, uint64_t millions, uint32_t blocks) {
    uint64_t wanted = millions * MILLION, ns = 0;
    uint64_t *each = shr_alloc_array(blocks, sizeof *each);
    while (bench->held < wanted) {
        uint64_t left = wanted - bench->held;
        make_block(bench, left < FILL_PAIRS ? (uint32_t)left : FILL_PAIRS, 0);
        apply_block(bench);
    }
    if (blocks == 0) {
        free(each);
        return 0;
    }
    double cpu = cpu_s();
    for (uint32_t i = 0; i < blocks; i++) {
        make_block(bench, BLOCK_NEW, BLOCK_NEW);
        ns += each[i] = apply_block(bench);
    }
    double pairs = (double)blocks * BLOCK_PAIRS, per_s = pairs * 1e9 / (double)ns;
    print_at("apply_keys_per_s", millions, per_s, "keys/s");
    print_at("apply_cpu_us_per_key", millions, (cpu_s() - cpu) * 1e6 / pairs, "us");
    print_at("apply_block_p50_ms", millions, percentile_us(each, blocks, 0.5) / 1000, "ms");
    print_at("apply_block_p99_ms", millions, percentile_us(each, blocks, 0.99) / 1000, "ms");
    free(each);
    return per_s;
}

struct entries {
    uint64_t n, bytes;
};

/* Every version that any block wrote, and its key. */
static struct entries count_entries(struct bench *bench) {
    struct entries all = {0};
    struct shrewd_error err;
    for (uint32_t height = 0; height < bench->next; height++) {
        struct shr_block_record record;
        must(shr_state_block(bench->state, &record, height, &err), &err);
        all.n += record.n_keys;
        all.bytes += record.key_bytes + record.value_bytes;
    }
    return all;
}

static void report_size(struct bench *bench) {
    struct shr_sizes sizes;
    struct shrewd_error err;
    must(shr_state_sizes(bench->state, &sizes, &err), &err);
    struct entries all = count_entries(bench);
    print_result("state.bytes_per_entry", (double)sizes.bytes / (double)all.n, "bytes");
    print_result("state.raw_bytes_per_entry", (double)all.bytes / (double)all.n, "bytes");
}

/* Ends this process, having applied blocks, without closing anything. */
static _Noreturn void apply_and_die(struct bench *bench) {
    open_state(bench);
    for (uint32_t i = 0; i < UNDONE_BLOCKS; i++) {
        make_block(bench, UNDONE_PAIRS / 2, UNDONE_PAIRS / 2);
        apply_block(bench);
    }
    _exit(0);
}

/* Has another program do that: RocksDB's threads do not follow a fork, and a write would wait for
 * them for ever. */
static void let_apply_and_die(struct bench *bench) {
    pid_t child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "bench_state", bench->dir, DIES, (char *)NULL);
        _exit(1);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
        fprintf(stderr, "bench_state: the process that applies blocks and dies failed\n");
        exit(1);
    }
}

/* Rolls back the blocks of a process that was killed, right after opening. */
static void measure_rollback(struct bench *bench) {
    struct shrewd_error err;
    uint64_t held = bench->held;
    uint32_t next = bench->next;
    close_state(bench);
    print_result("startup_ms", (double)open_state(bench) / 1e6, "ms");
    report_size(bench);
    close_state(bench);
    let_apply_and_die(bench);
    print_result("startup_after_kill_ms", (double)open_state(bench) / 1e6, "ms");
    if (bench->next != next + UNDONE_BLOCKS) {
        fprintf(stderr, "bench_state: blocks are missing after a kill\n");
        exit(1);
    }
    uint64_t start = shr_now_ns();
    must(shr_state_rollback(bench->state, next - 1, &err), &err);
    print_result("rollback.100x5000_ms", (double)(shr_now_ns() - start) / 1e6, "ms");
    struct shr_block_record tip;
    must(shr_state_tip(bench->state, &tip, &err), &err);
    if (tip.height != next - 1 || tip.total_keys != held) {
        fprintf(stderr, "bench_state: the rollback left another state\n");
        exit(1);
    }
    bench->next = next;
    make_block(bench, UNDONE_PAIRS / 2, UNDONE_PAIRS / 2);
    print_result("rollback.next_block_ms", (double)apply_block(bench) / 1e6, "ms");
}

int main(int argc, char **argv) {
    static const uint64_t sizes[] = {1, 4, 16};
    static struct bench bench;
    if (argc < 2 || argc > 4) {
        fprintf(stderr, "usage: %s DBDIR [MILLIONS [BLOCKS]]\n", argv[0]);
        return 2;
    }
    bench.dir = argv[1];
    shr_log_set_level(SHR_LOG_WARN);
    if (argc > 2 && strcmp(argv[2], DIES) == 0) {
        apply_and_die(&bench);
    }
    uint64_t most = argc > 2 ? strtoull(argv[2], NULL, 10) : 16;
    uint32_t blocks = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 100;
    double first = 0, last = 0;
    open_state(&bench);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0] && sizes[i] <= most; i++) {
        if (bench.held <= sizes[i] * MILLION) {
            last = measure_at(&bench, sizes[i], blocks);
            first = first == 0 ? last : first;
        }
    }
    if (first != 0) {
        print_result("state.apply_most_to_fewest_ratio", last / first, "x");
    }
    if (blocks > 0) {
        measure_rollback(&bench);
        print_result("state.peak_mb", peak_mb(), "MB");
    }
    close_state(&bench);
    return 0;
}
