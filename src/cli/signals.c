#include "cli/signals.h"

#include "cli/config.h"

#include <signal.h>
#include <stddef.h>
#include <unistd.h>

static struct shr_stop *signal_stop;
static volatile sig_atomic_t signal_number = SIGTERM; /* the one that asked */

static void on_signal(int number) {
    if (shr_stopped(signal_stop)) {
        _exit(128 + number);
    }
    signal_number = number;
    shr_stop_request(signal_stop);
}

int shr_signals_install(struct shr_stop *stop, struct shrewd_error *err) {
    struct sigaction action = {.sa_handler = on_signal};
    if (shr_stop_init(stop) != 0) {
        return shr_fail_errno(err, SHREWD_IO, "cannot make an eventfd");
    }
    signal_stop = stop;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    struct sigaction hangup;
    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN) {
        sigaction(SIGHUP, &action, NULL); /* nohup has it ignored */
    }
    signal(SIGPIPE, SIG_IGN);
    return 0;
}

void shr_signals_restore(struct shr_stop *stop) {
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    struct sigaction hangup;
    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler == on_signal) {
        signal(SIGHUP, SIG_DFL);
    }
    shr_stop_deinit(stop);
}

int shr_signals_report(const struct shrewd_error *err) {
    int status = shr_report(err);
    return err->code == SHREWD_STOPPED ? 128 + signal_number : status;
}
