/* commands.h: the commands of `shrewd`, as data: dispatch, --help and completion read it. */
#ifndef SHR_CLI_COMMANDS_H
#define SHR_CLI_COMMANDS_H

#include <stddef.h>
#include <stdio.h>

/* X(NAME, name): shr_cmd_<name> runs it */
#define SHR_COMMAND_MAP(X)                                                                         \
    X(RUN, run)                                                                                    \
    X(VIEW, view)                                                                                  \
    X(PREVIEW, preview)                                                                            \
    X(STATUS, status)                                                                              \
    X(ROLLBACK, rollback)                                                                          \
    X(DUMP, dump)                                                                                  \
    X(LOAD, load)                                                                                  \
    X(PROVE, prove)                                                                                \
    X(VERIFY, verify)                                                                              \
    X(CHECK, check)                                                                                \
    X(DIFF, diff)                                                                                  \
    X(SNAPSHOT, snapshot)                                                                          \
    X(INSPECT, inspect)                                                                            \
    X(IMPORT_ROCKSHREW, import_rockshrew)                                                          \
    X(EXPORT_ROCKSHREW, export_rockshrew)                                                          \
    X(BENCH, bench)                                                                                \
    X(DEMO, demo)                                                                                  \
    X(COMPLETION, completion)

enum shr_command_id {
#define SHR_X(name, lower) SHR_COMMAND_##name,
    SHR_COMMAND_MAP(SHR_X)
#undef SHR_X
        SHR_COMMAND_COUNT
};

struct shr_command {
    enum shr_command_id id;
    const char *name;
    const char *arguments; /* as shown after "shrewd NAME [FLAGS]"; NULL: none */
    int args_min, args_max;
    const char *words;    /* what the first argument may be, space separated; NULL: anything */
    const char *summary;  /* one line */
    const char *about;    /* what it does, lines of at most 78 columns */
    const char *examples; /* one a line */
};

extern const struct shr_command shr_commands[SHR_COMMAND_COUNT];

/* NULL when there is none. */
const struct shr_command *shr_command_find(const char *name);
/* The command nearest to a mistyped name; NULL when none is near. */
const char *shr_command_nearest(const char *name);
/* `shrewd --help`, and `shrewd COMMAND --help`. */
void shr_help_main(FILE *stream);
void shr_help_command(FILE *stream, const struct shr_command *command);

#endif
