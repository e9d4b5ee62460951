#include "cli/config.h"

#include "base/alloc.h"
#include "cli/options.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PRUNE_MARGIN 20u /* blocks kept beyond the deepest reorg */

static struct shr_setting *setting(struct shr_settings *settings, const char *name) {
    return &settings->at[shr_option_slot(shr_option_find(name, strlen(name)))];
}

static void drop(struct shr_setting *dropped) {
    free(dropped->value);
    free(dropped->origin);
    *dropped = (struct shr_setting){0};
}

/* Two settings that answer the same question: the one of the higher layer stays, `first` when
 * they are equal; two flags contradict each other. */
static int settle(struct shr_settings *settings, const struct shr_command *command,
                  const char *first, const char *second, struct shrewd_error *err) {
    if (!shr_option_applies(shr_option_find(first, strlen(first)), command)) {
        return 0;
    }
    struct shr_setting *a = setting(settings, first);
    struct shr_setting *b = setting(settings, second);
    if (a->layer == SHR_LAYER_NONE || b->layer == SHR_LAYER_NONE) {
        return 0;
    }
    if (a->layer == SHR_LAYER_FLAG && b->layer == SHR_LAYER_FLAG) {
        return shr_fail(err, SHREWD_INVALID, "give --%s or --%s, not both", first, second);
    }
    drop(a->layer < b->layer ? a : b);
    return 0;
}

struct need {
    const char *name;
    const char *other; /* this one will do too; NULL: none */
};

/* What a command cannot go without; ends with {0}. */
static const struct need *needs_of(const struct shr_command *command, bool server) {
    static const struct need none[] = {{0}};
    static const struct need run[] = {
        {"indexer", NULL}, {"db-path", NULL}, {"daemon-rpc-url", "blocks"}, {0}};
    static const struct need view[] = {{"db-path", "server"}, {"indexer", NULL}, {0}};
    static const struct need status[] = {{"db-path", "server"}, {0}};
    static const struct need rollback[] = {{"db-path", NULL}, {"height", NULL}, {0}};
    static const struct need dump[] = {{"db-path", NULL}, {0}};
    static const struct need import[] = {{"db-path", NULL}, {"indexer", NULL}, {0}};
    static const struct need load[] = {{"db-path", NULL},    {"indexer", NULL}, {"network", NULL},
                                       {"block-hash", NULL}, {"height", NULL},  {0}};
    static const struct need bench[] = {{"view", NULL}, {0}};
    switch (command->id) {
    case SHR_COMMAND_RUN:
        return run;
    case SHR_COMMAND_VIEW:
    case SHR_COMMAND_PREVIEW:
        return server ? none : view;
    case SHR_COMMAND_STATUS:
    case SHR_COMMAND_PROVE:
        return server ? none : status;
    case SHR_COMMAND_ROLLBACK:
        return rollback;
    case SHR_COMMAND_EXPORT_ROCKSHREW:
    case SHR_COMMAND_DUMP:
    case SHR_COMMAND_CHECK:
        return dump;
    case SHR_COMMAND_IMPORT_ROCKSHREW:
        return import;
    case SHR_COMMAND_LOAD:
        return load;
    case SHR_COMMAND_BENCH:
        return bench;
    default:
        return none;
    }
}

static void name_need(struct shr_buf *out, const char *name) {
    const struct shr_option *option = shr_option_find(name, strlen(name));
    shr_buf_printf(out, "--%s %s", option->name, option->arg);
}

static int check_needs(struct shr_settings *settings, const struct shr_command *command,
                       struct shrewd_error *err) {
    struct shr_buf missing = {0};
    bool server = setting(settings, "server")->layer != SHR_LAYER_NONE;
    for (const struct need *need = needs_of(command, server); need->name != NULL; need++) {
        bool other = need->other != NULL && setting(settings, need->other)->layer != SHR_LAYER_NONE;
        if (setting(settings, need->name)->layer != SHR_LAYER_NONE || other) {
            continue;
        }
        shr_buf_add_str(&missing, missing.len > 0 ? ", " : "");
        name_need(&missing, need->name);
        if (need->other != NULL) {
            shr_buf_add_str(&missing, " (or ");
            name_need(&missing, need->other);
            shr_buf_add_str(&missing, ")");
        }
    }
    int code = 0;
    if (missing.len > 0) {
        code = shr_fail(err, SHREWD_INVALID, "'shrewd %s' needs %s\nfor example:\n%s",
                        command->name, shr_buf_cstr(&missing), command->examples);
    }
    shr_buf_free(&missing);
    return code;
}

