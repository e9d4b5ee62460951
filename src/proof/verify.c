/* Verifying a proof: one pass over its bytes, beside the sorted hashes of the claimed keys. Each
 * node has the range of claims whose paths go through it, so what it may be is known before it is
 * read: a node that claims enter is spelt out, any other is a hash, or empty. */
#include "shrewd/proof.h"

#include "proof/sha256.h"

enum child { CHILD_EMPTY, CHILD_LEAF, CHILD_OTHER };

/* An inner node on the way to where we are. Its claims are lo to hi, and go right from mid on. */
struct frame {
    size_t lo, mid, hi;
    uint8_t left[32];
    enum child left_kind;
    int in_right; /* the left child is done */
};

struct walk {
    const uint8_t *proof;
    size_t len, at;
    struct shrewd_claim *claims;
    int untrue; /* 0, or why a claim is not true: the first met */
    size_t untrue_claim;
    size_t depth;
    struct frame frames[SHREWD_PROOF_DEPTH_MAX];
};

static void copy(uint8_t to[32], const uint8_t from[32]) {
    for (size_t i = 0; i < 32; i++) {
        to[i] = from[i];
    }
}

static int compare(const uint8_t a[32], const uint8_t b[32]) {
    for (size_t i = 0; i < 32; i++) {
        if (a[i] != b[i]) {
            return a[i] < b[i] ? -1 : 1;
        }
    }
    return 0;
}

static int is_zero(const uint8_t hash[32]) {
    static const uint8_t zero[32];
    return compare(hash, zero) == 0;
}

static unsigned bit(const uint8_t hash[32], size_t i) {
    return hash[i / 8] >> (7 - i % 8) & 1u;
}

static struct shrewd_claim *nth(const struct walk *walk, size_t i) {
    return &walk->claims[walk->claims[i].nth];
}

/* --- The order of the claims: a heap sort of their numbers, which need no other room. --- */

static int before(const struct shrewd_claim *claims, size_t a, size_t b) {
    return compare(claims[claims[a].nth].key_hash, claims[claims[b].nth].key_hash) < 0;
}

static void swap(struct shrewd_claim *claims, size_t a, size_t b) {
    size_t kept = claims[a].nth;
    claims[a].nth = claims[b].nth;
    claims[b].nth = kept;
}

static void sift(struct shrewd_claim *claims, size_t root, size_t n) {
    for (size_t child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && before(claims, child, child + 1)) {
            child++;
        }
        if (!before(claims, root, child)) {
            return;
        }
        swap(claims, root, child);
    }
}

static void sort(struct shrewd_claim *claims, size_t n) {
    for (size_t i = 0; i < n; i++) {
        claims[i].nth = i;
        shr_proof_sha256(claims[i].key_hash, claims[i].key, claims[i].key_len);
    }
    for (size_t i = n / 2; i-- > 0;) {
        sift(claims, i, n);
    }
    for (size_t end = n; end > 1; end--) {
        swap(claims, 0, end - 1);
        sift(claims, 0, end - 1);
    }
}

/* --- What the claims say of a place --- */

/* Every claim of lo to hi ends here: at a leaf, or (NULL) at an empty subtree. */
static void judge(struct walk *walk, size_t lo, size_t hi, const uint8_t *key_hash,
                  const uint8_t *value_hash) {
    for (size_t i = lo; i < hi && walk->untrue == 0; i++) {
        const struct shrewd_claim *claim = nth(walk, i);
        int present = key_hash != NULL && compare(claim->key_hash, key_hash) == 0;
        uint8_t claimed[32];
        if (present && claim->absent) {
            walk->untrue = SHREWD_UNPROVEN_IS_PRESENT;
        } else if (!present && !claim->absent) {
            walk->untrue = SHREWD_UNPROVEN_IS_ABSENT;
        } else if (present) {
            shr_proof_sha256(claimed, claim->value, claim->value_len);
            if (compare(claimed, value_hash) != 0) {
                walk->untrue = SHREWD_UNPROVEN_OTHER_VALUE;
            }
        }
        walk->untrue_claim = walk->claims[i].nth;
    }
}

