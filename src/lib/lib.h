/* lib.h: what the daemon may see of a handle beyond the public API. */
#ifndef SHR_LIB_LIB_H
#define SHR_LIB_LIB_H

#include "shrewd/shrewd.h"
#include "state/state.h"
#include "view/view.h"
#include "wasm/guest.h"

struct shr_state *shr_lib_state(struct shrewd *shrewd);
/* NULL when opened without one. */
struct shr_module *shr_lib_module(struct shrewd *shrewd);

#endif
