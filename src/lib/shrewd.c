#include "base/alloc.h"
#include "base/hex.h"
#include "chain/block.h"
#include "index/apply.h"
#include "lib/lib.h"
#include "state/check.h"

#include <stdlib.h>
#include <string.h>

struct shrewd {
    struct shr_engine *engine; /* NULL without a module */
    struct shr_module *module;
    struct shr_state *base; /* --fork: what is read through to */
    struct shr_reader *base_reader;
    struct shr_state *state;
    struct shr_views *views; /* NULL without a module */
    bool read_only;
};

static int open_module(struct shrewd *s, const struct shrewd_options *options,
                       struct shrewd_error *err) {
    if (options->module_path == NULL) {
        return 0;
    }
    int code = shr_engine_new(&s->engine, err);
    if (code == 0) {
        code =
            shr_module_open(&s->module, s->engine, options->module_path, options->cache_path, err);
    }
    if (code == SHREWD_NOT_FOUND) { /* which would say that the database is not there */
        code = shr_fail_in(err, SHREWD_MODULE, "no such module");
    }
    return code;
}

static int open_store(struct shr_store **out, const struct shrewd_options *options,
                      struct shrewd_error *err) {
    if (options->flags & SHREWD_IN_MEMORY) {
        *out = shr_store_new_memory();
        return 0;
    }
    if (options->db_path == NULL) {
        return shr_fail(err, SHREWD_INVALID, "no database folder was given (db_path)");
    }
    struct shr_rocks_options rocks = {
        .create = (options->flags & SHREWD_CREATE) != 0,
        .read_only = (options->flags & SHREWD_READ_ONLY) != 0,
        .cache_bytes = options->cache_bytes,
        .write_buffer_bytes = options->write_buffer_bytes,
    };
    return shr_store_open_rocks(out, options->db_path, &rocks, err);
}

/* What reads through this handle may be remembered in. */
static void size_read_cache(struct shr_state *state, const struct shrewd_options *options) {
    if (options->read_cache_off) {
        shr_state_set_cache(state, 0);
    } else if (options->read_cache_bytes != 0) {
        bool tree = shr_state_has_root(state); /* without one, values have what its pages would */
        shr_state_set_cache(state,
                            options->read_cache_bytes + (tree ? 0 : options->root_cache_bytes));
    }
}

static int open_base(struct shrewd *s, const struct shrewd_options *options,
                     struct shrewd_error *err) {
    struct shr_store *store = NULL;
    struct shr_rocks_options rocks = {.read_only = true, .cache_bytes = options->cache_bytes};
    int code = shr_store_open_rocks(&store, options->fork_path, &rocks, err);
    if (code == 0) {
        code = shr_state_open(&s->base, store, NULL, false, err);
    }
    if (code == 0) {
        size_read_cache(s->base, options);
        code = shr_reader_open(&s->base_reader, s->base, err);
    }
    if (code != 0) {
        return shr_fail_in(err, code, "the database to fork from ('%s')", options->fork_path);
    }
    return 0;
}

static enum shr_keep_root keep_root(const struct shrewd_options *options) {
    return (options->flags & SHREWD_STATE_ROOT_ON) != 0    ? SHR_KEEP_ROOT_YES
           : (options->flags & SHREWD_STATE_ROOT_OFF) != 0 ? SHR_KEEP_ROOT_NO
                                                           : SHR_KEEP_ROOT_ANY;
}

static int open_state(struct shrewd *s, const struct shrewd_options *options,
                      struct shrewd_error *err) {
    struct shr_identity identity = {.start_height = options->start_height,
                                    .keep_root = keep_root(options)};
    const struct shr_identity *wanted = NULL;
    struct shr_store *store = NULL;
    bool accept = (options->flags & SHREWD_ACCEPT_MODULE) != 0;
    if (options->genesis32 != NULL && s->module != NULL) {
        memcpy(identity.genesis.b, options->genesis32, 32);
        identity.module_hash = *shr_module_hash(s->module);
        wanted = &identity;
    }
    int code = options->fork_path != NULL ? open_base(s, options, err) : 0;
    if (code == 0) {
        code = open_store(&store, options, err);
    }
    if (code != 0) {
        return code;
    }
    if (s->base_reader != NULL) {
        struct shr_identity base;
        shr_state_identity(s->base, &base);
        identity.start_height = base.start_height;
        code =
            shr_state_open_fork(&s->state, store, s->base_reader, UINT32_MAX, wanted, accept, err);
    } else {
        code = shr_state_open(&s->state, store, wanted, accept, err);
    }
    if (code == 0 && s->base_reader == NULL) {
        size_read_cache(s->state, options);
    }
    if (code == 0 && options->root_cache_bytes != 0) {
        shr_state_set_root_cache(s->state, options->root_cache_bytes);
    }
    return code != 0 ? code : shr_state_check_root(s->state, keep_root(options), err);
}

