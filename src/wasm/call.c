/* call.c: the steps of a run: instance and constructor, one export, its result. */
#include "wasm/internal.h"

#include "base/log.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define VIEW_LIST_MAX 600 /* bytes of a message that lists the views */

static int compare_name(const void *key, const void *item) {
    return strcmp(key, *(const char *const *)item);
}

int shr_view_index(const struct shr_module_info *info, const char *name) {
    const char **found =
        bsearch(name, info->views, info->n_views, sizeof *info->views, compare_name);
    return found != NULL ? (int)(found - info->views) : -1;
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

int shr_run_check(const struct shr_module *module, const struct shr_guest_call *call, bool is_view,
                  uint64_t memory_max, struct shrewd_error *err) {
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
    if (is_view && shr_view_index(info, call->entry) < 0) {
        return no_view(module, call->entry, err);
    }
    if (memory_max > 0 && info->memory_pages_min * 65536 > memory_max) {
        return shr_fail(err, SHREWD_LIMIT,
                        "'%s' starts with %llu bytes of memory, more than the %llu allowed",
                        module->name, (unsigned long long)info->memory_pages_min * 65536,
                        (unsigned long long)memory_max);
    }
    return 0;
}

wasmtime_func_t shr_run_export(wasmtime_context_t *context, const wasmtime_instance_t *instance,
                               const char *name) {
    wasmtime_extern_t item;
    bool found = wasmtime_instance_export_get(context, instance, name, strlen(name), &item);
    assert(found && item.kind == WASMTIME_EXTERN_FUNC);
    (void)found;
    return item.of.func;
}

int shr_run_function(struct shr_run *run, wasmtime_context_t *context, const wasmtime_func_t *func,
                     uint32_t *result, struct shrewd_error *err) {
    wasmtime_val_raw_t value = {.i64 = 0};
    wasm_trap_t *trap = NULL;
    wasmtime_error_t *error = wasmtime_func_call_unchecked(context, func, &value, 1, &trap);
    if (trap != NULL || error != NULL || shr_memory_refused()) {
        return shr_run_failed(run, trap, error, err);
    }
    if (result != NULL) {
        *result = (uint32_t)value.i32;
    }
    return 0;
}

int shr_run_instantiate(struct shr_run *run, wasmtime_context_t *context,
                        wasmtime_instance_t *instance, struct shrewd_error *err) {
    wasm_trap_t *trap = NULL;
    shr_memory_bind(run);
    wasmtime_error_t *error =
        wasmtime_instance_pre_instantiate(run->form->pre, context, instance, &trap);
    shr_memory_bind(NULL);
    if (trap != NULL || error != NULL || shr_memory_refused()) {
        return shr_run_failed(run, trap, error, err);
    }
    if (run->module->init != NULL) {
        wasmtime_func_t init = shr_run_export(context, instance, run->module->init);
        return shr_run_function(run, context, &init, NULL, err);
    }
    return 0;
}

int shr_run_result(const struct shr_run *run, struct shr_buf *out, uint32_t ptr, size_t max,
                   struct shrewd_error *err) {
    const struct shr_guest_call *call = run->call;
    struct shr_bytes result;
    char why[200];
    if (!run->module->info.has_memory || run->memory == NULL) {
        return shr_fail(err, SHREWD_GUEST,
                        "%s at height %u: the module exports no memory named 'memory'", call->entry,
                        call->height);
    }
    struct shr_bytes memory = shr_bytes(run->memory->base, run->memory->size);
    if (!shr_guest_buffer(&result, memory, ptr, why, sizeof why)) {
        return shr_fail(err, SHREWD_GUEST, "%s at height %u: its result: %s", call->entry,
                        call->height, why);
    }
    if (result.len > max) {
        return shr_fail(err, SHREWD_LIMIT,
                        "%s at height %u: its result of %zu bytes is more than the %zu allowed",
                        call->entry, call->height, result.len, max);
    }
    shr_buf_set(out, result);
    return 0;
}

int shr_guest_index(struct shr_module *module, const struct shr_guest_call *call,
                    struct shrewd_error *err) {
    struct shr_instance *instance = NULL;
    int code = shr_instance_of(&instance, module, &module->plain, NULL, err);
    if (code == 0) {
        code = shr_instance_index(instance, call, NULL, err);
    }
    shr_instance_free(instance);
    return code;
}

int shr_guest_view(struct shr_module *module, struct shr_buf *out,
                   const struct shr_guest_call *call, struct shrewd_error *err) {
    struct shr_instance *instance = NULL;
    struct shr_instance_limits limits = {.memory_max = call->memory_max,
                                         .result_max = call->result_max};
    int code = shr_instance_new(&instance, module, &limits, err);
    if (code == 0) {
        code = shr_instance_view(instance, out, call, NULL, err);
    }
    shr_instance_free(instance);
    return code;
}
