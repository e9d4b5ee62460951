/* tree.h: an ordered map of byte strings, kept as a copy-on-write AVL tree.
 *
 * Copying a tree is taking one reference (shr_tree_share): the copy stays as it is while the
 * original goes on, because a writer copies every node that somebody else can reach and changes
 * in place only those it alone holds. So a snapshot costs nothing to make, and what changes
 * after it costs a path of nodes.
 *
 * Threads: a tree that nobody writes may be read by any thread, and copies are independent of
 * each other (the reference counts are atomic). Sharing and writing one tree need a lock.
 */
#ifndef SHR_STATE_TREE_H
#define SHR_STATE_TREE_H

#include "base/buf.h"

#include <stdatomic.h>

/* One key with its value; immutable once in a tree, freed with its last reference. */
struct shr_entry {
    _Atomic size_t refs;
    bool removed; /* a tombstone: the key is absent here, whatever lies below (overlay) */
    size_t key_len, value_len;
    uint8_t bytes[]; /* the key, then the value */
};
static inline struct shr_bytes shr_entry_key(const struct shr_entry *entry) {
    return shr_bytes(entry->bytes, entry->key_len);
}
static inline struct shr_bytes shr_entry_value(const struct shr_entry *entry) {
    return shr_bytes(entry->bytes + entry->key_len, entry->value_len);
}
struct shr_entry *shr_entry_ref(struct shr_entry *entry);
void shr_entry_drop(struct shr_entry *entry); /* NULL is fine */

struct shr_node;

/* {0} is empty. */
struct shr_tree {
    struct shr_node *root;
    size_t n;     /* entries, tombstones included */
    size_t bytes; /* of their keys and values */
};

/* Another tree with the same content; drop both. */
struct shr_tree shr_tree_share(const struct shr_tree *tree);
void shr_tree_drop(struct shr_tree *tree); /* leaves {0} */

/* Copies key and value; replaces an equal key. */
void shr_tree_put(struct shr_tree *tree, struct shr_bytes key, struct shr_bytes value,
                  bool removed);
void shr_tree_remove(struct shr_tree *tree, struct shr_bytes key);
/* Borrowed from the tree; NULL when absent. */
struct shr_entry *shr_tree_find(const struct shr_tree *tree, struct shr_bytes key);

/* An AVL tree of 2^64 nodes is less than 93 high. */
#define SHR_TREE_DEPTH_MAX 96

/* Walks a tree that must not change meanwhile; needs no freeing. */
struct shr_cursor {
    const struct shr_node *path[SHR_TREE_DEPTH_MAX];
    size_t depth;
    bool backward;
    struct shr_bytes from, to; /* as in shr_store_scan; borrowed */
};
void shr_cursor_start(struct shr_cursor *cursor, const struct shr_tree *tree, struct shr_bytes from,
                      struct shr_bytes to, bool backward);
/* The entry at the cursor, NULL at the end. */
const struct shr_entry *shr_cursor_entry(const struct shr_cursor *cursor);
void shr_cursor_next(struct shr_cursor *cursor);

#endif
