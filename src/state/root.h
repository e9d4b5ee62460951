/* root.h: the state root: a sparse Merkle tree over the whole state, after every block.
 *
 * Over SHA-256(key): a leaf is SHA-256(0x00 || SHA-256(key) || SHA-256(value)), an inner node
 * SHA-256(0x01 || left || right), an empty subtree 32 zero bytes, and a subtree with one leaf is
 * that leaf (doc/state-root.md). Four levels are a page (root_page.h); a block adds one row for
 * each page it changes, which says what changed in it, now and then the whole page. So the page
 * after any block is what a seek and a short run of rows say, the newest as well as the past, and
 * undoing a block is removing its rows. Layout: doc/database.md.
 *
 * Threads: a shr_root belongs to the thread that applies blocks; it starts others of its own for
 * large blocks, and waits for them. A shr_root_view belongs to one thread.
 */
#ifndef SHR_STATE_ROOT_H
#define SHR_STATE_ROOT_H

#include "state/state.h"

struct shr_root;

#define SHR_ROOT_CACHE_DEFAULT ((size_t)64 << 20)
#define SHR_ROOT_THREADS_DEFAULT 2u
/* With so much more in a file, see shr_root_set_aside, a state of 16 million keys needs hardly any
 * page from ROOT. */
#define SHR_ROOT_ASIDE_TIMES 16u

/* Borrows the store. `cache_bytes`: of pages kept from block to block, after those of a block
 * have been written; during one, all that it needs are held. threads: at least 1. */
struct shr_root *shr_root_new(struct shr_store *store, size_t cache_bytes, unsigned threads);
void shr_root_set_cache(struct shr_root *root, size_t cache_bytes);
/* Buckets that the cache has no room for go into a file of at most so many bytes in the folder
 * (root_aside.h), from now on. */
void shr_root_set_aside(struct shr_root *root, const char *folder, uint64_t bytes);
void shr_root_free(struct shr_root *root); /* NULL is fine */

/* Adds the rows of the block of `height`, which follows the last one updated, to `batch`, and
 * gives the root after it. The pairs come in any order, each key once. Several blocks may go into
 * one batch. After a failure, forget. */
int shr_root_update(struct shr_root *root, uint32_t height, const struct shr_pair *const *pairs,
                    size_t n, struct shr_batch *batch, struct shr_hash *out,
                    struct shrewd_error *err);
/* The store has all that was updated. */
void shr_root_written(struct shr_root *root);
/* The store does not, or blocks were rolled back. */
void shr_root_forget(struct shr_root *root);

/* Removes the rows of the block of `height`. Blocks are undone from the newest down; several may
 * go into one batch. */
int shr_root_undo(struct shr_store *store, uint32_t height, struct shr_batch *batch,
                  struct shrewd_error *err);
/* The same of every block from the height `first` up, in several writes, and of the lists alone
 * that say which rows a block has: to be called again after a failure. */
int shr_root_sweep(struct shr_store *store, uint32_t first, struct shrewd_error *err);
/* Makes `height` the lowest at which there is a tree: removes the rows that only lower ones need.
 * Each height is to be pruned in turn, from the first; several may go into one batch. */
int shr_root_prune(struct shr_store *store, uint32_t height, struct shr_batch *batch,
                   struct shrewd_error *err);

/* --- Reading the tree after a block --- */

struct shr_root_view;

/* Borrows store and snapshot (NULL: as the store is, which nobody may write meanwhile). Pages
 * read are kept until it is freed. The caller knows that the height is held. */
struct shr_root_view *shr_root_view_new(struct shr_store *store,
                                        const struct shr_snapshot *snapshot, uint32_t height);
void shr_root_view_free(struct shr_root_view *view);

enum shr_root_kind { SHR_ROOT_EMPTY, SHR_ROOT_LEAF, SHR_ROOT_INNER };
struct shr_root_node {
    enum shr_root_kind kind;
    struct shr_hash hash;
    struct shr_hash key, value; /* of a leaf: hashes of both */
};
/* The node whose subtree has the keys whose hash begins with the first `depth` bits of `path`
 * (at most 256; 0: the root). A node inside a subtree with one leaf is that leaf, if the path is
 * the leaf's, else empty. */
int shr_root_node(struct shr_root_view *view, struct shr_root_node *out, unsigned depth,
                  const struct shr_hash *path, struct shrewd_error *err);
/* The 16 nodes four levels below that of a path of `nibbles` half bytes, at most 63, as
 * shr_root_node would give each. */
#define SHR_ROOT_BELOW 16u
int shr_root_below(struct shr_root_view *view, struct shr_root_node out[SHR_ROOT_BELOW],
                   unsigned nibbles, const struct shr_hash *path, struct shrewd_error *err);
/* The proof (shrewd/proof.h) of what is under n keys, given by their hashes, sorted. Appends it to
 * `out`. */
int shr_root_prove(struct shr_root_view *view, struct shr_buf *out, const struct shr_hash *keys,
                   size_t n, struct shrewd_error *err);

#endif
