/* The generated chain: every block checks, its rules hold, and what it says of the unspent
 * outputs is what an independent walk over its blocks finds. */
#include "base/alloc.h"
#include "base/endian.h"
#include "chain/network.h"
#include "node/generated.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct shr_stop stop;

static int set_up(void **state) {
    return shr_stop_init(&stop);
}

static int tear_down(void **state) {
    shr_stop_deinit(&stop);
    return 0;
}

static struct shr_source *open_chain(const struct shr_generated_options *options) {
    struct shr_source *source = NULL;
    struct shrewd_error err = {0};
    if (shr_generated_open(&source, &stop, options, &err) != 0) {
        fail_msg("%s", err.message);
    }
    return source;
}

static void block_at(struct shr_buf *out, struct shr_hash *hash, struct shr_source *source,
                     uint32_t height) {
    assert_int_equal(shr_source_hash_at(source, hash, height, NULL), 0);
    assert_int_equal(shr_source_block(source, out, hash, NULL), 0);
}

/* An output in the walk's own, plainly searched set of them. */
struct unspent {
    struct shr_outpoint at;
    uint64_t value_sats;
    struct shr_buf script;
    uint32_t height; /* of a coinbase; 0 otherwise */
};

struct walk {
    struct unspent *items;
    size_t n;
    size_t cap;
    uint64_t n_txs;
    uint64_t bytes;
    size_t n_same_block; /* spends of an output made in the same block */
    size_t n_witness_txs;
    size_t n_legacy_txs;
    size_t n_op_return;
    size_t n_too_long;
    size_t n_zero;
    size_t n_empty;
    size_t n_longest;
};

static void walk_free(struct walk *walk) {
    for (size_t i = 0; i < walk->n; i++) {
        shr_buf_free(&walk->items[i].script);
    }
    free(walk->items);
}

static uint64_t take(struct walk *walk, const struct shr_outpoint *at, uint32_t height,
                     size_t n_before_block) {
    for (size_t i = walk->n; i-- > 0;) { /* newest first: soon found, mostly */
        struct unspent *item = &walk->items[i];
        if (item->at.index != at->index || !shr_hash_eq(&item->at.txid, &at->txid)) {
            continue;
        }
        uint64_t value_sats = item->value_sats;
        assert_true(item->height == 0 || height >= item->height + 100);
        walk->n_same_block += i >= n_before_block;
        shr_buf_free(&item->script);
        memset(&item->at, 0, sizeof item->at); /* kept in place, so that the order tells the age */
        item->at.index = UINT32_MAX;
        item->value_sats = 0;
        return value_sats;
    }
    fail_msg("an input at height %u spends nothing", height);
    return 0;
}

static void count_output(struct walk *walk, const struct shr_output *output) {
    bool op_return = output->script.len > 0 && output->script.data[0] == 0x6a;
    walk->n_op_return += op_return;
    walk->n_too_long += output->script.len > 10000;
    walk->n_longest += output->script.len == 10000;
    walk->n_empty += output->script.len == 0;
    walk->n_zero += !op_return && output->value_sats == 0;
}

/* Gives the sum of the outputs. */
static uint64_t add_outputs(struct walk *walk, const struct shr_tx *tx, uint32_t coinbase_height) {
    struct shr_hash txid;
    struct shr_reader_pos pos = {tx->outputs};
    struct shr_output output;
    uint64_t sum = 0;
    shr_tx_id(&txid, tx);
    for (uint32_t index = 0; shr_read_output(&pos, &output); index++) {
        sum += output.value_sats;
        count_output(walk, &output);
        if (output.script.len > 10000 || (output.script.len > 0 && output.script.data[0] == 0x6a)) {
            continue;
        }
        if (walk->n == walk->cap) {
            walk->cap = walk->cap == 0 ? 1024 : 2 * walk->cap;
            walk->items = shr_realloc_array(walk->items, walk->cap, sizeof *walk->items);
        }
        struct unspent *item = &walk->items[walk->n++];
        *item = (struct unspent){{txid, index}, output.value_sats, {0}, coinbase_height};
        shr_buf_add(&item->script, output.script);
    }
    return sum;
}

