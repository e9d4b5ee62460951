/* demo_checks.h: the questions that the demo asks its own server. */
#ifndef SHR_CLI_DEMO_CHECKS_H
#define SHR_CLI_DEMO_CHECKS_H

#include "base/error.h"
#include "node/source.h"

/* Asks the server at `url`, prints a line a question, and compares every answer with what the
 * generated `source` knows. SHREWD_CORRUPT when one differs. */
int shr_demo_check(struct shr_source *source, const char *url, struct shrewd_error *err);

#endif
