/* internal.h: what the files of src/wasm share; no other room includes it. */
#ifndef SHR_WASM_INTERNAL_H
#define SHR_WASM_INTERNAL_H

#include "wasm/guest.h"

#include <wasm.h>
#include <wasmtime.h>

#define SHR_MODULE_SIZE_MAX (256u * 1024u * 1024u) /* bytes of a .wasm or .wat file */
#define SHR_GUEST_TABLE_MAX (1u << 20)             /* elements: fixed, as table.grow is visible */

struct shr_engine {
    wasm_engine_t *wasm;
};

struct shr_module {
    wasm_engine_t *wasm; /* borrowed from the engine */
    char *name;          /* for messages */
    struct shr_hash hash;
    wasmtime_module_t *compiled;
    wasmtime_instance_pre_t *pre; /* NULL when the module cannot run */
    struct shr_module_info info;
    const char *init; /* "_initialize", "__wasm_call_ctors" or NULL; static */
    char *unusable;   /* why the module cannot run; NULL when it can */
};

/* One call of a guest: the data of its store. */
struct shr_run {
    const struct shr_module *module;
    const struct shr_guest_call *call;
    bool is_view;
    bool flushed;
    bool has_memory; /* `memory` was looked up */
    wasmtime_memory_t memory;
    /* The last key looked up: __get_len and then __get of one key is one lookup. */
    bool cached;
    bool cached_found;
    struct shr_buf cached_key;
    struct shr_buf cached_value;
    /* What an import function ended the run with; code 0 when none did. */
    struct shrewd_error fault;
    bool fault_is_host; /* the host's own error: passed on unchanged */
};

/* engine.c */
/* Everything that decides what machine code means: engine version, settings, CPU. */
void shr_engine_fingerprint(struct shr_buf *out);

/* memory.c: linear memories from our own mmap, so that the host running out is seen by us and
 * not by the guest as a failed memory.grow. */
extern wasmtime_memory_creator_t shr_memory_creator;
/* Clears this thread's flag and returns what it was. */
bool shr_memory_refused_clear(void);
bool shr_memory_refused(void);
void shr_memory_refused_set(bool refused);

/* Gives back the memories kept for the next instances. */
void shr_memory_pool_drain(void);

/* zero.c */
#define SHR_POOL_KEEP (4u * 1024u * 1024u)
/* Makes the first *size bytes at `base` zero and takes those above SHR_POOL_KEEP away; *size is
 * then what is accessible still. False when the kernel does not do its part: then nothing can be
 * said about the bytes. */
bool shr_pool_zero(uint8_t *base, size_t *size);

/* info.c */
void shr_info_fill(struct shr_module *module, struct shr_bytes binary);
void shr_info_free(struct shr_module_info *info);

/* imports.c */
/* The index of the ABI function that `import` is with the right type, or -1. */
int shr_abi_find(const char *module, const char *name, const char *type);
wasmtime_func_unchecked_callback_t shr_abi_callback(int index);
/* For every other import: ends the run, naming the import. `env` is its shr_module_import. */
wasm_trap_t *shr_import_trap(void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *args,
                             size_t n_args);
/* Replaces `out` by the ArrayBuffer-style buffer at `ptr`: a view into the guest's memory,
 * valid until the guest runs again. False with `why` (bounded) when it is not inside. */
bool shr_guest_buffer(struct shr_bytes *out, struct shr_bytes memory, uint32_t ptr, char *why,
                      size_t why_size);

/* trap.c */
/* Turns what a run ended with into err; consumes trap and error (one of them may be NULL). */
int shr_run_failed(struct shr_run *run, wasm_trap_t *trap, wasmtime_error_t *error,
                   struct shrewd_error *err);
/* The message of a Wasmtime error on one line; consumes it. */
void shr_error_text(struct shr_buf *out, wasmtime_error_t *error);

/* cache.c */
/* The compiled module of `hash` from the cache, or NULL. */
wasmtime_module_t *shr_cache_load(wasm_engine_t *wasm, const char *dir, const struct shr_hash *hash,
                                  const char *name);
/* Keeps `compiled`; a failure is only logged. */
void shr_cache_store(const wasmtime_module_t *compiled, const char *dir,
                     const struct shr_hash *hash, const char *name);

#endif
