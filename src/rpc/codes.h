/* codes.h: every JSON-RPC error code this server answers, in one list. Documented for clients in
 * doc/json-rpc.md; never renumbered. An error that comes from libshrewd also carries its name
 * (SHREWD_ERROR_MAP) in error.data.error, so that clients need not read messages.
 */
#ifndef SHR_RPC_CODES_H
#define SHR_RPC_CODES_H

#include "shrewd/error.h"

/* X(NAME, code, when). The codes from -32700 to -32600 are those of JSON-RPC 2.0. GUEST is what
 * the reference implementation answers for every failure, unknown views included. */
#define SHR_RPC_ERROR_MAP(X)                                                                       \
    X(PARSE, -32700, "the body is not JSON")                                                       \
    X(REQUEST, -32600, "not a JSON-RPC request")                                                   \
    X(METHOD, -32601, "no such method")                                                            \
    X(PARAMS, -32602, "wrong parameters")                                                          \
    X(INTERNAL, -32603, "the server failed (storage, a bug)")                                      \
    X(GUEST, -32000, "the module failed: no such view, a trap, a broken ABI")                      \
    X(BUSY, -32001, "too many calls are waiting, or the server is stopping: try again")            \
    X(ABOVE_TIP, -32002, "the height is above the last indexed block")                             \
    X(BAD_BLOCK, -32003, "the block to preview is not valid")                                      \
    X(BELOW_START, -32004, "the height is below the first block held")                             \
    X(EMPTY, -32005, "no block is indexed yet")                                                    \
    X(LIMIT, -32006, "a limit was exceeded: body, result, reply, memory to start with")            \
    X(NO_ROOT, -32007, "this database keeps no state roots")                                       \
    X(TIMEOUT, -32008, "the view or preview took longer than allowed")                             \
    X(PRUNED, -32009, "the height is below the oldest one whose state is held")

enum shr_rpc_code {
#define SHR_X(name, code, text) SHR_RPC_##name = (code),
    SHR_RPC_ERROR_MAP(SHR_X)
#undef SHR_X
};

/* The JSON-RPC code for a code of libshrewd, as a method returned it. */
int shr_rpc_code_for(int code);

#endif
