/* shrewd diff: where two indexes part (diff/diff.h), and what it found, for people and as JSON. */
#include "base/alloc.h"
#include "base/file.h"
#include "base/hex.h"
#include "cli/blocks.h"
#include "cli/client.h"
#include "cli/database.h"
#include "cli/diff_server.h"
#include "cli/output.h"
#include "cli/signals.h"
#include "diff/modules.h"
#include "lib/lib.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define VALUE_SHOWN 256 /* bytes; JSON has all */
#define DIFFER 1        /* exit codes as diff(1)'s: 0 the same, 1 not, more: trouble */
#define TROUBLE 2

struct side {
    char *name;
    struct shrewd *db; /* NULL: a server */
};

/* host:port, without a scheme. */
static bool is_address(const char *text) {
    const char *colon = strrchr(text, ':');
    return colon != NULL && colon > text && strchr(text, '/') == NULL && colon[1] != 0 &&
           strspn(colon + 1, "0123456789") == strlen(colon + 1);
}

static int open_side(struct side *side, struct shr_diff_source *out, const char *text,
                     const struct shr_config *config, struct shrewd_error *err) {
    struct stat info;
    bool folder = stat(text, &info) == 0 && S_ISDIR(info.st_mode);
    if (!folder && (strstr(text, "://") != NULL || is_address(text))) {
        char *url = shr_asprintf("%s%s", strstr(text, "://") != NULL ? "" : "http://", text);
        side->name = shr_client_shown(url);
        int code = shr_diff_server(out, url, side->name, err);
        free(url);
        return code;
    }
    struct shrewd_options options = {
        .flags = SHREWD_READ_ONLY,
        .db_path = text,
        .cache_bytes = (size_t)config->cache_mb << 20,
        .read_cache_off = true, /* what is on disk is what is compared */
    };
    side->name = shr_strdup(text);
    int code = shrewd_open(&side->db, &options, err);
    return code != 0 ? code : shr_diff_state(out, shr_lib_state(side->db), side->name, err);
}

/* --- What people read --- */

static void add_hex(struct shr_buf *out, struct shr_bytes bytes) {
    shr_buf_add_str(out, "0x");
    shr_hex_encode(out, bytes);
}

static void add_hash(struct shr_buf *out, const struct shr_hash *hash) {
    add_hex(out, shr_bytes(hash->b, sizeof hash->b));
}

/* Keys are often text. */
static bool is_text(struct shr_bytes bytes) {
    for (size_t i = 0; i < bytes.len; i++) {
        if (!isprint(bytes.data[i])) {
            return false;
        }
    }
    return bytes.len > 0;
}

static void add_value(struct shr_buf *out, const struct shr_diff_value *value) {
    if (!value->there) {
        shr_buf_add_str(out, "absent");
    } else if (!value->known || value->value.len > VALUE_SHOWN) {
        if (value->known) {
            add_hex(out, shr_bytes(value->value.data, VALUE_SHOWN));
            shr_buf_printf(out, "... (%zu bytes), ", value->value.len);
        }
        shr_buf_add_str(out, "SHA-256 ");
        add_hash(out, &value->hash);
    } else {
        add_hex(out, shr_buf_bytes(&value->value));
    }
    if (value->unlike_tree) {
        shr_buf_add_str(out, " (not the value its state root has: run 'shrewd check' there)");
    }
    shr_buf_add_u8(out, '\n');
}

static void add_key(struct shr_buf *out, const struct shr_diff_key *key, bool heights) {
    if (key->named) {
        shr_buf_add_str(out, "key ");
        add_hex(out, shr_buf_bytes(&key->key));
    } else {
        shr_buf_add_str(out, "key with SHA-256 ");
        add_hash(out, &key->hash);
    }
    if (key->named && is_text(shr_buf_bytes(&key->key))) {
        shr_buf_printf(out, " \"%.*s\"", (int)key->key.len, (const char *)key->key.data);
    }
    if (heights) {
        shr_buf_printf(out, " from block %" PRIu32 " on", key->height);
    }
    shr_buf_add_str(out, "\n  A ");
    add_value(out, &key->side[0]);
    shr_buf_add_str(out, "  B ");
    add_value(out, &key->side[1]);
}

