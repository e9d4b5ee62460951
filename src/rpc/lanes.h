/* lanes.h: which calls are likely to take long, so that they do not stand in the way of the others.
 *
 * Calls are of one kind that ask for the same view (or preview the same one, or are batches). A
 * kind is slow when one of its calls took long lately, and until one has ended. This is a guess
 * for the queue (workers.h) only; answers do not depend on it. Any thread may call.
 */
#ifndef SHR_RPC_LANES_H
#define SHR_RPC_LANES_H

#include "rpc/jsonrpc.h"

#define SHR_LANE_KINDS 256u        /* kinds that meet in one slot share their fate */
#define SHR_LANE_LONG_NS 10000000u /* of a processor */
#define SHR_LANE_BRIEF_NS 200000u  /* lately no more than this: brief */

struct shr_lanes {
    _Atomic uint64_t lately_ns[SHR_LANE_KINDS]; /* 0: no call has ended yet */
};

/* Of a body that needs a worker. */
uint32_t shr_lane_kind(const struct shr_rpc_body *body);
bool shr_lane_slow(const struct shr_lanes *lanes, uint32_t kind);
/* Handing such a call to another thread would take about as long as running it. */
bool shr_lane_brief(const struct shr_lanes *lanes, uint32_t kind);
/* A call of the kind ended. A long one counts for the next few dozens. What counts is what it kept
 * a processor busy for; time in which it had none, or waited, counts a hundredth: on a busy machine
 * a short call may take long. */
void shr_lane_ended(struct shr_lanes *lanes, uint32_t kind, uint64_t cpu_ns, uint64_t wall_ns);

/* Of the calling thread. */
uint64_t shr_lane_cpu_ns(void);

#endif
