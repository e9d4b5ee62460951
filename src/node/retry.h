/* retry.h: waiting between tries, longer each time, and telling the operator now and then. */
#ifndef SHR_NODE_RETRY_H
#define SHR_NODE_RETRY_H

#include "node/halt.h"

#include <pthread.h>

#define SHR_RETRY_FIRST_MS 250u
#define SHR_RETRY_LAST_MS 10000u
#define SHR_RETRY_LOG_MS 30000u

/* What several connections to one node share, so that the same trouble is told once. */
struct shr_retry_voice {
    pthread_mutex_t lock;
    uint64_t told_ms; /* when, and why, any of them last told of a failure */
    char why[64];
};

struct shr_retry {
    struct shr_halt *halt;         /* borrowed */
    struct shr_retry_voice *voice; /* borrowed */
    const char *whom;              /* borrowed; for the log, e.g. "node http://127.0.0.1:8332" */
    uint32_t tries;                /* failed in a row */
    uint64_t since_ms;             /* when the first of them failed */
    uint64_t logged_ms;            /* when the log last said so */
    bool told;                     /* this one did: it also tells of the end */
    uint64_t random;
};

void shr_retry_voice_init(struct shr_retry_voice *voice);
void shr_retry_voice_deinit(struct shr_retry_voice *voice);
void shr_retry_init(struct shr_retry *retry, struct shr_halt *halt, struct shr_retry_voice *voice,
                    const char *whom);
/* How long to wait after the n-th failure in a row (n >= 1): doubling from the first to the
 * last, of which `random` takes up to half away, so that many clients do not ask in step. */
uint32_t shr_retry_delay_ms(uint32_t n, uint64_t random);
/* A try failed for the reason `why`: logs it (the first time, then every 30 s; not when another
 * connection has just said the same) and sleeps. True when halted. */
bool shr_retry_pause(struct shr_retry *retry, const char *why);
/* A try succeeded: the next failure is a first one again. */
void shr_retry_done(struct shr_retry *retry);

#endif
