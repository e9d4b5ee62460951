/* shrewd/proof.h: checking that a state holds a value under a key, or holds no such key, with
 * nothing but the state's root. The state's tree, the encoding of proofs and why they can be
 * trusted: doc/state-root.md.
 *
 * This header and src/proof/ need no library, no memory from the heap and no operating system:
 * a wallet can compile them for any platform, wasm32 included.
 *
 *     cc -c -Iinclude -Isrc src/proof/sha256.c src/proof/verify.c
 *
 * Pure functions; any thread. shrewd_proof_verify uses about 20 KiB of stack.
 */
#ifndef SHREWD_PROOF_H
#define SHREWD_PROOF_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A proof's first byte. */
#define SHREWD_PROOF_VERSION 1

/* Then the tree in pre-order, each node a tag and what follows it. */
enum shrewd_proof_tag {
    SHREWD_PROOF_EMPTY = 0, /* nothing */
    SHREWD_PROOF_HASH = 1,  /* the hash of a subtree that no claim enters, 32 bytes */
    SHREWD_PROOF_LEAF = 2,  /* hash of a key, 32 bytes, and hash of its value, 32 bytes */
    SHREWD_PROOF_INNER = 3, /* its left child (next bit of the key's hash is 0), then its right */
};
#define SHREWD_PROOF_DEPTH_MAX 256 /* bits of a key's hash: no inner node is deeper than 255 */

/* What is hashed begins with one of these; so no leaf can pass for an inner node. */
#define SHREWD_PROOF_LEAF_BYTE 0x00  /* hash of the key, hash of the value */
#define SHREWD_PROOF_INNER_BYTE 0x01 /* hash of the left child, hash of the right one */

/* X(NAME, code, text) */
#define SHREWD_UNPROVEN_MAP(X)                                                                     \
    X(TRUNCATED, -1, "the proof ends in the middle of a node")                                     \
    X(TRAILING, -2, "the proof goes on after its tree")                                            \
    X(VERSION, -3, "the proof is not of a version known here")                                     \
    X(TAG, -4, "a node has an unknown tag")                                                        \
    X(DEPTH, -5, "an inner node lies deeper than keys have bits")                                  \
    X(NO_LEAVES, -6, "an inner node has two empty children")                                       \
    X(ONE_LEAF, -7, "an inner node holds a single leaf, which should be in its place")             \
    X(STRAY_LEAF, -8, "a leaf does not lie on the path of its key")                                \
    X(NEEDLESS, -9, "a subtree is spelt out that no claim enters")                                 \
    X(HIDDEN, -10, "a subtree that a claim enters is not spelt out")                               \
    X(ZERO_HASH, -11, "an empty subtree is written as a hash")                                     \
    X(ROOT, -12, "the proof belongs to another root")                                              \
    X(OTHER_VALUE, -13, "the key has another value")                                               \
    X(IS_ABSENT, -14, "the key is absent, but a value is claimed")                                 \
    X(IS_PRESENT, -15, "the key has a value, but is claimed to be absent")

enum shrewd_unproven {
#define SHREWD_X(name, code, text) SHREWD_UNPROVEN_##name = (code),
    SHREWD_UNPROVEN_MAP(SHREWD_X)
#undef SHREWD_X
};

/* "The key has this value", or "there is no such key". */
struct shrewd_claim {
    const uint8_t *key;
    size_t key_len;
    const uint8_t *value; /* not looked at when absent */
    size_t value_len;
    int absent;

    /* Room that shrewd_proof_verify works in; nothing to be set or read by callers. */
    uint8_t key_hash[32];
    size_t nth;
};

/* Whether the proof shows that the state with this root makes every one of the n claims true.
 * The claims may come in any order, and a key several times; n may be 0. A proof is for exactly
 * the keys claimed: one that says more, or says it in another way, is refused, so there is one
 * proof for a root and a set of keys, and no other bytes pass.
 * Returns 0, or a SHREWD_UNPROVEN_ code. *at (may be NULL) is then, for OTHER_VALUE, IS_ABSENT and
 * IS_PRESENT, the number of a claim that is not true; for the others, how far the proof was read.
 */
int shrewd_proof_verify(const uint8_t root[32], const uint8_t *proof, size_t proof_len,
                        struct shrewd_claim *claims, size_t n, size_t *at);

/* What a code means; "unknown error" for any other number. Static storage. */
const char *shrewd_proof_strerror(int code);

#ifdef __cplusplus
}
#endif

#endif
