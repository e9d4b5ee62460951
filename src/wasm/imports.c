/* imports.c: the seven functions a guest may call, and the trap that every other import is.
 *
 * Pointers and lengths come from the guest and are checked here, each against the memory's size
 * at that moment; what is wrong ends the run with a message that names function and argument. */
#include "wasm/internal.h"

#include "base/clock.h"
#include "base/endian.h"
#include "base/log.h"
#include "base/same.h"
#include "wasm/flush.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ABORT_MESSAGE_UNITS 300 /* UTF-16 units of an abort's message that are reported */
#define ABORT_FILE_UNITS 100

struct memory {
    uint8_t *data;
    size_t size;
};

/* Notes why the run ends. */
static void note_fault(struct shr_run *run, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4), noinline, cold));

static void note_fault(struct shr_run *run, int code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    run->fault.code = code;
    vsnprintf(run->fault.message, sizeof run->fault.message, format, args);
    va_end(args);
}

/* Any trap will do: the run's fault says what happened. */
static wasm_trap_t *trap_now(void) {
    wasm_trap_t *trap = wasmtime_trap_new("ended by an import", strlen("ended by an import"));
    assert(trap != NULL); /* out of memory, Wasmtime aborts */
    return trap;
}

#define fault(...) (note_fault(__VA_ARGS__), trap_now())

/* The guest's memory; a trap when it exports none. */
static inline wasm_trap_t *memory_of(struct shr_run *run, struct memory *memory,
                                     const char *function) {
    *memory = (struct memory){0};
    if (!run->module->info.has_memory || run->memory == NULL) {
        return fault(run, SHREWD_TRAP, "%s: the module exports no memory named 'memory'", function);
    }
    *memory = (struct memory){run->memory->base, run->memory->size};
    return NULL;
}

/* What every import does around its body. */
static inline __attribute__((always_inline)) wasm_trap_t *
call(wasm_trap_t *(*body)(struct shr_run *run, wasmtime_val_raw_t *args), wasmtime_caller_t *caller,
     wasmtime_val_raw_t *args) {
    struct shr_run *run = wasmtime_context_get_data(wasmtime_caller_context(caller));
    run->cost.host_calls++;
    if (!run->measures) {
        return body(run, args);
    }
    uint64_t start = shr_now_ns();
    wasm_trap_t *trap = body(run, args);
    run->cost.host_ns += shr_now_ns() - start;
    return trap;
}

#define IMPORT(name)                                                                               \
    static wasm_trap_t *import_##name(void *env, wasmtime_caller_t *caller,                        \
                                      wasmtime_val_raw_t *args, size_t n_args) {                   \
        return call(name, caller, args);                                                           \
    }

bool shr_guest_buffer(struct shr_bytes *out, struct shr_bytes memory, uint32_t ptr, char *why,
                      size_t why_size) {
    if (ptr < 4) {
        snprintf(why, why_size, "pointer %u is null: a buffer's length is read 4 bytes before it",
                 ptr);
        return false;
    }
    if (ptr > memory.len) {
        snprintf(why, why_size, "pointer %u is past the end of the memory of %zu bytes", ptr,
                 memory.len);
        return false;
    }
    uint32_t len = shr_get_le32(memory.data + ptr - 4);
    if (len > memory.len - ptr) {
        snprintf(why, why_size,
                 "the buffer at pointer %u with length %u reaches past the end of the memory of "
                 "%zu bytes",
                 ptr, len, memory.len);
        return false;
    }
    *out = shr_bytes(memory.data + ptr, len);
    return true;
}

static __attribute__((noinline, cold)) wasm_trap_t *bad_buffer(struct shr_run *run,
                                                               struct memory memory, uint32_t ptr,
                                                               const char *function,
                                                               const char *argument) {
    struct shr_bytes unused;
    char why[200] = "";
    shr_guest_buffer(&unused, shr_bytes(memory.data, memory.size), ptr, why, sizeof why);
    return fault(run, SHREWD_TRAP, "%s: argument '%s': %s", function, argument, why);
}

