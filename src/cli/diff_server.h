/* diff_server.h: a running shrewd as one side of a comparison. */
#ifndef SHR_CLI_DIFF_SERVER_H
#define SHR_CLI_DIFF_SERVER_H

#include "diff/source.h"

/* `name`, for messages, is borrowed. Connects on the first question. */
int shr_diff_server(struct shr_diff_source *out, const char *url, const char *name,
                    struct shrewd_error *err);

#endif
