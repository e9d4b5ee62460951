/* The hashes of the keys that differ, by walking down both trees, four levels a request. */
#include "diff/impl.h"

#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

/* Subtrees that differ, the one to be looked at next at the end. What is pushed at a time is below
 * what was popped, so there are never more than 64 levels of 16 x SHR_NODE_PATHS_MAX. */
struct stack {
    struct shr_node_path *paths;
    size_t n, cap;
};

static void push(struct stack *stack, const struct shr_node_path *above, unsigned nibble) {
    if (stack->n == stack->cap) {
        stack->cap = stack->cap == 0 ? 64 : stack->cap * 2;
        stack->paths = shr_realloc_array(stack->paths, stack->cap, sizeof *stack->paths);
    }
    struct shr_node_path *path = &stack->paths[stack->n++];
    *path = *above;
    unsigned shift = path->nibbles % 2 == 0 ? 4 : 0;
    path->bits.b[path->nibbles / 2] |= (uint8_t)(nibble << shift);
    path->nibbles++;
}

static bool add_leaf(struct shr_diff *diff, const struct shr_root_node *a,
                     const struct shr_root_node *b) {
    struct shr_diff_key *key = shr_diff_add(diff);
    if (key == NULL) {
        return false;
    }
    const struct shr_root_node *nodes[2] = {a, b};
    for (int side = 0; side < 2; side++) {
        if (nodes[side] != NULL) {
            key->hash = nodes[side]->key;
            key->side[side].there = true;
            key->side[side].hash = nodes[side]->value;
        }
    }
    key->height = diff->result->height;
    return true;
}

/* Two nodes of which none has more than one key. False when there are enough. */
static bool compare_leaves(struct shr_diff *diff, const struct shr_root_node *a,
                           const struct shr_root_node *b) {
    const struct shr_root_node *left = a->kind == SHR_ROOT_LEAF ? a : NULL;
    const struct shr_root_node *right = b->kind == SHR_ROOT_LEAF ? b : NULL;
    if (left != NULL && right != NULL && shr_hash_eq(&left->key, &right->key)) {
        return shr_hash_eq(&left->value, &right->value) || add_leaf(diff, left, right);
    }
    return (left == NULL || add_leaf(diff, left, NULL)) &&
           (right == NULL || add_leaf(diff, NULL, right));
}

static bool compare_nodes(struct shr_diff *diff, struct stack *stack,
                          const struct shr_node_path *path, const struct shr_root_node *a,
                          const struct shr_root_node *b) {
    bool more = true;
    for (unsigned i = 0; more && i < SHR_ROOT_BELOW; i++) {
        if (a[i].kind == SHR_ROOT_INNER && b[i].kind == SHR_ROOT_INNER &&
            shr_hash_eq(&a[i].hash, &b[i].hash)) {
            continue;
        }
        if (a[i].kind != SHR_ROOT_INNER && b[i].kind != SHR_ROOT_INNER) {
            more = compare_leaves(diff, &a[i], &b[i]);
        } else if (path->nibbles < SHR_NODE_NIBBLES_MAX) {
            push(stack, path, i);
        }
    }
    return more;
}

/* Both sides' nodes below some paths, of the tree whose root was compared. */
static int ask_nodes(struct shr_diff *diff, struct shr_root_node *out[2],
                     const struct shr_node_path *paths, size_t n, struct shrewd_error *err) {
    const struct shr_diff_result *result = diff->result;
    for (int side = 0; side < 2; side++) {
        struct shr_block_record block;
        const struct shr_diff_source *source = &diff->sources[side];
        int code = source->ops->nodes(shr_diff_ask(diff, side), &block, out[side], paths, n,
                                      result->read_at, err);
        if (code == 0 && result->read_at == result->height &&
            !shr_hash_eq(&block.root, &result->roots[side])) {
            code =
                shr_fail(err, SHREWD_IO, "its chain changed while it was compared: run this again");
        }
        if (code != 0) {
            return shr_diff_failed(diff, side, code, err);
        }
    }
    return 0;
}

static int probe_held(struct shr_diff *diff, void *ctx, bool *differ, uint32_t height,
                      struct shrewd_error *err) {
    const struct shr_node_path top = {0};
    int side = *(int *)ctx;
    struct shr_root_node nodes[SHR_ROOT_BELOW];
    struct shr_block_record block;
    int code = diff->sources[side].ops->nodes(shr_diff_ask(diff, side), &block, nodes, &top, 1,
                                              height, err);
    *differ = code == 0; /* from the oldest height on, there is a tree */
    return code == SHREWD_PRUNED || code == SHREWD_BELOW_START
               ? 0
               : shr_diff_failed(diff, side, code, err);
}

/* Where both trees can be read: where they first differ, or the oldest height that both hold. */
static int settle_read_at(struct shr_diff *diff, struct shrewd_error *err) {
    struct shr_diff_result *result = diff->result;
    result->read_at = result->height;
    for (int side = 0; side < 2; side++) {
        bool held = false;
        uint32_t oldest = 0;
        int code = probe_held(diff, &side, &held, result->read_at, err);
        if (code == 0 && !held) {
            code = shr_diff_bisect(diff, probe_held, &side, &oldest, result->compared, err);
            result->read_at = oldest;
        }
        if (code != 0) {
            return code;
        }
    }
    return 0;
}

int shr_diff_walk(struct shr_diff *diff, struct shrewd_error *err) {
    struct stack stack = {0};
    struct shr_node_path *taken = shr_alloc_array(SHR_NODE_PATHS_MAX, sizeof *taken);
    struct shr_root_node *nodes[2];
    for (int side = 0; side < 2; side++) {
        nodes[side] = shr_alloc_array((size_t)SHR_NODE_PATHS_MAX * SHR_ROOT_BELOW, sizeof **nodes);
    }
    int code = settle_read_at(diff, err);
    bool more = true;
    size_t n = 1; /* the whole tree: a path without nibbles */
    while (code == 0 && more && n > 0) {
        code = ask_nodes(diff, nodes, taken, n, err);
        for (size_t i = 0; code == 0 && more && i < n; i++) {
            more = compare_nodes(diff, &stack, &taken[i], nodes[0] + SHR_ROOT_BELOW * i,
                                 nodes[1] + SHR_ROOT_BELOW * i);
        }
        n = stack.n < SHR_NODE_PATHS_MAX ? stack.n : SHR_NODE_PATHS_MAX;
        stack.n -= n;
        if (n > 0) {
            memcpy(taken, stack.paths + stack.n, n * sizeof *taken);
        }
    }
    free(stack.paths);
    free(taken);
    free(nodes[0]);
    free(nodes[1]);
    return code;
}