/* As shr_guest_buffer, quickly. */
static inline wasm_trap_t *read_buffer(struct shr_run *run, struct shr_bytes *out,
                                       struct memory memory, uint32_t ptr, const char *function,
                                       const char *argument) {
    if (ptr >= 4 && ptr <= memory.size) {
        uint32_t len = shr_get_le32(memory.data + ptr - 4);
        if (len <= memory.size - ptr) {
            *out = shr_bytes(memory.data + ptr, len);
            return NULL;
        }
    }
    return bad_buffer(run, memory, ptr, function, argument);
}

static __attribute__((noinline, cold)) wasm_trap_t *no_room(struct shr_run *run,
                                                            struct memory memory, uint32_t ptr,
                                                            uint64_t len, const char *function,
                                                            const char *argument) {
    return fault(run, SHREWD_TRAP,
                 "%s: argument '%s': %llu bytes at pointer %u reach past the end of the memory of "
                 "%zu bytes",
                 function, argument, (unsigned long long)len, ptr, memory.size);
}

static inline wasm_trap_t *check_room(struct shr_run *run, struct memory memory, uint32_t ptr,
                                      uint64_t len, const char *function, const char *argument) {
    return ptr + len > memory.size ? no_room(run, memory, ptr, len, function, argument) : NULL;
}

static wasm_trap_t *host_len(struct shr_run *run, wasmtime_val_raw_t *args) {
    args[0].i32 = (int32_t)(4 + run->call->payload.len);
    return NULL;
}

static wasm_trap_t *load_input(struct shr_run *run, wasmtime_val_raw_t *args) {
    struct memory memory;
    uint32_t ptr = (uint32_t)args[0].i32;
    wasm_trap_t *trap = memory_of(run, &memory, "__load_input");
    if (trap == NULL) {
        trap = check_room(run, memory, ptr, 4 + run->call->payload.len, "__load_input", "ptr");
    }
    if (trap == NULL) {
        shr_put_le32(memory.data + ptr, run->call->height);
        if (run->call->payload.len > 0) {
            memcpy(memory.data + ptr + 4, run->call->payload.data, run->call->payload.len);
        }
    }
    return trap;
}

static __attribute__((noinline)) wasm_trap_t *ask_host(struct shr_run *run, struct shr_bytes key,
                                                       uint64_t hash) {
    run->cached = false;
    const struct shr_guest_host *host = run->call->host;
    int code = host->get(host->ctx, &run->asked_value, key, &run->fault);
    if (code != 0 && code != SHREWD_NOT_FOUND) {
        run->fault.code = code;
        run->fault_is_host = true;
        return trap_now();
    }
    run->fault.code = 0;
    shr_buf_set(&run->asked_key, key);
    run->cached_key = shr_buf_bytes(&run->asked_key);
    run->cached_value = shr_buf_bytes(&run->asked_value);
    run->cached_found = code == 0;
    run->cached = true;
    if (run->remembers) {
        shr_memo_add(&run->memo, key, hash, code == 0 ? &run->cached_value : NULL);
    }
    return NULL;
}

/* What earlier calls have read, else the host. */
static wasm_trap_t *look_further(struct shr_run *run, struct shr_bytes key) {
    uint64_t hash = 0;
    if (run->remembers && !run->memo.useless) {
        hash = shr_memo_hash(key);
        if (shr_memo_get(&run->memo, &key, hash, &run->cached_value)) {
            run->cached_key = key;
            run->cached_found = run->cached_value.data != NULL;
            run->cached = true;
            return NULL;
        }
    }
    return ask_host(run, key, hash);
}

/* Finds the value of `key`. Nothing a guest does during a run changes what it reads, so the last
 * one found stays right until the run ends. */
static inline wasm_trap_t *look_up(struct shr_run *run, struct shr_bytes key) {
    if (run->cached && key.len == run->cached_key.len &&
        shr_same(key.data, run->cached_key.data, key.len)) {
        return NULL;
    }
    return look_further(run, key);
}

