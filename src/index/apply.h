/* apply.h: one block through the guest into the state. */
#ifndef SHR_INDEX_APPLY_H
#define SHR_INDEX_APPLY_H

#include "state/state.h"
#include "wasm/guest.h"

struct shr_apply {
    struct shr_state *state;
    struct shr_module *module;
    uint32_t height;
    struct shr_hash hash;
    struct shr_bytes block; /* what the guest gets after the height */
    bool sync;              /* durable when it returns */
    uint64_t *guest_ns;     /* out: time spent in the guest; may be NULL */
    /* Runs `_start`; NULL: shr_guest_index. For previews, which must end in time. */
    int (*run)(void *ctx, const struct shr_guest_call *call, struct shrewd_error *err);
    void *run_ctx;
};

/* Runs `_start` on the block over the state after height - 1, then applies what it flushed in
 * one atomic write. On failure nothing of the block is stored; the message names the height. */
int shr_apply_block(const struct shr_apply *apply, struct shrewd_error *err);

#endif
