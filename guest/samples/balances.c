/* balances.c: the unspent outputs and the balance of every script, in satoshi.
 *
 * Rules
 * - What the node calls the UTXO set: coinbases are in it, the genesis block's is not; outputs that
 *   can never be spent (script starts with 0x6a, OP_RETURN, or is longer than 10000 bytes) are not.
 * - A coinbase with the id of an older one (it happened twice, in 2010) replaces its outputs.
 * - An input that spends an output nobody saw, because indexing began later, is only counted.
 *
 * State (numbers little endian; txid in internal byte order; outpoint: txid, vout u32: 36 bytes)
 *   /utxo/<outpoint>   value u64, height u32, links u8, [newer outpoint], [older outpoint], owner;
 *                      empty once it is spent. Bit 0 of links says that newer is there, bit 1
 *                      older: the outputs of one script are linked, so that any of them goes, and
 *                      all are listed, without a search.
 *   /script/<owner>    balance u64, unspent outputs u64, newest outpoint; empty when it has none.
 *                      owner is 0x00 and the script, or 0x01 and its SHA-256 when that is shorter.
 *   /totals            see the view
 *
 * Views
 *   balance      input: a script (scriptPubKey); output: balance u64, number of unspent outputs u64
 *   utxos        input: a script; output: for each unspent output, the newest first:
 *                txid (32 bytes), vout u32, value u64, height u32: 48 bytes
 *   utxos_page   input: limit u32, outpoint, script; output: as utxos, at most limit of them, those
 *                that follow the outpoint (36 zero bytes: from the newest). Ask at one height.
 *   totals       output, each u64: unspent outputs, their value, transactions indexed, scripts with
 *                an unspent output, inputs that spent an output nobody saw
 */
#include "shrew_block.h"

#define OUTPOINT_LEN 36u
#define UTXO_PREFIX "/utxo/"
#define UTXO_KEY_LEN (sizeof(UTXO_PREFIX) - 1 + OUTPOINT_LEN)
#define SCRIPT_LEN_MAX 10000u /* the longest a script can be and run */
#define OP_RETURN 0x6a
#define OWNER_RAW_MAX 67u /* the standard forms, up to a bare uncompressed public key, fit */
#define OWNER_LEN_MAX (1 + OWNER_RAW_MAX)
#define TOTALS SHREW_STR("/totals")

enum { HAS_NEWER = 1, HAS_OLDER = 2 };

struct utxo {
    uint64_t value;
    uint32_t height;
    uint8_t links;
    const uint8_t *newer;
    const uint8_t *older;
    struct shrew_bytes owner;
};

struct script {
    uint64_t balance;
    uint64_t n_utxos;
    const uint8_t *newest;
};

struct totals {
    uint64_t utxos;
    uint64_t value;
    uint64_t txs;
    uint64_t scripts;
    uint64_t unknown_inputs;
};

static struct totals totals;

/* Asking the host about each new output costs as much as everything else. It is needed for
 * coinbases, and from the first input on that spends nothing known: then the block may be one that
 * was applied before, as in a preview of it. Else each transaction spends what was still there. */
static bool outputs_may_exist;

/* ---- records ------------------------------------------------------------------------------- */

static struct shrew_bytes utxo_key(uint8_t key[UTXO_KEY_LEN], const uint8_t *outpoint) {
    shrew_copy(key, UTXO_PREFIX, sizeof(UTXO_PREFIX) - 1);
    shrew_copy(key + sizeof(UTXO_PREFIX) - 1, outpoint, OUTPOINT_LEN);
    return shrew_bytes(key, UTXO_KEY_LEN);
}

/* False when there is no such unspent output. */
static bool utxo_get(struct utxo *utxo, const uint8_t *outpoint) {
    uint8_t key[UTXO_KEY_LEN];
    struct shrew_bytes record = shrew_get(utxo_key(key, outpoint));
    if (record.len == 0) {
        return false;
    }
    struct shrew_reader reader = {record.ptr, record.ptr + record.len};
    utxo->value = shrew_load_u64(shrew_read(&reader, 8).ptr);
    utxo->height = shrew_read_u32(&reader);
    utxo->links = *shrew_read(&reader, 1).ptr;
    utxo->newer = utxo->links & HAS_NEWER ? shrew_read(&reader, OUTPOINT_LEN).ptr : NULL;
    utxo->older = utxo->links & HAS_OLDER ? shrew_read(&reader, OUTPOINT_LEN).ptr : NULL;
    utxo->owner = shrew_bytes(reader.at, (uint32_t)(reader.end - reader.at));
    return true;
}

