/* prune.h: --prune N: versions older than N blocks are removed at a bounded rate, by the thread
 * that applies blocks, between two of them. */
#ifndef SHR_INDEX_PRUNE_H
#define SHR_INDEX_PRUNE_H

#include "state/state.h"

#include <stdatomic.h>

/* Written by the applying thread, read by any. */
struct shr_prune_progress {
    _Atomic uint64_t rows; /* removed since start */
};

/* The state `keep` blocks below the tip is the oldest that must stay readable; 0: all stay. One
 * step, or none when little is due; `idle`: nothing waits for this thread. A storage error. */
int shr_prune(struct shr_state *state, uint32_t keep, bool idle,
              struct shr_prune_progress *progress, struct shrewd_error *err);

/* Whether anything is left for an idle step. */
bool shr_prune_due(struct shr_state *state, uint32_t keep);

#endif
