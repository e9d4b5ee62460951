/* apply.h: one block through the guest, and into the state. */
#ifndef SHR_INDEX_APPLY_H
#define SHR_INDEX_APPLY_H

#include "state/pending.h"
#include "wasm/guest.h"

/* What a block may flush. Fixed, so that every machine agrees on which block is too much. */
#define SHR_FLUSH_BYTES_MAX (128u << 20)
#define SHR_FLUSH_PAIRS_MAX (16u << 20)

struct shr_apply {
    struct shr_state *state;
    struct shr_module *module;
    uint32_t height;
    struct shr_hash hash;
    struct shr_bytes block; /* what the guest gets after the height */
    bool sync;              /* durable when it returns; not for shr_apply_run */
    uint64_t *guest_ns;     /* out: time spent in the guest; may be NULL */
    /* Runs `_start`; NULL: shr_guest_index. For previews, which must end in time. */
    int (*run)(void *ctx, const struct shr_guest_call *call, struct shrewd_error *err);
    void *run_ctx;
    /* What the guest reads; NULL: the newest state. As shr_guest_host's. */
    int (*get)(void *ctx, struct shr_buf *value, struct shr_bytes key, struct shrewd_error *err);
    void *get_ctx;
};

/* Runs `_start` on the block over the state after height - 1, and gives what it flushed, which
 * shr_state_apply_many can take: nothing is stored. On failure the message names the height. */
int shr_apply_run(const struct shr_apply *apply, struct shr_writes **out, struct shrewd_error *err);

/* The same, and applies what was flushed, in one atomic write. On failure nothing of the block is
 * stored. */
int shr_apply_block(const struct shr_apply *apply, struct shrewd_error *err);

#endif
