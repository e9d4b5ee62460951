/* Opening a state: whose it is, and whether it may be used as asked. */
#include "state/state_impl.h"

#include "base/alloc.h"
#include "base/hex.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* META as found; a row that is absent has its flag false. */
struct meta {
    bool has_format, has_identity, has_tip, has_fork, has_pruned, has_root;
    uint32_t format;
    struct shr_identity identity;
    struct shr_block_record tip;
    struct shr_fork_record fork;
    uint32_t oldest; /* with has_pruned */
    bool keep_root;  /* with has_root */
};

/* In the order of decode_meta. */
static const char *const meta_keys[] = {SHR_META_FORMAT, SHR_META_IDENTITY, SHR_META_TIP,
                                        SHR_META_FORK,   SHR_META_PRUNED,   SHR_META_ROOT};
#define META_ROWS (sizeof meta_keys / sizeof meta_keys[0])

#define CORRUPT_KEY_SHOWN ((size_t)48)

int shr_corrupt(const struct shr_store *store, enum shr_table table, struct shr_bytes key,
                const char *what, struct shrewd_error *err) {
    char hex[2 * CORRUPT_KEY_SHOWN + 1];
    bool cut = key.len > CORRUPT_KEY_SHOWN;
    shr_hex_write(hex, shr_bytes(key.data, cut ? CORRUPT_KEY_SHOWN : key.len));
    return shr_fail(err, SHREWD_CORRUPT,
                    "the database '%s' is damaged: table '%s', key 0x%s%s: %s; restore a copy of "
                    "the folder, or index again into an empty one",
                    store->name, shr_table_name(table), hex, cut ? "..." : "", what);
}

uint32_t shr_state_floor(const struct shr_state *state) {
    return state->base != NULL ? state->fork.height + 1 : state->identity.start_height;
}

/* --- Single rows --- */

int shr_state_own_tip(const struct shr_state *state, const struct shr_snapshot *snapshot,
                      struct shr_block_record *out, struct shrewd_error *err) {
    struct shr_bytes key = shr_bytes_str(SHR_META_TIP);
    struct shr_buf row = {0};
    int code = shr_store_get(state->store, snapshot, SHR_TABLE_META, &row, key, err);
    if (code == 0) {
        const char *wrong = shr_tip_decode(out, shr_buf_bytes(&row));
        if (wrong == NULL && out->height < shr_state_floor(state)) {
            wrong = "the tip is below the first block";
        }
        if (wrong != NULL) {
            code = shr_corrupt(state->store, SHR_TABLE_META, key, wrong, err);
        }
    }
    shr_buf_free(&row);
    return code;
}

int shr_state_own_block(const struct shr_state *state, const struct shr_snapshot *snapshot,
                        struct shr_block_record *out, uint32_t height, struct shrewd_error *err) {
    struct shr_height_key key = shr_height_key(height);
    struct shr_buf row = {0};
    const char *wrong = NULL;
    int code = shr_store_get(state->store, snapshot, SHR_TABLE_BLOCKS, &row,
                             shr_height_key_bytes(&key), err);
    if (code == SHREWD_NOT_FOUND) {
        wrong = "the record of a block is missing";
    } else if (code == 0) {
        wrong = shr_record_decode(out, height, shr_buf_bytes(&row));
    }
    if (wrong != NULL) {
        code = shr_corrupt(state->store, SHR_TABLE_BLOCKS, shr_height_key_bytes(&key), wrong, err);
    }
    shr_buf_free(&row);
    return code;
}

/* --- META --- */

