/* source.h: what the methods ask, as a table of functions, so that the server can be tested (and
 * fuzzed) without a database or a module. The real one is made by shr_rpc_source_for.
 */
#ifndef SHR_RPC_SOURCE_H
#define SHR_RPC_SOURCE_H

#include "shrewd/shrewd.h"
#include "state/compare.h"
#include "state/prove.h"
#include "view/views.h"

/* Every function may be called by several threads at once; codes and messages are those of
 * state.h and views.h. `view` and `preview` run on threads with SHR_GUEST_THREAD_STACK. */
struct shr_rpc_source {
    void *ctx;
    int (*tip)(void *ctx, struct shr_block_record *out, struct shrewd_error *err);
    int (*block)(void *ctx, struct shr_block_record *out, uint32_t height,
                 struct shrewd_error *err);
    /* `cancel` (may be NULL) becomes true when nobody wants the answer any more. */
    int (*view)(void *ctx, struct shr_buf *out, const struct shr_view_call *call,
                const _Atomic bool *cancel, struct shrewd_error *err);
    int (*preview)(void *ctx, struct shr_buf *out, struct shr_bytes block,
                   const struct shr_view_call *call, const _Atomic bool *cancel,
                   struct shrewd_error *err);
    /* The view's answer when it is at hand without running a guest. On any thread. */
    bool (*cached)(void *ctx, struct shr_buf *out, const struct shr_view_call *call);
    /* As `cached`, or from a warm instance if that takes next to no time; on threads with
     * SHR_GUEST_THREAD_STACK. May be NULL. */
    bool (*quick)(void *ctx, struct shr_buf *out, const struct shr_view_call *call);
    int (*prove)(void *ctx, struct shr_proved *out, const struct shr_bytes *keys, size_t n,
                 uint32_t height, struct shrewd_error *err);
    /* `out` is untouched, or {0}, on failure. On threads with SHR_GUEST_THREAD_STACK. */
    int (*prove_view)(void *ctx, struct shr_view_proved *out, const struct shr_view_call *call,
                      const _Atomic bool *cancel, struct shrewd_error *err);
    /* state/compare.h */
    int (*nodes)(void *ctx, struct shr_block_record *block, struct shr_root_node *out,
                 const struct shr_node_path *paths, size_t n, uint32_t height,
                 struct shrewd_error *err);
    int (*keys)(void *ctx, struct shr_block_record *block, struct shr_key_list *out,
                const struct shr_key_range *range, struct shrewd_error *err);
    int (*changed)(void *ctx, struct shr_block_record *block, struct shr_key_list *out,
                   const struct shr_key_range *range, struct shrewd_error *err);
    void (*stats)(void *ctx, struct shr_views_stats *out);
    /* What is stored: for metrics. NULL: not known. */
    int (*info)(void *ctx, struct shrewd_info *out, struct shrewd_error *err);
};

struct shrewd;
/* Borrows the handle. */
struct shr_rpc_source shr_rpc_source_for(struct shrewd *shrewd);

#endif