/* A handle opened without the chain's genesis still must not run another module's state. */
static int check_module(struct shrewd *s, const struct shrewd_options *options,
                        struct shrewd_error *err) {
    struct shr_identity identity;
    char ours[SHR_HASH_HEX_LEN + 1];
    char theirs[SHR_HASH_HEX_LEN + 1];
    if (s->module == NULL || (options->flags & SHREWD_ACCEPT_MODULE)) {
        return 0;
    }
    shr_state_identity(s->state, &identity);
    if (shr_hash_eq(&identity.module_hash, shr_module_hash(s->module))) {
        return 0;
    }
    shr_hex_write(ours, shr_bytes(identity.module_hash.b, 32));
    shr_hex_write(theirs, shr_bytes(shr_module_hash(s->module)->b, 32));
    return shr_fail(err, SHREWD_MISMATCH,
                    "the database was written by the module with SHA-256 %s, and '%s' is another "
                    "one (%s): give the first module, another --db-path, or --accept-module to go "
                    "on with this one",
                    ours, options->module_path, theirs);
}

static int open_views(struct shrewd *s, const struct shrewd_view_options *options,
                      struct shrewd_error *err) {
    struct shr_views_options views = {
        .mode = options->fresh ? SHR_VIEWS_FRESH : SHR_VIEWS_STATEFUL,
        .pool_bytes = options->pool_bytes,
        .results_bytes = options->results_bytes,
        .results_off = options->results_off,
        .verify_every = options->verify_every,
        .time_ms = options->time_ms,
        .preview_time_ms = options->preview_time_ms,
        .memory_max = options->memory_max,
        .result_max = options->result_max,
        .log_lines_max = options->log_lines_max,
    };
    return s->module == NULL ? 0 : shr_views_new(&s->views, s->state, s->module, &views, err);
}

int shrewd_open(struct shrewd **out, const struct shrewd_options *options,
                struct shrewd_error *err) {
    struct shrewd *s = shr_alloc(sizeof *s);
    s->read_only = (options->flags & SHREWD_READ_ONLY) != 0;
    int code = open_module(s, options, err);
    if (code == 0) {
        code = open_state(s, options, err);
    }
    if (code == 0) {
        code = check_module(s, options, err);
    }
    if (code == 0) {
        code = open_views(s, &options->views, err);
    }
    if (code != 0) {
        shrewd_close(s);
        return code;
    }
    *out = s;
    return 0;
}

void shrewd_close(struct shrewd *s) {
    if (s == NULL) {
        return;
    }
    shr_views_free(s->views);
    shr_state_close(s->state);
    shr_reader_close(s->base_reader);
    shr_state_close(s->base);
    shr_module_free(s->module);
    shr_engine_free(s->engine);
    free(s);
}

struct shr_state *shr_lib_state(struct shrewd *s) {
    return s->state;
}

struct shr_module *shr_lib_module(struct shrewd *s) {
    return s->module;
}

struct shr_views *shr_lib_views(struct shrewd *s) {
    return s->views;
}

void shr_lib_export_block(struct shrewd_block *out, const struct shr_block_record *record) {
    *out = (struct shrewd_block){
        .height = record->height,
        .has_root = record->has_root,
        .n_keys = record->n_keys,
        .total_keys = record->total_keys,
    };
    memcpy(out->hash, record->hash.b, 32);
    memcpy(out->root, record->root.b, 32);
}

