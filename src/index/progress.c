#include "index/progress.h"

#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define BAR_EVERY_NS 200000000ull  /* a bar moves five times a second */
#define LOG_EVERY_NS 5000000000ull /* a log line every five seconds */
#define BAR_WIDTH 24

static void wipe_bar(void) {
    fputs("\r\033[K", stderr);
}

void shr_progress_start(struct shr_report_state *report, struct shr_progress *progress, bool bar) {
    memset(report, 0, sizeof *report);
    report->progress = progress;
    report->bar = bar;
    report->shown_ns = shr_now_ns();
    report->samples[0].at_ns = report->shown_ns;
    report->n_samples = 1;
    struct shr_stage stages[SHR_STAGE_COUNT];
    shr_progress_stages(progress, stages);
    for (int i = 0; i < SHR_STAGE_COUNT; i++) {
        report->samples[0].busy_ns[i] = stages[i].busy_ns;
    }
    if (bar) {
        shr_log_set_wipe(wipe_bar);
    }
}

struct rates {
    double blocks_per_s;
    double mb_per_s;
    const char *slowest; /* the stage that is busy most of the time; the others wait for it */
    double busy;         /* how much of it */
};

void shr_progress_stages(struct shr_progress *progress, struct shr_stage out[SHR_STAGE_COUNT]) {
    struct shr_feed_stats *feed = &progress->feed;
    struct shr_commit_stats *commit = &progress->commit;
    uint64_t fetchers = atomic_load(&feed->fetchers);
    out[SHR_STAGE_FETCH] =
        (struct shr_stage){"fetch", fetchers == 0 ? 1 : fetchers, atomic_load(&feed->fetch_busy_ns),
                           atomic_load(&feed->fetch_wait_ns)};
    out[SHR_STAGE_CHECK] = (struct shr_stage){"check", 1, atomic_load(&feed->check_busy_ns),
                                              atomic_load(&feed->check_wait_ns)};
    out[SHR_STAGE_GUEST] =
        (struct shr_stage){"guest", 1, atomic_load(&progress->guest_ns),
                           atomic_load(&progress->wait_ns) + atomic_load(&commit->full_ns)};
    out[SHR_STAGE_COMMIT] = (struct shr_stage){"commit", 1, atomic_load(&commit->busy_ns),
                                               atomic_load(&commit->wait_ns)};
}

/* Of the time since the oldest sample; takes the times of now for the next one. */
static void find_slowest(struct rates *rates, struct shr_report_state *report, unsigned oldest,
                         unsigned slot, double seconds) {
    struct shr_stage stages[SHR_STAGE_COUNT];
    shr_progress_stages(report->progress, stages);
    for (int i = 0; i < SHR_STAGE_COUNT; i++) {
        double busy = (double)(stages[i].busy_ns - report->samples[oldest].busy_ns[i]) / 1e9;
        double share = seconds > 0 ? busy / seconds / (double)stages[i].threads : 0;
        if (share > rates->busy) {
            rates->slowest = stages[i].name;
            rates->busy = share;
        }
    }
    for (int i = 0; i < SHR_STAGE_COUNT; i++) {
        report->samples[slot].busy_ns[i] = stages[i].busy_ns;
    }
}

/* The rate since the oldest sample kept, and a new sample for next time. */
static struct rates take_sample(struct shr_report_state *report, uint64_t now) {
    uint64_t blocks = atomic_load(&report->progress->blocks);
    uint64_t bytes = atomic_load(&report->progress->bytes);
    unsigned oldest =
        report->n_samples <= SHR_RATE_SAMPLES ? 0 : report->n_samples % SHR_RATE_SAMPLES;
    double seconds = (double)(now - report->samples[oldest].at_ns) / 1e9;
    struct rates rates = {.slowest = "none"};
    if (seconds > 0) {
        rates.blocks_per_s = (double)(blocks - report->samples[oldest].blocks) / seconds;
        rates.mb_per_s = (double)(bytes - report->samples[oldest].bytes) / seconds / 1e6;
    }
    unsigned slot = report->n_samples % SHR_RATE_SAMPLES;
    find_slowest(&rates, report, oldest, slot, seconds);
    report->samples[slot].at_ns = now;
    report->samples[slot].blocks = blocks;
    report->samples[slot].bytes = bytes;
    report->n_samples++;
    return rates;
}