/* The first of the claims lo to hi, which agree above `depth`, that goes right there. */
static size_t split(const struct walk *walk, size_t lo, size_t hi, size_t depth) {
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (bit(nth(walk, mid)->key_hash, depth) == 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

/* --- Nodes --- */

static int take(struct walk *walk, const uint8_t **out, size_t n) {
    if (walk->len - walk->at < n) {
        return SHREWD_UNPROVEN_TRUNCATED;
    }
    *out = walk->proof + walk->at;
    walk->at += n;
    return 0;
}

static int read_hash(struct walk *walk, uint8_t out[32], int entered) {
    const uint8_t *hash;
    if (entered) {
        return SHREWD_UNPROVEN_HIDDEN;
    }
    if (take(walk, &hash, 32) != 0) {
        return SHREWD_UNPROVEN_TRUNCATED;
    }
    copy(out, hash);
    return is_zero(hash) ? SHREWD_UNPROVEN_ZERO_HASH : 0;
}

static int read_leaf(struct walk *walk, uint8_t out[32], size_t lo, size_t hi) {
    const uint8_t *hashes;
    if (lo == hi) {
        return SHREWD_UNPROVEN_NEEDLESS;
    }
    if (take(walk, &hashes, 64) != 0) {
        return SHREWD_UNPROVEN_TRUNCATED;
    }
    for (size_t i = 0; i < walk->depth; i++) {
        if (bit(hashes, i) != bit(nth(walk, lo)->key_hash, i)) {
            return SHREWD_UNPROVEN_STRAY_LEAF;
        }
    }
    judge(walk, lo, hi, hashes, hashes + 32);
    shr_proof_sha256_node(out, SHREWD_PROOF_LEAF_BYTE, hashes, hashes + 32);
    return 0;
}

static int enter(struct walk *walk, size_t lo, size_t hi) {
    if (lo == hi) {
        return SHREWD_UNPROVEN_NEEDLESS;
    }
    if (walk->depth == SHREWD_PROOF_DEPTH_MAX) {
        return SHREWD_UNPROVEN_DEPTH;
    }
    struct frame *frame = &walk->frames[walk->depth];
    frame->lo = lo;
    frame->hi = hi;
    frame->mid = split(walk, lo, hi, walk->depth);
    frame->in_right = 0;
    walk->depth++;
    return 0;
}

/* One node, entered by the claims lo to hi: its hash and kind, or *inner and nothing else. */
static int read_node(struct walk *walk, uint8_t hash[32], enum child *kind, int *inner, size_t lo,
                     size_t hi) {
    const uint8_t *tag;
    *inner = 0;
    *kind = CHILD_OTHER;
    if (take(walk, &tag, 1) != 0) {
        return SHREWD_UNPROVEN_TRUNCATED;
    }
    switch (*tag) {
    case SHREWD_PROOF_EMPTY:
        judge(walk, lo, hi, NULL, NULL);
        *kind = CHILD_EMPTY;
        for (size_t i = 0; i < 32; i++) {
            hash[i] = 0;
        }
        return 0;
    case SHREWD_PROOF_HASH:
        return read_hash(walk, hash, lo < hi);
    case SHREWD_PROOF_LEAF:
        *kind = CHILD_LEAF;
        return read_leaf(walk, hash, lo, hi);
    case SHREWD_PROOF_INNER:
        *inner = 1;
        return enter(walk, lo, hi);
    default:
        return SHREWD_UNPROVEN_TAG;
    }
}

/* A child of the innermost open node is done: `hash` and `kind` are its own, and become the
 * parent's whenever it was a right child. */
static int close_nodes(struct walk *walk, uint8_t hash[32], enum child *kind) {
    while (walk->depth > 0) {
        struct frame *frame = &walk->frames[walk->depth - 1];
        if (!frame->in_right) {
            copy(frame->left, hash);
            frame->left_kind = *kind;
            frame->in_right = 1;
            return 0;
        }
        if (frame->left_kind == CHILD_EMPTY && *kind == CHILD_EMPTY) {
            return SHREWD_UNPROVEN_NO_LEAVES;
        }
        if ((frame->left_kind == CHILD_EMPTY && *kind == CHILD_LEAF) ||
            (frame->left_kind == CHILD_LEAF && *kind == CHILD_EMPTY)) {
            return SHREWD_UNPROVEN_ONE_LEAF;
        }
        uint8_t parent[32];
        shr_proof_sha256_node(parent, SHREWD_PROOF_INNER_BYTE, frame->left, hash);
        copy(hash, parent);
        *kind = CHILD_OTHER;
        walk->depth--;
    }
    return 0;
}

/* The whole tree; `hash` becomes its root's. */
static int read_tree(struct walk *walk, uint8_t hash[32], size_t n) {
    do {
        size_t lo = 0, hi = n;
        if (walk->depth > 0) {
            const struct frame *frame = &walk->frames[walk->depth - 1];
            lo = frame->in_right ? frame->mid : frame->lo;
            hi = frame->in_right ? frame->hi : frame->mid;
        }
        enum child kind;
        int inner;
        int code = read_node(walk, hash, &kind, &inner, lo, hi);
        if (code == 0 && !inner) {
            code = close_nodes(walk, hash, &kind);
        }
        if (code != 0) {
            return code;
        }
    } while (walk->depth > 0);
    return walk->at == walk->len ? 0 : SHREWD_UNPROVEN_TRAILING;
}

int shrewd_proof_verify(const uint8_t root[32], const uint8_t *proof, size_t proof_len,
                        struct shrewd_claim *claims, size_t n, size_t *at) {
    struct walk walk;
    walk.proof = proof;
    walk.len = proof_len;
    walk.at = 0;
    walk.claims = claims;
    walk.untrue = 0;
    walk.untrue_claim = 0;
    walk.depth = 0;
    uint8_t hash[32];
    int code = 0;
    if (proof_len == 0) {
        code = SHREWD_UNPROVEN_TRUNCATED;
    } else if (proof[walk.at++] != SHREWD_PROOF_VERSION) {
        code = SHREWD_UNPROVEN_VERSION;
    }
    if (code == 0) {
        sort(claims, n);
        code = read_tree(&walk, hash, n);
    }
    if (code == 0 && compare(hash, root) != 0) {
        code = SHREWD_UNPROVEN_ROOT;
    }
    size_t where = walk.at;
    if (code == 0 && walk.untrue != 0) {
        code = walk.untrue;
        where = walk.untrue_claim;
    }
    if (at != NULL) {
        *at = where;
    }
    return code;
}

const char *shrewd_proof_strerror(int code) {
    switch (code) {
#define SHREWD_X(name, number, text)                                                               \
    case number:                                                                                   \
        return text;
        SHREWD_UNPROVEN_MAP(SHREWD_X)
#undef SHREWD_X
    case 0:
        return "proven";
    default:
        return "unknown error";
    }
}
