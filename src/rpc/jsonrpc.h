/* jsonrpc.h: from the body of a POST to the body of its reply (JSON-RPC 2.0). No HTTP here, and
 * no failure: whatever the bytes are, there is an answer, or none when only notifications came.
 *
 * Liberal where clients differ: "jsonrpc" may be missing, any JSON value is an id and comes back
 * as it was written, null parameters are missing ones. A notification (no id) is not run at all:
 * every method only reads, and nobody waits for its answer.
 */
#ifndef SHR_RPC_JSONRPC_H
#define SHR_RPC_JSONRPC_H

#include "rpc/codes.h"
#include "rpc/methods.h"

#define SHR_RPC_BATCH_MAX 10000u /* calls in one body */
#define SHR_RPC_REPLY_MAX                                                                          \
    (600ull << 20) /* bytes; later calls of a batch fail. One view's                               \
                      result, of 256 MiB at most, fits as hex */

/* One parsed body. {0} is empty; borrows the text, owns the rest. */
struct shr_rpc_body {
    struct shr_json json;
    struct shrewd_error error; /* code != 0: the whole body gets this one answer */
    int fault;                 /* its JSON-RPC code */
    bool batch;
    struct shr_rpc_call *calls;
    uint32_t n_calls;
};

void shr_rpc_body_parse(struct shr_rpc_body *out, struct shr_bytes text);
void shr_rpc_body_free(struct shr_rpc_body *body);
/* True when answering it runs a guest. */
bool shr_rpc_body_needs_worker(const struct shr_rpc_body *body);
/* What a body that needs a worker asks for, as bytes to compare: the view's name as it was written,
 * or the method's where there is none, or "batch". */
struct shr_bytes shr_rpc_body_subject(const struct shr_rpc_body *body);
/* Appends the reply; appends nothing when only notifications came. `gone` (may be NULL) becomes
 * true when the client has left: the guest call in hand then ends, and the rest is not run.
 * Returns the number of error objects in the reply. */
uint32_t shr_rpc_body_answer(struct shr_buf *reply, const struct shr_rpc_body *body,
                             struct shr_rpc_env *env, const _Atomic bool *gone);
/* Appends the reply when the body is one view call whose answer is at hand without running a
 * guest, or, with `quick`, when a warm instance has it at once; else appends nothing and returns
 * false. For bodies that need a worker. */
bool shr_rpc_body_answer_at_once(struct shr_buf *reply, const struct shr_rpc_body *body,
                                 struct shr_rpc_env *env, bool quick);
/* The same error for every call of the body (its id each), without running any. */
void shr_rpc_body_refuse(struct shr_buf *reply, const struct shr_rpc_body *body, int code,
                         const char *message);
/* Appends one error reply with id null, for what never became a body. */
void shr_rpc_write_fault(struct shr_buf *reply, int code, const char *message);

#endif
