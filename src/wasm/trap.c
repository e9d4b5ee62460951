/* trap.c: what a run ended with, in words: the trap, where it happened, and at what height. */
#include "wasm/internal.h"

#include "base/log.h"

#include <string.h>

#define FRAMES_MAX 6
#define FRAME_NAME_MAX 60 /* bytes of a function's name */

static const char *trap_text(wasmtime_trap_code_t code) {
    switch (code) {
    case WASMTIME_TRAP_CODE_STACK_OVERFLOW:
        return "stack overflow";
    case WASMTIME_TRAP_CODE_MEMORY_OUT_OF_BOUNDS:
        return "memory access out of bounds";
    case WASMTIME_TRAP_CODE_HEAP_MISALIGNED:
        return "misaligned memory access";
    case WASMTIME_TRAP_CODE_TABLE_OUT_OF_BOUNDS:
        return "table access out of bounds";
    case WASMTIME_TRAP_CODE_INDIRECT_CALL_TO_NULL:
        return "indirect call to a null table entry";
    case WASMTIME_TRAP_CODE_BAD_SIGNATURE:
        return "indirect call with another signature";
    case WASMTIME_TRAP_CODE_INTEGER_OVERFLOW:
        return "integer overflow";
    case WASMTIME_TRAP_CODE_INTEGER_DIVISION_BY_ZERO:
        return "integer division by zero";
    case WASMTIME_TRAP_CODE_BAD_CONVERSION_TO_INTEGER:
        return "a float that does not fit an integer";
    case WASMTIME_TRAP_CODE_UNREACHABLE_CODE_REACHED:
        return "unreachable code reached";
    case WASMTIME_TRAP_CODE_INTERRUPT:
        return "interrupted";
    case WASMTIME_TRAP_CODE_NULL_REFERENCE:
        return "call of a null reference";
    default:
        return NULL;
    }
}

/* One line, ended by a NUL that is not counted. */
static void flatten(struct shr_buf *text) {
    size_t kept = 0;
    for (size_t i = 0; i < text->len; i++) {
        uint8_t c = text->data[i] == '\n' || text->data[i] == '\t' ? ' ' : text->data[i];
        if (c == ' ' && kept > 0 && text->data[kept - 1] == ' ') {
            continue;
        }
        text->data[kept++] = c;
    }
    text->len = kept;
    shr_buf_cstr(text);
}

void shr_error_text(struct shr_buf *out, wasmtime_error_t *error) {
    wasm_name_t message;
    wasmtime_error_message(error, &message);
    shr_buf_append(out, message.data, message.size);
    wasm_name_delete(&message);
    wasmtime_error_delete(error);
    flatten(out);
}

/* Offsets are those of the module as its author has it. */
static void add_frame(struct shr_buf *out, const struct shr_loops_map *map,
                      const wasm_frame_t *frame) {
    const wasm_name_t *name = wasmtime_frame_func_name(frame);
    if (name != NULL && name->size > 0) {
        size_t len = name->size < FRAME_NAME_MAX ? name->size : FRAME_NAME_MAX;
        shr_escape(out, shr_bytes(name->data, len));
        shr_buf_add_str(out, len < name->size ? "... " : " ");
    }
    shr_buf_printf(out, "(function %u", wasm_frame_func_index(frame));
    size_t in_function = wasm_frame_func_offset(frame);
    size_t in_module = wasm_frame_module_offset(frame);
    if (in_function != SIZE_MAX && in_module != SIZE_MAX) {
        size_t function = shr_loops_original(map, in_module - in_function);
        in_module = shr_loops_original(map, in_module);
        in_function = in_module - function;
        shr_buf_printf(out, " +0x%zx, module offset 0x%zx", in_function, in_module);
    }
    shr_buf_add_str(out, ")");
}

