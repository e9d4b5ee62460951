/* shrewd/error.h: the error codes of libshrewd.
 *
 * Every function that can fail returns 0 or one of the negative codes below, and fills an
 * optional `struct shrewd_error` with a message that names the input, what was expected and
 * what to do. Codes are stable; messages are for people and may change.
 */
#ifndef SHREWD_ERROR_H
#define SHREWD_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

/* X(NAME, code, short description) */
#define SHREWD_ERROR_MAP(X)                                                                        \
    X(INVALID, -1, "invalid argument")                                                             \
    X(NOT_FOUND, -2, "not found")                                                                  \
    X(NO_MEMORY, -3, "out of memory")                                                              \
    X(IO, -4, "input/output error")                                                                \
    X(CORRUPT, -5, "stored data is damaged")                                                       \
    X(LOCKED, -6, "in use by another process")                                                     \
    X(MISMATCH, -7, "belongs to another chain, module or format")                                  \
    X(ABOVE_TIP, -8, "height is above the tip")                                                    \
    X(TRAP, -9, "the guest trapped")                                                               \
    X(GUEST, -10, "the guest broke the ABI")                                                       \
    X(MODULE, -11, "the module cannot be used")                                                    \
    X(NO_VIEW, -12, "the module has no such view")                                                 \
    X(NODE, -13, "the node refused or misbehaved")                                                 \
    X(NODE_BUSY, -14, "the node cannot answer now")                                                \
    X(BAD_BLOCK, -15, "the block is not valid")                                                    \
    X(NOT_CONNECTED, -16, "the block does not connect to the tip")                                 \
    X(REORG_DEPTH, -17, "the reorg is deeper than allowed")                                        \
    X(LIMIT, -18, "a limit was exceeded")                                                          \
    X(STOPPED, -19, "stopped")                                                                     \
    X(UNSUPPORTED, -20, "not supported")                                                           \
    X(NO_ROOT, -21, "no state root is kept")                                                       \
    X(BELOW_START, -22, "height is below the first one held")                                      \
    X(TIMEOUT, -23, "a call took longer than allowed")                                             \
    X(UNPROVEN, -24, "the proof does not prove it")                                                \
    X(PRUNED, -25, "the versions of that height were pruned")                                      \
    X(DISK_FULL, -26, "no space left on the disk")

enum shrewd_error_code {
#define SHREWD_X(name, code, text) SHREWD_##name = (code),
    SHREWD_ERROR_MAP(SHREWD_X)
#undef SHREWD_X
};

/* Filled by a failing call; untouched by a succeeding one. Owned by the caller. */
struct shrewd_error {
    int code;
    char message[1000];
};

/* The short description of `code`; "unknown error" for any other number. Static storage. */
const char *shrewd_strerror(int code);

/* The name of `code` without its prefix, e.g. "NOT_FOUND". Static storage. */
const char *shrewd_error_name(int code);

#ifdef __cplusplus
}
#endif

#endif
