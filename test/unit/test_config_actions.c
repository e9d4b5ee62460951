/* Flags that not every action of a command uses, and those that are idle without another. */
#include "config_lines.h"

#define SNAPSHOT (&shr_commands[SHR_COMMAND_SNAPSHOT])

static const struct shr_option *option(const char *name) {
    const struct shr_option *found = shr_option_find(name, strlen(name));
    assert_non_null(found);
    return found;
}

/* As the contract has it, not as the table. */
static void a_flag_is_refused_where_it_is_not_used(void **state) {
    (void)state;
    static const struct {
        const char *flag, *value, *used_by;
    } flags[] = {
        {"height", "3", "create"},
        {"fork", "f", "create"},
        {"indexer", "m", "restore"},
        {"expect-root", "11", "restore and verify"},
        {"db-path", "d", "create and restore"},
        {"label", "l", "create and restore"},
        {"cache-mb", "8", "create and restore"},
    };
    static const char *const actions[] = {"create", "restore", "verify"};
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        for (size_t j = 0; j < 3; j++) {
            char line[100], says[200];
            struct shr_config config;
            snprintf(line, sizeof line, "snapshot %s p --%s %s", actions[j], flags[i].flag,
                     flags[i].value);
            snprintf(says, sizeof says,
                     "--%s: 'shrewd snapshot %s' has no use for it, only %s; leave it out",
                     flags[i].flag, actions[j], flags[i].used_by);
            if (strstr(flags[i].used_by, actions[j]) == NULL) {
                assert_refused(line, says);
            } else {
                assert_int_equal(load(&config, line), 0);
                shr_config_free(&config);
            }
        }
        assert_string_equal(shr_option_actions(option(flags[i].flag), SNAPSHOT), flags[i].used_by);
        assert_null(shr_option_actions(option(flags[i].flag), &shr_commands[SHR_COMMAND_RUN]));
    }
}

/* What is in the environment or a file is there for other commands too. */
static void what_is_shared_is_not_refused(void **state) {
    (void)state;
    struct shr_config config;
    setenv("INDEXER", "m", 1);
    write_config("db-path = d\nexpect-root = 11\n");
    setenv("SHREWD_CONFIG", config_path, 1);
    for (const char *const *line =
             (const char *const[]){"snapshot create p", "snapshot verify p", "snapshot x p", NULL};
         *line != NULL; line++) {
        assert_int_equal(load(&config, *line), 0);
        shr_config_free(&config);
    }
}

static void an_unknown_action_is_not_taken_for_one(void **state) {
    (void)state;
    struct shr_config config;
    assert_int_equal(load(&config, "snapshot re p --height 3"), 0);
    shr_config_free(&config);
}

static void a_root_is_not_expected_of_nothing(void **state) {
    (void)state;
    struct shr_config config;
    const char *run = "run --indexer m --db-path d --daemon-rpc-url u";
    char line[200];
    snprintf(line, sizeof line, "%s --expect-root 11", run);
    assert_refused(line, "--expect-root: it is what the snapshot of --repo must end with");
    snprintf(line, sizeof line, "%s --expect-root 11 --repo p", run);
    assert_int_equal(load(&config, line), 0);
    shr_config_free(&config);
    setenv("SHREWD_EXPECT_ROOT", "11", 1);
    assert_refused(run, "SHREWD_EXPECT_ROOT: it is what");
    setenv("SHREWD_REPO", "p", 1);
    assert_int_equal(load(&config, run), 0);
    shr_config_free(&config);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_flag_is_refused_where_it_is_not_used, clear_environment),
        cmocka_unit_test_setup(what_is_shared_is_not_refused, clear_environment),
        cmocka_unit_test_setup(an_unknown_action_is_not_taken_for_one, clear_environment),
        cmocka_unit_test_setup(a_root_is_not_expected_of_nothing, clear_environment),
    };
    return cmocka_run_group_tests(tests, make_config_file, remove_config_file);
}
