/* main.c: which command, its configuration, its exit code. */
#include "cli/config.h"
#include "cli/options.h"
#include "cli/output.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef int command_fn(struct shr_config *config);

static command_fn *const command_fns[SHR_COMMAND_COUNT] = {
#define SHR_X(name, lower) [SHR_COMMAND_##name] = shr_cmd_##lower,
    SHR_COMMAND_MAP(SHR_X)
#undef SHR_X
};

static int run_command(const struct shr_command *command, int argc, char **argv) {
    struct shr_config config;
    struct shrewd_error err = {0};
    if (shr_config_load(&config, command, argc, argv, &err) != 0) {
        shr_report(&err);
        return SHR_EXIT_USAGE;
    }
    int status = SHR_EXIT_OK;
    if (config.help) {
        shr_help_command(stdout, command);
    } else if (config.version) {
        printf("shrewd %s\n", SHREWD_VERSION);
    } else {
        shr_log_set_level(config.log_level);
        status = command_fns[command->id](&config);
    }
    shr_config_free(&config);
    return shr_out_close(status);
}

static int unknown_command(const char *name) {
    const char *nearest = shr_command_nearest(name);
    struct shrewd_error err = {0};
    shr_fail(&err, SHREWD_INVALID, "unknown command '%.100s'; %s%s%s", name,
             nearest != NULL ? "did you mean 'shrewd " : "see ",
             nearest != NULL ? nearest : "'shrewd --help", nearest != NULL ? "'?" : "'");
    return shr_report(&err);
}

/* `shrewd help`, `shrewd --help`, `shrewd help COMMAND`. */
static int help(int argc, char **argv) {
    const struct shr_command *command = argc > 0 ? shr_command_find(argv[0]) : NULL;
    if (argc > 0 && command == NULL) {
        return unknown_command(argv[0]);
    }
    if (command != NULL) {
        shr_help_command(stdout, command);
    } else {
        shr_help_main(stdout);
    }
    return shr_out_close(SHR_EXIT_OK);
}

/* A standard stream closed by the caller would be reopened as a file of the database, and messages
 * written into it. Writing to the stand-in for standard output still fails, and is reported. */
static void hold_standard_streams(void) {
    static const int modes[] = {O_RDONLY, O_RDONLY, O_WRONLY};
    for (int fd = 0; fd < 3; fd++) {
        if (fcntl(fd, F_GETFD) == -1 && open("/dev/null", modes[fd]) != fd) {
            _exit(SHR_EXIT_FAILURE);
        }
    }
}

int main(int argc, char **argv) {
    hold_standard_streams();
    /* A reader that went away is an error of the write, not the end of a daemon. */
    signal(SIGPIPE, SIG_IGN);
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    const char *program = slash != NULL ? slash + 1 : argc > 0 ? argv[0] : "shrewd";
    const struct shr_command *run = &shr_commands[SHR_COMMAND_RUN];
    int skip = argc > 0 ? 1 : 0;
    if (strcmp(program, "rockshrew-mono") == 0 || argc < 2) {
        return run_command(run, argc - skip, argv + skip);
    }
    const char *first = argv[1];
    if (strcmp(first, "help") == 0 || strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0) {
        return help(argc - 2, argv + 2);
    }
    if (first[0] == '-') {
        return run_command(run, argc - 1, argv + 1);
    }
    const struct shr_command *command = shr_command_find(first);
    if (command == NULL) {
        return unknown_command(first);
    }
    return run_command(command, argc - 2, argv + 2);
}
