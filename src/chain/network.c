#include "chain/network.h"

#include "base/hex.h"
#include "chain/build.h"

#include <assert.h>
#include <string.h>

struct known_network {
    struct shr_network public;
    uint32_t time;
    uint32_t nonce;
    uint32_t bits;
    const char *headline; /* in the coinbase of the genesis block */
    const char *key;      /* the public key its output pays, in hex */
};

static const char times_headline[] =
    "The Times 03/Jan/2009 Chancellor on brink of second bailout for banks";
static const char times_key[] = "04678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61deb6"
                                "49f6bc3f4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5f";

static const struct known_network networks[] = {
    {
        {"main", {0xf9, 0xbe, 0xb4, 0xd9}, {{0x6f, 0xe2, 0x8c, 0x0a, 0xb6, 0xf1, 0xb3, 0x72,
                                             0xc1, 0xa6, 0xa2, 0x46, 0xae, 0x63, 0xf7, 0x4f,
                                             0x93, 0x1e, 0x83, 0x65, 0xe1, 0x5a, 0x08, 0x9c,
                                             0x68, 0xd6, 0x19, 0x00, 0x00, 0x00, 0x00, 0x00}}},
        1231006505u,
        2083236893u,
        0x1d00ffffu,
        times_headline,
        times_key,
    },
    {
        {"test", {0x0b, 0x11, 0x09, 0x07}, {{0x43, 0x49, 0x7f, 0xd7, 0xf8, 0x26, 0x95, 0x71,
                                             0x08, 0xf4, 0xa3, 0x0f, 0xd9, 0xce, 0xc3, 0xae,
                                             0xba, 0x79, 0x97, 0x20, 0x84, 0xe9, 0x0e, 0xad,
                                             0x01, 0xea, 0x33, 0x09, 0x00, 0x00, 0x00, 0x00}}},
        1296688602u,
        414098458u,
        0x1d00ffffu,
        times_headline,
        times_key,
    },
    {
        {"testnet4", {0x1c, 0x16, 0x3f, 0x28}, {{0x43, 0xf0, 0x8b, 0xda, 0xb0, 0x50, 0xe3, 0x5b,
                                                 0x56, 0x7c, 0x86, 0x4b, 0x91, 0xf4, 0x7f, 0x50,
                                                 0xae, 0x72, 0x5a, 0xe2, 0xde, 0x53, 0xbc, 0xfb,
                                                 0xba, 0xf2, 0x84, 0xda, 0x00, 0x00, 0x00, 0x00}}},
        1714777860u,
        393743547u,
        0x1d00ffffu,
        "03/May/2024 000000000000000000001ebd58c244970b3aa9d783bb001011fbe8ea8e98e00e",
        "000000000000000000000000000000000000000000000000000000000000000000",
    },
    {
        {"signet", {0x0a, 0x03, 0xcf, 0x40}, {{0xf6, 0x1e, 0xee, 0x3b, 0x63, 0xa3, 0x80, 0xa4,
                                               0x77, 0xa0, 0x63, 0xaf, 0x32, 0xb2, 0xbb, 0xc9,
                                               0x7c, 0x9f, 0xf9, 0xf0, 0x1f, 0x2c, 0x42, 0x25,
                                               0xe9, 0x73, 0x98, 0x81, 0x08, 0x00, 0x00, 0x00}}},
        1598918400u,
        52613770u,
        0x1e0377aeu,
        times_headline,
        times_key,
    },
    {
        {"regtest", {0xfa, 0xbf, 0xb5, 0xda}, {{0x06, 0x22, 0x6e, 0x46, 0x11, 0x1a, 0x0b, 0x59,
                                                0xca, 0xaf, 0x12, 0x60, 0x43, 0xeb, 0x5b, 0xbf,
                                                0x28, 0xc3, 0x4f, 0x3a, 0x5e, 0x33, 0x2a, 0x1f,
                                                0xc7, 0xb2, 0xb7, 0x3c, 0xf1, 0x88, 0x91, 0x0f}}},
        1296688602u,
        2u,
        0x207fffffu,
        times_headline,
        times_key,
    },
};

#define N_NETWORKS (sizeof networks / sizeof networks[0])

const struct shr_network *shr_network_by_magic(const uint8_t magic[4]) {
    for (size_t i = 0; i < N_NETWORKS; i++) {
        if (memcmp(networks[i].public.magic, magic, 4) == 0) {
            return &networks[i].public;
        }
    }
    return NULL;
}

const struct shr_network *shr_network_by_name(const char *name) {
    for (size_t i = 0; i < N_NETWORKS; i++) {
        if (strcmp(networks[i].public.name, name) == 0) {
            return &networks[i].public;
        }
    }
    return NULL;
}

const struct shr_network *shr_network_by_genesis(const struct shr_hash *hash) {
    for (size_t i = 0; i < N_NETWORKS; i++) {
        if (shr_hash_eq(&networks[i].public.genesis_hash, hash)) {
            return &networks[i].public;
        }
    }
    return NULL;
}

/* One transaction: its input pushes 0x1d00ffff, 4 and the headline; its output pays 50 coins. */
static void write_genesis_coinbase(struct shr_buf *out, const struct known_network *network) {
    struct shr_buf input_script = {0};
    struct shr_buf output_script = {0};
    struct shr_buf key = {0};
    shr_write_push(&input_script, shr_bytes("\xff\xff\x00\x1d", 4));
    shr_write_push(&input_script, shr_bytes("\x04", 1));
    shr_write_push(&input_script, shr_bytes_str(network->headline));
    shr_hex_decode(&key, network->key, strlen(network->key), NULL);
    shr_write_push(&output_script, shr_buf_bytes(&key));
    shr_buf_add_u8(&output_script, 0xac); /* OP_CHECKSIG */
    const struct shr_build_input input = {
        .spends = {.index = UINT32_MAX},
        .script = shr_buf_bytes(&input_script),
        .sequence = UINT32_MAX,
    };
    const struct shr_build_output output = {
        .value_sats = UINT64_C(5000000000),
        .script = shr_buf_bytes(&output_script),
    };
    const struct shr_build_tx tx = {
        .version = 1,
        .inputs = &input,
        .n_inputs = 1,
        .outputs = &output,
        .n_outputs = 1,
    };
    shr_write_tx(out, &tx);
    shr_buf_free(&key);
    shr_buf_free(&output_script);
    shr_buf_free(&input_script);
}

void shr_network_genesis(struct shr_buf *out, const struct shr_network *network) {
    const struct known_network *known = NULL;
    for (size_t i = 0; i < N_NETWORKS; i++) {
        if (&networks[i].public == network) {
            known = &networks[i];
        }
    }
    assert(known != NULL);
    struct shr_buf coinbase = {0};
    struct shr_header header = {
        .version = 1,
        .time = known->time,
        .bits = known->bits,
        .nonce = known->nonce,
    };
    write_genesis_coinbase(&coinbase, known);
    shr_sha256d(&header.merkle_root, shr_buf_bytes(&coinbase));
    shr_write_header(out, &header);
    shr_write_compact_size(out, 1);
    shr_buf_add(out, shr_buf_bytes(&coinbase));
    shr_buf_free(&coinbase);
}