static int check_args(const struct shr_settings *settings, const struct shr_command *command,
                      struct shrewd_error *err) {
    if (settings->n_args < command->args_min) {
        return shr_fail(err, SHREWD_INVALID, "'shrewd %s' needs %s\nfor example:\n%s",
                        command->name, command->arguments, command->examples);
    }
    if (settings->n_args <= command->args_max) {
        return 0;
    }
    const char *extra = settings->args[command->args_max];
    if (command->args_max > 0) {
        return shr_fail(err, SHREWD_INVALID, "'%.100s' is too much: shrewd %s %s", extra,
                        command->name, command->arguments);
    }
    if (shr_command_find(extra) != NULL) {
        return shr_fail(err, SHREWD_INVALID,
                        "'shrewd %s' takes no argument, but got '%s'; a command comes before its "
                        "flags: shrewd %s ...",
                        command->name, extra, extra);
    }
    return shr_fail(err, SHREWD_INVALID, "'shrewd %s' takes no argument, but got '%.100s'",
                    command->name, extra);
}

static bool has_word(const char *words, const char *word) {
    size_t len = strlen(word);
    for (const char *at = words; *at != 0;) {
        size_t n = strcspn(at, " ");
        if (n == len && memcmp(at, word, n) == 0) {
            return true;
        }
        at += n + (at[n] == ' ');
    }
    return false;
}

/* A flag that the action does not use is a misunderstanding, one in the environment or a file is
 * not: those are shared. An unknown action is told by the command. */
static int check_actions(const struct shr_settings *settings, const struct shr_command *command,
                         struct shrewd_error *err) {
    for (size_t i = 0; i < shr_option_count && settings->n_args > 0; i++) {
        const char *action = settings->args[0];
        const char *actions = shr_option_actions(&shr_options[i], command);
        if (settings->at[i].layer == SHR_LAYER_FLAG && actions != NULL &&
            has_word(command->words, action) && !has_word(actions, action)) {
            return shr_fail(err, SHREWD_INVALID,
                            "%s: 'shrewd %s %s' has no use for it, only %s; leave it out",
                            settings->at[i].origin, command->name, action, actions);
        }
    }
    return 0;
}

/* It would be taken for a check that is made. */
static int check_idle_root(struct shr_settings *settings, const struct shr_command *command,
                           struct shrewd_error *err) {
    const struct shr_setting *expected = setting(settings, "expect-root");
    bool idle = command->id == SHR_COMMAND_RUN && expected->layer != SHR_LAYER_NONE &&
                setting(settings, "repo")->layer == SHR_LAYER_NONE;
    return !idle ? 0
                 : shr_fail(err, SHREWD_INVALID,
                            "%s: it is what the snapshot of --repo must end with, and none is "
                            "given; give --repo PLACE too, or leave it out",
                            expected->origin);
}

/* $XDG_CACHE_HOME or ~/.cache, as the XDG base directory specification has it; NULL: neither. */
static char *default_cache_dir(void) {
    const char *cache = getenv("XDG_CACHE_HOME");
    if (cache != NULL && cache[0] == '/') {
        return shr_asprintf("%s/shrewd/modules", cache);
    }
    const char *home = getenv("HOME");
    return home != NULL && home[0] == '/' ? shr_asprintf("%s/.cache/shrewd/modules", home) : NULL;
}

