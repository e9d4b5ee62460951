/* generated_wallet.h: the generator's addresses: scripts to pay to, and what spends them. */
#ifndef SHR_NODE_GENERATED_WALLET_H
#define SHR_NODE_GENERATED_WALLET_H

#include "chain/build.h"

/* Numbers that the seed fixes (splitmix64, by Sebastiano Vigna, public domain). */
struct shr_rng {
    uint64_t state;
};

uint64_t shr_rng_next(struct shr_rng *rng);
uint64_t shr_rng_below(struct shr_rng *rng, uint64_t n); /* n > 0 */
void shr_rng_fill(struct shr_rng *rng, uint8_t *out, size_t len);

enum shr_script_kind {
    SHR_SCRIPT_P2WPKH,
    SHR_SCRIPT_P2TR,
    SHR_SCRIPT_P2PKH,
    SHR_SCRIPT_P2SH_P2WPKH,
    SHR_SCRIPT_P2SH_MULTISIG,
    SHR_SCRIPT_P2WSH,
    SHR_SCRIPT_P2PK,
    SHR_SCRIPT_EMPTY,   /* no bytes at all; counts, and is never spent here */
    SHR_SCRIPT_LONGEST, /* 10000 bytes: the longest that counts; never spent here */
};

struct shr_wallet_script {
    struct shr_buf bytes;
    enum shr_script_kind kind;
    uint64_t balance_sats;
    uint64_t n_utxos;
};

struct shr_wallet {
    uint64_t seed;
    struct shr_wallet_script *scripts;
    uint32_t n_scripts;   /* all of them; the ordinary ones come first */
    uint32_t n_spendable; /* ordinary ones */
};

void shr_wallet_init(struct shr_wallet *wallet, uint64_t seed, uint32_t n_spendable);
void shr_wallet_deinit(struct shr_wallet *wallet); /* fine on {0} */

/* What an input needs to look like a spend of a script. Zero-initialise, then reuse. */
#define SHR_SPEND_ITEMS_MAX 4
struct shr_spend {
    struct shr_buf script;
    struct shr_buf items[SHR_SPEND_ITEMS_MAX];
    struct shr_bytes witness[SHR_SPEND_ITEMS_MAX];
    size_t n_witness;
};

/* Replaces *out by a spend of ordinary script `id`. */
void shr_wallet_spend(struct shr_spend *out, const struct shr_wallet *wallet, uint32_t id,
                      struct shr_rng *rng);
void shr_spend_deinit(struct shr_spend *spend);

#endif
