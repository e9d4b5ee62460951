/* loops.h: a copy of a wasm binary that keeps touching a memory of its own for as long as it runs,
 * so that a call can be ended by withdrawing that memory (wasm/watchdog.h).
 *
 * The copy has one memory more, of one page, behind the guest's. A mark is a load from there that
 * is dropped. There is one at the start of each loop, and one at the start of each function that
 * calls others or is long: without those a guest can run for ever by tail calls, and for ages by
 * calls that branch out. Between two marks a guest runs a bounded number of instructions. Nothing
 * else ever uses that memory, so withdrawing it disturbs nobody but the guest.
 *
 * The compiler removes a load when an equal one is known to have run and nothing was stored in
 * between. So within one function no two marks load from one address.
 * Format: WebAssembly core specification, binary format, with the proposals the engine has on
 * (bulk memory, reference types, multi-value, SIMD, tail calls) and, in the copy, multi-memory.
 */
#ifndef SHR_WASM_LOOPS_H
#define SHR_WASM_LOOPS_H

#include "base/buf.h"
#include "base/error.h"

#define SHR_MARKS_SIZE 65536u /* bytes of the memory that marks load from */

/* What was done: where bytes of the copy are in the original, for the messages of traps. */
struct shr_loops_map {
    size_t marks;    /* 0: no call of this module can run long */
    uint32_t memory; /* the index of the memory that marks load from */
    struct shr_loops_step {
        uint32_t from; /* in the copy: from here on, up to the next step ... */
        int32_t shift; /* ... this much must be taken off */
    } * steps;
    size_t n;
};
void shr_loops_map_free(struct shr_loops_map *map); /* leaves {0} */
size_t shr_loops_original(const struct shr_loops_map *map, size_t offset);

/* Appends the copy. `module` was accepted by the engine's validator; other bytes give an error or
 * a copy that is no module either. SHREWD_UNSUPPORTED when it has an instruction this does not
 * know (named with its offset), imports a memory, or has a function with more loops than marks can
 * be told apart: then views of the module are compiled with epoch checks instead. `map` may be
 * NULL. Sections with offsets into the code (DWARF, metadata.code.*) are left out. */
int shr_loops_mark(struct shr_buf *out, struct shr_loops_map *map, struct shr_bytes module,
                   struct shrewd_error *err);

#endif