static int gather(struct shr_settings *settings, const struct shr_command *command, int argc,
                  char **argv, struct shrewd_error *err) {
    int code = shr_settings_from_flags(settings, command, argc, argv, err);
    if (code != 0 || settings->help || settings->version) {
        return code;
    }
    shr_settings_from_env(settings);
    const char *file = setting(settings, "config")->value;
    if (file != NULL) {
        char *path = shr_strdup(file);
        code = shr_settings_from_file(settings, path, err);
        free(path);
    }
    if (code == 0) {
        code = settle(settings, command, "server", "db-path", err);
    }
    if (code == 0) {
        code = check_args(settings, command, err);
    }
    code = code != 0 ? code : check_actions(settings, command, err);
    code = code != 0 ? code : check_idle_root(settings, command, err);
    return code != 0 ? code : check_needs(settings, command, err);
}

/* Rolling back needs the versions that pruning removes: all that a reorg may take back, and some,
 * as the chain may grow before it is followed. So does a snapshot that grows: all since its end. */
static int check_prune(const struct shr_config *config, struct shrewd_error *err) {
    uint64_t least = (uint64_t)config->max_reorg_depth + PRUNE_MARGIN;
    if (config->prune != 0 && config->fork != NULL) {
        return shr_fail(err, SHREWD_INVALID,
                        "--prune: a database made with --fork cannot be pruned; leave one out");
    }
    if (config->prune != 0 && config->snapshot_directory != NULL &&
        config->prune < config->snapshot_interval) {
        return shr_fail(err, SHREWD_INVALID,
                        "--prune: %u is too few: a snapshot goes on every %u blocks "
                        "(--snapshot-interval), from where the one before ended; give %u at least, "
                        "or a smaller interval",
                        config->prune, config->snapshot_interval, config->snapshot_interval);
    }
    if (config->prune != 0 && config->prune < least) {
        return shr_fail(err, SHREWD_INVALID,
                        "--prune: %u is too few: a reorg may take back %u blocks "
                        "(--max-reorg-depth), so give %llu at least, or 0 to keep all",
                        config->prune, config->max_reorg_depth, (unsigned long long)least);
    }
    return 0;
}

/* A fork holds a part of the blocks only: there is no snapshot to be made of it. */
static int check_snapshots(const struct shr_config *config, struct shrewd_error *err) {
    return config->snapshot_directory == NULL || config->fork == NULL
               ? 0
               : shr_fail(err, SHREWD_INVALID,
                          "--snapshot-directory: a database made with --fork cannot be made a "
                          "snapshot of; leave one out, or keep one of the database that it reads "
                          "through to");
}

/* Flags of other commands, set in the environment or a shared file, are not looked at. */
static int parse_all(struct shr_config *out, const struct shr_settings *settings,
                     const struct shr_command *command, struct shrewd_error *err) {
    out->exit_at = SHR_UNSET;
    out->state_root = SHR_UNSET;
    out->height = SHR_UNSET;
    out->view_cache_mb = SHR_UNSET;
    out->memory_mb = SHR_UNSET;
    out->cache_mb = SHR_UNSET;
    out->read_cache_mb = SHR_UNSET;
    for (size_t i = 0; i < shr_option_count; i++) {
        const struct shr_option *option = &shr_options[i];
        const struct shr_setting *given = &settings->at[i];
        bool use = given->layer != SHR_LAYER_NONE && shr_option_applies(option, command);
        const char *text = use ? given->value : option->fallback;
        int code =
            text == NULL || shr_option_slot(option) != i
                ? 0
                : shr_option_parse(option, out, text, use ? given->origin : option->name, err);
        if (code != 0) {
            return code;
        }
    }
    if (out->exit_at < out->start_block) {
        return shr_fail(err, SHREWD_INVALID, "--exit-at: %u lies below --start-block %u",
                        out->exit_at, out->start_block);
    }
    int code = check_prune(out, err);
    code = code != 0 ? code : check_snapshots(out, err);
    bool budget = shr_option_applies(shr_option_find("memory-mb", strlen("memory-mb")), command);
    return code != 0 ? code : shr_config_memory(out, budget, err);
}

