/* progress.h: telling the operator how the sync goes: a bar on a terminal, log lines elsewhere. */
#ifndef SHR_INDEX_PROGRESS_H
#define SHR_INDEX_PROGRESS_H

#include "index/follow.h"

#define SHR_RATE_SAMPLES 16

/* One thread. Filled by shr_progress_start. */
struct shr_report_state {
    struct shr_progress *progress;
    bool bar;
    uint64_t shown_ns;
    struct {
        uint64_t at_ns, blocks, bytes;
        uint64_t busy_ns[SHR_STAGE_COUNT];
    } samples[SHR_RATE_SAMPLES]; /* a ring: the rate is taken over its span */
    unsigned n_samples;
    bool said_at_tip;
};

void shr_progress_start(struct shr_report_state *report, struct shr_progress *progress, bool bar);
/* Shows what is new, if enough time has passed. Cheap enough to call for every block. */
void shr_progress_show(struct shr_report_state *report);
/* Ends the bar's line. */
void shr_progress_end(struct shr_report_state *report);

#endif