static wasm_trap_t *get_len(struct shr_run *run, wasmtime_val_raw_t *args) {
    struct memory memory;
    struct shr_bytes key = {0};
    wasm_trap_t *trap = memory_of(run, &memory, "__get_len");
    if (trap == NULL) {
        trap = read_buffer(run, &key, memory, (uint32_t)args[0].i32, "__get_len", "key");
    }
    if (trap == NULL) {
        trap = look_up(run, key);
    }
    if (trap != NULL) {
        return trap;
    }
    size_t len = run->cached_found ? run->cached_value.len : 0;
    if (len > INT32_MAX) {
        return fault(run, SHREWD_TRAP,
                     "__get_len: argument 'key': its value of %zu bytes does "
                     "not fit an i32",
                     len);
    }
    args[0].i32 = (int32_t)len;
    return NULL;
}

static wasm_trap_t *get(struct shr_run *run, wasmtime_val_raw_t *args) {
    struct memory memory;
    struct shr_bytes key = {0};
    uint32_t out = (uint32_t)args[1].i32;
    wasm_trap_t *trap = memory_of(run, &memory, "__get");
    if (trap == NULL) {
        trap = read_buffer(run, &key, memory, (uint32_t)args[0].i32, "__get", "key");
    }
    if (trap == NULL) {
        trap = look_up(run, key);
    }
    if (trap != NULL || !run->cached_found || run->cached_value.len == 0) {
        return trap;
    }
    trap = check_room(run, memory, out, run->cached_value.len, "__get", "out");
    if (trap == NULL) {
        memcpy(memory.data + out, run->cached_value.data, run->cached_value.len);
    }
    return trap;
}

static int put_pair(void *ctx, struct shr_bytes key, struct shr_bytes value,
                    struct shrewd_error *err) {
    struct shr_run *run = ctx;
    const struct shr_guest_host *host = run->call->host;
    int code = host->put(host->ctx, key, value, err);
    run->fault_is_host = code != 0;
    return code;
}

static wasm_trap_t *flush(struct shr_run *run, wasmtime_val_raw_t *args) {
    if (run->is_view) {
        return NULL; /* newer guests pass other things here: not even looked at */
    }
    struct memory memory;
    struct shr_bytes message = {0};
    wasm_trap_t *trap = memory_of(run, &memory, "__flush");
    if (trap == NULL) {
        trap = read_buffer(run, &message, memory, (uint32_t)args[0].i32, "__flush", "ptr");
    }
    if (trap != NULL) {
        return trap;
    }
    struct shrewd_error err = {0};
    int code = shr_flush_decode(message, put_pair, run, &err);
    if (code != 0 && run->fault_is_host) {
        run->fault = err;
        run->fault.code = code;
        return trap_now();
    }
    if (code != 0) {
        return fault(run, code, "__flush: %s", err.message);
    }
    run->flushed = true;
    return NULL;
}

static wasm_trap_t *log_text(struct shr_run *run, wasmtime_val_raw_t *args) {
    struct memory memory;
    struct shr_bytes text = {0};
    wasm_trap_t *trap = memory_of(run, &memory, "__log");
    if (trap == NULL) {
        trap = read_buffer(run, &text, memory, (uint32_t)args[0].i32, "__log", "ptr");
    }
    if (trap != NULL) {
        return trap;
    }
    run->cost.log_lines++;
    bool heard = run->log_lines_max == 0 || run->cost.log_lines <= run->log_lines_max;
    if (heard && run->call->host->log != NULL) {
        run->call->host->log(run->call->host->ctx, text);
    }
    return NULL;
}

