/* zmq.h: the node's announcement of new tips (bitcoind -zmqpubhashblock=...). Only a hint: what
 * it says is asked for again by RPC. One thread at a time. */
#ifndef SHR_NODE_ZMQ_H
#define SHR_NODE_ZMQ_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct shr_zmq;

/* Connects in the background, for as long as it takes. SHREWD_INVALID: not an endpoint. */
int shr_zmq_open(struct shr_zmq **out, const char *endpoint, struct shrewd_error *err);
void shr_zmq_close(struct shr_zmq *zmq); /* NULL is fine */
/* Waits up to `ms` for an announcement, or until one of the descriptors is readable. True when
 * something was announced since the last call. */
bool shr_zmq_wait(struct shr_zmq *zmq, const int *fds, int n_fds, uint32_t ms);

#endif