static void add_chains(struct shr_buf *out, const struct shr_diff_result *result) {
    char hash[SHR_HASH_HEX_LEN + 1];
    shr_buf_printf(out, "the chains part at block %" PRIu32 "\n", result->part_height);
    for (int side = 0; side < 2; side++) {
        shr_hash_hex(hash, &result->part_hash[side]);
        shr_buf_printf(out, "  %c %s\n", "AB"[side], hash);
    }
    if (!result->shares_any) {
        shr_buf_add_str(out, "they share no block: there is nothing to compare\n");
    }
}

static void add_states(struct shr_buf *out, const struct shr_diff_result *result, bool deep) {
    char hash[SHR_HASH_HEX_LEN + 1];
    if (!result->differ) {
        shr_buf_printf(out, "the states are the same at block %" PRIu32, result->compared);
        if (result->has_roots) {
            shr_buf_add_str(out, ": state root ");
            add_hash(out, &result->roots[0]);
        } else {
            shr_buf_add_str(out, ", key by key");
        }
        shr_buf_add_u8(out, '\n');
        return;
    }
    shr_hash_hex(hash, &result->hash);
    shr_buf_printf(out, "the states differ from block %" PRIu32 " on (%s)\n", result->height, hash);
    for (int side = 0; side < 2 && result->has_roots; side++) {
        shr_buf_printf(out, "  %c state root ", "AB"[side]);
        add_hash(out, &result->roots[side]);
        shr_buf_add_u8(out, '\n');
    }
    if (!deep && result->read_at != result->height) {
        shr_buf_printf(out, "the keys as of block %" PRIu32 ", the oldest that both hold\n",
                       result->read_at);
    }
    for (size_t i = 0; i < result->n; i++) {
        add_key(out, &result->keys[i], deep);
    }
    if (result->n == 0 && result->outside == 0) {
        shr_buf_add_str(out, "no key differs there: a record, or a row of a tree, is damaged; run "
                             "'shrewd check' on both\n");
    }
    shr_buf_printf(out, "%zu key%s%s\n", result->n, result->n == 1 ? "" : "s",
                   result->cut ? ", and more (--findings)" : "");
    if (result->outside > 0) {
        shr_buf_printf(out, "%" PRIu64 " without the prefix\n", result->outside);
    }
}

static void print_text(const struct shr_diff_result *result, const char *const names[2],
                       bool deep) {
    struct shr_buf out = {0};
    for (int side = 0; side < 2; side++) {
        shr_buf_printf(&out, "%c %s: up to block %" PRIu32 ", %" PRIu64 " requests\n", "AB"[side],
                       names[side], result -> tips[side], result -> requests[side]);
    }
    if (result->chains_part) {
        add_chains(&out, result);
    }
    if (result->shares_any) {
        add_states(&out, result, deep);
    }
    shr_out_put(shr_buf_bytes(&out));
    shr_buf_free(&out);
}

/* --- JSON --- */

static json_t *json_value(const struct shr_diff_value *value) {
    json_t *object = json_object();
    struct shr_bytes hash = shr_bytes(value->hash.b, sizeof value->hash.b);
    json_object_set_new(object, "there", json_boolean(value->there));
    json_object_set_new(object, "value",
                        value->known ? shr_json_hex(shr_buf_bytes(&value->value)) : json_null());
    json_object_set_new(object, "sha256", value->there ? shr_json_hex(hash) : json_null());
    json_object_set_new(object, "unlike_tree", json_boolean(value->unlike_tree));
    return object;
}

static json_t *json_key(const struct shr_diff_key *key) {
    json_t *object = json_object();
    struct shr_bytes bytes = shr_buf_bytes(&key->key);
    bool text = key->named && is_text(bytes);
    json_object_set_new(object, "key", key->named ? shr_json_hex(bytes) : json_null());
    json_object_set_new(object, "text",
                        text ? json_stringn((const char *)bytes.data, bytes.len) : json_null());
    json_object_set_new(object, "sha256", shr_json_hex(shr_bytes(key->hash.b, sizeof key->hash.b)));
    json_object_set_new(object, "height", json_integer(key->height));
    json_object_set_new(object, "a", json_value(&key->side[0]));
    json_object_set_new(object, "b", json_value(&key->side[1]));
    return object;
}