int shr_config_load(struct shr_config *out, const struct shr_command *command, int argc,
                    char **argv, struct shrewd_error *err) {
    struct shr_settings settings = {0};
    *out = (struct shr_config){0};
    int code = gather(&settings, command, argc, argv, err);
    if (code == 0 && !settings.help && !settings.version) {
        code = parse_all(out, &settings, command, err);
    }
    if (code != 0) {
        shr_config_free(out);
        goto out;
    }
    out->help = settings.help;
    out->version = settings.version;
    if (out->cache_dir == NULL) {
        out->cache_dir = default_cache_dir();
    }
    out->args = settings.args;
    out->n_args = settings.n_args;
    settings.args = NULL;
    settings.n_args = 0;
out:
    shr_settings_free(&settings);
    return code;
}

void shr_config_free(struct shr_config *config) {
    for (size_t i = 0; i < shr_option_count; i++) {
        const struct shr_option *option = &shr_options[i];
        bool text = option->kind >= SHR_OPTION_TEXT && option->kind != SHR_OPTION_ACTION;
        if (text && shr_option_slot(option) == i) {
            free(*(char **)(void *)((char *)config + option->offset));
        }
    }
    for (int i = 0; i < config->n_args; i++) {
        free(config->args[i]);
    }
    free(config->args);
    *config = (struct shr_config){0};
}

char *shr_config_db_dir(const struct shr_config *config) {
    if (config->db_path == NULL) {
        return NULL;
    }
    size_t len = strlen(config->db_path);
    while (len > 1 && config->db_path[len - 1] == '/') {
        len--;
    }
    return config->label == NULL
               ? shr_strndup(config->db_path, len)
               : shr_asprintf("%.*s-%s", (int)len, config->db_path, config->label);
}

void shr_config_views(struct shrewd_view_options *out, const struct shr_config *config) {
    bool kept = config->view_cache_mb != SHR_UNSET;
    *out = (struct shrewd_view_options){
        .fresh = config->views == 1,
        .results_off = kept && config->view_cache_mb == 0,
        .pool_bytes = (uint64_t)config->view_memory_mb << 20,
        .results_bytes = kept ? (uint64_t)config->view_cache_mb << 20 : 0,
        .verify_every = config->view_verify,
        .time_ms = config->view_timeout_ms,
        .preview_time_ms = config->preview_timeout_ms,
        .memory_max = (uint64_t)config->view_instance_mb << 20,
        .result_max = (size_t)config->view_result_mb << 20,
        .log_lines_max = config->view_log_lines,
    };
}

int shr_exit_for(int code) {
    switch (code) {
    case 0:
        return SHR_EXIT_OK;
    case SHREWD_INVALID:
    case SHREWD_UNSUPPORTED:
        return SHR_EXIT_USAGE;
    case SHREWD_NOT_FOUND:
    case SHREWD_CORRUPT:
    case SHREWD_LOCKED:
    case SHREWD_MISMATCH:
    case SHREWD_PRUNED:
        return SHR_EXIT_DATABASE;
    case SHREWD_NODE:
    case SHREWD_NODE_BUSY:
        return SHR_EXIT_NODE;
    case SHREWD_TRAP:
    case SHREWD_GUEST:
    case SHREWD_MODULE:
    case SHREWD_NO_VIEW:
        return SHR_EXIT_GUEST;
    case SHREWD_REORG_DEPTH:
        return SHR_EXIT_REORG;
    default:
        return SHR_EXIT_FAILURE;
    }
}

int shr_report(const struct shrewd_error *err) {
    /* A message may quote a guest or a server: only its line breaks and tabs reach the terminal
     * as they are. */
    struct shr_buf safe = {0};
    for (const char *at = err->message; *at != 0;) {
        size_t len = strcspn(at, "\n\t");
        shr_escape(&safe, shr_bytes(at, len));
        if (at[len] != 0) {
            shr_buf_add_u8(&safe, (uint8_t)at[len++]);
        }
        at += len;
    }
    fprintf(stderr, "shrewd: %s\n", shr_buf_cstr(&safe));
    shr_buf_free(&safe);
    return shr_exit_for(err->code);
}
