#include "node/generated_chain.h"

#include "base/alloc.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define COIN UINT64_C(100000000)
#define HALVING_BLOCKS 150
#define MATURITY_BLOCKS 100
#define GENESIS_TIME 1296688602u
#define BLOCK_SECONDS 600u
#define DUST_SATS 546
#define FEE_SATS_MAX 5000
/* Of 4 million; the rest is left to the coinbase and the next transaction. */
#define BLOCK_WEIGHT 3800000u
#define INPUTS_MAX 12
#define OUTPUTS_MAX 26
#define NO_SCRIPT UINT32_MAX /* an output that does not count */

/* A transaction in the making. */
struct draft {
    struct shr_spend spends[INPUTS_MAX];
    struct shr_build_input inputs[INPUTS_MAX];
    struct shr_build_output outputs[OUTPUTS_MAX];
    uint32_t scripts[OUTPUTS_MAX]; /* whom each output pays */
    struct shr_buf data;           /* of outputs that pay nobody */
    size_t n_inputs;
    size_t n_outputs;
    uint64_t left_sats; /* of the inputs, not yet given out */
};

/* The transactions of the block in the making. */
struct batch {
    struct shr_buf bytes;
    size_t *ends;
    size_t n;
    uint64_t fees_sats;
    size_t weight;
};

static bool chance(struct shr_rng *rng, uint64_t per_mille) {
    return shr_rng_below(rng, 1000) < per_mille;
}

static void add_coin(struct shr_coins *coins, const struct shr_coin *coin) {
    if (coins->n == coins->cap) {
        coins->cap = coins->cap == 0 ? 256 : 2 * coins->cap;
        coins->items = shr_realloc_array(coins->items, coins->cap, sizeof *coins->items);
    }
    coins->items[coins->n++] = *coin;
}

/* Moves n randomly picked coins to the end of the list, sometimes the newest first: it may be of
 * this very block. Returns the sum of their values. */
static uint64_t pick_coins(struct shr_maker *m, size_t n) {
    uint64_t sum = 0;
    struct shr_coin *items = m->coins.items;
    for (size_t i = 0; i < n; i++) {
        size_t last = m->coins.n - 1 - i;
        size_t at = i == 0 && chance(&m->rng, 150) ? last : shr_rng_below(&m->rng, last + 1);
        struct shr_coin picked = items[at];
        items[at] = items[last];
        items[last] = picked;
        sum += picked.value_sats;
    }
    return sum;
}

/* Takes the coins that pick_coins left at the end. */
static void add_inputs(struct draft *tx, struct shr_maker *m, size_t n) {
    tx->n_inputs = n;
    for (size_t i = 0; i < n; i++) {
        const struct shr_coin *coin = &m->coins.items[--m->coins.n];
        struct shr_wallet_script *script = &m->wallet.scripts[coin->script];
        struct shr_spend *spend = &tx->spends[i];
        assert(script->n_utxos > 0 && script->balance_sats >= coin->value_sats);
        script->n_utxos--;
        script->balance_sats -= coin->value_sats;
        shr_wallet_spend(spend, &m->wallet, coin->script, &m->rng);
        tx->inputs[i] = (struct shr_build_input){
            .spends = coin->at,
            .script = shr_buf_bytes(&spend->script),
            .sequence = chance(&m->rng, 600) ? 0xfffffffd : 0xffffffff,
            .witness = spend->witness,
            .n_witness = spend->n_witness,
        };
    }
}

static void add_output(struct draft *tx, const struct shr_maker *m, uint32_t script,
                       uint64_t value_sats) {
    assert(tx->n_outputs < OUTPUTS_MAX && value_sats <= tx->left_sats);
    tx->scripts[tx->n_outputs] = script;
    tx->outputs[tx->n_outputs++] = (struct shr_build_output){
        .value_sats = value_sats,
        .script = shr_buf_bytes(&m->wallet.scripts[script].bytes),
    };
    tx->left_sats -= value_sats;
}

/* One that can never be spent: data behind OP_RETURN, or too long a script. */
static void add_dead_output(struct draft *tx, struct shr_maker *m, bool too_long) {
    size_t len = too_long ? 10001 : 8 + (size_t)shr_rng_below(&m->rng, 72);
    uint64_t burnt = tx->left_sats > 100000 && chance(&m->rng, 100) ? DUST_SATS : 0;
    shr_buf_clear(&tx->data);
    if (too_long) {
        memset(shr_buf_grow(&tx->data, len), 0x61, len); /* OP_NOP */
    } else {
        uint8_t data[80];
        shr_rng_fill(&m->rng, data, len);
        shr_buf_add_u8(&tx->data, 0x6a);
        shr_write_push(&tx->data, shr_bytes(data, len));
    }
    tx->scripts[tx->n_outputs] = NO_SCRIPT;
    tx->outputs[tx->n_outputs++] = (struct shr_build_output){burnt, shr_buf_bytes(&tx->data)};
    tx->left_sats -= burnt;
}

