/* bench_proof DBDIR [KEYS]: proofs of 1 and of 1,000 random keys of a state of a million (or KEYS),
 * on RocksDB: how long one takes to build, its values read with it, how long to verify, and its
 * bytes. Medians; every proof is another one, and every one is verified. */
#include "base/alloc.h"
#include "measure.h"
#include "shrewd/proof.h"
#include "state/prove.h"

#include <inttypes.h>

#define KEYS_DEFAULT 1000000u
#define BLOCK_KEYS 10000u
#define ASKED_MAX 1000u

struct key {
    char text[40];
    uint64_t value[4];
};

static uint64_t next_random(uint64_t *random) {
    uint64_t z = *random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static struct shr_bytes make_key(struct key *key, uint64_t i) {
    size_t len = (size_t)snprintf(key->text, sizeof key->text, "/balances/%016" PRIx64 "/amount",
                                  i * 0x9e3779b97f4a7c15u);
    key->value[0] = i;
    return shr_bytes(key->text, len);
}

static void fill(struct shr_state *state, uint32_t n_keys) {
    struct shrewd_error err;
    struct key *keys = shr_alloc_array(BLOCK_KEYS, sizeof *keys);
    struct shr_pair *pairs = shr_alloc_array(BLOCK_KEYS, sizeof *pairs);
    struct shr_block_change change = {.pairs = pairs, .n_pairs = BLOCK_KEYS};
    for (uint32_t made = 0; made < n_keys; made += BLOCK_KEYS) {
        for (uint32_t i = 0; i < BLOCK_KEYS; i++) {
            pairs[i].key = make_key(&keys[i], made + i);
            pairs[i].value = shr_bytes(keys[i].value, sizeof keys[i].value);
        }
        must(shr_state_apply(state, &change, false, &err), &err);
        change.height++;
    }
    free(pairs);
    free(keys);
}

/* What a proof says, as claims. */
static void claim(struct shrewd_claim *claims, const struct shr_bytes *keys,
                  const struct shr_proved *proved) {
    for (size_t i = 0; i < proved->n; i++) {
        claims[i] = (struct shrewd_claim){.key = keys[i].data,
                                          .key_len = keys[i].len,
                                          .value = proved->values[i].data,
                                          .value_len = proved->values[i].len,
                                          .absent = !proved->found[i]};
    }
}

static void measure(struct shr_state *state, uint32_t n_keys, uint32_t n, size_t rounds) {
    static struct key room[ASKED_MAX];
    static struct shr_bytes keys[ASKED_MAX];
    static struct shrewd_claim claims[ASKED_MAX];
    struct shrewd_error err;
    uint64_t *build = shr_alloc_array(rounds, sizeof *build);
    uint64_t *verify = shr_alloc_array(rounds, sizeof *verify);
    uint64_t random = n, bytes = 0;
    char name[64];
    for (size_t round = 0; round < rounds; round++) {
        struct shr_proved proved;
        for (uint32_t i = 0; i < n; i++) {
            keys[i] = make_key(&room[i], next_random(&random) % n_keys);
        }
        uint64_t start = shr_now_ns();
        must(shr_prove(&proved, state, keys, n, UINT32_MAX, &err), &err);
        build[round] = shr_now_ns() - start;
        claim(claims, keys, &proved);
        start = shr_now_ns();
        int code = shrewd_proof_verify(proved.block.root.b, proved.proof.data, proved.proof.len,
                                       claims, n, NULL);
        verify[round] = shr_now_ns() - start;
        if (code != 0) {
            fprintf(stderr, "bench: %s\n", shrewd_proof_strerror(code));
            exit(1);
        }
        bytes += proved.proof.len;
        shr_proved_free(&proved);
    }
    snprintf(name, sizeof name, "proof.build_us_%u", n);
    print_result(name, percentile_us(build, rounds, 0.5), "us");
    snprintf(name, sizeof name, "proof.verify_us_%u", n);
    print_result(name, percentile_us(verify, rounds, 0.5), "us");
    snprintf(name, sizeof name, "proof.bytes_%u", n);
    print_result(name, (double)bytes / (double)rounds, "B");
    free(build);
    free(verify);
}

int main(int argc, char **argv) {
    struct shrewd_error err;
    struct shr_store *store = NULL;
    struct shr_state *state = NULL;
    struct shr_identity identity = {.keep_root = SHR_KEEP_ROOT_YES};
    struct shr_rocks_options options = {.create = true};
    if (argc < 2) {
        fprintf(stderr, "usage: %s DBDIR [KEYS]\n", argv[0]);
        return 2;
    }
    uint32_t n_keys = argc > 2 ? (uint32_t)atoi(argv[2]) : KEYS_DEFAULT;
    must(shr_store_open_rocks(&store, argv[1], &options, &err), &err);
    must(shr_state_open(&state, store, &identity, false, &err), &err);
    fill(state, n_keys);
    measure(state, n_keys, 1, 2000);
    measure(state, n_keys, ASKED_MAX, 100);
    shr_state_close(state);
    return 0;
}
