/* bare.h: the smallest host on Wasmtime that can run the benchmark sample: default settings, a
 * hash table as state, no limits, no checks beyond memory safety. What shrewd is held against. */
#ifndef SHR_BENCH_BARE_H
#define SHR_BENCH_BARE_H

#include "base/buf.h"

/* How it compiles: as bare as can be, or with one of the ways of ending a call early. */
enum bare_kind { BARE, BARE_EPOCHS, BARE_FUEL, BARE_MARKED, BARE_KINDS };

struct bare;

/* Compiles and runs `_start` once, at height 0. Ends the program when anything fails. */
struct bare *bare_new(struct shr_bytes wasm, enum bare_kind kind);
void bare_free(struct bare *bare);

/* One answer of a view without input, in an instance made for it and dropped. Replaces `out`. */
void bare_fresh(struct bare *bare, const char *view, struct shr_buf *out);
/* The same in an instance that is kept. */
void bare_stateful(struct bare *bare, const char *view, struct shr_buf *out);
/* Makes an instance and drops it. */
void bare_instantiate(struct bare *bare);

/* The state: the value of a key, or an empty view with NULL. */
struct shr_bytes bare_get(const struct bare *bare, struct shr_bytes key);

#endif
