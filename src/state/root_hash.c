/* The state tree's hashes: by the CPU's SHA instructions (root_sha.c), else by OpenSSL's low-level
 * calls, as in chain/hash.c. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "state/root_sha.h"

#include "base/endian.h"

#include <assert.h>
#include <limits.h>
#include <openssl/sha.h>
#include <string.h>

void shr_root_hash_portable(uint8_t tag, const struct shr_root_job *jobs, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint8_t message[1 + 2 * sizeof(struct shr_hash)];
        message[0] = tag;
        memcpy(message + 1, jobs[i].left->b, sizeof jobs[i].left->b);
        memcpy(message + 33, jobs[i].right->b, sizeof jobs[i].right->b);
        SHA256_CTX ctx;
        SHA256_Init(&ctx);
        SHA256_Update(&ctx, message, sizeof message);
        SHA256_Final(jobs[i].out->b, &ctx);
    }
}

void shr_root_hash(uint8_t tag, const struct shr_root_job *jobs, size_t n) {
    if (shr_root_sha_able()) {
        shr_root_sha(tag, jobs, n);
    } else {
        shr_root_hash_portable(tag, jobs, n);
    }
}

/* How many bits two different keys begin with in common. */
static unsigned common_bits(const struct shr_hash *a, const struct shr_hash *b) {
    for (unsigned i = 0; i < sizeof a->b; i += 8) {
        uint64_t differ = shr_get_be64(a->b + i) ^ shr_get_be64(b->b + i);
        if (differ != 0) {
            return i * 8 + (unsigned)__builtin_clzll(differ);
        }
    }
    assert(!"two leaves of one key");
    return 0;
}

static bool bit_of(const struct shr_hash *key, unsigned bit) {
    return (key->b[bit / 8] >> (7 - bit % 8) & 1) != 0;
}

/* The subtrees of a bucket whose tops are at one depth, in order. */
struct level {
    unsigned n;
    struct shr_root_top tops[SHR_ROOT_BUCKET_MAX];
    unsigned leaf[SHR_ROOT_BUCKET_MAX]; /* its first */
    unsigned bits[SHR_ROOT_BUCKET_MAX]; /* shared with the subtree before; the first: none */
};

static const struct shr_hash empty;

/* From the subtrees whose tops are at depth `bit` + 1 to those at `bit`. */
static void climb(struct level *to, const struct level *from, const struct shr_root_leaf *leaves,
                  unsigned bit) {
    struct shr_root_job jobs[SHR_ROOT_BUCKET_MAX];
    size_t n_jobs = 0;
    to->n = 0;
    for (unsigned i = 0; i < from->n; i++) {
        const struct shr_root_top *top = &from->tops[i];
        unsigned made = to->n++;
        to->leaf[made] = from->leaf[i];
        to->bits[made] = from->bits[i];
        to->tops[made].single = false;
        if (i + 1 < from->n && from->bits[i + 1] == bit) {
            const struct shr_hash *right = &from->tops[++i].hash;
            jobs[n_jobs++] = (struct shr_root_job){&top->hash, right, &to->tops[made].hash};
        } else if (top->single) {
            to->tops[made] = *top;
        } else if (bit_of(&leaves[from->leaf[i]].key, bit)) {
            jobs[n_jobs++] = (struct shr_root_job){&empty, &top->hash, &to->tops[made].hash};
        } else {
            jobs[n_jobs++] = (struct shr_root_job){&top->hash, &empty, &to->tops[made].hash};
        }
    }
    shr_root_hash(SHR_ROOT_TAG_INNER, jobs, n_jobs);
}

void shr_root_leaves_top(struct shr_root_top *out, const struct shr_root_leaf *leaves, size_t n,
                         unsigned depth) {
    struct shr_root_job jobs[SHR_ROOT_BUCKET_MAX];
    struct level levels[2];
    struct level *now = &levels[0], *next = &levels[1];
    unsigned deepest = depth;
    assert(n <= SHR_ROOT_BUCKET_MAX);
    if (n == 0) {
        *out = (struct shr_root_top){0};
        return;
    }
    now->n = (unsigned)n;
    for (unsigned i = 0; i < n; i++) {
        jobs[i] = (struct shr_root_job){&leaves[i].key, &leaves[i].value, &now->tops[i].hash};
        now->tops[i].single = true;
        now->leaf[i] = i;
        now->bits[i] = UINT_MAX;
        if (i > 0) {
            now->bits[i] = common_bits(&leaves[i - 1].key, &leaves[i].key);
            deepest = now->bits[i] > deepest ? now->bits[i] : deepest;
        }
    }
    shr_root_hash(SHR_ROOT_TAG_LEAF, jobs, n);
    for (unsigned bit = deepest + 1; now->n > 1 || (bit > depth && !now->tops[0].single);) {
        climb(next, now, leaves, --bit);
        struct level *made = next;
        next = now;
        now = made;
    }
    *out = now->tops[0];
}