static int decode_meta(const struct shr_store *store, struct meta *meta,
                       const struct shr_read reads[META_ROWS], struct shrewd_error *err) {
    const char *wrong[META_ROWS] = {NULL};
    meta->has_format = reads[0].found;
    meta->has_identity = reads[1].found;
    meta->has_tip = reads[2].found;
    meta->has_fork = reads[3].found;
    meta->has_pruned = reads[4].found;
    meta->has_root = reads[5].found;
    if (meta->has_format) {
        wrong[0] = shr_format_decode(&meta->format, shr_buf_bytes(reads[0].value));
        if (wrong[0] == NULL &&
            (meta->format < SHR_FORMAT_OLDEST || meta->format > SHR_FORMAT_VERSION)) {
            return shr_fail(err, SHREWD_MISMATCH,
                            "the database '%s' has format %u and this shrewd reads formats %u to "
                            "%u; use the version of shrewd that made it, or index again into "
                            "another folder",
                            store->name, meta->format, SHR_FORMAT_OLDEST, SHR_FORMAT_VERSION);
        }
    }
    if (meta->has_identity) {
        wrong[1] = shr_identity_decode(&meta->identity, shr_buf_bytes(reads[1].value));
    }
    if (meta->has_tip) {
        wrong[2] = shr_tip_decode(&meta->tip, shr_buf_bytes(reads[2].value));
    }
    if (meta->has_fork) {
        wrong[3] = shr_fork_decode(&meta->fork, shr_buf_bytes(reads[3].value));
    }
    if (meta->has_pruned) {
        wrong[4] = shr_pruned_decode(&meta->oldest, shr_buf_bytes(reads[4].value));
    }
    if (meta->has_root) {
        wrong[5] = shr_keep_root_decode(&meta->keep_root, shr_buf_bytes(reads[5].value));
    }
    for (size_t i = 0; i < META_ROWS; i++) {
        if (wrong[i] != NULL) {
            return shr_corrupt(store, SHR_TABLE_META, reads[i].key, wrong[i], err);
        }
    }
    return 0;
}

static int read_meta(struct shr_store *store, struct meta *meta, struct shrewd_error *err) {
    struct shr_buf rows[META_ROWS] = {{0}};
    struct shr_read reads[META_ROWS];
    for (size_t i = 0; i < META_ROWS; i++) {
        reads[i] = (struct shr_read){
            .table = SHR_TABLE_META, .key = shr_bytes_str(meta_keys[i]), .value = &rows[i]};
    }
    *meta = (struct meta){0};
    int code = shr_store_get_many(store, NULL, reads, META_ROWS, err);
    if (code == 0) {
        code = decode_meta(store, meta, reads, err);
    }
    for (size_t i = 0; i < META_ROWS; i++) {
        shr_buf_free(&rows[i]);
    }
    return code;
}

struct last_row {
    bool found;
    struct shr_buf key, value;
};

static enum shr_scan_step take_row(void *ctx, struct shr_bytes key, struct shr_bytes value) {
    struct last_row *last = ctx;
    last->found = true;
    shr_buf_set(&last->key, key);
    shr_buf_set(&last->value, value);
    return SHR_SCAN_DONE;
}

/* The tip and the last block must be one and the same: a database whose rows disagree about its
 * height was damaged or edited, and must not be built upon. */
static int check_tip(struct shr_store *store, const struct meta *meta, struct shrewd_error *err) {
    struct last_row last = {0};
    int code = shr_store_scan(store, NULL, SHR_TABLE_BLOCKS, shr_bytes(NULL, 0), shr_bytes(NULL, 0),
                              true, take_row, &last, err);
    if (code == 0) {
        struct shr_buf want = {0};
        struct shr_height_key key = shr_height_key(meta->tip.height);
        shr_record_encode(&want, &meta->tip);
        bool same = last.found == meta->has_tip;
        if (same && last.found) {
            same = shr_bytes_eq(shr_buf_bytes(&last.key), shr_height_key_bytes(&key)) &&
                   shr_bytes_eq(shr_buf_bytes(&last.value), shr_buf_bytes(&want));
        }
        if (!same) {
            code = shr_corrupt(store, SHR_TABLE_META, shr_bytes_str(SHR_META_TIP),
                               meta->has_format ? "the tip is not the last block held"
                                                : "there are blocks but no format",
                               err);
        }
        shr_buf_free(&want);
    }
    shr_buf_free(&last.value);
    shr_buf_free(&last.key);
    return code;
}