static uint32_t pick_script(struct shr_maker *m) {
    /* The product favours low numbers: some addresses are busier than others. */
    uint64_t a = shr_rng_below(&m->rng, m->wallet.n_spendable);
    uint64_t b = shr_rng_below(&m->rng, m->wallet.n_spendable);
    return (uint32_t)(a < b ? a : b);
}

/* The oddities that an index of unspent outputs has to get right. */
static void add_rare_outputs(struct draft *tx, struct shr_maker *m) {
    if (chance(&m->rng, 120)) {
        add_dead_output(tx, m, false);
    } else if (chance(&m->rng, 2)) {
        add_dead_output(tx, m, true);
    }
    if (chance(&m->rng, 5)) {
        add_output(tx, m, pick_script(m), 0);
    }
    if (chance(&m->rng, 2)) {
        add_output(tx, m, m->wallet.n_spendable + (uint32_t)shr_rng_below(&m->rng, 2), 1);
    }
}

static void add_payments(struct draft *tx, struct shr_maker *m, size_t n, uint32_t change_to) {
    for (size_t i = 1; i < n && tx->left_sats > 4 * DUST_SATS; i++) {
        uint64_t share = tx->left_sats / (n - i + 1);
        uint64_t value = DUST_SATS + shr_rng_below(&m->rng, share < DUST_SATS ? 1 : share);
        add_output(tx, m, pick_script(m), value);
    }
    uint32_t to = chance(&m->rng, 300) ? change_to : pick_script(m);
    add_output(tx, m, to, tx->left_sats);
}

/* Writes the draft; its outputs become coins at once. */
static void finish_tx(struct batch *batch, struct draft *tx, struct shr_maker *m, uint32_t height) {
    /* One draw a statement: C leaves the order inside an initialiser open. */
    bool modern = chance(&m->rng, 800);
    bool locked = chance(&m->rng, 400);
    const struct shr_build_tx build = {
        .version = modern ? 2 : 1,
        .lock_time = locked ? height - 1 : 0,
        .inputs = tx->inputs,
        .n_inputs = tx->n_inputs,
        .outputs = tx->outputs,
        .n_outputs = tx->n_outputs,
    };
    size_t start = batch->bytes.len;
    batch->weight += shr_write_tx(&batch->bytes, &build);
    batch->ends[batch->n++] = batch->bytes.len;
    struct shr_reader_pos pos = {shr_bytes(batch->bytes.data + start, batch->bytes.len - start)};
    struct shr_tx parsed;
    struct shr_coin coin = {.height = height};
    int status = shr_read_tx(&pos, &parsed, NULL);
    assert(status == 0);
    (void)status;
    shr_tx_id(&coin.at.txid, &parsed);
    for (size_t i = 0; i < tx->n_outputs; i++) {
        uint32_t to = tx->scripts[i];
        if (to == NO_SCRIPT) {
            continue;
        }
        m->wallet.scripts[to].n_utxos++;
        m->wallet.scripts[to].balance_sats += tx->outputs[i].value_sats;
        coin.at.index = (uint32_t)i;
        coin.value_sats = tx->outputs[i].value_sats;
        coin.script = to;
        if (to < m->wallet.n_spendable) {
            add_coin(&m->coins, &coin);
        }
    }
}

static void choose_shape(size_t *n_inputs, size_t *n_outputs, struct shr_maker *m) {
    uint64_t draw = shr_rng_below(&m->rng, 100);
    *n_inputs = 1 + (size_t)shr_rng_below(&m->rng, 2);
    *n_outputs = draw < 20 ? 1 : 2;
    if (m->coins.n < 4 * (size_t)m->txs_max || draw >= 92) { /* an exchange pays out */
        *n_outputs = 4 + (size_t)shr_rng_below(&m->rng, 18);
    } else if (draw >= 84) { /* somebody sweeps together what he has */
        *n_inputs = 3 + (size_t)shr_rng_below(&m->rng, INPUTS_MAX - 3);
        *n_outputs = 1;
    }
    if (*n_inputs > m->coins.n) {
        *n_inputs = m->coins.n;
    }
}

/* False when the coins picked are worth too little; they stay. */
static bool make_tx(struct batch *batch, struct draft *tx, struct shr_maker *m, uint32_t height) {
    size_t n_inputs;
    size_t n_outputs;
    choose_shape(&n_inputs, &n_outputs, m);
    uint64_t sum = pick_coins(m, n_inputs);
    if (sum < FEE_SATS_MAX + 4 * DUST_SATS) {
        return false;
    }
    uint32_t change_to = m->coins.items[m->coins.n - 1].script;
    uint64_t fee = 200 + shr_rng_below(&m->rng, FEE_SATS_MAX - 200);
    tx->n_outputs = 0;
    tx->left_sats = sum - fee;
    add_inputs(tx, m, n_inputs);
    add_rare_outputs(tx, m);
    add_payments(tx, m, n_outputs, change_to);
    batch->fees_sats += fee;
    finish_tx(batch, tx, m, height);
    return true;
}