static void add_utf8(struct shr_buf *out, uint32_t c) {
    if (c < 0x80) {
        shr_buf_add_u8(out, (uint8_t)c);
    } else if (c < 0x800) {
        shr_buf_add_u8(out, (uint8_t)(0xc0 | c >> 6));
    } else if (c < 0x10000) {
        shr_buf_add_u8(out, (uint8_t)(0xe0 | c >> 12));
    } else {
        shr_buf_add_u8(out, (uint8_t)(0xf0 | c >> 18));
        shr_buf_add_u8(out, (uint8_t)(0x80 | (c >> 12 & 0x3f)));
    }
    if (c >= 0x800) {
        shr_buf_add_u8(out, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
    }
    if (c >= 0x80) {
        shr_buf_add_u8(out, (uint8_t)(0x80 | (c & 0x3f)));
    }
}

/* Appends an AssemblyScript string (UTF-16LE, its length in bytes before it) as UTF-8. */
static void add_utf16(struct shr_buf *out, struct shr_bytes text, size_t units_max) {
    size_t units = text.len / 2;
    for (size_t i = 0; i < units && i < units_max; i++) {
        uint32_t c = shr_get_le16(text.data + 2 * i);
        if (c >= 0xd800 && c < 0xdc00 && i + 1 < units) {
            uint32_t low = shr_get_le16(text.data + 2 * (i + 1));
            if (low >= 0xdc00 && low < 0xe000) {
                c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
                i++;
            }
        }
        add_utf8(out, c >= 0xd800 && c < 0xe000 ? 0xfffd : c);
    }
    if (units > units_max) {
        shr_buf_add_str(out, "...");
    }
}

static void add_abort_text(struct shr_buf *out, struct memory memory, uint32_t ptr,
                           size_t units_max) {
    struct shr_bytes text = {0};
    struct shr_buf utf8 = {0};
    char why[200];
    if (ptr == 0) {
        shr_buf_add_str(out, "(null)");
    } else if (!shr_guest_buffer(&text, shr_bytes(memory.data, memory.size), ptr, why,
                                 sizeof why)) {
        shr_buf_printf(out, "(%s)", why);
    } else {
        add_utf16(&utf8, text, units_max);
        shr_escape(out, shr_buf_bytes(&utf8));
    }
    shr_buf_free(&utf8);
}

static wasm_trap_t *abort_call(struct shr_run *run, wasmtime_val_raw_t *args) {
    struct memory memory;
    wasm_trap_t *trap = memory_of(run, &memory, "abort");
    if (trap != NULL) {
        return trap;
    }
    struct shr_buf text = {0};
    add_abort_text(&text, memory, (uint32_t)args[0].i32, ABORT_MESSAGE_UNITS);
    shr_buf_add_str(&text, " at ");
    add_abort_text(&text, memory, (uint32_t)args[1].i32, ABORT_FILE_UNITS);
    trap = fault(run, SHREWD_TRAP, "abort: %s:%u:%u", shr_buf_cstr(&text), (uint32_t)args[2].i32,
                 (uint32_t)args[3].i32);
    shr_buf_free(&text);
    return trap;
}

wasm_trap_t *shr_import_trap(void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *args,
                             size_t n_args) {
    const struct shr_module_import *import = env;
    struct shr_run *run = wasmtime_context_get_data(wasmtime_caller_context(caller));
    return fault(run, SHREWD_TRAP,
                 "called the import %.100s.%.100s %.100s, which shrewd does not provide",
                 import->module, import->name, import->type);
}

IMPORT(host_len)
IMPORT(load_input)
IMPORT(get_len)
IMPORT(get)
IMPORT(flush)
IMPORT(log_text)
IMPORT(abort_call)

static const struct {
    const char *name;
    const char *type;
    wasmtime_func_unchecked_callback_t call;
} abi[] = {
    {"__host_len", "() -> i32", import_host_len},
    {"__load_input", "(i32) -> ()", import_load_input},
    {"__get_len", "(i32) -> i32", import_get_len},
    {"__get", "(i32, i32) -> ()", import_get},
    {"__flush", "(i32) -> ()", import_flush},
    {"__log", "(i32) -> ()", import_log_text},
    {"abort", "(i32, i32, i32, i32) -> ()", import_abort_call},
};

int shr_abi_find(const char *module, const char *name, const char *type) {
    for (int i = 0; i < (int)(sizeof abi / sizeof abi[0]); i++) {
        if (strcmp(module, "env") == 0 && strcmp(name, abi[i].name) == 0) {
            return strcmp(type, abi[i].type) == 0 ? i : -1;
        }
    }
    return -1;
}

wasmtime_func_unchecked_callback_t shr_abi_callback(int index) {
    return abi[index].call;
}
