/* diff.h: where two indexes part: the height, by bisection on their state roots, and the keys, by
 * walking down both trees; or key by key, without trusting the roots. What it means: doc/diff.md.
 */
#ifndef SHR_DIFF_DIFF_H
#define SHR_DIFF_DIFF_H

#include "diff/source.h"

struct shr_diff_options {
    uint32_t height;         /* look no higher; UINT32_MAX: the lower of both tips */
    struct shr_bytes prefix; /* only keys that start with this */
    size_t keys_max;         /* found before it stops; 0: SHR_DIFF_KEYS_DEFAULT */
    bool deep;               /* compare the values themselves, at the highest height */
};

#define SHR_DIFF_KEYS_DEFAULT 100u

/* What one side has under a key. */
struct shr_diff_value {
    bool there;
    bool known;           /* `value` has it; else it was too much to fetch */
    bool unlike_tree;     /* it is not the one that the side's tree has: its database is damaged */
    struct shr_hash hash; /* SHA-256 of it, as the tree or the list of keys said */
    struct shr_buf value;
};

struct shr_diff_key {
    struct shr_hash hash; /* SHA-256 of the key */
    bool named;           /* false: the key itself is not known */
    struct shr_buf key;
    uint32_t height; /* the first at which it differs */
    struct shr_diff_value side[2];
};

/* {0} is empty; shr_diff_result_free. */
struct shr_diff_result {
    uint32_t tips[2];
    uint32_t compared;            /* the highest height looked at */
    bool chains_part;             /* they indexed different blocks */
    uint32_t part_height;         /* from this height on, */
    struct shr_hash part_hash[2]; /* with these */
    bool shares_any;              /* there is a block that both have */
    bool differ;                  /* the states do */
    uint32_t height;              /* from this one on */
    struct shr_hash hash;         /* the block there */
    bool has_roots;               /* at `height`, or where they are equal at `compared`: */
    struct shr_hash roots[2];
    uint32_t read_at;          /* where the keys were read: above `height` when that is pruned */
    struct shr_diff_key *keys; /* in key order, those without a name last */
    size_t n, cap;
    bool cut;             /* there may be more keys */
    uint64_t outside;     /* keys that differ, but do not start with the prefix */
    uint64_t requests[2]; /* that each side was sent */
};

/* A and B. Only the failure of an index to answer is one, and names it. */
int shr_diff_run(struct shr_diff_result *out, struct shr_diff_source sources[2],
                 const struct shr_diff_options *options, struct shrewd_error *err);
void shr_diff_result_free(struct shr_diff_result *result);

#endif
