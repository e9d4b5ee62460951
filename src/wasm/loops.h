/* loops.h: a copy of a wasm binary in which every loop begins with `i32.const 0, i32.load,
 * drop`, so that a guest that runs for ever touches its memory for ever (wasm/instance.h).
 *
 * Nothing else changes: the load reads an address that is always inside a memory of at least one
 * page. Format: WebAssembly core specification, binary format, with the proposals the engine has
 * on (bulk memory, reference types, multi-value, SIMD, tail calls).
 */
#ifndef SHR_WASM_LOOPS_H
#define SHR_WASM_LOOPS_H

#include "base/buf.h"
#include "base/error.h"

/* Appends the copy. `module` was accepted by the engine's validator. SHREWD_UNSUPPORTED when it has
 * no memory of at least one page, or an instruction this does not know (named with its offset):
 * then views of the module are compiled with epoch checks instead. */
int shr_loops_mark(struct shr_buf *out, struct shr_bytes module, struct shrewd_error *err);

#endif
