/* leaf_sort.h: leaves of the state's tree (root_page.h) put in the order of their key hashes, in
 * bounded memory: what does not fit goes to a file that has no name, in sorted runs, which are
 * merged as they are read. One thread. */
#ifndef SHR_STATE_LEAF_SORT_H
#define SHR_STATE_LEAF_SORT_H

#include "base/error.h"
#include "state/root_page.h"

struct shr_leaf_sort;

/* `scratch`: the folder for the file. `memory_max`: about the bytes to be taken. Borrows scratch.
 */
struct shr_leaf_sort *shr_leaf_sort_new(const char *scratch, size_t memory_max);
void shr_leaf_sort_free(struct shr_leaf_sort *sort); /* NULL is fine */
int shr_leaf_sort_add(struct shr_leaf_sort *sort, const struct shr_root_leaf *leaf,
                      struct shrewd_error *err);
/* Nothing is added any more. */
int shr_leaf_sort_end(struct shr_leaf_sort *sort, struct shrewd_error *err);
/* Up to `room` leaves, the next ones in order; fewer only at the end. */
int shr_leaf_sort_take(struct shr_leaf_sort *sort, struct shr_root_leaf *out, size_t room,
                       size_t *n, struct shrewd_error *err);

#endif