/* The oldest height held lies among the blocks held; a fork has none. */
static int check_pruned(const struct shr_store *store, const struct meta *meta,
                        struct shrewd_error *err) {
    bool sound = meta->has_tip && !meta->has_fork && meta->oldest >= meta->identity.start_height &&
                 meta->oldest <= meta->tip.height;
    return !meta->has_pruned || sound
               ? 0
               : shr_corrupt(store, SHR_TABLE_META, shr_bytes_str(SHR_META_PRUNED),
                             "the oldest height held is not that of a block held", err);
}

/* --- Whose it is --- */

static int check_genesis(const struct shr_store *store, const struct shr_hash *held,
                         const struct shr_hash *wanted, struct shrewd_error *err) {
    char held_hex[SHR_HASH_HEX_LEN + 1], wanted_hex[SHR_HASH_HEX_LEN + 1];
    if (shr_hash_eq(held, wanted)) {
        return 0;
    }
    shr_hash_hex(held_hex, held);
    shr_hash_hex(wanted_hex, wanted);
    return shr_fail(err, SHREWD_MISMATCH,
                    "the database '%s' is of another chain: its genesis block is %s, the one "
                    "asked for is %s; use a node of that chain, or another --db-path or --label",
                    store->name, held_hex, wanted_hex);
}

static int check_start(const struct shr_store *store, uint32_t held, uint32_t wanted,
                       struct shrewd_error *err) {
    if (held == wanted) {
        return 0;
    }
    return shr_fail(err, SHREWD_MISMATCH,
                    "the database '%s' starts at block %u, not %u; give --start-block %u, or "
                    "another --db-path or --label",
                    store->name, held, wanted, held);
}

static int check_root(const struct shr_store *store, bool held, enum shr_keep_root wanted,
                      struct shrewd_error *err) {
    if (wanted == SHR_KEEP_ROOT_ANY || held == (wanted == SHR_KEEP_ROOT_YES)) {
        return 0;
    }
    return shr_fail(err, SHREWD_MISMATCH,
                    "the database '%s' was made with --state-root=%s, which cannot be changed; "
                    "leave the flag out, or index again into another folder",
                    store->name, held ? "on" : "off");
}

static int refuse_module(const struct shr_store *store, const struct shr_hash *held,
                         const struct shr_hash *wanted, struct shrewd_error *err) {
    char held_hex[SHR_HASH_HEX_LEN + 1], wanted_hex[SHR_HASH_HEX_LEN + 1];
    /* The usual order of a SHA-256, as sha256sum shows it. */
    shr_hex_write(held_hex, shr_bytes(held->b, sizeof held->b));
    shr_hex_write(wanted_hex, shr_bytes(wanted->b, sizeof wanted->b));
    return shr_fail(err, SHREWD_MISMATCH,
                    "the database '%s' was written by another module: SHA-256 %s, the one given "
                    "is %s; use that module, another --db-path or --label for this one, or "
                    "--accept-module to go on with it from the tip",
                    store->name, held_hex, wanted_hex);
}

static int write_meta(struct shr_store *store, const struct meta *meta, struct shrewd_error *err) {
    struct shr_batch batch = {0};
    struct shr_buf row = {0};
    shr_format_encode(&row);
    shr_batch_put(&batch, SHR_TABLE_META, shr_bytes_str(SHR_META_FORMAT), shr_buf_bytes(&row));
    shr_identity_encode(&row, &meta->identity);
    shr_batch_put(&batch, SHR_TABLE_META, shr_bytes_str(SHR_META_IDENTITY), shr_buf_bytes(&row));
    if (meta->has_fork) {
        shr_fork_encode(&row, &meta->fork);
        shr_batch_put(&batch, SHR_TABLE_META, shr_bytes_str(SHR_META_FORK), shr_buf_bytes(&row));
    } else {
        shr_keep_root_encode(&row, meta->keep_root);
        shr_batch_put(&batch, SHR_TABLE_META, shr_bytes_str(SHR_META_ROOT), shr_buf_bytes(&row));
    }
    int code = shr_store_write(store, &batch, true, err);
    shr_buf_free(&row);
    shr_batch_free(&batch);
    return code;
}

