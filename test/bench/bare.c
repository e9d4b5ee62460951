/* bare.c: see bare.h. */
#include "bare.h"

#include "base/endian.h"
#include "wasm/flush.h"
#include "wasm/loops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wasm.h>
#include <wasmtime.h>

#define SLOTS 4096u /* of the hash table; a power of two */

struct slot {
    struct shr_buf key;
    struct shr_buf value;
};

/* A store with one instance. */
struct run {
    const struct bare *bare;
    wasmtime_store_t *store;
    wasmtime_context_t *context;
    wasmtime_instance_t instance;
    wasmtime_memory_t memory;
    wasmtime_func_t view;
    uint8_t *base; /* NULL until an import looks */
};

struct bare {
    enum bare_kind kind;
    wasm_engine_t *engine;
    wasmtime_module_t *module;
    wasmtime_linker_t *linker;
    wasmtime_instance_pre_t *pre;
    struct slot slots[SLOTS];
    struct run kept;
    bool has_kept;
};

_Noreturn static void die(const char *what, wasmtime_error_t *error, wasm_trap_t *trap) {
    wasm_name_t text = {0, NULL};
    if (error != NULL) {
        wasmtime_error_message(error, &text);
    } else if (trap != NULL) {
        wasm_trap_message(trap, &text);
    }
    fprintf(stderr, "bench: %s: %.*s\n", what, (int)text.size, text.data);
    exit(1);
}

static void must_work(const char *what, wasmtime_error_t *error, wasm_trap_t *trap) {
    if (error != NULL || trap != NULL) {
        die(what, error, trap);
    }
}

static size_t slot_of(const struct bare *bare, struct shr_bytes key) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < key.len; i++) {
        hash = (hash ^ key.data[i]) * 0x100000001b3u;
    }
    size_t at = (hash ^ hash >> 32) % SLOTS;
    while (bare->slots[at].key.len > 0 && !shr_bytes_eq(shr_buf_bytes(&bare->slots[at].key), key)) {
        at = (at + 1) % SLOTS;
    }
    return at;
}

struct shr_bytes bare_get(const struct bare *bare, struct shr_bytes key) {
    return shr_buf_bytes(&bare->slots[slot_of(bare, key)].value);
}

static int put(void *ctx, struct shr_bytes key, struct shr_bytes value, struct shrewd_error *err) {
    struct bare *bare = ctx;
    struct slot *slot = &bare->slots[slot_of(bare, key)];
    shr_buf_set(&slot->key, key);
    shr_buf_set(&slot->value, value);
    return 0;
}

static struct run *enter(wasmtime_caller_t *caller) {
    wasmtime_context_t *context = wasmtime_caller_context(caller);
    struct run *run = wasmtime_context_get_data(context);
    if (run->base == NULL) {
        wasmtime_extern_t item;
        wasmtime_caller_export_get(caller, "memory", 6, &item);
        run->base = wasmtime_memory_data(context, &item.of.memory);
    }
    return run;
}

static struct shr_bytes buffer_at(const struct run *run, int32_t ptr) {
    const uint8_t *at = run->base + (uint32_t)ptr;
    return shr_bytes(at, shr_get_le32(at - 4));
}

static wasm_trap_t *host_len(void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *args,
                             size_t n) {
    args[0].i32 = 4;
    return NULL;
}

static wasm_trap_t *load_input(void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *args,
                               size_t n) {
    memset(enter(caller)->base + (uint32_t)args[0].i32, 0, 4);
    return NULL;
}

static wasm_trap_t *get_len(void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *args,
                            size_t n) {
    const struct run *run = enter(caller);
    args[0].i32 = (int32_t)bare_get(run->bare, buffer_at(run, args[0].i32)).len;
    return NULL;
}

static wasm_trap_t *get(void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *args, size_t n) {
    const struct run *run = enter(caller);
    struct shr_bytes value = bare_get(run->bare, buffer_at(run, args[0].i32));
    if (value.len > 0) {
        memcpy(run->base + (uint32_t)args[1].i32, value.data, value.len);
    }
    return NULL;
}

static wasm_trap_t *flush(void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *args,
                          size_t n) {
    const struct run *run = enter(caller);
    shr_flush_decode(buffer_at(run, args[0].i32), put, env, NULL);
    return NULL;
}

static wasm_trap_t *nothing(void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *args,
                            size_t n) {
    return NULL;
}

static const struct {
    const char *name;
    wasmtime_func_unchecked_callback_t call;
    size_t n_params, n_results;
} imports[] = {
    {"__host_len", host_len, 0, 1}, {"__load_input", load_input, 1, 0},
    {"__get_len", get_len, 1, 1},   {"__get", get, 2, 0},
    {"__flush", flush, 1, 0},       {"__log", nothing, 1, 0},
    {"abort", nothing, 4, 0},
};