/* `fresh`: the state is known not to have the outpoint. */
static void utxo_put(const struct utxo *utxo, const uint8_t *outpoint, bool fresh) {
    uint8_t key[UTXO_KEY_LEN];
    uint8_t room[13 + 2 * OUTPOINT_LEN + OWNER_LEN_MAX];
    struct shrew_buf record = SHREW_BUF(room);
    uint8_t links =
        (uint8_t)((utxo->newer != NULL ? HAS_NEWER : 0) | (utxo->older != NULL ? HAS_OLDER : 0));
    shrew_buf_add_u64(&record, utxo->value);
    shrew_buf_add_u32(&record, utxo->height);
    shrew_buf_add_u8(&record, links);
    if (utxo->newer != NULL) {
        shrew_buf_add(&record, shrew_bytes(utxo->newer, OUTPOINT_LEN));
    }
    if (utxo->older != NULL) {
        shrew_buf_add(&record, shrew_bytes(utxo->older, OUTPOINT_LEN));
    }
    shrew_buf_add(&record, utxo->owner);
    if (fresh) {
        shrew_create(utxo_key(key, outpoint), shrew_buf_bytes(&record));
    } else {
        shrew_set(utxo_key(key, outpoint), shrew_buf_bytes(&record));
    }
}

/* A script, or its hash when it is long: what names it in keys. */
static struct shrew_bytes owner_of(uint8_t owner[OWNER_LEN_MAX], struct shrew_bytes script) {
    owner[0] = script.len > OWNER_RAW_MAX;
    if (owner[0] == 0) {
        shrew_copy(owner + 1, script.ptr, script.len);
        return shrew_bytes(owner, 1 + script.len);
    }
    shrew_sha256(owner + 1, script);
    return shrew_bytes(owner, 1 + 32);
}

static struct shrew_bytes script_key(struct shrew_buf *key, struct shrew_bytes owner) {
    shrew_buf_add(key, SHREW_STR("/script/"));
    shrew_buf_add(key, owner);
    return shrew_buf_bytes(key);
}

static struct script script_get(struct shrew_bytes owner) {
    uint8_t room[96];
    struct shrew_buf key = SHREW_BUF(room);
    struct script script = {0};
    struct shrew_bytes record = shrew_get(script_key(&key, owner));
    if (record.len == 16 + OUTPOINT_LEN) {
        script.balance = shrew_load_u64(record.ptr);
        script.n_utxos = shrew_load_u64(record.ptr + 8);
        script.newest = record.ptr + 16;
    }
    return script;
}

static void script_put(const struct script *script, struct shrew_bytes owner) {
    uint8_t room[96];
    struct shrew_buf key = SHREW_BUF(room);
    uint8_t record[16 + OUTPOINT_LEN];
    if (script->n_utxos == 0) {
        shrew_remove(script_key(&key, owner));
        return;
    }
    shrew_store_u64(record, script->balance);
    shrew_store_u64(record + 8, script->n_utxos);
    shrew_copy(record + 16, script->newest, OUTPOINT_LEN);
    shrew_set(script_key(&key, owner), shrew_bytes(record, sizeof(record)));
}

/* ---- a block ------------------------------------------------------------------------------- */

static void link_broken(void) {
    shrew_fail(SHREW_STR("balances: an unspent output that another one names is missing"));
}

/* False when nobody saw the output. */
static bool spend(const uint8_t *outpoint) {
    struct utxo utxo;
    struct utxo next;
    uint8_t key[UTXO_KEY_LEN];
    if (!utxo_get(&utxo, outpoint)) {
        return false;
    }
    struct script script = script_get(utxo.owner);
    if (utxo.newer == NULL) {
        script.newest = utxo.older;
    } else {
        if (!utxo_get(&next, utxo.newer)) {
            link_broken();
        }
        next.older = utxo.older;
        utxo_put(&next, utxo.newer, false);
    }
    if (utxo.older != NULL) {
        if (!utxo_get(&next, utxo.older)) {
            link_broken();
        }
        next.newer = utxo.newer;
        utxo_put(&next, utxo.older, false);
    }
    shrew_remove(utxo_key(key, outpoint));
    script.balance -= utxo.value;
    script.n_utxos--;
    script_put(&script, utxo.owner);
    totals.utxos--;
    totals.value -= utxo.value;
    totals.scripts -= script.n_utxos == 0;
    return true;
}

static void receive(const uint8_t *outpoint, const struct shrew_output *out, bool fresh) {
    uint8_t room[OWNER_LEN_MAX];
    struct shrew_bytes owner = owner_of(room, out->script);
    struct script script = script_get(owner);
    struct utxo utxo = {out->value, shrew_height(), 0, NULL, script.newest, owner};
    utxo_put(&utxo, outpoint, fresh);
    if (script.newest != NULL) {
        struct utxo older;
        if (!utxo_get(&older, script.newest)) {
            link_broken();
        }
        older.newer = outpoint;
        utxo_put(&older, script.newest, false);
    }
    script.newest = outpoint;
    script.balance += out->value;
    script.n_utxos++;
    script_put(&script, owner);
    totals.utxos++;
    totals.value += out->value;
    totals.scripts += script.n_utxos == 1;
}