/* The module of a database that is there already; records a new one that is accepted. */
static int settle_module(struct shr_store *store, struct meta *meta,
                         const struct shr_identity *identity, bool accept_module,
                         struct shrewd_error *err) {
    if (identity == NULL || shr_hash_eq(&meta->identity.module_hash, &identity->module_hash)) {
        return 0;
    }
    if (!accept_module) {
        return refuse_module(store, &meta->identity.module_hash, &identity->module_hash, err);
    }
    meta->identity.module_hash = identity->module_hash;
    return store->read_only ? 0 : write_meta(store, meta, err);
}

static int open_plain(struct shr_store *store, struct meta *meta,
                      const struct shr_identity *identity, bool accept_module,
                      struct shrewd_error *err) {
    if (!meta->has_format) {
        if (identity == NULL || store->read_only) {
            return shr_fail(err, SHREWD_NOT_FOUND, "the database '%s' holds nothing yet",
                            store->name);
        }
        meta->identity = *identity;
        meta->keep_root = identity->keep_root != SHR_KEEP_ROOT_NO;
        return write_meta(store, meta, err);
    }
    if (meta->has_fork) {
        return shr_fail(
            err, SHREWD_MISMATCH,
            "the database '%s' is a fork of another one, at block %u, and read together "
            "with it: give that one with --fork, or ask a 'shrewd run' that does (diff "
            "takes its URL, with --deep)",
            store->name, meta->fork.height);
    }
    int code = 0;
    if (identity != NULL) {
        code = check_genesis(store, &meta->identity.genesis, &identity->genesis, err);
    }
    if (code == 0 && identity != NULL) {
        code = check_start(store, meta->identity.start_height, identity->start_height, err);
    }
    if (code == 0 && identity != NULL) {
        code = check_root(store, meta->keep_root, identity->keep_root, err);
    }
    return code != 0 ? code : settle_module(store, meta, identity, accept_module, err);
}

/* --- Forks --- */

/* A new fork: its base's chain and start, and the module given, or else its base's. */
static int make_fork(struct shr_store *store, struct meta *meta, struct shr_reader *base,
                     uint32_t fork_height, const struct shr_identity *identity,
                     struct shrewd_error *err) {
    struct shr_block_record block;
    int code = fork_height == UINT32_MAX ? shr_reader_tip(base, &block, err)
                                         : shr_reader_held(base, &block, fork_height, err);
    if (code != 0) {
        return code;
    }
    meta->identity = base->state->identity;
    if (identity != NULL) {
        code = check_genesis(base->state->store, &meta->identity.genesis, &identity->genesis, err);
        meta->identity.module_hash = identity->module_hash;
    }
    meta->has_fork = true;
    meta->fork.height = block.height;
    meta->fork.hash = block.hash;
    return code != 0 ? code : write_meta(store, meta, err);
}

/* The base must still be what the fork was made on. */
static int check_base(struct shr_store *store, const struct meta *meta, struct shr_reader *base,
                      struct shrewd_error *err) {
    const char *base_name = base->state->store->name;
    int code = check_genesis(base->state->store, &base->state->identity.genesis,
                             &meta->identity.genesis, err);
    if (code != 0) {
        return code;
    }
    struct shr_block_record block;
    code = shr_reader_held(base, &block, meta->fork.height, err);
    if (code == SHREWD_PRUNED) {
        return shr_fail(
            err, SHREWD_MISMATCH,
            "the database '%s' is a fork at block %u, which '%s' has pruned: the oldest "
            "height it holds is %u; make a new fork, above that",
            store->name, meta->fork.height, base_name, shr_reader_oldest(base));
    }
    if (code == SHREWD_ABOVE_TIP || code == SHREWD_BELOW_START) {
        return shr_fail(err, SHREWD_MISMATCH,
                        "the database '%s' is a fork at block %u, which '%s' does not hold; give "
                        "the database it was made on, or make a new fork",
                        store->name, meta->fork.height, base_name);
    }
    if (code == 0 && !shr_hash_eq(&block.hash, &meta->fork.hash)) {
        char held_hex[SHR_HASH_HEX_LEN + 1], base_hex[SHR_HASH_HEX_LEN + 1];
        shr_hash_hex(held_hex, &meta->fork.hash);
        shr_hash_hex(base_hex, &block.hash);
        code = shr_fail(err, SHREWD_MISMATCH,
                        "the database '%s' is a fork at block %u with hash %s, but that of '%s' "
                        "is %s: it is another database, or a reorg replaced the block; make a "
                        "new fork",
                        store->name, meta->fork.height, held_hex, base_name, base_hex);
    }
    return code;
}

