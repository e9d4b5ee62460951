/* engine.c: the deterministic configuration, in one list. */
#include "wasm/internal.h"

#include "base/alloc.h"
#include "base/endian.h"

#include <stdlib.h>
#include <sys/auxv.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#ifndef WASMTIME_FEATURE_WAT
#error "shrewd needs a Wasmtime built with the text format (feature wat)"
#endif

/* Bumped whenever the same machine code would have to be linked in another way. */
#define ABI_VERSION 1
#define GUARD_BYTES (32u * 1024u * 1024u)

/* X(setting, value). Every setting that decides what a guest sees is set here, whatever its
 * default: the list is also part of the cache's key. Language features: what compilers emit by
 * default and what has one result everywhere. Off: what is not deterministic (threads, relaxed
 * SIMD), and what no guest needs yet (each would widen what two versions must agree on).
 * 4 GiB of reserved addresses and a guard make every bounds check a page fault. memory_init_cow
 * works only on Wasmtime's own memories (see memory.c). */
#define SETTINGS_ALWAYS(X)                                                                         \
    X(cranelift_nan_canonicalization, true)                                                        \
    X(wasm_simd, true)                                                                             \
    X(wasm_bulk_memory, true)                                                                      \
    X(wasm_multi_value, true)                                                                      \
    X(wasm_tail_call, true)                                                                        \
    X(wasm_relaxed_simd, false)                                                                    \
    X(wasm_relaxed_simd_deterministic, true)                                                       \
    X(wasm_multi_memory, false)                                                                    \
    X(wasm_memory64, false)                                                                        \
    X(wasm_wide_arithmetic, false)                                                                 \
    X(wasm_branch_hinting, false)                                                                  \
    X(wasm_custom_page_sizes, false)                                                               \
    X(wasm_stack_switching, false)                                                                 \
    X(shared_memory, false)                                                                        \
    X(gc_support, false)                                                                           \
    X(max_wasm_stack, SHR_GUEST_STACK)                                                             \
    X(consume_fuel, false)                                                                         \
    X(epoch_interruption, false)                                                                   \
    X(debug_info, false)                                                                           \
    X(strategy, WASMTIME_STRATEGY_CRANELIFT)                                                       \
    X(cranelift_opt_level, WASMTIME_OPT_LEVEL_SPEED)                                               \
    X(cranelift_regalloc_algorithm, WASMTIME_REGALLOC_BACKTRACKING)                                \
    X(cranelift_debug_verifier, false)                                                             \
    X(profiler, WASMTIME_PROFILING_STRATEGY_NONE)                                                  \
    X(native_unwind_info, false)                                                                   \
    X(signals_based_traps, true)                                                                   \
    X(memory_may_move, false)                                                                      \
    X(memory_reservation, SHR_GUEST_MEMORY_MAX)                                                    \
    X(memory_reservation_for_growth, 0)                                                            \
    X(memory_guard_size, GUARD_BYTES)                                                              \
    X(memory_init_cow, false)

#ifdef WASMTIME_FEATURE_PARALLEL_COMPILATION
#define SETTINGS_PARALLEL(X) X(parallel_compilation, true)
#else
#define SETTINGS_PARALLEL(X)
#endif
#ifdef WASMTIME_FEATURE_THREADS
#define SETTINGS_THREADS(X) X(wasm_threads, false)
#else
#define SETTINGS_THREADS(X)
#endif
/* Without the gc feature reference types are on for functions only, and the rest is absent. */
#ifdef WASMTIME_FEATURE_GC
#define SETTINGS_GC(X)                                                                             \
    X(wasm_reference_types, true)                                                                  \
    X(wasm_function_references, false)                                                             \
    X(wasm_gc, false)                                                                              \
    X(wasm_exceptions, false)
#else
#define SETTINGS_GC(X)
#endif
#define SETTINGS(X) SETTINGS_ALWAYS(X) SETTINGS_PARALLEL(X) SETTINGS_THREADS(X) SETTINGS_GC(X)

