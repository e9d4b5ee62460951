#include "state/tree.h"

#include "base/alloc.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct shr_node {
    _Atomic size_t refs;
    struct shr_entry *entry;
    struct shr_node *left, *right;
    unsigned height; /* of a leaf: 1 */
};

/* --- Entries --- */

static struct shr_entry *entry_new(struct shr_bytes key, struct shr_bytes value, bool removed) {
    struct shr_entry *entry = shr_realloc(NULL, sizeof *entry + key.len + value.len);
    atomic_init(&entry->refs, 1);
    entry->removed = removed;
    entry->key_len = key.len;
    entry->value_len = value.len;
    if (key.len > 0) {
        memcpy(entry->bytes, key.data, key.len);
    }
    if (value.len > 0) {
        memcpy(entry->bytes + key.len, value.data, value.len);
    }
    return entry;
}

struct shr_entry *shr_entry_ref(struct shr_entry *entry) {
    atomic_fetch_add_explicit(&entry->refs, 1, memory_order_relaxed);
    return entry;
}

void shr_entry_drop(struct shr_entry *entry) {
    if (entry != NULL && atomic_fetch_sub_explicit(&entry->refs, 1, memory_order_acq_rel) == 1) {
        free(entry);
    }
}

/* --- Nodes --- */

static struct shr_node *node_ref(struct shr_node *node) {
    if (node != NULL) {
        atomic_fetch_add_explicit(&node->refs, 1, memory_order_relaxed);
    }
    return node;
}

