/* verify.h: answers of warm instances computed once more, fresh, in the background: a guest whose
 * answers depend on what it was asked before is found out.
 *
 * A thread of its own; a bounded queue, past which samples are dropped: calls never wait for it.
 * The sample keeps the reader that the answer was read from, so both see the same version.
 */
#ifndef SHR_VIEW_VERIFY_H
#define SHR_VIEW_VERIFY_H

#include "view/view.h"

struct shr_verify;

struct shr_verify_options {
    struct shr_module *module;
    struct shr_instance_limits limits;
    uint32_t time_ms; /* of one fresh run */
    /* The fresh answer of this view is another one; it was logged. On the verifier's thread. */
    void (*differs)(void *ctx, const char *view);
    void *ctx;
};

struct shr_verify_stats {
    uint64_t verified; /* compared, or failed fresh */
    uint64_t differed;
    uint64_t dropped; /* not compared: the queue was full, or the fresh run took too long */
};

int shr_verify_new(struct shr_verify **out, const struct shr_verify_options *options,
                   struct shrewd_error *err);
/* Ends the run in hand, closes the readers. NULL is fine. */
void shr_verify_free(struct shr_verify *verify);

/* Queues a copy of the call and of its answer's hash. Takes over the reader. */
void shr_verify_submit(struct shr_verify *verify, struct shr_reader *reader,
                       const struct shr_version *at, const struct shr_view_call *call,
                       struct shr_bytes answer);
void shr_verify_stats(struct shr_verify *verify, struct shr_verify_stats *out);

#endif
