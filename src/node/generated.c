#include "node/generated.h"

#include "base/alloc.h"
#include "base/endian.h"
#include "chain/network.h"
#include "node/finite.h"
#include "node/generated_chain.h"

#include <assert.h>
#include <stdlib.h>

struct generated_source {
    struct shr_source base;
    struct shr_buf *blocks; /* by height, the genesis block first */
    struct shr_hash *hashes;
    uint32_t n_blocks;
    uint32_t *slots; /* open addressing over hashes: height + 1, 0 for none */
    size_t n_slots;  /* a power of two, at least twice n_blocks */
    struct shr_maker maker;
    uint64_t bytes;
};

static struct generated_source *self(struct shr_source *source) {
    return (struct generated_source *)source;
}

static int generated_hash_at(struct shr_source *source, struct shr_hash *out, uint32_t height,
                             struct shrewd_error *err) {
    const struct generated_source *s = self(source);
    if (height >= s->n_blocks) {
        return shr_fail(err, SHREWD_NOT_FOUND, "the generated chain ends at height %u, below %u",
                        s->n_blocks - 1, height);
    }
    *out = s->hashes[height];
    return 0;
}

static int generated_tip(struct shr_source *source, struct shr_tip *out, struct shrewd_error *err) {
    out->height = self(source)->n_blocks - 1;
    return generated_hash_at(source, &out->hash, out->height, err);
}

/* The slot that holds the hash, or the free one where it belongs. */
static size_t slot_of(const struct generated_source *s, const struct shr_hash *hash) {
    size_t at = (size_t)shr_get_le64(hash->b) & (s->n_slots - 1);
    while (s->slots[at] != 0 && !shr_hash_eq(&s->hashes[s->slots[at] - 1], hash)) {
        at = (at + 1) & (s->n_slots - 1);
    }
    return at;
}

static int generated_block(struct shr_source *source, struct shr_buf *out,
                           const struct shr_hash *hash, struct shrewd_error *err) {
    const struct generated_source *s = self(source);
    uint32_t slot = s->slots[slot_of(s, hash)];
    if (slot == 0) {
        char hex[SHR_HASH_HEX_LEN + 1];
        shr_hash_hex(hex, hash);
        return shr_fail(err, SHREWD_NOT_FOUND, "the generated chain has no block %s", hex);
    }
    shr_buf_set(out, shr_buf_bytes(&s->blocks[slot - 1]));
    return 0;
}

static int generated_genesis(struct shr_source *source, struct shr_hash *out,
                             struct shrewd_error *err) {
    *out = self(source)->hashes[0];
    return 0;
}

static void generated_close(struct shr_source *source) {
    struct generated_source *s = self(source);
    for (uint32_t height = 0; height < s->n_blocks; height++) {
        shr_buf_free(&s->blocks[height]);
    }
    free(s->blocks);
    free(s->hashes);
    free(s->slots);
    shr_maker_deinit(&s->maker);
    free(s);
}

static const struct shr_source_ops generated_ops = {
    .tip = generated_tip,
    .hash_at = generated_hash_at,
    .block = generated_block,
    .wait = shr_finite_wait,
    .genesis = generated_genesis,
    .close = generated_close,
    .finite = true,
    .name = "generated",
};

static int make_blocks(struct generated_source *s, struct shrewd_error *err) {
    const struct shr_network *regtest = shr_network_by_name("regtest");
    shr_network_genesis(&s->blocks[0], regtest);
    s->hashes[0] = regtest->genesis_hash;
    s->maker.n_txs = 1;
    for (uint32_t height = 0; height < s->n_blocks; height++) {
        if (shr_stopped(s->base.stop)) {
            return shr_fail(err, SHREWD_STOPPED, "stopped while making block %u of %u", height,
                            s->n_blocks - 1);
        }
        if (height > 0) {
            int status = shr_maker_block(&s->blocks[height], &s->hashes[height], &s->maker, height,
                                         &s->hashes[height - 1], err);
            if (status != 0) {
                return shr_fail_in(err, status, "making block %u", height);
            }
        }
        s->bytes += s->blocks[height].len;
        s->slots[slot_of(s, &s->hashes[height])] = height + 1;
    }
    return 0;
}

static int check_bound(const char *what, uint32_t value, uint32_t max, struct shrewd_error *err) {
    if (value > max) {
        return shr_fail(err, SHREWD_INVALID, "a generated chain has at most %u %s, not %u", max,
                        what, value);
    }
    return 0;
}

int shr_generated_open(struct shr_source **out, struct shr_stop *stop,
                       const struct shr_generated_options *options, struct shrewd_error *err) {
    struct shr_generated_options o = {0};
    if (options != NULL) {
        o = *options;
    }
    o.blocks = o.blocks == 0 ? 300 : o.blocks;
    o.txs_per_block = o.txs_per_block == 0 ? 50 : o.txs_per_block;
    o.scripts = o.scripts == 0 ? 400 : o.scripts;
    int status = check_bound("blocks", o.blocks, 100000, err);
    if (status == 0) {
        status = check_bound("transactions a block", o.txs_per_block, 10000, err);
    }
    if (status == 0) {
        status = check_bound("addresses", o.scripts, 1000000, err);
    }
    if (status != 0) {
        return status;
    }
    struct generated_source *s = shr_alloc(sizeof *s);
    s->base.ops = &generated_ops;
    s->base.stop = stop;
    s->n_blocks = o.blocks + 1;
    s->blocks = shr_alloc_array(s->n_blocks, sizeof *s->blocks);
    s->hashes = shr_alloc_array(s->n_blocks, sizeof *s->hashes);
    for (s->n_slots = 2; s->n_slots < 2 * (size_t)s->n_blocks;) {
        s->n_slots *= 2;
    }
    s->slots = shr_alloc_array(s->n_slots, sizeof *s->slots);
    shr_maker_init(&s->maker, o.seed, o.scripts, o.txs_per_block);
    status = make_blocks(s, err);
    if (status != 0) {
        generated_close(&s->base);
        return status;
    }
    *out = &s->base;
    return 0;
}

void shr_generated_totals(struct shr_source *source, struct shr_generated_totals *out) {
    assert(source->ops == &generated_ops);
    const struct generated_source *s = self(source);
    *out = (struct shr_generated_totals){.n_txs = s->maker.n_txs, .bytes = s->bytes};
    for (uint32_t id = 0; id < s->maker.wallet.n_scripts; id++) {
        const struct shr_wallet_script *script = &s->maker.wallet.scripts[id];
        out->n_utxos += script->n_utxos;
        out->total_sats += script->balance_sats;
        out->n_scripts += script->n_utxos > 0;
    }
}

void shr_generated_each_script(struct shr_source *source, shr_generated_visit *visit, void *ctx) {
    assert(source->ops == &generated_ops);
    const struct shr_wallet *wallet = &self(source)->maker.wallet;
    for (uint32_t id = 0; id < wallet->n_scripts; id++) {
        const struct shr_wallet_script *script = &wallet->scripts[id];
        if (script->n_utxos > 0 &&
            !visit(ctx, shr_buf_bytes(&script->bytes), script->balance_sats, script->n_utxos)) {
            return;
        }
    }
}
