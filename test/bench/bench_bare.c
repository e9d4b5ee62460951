/* bench_bare [--candidates] MODULE MODULE_NOCACHE: the published benchmark's view on the smallest
 * host there is (bare.h), for both builds of the sample. With --candidates also what each way of
 * ending a call costs there, and what the wasm room makes of it all, with a deadline on every
 * call: the figures of doc/limits.md. All take turns, so that they meet the same machine. */
#include "bare.h"
#include "base/file.h"
#include "measure.h"
#include "wasm/instance.h"

#include <string.h>

#define CALLS 2000
#define WARM_UP 200
#define TURN 50 /* calls of one kind before the next has its turn */
#define VIEW "benchmark_view"

enum what { FRESH, STATEFUL, INSTANTIATE };

static const char *const kinds[] = {"bare", "epochs", "fuel", "marked", "room"};
#define ROOM BARE_KINDS
#define KINDS (BARE_KINDS + 1)

/* The module in every kind of host. */
struct subject {
    struct bare *bare[BARE_KINDS];
    struct shr_engine *engine;
    struct shr_module *module;
    struct shr_instance *kept;
    struct shr_guest_host host;
    struct shr_buf out;
};

static int room_get(void *ctx, struct shr_buf *value, struct shr_bytes key,
                    struct shrewd_error *err) {
    struct shr_bytes found = bare_get(ctx, key);
    if (found.data == NULL) {
        return SHREWD_NOT_FOUND;
    }
    shr_buf_set(value, found);
    return 0;
}

/* An empty state: the view looks for one key, and what is measured is the instance. */
static int empty_get(void *ctx, struct shr_buf *value, struct shr_bytes key,
                     struct shrewd_error *err) {
    return SHREWD_NOT_FOUND;
}

static void room_call(struct subject *subject, enum what what) {
    static const struct shr_guest_host empty = {.get = empty_get};
    struct shr_guest_call call = {.entry = VIEW,
                                  .host = what == INSTANTIATE ? &empty : &subject->host};
    struct shr_deadline deadline = {.at_ns = shr_now_ns() + 10000000000u, .allowed_ms = 10000};
    struct shr_instance_limits limits = {
        .memory_max = 1u << 30, .result_max = 64u << 20, .log_lines_max = 100};
    struct shr_instance *instance = what == STATEFUL ? subject->kept : NULL;
    struct shrewd_error err;
    if (instance == NULL) {
        must(shr_instance_new(&instance, subject->module, &limits, &err), &err);
    }
    must(shr_instance_view(instance, &subject->out, &call, &deadline, &err), &err);
    if (what == STATEFUL) {
        subject->kept = instance;
    } else {
        shr_instance_free(instance);
    }
}

static void one_call(struct subject *subject, int kind, enum what what) {
    if (kind == ROOM) {
        room_call(subject, what);
    } else if (what == FRESH) {
        bare_fresh(subject->bare[kind], VIEW, &subject->out);
    } else if (what == STATEFUL) {
        bare_stateful(subject->bare[kind], VIEW, &subject->out);
    } else {
        bare_instantiate(subject->bare[kind]);
    }
    if (what != INSTANTIATE && subject->out.len != 1000) {
        fprintf(stderr, "bench: " VIEW " answered %zu bytes, not 1000\n", subject->out.len);
        exit(1);
    }
}

static void measure(struct subject *subject, int n_kinds, enum what what, const char *format) {
    static uint64_t ns[KINDS][CALLS];
    for (int first = -WARM_UP; first < CALLS; first += TURN) {
        for (int kind = 0; kind < n_kinds; kind++) {
            for (int i = first; i < first + TURN; i++) {
                uint64_t start = shr_now_ns();
                one_call(subject, kind, what);
                ns[kind][i < 0 ? 0 : i] = shr_now_ns() - start;
            }
        }
    }
    for (int kind = 0; kind < n_kinds; kind++) {
        char name[100];
        snprintf(name, sizeof name, "view.%s_%s_us", kinds[kind], format);
        print_result(name, percentile_us(ns[kind], CALLS, 0.5), "us");
    }
}

static void set_up(struct subject *subject, const char *path, int n_kinds) {
    struct shrewd_error err;
    struct shr_buf wasm = {0};
    *subject = (struct subject){0};
    must(shr_file_read(&wasm, path, 1u << 24, &err), &err);
    for (int kind = 0; kind < n_kinds && kind < BARE_KINDS; kind++) {
        subject->bare[kind] = bare_new(shr_buf_bytes(&wasm), (enum bare_kind)kind);
    }
    if (n_kinds > ROOM) {
        subject->host = (struct shr_guest_host){.ctx = subject->bare[BARE], .get = room_get};
        must(shr_engine_new(&subject->engine, &err), &err);
        must(shr_module_new(&subject->module, subject->engine, shr_buf_bytes(&wasm), path, NULL,
                            &err),
             &err);
    }
    shr_buf_free(&wasm);
}

static void tear_down(struct subject *subject) {
    for (int kind = 0; kind < BARE_KINDS; kind++) {
        if (subject->bare[kind] != NULL) {
            bare_free(subject->bare[kind]);
        }
    }
    shr_instance_free(subject->kept);
    shr_module_free(subject->module);
    shr_engine_free(subject->engine);
    shr_buf_free(&subject->out);
}

int main(int argc, char **argv) {
    int n_kinds = 1;
    if (argc > 1 && strcmp(argv[1], "--candidates") == 0) {
        n_kinds = KINDS;
        argv++;
        argc--;
    }
    if (argc != 3) {
        fprintf(stderr, "usage: %s [--candidates] MODULE MODULE_NOCACHE\n", argv[0]);
        return 2;
    }
    for (int i = 0; i < 2; i++) {
        struct subject subject;
        set_up(&subject, argv[1 + i], n_kinds);
        measure(&subject, n_kinds, FRESH, i == 0 ? "fresh" : "nocache_fresh");
        measure(&subject, n_kinds, STATEFUL, i == 0 ? "stateful" : "nocache_stateful");
        if (n_kinds > 1 && i == 0) {
            measure(&subject, n_kinds, INSTANTIATE, "instantiate");
        }
        tear_down(&subject);
    }
    return 0;
}
