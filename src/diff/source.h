/* source.h: what a comparison asks of one index: a state in this process, or a server (cli). As a
 * table of functions, so that the comparison knows neither, and its requests can be counted.
 */
#ifndef SHR_DIFF_SOURCE_H
#define SHR_DIFF_SOURCE_H

#include "state/compare.h"

/* Codes and messages as of state.h and compare.h: SHREWD_ABOVE_TIP, SHREWD_BELOW_START,
 * SHREWD_PRUNED, SHREWD_NO_ROOT; else what keeps the index from answering. Of a block record,
 * hash and root (of nodes) are given, the rest may be zero. One thread. */
struct shr_diff_ops {
    /* The last height; SHREWD_NOT_FOUND when there is none. */
    int (*tip)(void *ctx, uint32_t *out, struct shrewd_error *err);
    int (*hash_at)(void *ctx, struct shr_hash *out, uint32_t height, struct shrewd_error *err);
    int (*root_at)(void *ctx, struct shr_hash *out, uint32_t height, struct shrewd_error *err);
    int (*nodes)(void *ctx, struct shr_block_record *block, struct shr_root_node *out,
                 const struct shr_node_path *paths, size_t n, uint32_t height,
                 struct shrewd_error *err);
    int (*keys)(void *ctx, struct shr_block_record *block, struct shr_key_list *out,
                const struct shr_key_range *range, struct shrewd_error *err);
    int (*changed)(void *ctx, struct shr_block_record *block, struct shr_key_list *out,
                   const struct shr_key_range *range, struct shrewd_error *err);
    /* Replaces `out`. SHREWD_NOT_FOUND; SHREWD_LIMIT, SHREWD_NO_ROOT when it cannot be had. */
    int (*value)(void *ctx, struct shr_buf *out, struct shr_bytes key, uint32_t height,
                 struct shrewd_error *err);
    void (*close)(void *ctx);
};

struct shr_diff_source {
    const struct shr_diff_ops *ops;
    void *ctx;
    const char *name;  /* for messages; borrowed */
    uint64_t requests; /* calls so far, by the comparison */
};

/* A state in this process, as it is now. Borrows it. */
int shr_diff_state(struct shr_diff_source *out, struct shr_state *state, const char *name,
                   struct shrewd_error *err);
void shr_diff_source_close(struct shr_diff_source *source); /* {0} is fine */

#endif