static int open_fork(struct shr_store *store, struct meta *meta, struct shr_reader *base,
                     uint32_t fork_height, const struct shr_identity *identity, bool accept_module,
                     struct shrewd_error *err) {
    if (!meta->has_format) {
        if (store->read_only) {
            return shr_fail(err, SHREWD_NOT_FOUND, "the database '%s' holds nothing yet",
                            store->name);
        }
        return make_fork(store, meta, base, fork_height, identity, err);
    }
    if (!meta->has_fork) {
        return shr_fail(err, SHREWD_MISMATCH,
                        "the database '%s' is not a fork; leave out --fork, or give an empty "
                        "folder with --db-path",
                        store->name);
    }
    if (fork_height != UINT32_MAX && fork_height != meta->fork.height) {
        return shr_fail(err, SHREWD_MISMATCH,
                        "the database '%s' is a fork at block %u, not %u; use another folder for "
                        "another fork",
                        store->name, meta->fork.height, fork_height);
    }
    int code = check_base(store, meta, base, err);
    if (code == 0 && identity != NULL) {
        code = check_genesis(store, &meta->identity.genesis, &identity->genesis, err);
    }
    return code != 0 ? code : settle_module(store, meta, identity, accept_module, err);
}

/* --- Opening and closing --- */

/* What the format that was found has no name for may be written from here on, and what is left of a
 * group that was not finished goes before anybody reads. */
static int prepare_writing(struct shr_state *state, const struct meta *meta,
                           struct shrewd_error *err) {
    bool old = meta->has_format && meta->format < SHR_FORMAT_VERSION;
    int code = old ? write_meta(state->store, meta, err) : 0;
    return code != 0 ? code : shr_state_clear_ahead(state, err);
}

static int open_on(struct shr_state *state, struct shr_reader *base, uint32_t fork_height,
                   const struct shr_identity *identity, bool accept_module,
                   struct shrewd_error *err) {
    struct meta meta;
    int code = read_meta(state->store, &meta, err);
    if (code == 0) {
        code = check_tip(state->store, &meta, err);
    }
    if (code == 0 && !meta.has_format && (meta.has_identity || meta.has_tip || meta.has_fork)) {
        code = shr_corrupt(state->store, SHR_TABLE_META, shr_bytes_str(SHR_META_FORMAT),
                           "the format row is missing", err);
    }
    if (code == 0) {
        code = check_pruned(state->store, &meta, err);
    }
    if (code == 0 && meta.has_format && !meta.has_identity) {
        code = shr_corrupt(state->store, SHR_TABLE_META, shr_bytes_str(SHR_META_IDENTITY),
                           "the identity row is missing", err);
    }
    if (code == 0 && meta.has_format && meta.has_root == meta.has_fork) {
        code = shr_corrupt(state->store, SHR_TABLE_META, shr_bytes_str(SHR_META_ROOT),
                           meta.has_fork ? "a fork keeps no state root"
                                         : "whether a state root is kept is missing",
                           err);
    }
    if (code == 0) {
        code = base == NULL ? open_plain(state->store, &meta, identity, accept_module, err)
                            : open_fork(state->store, &meta, base, fork_height, identity,
                                        accept_module, err);
    }
    state->identity = meta.identity;
    state->identity.keep_root = meta.keep_root ? SHR_KEEP_ROOT_YES : SHR_KEEP_ROOT_NO;
    if (code == 0 && meta.keep_root) {
        state->root = shr_root_new(state->store, 0, SHR_ROOT_THREADS_DEFAULT);
        shr_state_set_root_cache(state, SHR_ROOT_CACHE_DEFAULT);
    }
    state->tree_left = state->root != NULL;
    state->fork = meta.fork;
    state->base = base;
    state->now.tip = meta.tip;
    state->now.has_tip = meta.has_tip;
    state->now.at.tip = meta.tip.height;
    state->now.oldest = meta.has_pruned ? meta.oldest
                        : base == NULL  ? meta.identity.start_height
                                        : 0;
    state->now.pruned = meta.has_pruned;
    return code != 0 || state->store->read_only ? code : prepare_writing(state, &meta, err);
}

