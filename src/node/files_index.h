/* files_index.h: where each block lies in a set of files, and the best chain among them.
 *
 * Built by one thread (add for each block found, then link once); afterwards any thread may read.
 * Holds about 60 bytes a block, and twice that until it is linked.
 */
#ifndef SHR_NODE_FILES_INDEX_H
#define SHR_NODE_FILES_INDEX_H

#include "chain/block.h"
#include "chain/network.h"

/* In place of a file's number: the network's genesis block, which is built, not read. */
#define SHR_FILES_BUILT UINT32_MAX

struct shr_files_record {
    struct shr_hash hash;
    uint64_t offset; /* of the block's first byte */
    uint32_t len;
    uint32_t file; /* number in the order the files were scanned */
};

struct shr_files_link; /* what linking needs of each record; gone afterwards */

struct shr_files_index {
    struct shr_files_record *records;
    struct shr_files_link *links;
    size_t n;
    size_t cap;
    uint32_t *slots; /* open addressing over hashes: record number + 1, 0 for none */
    size_t n_slots;  /* a power of two */
    const struct shr_network *network; /* NULL when the files do not tell */
    uint32_t *chain;                   /* the best chain: record numbers by height - first_height */
    size_t n_chain;
    uint32_t first_height;
    size_t n_apart; /* records that do not descend from the chain's first block */
};

/* False, and nothing added, when a block of that hash is known already. */
bool shr_files_index_add(struct shr_files_index *index, const struct shr_files_record *record,
                         const struct shr_header *header);
/* Finds the chain with most work; at equal work the one whose last block was found first. Blocks
 * that lead back to the genesis of `network` go before all others; that block is supplied when a
 * record names it as its parent. SHREWD_INVALID when heights would not fit 32 bits. */
int shr_files_index_link(struct shr_files_index *index, uint32_t first_height,
                         struct shrewd_error *err);
/* NULL when unknown. */
const struct shr_files_record *shr_files_index_find(const struct shr_files_index *index,
                                                    const struct shr_hash *hash);
void shr_files_index_deinit(struct shr_files_index *index); /* fine on {0} */

#endif