/* Which of the nodes of one level are to be hashed; the others are empty, or the one leaf below
 * them. */
static size_t plan_level(struct shr_root_top *all, size_t from, size_t to,
                         struct shr_root_job *jobs) {
    size_t n = 0;
    for (size_t i = from; i < to; i++) {
        const struct shr_root_top *left = &all[2 * i + 1], *right = &all[2 * i + 2];
        bool no_left = shr_root_empty(left), no_right = shr_root_empty(right);
        all[i] = (struct shr_root_top){0};
        if (no_left && (no_right || right->single)) {
            all[i] = *right;
        } else if (no_right && left->single) {
            all[i] = *left;
        } else {
            jobs[n++] = (struct shr_root_job){&left->hash, &right->hash, &all[i].hash};
        }
    }
    return n;
}

void shr_root_nodes(struct shr_root_top all[SHR_ROOT_NODES]) {
    struct shr_root_job jobs[SHR_ROOT_SLOTS / 2];
    for (size_t width = SHR_ROOT_SLOTS / 2; width > 0; width /= 2) {
        size_t n = plan_level(all, width - 1, 2 * width - 1, jobs);
        shr_root_hash(SHR_ROOT_TAG_INNER, jobs, n);
    }
}

void shr_root_inner_top(struct shr_root_top *out, struct shr_root_inner *inner, uint16_t changed) {
    struct shr_root_top all[SHR_ROOT_NODES];
    struct shr_root_job jobs[SHR_ROOT_SLOTS / 2];
    size_t group_at = SHR_ROOT_GROUPS - 1, half_at = 2 * SHR_ROOT_GROUPS - 1;
    for (size_t g = 0; g < SHR_ROOT_GROUPS; g++) {
        bool known = (inner->known >> g & 1) != 0 && (changed >> (4 * g) & 0xf) == 0;
        if (!known) {
            memcpy(all + SHR_ROOT_SLOTS - 1 + 4 * g, inner->slots + 4 * g, 4 * sizeof *all);
            size_t n = plan_level(all, half_at + 2 * g, half_at + 2 * g + 2, jobs);
            shr_root_hash(SHR_ROOT_TAG_INNER, jobs, n);
            n = plan_level(all, group_at + g, group_at + g + 1, jobs);
            shr_root_hash(SHR_ROOT_TAG_INNER, jobs, n);
            inner->groups[g] = all[group_at + g];
        }
    }
    inner->known = (1u << SHR_ROOT_GROUPS) - 1;
    memcpy(all + group_at, inner->groups, sizeof inner->groups);
    for (size_t width = SHR_ROOT_GROUPS / 2; width > 0; width /= 2) {
        size_t n = plan_level(all, width - 1, 2 * width - 1, jobs);
        shr_root_hash(SHR_ROOT_TAG_INNER, jobs, n);
    }
    *out = all[0];
}

void shr_root_page_top(struct shr_root_top *out, const struct shr_root_page *page) {
    if (!page->is_inner) {
        shr_root_leaves_top(out, page->of.leaves, page->n, page->depth * SHR_ROOT_LEVELS);
        return;
    }
    struct shr_root_top all[SHR_ROOT_NODES];
    memcpy(all + SHR_ROOT_SLOTS - 1, page->of.inner->slots, sizeof page->of.inner->slots);
    shr_root_nodes(all);
    *out = all[0];
}

int shr_root_leaf_order(const void *a, const void *b) {
    const struct shr_root_leaf *left = a, *right = b;
    uint64_t x = shr_get_be64(left->key.b), y = shr_get_be64(right->key.b);
    return x != y ? (x < y ? -1 : 1) : memcmp(left->key.b, right->key.b, sizeof left->key.b);
}

void shr_root_top_of(struct shr_root_top *out, const struct shr_root_leaf *leaves, size_t n,
                     unsigned depth) {
    if (n <= SHR_ROOT_BUCKET_MAX) {
        shr_root_leaves_top(out, leaves, n, depth);
        return;
    }
    struct shr_root_top all[SHR_ROOT_NODES] = {{{{0}}, false}};
    for (size_t at = 0, end; at < n; at = end) {
        unsigned nibble = shr_root_nibble(&leaves[at].key, depth / SHR_ROOT_LEVELS);
        for (end = at + 1;
             end < n && shr_root_nibble(&leaves[end].key, depth / SHR_ROOT_LEVELS) == nibble;) {
            end++;
        }
        shr_root_top_of(&all[SHR_ROOT_SLOTS - 1 + nibble], leaves + at, end - at,
                        depth + SHR_ROOT_LEVELS);
    }
    shr_root_nodes(all);
    *out = all[0];
}
