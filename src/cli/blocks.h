/* blocks.h: where blocks come from, as the flags say: a node, files, or files and then a node. */
#ifndef SHR_CLI_BLOCKS_H
#define SHR_CLI_BLOCKS_H

#include "cli/config.h"
#include "node/source.h"

/* The configuration names one of the two at least. `stop` and `silent_since_ms`
 * (shr_node_options) are borrowed by the source. */
int shr_open_blocks(struct shr_source **out, const struct shr_config *config, struct shr_stop *stop,
                    _Atomic uint64_t *silent_since_ms, struct shrewd_error *err);

#endif
