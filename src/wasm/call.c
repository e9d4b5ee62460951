/* call.c: one run of a guest: a fresh store and instance, its initialisation, its export. */
#include "wasm/internal.h"

#include "base/log.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define RESULT_MAX_DEFAULT (256u * 1024u * 1024u)
#define VIEW_LIST_MAX 600 /* bytes of a message that lists the views */

static int compare_name(const void *key, const void *item) {
    return strcmp(key, *(const char *const *)item);
}

static int no_view(const struct shr_module *module, const char *name, struct shrewd_error *err) {
    const struct shr_module_info *info = &module->info;
    struct shr_buf text = {0};
    shr_buf_add_str(&text, "no view '");
    shr_escape(&text, shr_bytes(name, strnlen(name, 100)));
    shr_buf_add_str(&text, info->n_views > 0 ? "'; the views of this module are: "
                                             : "'; this module has no views");
    for (size_t i = 0; i < info->n_views; i++) {
        if (text.len + strlen(info->views[i]) > VIEW_LIST_MAX) {
            shr_buf_printf(&text, " ... and %zu more", info->n_views - i);
            break;
        }
        shr_buf_add_str(&text, i > 0 ? ", " : "");
        shr_escape(&text, shr_bytes_str(info->views[i]));
    }
    int code = shr_fail(err, SHREWD_NO_VIEW, "%s", shr_buf_cstr(&text));
    shr_buf_free(&text);
    return code;
}

/* What can be told before an instance is made. */
static int check_call(const struct shr_module *module, const struct shr_guest_call *call,
                      bool is_view, struct shrewd_error *err) {
    const struct shr_module_info *info = &module->info;
    if (module->unusable != NULL) {
        return shr_fail(err, SHREWD_MODULE, "%s", module->unusable);
    }
    if (call->payload.len > INT32_MAX - 4) {
        return shr_fail(err, SHREWD_LIMIT, "an input of %zu bytes is more than a guest can address",
                        call->payload.len);
    }
    if (!is_view && !info->has_start_export) {
        return shr_fail(err, SHREWD_MODULE,
                        "'%s' cannot index: it does not export _start with type () -> ()",
                        module->name);
    }
    if (is_view && bsearch(call->entry, info->views, info->n_views, sizeof *info->views,
                           compare_name) == NULL) {
        return no_view(module, call->entry, err);
    }
    if (call->memory_max > 0 && info->memory_pages_min * 65536 > call->memory_max) {
        return shr_fail(err, SHREWD_LIMIT,
                        "'%s' starts with %llu bytes of memory, more than the %llu allowed",
                        module->name, (unsigned long long)info->memory_pages_min * 65536,
                        (unsigned long long)call->memory_max);
    }
    return 0;
}

static void set_limits(wasmtime_store_t *store, uint64_t memory_max) {
    int64_t memory = memory_max == 0 || memory_max > SHR_GUEST_MEMORY_MAX
                         ? (int64_t)SHR_GUEST_MEMORY_MAX
                         : (int64_t)memory_max;
    wasmtime_store_limiter(store, memory, SHR_GUEST_TABLE_MAX, 1, -1, 1);
}

/* Runs one export; `result` may be NULL for () -> (). */
static int run_export(struct shr_run *run, wasmtime_context_t *context,
                      const wasmtime_instance_t *instance, const char *name, uint32_t *result,
                      struct shrewd_error *err) {
    wasmtime_extern_t item;
    bool found = wasmtime_instance_export_get(context, instance, name, strlen(name), &item);
    assert(found && item.kind == WASMTIME_EXTERN_FUNC);
    (void)found;
    wasmtime_val_raw_t value = {.i64 = 0};
    wasm_trap_t *trap = NULL;
    wasmtime_error_t *error =
        wasmtime_func_call_unchecked(context, &item.of.func, &value, 1, &trap);
    if (trap != NULL || error != NULL || shr_memory_refused()) {
        return shr_run_failed(run, trap, error, err);
    }
    if (result != NULL) {
        *result = (uint32_t)value.i32;
    }
    return 0;
}

