#include "index/prune.h"

/* A write for each block would cost small blocks more than the rows it removes. */
#define BLOCKS_MIN 16u
/* Rows a step removes at most, and one block's at least: some milliseconds. Removing is cheaper
 * than the writing of as many versions, so at ROWS a step after each block keeps up with blocks of
 * any size; ROWS_BEHIND catches up with what was there before pruning was turned on. */
#define ROWS 4096u
#define ROWS_BEHIND 16384u
#define BLOCKS_BEHIND 64u

bool shr_prune_due(struct shr_state *state, uint32_t keep) {
    struct shr_block_record tip;
    return keep != 0 && shr_state_tip(state, &tip, NULL) == 0 && tip.height >= keep &&
           tip.height - keep > shr_state_oldest(state);
}

int shr_prune(struct shr_state *state, uint32_t keep, bool idle,
              struct shr_prune_progress *progress, struct shrewd_error *err) {
    struct shr_block_record tip;
    struct shr_prune_step step;
    if (keep == 0 || shr_state_tip(state, &tip, NULL) != 0 || tip.height < keep) {
        return 0;
    }
    uint32_t oldest = tip.height - keep, held = shr_state_oldest(state);
    uint32_t due = oldest > held ? oldest - held : 0;
    if (due == 0 || (due < BLOCKS_MIN && !idle)) {
        return 0;
    }
    uint64_t rows = idle || due > BLOCKS_BEHIND ? ROWS_BEHIND : ROWS;
    int code = shr_state_prune(state, oldest, rows, &step, err);
    atomic_fetch_add_explicit(&progress->rows, step.rows, memory_order_relaxed);
    return code;
}