static void walk_block(struct walk *walk, struct shr_bytes block, uint32_t height) {
    struct shr_reader_pos pos;
    uint64_t n_txs;
    uint64_t fees = 0;
    uint64_t reward = 0;
    size_t n_before = walk->n;
    assert_int_equal(shr_block_open(&pos, &n_txs, block, NULL), 0);
    for (uint64_t i = 0; i < n_txs; i++) {
        struct shr_tx tx;
        assert_int_equal(shr_read_tx(&pos, &tx, NULL), 0);
        if (i == 0) {
            reward = add_outputs(walk, &tx, height);
            continue;
        }
        walk->n_witness_txs += tx.has_witness;
        walk->n_legacy_txs += !tx.has_witness;
        struct shr_reader_pos inputs = {tx.inputs};
        struct shr_input input;
        uint64_t in = 0;
        while (shr_read_input(&inputs, &input)) {
            in += take(walk, &input.spends, height, n_before);
        }
        uint64_t out = add_outputs(walk, &tx, 0);
        assert_true(out <= in);
        fees += in - out;
    }
    assert_int_equal(reward, (UINT64_C(5000000000) >> (height / 150)) + fees);
    walk->n_txs += n_txs;
}

static void walk_chain(struct walk *walk, struct shr_source *source) {
    struct shr_tip tip;
    struct shr_buf block = {0};
    struct shr_hash parent = {{0}};
    assert_int_equal(shr_source_tip(source, &tip, NULL), 0);
    for (uint32_t height = 0; height <= tip.height; height++) {
        struct shr_hash hash;
        struct shr_header header;
        struct shrewd_error err = {0};
        block_at(&block, &hash, source, height);
        if (shr_block_check(&header, NULL, shr_buf_bytes(&block), &hash, &err) != 0) {
            fail_msg("height %u: %s", height, err.message);
        }
        assert_true(shr_hash_eq(&header.prev, &parent));
        parent = hash;
        walk->bytes += block.len;
        if (height == 0) {
            walk->n_txs++;
            continue; /* the genesis block's output cannot be spent and does not count */
        }
        walk_block(walk, shr_buf_bytes(&block), height);
    }
    assert_true(shr_hash_eq(&tip.hash, &parent));
    shr_buf_free(&block);
}

struct visit {
    const struct walk *walk;
    uint64_t n_utxos;
    uint64_t total_sats;
    uint64_t n_scripts;
};

static bool visit_script(void *ctx, struct shr_bytes script, uint64_t balance_sats,
                         uint64_t n_utxos) {
    struct visit *visit = ctx;
    uint64_t n = 0;
    uint64_t sats = 0;
    for (size_t i = 0; i < visit->walk->n; i++) {
        const struct unspent *item = &visit->walk->items[i];
        bool spent = item->at.index == UINT32_MAX;
        if (!spent && shr_bytes_eq(shr_buf_bytes(&item->script), script)) {
            n++;
            sats += item->value_sats;
        }
    }
    assert_int_equal(n, n_utxos);
    assert_int_equal(sats, balance_sats);
    visit->n_scripts++;
    visit->n_utxos += n_utxos;
    visit->total_sats += balance_sats;
    return true;
}

static bool visit_one(void *ctx, struct shr_bytes script, uint64_t balance_sats, uint64_t n_utxos) {
    ++*(int *)ctx;
    return false;
}

static void walked(const struct shr_generated_options *options, struct walk *walk) {
    struct shr_source *source = open_chain(options);
    struct shr_generated_totals totals;
    walk_chain(walk, source);
    shr_generated_totals(source, &totals);
    assert_int_equal(totals.n_txs, walk->n_txs);
    assert_int_equal(totals.bytes, walk->bytes);
    uint64_t n_utxos = 0;
    uint64_t total_sats = 0;
    for (size_t i = 0; i < walk->n; i++) {
        n_utxos += walk->items[i].at.index != UINT32_MAX;
        total_sats += walk->items[i].value_sats;
    }
    assert_int_equal(totals.n_utxos, n_utxos);
    assert_int_equal(totals.total_sats, total_sats);
    struct visit visit = {.walk = walk};
    shr_generated_each_script(source, visit_script, &visit);
    assert_int_equal(visit.n_scripts, totals.n_scripts);
    assert_int_equal(visit.n_utxos, totals.n_utxos); /* so no script was left out */
    assert_int_equal(visit.total_sats, totals.total_sats);
    int calls = 0;
    shr_generated_each_script(source, visit_one, &calls);
    assert_int_equal(calls, 1);
    shr_source_close(source);
}

