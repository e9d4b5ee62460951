/* methods.h: the methods as a table, and what they run on. No HTTP here. */
#ifndef SHR_RPC_METHODS_H
#define SHR_RPC_METHODS_H

#include "rpc/params.h"
#include "rpc/server.h"
#include "rpc/source.h"

#include <stdatomic.h>

#define SHR_METHOD_COUNT 11

struct shr_method_stats {
    _Atomic uint64_t calls;
    _Atomic uint64_t errors;
    _Atomic uint64_t ns; /* spent answering */
};

/* Shared by every thread; only the stats change. */
struct shr_rpc_env {
    struct shr_rpc_source source;
    void (*sync)(void *ctx, struct shr_server_sync *out); /* may be NULL */
    void *sync_ctx;
    struct shr_method_stats stats[SHR_METHOD_COUNT];
};

struct shr_method {
    const char *name;
    struct shr_param_spec params;
    bool needs_worker; /* takes a while, as guests do: not on an HTTP thread */
    /* Appends the result as JSON. What it appended before failing is dropped by the caller. */
    int (*run)(const struct shr_rpc_env *env, struct shr_buf *out, const struct shr_params *params,
               const _Atomic bool *cancel, struct shrewd_error *err);
};

/* In a fixed order; the index of a method is also that of its stats. */
extern const struct shr_method shr_methods[SHR_METHOD_COUNT];

/* Parameter i as a height: SHR_LATEST when it says so. */
int shr_method_height(const struct shr_rpc_env *env, uint32_t *out, const struct shr_params *params,
                      int i, struct shrewd_error *err);
/* The parameters view, input and height of a method that begins with them; `name` and `input` hold
 * what the call borrows. */
int shr_method_view_call(const struct shr_rpc_env *env, struct shr_view_call *call,
                         struct shr_buf *name, struct shr_buf *input,
                         const struct shr_params *params, struct shrewd_error *err);
/* NULL when there is none of that name. */
const struct shr_method *shr_method_find(struct shr_bytes name);
/* Binds the parameters, runs the method and counts it. `cancel` (may be NULL) ends what runs a
 * guest. 0 or a code of libshrewd. */
int shr_method_run(struct shr_rpc_env *env, struct shr_buf *out, const struct shr_method *method,
                   const struct shr_json *json, uint32_t params, const _Atomic bool *cancel,
                   struct shrewd_error *err);
/* Appends the result of a view and counts it when the result is at hand without running a guest,
 * or, with `quick`, when a warm instance has it at once; else appends nothing and returns false. */
bool shr_method_at_once(struct shr_rpc_env *env, struct shr_buf *out,
                        const struct shr_method *method, const struct shr_json *json,
                        uint32_t params, bool quick);

#endif