static void add_trace(struct shr_buf *out, const struct shr_loops_map *map,
                      const wasm_frame_vec_t *frames) {
    for (size_t i = 0; i < frames->size && i < FRAMES_MAX; i++) {
        shr_buf_add_str(out, i == 0 ? "; in " : ", called by ");
        add_frame(out, map, frames->data[i]);
    }
    if (frames->size > FRAMES_MAX) {
        shr_buf_printf(out, ", and so on");
    }
}

/* Where it happened; then frees trap and error. */
static void take_trace(struct shr_buf *out, const struct shr_run *run, wasm_trap_t *trap,
                       wasmtime_error_t *error) {
    wasm_frame_vec_t frames;
    if (trap == NULL && error == NULL) {
        return;
    }
    if (trap != NULL) {
        wasm_trap_trace(trap, &frames);
    } else {
        wasmtime_error_wasm_trace(error, &frames);
    }
    add_trace(out, &run->form->map, &frames);
    wasm_frame_vec_delete(&frames);
    if (trap != NULL) {
        wasm_trap_delete(trap);
    } else {
        wasmtime_error_delete(error);
    }
}

static void add_reason(struct shr_buf *out, const wasm_trap_t *trap,
                       const wasmtime_error_t *error) {
    wasmtime_trap_code_t code;
    wasm_name_t message;
    const char *known = NULL;
    if (trap != NULL && wasmtime_trap_code(trap, &code)) {
        known = trap_text(code);
    }
    if (known != NULL) {
        shr_buf_add_str(out, known);
        return;
    }
    if (trap != NULL) {
        wasm_trap_message(trap, &message);
    } else {
        wasmtime_error_message(error, &message);
    }
    size_t len = strnlen(message.data, message.size);
    shr_escape(out, shr_bytes(message.data, len < 300 ? len : 300));
    wasm_name_delete(&message);
}

/* The watchdog ended it. */
static int ended(const struct shr_run *run, enum shr_watch_end end, const char *where,
                 struct shrewd_error *err) {
    const struct shr_guest_call *call = run->call;
    if (end == SHR_WATCH_CANCELLED) {
        return shr_fail(err, SHREWD_STOPPED, "%s at height %u was cancelled%s", call->entry,
                        call->height, where);
    }
    return shr_fail(err, SHREWD_LIMIT, "%s at height %u ran longer than the %u ms allowed%s",
                    call->entry, call->height, run->watch.allowed_ms, where);
}

int shr_run_failed(struct shr_run *run, wasm_trap_t *trap, wasmtime_error_t *error,
                   struct shrewd_error *err) {
    struct shr_buf text = {0};
    struct shr_buf where = {0};
    int code = run->fault.code;
    enum shr_watch_end end = shr_watch_finish(&run->watch);
    if (code == 0 && end == SHR_WATCH_RUNS && !shr_memory_refused()) {
        add_reason(&text, trap, error);
    }
    take_trace(&where, run, trap, error);
    if (shr_memory_refused()) {
        code = shr_fail(err, SHREWD_NO_MEMORY,
                        "%s at height %u: the host has no memory left for the guest; nothing of "
                        "this call is kept",
                        run->call->entry, run->call->height);
    } else if (code != 0 && run->fault_is_host) {
        shr_fail(err, code, "%s", run->fault.message);
    } else if (end != SHR_WATCH_RUNS) {
        code = ended(run, end, shr_buf_cstr(&where), err);
    } else {
        if (code != 0) {
            shr_buf_add_str(&text, run->fault.message);
        } else {
            /* An error that is no trap: Wasmtime refused memory or table beyond the limits. */
            code = trap != NULL ? SHREWD_TRAP : SHREWD_LIMIT;
        }
        shr_fail(err, code, "%s at height %u: %s%s", run->call->entry, run->call->height,
                 shr_buf_cstr(&text), shr_buf_cstr(&where));
    }
    shr_buf_free(&text);
    shr_buf_free(&where);
    return code;
}