static void link_imports(struct bare *bare) {
    for (size_t i = 0; i < sizeof imports / sizeof imports[0]; i++) {
        wasm_valtype_t *types[5] = {0};
        wasm_valtype_vec_t params;
        wasm_valtype_vec_t results;
        for (size_t j = 0; j < imports[i].n_params + imports[i].n_results; j++) {
            types[j] = wasm_valtype_new_i32();
        }
        wasm_valtype_vec_new(&params, imports[i].n_params, types);
        wasm_valtype_vec_new(&results, imports[i].n_results, types + imports[i].n_params);
        wasm_functype_t *type = wasm_functype_new(&params, &results);
        must_work("link",
                  wasmtime_linker_define_func_unchecked(bare->linker, "env", 3, imports[i].name,
                                                        strlen(imports[i].name), type,
                                                        imports[i].call, bare, NULL),
                  NULL);
        wasm_functype_delete(type);
    }
    must_work("link", wasmtime_linker_instantiate_pre(bare->linker, bare->module, &bare->pre),
              NULL);
}

static void compile(struct bare *bare, struct shr_bytes wasm) {
    struct shr_buf marked = {0};
    struct shrewd_error err;
    wasm_config_t *config = wasm_config_new();
    wasmtime_config_cranelift_nan_canonicalization_set(config, true);
    wasmtime_config_epoch_interruption_set(config, bare->kind == BARE_EPOCHS);
    wasmtime_config_consume_fuel_set(config, bare->kind == BARE_FUEL);
    wasmtime_config_wasm_multi_memory_set(config, bare->kind == BARE_MARKED);
    bare->engine = wasm_engine_new_with_config(config);
    if (bare->kind == BARE_MARKED) {
        if (shr_loops_mark(&marked, NULL, wasm, &err) != 0) {
            die(err.message, NULL, NULL);
        }
        wasm = shr_buf_bytes(&marked);
    }
    must_work("compile", wasmtime_module_new(bare->engine, wasm.data, wasm.len, &bare->module),
              NULL);
    shr_buf_free(&marked);
}

static void start(struct bare *bare, struct run *run) {
    wasm_trap_t *trap = NULL;
    *run = (struct run){.bare = bare, .store = wasmtime_store_new(bare->engine, run, NULL)};
    run->context = wasmtime_store_context(run->store);
    if (bare->kind == BARE_EPOCHS) {
        wasmtime_context_set_epoch_deadline(run->context, 1000000);
    } else if (bare->kind == BARE_FUEL) {
        must_work("fuel", wasmtime_context_set_fuel(run->context, UINT64_MAX / 2), NULL);
    }
    must_work("instantiate",
              wasmtime_instance_pre_instantiate(bare->pre, run->context, &run->instance, &trap),
              trap);
}

static wasmtime_extern_t export_of(struct run *run, const char *name) {
    wasmtime_extern_t item;
    if (!wasmtime_instance_export_get(run->context, &run->instance, name, strlen(name), &item)) {
        die(name, NULL, NULL);
    }
    return item;
}

static uint32_t call(struct run *run, const wasmtime_func_t *func) {
    wasmtime_val_raw_t value = {.i64 = 0};
    wasm_trap_t *trap = NULL;
    must_work("call", wasmtime_func_call_unchecked(run->context, func, &value, 1, &trap), trap);
    return (uint32_t)value.i32;
}

static void answer(struct run *run, struct shr_buf *out) {
    uint32_t ptr = call(run, &run->view);
    run->base = wasmtime_memory_data(run->context, &run->memory);
    shr_buf_set(out, buffer_at(run, (int32_t)ptr));
}

static void find_view(struct run *run, const char *view) {
    run->view = export_of(run, view).of.func;
    run->memory = export_of(run, "memory").of.memory;
}

struct bare *bare_new(struct shr_bytes wasm, enum bare_kind kind) {
    struct bare *bare = calloc(1, sizeof *bare);
    if (bare == NULL) {
        die("out of memory", NULL, NULL);
    }
    bare->kind = kind;
    compile(bare, wasm);
    bare->linker = wasmtime_linker_new(bare->engine);
    link_imports(bare);
    struct run run;
    start(bare, &run);
    wasmtime_extern_t item = export_of(&run, "_start");
    call(&run, &item.of.func);
    wasmtime_store_delete(run.store);
    return bare;
}

void bare_free(struct bare *bare) {
    if (bare->has_kept) {
        wasmtime_store_delete(bare->kept.store);
    }
    for (size_t i = 0; i < SLOTS; i++) {
        shr_buf_free(&bare->slots[i].key);
        shr_buf_free(&bare->slots[i].value);
    }
    wasmtime_instance_pre_delete(bare->pre);
    wasmtime_linker_delete(bare->linker);
    wasmtime_module_delete(bare->module);
    wasm_engine_delete(bare->engine);
    free(bare);
}

void bare_fresh(struct bare *bare, const char *view, struct shr_buf *out) {
    struct run run;
    start(bare, &run);
    find_view(&run, view);
    answer(&run, out);
    wasmtime_store_delete(run.store);
}

void bare_stateful(struct bare *bare, const char *view, struct shr_buf *out) {
    if (!bare->has_kept) {
        start(bare, &bare->kept);
        find_view(&bare->kept, view);
        bare->has_kept = true;
    }
    answer(&bare->kept, out);
}

void bare_instantiate(struct bare *bare) {
    struct run run;
    start(bare, &run);
    wasmtime_store_delete(run.store);
}
