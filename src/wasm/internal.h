/* internal.h: what the files of src/wasm share; no other room includes it. */
#ifndef SHR_WASM_INTERNAL_H
#define SHR_WASM_INTERNAL_H

#include "wasm/guest.h"
#include "wasm/instance.h"
#include "wasm/loops.h"
#include "wasm/memo.h"
#include "wasm/watchdog.h"

#include <pthread.h>
#include <wasm.h>
#include <wasmtime.h>

#define SHR_MODULE_SIZE_MAX (256u * 1024u * 1024u) /* bytes of a .wasm or .wat file */
#define SHR_GUEST_TABLE_MAX (1u << 20)             /* elements: fixed, as table.grow is visible */

/* One engine a way of compiling; all share signal handlers and settings otherwise. */
enum shr_engine_kind {
    SHR_ENGINE_PLAIN,
    SHR_ENGINE_MARKED, /* takes a second memory, that of the marks */
    SHR_ENGINE_EPOCHS, /* its code checks epochs in every loop and function */
    SHR_ENGINE_KINDS,
};

struct shr_engine {
    struct shr_watchdog *watchdog;
    pthread_mutex_t lock; /* for what follows */
    wasm_engine_t *wasm[SHR_ENGINE_KINDS];
};

/* A module compiled and linked. */
struct shr_form {
    enum shr_engine_kind kind;
    wasm_engine_t *wasm; /* borrowed */
    wasmtime_module_t *compiled;
    wasmtime_instance_pre_t *pre; /* NULL when the module cannot run */
    struct shr_loops_map map;     /* of the marked kind; else nothing */
};

struct shr_module {
    struct shr_engine *engine; /* borrowed */
    char *name;                /* for messages */
    struct shr_hash hash;
    struct shr_form plain;   /* as it is, for indexing */
    struct shr_form endable; /* for views and previews; without `compiled`: the plain one does */
    struct shr_module_info info;
    const char *init; /* "_initialize", "__wasm_call_ctors" or NULL; static */
    char *unusable;   /* why the module cannot run; NULL when it can */
};

/* A guest's linear memory. Behind its guard lie SHR_MARKS_SIZE readable bytes for the marks. */
struct shr_memory {
    uint8_t *base;
    size_t mapped;         /* bytes reserved, guard included, marks not */
    size_t capacity;       /* bytes it may grow to without moving */
    size_t size;           /* bytes accessible now */
    struct shr_run *owner; /* whose guest has it */
};

/* What calls of one instance share: the data of its store. */
struct shr_run {
    const struct shr_module *module;
    const struct shr_form *form;
    const struct shr_guest_call *call; /* the one that runs now */
    struct shr_memory *memory;         /* NULL when there is none (any more) */
    uint32_t memories_made;
    uint8_t *marks; /* mapped for a guest without a memory; else NULL */
    struct shr_watch watch;
    bool is_view;
    bool flushed;
    bool measures; /* the time spent in imports */
    uint32_t log_lines_max;
    struct shr_instance_cost cost;
    /* The last key looked up: __get_len and then __get of one key is one lookup. Views into the
     * two buffers, or into the memo. */
    bool cached;
    bool cached_found;
    struct shr_bytes cached_key;
    struct shr_bytes cached_value;
    struct shr_buf asked_key;
    struct shr_buf asked_value;
    struct shr_memo memo;
    bool remembers; /* the call uses the memo */
    /* What an import function ended the run with; code 0 when none did. */
    struct shrewd_error fault;
    bool fault_is_host; /* the host's own error: passed on unchanged */
};

/* engine.c */
/* Everything that decides what machine code means: engine version, settings, CPU. */
void shr_engine_fingerprint(struct shr_buf *out, enum shr_engine_kind kind);
/* The engine of that kind, made when first asked for; NULL when it cannot be had. Epochs go on
 * with each tick of the watchdog. */
wasm_engine_t *shr_engine_wasm(struct shr_engine *engine, enum shr_engine_kind kind);

/* memory.c: linear memories from our own mmap, so that the host running out is seen by us and
 * not by the guest as a failed memory.grow. */
extern wasmtime_memory_creator_t shr_memory_creator;
/* The memories made on this thread from now on are those of `run`: that of its guest, and that of
 * its marks. They are taken from it when its store ends. */
void shr_memory_bind(struct shr_run *run);
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

/* form.c */
/* Compiles the module as it is, or takes it from the cache. */
int shr_form_plain(struct shr_module *module, struct shr_bytes binary, const char *cache_dir,
                   struct shrewd_error *err);
/* Compiles it so that its calls can be ended; leaves it out when none can run long. */
int shr_form_endable(struct shr_module *module, struct shr_bytes binary, const char *cache_dir,
                     struct shrewd_error *err);
/* Links what was compiled. */
int shr_form_link(struct shr_module *module, struct shr_form *form, struct shrewd_error *err);
void shr_form_free(struct shr_form *form);
int shr_module_error(struct shrewd_error *err, const char *name, const char *doing,
                     wasmtime_error_t *error);

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

/* call.c */
/* The index of a view in the module's list, or -1. */
int shr_view_index(const struct shr_module_info *info, const char *name);
/* What can be told before a guest runs. `memory_max` in bytes; 0: no limit of the call's. */
int shr_run_check(const struct shr_module *module, const struct shr_guest_call *call, bool is_view,
                  uint64_t memory_max, struct shrewd_error *err);
/* Makes the instance, with its start section and constructor. */
int shr_run_instantiate(struct shr_run *run, wasmtime_context_t *context,
                        wasmtime_instance_t *instance, struct shrewd_error *err);
/* Runs a function () -> i32 or, with `result` NULL, () -> (). */
int shr_run_function(struct shr_run *run, wasmtime_context_t *context, const wasmtime_func_t *func,
                     uint32_t *result, struct shrewd_error *err);
wasmtime_func_t shr_run_export(wasmtime_context_t *context, const wasmtime_instance_t *instance,
                               const char *name);
/* The buffer that a view returned, copied out. */
int shr_run_result(const struct shr_run *run, struct shr_buf *out, uint32_t ptr, size_t max,
                   struct shrewd_error *err);

/* instance.c */
/* As shr_instance_new, of one form of the module. */
int shr_instance_of(struct shr_instance **out, const struct shr_module *module,
                    const struct shr_form *form, const struct shr_instance_limits *limits,
                    struct shrewd_error *err);

/* trap.c */
/* Turns what a run ended with into err; consumes trap and error (one of them may be NULL). */
int shr_run_failed(struct shr_run *run, wasm_trap_t *trap, wasmtime_error_t *error,
                   struct shrewd_error *err);
/* The message of a Wasmtime error on one line; consumes it. */
void shr_error_text(struct shr_buf *out, wasmtime_error_t *error);

/* cache.c */
/* The compiled module of `hash` from the cache, or NULL. */
wasmtime_module_t *shr_cache_load(wasm_engine_t *wasm, enum shr_engine_kind kind, const char *dir,
                                  const struct shr_hash *hash, const char *name);
/* Keeps `compiled`; a failure is only logged. */
void shr_cache_store(const wasmtime_module_t *compiled, enum shr_engine_kind kind, const char *dir,
                     const struct shr_hash *hash, const char *name);

#endif
