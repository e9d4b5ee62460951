/* view.h: one call of a view, or of a preview, in an instance that somebody else provides: the
 * parts that the service (views.h) and its verifier are made of. Any thread; the caller's needs
 * SHR_GUEST_THREAD_STACK. */
#ifndef SHR_VIEW_VIEW_H
#define SHR_VIEW_VIEW_H

#include "state/state.h"
#include "wasm/instance.h"

#define SHR_LATEST UINT32_MAX

struct shr_view_call {
    const char *view;
    struct shr_bytes input;
    uint32_t height; /* SHR_LATEST: the tip */
};

/* One version of the state: blocks of one height differ by their hash. */
struct shr_version {
    uint32_t height;
    struct shr_hash hash;
};

static inline bool shr_version_eq(const struct shr_version *a, const struct shr_version *b) {
    return a->height == b->height && shr_hash_eq(&a->hash, &b->hash);
}

/* A reader of the state and the version that `height` means in it: both from one consistent
 * picture, whatever commits meanwhile. SHREWD_ABOVE_TIP, SHREWD_BELOW_START, SHREWD_NOT_FOUND
 * (nothing is indexed yet). Close the reader. */
int shr_view_open(struct shr_reader **out, struct shr_version *at, struct shr_state *state,
                  uint32_t height, struct shrewd_error *err);

/* Runs call->view over the state after `height` (call->height is not looked at) in `instance`.
 * Replaces `out`. Errors as shr_instance_view. */
int shr_view_run(struct shr_instance *instance, struct shr_buf *out, struct shr_reader *reader,
                 uint32_t height, const struct shr_view_call *call,
                 const struct shr_deadline *deadline, struct shrewd_error *err);

/* The same over whatever `get` answers (as shr_guest_host's get), which sees each read that is not
 * of the key read last. */
typedef int shr_view_get_fn(void *ctx, struct shr_buf *value, struct shr_bytes key,
                            struct shrewd_error *err);
int shr_view_run_on(struct shr_instance *instance, struct shr_buf *out, shr_view_get_fn *get,
                    void *get_ctx, uint32_t height, const struct shr_view_call *call,
                    const struct shr_deadline *deadline, struct shrewd_error *err);

/* Runs `_start` on `block` as height + 1 over the state after `height`, in a private overlay,
 * then the view at height + 1 on it. Nothing persists, nobody else sees it. `_start` gets the
 * memory that indexing gives it, not that of `limits`: so the state is what indexing would make. */
int shr_view_preview(struct shr_module *module, const struct shr_instance_limits *limits,
                     struct shr_buf *out, struct shr_reader *base, uint32_t height,
                     struct shr_bytes block, const struct shr_view_call *call,
                     const struct shr_deadline *deadline, struct shrewd_error *err);

#endif