static bool spendable(struct shrew_bytes script) {
    return script.len <= SCRIPT_LEN_MAX && !(script.len > 0 && script.ptr[0] == OP_RETURN);
}

static void apply_tx(struct shrew_tx *tx) {
    struct shrew_input in;
    while (tx->index != 0 && shrew_tx_next_input(tx, &in)) {
        if (!spend(in.outpoint)) {
            totals.unknown_inputs++;
            outputs_may_exist = true;
        }
    }
    uint8_t outpoint[OUTPOINT_LEN];
    shrew_tx_id(outpoint, tx);
    struct shrew_output out;
    while (shrew_tx_next_output(tx, &out)) {
        if (spendable(out.script)) {
            bool ask = outputs_may_exist || tx->index == 0;
            shrew_store_u32(outpoint + 32, out.vout);
            outputs_may_exist |= ask && spend(outpoint);
            receive(outpoint, &out, !ask);
        }
    }
    totals.txs++;
}

static struct totals totals_get(void) {
    struct totals now = {0};
    struct shrew_bytes record = shrew_get(TOTALS);
    if (record.len == sizeof(now)) {
        shrew_copy(&now, record.ptr, sizeof(now));
    }
    return now;
}

SHREW_INDEX() {
    struct shrew_block block;
    struct shrew_tx tx;
    totals = totals_get();
    outputs_may_exist = false;
    shrew_block_open(&block, shrew_payload());
    bool genesis = shrew_block_is_genesis(&block);
    while (shrew_block_next(&block, &tx)) {
        if (genesis) {
            totals.txs++;
        } else {
            apply_tx(&tx);
        }
    }
    shrew_set(TOTALS, shrew_bytes(&totals, sizeof(totals)));
}

/* ---- views --------------------------------------------------------------------------------- */

SHREW_VIEW(balance) {
    uint8_t room[OWNER_LEN_MAX];
    struct script script = script_get(owner_of(room, shrew_payload()));
    struct shrew_buf answer = {0};
    shrew_buf_add_u64(&answer, script.balance);
    shrew_buf_add_u64(&answer, script.n_utxos);
    return shrew_buf_bytes(&answer);
}

/* At most `limit` outputs, beginning with `outpoint`, which may be NULL: none. */
static struct shrew_bytes list_from(const uint8_t *outpoint, uint64_t limit) {
    struct shrew_buf answer = {0};
    for (; outpoint != NULL && limit > 0; limit--) {
        struct utxo utxo;
        if (!utxo_get(&utxo, outpoint)) {
            link_broken();
        }
        shrew_buf_add(&answer, shrew_bytes(outpoint, OUTPOINT_LEN));
        shrew_buf_add_u64(&answer, utxo.value);
        shrew_buf_add_u32(&answer, utxo.height);
        outpoint = utxo.older;
    }
    return shrew_buf_bytes(&answer);
}

SHREW_VIEW(utxos) {
    uint8_t room[OWNER_LEN_MAX];
    struct script script = script_get(owner_of(room, shrew_payload()));
    return list_from(script.newest, script.n_utxos);
}

SHREW_VIEW(utxos_page) {
    static const uint8_t from_newest[OUTPOINT_LEN];
    uint8_t room[OWNER_LEN_MAX];
    struct shrew_bytes input = shrew_payload();
    if (input.len < 4 + OUTPOINT_LEN) {
        shrew_fail(SHREW_STR("utxos_page: the input is a limit (4 bytes), an outpoint (36 bytes), "
                             "and a script"));
    }
    uint32_t limit = shrew_load_u32(input.ptr);
    const uint8_t *after = input.ptr + 4;
    struct shrew_bytes owner =
        owner_of(room, shrew_bytes(after + OUTPOINT_LEN, input.len - 4 - OUTPOINT_LEN));
    if (shrew_equal(after, from_newest, OUTPOINT_LEN)) {
        return list_from(script_get(owner).newest, limit);
    }
    struct utxo utxo;
    if (!utxo_get(&utxo, after) || utxo.owner.len != owner.len ||
        !shrew_equal(utxo.owner.ptr, owner.ptr, owner.len)) {
        shrew_fail(SHREW_STR("utxos_page: the outpoint is no unspent output of this script at "
                             "this height"));
    }
    return list_from(utxo.older, limit);
}

SHREW_VIEW(totals) {
    struct totals now = totals_get();
    struct shrew_buf answer = {0};
    shrew_buf_add(&answer, shrew_bytes(&now, sizeof(now)));
    return shrew_buf_bytes(&answer);
}
