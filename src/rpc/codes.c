#include "rpc/codes.h"

int shr_rpc_code_for(int code) {
    switch (code) {
    case SHREWD_INVALID:
        return SHR_RPC_PARAMS;
    case SHREWD_NOT_FOUND:
        return SHR_RPC_EMPTY;
    case SHREWD_ABOVE_TIP:
        return SHR_RPC_ABOVE_TIP;
    case SHREWD_BELOW_START:
        return SHR_RPC_BELOW_START;
    case SHREWD_PRUNED:
        return SHR_RPC_PRUNED;
    case SHREWD_TRAP:
    case SHREWD_GUEST:
    case SHREWD_MODULE:
    case SHREWD_NO_VIEW:
        return SHR_RPC_GUEST;
    case SHREWD_BAD_BLOCK:
    case SHREWD_NOT_CONNECTED:
        return SHR_RPC_BAD_BLOCK;
    case SHREWD_LIMIT:
        return SHR_RPC_LIMIT;
    case SHREWD_TIMEOUT:
        return SHR_RPC_TIMEOUT;
    case SHREWD_STOPPED:
        return SHR_RPC_BUSY;
    case SHREWD_NO_ROOT:
        return SHR_RPC_NO_ROOT;
    default:
        return SHR_RPC_INTERNAL;
    }
}