static int open_state(struct shr_state **out, struct shr_store *store, struct shr_reader *base,
                      uint32_t fork_height, const struct shr_identity *identity, bool accept_module,
                      struct shrewd_error *err) {
    struct shr_state *state = shr_alloc(sizeof *state);
    state->store = store;
    state->now.state = state;
    state->load_min = SHR_STATE_LOAD_MIN;
    int failed = pthread_mutex_init(&state->lock, NULL);
    assert(failed == 0); /* cannot fail with default attributes on Linux */
    (void)failed;
    int code = open_on(state, base, fork_height, identity, accept_module, err);
    if (code == 0) {
        shr_state_set_cache(state, base == NULL ? SHR_STATE_CACHE_DEFAULT : 0);
        code = shr_state_publish(state, err);
    }
    if (code != 0) {
        shr_state_close(state);
        return code;
    }
    *out = state;
    return 0;
}

int shr_state_open(struct shr_state **out, struct shr_store *store,
                   const struct shr_identity *identity, bool accept_module,
                   struct shrewd_error *err) {
    return open_state(out, store, NULL, 0, identity, accept_module, err);
}

int shr_state_open_fork(struct shr_state **out, struct shr_store *store, struct shr_reader *base,
                        uint32_t fork_height, const struct shr_identity *identity,
                        bool accept_module, struct shrewd_error *err) {
    return open_state(out, store, base, fork_height, identity, accept_module, err);
}

void shr_state_close(struct shr_state *state) {
    if (state != NULL) {
        shr_reader_close(state->published);
        shr_cache_free(state->cache);
        shr_root_free(state->root);
        shr_store_close(state->store);
        pthread_mutex_destroy(&state->lock);
        free(state);
    }
}

void shr_state_set_cache(struct shr_state *state, size_t bytes) {
    shr_cache_free(state->cache);
    state->cache = bytes == 0 ? NULL : shr_cache_new(bytes);
    if (state->cache != NULL) {
        shr_cache_advance(state->cache, &state->now.at);
    }
}

int shr_state_check_root(const struct shr_state *state, enum shr_keep_root wanted,
                         struct shrewd_error *err) {
    if (state->base != NULL && wanted == SHR_KEEP_ROOT_YES) {
        return shr_fail(err, SHREWD_UNSUPPORTED,
                        "'%s' is a fork, and a fork keeps no state root; leave out --state-root=on",
                        state->store->name);
    }
    return check_root(state->store, state->root != NULL, wanted, err);
}

void shr_state_set_load_min(struct shr_state *state, size_t pairs) {
    state->load_min = pairs;
}

void shr_state_set_root_cache(struct shr_state *state, size_t bytes) {
    if (state->root == NULL) {
        return;
    }
    shr_root_set_cache(state->root, bytes);
    if (state->store->folder != NULL) {
        shr_root_set_aside(state->root, state->store->folder, SHR_ROOT_ASIDE_TIMES * bytes);
    }
}

bool shr_state_has_root(const struct shr_state *state) {
    return state->root != NULL;
}

void shr_state_cache_stats(struct shr_state *state, struct shr_cache_stats *out) {
    *out = (struct shr_cache_stats){0};
    if (state->cache != NULL) {
        shr_cache_stats(state->cache, out);
    }
}

bool shr_state_is_fork(const struct shr_state *state) {
    return state->base != NULL;
}

void shr_state_identity(struct shr_state *state, struct shr_identity *out) {
    *out = state->identity;
}

int shr_state_sizes(struct shr_state *state, struct shr_sizes *out, struct shrewd_error *err) {
    return shr_store_sizes(state->store, out, err);
}

int shr_state_probe(struct shr_state *state, struct shrewd_error *err) {
    return shr_store_probe(state->store, err);
}
