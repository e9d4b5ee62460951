/* views.h: the service that answers views and previews: fresh or warm instances, a result cache,
 * limits, verification. Any thread may call; each needs SHR_GUEST_THREAD_STACK.
 *
 * Stateful mode keeps warm instances, each bound to one version of the state (height and block
 * hash) and used only for it, so that what a guest keeps in memory can never answer for another
 * version (view/pool.h). A call takes an idle instance of its version or makes one; calls run in
 * parallel. When a reused instance fails inside the guest, or there is no memory for one more, the
 * call runs in a new one: being warm never makes a call fail.
 *
 * Each call sees one consistent picture: no part of a block that is being committed. For users:
 * doc/views.md.
 */
#ifndef SHR_VIEW_VIEWS_H
#define SHR_VIEW_VIEWS_H

#include "view/prove.h"

enum shr_views_mode { SHR_VIEWS_STATEFUL, SHR_VIEWS_FRESH };

struct shr_views_options {
    enum shr_views_mode mode;
    uint64_t pool_bytes;      /* memory of all idle warm instances; 0: 256 MiB */
    uint64_t results_bytes;   /* result cache; in fresh mode 0: 64 MiB; in stateful mode 0: off */
    bool results_off;         /* no result cache in fresh mode either */
    uint32_t verify_every;    /* every Nth stateful answer is computed again, fresh; 0: never */
    uint32_t time_ms;         /* per view; 0: 10000 */
    uint32_t preview_time_ms; /* per preview; 0: 30000 */
    uint64_t memory_max;      /* bytes an instance may grow to; 0: 1 GiB */
    size_t result_max;        /* 0: 64 MiB */
    uint32_t log_lines_max;   /* per call; 0: 100 */
};

struct shr_views;

/* Borrows state and module, which outlive it. Starts the verifier's thread when asked to verify. */
int shr_views_new(struct shr_views **out, struct shr_state *state, struct shr_module *module,
                  const struct shr_views_options *options, struct shrewd_error *err);
/* No call may be running. */
void shr_views_free(struct shr_views *views);

/* Runs the view over the state after call->height. Replaces `out`. `cancel` may be NULL; once it
 * is true the call ends soon. SHREWD_TIMEOUT and SHREWD_LIMIT name the limit with its flag;
 * SHREWD_STOPPED: cancelled; SHREWD_ABOVE_TIP, SHREWD_BELOW_START, SHREWD_NOT_FOUND (nothing is
 * indexed yet), SHREWD_NO_VIEW, SHREWD_TRAP, SHREWD_GUEST. */
int shr_views_call(struct shr_views *views, struct shr_buf *out, const struct shr_view_call *call,
                   const _Atomic bool *cancel, struct shrewd_error *err);
/* The same in a new instance, with a proof of everything it read: as shr_view_prove. */
int shr_views_prove(struct shr_views *views, struct shr_view_proved *out,
                    const struct shr_view_call *call, const _Atomic bool *cancel,
                    struct shrewd_error *err);
/* As shr_view_preview. Never from a warm instance, never kept. */
int shr_views_preview(struct shr_views *views, struct shr_buf *out, struct shr_bytes block,
                      const struct shr_view_call *call, const _Atomic bool *cancel,
                      struct shrewd_error *err);
/* The answer when the result cache holds it: never runs a guest, needs no large stack. False when
 * it does not. */
bool shr_views_cached(struct shr_views *views, struct shr_buf *out,
                      const struct shr_view_call *call);
/* The answer when the result cache or a warm instance has it within a few milliseconds; needs
 * SHR_GUEST_THREAD_STACK. False when not, and when the view fails: shr_views_call will say why. */
bool shr_views_quick(struct shr_views *views, struct shr_buf *out,
                     const struct shr_view_call *call);
/* The tip changed: instances and answers of versions that are gone make room. Cheap. */
void shr_views_on_tip(struct shr_views *views);

struct shr_views_stats {
    uint64_t calls;    /* views: fresh + warm + cached + those that failed */
    uint64_t fresh;    /* answered by a new instance */
    uint64_t warm;     /* answered by a reused one */
    uint64_t cached;   /* answered by the result cache */
    uint64_t previews; /* that answered */
    uint64_t retried;  /* run again, fresh, since a reused instance failed */
    uint64_t timeouts, traps, limits, cancelled; /* failures of views and previews */
    uint64_t idle_instances, idle_bytes, evicted;
    uint64_t result_entries, result_bytes;
    uint64_t verified, differed, verify_dropped;
};
void shr_views_stats(struct shr_views *views, struct shr_views_stats *out);

/* One call with its host functions timed, which costs some itself: for `shrewd bench`. Never
 * answered by the result cache. */
struct shr_views_cost {
    uint64_t total_ns;
    uint64_t host_ns; /* of it in host functions; the rest is the guest and the way to it */
    uint64_t host_calls;
};
int shr_views_measure(struct shr_views *views, struct shr_buf *out,
                      const struct shr_view_call *call, struct shr_views_cost *cost,
                      struct shrewd_error *err);

#endif