/* NULL when the host lacks memory. */
static wasm_engine_t *make(enum shr_engine_kind kind) {
    wasm_config_t *config = wasm_config_new();
    if (config == NULL) {
        return NULL;
    }
#define SET(name, value) wasmtime_config_##name##_set(config, value);
    SETTINGS(SET)
#undef SET
    wasmtime_config_wasm_multi_memory_set(config, kind == SHR_ENGINE_MARKED);
    wasmtime_config_epoch_interruption_set(config, kind == SHR_ENGINE_EPOCHS);
    wasmtime_config_host_memory_creator_set(config, &shr_memory_creator);
    return wasm_engine_new_with_config(config);
}

int shr_engine_new(struct shr_engine **out, struct shrewd_error *err) {
    wasm_engine_t *wasm = make(SHR_ENGINE_PLAIN);
    if (wasm == NULL) {
        return shr_fail(err, SHREWD_NO_MEMORY, "cannot start the WebAssembly engine");
    }
    struct shr_engine *engine = shr_alloc(sizeof *engine);
    engine->wasm[SHR_ENGINE_PLAIN] = wasm;
    engine->watchdog = shr_watchdog_new();
    pthread_mutex_init(&engine->lock, NULL);
    *out = engine;
    return 0;
}

static void next_epoch(void *ctx) {
    wasmtime_engine_increment_epoch(ctx);
}

wasm_engine_t *shr_engine_wasm(struct shr_engine *engine, enum shr_engine_kind kind) {
    pthread_mutex_lock(&engine->lock);
    wasm_engine_t *wasm = engine->wasm[kind];
    if (wasm == NULL) {
        wasm = engine->wasm[kind] = make(kind);
        if (wasm != NULL && kind == SHR_ENGINE_EPOCHS) {
            shr_watchdog_on_tick(engine->watchdog, next_epoch, wasm);
        }
    }
    pthread_mutex_unlock(&engine->lock);
    return wasm;
}

void shr_engine_free(struct shr_engine *engine) {
    if (engine == NULL) {
        return;
    }
    shr_watchdog_free(engine->watchdog);
    for (size_t i = 0; i < SHR_ENGINE_KINDS; i++) {
        if (engine->wasm[i] != NULL) {
            wasm_engine_delete(engine->wasm[i]);
        }
    }
    shr_memory_pool_drain();
    pthread_mutex_destroy(&engine->lock);
    free(engine);
}

/* The compiler uses every feature of the CPU it runs on. */
static void add_cpu(struct shr_buf *out) {
    shr_buf_add_le64(out, getauxval(AT_HWCAP));
    shr_buf_add_le64(out, getauxval(AT_HWCAP2));
#if defined(__x86_64__)
    unsigned a = 0;
    unsigned b = 0;
    unsigned c = 0;
    unsigned d = 0;
    if (__get_cpuid(1, &a, &b, &c, &d)) {
        shr_buf_add_le32(out, c); /* not ebx: it differs from core to core */
        shr_buf_add_le32(out, d);
    }
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        shr_buf_add_le32(out, b);
        shr_buf_add_le32(out, c);
        shr_buf_add_le32(out, d);
    }
    if (__get_cpuid(0x80000001, &a, &b, &c, &d)) {
        shr_buf_add_le32(out, c);
        shr_buf_add_le32(out, d);
    }
#endif
}

static const char *const kind_names[] = {"", "multi-memory;", "epochs;"};

void shr_engine_fingerprint(struct shr_buf *out, enum shr_engine_kind kind) {
#define TEXT_OF(value) #value
#define NAME(name, value) #name "=" TEXT_OF(value) ";"
    shr_buf_add_str(out, "wasmtime " WASMTIME_VERSION ";" SETTINGS(NAME));
#undef NAME
#undef TEXT_OF
    shr_buf_add_str(out, kind_names[kind]);
    shr_buf_add_le32(out, ABI_VERSION);
    add_cpu(out);
}
