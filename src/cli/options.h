/* options.h: every flag, as data: the command line, the environment, the config file, --help and
 * completion all read this one table. */
#ifndef SHR_CLI_OPTIONS_H
#define SHR_CLI_OPTIONS_H

#include "cli/config.h"

enum shr_option_kind {
    SHR_OPTION_SWITCH, /* bool */
    SHR_OPTION_NUMBER, /* uint32_t, min to max */
    SHR_OPTION_PORT,   /* uint16_t */
    SHR_OPTION_HEIGHT, /* uint32_t: a number, or "latest" for SHR_UNSET */
    SHR_OPTION_LEVEL,  /* enum shr_log_level */
    SHR_OPTION_CHOICE, /* uint32_t: which of the words of `arg`, "one|two", counted from 0 */
    SHR_OPTION_TEXT,   /* the rest are char * */
    SHR_OPTION_FILE,
    SHR_OPTION_DIR,
    SHR_OPTION_PATH,   /* a file or a folder */
    SHR_OPTION_URL,    /* "http://" is put before a bare host:port */
    SHR_OPTION_SOCKET, /* a URL of any scheme, with its scheme */
    SHR_OPTION_AUTH,   /* user:password; never shown in a message */
    SHR_OPTION_LABEL,  /* part of a file name */
    SHR_OPTION_ACTION, /* --help, --version: only on the command line */
};

enum shr_option_group {
    SHR_GROUP_COMMAND,
    SHR_GROUP_BLOCKS,
    SHR_GROUP_STATE,
    SHR_GROUP_SERVER,
    SHR_GROUP_VIEWS,
    SHR_GROUP_COMPAT,
    SHR_GROUP_GENERAL,
    SHR_GROUP_COUNT
};

struct shr_option {
    const char *name; /* without dashes */
    const char *arg;  /* what --help calls the value; NULL for switches */
    enum shr_option_kind kind;
    enum shr_option_group group;
    unsigned commands;    /* bit 1 << enum shr_command_id: where it applies */
    uint32_t min, max;    /* numbers */
    const char *fallback; /* the default, in the same notation; NULL: unset, 0 or false */
    const char *env;      /* the container's name for it, besides SHREWD_<NAME>; or NULL */
    size_t offset;        /* of its field in struct shr_config; two names may share one */
    const char *help;
};

#define SHR_OPTION_MAX 96

extern const struct shr_option shr_options[];
extern const size_t shr_option_count;

/* NULL when there is none. */
const struct shr_option *shr_option_find(const char *name, size_t len);
bool shr_option_applies(const struct shr_option *option, const struct shr_command *command);
/* Which of the command's actions (its `words`) use the option, as "create and restore"; NULL: all,
 * or the command has none. */
const char *shr_option_actions(const struct shr_option *option, const struct shr_command *command);
/* The index of the first option with the same field: an alias shares the setting. */
size_t shr_option_slot(const struct shr_option *option);
/* Its environment variable, SHREWD_<NAME>. */
void shr_option_env(char out[64], const struct shr_option *option);
/* The nearest flag to a mistyped name, among the command's (NULL: among all, for config files);
 * NULL when none is near. */
const char *shr_option_nearest(const char *name, size_t len, const struct shr_command *command);
const char *shr_group_title(enum shr_option_group group);

/* How many single edits (a letter added, lost, changed, two swapped) turn one into the other. */
size_t shr_edit_distance(const char *a, size_t a_len, const char *b, size_t b_len);
/* Whether `distance` is small enough for a name of that length to suggest it. */
bool shr_edit_near(size_t distance, size_t len);

/* --- Settings: each flag's text as given, before it is checked --- */

enum shr_layer { SHR_LAYER_NONE, SHR_LAYER_FILE, SHR_LAYER_ENV, SHR_LAYER_FLAG };

struct shr_setting {
    char *value;
    char *origin; /* how messages name it: "--port", "SHREWD_PORT", "shrewd.conf:3: port" */
    enum shr_layer layer;
};

struct shr_settings {
    struct shr_setting at[SHR_OPTION_MAX]; /* by shr_option_slot */
    char **args;
    int n_args;
    bool help, version;
};

void shr_settings_free(struct shr_settings *settings);
/* Replaces a setting of a lower or equal layer. Copies the value, takes over the origin. */
void shr_settings_put(struct shr_settings *settings, const struct shr_option *option,
                      enum shr_layer layer, const char *value, char *origin);
int shr_settings_from_flags(struct shr_settings *settings, const struct shr_command *command,
                            int argc, char **argv, struct shrewd_error *err);
void shr_settings_from_env(struct shr_settings *settings);
int shr_settings_from_file(struct shr_settings *settings, const char *path,
                           struct shrewd_error *err);

/* Checks `text` and writes it to the option's field. The message names `origin`, the value and
 * what was expected. */
int shr_option_parse(const struct shr_option *option, struct shr_config *config, const char *text,
                     const char *origin, struct shrewd_error *err);

#endif