static void format_eta(char *out, size_t size, double seconds) {
    if (seconds < 0 || seconds > 1e8) {
        snprintf(out, size, "unknown");
    } else if (seconds < 120) {
        snprintf(out, size, "%.0f s", seconds);
    } else if (seconds < 7200) {
        snprintf(out, size, "%.0f min", seconds / 60);
    } else if (seconds < 48 * 3600) {
        snprintf(out, size, "%.1f h", seconds / 3600);
    } else {
        snprintf(out, size, "%.1f days", seconds / 86400);
    }
}

static void draw_bar(uint32_t tip, uint32_t node_tip, const char *how) {
    char bar[BAR_WIDTH + 1];
    double done = node_tip == 0 ? 0 : (double)tip / node_tip;
    for (int i = 0; i < BAR_WIDTH; i++) {
        bar[i] = (double)i < done * BAR_WIDTH ? '#' : '.';
    }
    bar[BAR_WIDTH] = 0;
    fprintf(stderr, "\r[%s] %" PRIu32 " of %" PRIu32 " (%.1f%%)  %s\033[K", bar, tip, node_tip,
            done * 100, how);
    fflush(stderr);
}

/* How fast it goes, `left` blocks below the node's tip, or why it does not. */
static void format_how(char *out, size_t size, const struct shr_report_state *report,
                       struct rates rates, double left) {
    struct shrewd_error trouble;
    const char *gap = report->bar ? "  " : ", ";
    char eta[32], busy[32] = "";
    if (shr_progress_trouble(report->progress, &trouble)) {
        snprintf(out, size, "waits for space on the disk");
        return;
    }
    format_eta(eta, sizeof eta, rates.blocks_per_s > 0 ? left / rates.blocks_per_s : -1);
    if (!report->bar) {
        snprintf(busy, sizeof busy, " (%.0f%% busy)", 100 * (rates.busy > 1 ? 1 : rates.busy));
    }
    snprintf(out, size, "%.1f blocks/s%s%.2f MB/s%sETA %s%sslowest: %s%s", rates.blocks_per_s, gap,
             rates.mb_per_s, gap, eta, gap, rates.slowest, busy);
}

void shr_progress_show(struct shr_report_state *report) {
    struct shr_progress *progress = report->progress;
    uint64_t now = shr_now_ns();
    bool at_tip = atomic_load(&progress->at_tip);
    bool news = at_tip != report->said_at_tip;
    if (!news && (now - report->shown_ns < (report->bar ? BAR_EVERY_NS : LOG_EVERY_NS))) {
        return;
    }
    if (!atomic_load(&progress->has_tip)) {
        return;
    }
    uint32_t tip = atomic_load(&progress->tip);
    uint32_t node_tip = atomic_load(&progress->node_tip);
    report->shown_ns = now;
    report->said_at_tip = at_tip;
    if (at_tip) {
        if (news) {
            shr_info("index", "at the tip: block %" PRIu32, tip);
        }
        return;
    }
    struct rates rates = take_sample(report, now);
    char how[160];
    format_how(how, sizeof how, report, rates, node_tip > tip ? node_tip - tip : 0);
    if (report->bar) {
        draw_bar(tip, node_tip, how);
    } else if (!news) {
        shr_info("index", "block %" PRIu32 " of %" PRIu32 " (%.1f%%), %s", tip, node_tip,
                 node_tip == 0 ? 0 : 100.0 * tip / node_tip, how);
    }
}

void shr_progress_end(struct shr_report_state *report) {
    if (report->bar) {
        shr_log_set_wipe(NULL);
        wipe_bar();
        fflush(stderr);
    }
}
