/* signals.h: SIGINT and SIGTERM ask for a stop; a second one ends the process at once. */
#ifndef SHR_CLI_SIGNALS_H
#define SHR_CLI_SIGNALS_H

#include "base/error.h"
#include "base/stop.h"

/* Initialises `stop` and requests it on SIGINT or SIGTERM; ignores SIGPIPE. One at a time. */
int shr_signals_install(struct shr_stop *stop, struct shrewd_error *err);
void shr_signals_restore(struct shr_stop *stop);

#endif
