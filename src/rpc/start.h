/* start.h: starting the server on any source: what shr_server_start does, and tests. */
#ifndef SHR_RPC_START_H
#define SHR_RPC_START_H

#include "rpc/server.h"
#include "rpc/source.h"

/* As shr_server_start. Copies the source. */
int shr_server_start_on(struct shr_server **out, const struct shr_rpc_source *source,
                        const struct shr_server_options *options, struct shrewd_error *err);

#endif
