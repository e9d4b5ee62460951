/* guest_bench.h: a host for guests under test: a small map, what was flushed, what was logged.
 * Each test program includes it once. */
#ifndef SHR_TEST_GUEST_BENCH_H
#define SHR_TEST_GUEST_BENCH_H

#include "guest_signals.h"
#include "wasm/guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The module text around what a test is about. `input` is at 4096, `key` a buffer at 1028. */
#define GUEST_IMPORTS                                                                              \
    "(import \"env\" \"__host_len\" (func $host_len (result i32)))"                                \
    "(import \"env\" \"__load_input\" (func $load_input (param i32)))"                             \
    "(import \"env\" \"__get_len\" (func $get_len (param i32) (result i32)))"                      \
    "(import \"env\" \"__get\" (func $get (param i32 i32)))"                                       \
    "(import \"env\" \"__flush\" (func $flush (param i32)))"                                       \
    "(import \"env\" \"__log\" (func $log (param i32)))"                                           \
    "(import \"env\" \"abort\" (func $abort (param i32 i32 i32 i32)))"
#define GUEST_MEMORY "(memory (export \"memory\") 1)"
#define GUEST(body) "(module " GUEST_IMPORTS GUEST_MEMORY body ")"
/* A flush of one pair, "k" -> "vv", as a buffer at 2052; and an empty one at 2100. */
#define GUEST_FLUSHES "(data (i32.const 2048) \"\\07\\00\\00\\00\\0a\\01k\\0a\\02vv\")"
#define FLUSH_PAIR "(call $flush (i32.const 2052))"
#define FLUSH_EMPTY "(call $flush (i32.const 2100))"

struct bench {
    struct shr_guest_host host;
    struct shr_buf flushed; /* "key=value;" a pair */
    struct shr_buf logged;  /* "text;" a message */
    int gets;
    int get_fails; /* a code to answer every get with */
    int put_fails;
    size_t value_len; /* of the key "big" */
};

static struct shr_engine *bench_engine;

/* Holds "k" = "value", "empty" = "", and "big". */
static int bench_get(void *ctx, struct shr_buf *value, struct shr_bytes key,
                     struct shrewd_error *err) {
    struct bench *bench = ctx;
    bench->gets++;
    shr_buf_clear(value);
    if (bench->get_fails != 0) {
        if (err != NULL) {
            err->code = bench->get_fails;
            strcpy(err->message, "the disk is on fire");
        }
        return bench->get_fails;
    }
    if (shr_bytes_eq(key, shr_bytes_str("k"))) {
        shr_buf_add_str(value, "value");
    } else if (shr_bytes_eq(key, shr_bytes_str("big"))) {
        memset(shr_buf_grow(value, bench->value_len), 'b', bench->value_len);
    } else if (!shr_bytes_eq(key, shr_bytes_str("empty"))) {
        return SHREWD_NOT_FOUND;
    }
    return 0;
}

static int bench_put(void *ctx, struct shr_bytes key, struct shr_bytes value,
                     struct shrewd_error *err) {
    struct bench *bench = ctx;
    if (bench->put_fails != 0) {
        if (err != NULL) {
            err->code = bench->put_fails;
            strcpy(err->message, "the batch is full");
        }
        return bench->put_fails;
    }
    shr_buf_add(&bench->flushed, key);
    shr_buf_add_str(&bench->flushed, "=");
    shr_buf_add(&bench->flushed, value);
    shr_buf_add_str(&bench->flushed, ";");
    return 0;
}

static void bench_log(void *ctx, struct shr_bytes text) {
    struct bench *bench = ctx;
    shr_buf_add(&bench->logged, text);
    shr_buf_add_str(&bench->logged, ";");
}

static inline void bench_init(struct bench *bench) {
    guest_signals_restore();
    memset(bench, 0, sizeof *bench);
    bench->host =
        (struct shr_guest_host){.ctx = bench, .get = bench_get, .put = bench_put, .log = bench_log};
}

static inline void bench_deinit(struct bench *bench) {
    shr_buf_free(&bench->flushed);
    shr_buf_free(&bench->logged);
}

static inline struct shr_module *bench_module(const char *wat) {
    struct shrewd_error err = {0};
    struct shr_module *module = NULL;
    if (shr_module_new(&module, bench_engine, shr_bytes_str(wat), "test.wat", NULL, &err) != 0) {
        fail_msg("the module is refused: %s", err.message);
    }
    return module;
}

/* Runs `entry` of `wat` at height 7 with payload "abc"; the result of a view goes to `out`
 * (NULL: index). The host's `put` is there for indexing only. */
static inline int bench_run(struct bench *bench, struct shr_buf *out, const char *wat,
                            const char *entry, struct shrewd_error *err) {
    struct shr_module *module = bench_module(wat);
    struct shr_guest_call call = {
        .entry = entry, .height = 7, .payload = shr_bytes_str("abc"), .host = &bench->host};
    memset(err, 0, sizeof *err);
    int code =
        out != NULL ? shr_guest_view(module, out, &call, err) : shr_guest_index(module, &call, err);
    shr_module_free(module);
    return code;
}

static inline void assert_contains(const char *text, const char *part) {
    if (strstr(text, part) == NULL) {
        fail_msg("expected \"%s\" in \"%s\"", part, text);
    }
}

static inline int bench_setup(void **state) {
    return shr_engine_new(&bench_engine, NULL);
}

static inline int bench_teardown(void **state) {
    shr_engine_free(bench_engine);
    return 0;
}

#endif