static void node_drop(struct shr_node *node) {
    if (node == NULL || atomic_fetch_sub_explicit(&node->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    shr_entry_drop(node->entry);
    node_drop(node->left);
    node_drop(node->right);
    free(node);
}

static struct shr_node *node_new(struct shr_entry *entry) {
    struct shr_node *node = shr_alloc(sizeof *node);
    atomic_init(&node->refs, 1);
    node->entry = entry;
    node->height = 1;
    return node;
}

/* Trades a reference on a node for one on a node that nobody else can reach. */
static struct shr_node *node_own(struct shr_node *node) {
    if (atomic_load_explicit(&node->refs, memory_order_acquire) == 1) {
        return node;
    }
    struct shr_node *own = node_new(shr_entry_ref(node->entry));
    own->left = node_ref(node->left);
    own->right = node_ref(node->right);
    own->height = node->height;
    node_drop(node);
    return own;
}

static unsigned height_of(const struct shr_node *node) {
    return node == NULL ? 0 : node->height;
}

static void measure(struct shr_node *node) {
    unsigned left = height_of(node->left), right = height_of(node->right);
    node->height = 1 + (left > right ? left : right);
}

/* The rotations take an owned node and return the owned node that takes its place. */
static struct shr_node *rotate_right(struct shr_node *node) {
    struct shr_node *up = node_own(node->left);
    node->left = up->right;
    up->right = node;
    measure(node);
    measure(up);
    return up;
}

static struct shr_node *rotate_left(struct shr_node *node) {
    struct shr_node *up = node_own(node->right);
    node->right = up->left;
    up->left = node;
    measure(node);
    measure(up);
    return up;
}

/* Restores the AVL balance of an owned node, one of whose sides changed height by one. */
static struct shr_node *balance(struct shr_node *node) {
    unsigned left = height_of(node->left), right = height_of(node->right);
    if (left > right + 1) {
        if (height_of(node->left->left) < height_of(node->left->right)) {
            node->left = rotate_left(node_own(node->left));
        }
        return rotate_right(node);
    }
    if (right > left + 1) {
        if (height_of(node->right->right) < height_of(node->right->left)) {
            node->right = rotate_right(node_own(node->right));
        }
        return rotate_left(node);
    }
    measure(node);
    return node;
}

static struct shr_node *insert(struct shr_tree *tree, struct shr_node *node,
                               struct shr_entry *entry) {
    if (node == NULL) {
        tree->n++;
        return node_new(entry);
    }
    node = node_own(node);
    int order = shr_bytes_cmp(shr_entry_key(entry), shr_entry_key(node->entry));
    if (order == 0) {
        tree->bytes -= node->entry->key_len + node->entry->value_len;
        shr_entry_drop(node->entry);
        node->entry = entry;
        return node;
    }
    if (order < 0) {
        node->left = insert(tree, node->left, entry);
    } else {
        node->right = insert(tree, node->right, entry);
    }
    return balance(node);
}

/* Takes the smallest entry out; *out gets its reference. */
static struct shr_node *take_first(struct shr_node *node, struct shr_entry **out) {
    node = node_own(node);
    if (node->left == NULL) {
        struct shr_node *rest = node->right;
        *out = node->entry;
        free(node);
        return rest;
    }
    node->left = take_first(node->left, out);
    return balance(node);
}

/* The key is known to be there. */
static struct shr_node *erase(struct shr_tree *tree, struct shr_node *node, struct shr_bytes key) {
    assert(node != NULL);
    node = node_own(node);
    int order = shr_bytes_cmp(key, shr_entry_key(node->entry));
    if (order < 0) {
        node->left = erase(tree, node->left, key);
    } else if (order > 0) {
        node->right = erase(tree, node->right, key);
    } else {
        tree->n--;
        tree->bytes -= node->entry->key_len + node->entry->value_len;
        shr_entry_drop(node->entry);
        if (node->right == NULL) {
            struct shr_node *rest = node->left;
            free(node);
            return rest;
        }
        node->right = take_first(node->right, &node->entry);
    }
    return balance(node);
}

/* --- Trees --- */

struct shr_tree shr_tree_share(const struct shr_tree *tree) {
    node_ref(tree->root);
    return *tree;
}

void shr_tree_drop(struct shr_tree *tree) {
    node_drop(tree->root);
    *tree = (struct shr_tree){0};
}

void shr_tree_put(struct shr_tree *tree, struct shr_bytes key, struct shr_bytes value,
                  bool removed) {
    tree->root = insert(tree, tree->root, entry_new(key, value, removed));
    tree->bytes += key.len + value.len;
}

void shr_tree_remove(struct shr_tree *tree, struct shr_bytes key) {
    if (shr_tree_find(tree, key) != NULL) {
        tree->root = erase(tree, tree->root, key);
    }
}

struct shr_entry *shr_tree_find(const struct shr_tree *tree, struct shr_bytes key) {
    const struct shr_node *node = tree->root;
    while (node != NULL) {
        int order = shr_bytes_cmp(key, shr_entry_key(node->entry));
        if (order == 0) {
            return node->entry;
        }
        node = order < 0 ? node->left : node->right;
    }
    return NULL;
}

/* --- Cursors: path holds the nodes still to be visited, the current one last --- */

void shr_cursor_start(struct shr_cursor *cursor, const struct shr_tree *tree, struct shr_bytes from,
                      struct shr_bytes to, bool backward) {
    cursor->depth = 0;
    cursor->backward = backward;
    cursor->from = from;
    cursor->to = to;
    const struct shr_node *node = tree->root;
    while (node != NULL) {
        struct shr_bytes key = shr_entry_key(node->entry);
        bool ahead = backward ? to.data == NULL || shr_bytes_cmp(key, to) < 0
                              : shr_bytes_cmp(key, from) >= 0;
        if (ahead) {
            assert(cursor->depth < SHR_TREE_DEPTH_MAX);
            cursor->path[cursor->depth++] = node;
        }
        node = ahead == backward ? node->right : node->left;
    }
}

const struct shr_entry *shr_cursor_entry(const struct shr_cursor *cursor) {
    if (cursor->depth == 0) {
        return NULL;
    }
    const struct shr_entry *entry = cursor->path[cursor->depth - 1]->entry;
    struct shr_bytes key = shr_entry_key(entry);
    bool past = cursor->backward ? shr_bytes_cmp(key, cursor->from) < 0
                                 : cursor->to.data != NULL && shr_bytes_cmp(key, cursor->to) >= 0;
    return past ? NULL : entry;
}

void shr_cursor_next(struct shr_cursor *cursor) {
    assert(cursor->depth > 0);
    const struct shr_node *node = cursor->path[--cursor->depth];
    node = cursor->backward ? node->left : node->right;
    while (node != NULL) {
        assert(cursor->depth < SHR_TREE_DEPTH_MAX);
        cursor->path[cursor->depth++] = node;
        node = cursor->backward ? node->right : node->left;
    }
}
