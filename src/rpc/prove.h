/* prove.h: shrewd_prove: values with a proof against the state root; shrewd_view_proof: a view's
 * answer with a proof of what it read. */
#ifndef SHR_RPC_PROVE_H
#define SHR_RPC_PROVE_H

#include "rpc/methods.h"

#include "view/prove.h"

/* A proof document (doc/state-root.md) as JSON, appended. */
void shr_prove_write(struct shr_buf *out, const struct shr_proved *proved,
                     const struct shr_bytes *keys);
/* The same of a view's answer. */
void shr_prove_write_view(struct shr_buf *out, const struct shr_view_proved *proved,
                          const struct shr_view_call *call);

/* The methods. */
int shr_prove_run(const struct shr_rpc_env *env, struct shr_buf *out,
                  const struct shr_params *params, const _Atomic bool *cancel,
                  struct shrewd_error *err);
int shr_prove_view_run(const struct shr_rpc_env *env, struct shr_buf *out,
                       const struct shr_params *params, const _Atomic bool *cancel,
                       struct shrewd_error *err);

#endif
