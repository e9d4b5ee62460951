/* Any arguments for any import, from the start section, a constructor, _start or a view, and any
 * bytes where they point: the run ends well or with one of the errors of the ABI.
 *
 * The guest reads a program from its input: steps of 17 bytes, an operation and four integers.
 * It copies the rest of the input to address 1024 first, so that pointers find lengths there. */
#include "wasm/guest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const char wat[] =
    "(module (import \"env\" \"__host_len\" (func $host_len (result i32)))"
    "(import \"env\" \"__load_input\" (func $load_input (param i32)))"
    "(import \"env\" \"__get_len\" (func $get_len (param i32) (result i32)))"
    "(import \"env\" \"__get\" (func $get (param i32 i32)))"
    "(import \"env\" \"__flush\" (func $flush (param i32)))"
    "(import \"env\" \"__log\" (func $log (param i32)))"
    "(import \"env\" \"abort\" (func $abort (param i32 i32 i32 i32)))"
    "(import \"env\" \"other\" (func $other (param i32) (result i32)))"
    "(memory (export \"memory\") 1 4)(global $ran (mut i32) (i32.const 0))"
    "(func $a (param $at i32) (result i32) (i32.load offset=1 (local.get $at)))"
    "(func $b (param $at i32) (result i32) (i32.load offset=5 (local.get $at)))"
    "(func $c (param $at i32) (result i32) (i32.load offset=9 (local.get $at)))"
    "(func $d (param $at i32) (result i32) (i32.load offset=13 (local.get $at)))"
    "(func $step (param $at i32)"
    "  (block $9 (block $8 (block $7 (block $6 (block $5 (block $4 (block $3 (block $2 (block $1"
    "  (block $0 (br_table $0 $1 $2 $3 $4 $5 $6 $7 $8 $9 (i32.load8_u (local.get $at))))"
    "  (drop (call $host_len)) return)"
    "  (call $load_input (call $a (local.get $at))) return)"
    "  (drop (call $get_len (call $a (local.get $at)))) return)"
    "  (call $get (call $a (local.get $at)) (call $b (local.get $at))) return)"
    "  (call $flush (call $a (local.get $at))) return)"
    "  (call $log (call $a (local.get $at))) return)"
    "  (call $abort (call $a (local.get $at)) (call $b (local.get $at)) (call $c (local.get $at))"
    "    (call $d (local.get $at))) return)"
    "  (drop (call $other (call $a (local.get $at)))) return)"
    "  (drop (memory.grow (i32.and (call $a (local.get $at)) (i32.const 3)))) return)"
    "  (i32.store (call $a (local.get $at)) (call $b (local.get $at))))"
    /* Steps 0 to 3 run in the start section, the rest in the constructor and in the entry. */
    "(func $run (param $from i32) (param $to i32) (local $at i32) (local $end i32)"
    "  (call $load_input (i32.const 1020))"
    "  (local.set $end (i32.sub (i32.add (call $host_len) (i32.const 1020)) (i32.const 17)))"
    "  (local.set $at (i32.add (i32.const 1024) (i32.mul (local.get $from) (i32.const 17))))"
    "  (block $done (loop $next"
    "    (br_if $done (i32.gt_s (local.get $at) (local.get $end)))"
    "    (br_if $done (i32.ge_u (local.get $from) (local.get $to)))"
    "    (call $step (local.get $at))"
    "    (local.set $at (i32.add (local.get $at) (i32.const 17)))"
    "    (local.set $from (i32.add (local.get $from) (i32.const 1)))"
    "    (br $next))))"
    "(func $begin (call $run (i32.const 0) (i32.const 4)))(start $begin)"
    "(func (export \"_initialize\") (call $run (i32.const 4) (i32.const 8)))"
    "(func (export \"_start\") (call $run (i32.const 8) (i32.const 4096)))"
    "(func (export \"v\") (result i32) (call $run (i32.const 8) (i32.const 4096))"
    "  (i32.load (i32.const 1024))))";

static int get(void *ctx, struct shr_buf *value, struct shr_bytes key, struct shrewd_error *err) {
    uint8_t sum = 0;
    for (size_t i = 0; i < key.len; i++) {
        sum += key.data[i];
    }
    shr_buf_clear(value);
    memset(shr_buf_grow(value, sum), sum, sum);
    return sum % 5 == 0 ? SHREWD_NOT_FOUND : 0;
}

static int put(void *ctx, struct shr_bytes key, struct shr_bytes value, struct shrewd_error *err) {
    struct shr_buf copy = {0};
    shr_buf_add(&copy, key);
    shr_buf_add(&copy, value);
    shr_buf_free(&copy);
    return 0;
}

static void note(void *ctx, struct shr_bytes text) {
    struct shr_buf copy = {0};
    shr_buf_add(&copy, text);
    shr_buf_free(&copy);
}

static struct shr_module *start(void) {
    static struct shr_engine *engine; /* held, like the module, for a leak checker to see */
    struct shr_module *module = NULL;
    struct shrewd_error err;
    if (shr_engine_new(&engine, &err) != 0 ||
        shr_module_new(&module, engine, shr_bytes(wat, strlen(wat)), "fuzz", NULL, &err) != 0) {
        fprintf(stderr, "%s\n", err.message);
        abort();
    }
    return module;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    static struct shr_module *module;
    static const struct shr_guest_host host = {.get = get, .put = put, .log = note};
    if (module == NULL) {
        module = start(); /* lives as long as the process */
    }
    if (len == 0 || len > 60000) {
        return 0;
    }
    struct shr_buf out = {0};
    struct shrewd_error err = {0};
    struct shr_guest_call call = {
        .entry = "v", .height = 1, .payload = shr_bytes(data + 1, len - 1), .host = &host};
    int code = data[0] % 2 == 0 ? shr_guest_index(module, &call, &err)
                                : shr_guest_view(module, &out, &call, &err);
    if (code != 0 && code != SHREWD_TRAP && code != SHREWD_GUEST) {
        fprintf(stderr, "%d: %s\n", code, err.message);
        abort();
    }
    if (code != 0 && (err.code != code || err.message[0] == 0)) {
        abort();
    }
    shr_buf_free(&out);
    return 0;
}
