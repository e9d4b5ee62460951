#include "rpc/methods.h"

#include "base/clock.h"
#include "base/hex.h"
#include "rpc/compare.h"
#include "rpc/prove.h"

#include <inttypes.h>

/* 4294967295 is a height like any other to a client, though SHR_LATEST to libshrewd. */
static int above_tip(const struct shr_rpc_env *env, uint32_t height, struct shrewd_error *err) {
    struct shr_block_record tip;
    int rc = env->source.tip(env->source.ctx, &tip, err);
    if (rc != 0) {
        return rc;
    }
    return shr_fail(err, SHREWD_ABOVE_TIP, "block %" PRIu32 " is not indexed: the tip is %" PRIu32,
                    height, tip.height);
}

/* The record of the block that a height parameter means. */
static int find_block(const struct shr_rpc_env *env, struct shr_block_record *out,
                      const struct shr_params *params, int i, struct shrewd_error *err) {
    struct shr_height height;
    int rc = shr_param_height(&height, params, i, err);
    if (rc != 0) {
        return rc;
    }
    if (height.latest) {
        return env->source.tip(env->source.ctx, out, err);
    }
    if (height.height == SHR_LATEST) {
        return above_tip(env, height.height, err);
    }
    return env->source.block(env->source.ctx, out, height.height, err);
}

int shr_method_height(const struct shr_rpc_env *env, uint32_t *out, const struct shr_params *params,
                      int i, struct shrewd_error *err) {
    struct shr_height height;
    int rc = shr_param_height(&height, params, i, err);
    if (rc == 0 && !height.latest && height.height == SHR_LATEST) {
        rc = above_tip(env, height.height, err);
    }
    *out = height.latest ? SHR_LATEST : height.height;
    return rc;
}

static void add_hex(struct shr_buf *out, struct shr_bytes bytes) {
    shr_buf_reserve(out, 2 * bytes.len + 5);
    shr_buf_add_str(out, "\"0x");
    shr_hex_encode(out, bytes);
    shr_buf_add_u8(out, '"');
}

int shr_method_view_call(const struct shr_rpc_env *env, struct shr_view_call *call,
                         struct shr_buf *name, struct shr_buf *input,
                         const struct shr_params *params, struct shrewd_error *err) {
    int rc = shr_param_string(name, params, 0, err);
    if (rc == 0) {
        rc = shr_param_hex(input, params, 1, err);
    }
    if (rc == 0) {
        rc = shr_method_height(env, &call->height, params, 2, err);
    }
    if (rc == 0) {
        call->view = shr_buf_cstr(name);
        call->input = shr_buf_bytes(input);
    }
    return rc;
}

static int run_view(const struct shr_rpc_env *env, struct shr_buf *out,
                    const struct shr_params *params, const _Atomic bool *cancel,
                    struct shrewd_error *err) {
    struct shr_buf name = {0}, input = {0}, result = {0};
    struct shr_view_call call;
    int rc = shr_method_view_call(env, &call, &name, &input, params, err);
    if (rc == 0) {
        rc = env->source.view(env->source.ctx, &result, &call, cancel, err);
    }
    if (rc == 0) {
        add_hex(out, shr_buf_bytes(&result));
    }
    shr_buf_free(&result);
    shr_buf_free(&input);
    shr_buf_free(&name);
    return rc;
}

static int run_preview(const struct shr_rpc_env *env, struct shr_buf *out,
                       const struct shr_params *params, const _Atomic bool *cancel,
                       struct shrewd_error *err) {
    struct shr_buf block = {0}, name = {0}, input = {0}, result = {0};
    struct shr_view_call call;
    int rc = shr_param_hex(&block, params, 0, err);
    if (rc == 0) {
        rc = shr_param_string(&name, params, 1, err);
    }
    if (rc == 0) {
        rc = shr_param_hex(&input, params, 2, err);
    }
    if (rc == 0) {
        rc = shr_method_height(env, &call.height, params, 3, err);
    }
    if (rc == 0) {
        call.view = shr_buf_cstr(&name);
        call.input = shr_buf_bytes(&input);
        rc = env->source.preview(env->source.ctx, &result, shr_buf_bytes(&block), &call, cancel,
                                 err);
    }
    if (rc == 0) {
        add_hex(out, shr_buf_bytes(&result));
    }
    shr_buf_free(&result);
    shr_buf_free(&input);
    shr_buf_free(&name);
    shr_buf_free(&block);
    return rc;
}

static int run_height(const struct shr_rpc_env *env, struct shr_buf *out,
                      const struct shr_params *params, const _Atomic bool *cancel,
                      struct shrewd_error *err) {
    struct shr_block_record tip;
    int rc = env->source.tip(env->source.ctx, &tip, err);
    if (rc == 0) {
        shr_buf_printf(out, "\"%" PRIu32 "\"", tip.height);
    }
    return rc;
}

static int run_getblockhash(const struct shr_rpc_env *env, struct shr_buf *out,
                            const struct shr_params *params, const _Atomic bool *cancel,
                            struct shrewd_error *err) {
    struct shr_block_record block = {0};
    int rc = find_block(env, &block, params, 0, err);
    if (rc == 0) {
        char display[SHR_HASH_HEX_LEN + 1];
        shr_hash_hex(display, &block.hash);
        shr_buf_printf(out, "\"0x%s\"", display);
    }
    return rc;
}

