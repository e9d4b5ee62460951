/* instance.c: a store with one instance of a module in it, for as many calls as its owner likes. */
#include "wasm/internal.h"

#include "base/alloc.h"

#include <stdlib.h>

#define RESULT_MAX_DEFAULT (256u * 1024u * 1024u)

enum stage { NEW, READY, SPENT };

struct shr_instance {
    struct shr_run run;
    struct shr_instance_limits limits;
    enum stage stage;
    wasmtime_store_t *store;
    wasmtime_context_t *context;
    wasmtime_instance_t instance;
    wasmtime_func_t views[]; /* as in the module's list; store_id 0: not looked up yet */
};

/* A call in a form that checks epochs looks up here on each tick of the watchdog. */
static wasmtime_error_t *on_epoch(wasmtime_context_t *context, void *data, uint64_t *delta,
                                  wasmtime_update_deadline_kind_t *kind) {
    const struct shr_run *run = data;
    if (shr_watch_ended(&run->watch)) {
        return wasmtime_error_new("ended by the watchdog");
    }
    *delta = 1;
    *kind = WASMTIME_UPDATE_DEADLINE_CONTINUE;
    return NULL;
}

static void set_up_store(struct shr_instance *instance) {
    struct shr_run *run = &instance->run;
    uint64_t max = instance->limits.memory_max;
    if (max == 0 || max > SHR_GUEST_MEMORY_MAX) {
        max = SHR_GUEST_MEMORY_MAX;
    } else if (max < SHR_MARKS_SIZE) {
        max = SHR_MARKS_SIZE;
    }
    int64_t memories = run->form->kind == SHR_ENGINE_MARKED ? 2 : 1;
    wasmtime_store_limiter(instance->store, (int64_t)max, SHR_GUEST_TABLE_MAX, 1, -1, memories);
    if (run->form->kind == SHR_ENGINE_EPOCHS) {
        wasmtime_store_epoch_deadline_callback(instance->store, on_epoch, run, NULL);
        wasmtime_context_set_epoch_deadline(instance->context, 1);
    }
}

int shr_instance_of(struct shr_instance **out, const struct shr_module *module,
                    const struct shr_form *form, const struct shr_instance_limits *limits,
                    struct shrewd_error *err) {
    if (module->unusable != NULL) {
        return shr_fail(err, SHREWD_MODULE, "%s", module->unusable);
    }
    struct shr_instance *instance =
        shr_alloc(sizeof *instance + module->info.n_views * sizeof instance->views[0]);
    instance->run.module = module;
    instance->run.form = form;
    if (limits != NULL) {
        instance->limits = *limits;
        instance->run.log_lines_max = limits->log_lines_max;
    }
    instance->store = wasmtime_store_new(form->wasm, &instance->run, NULL);
    instance->context = wasmtime_store_context(instance->store);
    set_up_store(instance);
    *out = instance;
    return 0;
}

int shr_instance_new(struct shr_instance **out, struct shr_module *module,
                     const struct shr_instance_limits *limits, struct shrewd_error *err) {
    const struct shr_form *form = &module->endable;
    return shr_instance_of(out, module, form->compiled != NULL ? form : &module->plain, limits,
                           err);
}

void shr_instance_free(struct shr_instance *instance) {
    if (instance == NULL) {
        return;
    }
    wasmtime_store_delete(instance->store);
    shr_watch_remove(&instance->run.watch);
    shr_buf_free(&instance->run.asked_key);
    shr_buf_free(&instance->run.asked_value);
    shr_memo_free(&instance->run.memo);
    free(instance);
}

/* The guest's part of a call; false when the instance is not to be used again. */
static int run_entry(struct shr_instance *instance, struct shr_buf *out, struct shrewd_error *err) {
    struct shr_run *run = &instance->run;
    uint32_t result = 0;
    if (instance->stage == NEW) {
        int code = shr_run_instantiate(run, instance->context, &instance->instance, err);
        if (code != 0) {
            return code;
        }
    }
    if (!run->is_view) {
        wasmtime_func_t start =
            shr_run_export(instance->context, &instance->instance, run->call->entry);
        return shr_run_function(run, instance->context, &start, NULL, err);
    }
    wasmtime_func_t *view = &instance->views[shr_view_index(&run->module->info, run->call->entry)];
    if (view->store_id == 0) {
        *view = shr_run_export(instance->context, &instance->instance, run->call->entry);
    }
    int code = shr_run_function(run, instance->context, view, &result, err);
    if (code == 0) {
        size_t max = instance->limits.result_max;
        shr_watch_finish(&run->watch);
        code = shr_run_result(run, out, result, max > 0 ? max : RESULT_MAX_DEFAULT, err);
    }
    return code;
}

static int run_call(struct shr_instance *instance, struct shr_buf *out,
                    const struct shr_guest_call *call, const struct shr_deadline *deadline,
                    struct shrewd_error *err) {
    struct shr_run *run = &instance->run;
    run->is_view = out != NULL;
    run->call = call;
    run->flushed = false;
    run->cached = false;
    /* Not in its first call, which may be its only one. */
    run->remembers = call->version != 0 && instance->stage == READY;
    if (run->remembers) {
        shr_memo_begin(&run->memo, call->version);
    }
    run->cost = (struct shr_instance_cost){0};
    run->fault.code = 0;
    run->fault_is_host = false;
    int code = shr_watch_begin(&run->watch, run->module->engine->watchdog, deadline, err);
    if (code != 0) {
        return code;
    }
    bool refused_before = shr_memory_refused_clear();
    code = run_entry(instance, out, err);
    shr_watch_finish(&run->watch);
    shr_memory_refused_set(refused_before);
    instance->stage = code == 0 ? READY : SPENT;
    run->call = NULL;
    return code;
}

static int check(const struct shr_instance *instance, const struct shr_guest_call *call,
                 bool is_view, struct shrewd_error *err) {
    if (instance->stage == SPENT) {
        return shr_fail(err, SHREWD_INVALID, "the instance failed before and cannot run again");
    }
    return shr_run_check(instance->run.module, call, is_view, instance->limits.memory_max, err);
}

int shr_instance_view(struct shr_instance *instance, struct shr_buf *out,
                      const struct shr_guest_call *call, const struct shr_deadline *deadline,
                      struct shrewd_error *err) {
    int code = check(instance, call, true, err);
    return code != 0 ? code : run_call(instance, out, call, deadline, err);
}

int shr_instance_index(struct shr_instance *instance, const struct shr_guest_call *call,
                       const struct shr_deadline *deadline, struct shrewd_error *err) {
    struct shr_guest_call start = *call;
    start.entry = "_start";
    int code = check(instance, &start, false, err);
    if (code == 0) {
        code = run_call(instance, NULL, &start, deadline, err);
    }
    if (code == 0 && !instance->run.flushed) {
        instance->stage = SPENT;
        code = shr_fail(err, SHREWD_GUEST,
                        "indexer exited unexpectedly: _start returned at height %u without a "
                        "__flush",
                        call->height);
    }
    return code;
}

bool shr_instance_usable(const struct shr_instance *instance) {
    return instance->stage != SPENT;
}

uint64_t shr_instance_memory(const struct shr_instance *instance) {
    uint64_t memory = instance->run.memory != NULL ? instance->run.memory->size : 0;
    return memory + shr_memo_bytes(&instance->run.memo);
}

void shr_instance_measure(struct shr_instance *instance, bool on) {
    instance->run.measures = on;
}

struct shr_instance_cost shr_instance_cost(const struct shr_instance *instance) {
    return instance->run.cost;
}
