/* impl.h: what the files of the comparison share; private to the room. */
#ifndef SHR_DIFF_IMPL_H
#define SHR_DIFF_IMPL_H

#include "diff/diff.h"

struct shr_diff {
    struct shr_diff_source *sources; /* two */
    const struct shr_diff_options *options;
    struct shr_diff_result *result;
    size_t keys_max;
};

/* Counts a request to a side; its context. */
void *shr_diff_ask(struct shr_diff *diff, int side);
/* Puts the side's name before the message of an error it gave. */
int shr_diff_failed(const struct shr_diff *diff, int side, int code, struct shrewd_error *err);

/* *out: the lowest height, from 0 to `high`, at which a probe finds a difference, when it finds
 * one at `high`, and none below the first that differs. */
typedef int shr_diff_probe_fn(struct shr_diff *diff, void *ctx, bool *differ, uint32_t height,
                              struct shrewd_error *err);
int shr_diff_bisect(struct shr_diff *diff, shr_diff_probe_fn *probe, void *ctx, uint32_t *out,
                    uint32_t high, struct shrewd_error *err);

/* One more key that differs; NULL when there are enough. */
struct shr_diff_key *shr_diff_add(struct shr_diff *diff);

/* Finds the keys that differ at result->height: their hashes by walking down both trees (walk.c),
 * then their names, then their values (names.c). */
int shr_diff_walk(struct shr_diff *diff, struct shrewd_error *err);
int shr_diff_names(struct shr_diff *diff, struct shrewd_error *err);
int shr_diff_values(struct shr_diff *diff, struct shrewd_error *err);
/* Compares key by key at result->compared (deep.c). */
int shr_diff_deep(struct shr_diff *diff, struct shrewd_error *err);
/* The same of the keys alone that the block at result->height changed on either side. */
int shr_diff_block(struct shr_diff *diff, struct shrewd_error *err);

#endif
