/* --help, laid out by argp from the options table. */
#include "cli/commands.h"

#include "base/alloc.h"
#include "cli/options.h"

#include <argp.h>
#include <stdlib.h>
#include <string.h>

static const char *const exit_codes =
    "Exit codes:\n"
    "  0  done\n"
    "  1  any other failure; diff: the two are not the same\n"
    "  2  wrong usage: an unknown flag, a bad value, a missing argument\n"
    "  3  the database: locked, absent, damaged, pruned, of another chain or module\n"
    "  4  the node refused (wrong password, wrong chain); a server that was named could not be\n"
    "     reached, or is none of shrewd's\n"
    "  5  the module cannot be used, or failed on a block or a view\n"
    "  6  a reorg deeper than --max-reorg-depth\n"
    "  7  check: the database is not sound\n"
    "  143, 130, 129\n"
    "     SIGTERM, SIGINT, SIGHUP ended it before it was done; of run they are 0\n";

static const char *const sources =
    "Flags also come from the environment (SHREWD_ and the name: SHREWD_DB_PATH; SHREWD_CONFIG\n"
    "names a config file) and from the file of --config (db-path = DIR). The command line wins\n"
    "over the environment, the environment over the file.\n";

static void print_indented(FILE *stream, const char *lines) {
    for (const char *at = lines; *at != 0;) {
        size_t len = strcspn(at, "\n");
        fprintf(stream, "  %.*s\n", (int)len, at);
        at += len + (at[len] == '\n');
    }
}

void shr_help_main(FILE *stream) {
    fprintf(stream, "shrewd indexes Bitcoin with a WebAssembly module, keeps every version of its "
                    "state,\nand answers the module's views over JSON-RPC at any height.\n\n"
                    "Usage: shrewd COMMAND [FLAGS] [ARGUMENTS]\n"
                    "       shrewd FLAGS                (the same as shrewd run FLAGS)\n\n"
                    "Commands:\n");
    for (size_t i = 0; i < SHR_COMMAND_COUNT; i++) {
        fprintf(stream, "  %-11s %s\n", shr_commands[i].name, shr_commands[i].summary);
    }
    fprintf(stream, "\nEach has a help of its own: shrewd COMMAND --help\n\nExamples:\n");
    print_indented(stream, "shrewd demo");
    print_indented(stream, shr_commands[SHR_COMMAND_RUN].examples);
    fprintf(stream, "\n%s\n%s", sources, exit_codes);
}

/* The help text with its default, and the actions that it is for, kept in `text`. */
static const char *describe(struct shr_buf *text, const struct shr_option *option,
                            const struct shr_command *command) {
    const char *actions = shr_option_actions(option, command);
    shr_buf_add_str(text, option->help);
    bool tells = option->fallback != NULL && option->kind != SHR_OPTION_HEIGHT &&
                 option->group != SHR_GROUP_COMPAT && strcmp(option->fallback, "0") != 0;
    if (tells) {
        shr_buf_printf(text, " (default %s)", option->fallback);
    }
    if (actions != NULL) {
        shr_buf_printf(text, " (only %s)", actions);
    }
    return shr_buf_cstr(text);
}

void shr_help_command(FILE *stream, const struct shr_command *command) {
    struct argp_option table[SHR_OPTION_MAX + SHR_GROUP_COUNT + 1] = {0};
    struct shr_buf texts[SHR_OPTION_MAX] = {0};
    size_t n = 0;
    for (int group = 0; group < SHR_GROUP_COUNT; group++) {
        bool titled = false;
        for (size_t i = 0; i < shr_option_count; i++) {
            const struct shr_option *option = &shr_options[i];
            if (option->group != (enum shr_option_group)group ||
                !shr_option_applies(option, command)) {
                continue;
            }
            if (!titled) {
                table[n].doc = shr_group_title(option->group);
                table[n++].group = group + 1;
                titled = true;
            }
            table[n].name = option->name;
            table[n].key = 0x100 + (int)i;
            table[n].arg = option->arg;
            table[n].doc = describe(&texts[i], option, command);
            table[n++].group = group + 1;
        }
    }
    char *doc = shr_asprintf("%s\n\v", command->about);
    char *name = shr_asprintf("shrewd %s", command->name);
    struct argp argp = {.options = table, .args_doc = command->arguments, .doc = doc};
    argp_help(&argp, stream, ARGP_HELP_SHORT_USAGE | ARGP_HELP_PRE_DOC | ARGP_HELP_LONG, name);
    fputs("\nExamples:\n", stream);
    print_indented(stream, command->examples);
    fprintf(stream, "\n%s\n%s", sources, exit_codes);
    free(name);
    free(doc);
    for (size_t i = 0; i < SHR_OPTION_MAX; i++) {
        shr_buf_free(&texts[i]);
    }
}
