/* guest.h: compiling modules and running their exports. The only room that knows Wasmtime.
 *
 * The ABI is the contract of Metashrew modules (doc/abi.md): imports __host_len, __load_input,
 * __get_len, __get, __flush, __log, abort from `env`; any other function import links and traps
 * when called. Execution is deterministic: canonical NaNs, no threads, no relaxed SIMD, a fixed
 * stack, and a memory limit that never depends on the host.
 *
 * Threads: an engine and a module may be used by any number of threads at once. One call runs
 * on the caller's thread, which needs at least SHR_GUEST_THREAD_STACK bytes of stack.
 */
#ifndef SHR_WASM_GUEST_H
#define SHR_WASM_GUEST_H

#include "base/buf.h"
#include "base/error.h"
#include "chain/hash.h"

#define SHR_GUEST_STACK (1024u * 1024u)             /* the guest's own stack, fixed */
#define SHR_GUEST_THREAD_STACK (8u * 1024u * 1024u) /* for threads that run guests */
#define SHR_GUEST_MEMORY_MAX (1ull << 32)           /* bytes; the wasm32 address space */

struct shr_engine;
struct shr_module;

int shr_engine_new(struct shr_engine **out, struct shrewd_error *err);
void shr_engine_free(struct shr_engine *engine);

/* Compiles `code` (wasm or wat text; `name` is for messages). With `cache_dir` (NULL: no cache)
 * the machine code is kept there under the hash of module, engine version and settings; an entry
 * that is damaged, or a folder or file that others can write, is not used but compiled anew.
 * SHREWD_MODULE when the module cannot be used. Copies what it needs.
 *
 * Free every module before the engine. */
int shr_module_new(struct shr_module **out, struct shr_engine *engine, struct shr_bytes code,
                   const char *name, const char *cache_dir, struct shrewd_error *err);
/* The same from a file of at most 256 MiB; SHREWD_MODULE also when it cannot be read. */
int shr_module_open(struct shr_module **out, struct shr_engine *engine, const char *path,
                    const char *cache_dir, struct shrewd_error *err);
/* For looking at only: takes also a module whose imports make it unusable. Every call of such a
 * one fails with SHREWD_MODULE; shr_module_unusable says why (NULL: it can run). */
int shr_module_inspect(struct shr_module **out, struct shr_engine *engine, const char *path,
                       const char *cache_dir, struct shrewd_error *err);
const char *shr_module_unusable(const struct shr_module *module);
void shr_module_free(struct shr_module *module);
/* SHA-256 of the wasm binary (of the translated binary for wat). Borrowed from the module. */
const struct shr_hash *shr_module_hash(const struct shr_module *module);

enum shr_import_status {
    SHR_IMPORT_ABI,         /* one of the seven, with the right type */
    SHR_IMPORT_TRAPS,       /* links, traps when called */
    SHR_IMPORT_UNSUPPORTED, /* not a function: the module cannot run */
};

struct shr_module_import {
    const char *module;
    const char *name;
    char *type; /* e.g. "(i32, i32) -> i32", "memory" */
    enum shr_import_status status;
};

/* What `shrewd inspect` prints. Strings live as long as the module. */
struct shr_module_info {
    size_t wasm_size;
    struct shr_module_import *imports;
    size_t n_imports;
    const char **views; /* exports () -> i32 */
    size_t n_views;
    const char **others; /* every other export */
    size_t n_others;
    bool has_start_export; /* `_start`, () -> () */
    bool has_start_section;
    bool has_memory;
    uint64_t memory_pages_min; /* 64 KiB pages */
    uint64_t memory_pages_max; /* what the guest is held to: its own maximum, or 65536 */
    bool memory_has_max;
    bool from_cache; /* the machine code came from the cache */
};
const struct shr_module_info *shr_module_info(const struct shr_module *module);

/* What a running guest sees of the outside. Called on the guest's thread, during the call only. */
struct shr_guest_host {
    void *ctx;
    /* The value of a key: replaces `value` and returns 0, or SHREWD_NOT_FOUND, or another error
     * (which ends the call with that error). `key` is valid during the call. */
    int (*get)(void *ctx, struct shr_buf *value, struct shr_bytes key, struct shrewd_error *err);
    /* One pair of a flush, in order; NULL for a view, where a flush does nothing at all. */
    int (*put)(void *ctx, struct shr_bytes key, struct shr_bytes value, struct shrewd_error *err);
    /* One message of the guest; may be NULL. */
    void (*log)(void *ctx, struct shr_bytes text);
};

struct shr_guest_call {
    const char *entry;        /* "_start", or a view's name */
    uint32_t height;          /* the first four bytes of the input */
    struct shr_bytes payload; /* the rest of it */
    const struct shr_guest_host *host;
    uint64_t memory_max; /* bytes; 0 means SHR_GUEST_MEMORY_MAX. Indexing must pass 0. */
    size_t result_max;   /* bytes a view may return; 0 means 256 MiB */
    /* Calls with one version, not 0, in one instance: host->get gives the same answers to all of
     * them, and need not be asked twice. */
    uint64_t version;
};

/* Indexing: a fresh instance runs `_start`. SHREWD_TRAP (message: the trap, the wasm functions
 * with offsets, an AssemblyScript abort decoded), SHREWD_GUEST (no flush; a flush that is not a
 * KeyValueFlush or has a key without value), SHREWD_NO_MEMORY (the host, not the guest, ran out:
 * the block must not be committed), or the host's own error. */
int shr_guest_index(struct shr_module *module, const struct shr_guest_call *call,
                    struct shrewd_error *err);
/* A view: a fresh instance runs the export and its returned buffer replaces `out`.
 * SHREWD_NO_VIEW names the views there are. */
int shr_guest_view(struct shr_module *module, struct shr_buf *out,
                   const struct shr_guest_call *call, struct shrewd_error *err);

#endif