static int run_stateroot(const struct shr_rpc_env *env, struct shr_buf *out,
                         const struct shr_params *params, const _Atomic bool *cancel,
                         struct shrewd_error *err) {
    struct shr_block_record block = {0};
    int rc = find_block(env, &block, params, 0, err);
    if (rc == 0 && !block.has_root) {
        rc = shr_fail(err, SHREWD_NO_ROOT, "this database keeps no state root for height %" PRIu32,
                      block.height);
    }
    if (rc == 0) {
        add_hex(out, shr_bytes(block.root.b, sizeof block.root.b));
    }
    return rc;
}

/* A JSON string that holds an object, as the reference answers. */
static int run_snapshot(const struct shr_rpc_env *env, struct shr_buf *out,
                        const struct shr_params *params, const _Atomic bool *cancel,
                        struct shrewd_error *err) {
    struct shr_block_record tip = {0};
    struct shr_server_sync sync = {0};
    int rc = env->source.tip(env->source.ctx, &tip, err);
    if (rc != 0 && rc != SHREWD_NOT_FOUND) {
        return rc;
    }
    if (env->sync != NULL) {
        env->sync(env->sync_ctx, &sync);
    }
    struct shr_buf text = {0};
    shr_buf_printf(&text,
                   "{\"enabled\":%s,\"current_height\":%" PRIu32 ",\"indexed_height\":%" PRIu32
                   ",\"last_snapshot_height\":%" PRIu32 ",\"blocks_synced_normally\":%" PRIu64
                   ",\"blocks_synced_from_snapshots\":%" PRIu32 ",\"snapshots_applied\":%d",
                   sync.snapshots ? "true" : "false", tip.height, tip.height, sync.snapshot_height,
                   sync.blocks, sync.restored, sync.restored > 0);
    shr_buf_printf(&text,
                   ",\"indexed\":%s,\"running\":%s,\"at_tip\":%s,\"node_tip\":%" PRIu32
                   ",\"reorgs\":%" PRIu64 ",\"reorg_blocks\":%" PRIu64 "}",
                   rc == 0 ? "true" : "false", sync.running ? "true" : "false",
                   sync.at_tip ? "true" : "false", sync.node_tip, sync.reorgs, sync.reorg_blocks);
    shr_json_write_string(out, shr_buf_bytes(&text));
    shr_buf_free(&text);
    return 0;
}

const struct shr_method shr_methods[SHR_METHOD_COUNT] = {
    {"metashrew_view", {{"view", "input", "height"}, 2}, true, run_view},
    {"metashrew_preview", {{"block", "view", "input", "height"}, 3}, true, run_preview},
    {"metashrew_height", {{NULL}, 0}, false, run_height},
    {"metashrew_getblockhash", {{"height"}, 0}, false, run_getblockhash},
    {"metashrew_stateroot", {{"height"}, 0}, false, run_stateroot},
    {"metashrew_snapshot", {{NULL}, 0}, false, run_snapshot},
    {"shrewd_prove", {{"keys", "height"}, 1}, true, shr_prove_run},
    {"shrewd_view_proof", {{"view", "input", "height"}, 2}, true, shr_prove_view_run},
    {"shrewd_rootnodes", {{"paths", "height"}, 1}, true, shr_rootnodes_run},
    {"shrewd_changes", {{"height", "after"}, 0}, true, shr_changes_run},
    {"shrewd_keys", {{"prefix", "height", "after", "count"}, 0}, true, shr_keys_run},
};

const struct shr_method *shr_method_find(struct shr_bytes name) {
    for (int i = 0; i < SHR_METHOD_COUNT; i++) {
        if (shr_bytes_eq(name, shr_bytes_str(shr_methods[i].name))) {
            return &shr_methods[i];
        }
    }
    return NULL;
}

static void count(struct shr_rpc_env *env, const struct shr_method *method, bool failed,
                  uint64_t start_ns) {
    struct shr_method_stats *stats = &env->stats[method - shr_methods];
    atomic_fetch_add(&stats->calls, 1);
    atomic_fetch_add(&stats->errors, failed);
    atomic_fetch_add(&stats->ns, shr_now_ns() - start_ns);
}

int shr_method_run(struct shr_rpc_env *env, struct shr_buf *out, const struct shr_method *method,
                   const struct shr_json *json, uint32_t params, const _Atomic bool *cancel,
                   struct shrewd_error *err) {
    uint64_t start_ns = shr_now_ns();
    struct shr_params bound;
    int rc = shr_params_bind(&bound, &method->params, json, params, err);
    if (rc == 0) {
        rc = method->run(env, out, &bound, cancel, err);
    }
    count(env, method, rc != 0, start_ns);
    return rc;
}

bool shr_method_at_once(struct shr_rpc_env *env, struct shr_buf *out,
                        const struct shr_method *method, const struct shr_json *json,
                        uint32_t params, bool quick) {
    if (method->run != run_view) {
        return false;
    }
    uint64_t start_ns = shr_now_ns();
    struct shr_buf name = {0}, input = {0}, result = {0};
    struct shr_params bound;
    struct shr_view_call call;
    const struct shr_rpc_source *source = &env->source;
    bool (*look)(void *ctx, struct shr_buf *out, const struct shr_view_call *call) =
        quick && source->quick != NULL ? source->quick : source->cached;
    bool found = shr_params_bind(&bound, &method->params, json, params, NULL) == 0 &&
                 shr_method_view_call(env, &call, &name, &input, &bound, NULL) == 0 &&
                 look(source->ctx, &result, &call);
    if (found) {
        add_hex(out, shr_buf_bytes(&result));
        count(env, method, false, start_ns);
    }
    shr_buf_free(&result);
    shr_buf_free(&input);
    shr_buf_free(&name);
    return found;
}
