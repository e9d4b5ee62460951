/* blocks.h: where blocks come from, as the flags say: a node, files, or files and then a node. */
#ifndef SHR_CLI_BLOCKS_H
#define SHR_CLI_BLOCKS_H

#include "cli/config.h"
#include "node/source.h"

/* The configuration names one of the two at least. `stop` is borrowed by the source. */
int shr_open_blocks(struct shr_source **out, const struct shr_config *config, struct shr_stop *stop,
                    struct shrewd_error *err);

#endif
