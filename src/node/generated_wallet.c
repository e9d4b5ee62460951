#include "node/generated_wallet.h"

#include "base/alloc.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define KEY_SIZE 33
#define LONGEST_SCRIPT 10000

uint64_t shr_rng_next(struct shr_rng *rng) {
    uint64_t z = rng->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t shr_rng_below(struct shr_rng *rng, uint64_t n) {
    return shr_rng_next(rng) % n; /* the bias is below n / 2^64 */
}

void shr_rng_fill(struct shr_rng *rng, uint8_t *out, size_t len) {
    for (size_t i = 0; i < len; i++) {
        out[i] = (uint8_t)(shr_rng_next(rng) >> 32);
    }
}

/* Key number n of an address, as a compressed public key. */
static void make_key(uint8_t key[KEY_SIZE], const struct shr_wallet *wallet, uint32_t id,
                     uint32_t n) {
    struct shr_buf text = {0};
    struct shr_hash hash;
    shr_buf_add_le64(&text, wallet->seed);
    shr_buf_add_le32(&text, id);
    shr_buf_add_le32(&text, n);
    shr_sha256(&hash, shr_buf_bytes(&text));
    key[0] = (uint8_t)(2 + (hash.b[0] & 1));
    memcpy(key + 1, hash.b, sizeof hash.b);
    shr_buf_free(&text);
}

/* OP_2 key key key OP_3 OP_CHECKMULTISIG */
static void write_multisig(struct shr_buf *out, const struct shr_wallet *wallet, uint32_t id) {
    shr_buf_add_u8(out, 0x52);
    for (uint32_t n = 0; n < 3; n++) {
        uint8_t key[KEY_SIZE];
        make_key(key, wallet, id, n);
        shr_write_push(out, shr_bytes(key, sizeof key));
    }
    shr_buf_append(out, "\x53\xae", 2);
}

/* In place of Bitcoin's HASH160: as long, and as hard to tell from it. */
static struct shr_hash short_hash(struct shr_bytes bytes) {
    struct shr_hash hash;
    shr_sha256d(&hash, bytes);
    return hash;
}

static void write_p2wpkh(struct shr_buf *out, const uint8_t key[KEY_SIZE]) {
    struct shr_hash hash = short_hash(shr_bytes(key, KEY_SIZE));
    shr_buf_add_u8(out, 0x00);
    shr_write_push(out, shr_bytes(hash.b, 20));
}

/* OP_HASH160 hash OP_EQUAL */
static void write_p2sh(struct shr_buf *out, struct shr_bytes redeem) {
    struct shr_hash hash = short_hash(redeem);
    shr_buf_add_u8(out, 0xa9);
    shr_write_push(out, shr_bytes(hash.b, 20));
    shr_buf_add_u8(out, 0x87);
}

static void write_keyed_script(struct shr_buf *out, enum shr_script_kind kind,
                               const uint8_t key[KEY_SIZE]) {
    struct shr_hash hash = short_hash(shr_bytes(key, KEY_SIZE));
    if (kind == SHR_SCRIPT_P2TR) { /* OP_1 key */
        shr_buf_add_u8(out, 0x51);
        shr_write_push(out, shr_bytes(key + 1, 32));
    } else if (kind == SHR_SCRIPT_P2PK) { /* key OP_CHECKSIG */
        shr_write_push(out, shr_bytes(key, KEY_SIZE));
        shr_buf_add_u8(out, 0xac);
    } else { /* OP_DUP OP_HASH160 hash OP_EQUALVERIFY OP_CHECKSIG */
        shr_buf_append(out, "\x76\xa9", 2);
        shr_write_push(out, shr_bytes(hash.b, 20));
        shr_buf_append(out, "\x88\xac", 2);
    }
}

static void write_script(struct shr_buf *out, const struct shr_wallet *wallet, uint32_t id,
                         enum shr_script_kind kind) {
    uint8_t key[KEY_SIZE];
    struct shr_buf inner = {0};
    struct shr_hash hash;
    make_key(key, wallet, id, 0);
    switch (kind) {
    case SHR_SCRIPT_P2WPKH:
        write_p2wpkh(out, key);
        break;
    case SHR_SCRIPT_P2SH_P2WPKH:
        write_p2wpkh(&inner, key);
        write_p2sh(out, shr_buf_bytes(&inner));
        break;
    case SHR_SCRIPT_P2SH_MULTISIG:
        write_multisig(&inner, wallet, id);
        write_p2sh(out, shr_buf_bytes(&inner));
        break;
    case SHR_SCRIPT_P2WSH:
        write_multisig(&inner, wallet, id);
        shr_sha256(&hash, shr_buf_bytes(&inner));
        shr_buf_add_u8(out, 0x00);
        shr_write_push(out, shr_bytes(hash.b, sizeof hash.b));
        break;
    case SHR_SCRIPT_P2TR:
    case SHR_SCRIPT_P2PKH:
    case SHR_SCRIPT_P2PK:
        write_keyed_script(out, kind, key);
        break;
    case SHR_SCRIPT_EMPTY:
        break;
    case SHR_SCRIPT_LONGEST: /* OP_NOPs */
        memset(shr_buf_grow(out, LONGEST_SCRIPT), 0x61, LONGEST_SCRIPT);
        break;
    }
    shr_buf_free(&inner);
}

static enum shr_script_kind pick_kind(struct shr_rng *rng) {
    static const struct {
        enum shr_script_kind kind;
        unsigned percent;
    } shares[] = {
        {SHR_SCRIPT_P2WPKH, 38},     {SHR_SCRIPT_P2TR, 22},         {SHR_SCRIPT_P2PKH, 20},
        {SHR_SCRIPT_P2SH_P2WPKH, 8}, {SHR_SCRIPT_P2SH_MULTISIG, 5}, {SHR_SCRIPT_P2WSH, 5},
        {SHR_SCRIPT_P2PK, 2},
    };
    uint64_t draw = shr_rng_below(rng, 100);
    size_t i = 0;
    for (; draw >= shares[i].percent; i++) {
        draw -= shares[i].percent;
    }
    return shares[i].kind;
}

void shr_wallet_init(struct shr_wallet *wallet, uint64_t seed, uint32_t n_spendable) {
    struct shr_rng rng = {seed ^ UINT64_C(0x77616c6c6574)};
    wallet->seed = seed;
    wallet->n_spendable = n_spendable;
    wallet->n_scripts = n_spendable + 2;
    wallet->scripts = shr_alloc_array(wallet->n_scripts, sizeof *wallet->scripts);
    for (uint32_t id = 0; id < wallet->n_scripts; id++) {
        struct shr_wallet_script *script = &wallet->scripts[id];
        script->kind = id < n_spendable    ? pick_kind(&rng)
                       : id == n_spendable ? SHR_SCRIPT_EMPTY
                                           : SHR_SCRIPT_LONGEST;
        write_script(&script->bytes, wallet, id, script->kind);
    }
}

void shr_wallet_deinit(struct shr_wallet *wallet) {
    for (uint32_t id = 0; id < wallet->n_scripts; id++) {
        shr_buf_free(&wallet->scripts[id].bytes);
    }
    free(wallet->scripts);
    *wallet = (struct shr_wallet){0};
}

/* A DER signature of two 32-byte numbers, and SIGHASH_ALL. */
static void write_signature(struct shr_buf *out, struct shr_rng *rng) {
    uint8_t number[32];
    shr_buf_append(out, "\x30\x44", 2);
    for (int i = 0; i < 2; i++) {
        shr_rng_fill(rng, number, sizeof number);
        number[0] = (uint8_t)((number[0] & 0x7f) | 1);
        shr_buf_append(out, "\x02\x20", 2);
        shr_buf_append(out, number, sizeof number);
    }
    shr_buf_add_u8(out, 0x01);
}

static void push_signature(struct shr_buf *script, struct shr_rng *rng) {
    struct shr_buf signature = {0};
    write_signature(&signature, rng);
    shr_write_push(script, shr_buf_bytes(&signature));
    shr_buf_free(&signature);
}

/* By key mostly; sometimes by a script that carries data, with its control block. */
static void spend_p2tr(struct shr_spend *out, const uint8_t key[KEY_SIZE], struct shr_rng *rng) {
    bool by_script = shr_rng_below(rng, 8) == 0;
    shr_rng_fill(rng, shr_buf_grow(&out->items[0], 64), 64);
    out->n_witness = 1;
    if (by_script) {
        /* key OP_CHECKSIG OP_FALSE OP_IF data OP_ENDIF */
        uint8_t data[400];
        size_t len = 20 + (size_t)shr_rng_below(rng, sizeof data - 20);
        shr_rng_fill(rng, data, len);
        shr_write_push(&out->items[1], shr_bytes(key + 1, 32));
        shr_buf_append(&out->items[1], "\xac\x00\x63", 3);
        shr_write_push(&out->items[1], shr_bytes(data, len));
        shr_buf_add_u8(&out->items[1], 0x68);
        shr_buf_add_u8(&out->items[2], 0xc0);
        shr_buf_append(&out->items[2], key + 1, 32);
        out->n_witness = 3;
    }
}

void shr_wallet_spend(struct shr_spend *out, const struct shr_wallet *wallet, uint32_t id,
                      struct shr_rng *rng) {
    assert(id < wallet->n_spendable);
    enum shr_script_kind kind = wallet->scripts[id].kind;
    uint8_t key[KEY_SIZE];
    struct shr_buf inner = {0};
    make_key(key, wallet, id, 0);
    shr_buf_clear(&out->script);
    for (size_t i = 0; i < SHR_SPEND_ITEMS_MAX; i++) {
        shr_buf_clear(&out->items[i]);
    }
    out->n_witness = 0;
    if (kind == SHR_SCRIPT_P2TR) {
        spend_p2tr(out, key, rng);
    } else if (kind == SHR_SCRIPT_P2WSH) {
        write_signature(&out->items[1], rng);
        write_signature(&out->items[2], rng);
        write_multisig(&out->items[3], wallet, id);
        out->n_witness = 4;
    } else if (kind == SHR_SCRIPT_P2SH_MULTISIG) {
        write_multisig(&inner, wallet, id);
        shr_buf_add_u8(&out->script, 0x00);
        push_signature(&out->script, rng);
        push_signature(&out->script, rng);
        shr_write_push(&out->script, shr_buf_bytes(&inner));
    } else if (kind == SHR_SCRIPT_P2PKH || kind == SHR_SCRIPT_P2PK) {
        push_signature(&out->script, rng);
        if (kind == SHR_SCRIPT_P2PKH) {
            shr_write_push(&out->script, shr_bytes(key, sizeof key));
        }
    } else {
        write_signature(&out->items[0], rng);
        shr_buf_append(&out->items[1], key, sizeof key);
        out->n_witness = 2;
        if (kind == SHR_SCRIPT_P2SH_P2WPKH) {
            write_p2wpkh(&inner, key);
            shr_write_push(&out->script, shr_buf_bytes(&inner));
        }
    }
    for (size_t i = 0; i < out->n_witness; i++) {
        out->witness[i] = shr_buf_bytes(&out->items[i]);
    }
    shr_buf_free(&inner);
}

void shr_spend_deinit(struct shr_spend *spend) {
    shr_buf_free(&spend->script);
    for (size_t i = 0; i < SHR_SPEND_ITEMS_MAX; i++) {
        shr_buf_free(&spend->items[i]);
    }
}
