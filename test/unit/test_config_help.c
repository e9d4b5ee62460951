/* --help: every flag that a command takes is there; doc/cli.md names the same commands. */
#include "config_load.h"

// NOLINTNEXTLINE(bugprone-suspicious-include)
#include "cli/help.c"

/* The help page of a command. */
static void read_page(struct shr_buf *out, const struct shr_command *command) {
    char part[4096];
    FILE *stream = tmpfile();
    assert_non_null(stream);
    shr_help_command(stream, command);
    rewind(stream);
    for (size_t len; (len = fread(part, 1, sizeof part, stream)) > 0;) {
        shr_buf_append(out, part, len);
    }
    assert_int_equal(fclose(stream), 0);
}

static bool page_has(const char *page, const struct shr_option *option) {
    char flag[64];
    size_t len = (size_t)snprintf(flag, sizeof flag, "--%s", option->name);
    for (const char *at = strstr(page, flag); at != NULL; at = strstr(at + 1, flag)) {
        if (at[len] == ' ' || at[len] == '=' || at[len] == '\n') {
            return true;
        }
    }
    return false;
}

static void test_every_flag_is_in_the_help(void **state) {
    (void)state;
    for (size_t i = 0; i < SHR_COMMAND_COUNT; i++) {
        struct shr_buf raw = {0};
        read_page(&raw, &shr_commands[i]);
        const char *page = shr_buf_cstr(&raw);
        for (size_t at = 0; at < shr_option_count; at++) {
            const struct shr_option *option = &shr_options[at];
            if (shr_option_applies(option, &shr_commands[i]) && !page_has(page, option)) {
                fail_msg("shrewd %s --help does not have --%s", shr_commands[i].name, option->name);
            }
        }
        shr_buf_free(&raw);
    }
}

static void test_groups_have_a_title(void **state) {
    (void)state;
    for (size_t i = 0; i < shr_option_count; i++) {
        assert_true(shr_options[i].group < SHR_GROUP_COUNT);
        assert_true(shr_options[i].commands != 0);
    }
}

/* Of one row of the table of flags: the commands named. False when it says more than names. */
static bool row_commands(unsigned *out, char *cell) {
    char *save = NULL;
    *out = 0;
    for (char *name = strtok_r(cell, ",", &save); name != NULL; name = strtok_r(NULL, ",", &save)) {
        name += strspn(name, " ");
        name[strcspn(name, " ")] = 0;
        const struct shr_command *command = shr_command_find(name);
        if (command == NULL) {
            return false;
        }
        *out |= 1u << command->id;
    }
    return *out != 0;
}

/* A row "| `--name ARG`, `--other ARG` | run, view | ..": how many flags were compared. */
static size_t check_row(char *row) {
    unsigned commands;
    char *flags = row + 1, *cells = strstr(row, "` | "), *end;
    if (strncmp(row, "| `--", 5) != 0 || cells == NULL || (end = strstr(cells + 4, " |")) == NULL) {
        return 0;
    }
    *cells = *end = 0;
    if (strstr(cells + 4, " of ") != NULL) {
        return 0; /* "prove and verify of a view" */
    }
    if (!row_commands(&commands, cells + 4)) {
        return 0;
    }
    size_t n = 0;
    for (char *at = strstr(flags, "`--"); at != NULL; at = strstr(at + 3, "`--"), n++) {
        const struct shr_option *option = shr_option_find(at + 3, strcspn(at + 3, " `"));
        assert_non_null(option);
        if (option->commands != commands) {
            fail_msg("doc/cli.md names other commands for --%s than take it: %#x, not %#x",
                     option->name, commands, option->commands);
        }
    }
    return n;
}

static void test_the_page_names_the_commands(void **state) {
    (void)state;
    struct shr_buf raw = {0};
    char *save = NULL;
    size_t n = 0;
    assert_int_equal(shr_file_read(&raw, SHREWD_SOURCE_DIR "/doc/cli.md", FILE_MAX, NULL), 0);
    for (char *row = strtok_r(shr_buf_cstr(&raw), "\n", &save); row != NULL;
         row = strtok_r(NULL, "\n", &save)) {
        n += check_row(row);
    }
    assert_true(n > 40);
    shr_buf_free(&raw);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_flag_is_in_the_help),
        cmocka_unit_test(test_groups_have_a_title),
        cmocka_unit_test(test_the_page_names_the_commands),
    };
    return cmocka_run_group_tests_name("config_help", tests, NULL, NULL);
}
