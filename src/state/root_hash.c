/* The state tree's hashes: by the CPU's SHA instructions (root_sha.c), else by OpenSSL's low-level
 * calls, as in chain/hash.c. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "state/root_sha.h"

#include "base/endian.h"

#include <assert.h>
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

void shr_root_hash_messages(const struct shr_root_message *messages, size_t n) {
    if (shr_root_sha_able()) {
        shr_root_sha_messages(messages, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        shr_sha256(messages[i].out, messages[i].bytes);
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

static const struct shr_hash empty;

/* Some leaves of a bucket, and the subtrees that they make at one depth, in order. The hash of a
 * subtree is in the place of its first leaf. */
struct level {
    const struct shr_root_leaf *leaves;
    unsigned n;
    struct subtree {
        uint16_t bits; /* shared with the subtree before; of the first: none */
        uint8_t leaf;  /* its first, among the bucket's */
        bool single;
    } all[SHR_ROOT_BUCKET_MAX];
    struct shr_hash hashes[SHR_ROOT_BUCKET_MAX];
};

/* From the subtrees whose tops are at depth `bit` + 1 to those at `bit`. */
static void climb(struct level *level, unsigned bit) {
    struct shr_root_job jobs[SHR_ROOT_BUCKET_MAX];
    size_t n_jobs = 0;
    unsigned made = 0;
    for (unsigned i = 0; i < level->n; i++) {
        struct subtree subtree = level->all[i];
        struct shr_hash *hash = &level->hashes[subtree.leaf];
        if (i + 1 < level->n && level->all[i + 1].bits == bit) {
            const struct shr_hash *right = &level->hashes[level->all[++i].leaf];
            jobs[n_jobs++] = (struct shr_root_job){hash, right, hash};
            subtree.single = false;
        } else if (!subtree.single) {
            bool right = bit_of(&level->leaves[subtree.leaf].key, bit);
            jobs[n_jobs++] = right ? (struct shr_root_job){&empty, hash, hash}
                                   : (struct shr_root_job){hash, &empty, hash};
        }
        level->all[made++] = subtree;
    }
    level->n = made;
    shr_root_hash(SHR_ROOT_TAG_INNER, jobs, n_jobs);
}

/* Adds leaves from `from` to `to`. */
static void add_leaves(struct level *level, size_t from, size_t to) {
    for (size_t i = from; i < to; i++) {
        unsigned bits = 0;
        if (level->n > 0) {
            bits = common_bits(&level->leaves[level->all[level->n - 1].leaf].key,
                               &level->leaves[i].key);
        }
        level->all[level->n++] = (struct subtree){(uint16_t)bits, (uint8_t)i, true};
    }
}

/* From the leaves to the subtrees `depth` bits down. */
static void climb_to(struct level *level, unsigned depth) {
    struct shr_root_job jobs[SHR_ROOT_BUCKET_MAX];
    unsigned at = depth;
    for (unsigned i = 0; i < level->n; i++) {
        const struct shr_root_leaf *leaf = &level->leaves[level->all[i].leaf];
        jobs[i] =
            (struct shr_root_job){&leaf->key, &leaf->value, &level->hashes[level->all[i].leaf]};
        at = i > 0 && level->all[i].bits >= at ? level->all[i].bits + 1u : at;
    }
    shr_root_hash(SHR_ROOT_TAG_LEAF, jobs, level->n);
    while (at > depth) {
        climb(level, --at);
    }
}

void shr_root_leaves_top(struct shr_root_top *out, const struct shr_root_leaf *leaves, size_t n,
                         unsigned depth) {
    struct level level;
    assert(n <= SHR_ROOT_BUCKET_MAX);
    level.leaves = leaves;
    level.n = 0;
    *out = (struct shr_root_top){0};
    if (n > 0) {
        add_leaves(&level, 0, n);
        climb_to(&level, depth);
        *out = (struct shr_root_top){level.hashes[0], level.all[0].single};
    }
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

/* The top, from the four subtrees two levels further down. */
static void top_of_groups(struct shr_root_top *out,
                          const struct shr_root_top groups[SHR_ROOT_GROUPS]) {
    struct shr_root_top all[2 * SHR_ROOT_GROUPS - 1];
    struct shr_root_job jobs[SHR_ROOT_GROUPS / 2];
    memcpy(all + SHR_ROOT_GROUPS - 1, groups, SHR_ROOT_GROUPS * sizeof *groups);
    for (size_t width = SHR_ROOT_GROUPS / 2; width > 0; width /= 2) {
        size_t n = plan_level(all, width - 1, 2 * width - 1, jobs);
        shr_root_hash(SHR_ROOT_TAG_INNER, jobs, n);
    }
    *out = all[0];
}

void shr_root_inner_top(struct shr_root_top *out, struct shr_root_inner *inner, uint16_t changed) {
    struct shr_root_top all[SHR_ROOT_NODES];
    struct shr_root_job jobs[SHR_ROOT_SLOTS / 2];
    size_t group_at = SHR_ROOT_GROUPS - 1, half_at = 2 * SHR_ROOT_GROUPS - 1, n = 0;
    for (size_t g = 0; g < SHR_ROOT_GROUPS; g++) {
        if ((changed >> (4 * g) & 0xf) != 0) {
            inner->known &= (uint8_t) ~(1u << g);
        }
        if ((inner->known >> g & 1) == 0) {
            memcpy(all + SHR_ROOT_SLOTS - 1 + 4 * g, inner->slots + 4 * g, 4 * sizeof *all);
            n += plan_level(all, half_at + 2 * g, half_at + 2 * g + 2, jobs + n);
        }
    }
    shr_root_hash(SHR_ROOT_TAG_INNER, jobs, n);
    n = 0;
    for (size_t g = 0; g < SHR_ROOT_GROUPS; g++) {
        if ((inner->known >> g & 1) == 0) {
            n += plan_level(all, group_at + g, group_at + g + 1, jobs + n);
        }
    }
    shr_root_hash(SHR_ROOT_TAG_INNER, jobs, n);
    for (size_t g = 0; g < SHR_ROOT_GROUPS; g++) {
        if ((inner->known >> g & 1) == 0) {
            inner->groups[g] = all[group_at + g];
        }
    }
    inner->known = SHR_ROOT_GROUPS_ALL;
    top_of_groups(out, inner->groups);
}

void shr_root_bucket_top(struct shr_root_top *out, struct shr_root_page *page) {
    struct shr_root_top *groups = page->groups;
    struct level level;
    if (groups == NULL) {
        shr_root_page_top(out, page);
        return;
    }
    level.leaves = page->of.leaves;
    level.n = 0;
    for (size_t at = 0, end; at < page->n; at = end) {
        unsigned group = shr_root_group(page, &page->of.leaves[at].key);
        for (end = at + 1;
             end < page->n && shr_root_group(page, &page->of.leaves[end].key) == group;) {
            end++;
        }
        if ((page->known >> group & 1) == 0) {
            add_leaves(&level, at, end);
        }
    }
    climb_to(&level, page->depth * SHR_ROOT_LEVELS + 2);
    for (unsigned i = 0; i < level.n; i++) {
        unsigned leaf = level.all[i].leaf;
        groups[shr_root_group(page, &page->of.leaves[leaf].key)] =
            (struct shr_root_top){level.hashes[leaf], level.all[i].single};
    }
    page->known = SHR_ROOT_GROUPS_ALL;
    top_of_groups(out, groups);
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
    return shr_root_key_order(&left->key, &right->key);
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