static json_t *json_side(const struct shr_diff_result *result, const char *const names[2],
                         int side) {
    json_t *object = json_object();
    struct shr_bytes root = shr_bytes(result->roots[side].b, sizeof result->roots[side].b);
    json_object_set_new(object, "name", json_string(names[side]));
    json_object_set_new(object, "tip", json_integer(result->tips[side]));
    json_object_set_new(object, "root", result->has_roots ? shr_json_hex(root) : json_null());
    json_object_set_new(object, "hash",
                        result->chains_part ? shr_json_hash(result->part_hash[side].b)
                                            : json_null());
    json_object_set_new(object, "requests", json_integer((json_int_t)result->requests[side]));
    return object;
}

static void print_json(const struct shr_diff_result *result, const char *const names[2]) {
    json_t *object = json_object(), *keys = json_array();
    bool differ = result->differ;
    for (size_t i = 0; i < result->n; i++) {
        json_array_append_new(keys, json_key(&result->keys[i]));
    }
    json_object_set_new(object, "same", json_boolean(!differ && !result->chains_part));
    json_object_set_new(object, "a", json_side(result, names, 0));
    json_object_set_new(object, "b", json_side(result, names, 1));
    json_object_set_new(object, "chains_part",
                        result->chains_part ? json_integer(result->part_height) : json_null());
    json_object_set_new(object, "compared",
                        result->shares_any ? json_integer(result->compared) : json_null());
    json_object_set_new(object, "height", differ ? json_integer(result->height) : json_null());
    json_object_set_new(object, "hash", differ ? shr_json_hash(result->hash.b) : json_null());
    json_object_set_new(object, "read_at", differ ? json_integer(result->read_at) : json_null());
    json_object_set_new(object, "keys", keys);
    json_object_set_new(object, "cut", json_boolean(result->cut));
    json_object_set_new(object, "outside", json_integer((json_int_t)result->outside));
    shr_out_json(object);
}

/* --- The command --- */

/* A comparison on the stack of guests. */
struct job {
    const struct shr_config *config;
    struct side sides[2];
    struct shr_diff_source sources[2];
    struct shr_diff_options options;
    struct shr_diff_result result;
    const char *names[2];
    char *scratch; /* the folder of the modules' states */
    struct shr_stop stop;
    struct shrewd_error *err;
};

static int print_result(const struct job *job) {
    const struct shr_diff_result *result = &job->result;
    if (job->config->json) {
        print_json(result, job->names);
    } else {
        print_text(result, job->names, job->options.deep);
    }
    return result->differ || result->chains_part ? DIFFER : SHR_EXIT_OK;
}

static int compare_indexes(struct job *job) {
    int code = 0;
    for (int side = 0; side < 2 && code == 0; side++) {
        code = open_side(&job->sides[side], &job->sources[side], job->config->args[side],
                         job->config, job->err);
        job->names[side] = job->sides[side].name;
    }
    return code != 0 ? code : shr_diff_run(&job->result, job->sources, &job->options, job->err);
}

/* Where the index begins. */
static int first_block(const struct job *job, uint32_t *out, struct shrewd_error *err) {
    struct shrewd_info info;
    *out = job->config->start_block;
    if (job->sides[0].db == NULL) {
        return 0;
    }
    int code = shrewd_info(job->sides[0].db, &info, err);
    *out = code == 0 ? info.start_height : 0;
    return code;
}

static int open_modules(struct job *job, struct shr_engine *engine,
                        struct shr_diff_modules *modules) {
    const struct shr_config *config = job->config;
    const char *paths[2] = {config->n_args == 0 ? config->indexer : NULL, config->compare};
    int code = 0;
    for (int side = 0; side < 2 && code == 0; side++) {
        if (paths[side] != NULL) {
            code = shr_module_open(&modules->modules[side], engine, paths[side], config->cache_dir,
                                   job->err);
            job->names[side] = paths[side];
        }
    }
    if (code == 0 && config->n_args == 1) {
        code = open_side(&job->sides[0], &job->sources[0], config->args[0], config, job->err);
        job->names[0] = job->sides[0].name;
        modules->index = job->sources[0];
    }
    return code != 0 ? code : first_block(job, &modules->start, job->err);
}

