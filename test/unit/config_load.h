/* config_load.h: loading a configuration from one line of text, for the tests of flags. */
#ifndef SHR_TEST_CONFIG_LOAD_H
#define SHR_TEST_CONFIG_LOAD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* The command-line room is a program, not a library: its sources are read in here. */
// NOLINTBEGIN(bugprone-suspicious-include)
#include "cli/commands.c"
#include "cli/config.c"
#include "cli/config_file.c"
#include "cli/flags.c"
#include "cli/memory.c"
#include "cli/option_parse.c"
#include "cli/options.c"
#include "cli/settings.c"
// NOLINTEND(bugprone-suspicious-include)

#define ARGS_MAX 32

static char config_path[] = "/tmp/shrewd-test-config-XXXXXX";

static struct shrewd_error err;

/* Loads `line`, split at spaces; the first word is the command. */
static inline int load(struct shr_config *config, const char *line) {
    char *copy = strdup(line);
    char *argv[ARGS_MAX] = {0};
    int argc = 0;
    char *save = NULL;
    for (char *word = strtok_r(copy, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save)) {
        assert_true(argc < ARGS_MAX);
        argv[argc++] = word;
    }
    const struct shr_command *command = shr_command_find(argc > 0 ? argv[0] : "");
    assert_non_null(command);
    memset(&err, 0, sizeof err);
    int code = shr_config_load(config, command, argc - 1, argv + 1, &err);
    if (code != 0) {
        assert_int_equal(code, err.code);
    }
    free(copy);
    return code;
}

static inline void assert_refused(const char *line, const char *message) {
    struct shr_config config;
    assert_int_equal(load(&config, line), SHREWD_INVALID);
    if (strstr(err.message, message) == NULL) {
        fail_msg("'%s' gave '%s', not '%s'", line, err.message, message);
    }
}

static inline void write_config(const char *text) {
    FILE *file = fopen(config_path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static inline int clear_environment(void **state) {
    (void)state;
    clearenv();
    setenv("HOME", "/home/someone", 1);
    return 0;
}

/* Group setup and teardown: the config file that tests write to. */
static inline int make_config_file(void **state) {
    (void)state;
    int fd = mkstemp(config_path);
    return fd < 0 ? -1 : close(fd);
}

static inline int remove_config_file(void **state) {
    (void)state;
    return unlink(config_path);
}

#endif
