/* found.h: a state that begins with everything it holds after one block, instead of with its first
 * block: of a dump, or of a snapshot of a pruned database. It is as if it had been pruned up to
 * that block: the height can be read, and rolled back to, and nothing below; the blocks' records
 * below are there. Takes bounded memory, however large the state.
 *
 * Threads: the one that applies blocks. */
#ifndef SHR_STATE_FOUND_H
#define SHR_STATE_FOUND_H

#include "state/state.h"

struct shr_found;

#define SHR_FOUND_MEMORY ((size_t)32 << 20)

/* Begins with the state after the block of `height`. The state must be empty, and no fork: else
 * SHREWD_INVALID. `scratch`: a folder for a file without a name, of 64 bytes a key. `memory_max`:
 * about what rows and leaves may take together; of pairs, one is held. Borrows scratch. */
int shr_found_begin(struct shr_found **out, struct shr_state *state, uint32_t height,
                    const char *scratch, size_t memory_max, struct shrewd_error *err);
/* The records of all blocks from the state's first one up to that of `height`, in this order, at
 * any time before the end. SHREWD_INVALID when it is not the next one. */
int shr_found_block(struct shr_found *found, const struct shr_block_record *record,
                    struct shrewd_error *err);
/* A key and its value after that block, keys ascending: SHREWD_INVALID; SHREWD_LIMIT. */
int shr_found_put(struct shr_found *found, struct shr_bytes key, struct shr_bytes value,
                  struct shrewd_error *err);
/* All of it was given, and is the state from now on; durable. The keys must be as many as the last
 * record says (total_keys), and where it has a root, and the state keeps one, it must be theirs:
 * SHREWD_CORRUPT. After a failure, of any of these, the store is to be thrown away. */
int shr_found_end(struct shr_found *found, struct shr_block_record *out, struct shrewd_error *err);
void shr_found_free(struct shr_found *found); /* NULL is fine */

#endif
