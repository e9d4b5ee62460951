/* lib.h: what the daemon may see of a handle beyond the public API. */
#ifndef SHR_LIB_LIB_H
#define SHR_LIB_LIB_H

#include "shrewd/shrewd.h"
#include "state/state.h"
#include "view/views.h"

struct shr_state *shr_lib_state(struct shrewd *shrewd);
/* NULL when opened without one. */
struct shr_module *shr_lib_module(struct shrewd *shrewd);
/* The same. Who indexes into the state by another way than shrewd_index_block tells it of each new
 * tip (shr_views_on_tip). */
struct shr_views *shr_lib_views(struct shrewd *shrewd);
void shr_lib_export_block(struct shrewd_block *out, const struct shr_block_record *record);

#endif
