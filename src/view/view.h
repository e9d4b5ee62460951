/* view.h: read-only calls of a module at a height, and previews. Any thread, any number at once;
 * the caller's thread needs SHR_GUEST_THREAD_STACK. */
#ifndef SHR_VIEW_VIEW_H
#define SHR_VIEW_VIEW_H

#include "state/state.h"
#include "wasm/guest.h"

#define SHR_LATEST UINT32_MAX

struct shr_view_limits {
    uint64_t memory_max; /* bytes an instance may grow to; 0: 4 GiB */
    size_t result_max;   /* bytes of an answer; 0: 256 MiB */
};

struct shr_view_call {
    const char *view;
    struct shr_bytes input;
    uint32_t height; /* SHR_LATEST: the tip */
    struct shr_view_limits limits;
};

/* Runs the view over the state after `height`, on one consistent picture: no part of a block
 * that is being committed is ever seen. Replaces `out`. SHREWD_ABOVE_TIP, SHREWD_BELOW_START,
 * SHREWD_NOT_FOUND (nothing is indexed yet), SHREWD_NO_VIEW, SHREWD_TRAP, SHREWD_LIMIT... */
int shr_view_run(struct shr_state *state, struct shr_module *module, struct shr_buf *out,
                 const struct shr_view_call *call, struct shrewd_error *err);

/* Runs `_start` on `block` as height + 1 over the state after `height`, in a private overlay,
 * then the view at height + 1 on it. Nothing persists, nobody else sees it. */
int shr_view_preview(struct shr_state *state, struct shr_module *module, struct shr_buf *out,
                     struct shr_bytes block, const struct shr_view_call *call,
                     struct shrewd_error *err);

#endif
