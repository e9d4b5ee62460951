/* views.h: the service that answers views and previews: fresh or warm instances, a result cache,
 * limits, verification. What view.h does once, this does for a server. Any thread may call.
 *
 * Stateful mode keeps warm instances, each bound to one version of the state (height and block
 * hash) and used only for it, so that what a guest keeps in memory can never answer for another
 * version. A call takes an idle instance of its version or makes one; calls run in parallel. When
 * none can be had it runs fresh; it never fails for that.
 */
#ifndef SHR_VIEW_VIEWS_H
#define SHR_VIEW_VIEWS_H

#include "view/view.h"
#include "wasm/instance.h"

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

/* As shr_view_run, on the service's terms (call->limits are not looked at). `cancel` may be NULL.
 * SHREWD_LIMIT: a limit, named with its flag; SHREWD_STOPPED: cancelled. */
int shr_views_call(struct shr_views *views, struct shr_buf *out, const struct shr_view_call *call,
                   const _Atomic bool *cancel, struct shrewd_error *err);
int shr_views_preview(struct shr_views *views, struct shr_buf *out, struct shr_bytes block,
                      const struct shr_view_call *call, const _Atomic bool *cancel,
                      struct shrewd_error *err);
/* The answer when the result cache holds it: never runs a guest. False when it does not. */
bool shr_views_cached(struct shr_views *views, struct shr_buf *out,
                      const struct shr_view_call *call);
/* The tip changed: instances and answers of versions that are gone make room. Cheap. */
void shr_views_on_tip(struct shr_views *views);

struct shr_views_stats {
    uint64_t calls, fresh, warm, cached, previews;
    uint64_t timeouts, traps, limits, cancelled;
    uint64_t idle_instances, idle_bytes, evicted;
    uint64_t result_entries, result_bytes;
    uint64_t verified, differed;
};
void shr_views_stats(struct shr_views *views, struct shr_views_stats *out);

#endif
