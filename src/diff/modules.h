/* modules.h: one module beside another, or beside an index, over the same blocks: where what they
 * write first parts. Each module that runs keeps its state in a database of its own, which is
 * pruned as it grows: memory is bounded. What it means: doc/diff.md. */
#ifndef SHR_DIFF_MODULES_H
#define SHR_DIFF_MODULES_H

#include "diff/diff.h"
#include "node/source.h"
#include "wasm/guest.h"

struct shr_diff_modules {
    /* A: an index, or (ops NULL) a module of its own. B: a module. */
    struct shr_diff_source index;
    struct shr_module *modules[2]; /* the first NULL with an index */
    const char *names[2];          /* borrowed, as all of this */
    const char *scratch;           /* a folder for the databases, or NULL: they are in memory */
    struct shr_source *blocks;
    uint32_t start;                  /* the first block: the index's own first one */
    struct shr_diff_options options; /* `deep` is not looked at */
};

/* Runs block by block up to the lowest tip, or options.height, and stops after the first block at
 * which a key with the prefix differs: exactly the first, as every block is compared. The result
 * has it with all keys that differ there. On a thread with SHR_GUEST_THREAD_STACK.
 * SHREWD_STOPPED; the failure of a module on a block, which it names; SHREWD_NOT_CONNECTED when the
 * chain changed on the way. */
int shr_diff_modules(struct shr_diff_result *out, const struct shr_diff_modules *job,
                     struct shrewd_error *err);

#endif
