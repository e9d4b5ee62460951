#include "rpc/lanes.h"

#include <time.h>

uint32_t shr_lane_kind(const struct shr_rpc_body *body) {
    struct shr_bytes subject = shr_rpc_body_subject(body);
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < subject.len; i++) {
        hash = (hash ^ subject.data[i]) * 16777619u;
    }
    return (hash ^ hash >> 16) % SHR_LANE_KINDS;
}

bool shr_lane_slow(const struct shr_lanes *lanes, uint32_t kind) {
    uint64_t lately = atomic_load_explicit(&lanes->lately_ns[kind], memory_order_relaxed);
    return lately == 0 || lately > SHR_LANE_LONG_NS;
}

bool shr_lane_brief(const struct shr_lanes *lanes, uint32_t kind) {
    uint64_t lately = atomic_load_explicit(&lanes->lately_ns[kind], memory_order_relaxed);
    return lately != 0 && lately <= SHR_LANE_BRIEF_NS;
}

void shr_lane_ended(struct shr_lanes *lanes, uint32_t kind, uint64_t cpu_ns, uint64_t wall_ns) {
    uint64_t ns = cpu_ns > wall_ns / 100 ? cpu_ns : wall_ns / 100;
    _Atomic uint64_t *lately = &lanes->lately_ns[kind];
    uint64_t was = atomic_load_explicit(lately, memory_order_relaxed);
    uint64_t faded = was - was / 8;
    /* Two calls that end at once may lose one's part: it is a guess anyway. */
    atomic_store_explicit(lately, ns > faded ? ns : faded > 0 ? faded : 1, memory_order_relaxed);
}

uint64_t shr_lane_cpu_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