static void mature_coins(struct shr_maker *m, uint32_t height) {
    while (m->n_matured < m->immature.n && m->immature.items[m->n_matured].height <= height) {
        add_coin(&m->coins, &m->immature.items[m->n_matured++]);
    }
}

static void make_txs(struct batch *batch, struct shr_maker *m, uint32_t height) {
    struct draft *tx = shr_alloc(sizeof *tx);
    size_t wanted = m->txs_max - (size_t)shr_rng_below(&m->rng, m->txs_max / 2 + 1);
    for (size_t tries = 0;
         tries < 2 * wanted && batch->n < wanted && m->coins.n > 0 && batch->weight < BLOCK_WEIGHT;
         tries++) {
        make_tx(batch, tx, m, height);
    }
    for (size_t i = 0; i < INPUTS_MAX; i++) {
        shr_spend_deinit(&tx->spends[i]);
    }
    shr_buf_free(&tx->data);
    free(tx);
}

/* The coinbase's outputs become coins once they have matured. */
static void take_reward(struct shr_maker *m, struct shr_bytes block, uint32_t height,
                        const uint32_t *to, const struct shr_build_output *outputs, size_t n) {
    struct shr_reader_pos pos;
    struct shr_tx tx;
    uint64_t n_txs = 0;
    struct shr_coin coin = {.height = height + MATURITY_BLOCKS};
    int status = shr_block_open(&pos, &n_txs, block, NULL);
    if (status == 0) {
        status = shr_read_tx(&pos, &tx, NULL);
    }
    assert(status == 0);
    shr_tx_id(&coin.at.txid, &tx);
    m->n_txs += n_txs;
    for (size_t i = 0; i < n; i++) {
        m->wallet.scripts[to[i]].n_utxos++;
        m->wallet.scripts[to[i]].balance_sats += outputs[i].value_sats;
        coin.at.index = (uint32_t)i;
        coin.value_sats = outputs[i].value_sats;
        coin.script = to[i];
        add_coin(&m->immature, &coin);
    }
}

static uint64_t subsidy_sats(uint32_t height) {
    uint32_t halvings = height / HALVING_BLOCKS;
    return halvings >= 64 ? 0 : (50 * COIN) >> halvings;
}

int shr_maker_block(struct shr_buf *out, struct shr_hash *hash, struct shr_maker *m,
                    uint32_t height, const struct shr_hash *prev, struct shrewd_error *err) {
    struct batch batch = {.ends = shr_alloc_array(m->txs_max, sizeof *batch.ends)};
    uint8_t extra[8];
    mature_coins(m, height);
    make_txs(&batch, m, height);
    struct shr_bytes *txs = shr_alloc_array(batch.n, sizeof *txs);
    for (size_t i = 0, start = 0; i < batch.n; start = batch.ends[i++]) {
        txs[i] = shr_bytes(batch.bytes.data + start, batch.ends[i] - start);
    }
    shr_rng_fill(&m->rng, extra, sizeof extra);
    uint32_t to[2];
    to[0] = pick_script(m);
    to[1] = pick_script(m);
    uint64_t reward = subsidy_sats(height) + batch.fees_sats;
    uint64_t second = chance(&m->rng, 200) ? reward / 50 : 0;
    const struct shr_build_output outputs[2] = {
        {reward - second, shr_buf_bytes(&m->wallet.scripts[to[0]].bytes)},
        {second, shr_buf_bytes(&m->wallet.scripts[to[1]].bytes)},
    };
    const struct shr_build_block build = {
        .version = 0x20000000,
        .prev = *prev,
        .time = GENESIS_TIME + BLOCK_SECONDS * height,
        .bits = SHR_REGTEST_BITS,
        .height = height,
        .extra = shr_bytes(extra, sizeof extra),
        .outputs = outputs,
        .n_outputs = second == 0 ? 1 : 2,
        .txs = txs,
        .n_txs = batch.n,
    };
    size_t start = out->len;
    int status = shr_write_block(out, hash, &build, err);
    if (status == 0) {
        take_reward(m, shr_bytes(out->data + start, out->len - start), height, to, outputs,
                    build.n_outputs);
    }
    free(txs);
    free(batch.ends);
    shr_buf_free(&batch.bytes);
    return status;
}

void shr_maker_init(struct shr_maker *maker, uint64_t seed, uint32_t n_scripts, uint32_t txs_max) {
    *maker = (struct shr_maker){.rng = {seed}, .txs_max = txs_max};
    shr_wallet_init(&maker->wallet, seed, n_scripts);
}

void shr_maker_deinit(struct shr_maker *maker) {
    free(maker->immature.items);
    free(maker->coins.items);
    shr_wallet_deinit(&maker->wallet);
    *maker = (struct shr_maker){0};
}
