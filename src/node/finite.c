#include "node/finite.h"

/* Nothing will ever come: only a stop (or the feed's end, which looks between waits) matters. */
#define WAIT_MS_MAX 100u

int shr_finite_wait(struct shr_source *source, uint32_t ms, struct shrewd_error *err) {
    if (shr_stop_sleep(source->stop, ms < WAIT_MS_MAX ? ms : WAIT_MS_MAX)) {
        return shr_fail(err, SHREWD_STOPPED, "stopped while waiting for a block");
    }
    return 0;
}