/* A folder for the databases of the modules: gone when the command ends. To be freed. */
static char *make_scratch(struct shrewd_error *err) {
    const char *parent = getenv("TMPDIR");
    parent = parent != NULL && parent[0] != 0 ? parent : "/var/tmp";
    char *path = shr_asprintf("%s/shrewd-diff.XXXXXX", parent);
    if (mkdtemp(path) == NULL) {
        shr_fail_errno(err, SHREWD_IO,
                       "cannot make a folder for the states of the modules in '%s' (TMPDIR names "
                       "another one)",
                       parent);
        free(path);
        return NULL;
    }
    return path;
}

static int run_modules(void *ctx) {
    struct job *job = ctx;
    struct shr_engine *engine = NULL;
    struct shr_diff_modules modules = {.options = job->options, .scratch = job->scratch};
    int code = shr_engine_new(&engine, job->err);
    code = code != 0 ? code : open_modules(job, engine, &modules);
    code = code != 0 ? code
                     : shr_open_blocks(&modules.blocks, job->config, &job->stop, NULL, job->err);
    if (code == 0) {
        modules.names[0] = job->names[0];
        modules.names[1] = job->names[1];
        code = shr_diff_modules(&job->result, &modules, job->err);
    }
    shr_source_close(modules.blocks);
    shr_module_free(modules.modules[0]);
    shr_module_free(modules.modules[1]);
    shr_engine_free(engine);
    return code;
}

static int compare_modules(struct job *job) {
    int code = shr_signals_install(&job->stop, job->err);
    if (code != 0) {
        return code;
    }
    job->scratch = make_scratch(job->err);
    code = job->scratch == NULL ? SHREWD_IO : shr_on_guest_stack(run_modules, job, job->err);
    if (job->scratch != NULL) {
        (void)shr_dir_remove(job->scratch, NULL);
        free(job->scratch);
    }
    shr_signals_restore(&job->stop);
    return code;
}

/* A and B; or A, or --indexer, and --compare with blocks to run it over. */
static int check_usage(const struct shr_config *config, struct shrewd_error *err) {
    if (config->compare == NULL && config->n_args < 2) {
        return shr_fail(err, SHREWD_INVALID,
                        "'shrewd diff' needs two indexes, A and B, or --compare MODULE");
    }
    if (config->compare == NULL) {
        return 0;
    }
    if (config->n_args == 2 || (config->n_args == 0 && config->indexer == NULL)) {
        return shr_fail(err, SHREWD_INVALID,
                        "--compare: give what the module is compared with: one index, A, or "
                        "another module, --indexer");
    }
    if (config->daemon_rpc_url == NULL && config->blocks == NULL) {
        return shr_fail(err, SHREWD_INVALID,
                        "--compare runs the module over blocks: say where they come from, with "
                        "--daemon-rpc-url or --blocks");
    }
    return config->deep ? shr_fail(err, SHREWD_INVALID,
                                   "--deep: --compare looks at the values of every block anyway")
                        : 0;
}

int shr_cmd_diff(struct shr_config *config) {
    struct shrewd_error err = {0};
    struct shr_buf prefix = {0};
    struct job job = {.config = config, .err = &err};
    int code = check_usage(config, &err);
    code = code != 0 ? code : shr_read_prefix(&prefix, config->prefix, &err);
    job.options = (struct shr_diff_options){
        .height = config->height,
        .prefix = shr_buf_bytes(&prefix),
        .keys_max = config->findings,
        .deep = config->deep,
    };
    if (code == 0) {
        code = config->compare != NULL ? compare_modules(&job) : compare_indexes(&job);
    }
    int status = code == 0 ? print_result(&job) : shr_signals_report(&err);
    for (int side = 0; side < 2; side++) {
        shr_diff_source_close(&job.sources[side]);
        shrewd_close(job.sides[side].db);
        free(job.sides[side].name);
    }
    shr_diff_result_free(&job.result);
    shr_buf_free(&prefix);
    /* What is trouble must not look like an answer. */
    return code != 0 && (status == DIFFER || status == SHR_EXIT_OK) ? TROUBLE : status;
}
