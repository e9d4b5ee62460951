/* signals.h: SIGINT, SIGTERM and SIGHUP (unless it is ignored, as nohup has it) ask for a stop; a
 * second one ends the process at once. */
#ifndef SHR_CLI_SIGNALS_H
#define SHR_CLI_SIGNALS_H

#include "base/error.h"
#include "base/stop.h"

/* Initialises `stop` and requests it on any of them; ignores SIGPIPE. One at a time. */
int shr_signals_install(struct shr_stop *stop, struct shrewd_error *err);
void shr_signals_restore(struct shr_stop *stop);
/* Reports err as shr_report does, and returns its exit code; of SHREWD_STOPPED that of a program
 * that the signal has ended (SIGTERM: 143), so that a script does not go on without the result. */
int shr_signals_report(const struct shrewd_error *err);

#endif