int shrewd_tip(struct shrewd *s, struct shrewd_block *out, struct shrewd_error *err) {
    struct shr_block_record record;
    int code = shr_state_tip(s->state, &record, err);
    if (code == 0) {
        shr_lib_export_block(out, &record);
    }
    return code;
}

int shrewd_block_at(struct shrewd *s, struct shrewd_block *out, uint32_t height,
                    struct shrewd_error *err) {
    struct shr_block_record record;
    if (height == SHREWD_LATEST) {
        return shrewd_tip(s, out, err);
    }
    int code = shr_state_block(s->state, &record, height, err);
    if (code == 0) {
        shr_lib_export_block(out, &record);
    }
    return code;
}

static int need_module(struct shrewd *s, struct shrewd_error *err) {
    return s->module != NULL
               ? 0
               : shr_fail(err, SHREWD_INVALID, "no module was given: a guest is needed for this");
}

static int need_writable(struct shrewd *s, struct shrewd_error *err) {
    return !s->read_only ? 0
                         : shr_fail(err, SHREWD_INVALID,
                                    "the database was opened read-only: nothing can be changed");
}

int shrewd_index_block(struct shrewd *s, const uint8_t *block, size_t len,
                       struct shrewd_error *err) {
    struct shr_header header;
    struct shr_block_record tip;
    struct shr_identity identity;
    struct shr_apply apply = {
        .state = s->state, .module = s->module, .block = shr_bytes(block, len), .sync = true};
    int code = need_module(s, err);
    if (code == 0) {
        code = need_writable(s, err);
    }
    if (code == 0) {
        code = shr_block_check(&header, &apply.hash, apply.block, NULL, err);
    }
    if (code != 0) {
        return code;
    }
    code = shr_state_tip(s->state, &tip, err);
    if (code == SHREWD_NOT_FOUND) {
        shr_state_identity(s->state, &identity);
        apply.height = identity.start_height;
    } else if (code != 0) {
        return code;
    } else if (!shr_hash_eq(&header.prev, &tip.hash)) {
        char parent[SHR_HASH_HEX_LEN + 1];
        shr_hash_hex(parent, &header.prev);
        return shr_fail(err, SHREWD_NOT_CONNECTED,
                        "the block's parent %s is not the tip (height %u): roll back to the "
                        "common ancestor first",
                        parent, tip.height);
    } else {
        apply.height = tip.height + 1;
    }
    code = shr_apply_block(&apply, err);
    if (code == 0) {
        shr_views_on_tip(s->views);
    }
    return code;
}

int shrewd_rollback(struct shrewd *s, uint32_t height, struct shrewd_error *err) {
    int code = need_writable(s, err);
    if (code == 0) {
        code = shr_state_rollback(s->state, height, err);
    }
    if (code == 0 && s->views != NULL) {
        shr_views_on_tip(s->views);
    }
    return code;
}

/* Hands a buffer's memory to the caller. */
static int hand_out(uint8_t **out, size_t *out_len, struct shr_buf *buf, int code) {
    if (code != 0) {
        shr_buf_free(buf);
        return code;
    }
    shr_buf_reserve(buf, 1);
    *out = buf->data;
    *out_len = buf->len;
    return 0;
}

int shrewd_view(struct shrewd *s, uint8_t **out, size_t *out_len, const char *view,
                const uint8_t *input, size_t input_len, uint32_t height, struct shrewd_error *err) {
    struct shr_buf answer = {0};
    struct shr_view_call call = {
        .view = view, .input = shr_bytes(input, input_len), .height = height};
    int code = need_module(s, err);
    if (code == 0) {
        code = shr_views_call(s->views, &answer, &call, NULL, err);
    }
    return hand_out(out, out_len, &answer, code);
}

int shrewd_preview(struct shrewd *s, uint8_t **out, size_t *out_len, const uint8_t *block,
                   size_t block_len, const char *view, const uint8_t *input, size_t input_len,
                   uint32_t height, struct shrewd_error *err) {
    struct shr_buf answer = {0};
    struct shr_view_call call = {
        .view = view, .input = shr_bytes(input, input_len), .height = height};
    int code = need_module(s, err);
    if (code == 0) {
        code = shr_views_preview(s->views, &answer, shr_bytes(block, block_len), &call, NULL, err);
    }
    return hand_out(out, out_len, &answer, code);
}