static int instantiate(struct shr_run *run, wasmtime_context_t *context,
                       wasmtime_instance_t *instance, struct shrewd_error *err) {
    wasm_trap_t *trap = NULL;
    wasmtime_error_t *error =
        wasmtime_instance_pre_instantiate(run->module->pre, context, instance, &trap);
    if (trap != NULL || error != NULL || shr_memory_refused()) {
        return shr_run_failed(run, trap, error, err);
    }
    if (run->module->init != NULL) {
        return run_export(run, context, instance, run->module->init, NULL, err);
    }
    return 0;
}

/* The buffer that a view returned, copied out. */
static int take_result(const struct shr_run *run, struct shr_buf *out, wasmtime_context_t *context,
                       const wasmtime_instance_t *instance, uint32_t ptr,
                       struct shrewd_error *err) {
    const struct shr_guest_call *call = run->call;
    wasmtime_extern_t item;
    if (!wasmtime_instance_export_get(context, instance, "memory", strlen("memory"), &item) ||
        item.kind != WASMTIME_EXTERN_MEMORY) {
        return shr_fail(err, SHREWD_GUEST,
                        "%s at height %u: the module exports no memory named 'memory'", call->entry,
                        call->height);
    }
    struct shr_bytes memory = shr_bytes(wasmtime_memory_data(context, &item.of.memory),
                                        wasmtime_memory_data_size(context, &item.of.memory));
    struct shr_bytes result;
    char why[200];
    if (!shr_guest_buffer(&result, memory, ptr, why, sizeof why)) {
        return shr_fail(err, SHREWD_GUEST, "%s at height %u: its result: %s", call->entry,
                        call->height, why);
    }
    size_t max = call->result_max > 0 ? call->result_max : RESULT_MAX_DEFAULT;
    if (result.len > max) {
        return shr_fail(err, SHREWD_LIMIT,
                        "%s at height %u: its result of %zu bytes is more than the %zu allowed",
                        call->entry, call->height, result.len, max);
    }
    shr_buf_set(out, result);
    return 0;
}

static int run_in_store(struct shr_run *run, struct shr_buf *out, wasmtime_store_t *store,
                        struct shrewd_error *err) {
    const struct shr_guest_call *call = run->call;
    wasmtime_context_t *context = wasmtime_store_context(store);
    wasmtime_instance_t instance;
    uint32_t result = 0;
    int code = instantiate(run, context, &instance, err);
    if (code == 0) {
        code = run_export(run, context, &instance, call->entry, &result, err);
    }
    if (code == 0 && run->is_view) {
        code = take_result(run, out, context, &instance, result, err);
    }
    if (code == 0 && !run->is_view && !run->flushed) {
        code = shr_fail(err, SHREWD_GUEST,
                        "indexer exited unexpectedly: _start returned at height %u without a "
                        "__flush",
                        call->height);
    }
    return code;
}

static int run_guest(struct shr_module *module, struct shr_buf *out,
                     const struct shr_guest_call *call, bool is_view, struct shrewd_error *err) {
    int code = check_call(module, call, is_view, err);
    if (code != 0) {
        return code;
    }
    struct shr_run run = {.module = module, .call = call, .is_view = is_view};
    bool refused_before = shr_memory_refused_clear();
    wasmtime_store_t *store = wasmtime_store_new(module->wasm, &run, NULL);
    set_limits(store, call->memory_max);
    code = run_in_store(&run, out, store, err);
    wasmtime_store_delete(store);
    shr_buf_free(&run.cached_key);
    shr_buf_free(&run.cached_value);
    shr_memory_refused_set(refused_before);
    return code;
}

int shr_guest_index(struct shr_module *module, const struct shr_guest_call *call,
                    struct shrewd_error *err) {
    struct shr_guest_call start = *call;
    start.entry = "_start";
    return run_guest(module, NULL, &start, false, err);
}

int shr_guest_view(struct shr_module *module, struct shr_buf *out,
                   const struct shr_guest_call *call, struct shrewd_error *err) {
    return run_guest(module, out, call, true, err);
}
