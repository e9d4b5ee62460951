/* shrewd run: the indexer. */
#include "cli/daemon.h"

#include "base/log.h"
#include "cli/signals.h"

#include <stdlib.h>
#include <unistd.h>

int shr_cmd_run(struct shr_config *config) {
    struct shr_daemon daemon;
    struct shr_stop stop;
    struct shrewd_error err;
    shr_config_tune_malloc(); /* before there is a thread */
    if (shr_signals_install(&stop, &err) != 0) {
        return shr_report(&err);
    }
    int code = shr_daemon_start(&daemon, config, NULL, &stop, &err);
    if (code != 0) {
        return code == SHREWD_STOPPED ? SHR_EXIT_OK : shr_report(&err);
    }
    shr_daemon_wait(&daemon);
    bool stays = daemon.code == 0 && config->exit_at == SHR_UNSET;
    while (stays && !shr_stopped(&stop)) {
        shr_stop_sleep(&stop, 60000); /* a finite source ended: go on serving */
    }
    if (!shr_stopped(&stop)) {
        err = daemon.error;
        code = daemon.code != 0 ? daemon.code : shr_snapshots_finish(daemon.snapshots, &err);
    }
    bool failed = !shr_stopped(&stop) && code != 0;
    int exit_code = failed ? shr_report(&err) : SHR_EXIT_OK;
    if (!shr_daemon_stop(&daemon)) {
        _exit(exit_code); /* a guest still runs: nothing of it is committed, nothing to free */
    }
    shr_info("cli", "stopped");
    shr_signals_restore(&stop);
    return exit_code;
}
