/* shrewd/prove.h: values, and answers of views, with a proof of them against the state root; and
 * checking such an answer without any state.
 *
 * What is proven, the encoding of a proof, and why it can be trusted: doc/state-root.md. Values
 * alone are checked by shrewd_proof_verify of shrewd/proof.h, which needs no library; an answer of
 * a view is checked here, since the module runs once more, on nothing but what it is proven to
 * have read.
 *
 * Conventions, errors and out of memory as in shrewd/shrewd.h. Lengths are in bytes, hashes and
 * roots 32 bytes: roots and module hashes as SHA-256 gives them, block hashes in internal order.
 *
 * Threads. Proofs may be made by any number of threads while another one indexes: each proof is of
 * one consistent version. A verifier may be used by any number of threads at once. What runs a
 * module (shrewd_prove_view, shrewd_verify_view) needs 8 MiB of stack.
 */
#ifndef SHREWD_PROVE_H
#define SHREWD_PROVE_H

#include "shrewd/proof.h"
#include "shrewd/shrewd.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SHREWD_PROVE_KEYS_MAX 10000 /* of one proof */

struct shrewd_key {
    const uint8_t *data; /* may be NULL when len is 0 */
    size_t len;
};

/* What some keys hold after a block, or that they are absent, and the proof of it. Its memory is
 * the proof's own, and goes with it. */
struct shrewd_proof {
    struct shrewd_block block;   /* after which it holds, and its state root */
    struct shrewd_claim *claims; /* of each key, in the order asked */
    size_t n;
    const uint8_t *proof; /* the bytes that shrewd_proof_verify takes with these claims */
    size_t proof_len;
};

/* The values of n keys (SHREWD_PROVE_KEYS_MAX at most; a key may come twice) after the block of
 * `height`, or SHREWD_LATEST, with one proof of them all. The keys are copied. Free *out with
 * shrewd_proof_free. SHREWD_NO_ROOT: the database, or a fork, keeps no state root; SHREWD_LIMIT:
 * too many keys; SHREWD_ABOVE_TIP, SHREWD_BELOW_START, SHREWD_PRUNED: that height is not held;
 * SHREWD_NOT_FOUND: nothing is indexed. */
int shrewd_prove(struct shrewd *shrewd, struct shrewd_proof **out, const struct shrewd_key *keys,
                 size_t n, uint32_t height, struct shrewd_error *err);
void shrewd_proof_free(struct shrewd_proof *proof); /* NULL is fine */

/* An answer of a view, and what it read for it, each key once, proven. Memory as above. To check
 * one that came from elsewhere, fill it in: of reads.block height and root are looked at, and of
 * the claims what shrewd/proof.h says. */
struct shrewd_view_proof {
    uint8_t module_hash[32]; /* SHA-256 of the module's bytes */
    const char *view;
    const uint8_t *input;
    size_t input_len;
    const uint8_t *answer;
    size_t answer_len;
    struct shrewd_proof reads;
};

/* As shrewd_view, with a proof. The view runs in a new instance, whatever views do otherwise.
 * Free *out with shrewd_view_proof_free. Errors of both; SHREWD_LIMIT also when it reads more than
 * SHREWD_PROVE_KEYS_MAX keys, or more than 64 MiB of keys and values. */
int shrewd_prove_view(struct shrewd *shrewd, struct shrewd_view_proof **out, const char *view,
                      const uint8_t *input, size_t input_len, uint32_t height,
                      struct shrewd_error *err);
void shrewd_view_proof_free(struct shrewd_view_proof *proof); /* NULL is fine; only what
                                                                 shrewd_prove_view made */

/* A module, ready to check answers of its views: all that a light client needs besides a root it
 * trusts. */
struct shrewd_verifier;

/* Compiles the module at `module_path` (.wasm or .wat). cache_path: a folder where machine code is
 * kept; NULL: nowhere. Of `limits` (NULL: the defaults) time_ms, memory_max, result_max and
 * log_lines_max count; memory_max should be no less than where the answers are made. Copies what it
 * needs. SHREWD_MODULE: it cannot be used. */
int shrewd_verifier_open(struct shrewd_verifier **out, const char *module_path,
                         const char *cache_path, const struct shrewd_view_options *limits,
                         struct shrewd_error *err);
void shrewd_verifier_close(struct shrewd_verifier *verifier); /* NULL is fine */

/* Whether the view of this very module gives this answer after the block of `height`, whose state
 * root is `root32`: both from where the caller trusts them, not from who made the proof. Reads and
 * answer must be exactly what the view does. Writes to the room in proof->reads.claims, and to
 * nothing else: one thread at a time for one proof.
 * SHREWD_UNPROVEN: they do not follow; the message says which part: root or height, the module, a
 * read that is not proven, one that is missing or not done, the answer. SHREWD_TIMEOUT,
 * SHREWD_LIMIT, SHREWD_NO_MEMORY: the view met a limit here, which says nothing of the proof. */
int shrewd_verify_view(struct shrewd_verifier *verifier, const uint8_t root32[32], uint32_t height,
                       const struct shrewd_view_proof *proof, struct shrewd_error *err);

#ifdef __cplusplus
}
#endif

#endif
