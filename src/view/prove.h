/* prove.h: a view's answer with a proof of everything it read, and the check of such a proof by
 * somebody who has the module and a state root, and no state. For users: doc/state-root.md. */
#ifndef SHR_VIEW_PROVE_H
#define SHR_VIEW_PROVE_H

#include "shrewd/proof.h"
#include "state/prove.h"
#include "view/reads.h"
#include "view/view.h"

#define SHR_VIEW_READS_MAX SHR_PROVE_KEYS_MAX         /* different keys */
#define SHR_VIEW_READS_BYTES_MAX ((size_t)64u << 20u) /* of them and their values */

/* {0} is empty; shr_view_proved_free. */
struct shr_view_proved {
    struct shr_hash module_hash; /* SHA-256 of the module */
    struct shr_buf answer;
    struct shr_reads keys;    /* in the order they were read first */
    struct shr_proved proved; /* of these keys, and the block */
};

/* Runs call->view in a new instance, in which every read is seen, and proves what it read in the
 * same picture of the state. Errors as shr_view_open, shr_instance_view and shr_prove;
 * SHREWD_LIMIT when it reads more than fits a proof. */
int shr_view_prove(struct shr_view_proved *out, struct shr_state *state, struct shr_module *module,
                   const struct shr_instance_limits *limits, const struct shr_view_call *call,
                   const struct shr_deadline *deadline, struct shrewd_error *err);
void shr_view_proved_free(struct shr_view_proved *proved);

/* "The view of the module answers this at the height, having read these keys, and only them."
 * Nothing of it is believed. */
struct shr_view_claim {
    const uint8_t *module_hash; /* 32 bytes */
    const char *view;
    struct shr_bytes input;
    uint32_t height;
    struct shr_bytes answer;
    struct shrewd_claim *reads; /* also the room that verifying works in */
    size_t n;
    struct shr_bytes proof;
};

/* Whether the claims follow from the root; else SHREWD_UNPROVEN, and the message says which one
 * does not, or what is wrong with the proof. */
int shr_proof_check(const uint8_t root[32], struct shr_bytes proof, struct shrewd_claim *claims,
                    size_t n, struct shrewd_error *err);
/* The same of a view's answer: runs the view in a new instance on nothing but the proven reads.
 * SHREWD_UNPROVEN: the module is another one, the reads are not proven, one that the view does is
 * not among them, or one among them it does not do, it fails, or answers otherwise.
 * SHREWD_TIMEOUT, SHREWD_LIMIT, SHREWD_NO_MEMORY, SHREWD_STOPPED say nothing of the proof. */
int shr_view_verify(struct shr_module *module, const struct shr_instance_limits *limits,
                    const uint8_t root[32], const struct shr_view_claim *claim,
                    const struct shr_deadline *deadline, struct shrewd_error *err);

#endif