static void the_default_chain(void **state) {
    struct walk walk = {0};
    walked(NULL, &walk);
    assert_true(walk.n_txs > 5000);
    assert_true(walk.n_same_block > 100);
    assert_true(walk.n_witness_txs > 1000);
    assert_true(walk.n_legacy_txs > 100);
    assert_true(walk.n_op_return > 100);
    assert_true(walk.n_too_long > 0);
    assert_true(walk.n_longest > 0);
    assert_true(walk.n_empty > 0);
    assert_true(walk.n_zero > 0);
    walk_free(&walk);
}

static void other_sizes(void **state) {
    static const struct shr_generated_options options[] = {
        {.seed = 1, .blocks = 1},
        {.seed = 2, .blocks = 101, .txs_per_block = 1, .scripts = 1},
        {.seed = 3, .blocks = 330, .txs_per_block = 7, .scripts = 3},
        {.seed = 4, .blocks = 106, .txs_per_block = 800, .scripts = 5000},
        {.seed = UINT64_MAX, .blocks = 160, .txs_per_block = 20},
    };
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        struct walk walk = {0};
        walked(&options[i], &walk);
        walk_free(&walk);
    }
}

static void same_seed_same_bytes(void **state) {
    const struct shr_generated_options options = {.seed = 7, .blocks = 150};
    const struct shr_generated_options other = {.seed = 8, .blocks = 150};
    struct shr_source *first = open_chain(&options);
    struct shr_source *second = open_chain(&options);
    struct shr_source *third = open_chain(&other);
    struct shr_buf a = {0};
    struct shr_buf b = {0};
    for (uint32_t height = 0; height <= 150; height++) {
        struct shr_hash hash;
        block_at(&a, &hash, first, height);
        block_at(&b, &hash, second, height);
        assert_true(shr_bytes_eq(shr_buf_bytes(&a), shr_buf_bytes(&b)));
        block_at(&b, &hash, third, height);
        assert_true(height == 0 || !shr_bytes_eq(shr_buf_bytes(&a), shr_buf_bytes(&b)));
    }
    /* The same on every machine and by every compiler. */
    struct shr_tip tip;
    char hex[SHR_HASH_HEX_LEN + 1];
    assert_int_equal(shr_source_tip(first, &tip, NULL), 0);
    shr_hash_hex(hex, &tip.hash);
    assert_string_equal(hex, "59b526f6c5b2dbb3c32324012df80ebb3f49a6185ea1192a17d0c25af6ad957a");
    shr_buf_free(&a);
    shr_buf_free(&b);
    shr_source_close(first);
    shr_source_close(second);
    shr_source_close(third);
}

static void as_a_source(void **state) {
    const struct shr_generated_options options = {.blocks = 5};
    struct shr_source *source = open_chain(&options);
    struct shr_hash hash;
    struct shr_buf block = {0};
    struct shrewd_error err = {0};
    assert_int_equal(shr_source_genesis(source, &hash, NULL), 0);
    assert_true(shr_hash_eq(&hash, &shr_network_by_name("regtest")->genesis_hash));
    assert_int_equal(shr_source_hash_at(source, &hash, 6, &err), SHREWD_NOT_FOUND);
    memset(&hash, 3, sizeof hash);
    assert_int_equal(shr_source_block(source, &block, &hash, &err), SHREWD_NOT_FOUND);
    assert_non_null(strstr(err.message, "0303030303"));
    assert_int_equal(shr_source_wait(source, 1, &err), 0);
    assert_true(source->ops->finite);
    shr_source_close(source);
    shr_buf_free(&block);
}

static void refused_options(void **state) {
    struct shr_source *source;
    struct shrewd_error err;
    const struct shr_generated_options blocks = {.blocks = 100001};
    const struct shr_generated_options txs = {.txs_per_block = 10001};
    const struct shr_generated_options scripts = {.scripts = 1000001};
    assert_int_equal(shr_generated_open(&source, &stop, &blocks, &err), SHREWD_INVALID);
    assert_int_equal(shr_generated_open(&source, &stop, &txs, &err), SHREWD_INVALID);
    assert_int_equal(shr_generated_open(&source, &stop, &scripts, &err), SHREWD_INVALID);
    struct shr_stop now;
    assert_int_equal(shr_stop_init(&now), 0);
    shr_stop_request(&now);
    assert_int_equal(shr_generated_open(&source, &now, NULL, &err), SHREWD_STOPPED);
    shr_stop_deinit(&now);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_default_chain),    cmocka_unit_test(other_sizes),
        cmocka_unit_test(same_seed_same_bytes), cmocka_unit_test(as_a_source),
        cmocka_unit_test(refused_options),
    };
    return cmocka_run_group_tests_name("generated", tests, set_up, tear_down);
}
