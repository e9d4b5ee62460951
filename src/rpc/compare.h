/* compare.h: shrewd_rootnodes, shrewd_changes, shrewd_keys: what `shrewd diff` asks a server. */
#ifndef SHR_RPC_COMPARE_H
#define SHR_RPC_COMPARE_H

#include "rpc/methods.h"

int shr_rootnodes_run(const struct shr_rpc_env *env, struct shr_buf *out,
                      const struct shr_params *params, const _Atomic bool *cancel,
                      struct shrewd_error *err);
int shr_changes_run(const struct shr_rpc_env *env, struct shr_buf *out,
                    const struct shr_params *params, const _Atomic bool *cancel,
                    struct shrewd_error *err);
int shr_keys_run(const struct shr_rpc_env *env, struct shr_buf *out,
                 const struct shr_params *params, const _Atomic bool *cancel,
                 struct shrewd_error *err);

#endif
