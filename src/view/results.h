/* results.h: answers kept: a view in fresh mode is a pure function of module, version of the
 * state, name and input.
 *
 * The key is exact: height, block hash, name and input are compared byte by byte, so that a
 * version which a reorg took away can never match another one. Bounded in bytes, least recently
 * used goes first; in shards, each with its own lock and share of the bytes. Any thread may call.
 */
#ifndef SHR_VIEW_RESULTS_H
#define SHR_VIEW_RESULTS_H

#include "view/view.h"

struct shr_results;

struct shr_results_stats {
    uint64_t entries, bytes;
};

struct shr_results *shr_results_new(uint64_t bytes_max);
void shr_results_free(struct shr_results *results); /* NULL is fine */

/* Replaces `out` and returns true when the answer is kept. */
bool shr_results_get(struct shr_results *results, struct shr_buf *out, const struct shr_version *at,
                     const char *view, struct shr_bytes input);
/* Keeps a copy, unless name, input and answer together take more than a 16th of the bytes. */
void shr_results_put(struct shr_results *results, const struct shr_version *at, const char *view,
                     struct shr_bytes input, struct shr_bytes answer);
/* Drops the answers of versions that `gone` says are gone, and those of one view. */
void shr_results_drop(struct shr_results *results,
                      bool (*gone)(void *ctx, const struct shr_version *at), void *ctx);
void shr_results_drop_view(struct shr_results *results, const char *view);
void shr_results_stats(struct shr_results *results, struct shr_results_stats *out);

#endif
