/* The command line, read by glibc's argp from the options table. argp's own messages are
 * switched off: ours name the nearest flag. */
#include "cli/options.h"

#include "base/alloc.h"

#include <argp.h>
#include <stdlib.h>
#include <string.h>

/* argp keys: the option's index above the characters, so that none is a short flag. */
#define KEY_FIRST 0x100

struct flags {
    struct shr_settings *settings;
    const struct shr_command *command;
    struct shrewd_error *err;
    int code;
};

static int explain_unknown(const struct flags *flags, const char *name, size_t len) {
    const char *command = flags->command->name;
    const struct shr_option *other = shr_option_find(name, len);
    if (other != NULL) {
        return shr_fail(flags->err, SHREWD_INVALID,
                        "--%s does not apply to 'shrewd %s'; see 'shrewd %s --help'", other->name,
                        command, command);
    }
    const char *nearest = shr_option_nearest(name, len, flags->command);
    if (nearest != NULL) {
        return shr_fail(flags->err, SHREWD_INVALID, "unknown flag --%.*s; did you mean --%s?",
                        (int)(len < 100 ? len : 100), name, nearest);
    }
    return shr_fail(flags->err, SHREWD_INVALID, "unknown flag --%.*s; see 'shrewd %s --help'",
                    (int)(len < 100 ? len : 100), name, command);
}

/* Flags may be shortened to what no other begins with: the one option meant, or NULL. */
static const struct shr_option *abbreviated(const struct flags *flags, const char *name, size_t len,
                                            const struct shr_option **second) {
    const struct shr_option *first = NULL;
    for (size_t i = 0; i < shr_option_count; i++) {
        const struct shr_option *option = &shr_options[i];
        if (strncmp(option->name, name, len) != 0 || !shr_option_applies(option, flags->command)) {
            continue;
        }
        if (option->name[len] == 0) {
            return option;
        }
        *second = first != NULL ? option : NULL;
        first = first != NULL ? first : option;
    }
    return first;
}

/* What is wrong with one argument that getopt refused; 0 when nothing is. */
static int explain(const struct flags *flags, const char *arg) {
    if (arg == NULL || arg[0] != '-' || arg[1] == 0) {
        return 0;
    }
    if (arg[1] != '-') {
        return shr_fail(flags->err, SHREWD_INVALID,
                        "unknown flag %.100s; flags begin with two dashes, see 'shrewd %s --help'",
                        arg, flags->command->name);
    }
    const char *name = arg + 2;
    size_t len = strcspn(name, "=");
    const struct shr_option *second = NULL;
    const struct shr_option *option = abbreviated(flags, name, len, &second);
    if (option == NULL || len == 0) {
        return explain_unknown(flags, name, len);
    }
    if (second != NULL) {
        return shr_fail(flags->err, SHREWD_INVALID, "--%.*s may mean --%s or --%s; write it out",
                        (int)len, name, option->name, second->name);
    }
    if (option->arg == NULL && name[len] == '=') {
        return shr_fail(flags->err, SHREWD_INVALID, "--%s is a switch and takes no value",
                        option->name);
    }
    if (option->arg != NULL && name[len] == 0) {
        return shr_fail(flags->err, SHREWD_INVALID, "--%s needs a value: --%s %s", option->name,
                        option->name, option->arg);
    }
    return 0;
}

static void explain_failure(struct flags *flags, const struct argp_state *state) {
    /* getopt has moved past a long flag it refused, but not past a cluster of short ones. */
    int at = state->next - 1;
    if (at > 0 && at < state->argc) {
        flags->code = explain(flags, state->argv[at]);
    }
    if (flags->code == 0 && at + 1 < state->argc) {
        flags->code = explain(flags, state->argv[at + 1]);
    }
    if (flags->code == 0) {
        flags->code =
            shr_fail(flags->err, SHREWD_INVALID, "cannot read the flags; see 'shrewd %s --help'",
                     flags->command->name);
    }
}

static void add_argument(struct shr_settings *settings, const char *arg) {
    size_t n = (size_t)settings->n_args;
    settings->args = shr_realloc_array(settings->args, n + 1, sizeof *settings->args);
    settings->args[n] = shr_strdup(arg);
    settings->n_args++;
}

static void set_flag(struct shr_settings *settings, const struct shr_option *option,
                     const char *arg) {
    if (option->kind == SHR_OPTION_ACTION) {
        if (strcmp(option->name, "help") == 0) {
            settings->help = true;
        } else {
            settings->version = true;
        }
        return;
    }
    shr_settings_put(settings, option, SHR_LAYER_FLAG, arg != NULL ? arg : "true",
                     shr_asprintf("--%s", option->name));
}

static error_t on_key(int key, char *arg, struct argp_state *state) {
    struct flags *flags = state->input;
    if (key >= KEY_FIRST && key < KEY_FIRST + (int)shr_option_count) {
        set_flag(flags->settings, &shr_options[key - KEY_FIRST], arg);
        return 0;
    }
    switch (key) {
    case 'h':
        flags->settings->help = true;
        return 0;
    case 'V':
        flags->settings->version = true;
        return 0;
    case ARGP_KEY_ARG:
        add_argument(flags->settings, arg);
        return 0;
    case ARGP_KEY_ERROR:
        explain_failure(flags, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int shr_settings_from_flags(struct shr_settings *settings, const struct shr_command *command,
                            int argc, char **argv, struct shrewd_error *err) {
    struct argp_option table[SHR_OPTION_MAX + 3] = {0};
    size_t n = 0;
    for (size_t i = 0; i < shr_option_count; i++) {
        const struct shr_option *option = &shr_options[i];
        if (shr_option_applies(option, command)) {
            table[n].name = option->name;
            table[n].key = KEY_FIRST + (int)i;
            table[n++].arg = option->arg;
        }
    }
    table[n++].key = 'h';
    table[n++].key = 'V';
    struct argp argp = {.options = table, .parser = on_key};
    struct flags flags = {.settings = settings, .command = command, .err = err};
    /* argp takes argv[0] for the program's name; it may reorder argv, so it gets a copy. */
    char **copy = shr_alloc_array((size_t)argc + 2, sizeof *copy);
    char name[] = "shrewd";
    copy[0] = name;
    if (argc > 0) {
        memcpy(copy + 1, argv, (size_t)argc * sizeof *argv);
    }
    error_t failed =
        argp_parse(&argp, argc + 1, copy, ARGP_NO_ERRS | ARGP_NO_HELP | ARGP_NO_EXIT, NULL, &flags);
    free(copy);
    if (failed != 0 && flags.code == 0) {
        flags.code = shr_fail(err, SHREWD_INVALID, "cannot read the flags: %s", strerror(failed));
    }
    return flags.code;
}