void shrewd_free(void *memory) {
    free(memory);
}

/* Opens a reader and turns SHREWD_LATEST into the tip's height; fails for a height not held. */
static int reader_at(struct shrewd *s, struct shr_reader **out, uint32_t *height,
                     struct shrewd_error *err) {
    struct shr_block_record record;
    int code = shr_reader_open(out, s->state, err);
    if (code != 0) {
        return code;
    }
    code = *height == SHREWD_LATEST ? shr_reader_tip(*out, &record, err)
                                    : shr_reader_held(*out, &record, *height, err);
    if (code != 0) {
        shr_reader_close(*out);
        return code;
    }
    *height = record.height;
    return 0;
}

int shrewd_get(struct shrewd *s, uint8_t **out, size_t *out_len, const uint8_t *key, size_t key_len,
               uint32_t height, struct shrewd_error *err) {
    struct shr_buf value = {0};
    struct shr_reader *reader = NULL;
    int code = reader_at(s, &reader, &height, err);
    if (code != 0) {
        return code;
    }
    code = shr_reader_get(reader, &value, shr_bytes(key, key_len), height, err);
    shr_reader_close(reader);
    return hand_out(out, out_len, &value, code);
}

struct visit {
    shrewd_visit_fn *fn;
    void *ctx;
};

static enum shr_scan_step visit_one(void *ctx, struct shr_bytes key, struct shr_bytes value) {
    const struct visit *visit = ctx;
    bool more = visit->fn(visit->ctx, key.data, key.len, value.data, value.len);
    return more ? SHR_SCAN_MORE : SHR_SCAN_DONE;
}

int shrewd_each(struct shrewd *s, const uint8_t *prefix, size_t prefix_len, uint32_t height,
                shrewd_visit_fn *visit, void *ctx, struct shrewd_error *err) {
    struct visit adapter = {visit, ctx};
    struct shr_reader *reader = NULL;
    int code = reader_at(s, &reader, &height, err);
    if (code == 0) {
        code = shr_reader_each(reader, shr_bytes(prefix, prefix_len), height, visit_one, &adapter,
                               err);
        shr_reader_close(reader);
    }
    return code;
}

static void export_sizes(struct shrewd_info *out, const struct shr_sizes *sizes) {
    _Static_assert((int)SHR_TABLE_COUNT <= SHREWD_TABLES_MAX, "raise the bound");
    out->disk_bytes = sizes->bytes;
    out->versions = sizes->tables[SHR_TABLE_LATEST].rows + sizes->tables[SHR_TABLE_HISTORY].rows;
    out->n_tables = SHR_TABLE_COUNT;
    for (int table = 0; table < SHR_TABLE_COUNT; table++) {
        out->tables[table] = (struct shrewd_table){
            .name = shr_check_table((enum shr_table)table),
            .bytes = sizes->tables[table].bytes,
            .rows = sizes->tables[table].rows,
        };
    }
}

int shrewd_info(struct shrewd *s, struct shrewd_info *out, struct shrewd_error *err) {
    struct shr_identity identity;
    struct shr_reader *reader = NULL;
    struct shr_sizes sizes;
    shr_state_identity(s->state, &identity);
    int code = shr_state_sizes(s->state, &sizes, err);
    struct shr_block_record tip;
    if (code == 0) {
        code = shr_reader_open(&reader, s->state, err);
    }
    if (code != 0) {
        return code;
    }
    if (!shr_state_is_fork(s->state) && shr_reader_tip(reader, &tip, NULL) == 0) {
        sizes.tables[SHR_TABLE_LATEST].rows = tip.total_keys; /* which are counted */
    }
    *out = (struct shrewd_info){
        .start_height = identity.start_height,
        .first_height = shr_reader_oldest(reader),
    };
    export_sizes(out, &sizes);
    memcpy(out->genesis, identity.genesis.b, 32);
    memcpy(out->module_hash, identity.module_hash.b, 32);
    shr_reader_close(reader);
    return 0;
}
