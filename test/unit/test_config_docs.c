/* What is written about flags and commands: the manual page, doc/cli.md, the sample config. */
#include "config_load.h"

/* Whether the file says `text`, ignoring backslashes (which manual pages put before dashes). */
static bool file_says(const char *path, const char *text) {
    struct shr_buf raw = {0};
    char *full = shr_asprintf("%s/%s", SHREWD_SOURCE_DIR, path);
    assert_int_equal(shr_file_read(&raw, full, FILE_MAX, NULL), 0);
    size_t kept = 0;
    for (size_t i = 0; i < raw.len; i++) {
        if (raw.data[i] != '\\') {
            raw.data[kept++] = raw.data[i];
        }
    }
    raw.len = kept;
    bool says = strstr(shr_buf_cstr(&raw), text) != NULL;
    shr_buf_free(&raw);
    free(full);
    return says;
}

static void assert_file_says(const char *path, const char *text) {
    if (!file_says(path, text)) {
        fail_msg("%s does not mention %s", path, text);
    }
}

static void test_documented(void **state) {
    (void)state;
    for (size_t i = 0; i < shr_option_count; i++) {
        const struct shr_option *option = &shr_options[i];
        char flag[64];
        snprintf(flag, sizeof flag, "--%s", option->name);
        assert_file_says("packaging/shrewd.1", flag);
        assert_file_says("doc/cli.md", flag);
        if (option->env != NULL) {
            assert_file_says("packaging/shrewd.1", option->env);
            assert_file_says("doc/cli.md", option->env);
        }
        bool sampled = shr_option_applies(option, &shr_commands[SHR_COMMAND_RUN]) &&
                       option->kind != SHR_OPTION_ACTION && option->group != SHR_GROUP_COMPAT &&
                       shr_option_slot(option) == i && strcmp(option->name, "config") != 0;
        if (sampled) {
            snprintf(flag, sizeof flag, "%s = ", option->name);
            assert_file_says("packaging/shrewd.conf", flag);
        }
    }
    for (size_t i = 0; i < SHR_COMMAND_COUNT; i++) {
        char name[64];
        snprintf(name, sizeof name, "`%s", shr_commands[i].name);
        assert_file_says("doc/cli.md", name);
    }
    assert_false(file_says("doc/cli.md", "--no-such-flag"));
}

/* The sample with every comment that is an example taken away, but for the one that begins with
 * `without`. */
static void uncomment(struct shr_buf *out, const char *text, const char *without) {
    char *copy = strdup(text), *save = NULL;
    shr_buf_clear(out);
    for (char *at = strtok_r(copy, "\n", &save); at != NULL; at = strtok_r(NULL, "\n", &save)) {
        bool example =
            strncmp(at, "# ", 2) == 0 && strstr(at, " = ") != NULL && strchr(at, '`') == NULL;
        bool left_out = example && strncmp(at + 2, without, strlen(without)) == 0;
        shr_buf_printf(out, "%s\n", example && !left_out ? at + 2 : at);
    }
    free(copy);
}

/* The sample loads as it is, and with its examples; of two that exclude each other, with either. */
static void test_sample_config(void **state) {
    (void)state;
    struct shr_config config;
    struct shr_buf raw = {0};
    char line[300];
    assert_int_equal(
        shr_file_read(&raw, SHREWD_SOURCE_DIR "/packaging/shrewd.conf", FILE_MAX, NULL), 0);
    char *text = shr_buf_cstr(&raw);
    write_config(text);
    snprintf(line, sizeof line, "run --config %s", config_path);
    if (load(&config, line) != 0) {
        fail_msg("%s", err.message);
    }
    assert_string_equal(config.indexer, "/etc/shrewd/module.wasm");
    shr_config_free(&config);
    struct shr_buf all = {0};
    uncomment(&all, text, "snapshot-directory = ");
    write_config(shr_buf_cstr(&all));
    if (load(&config, line) != 0) {
        fail_msg("%s", err.message);
    }
    assert_string_equal(config.fork, "/var/lib/shrewd/other");
    shr_config_free(&config);
    uncomment(&all, text, "fork = ");
    write_config(shr_buf_cstr(&all));
    if (load(&config, line) != 0) {
        fail_msg("%s", err.message);
    }
    assert_string_equal(config.snapshot_directory, "/srv/shrewd/snapshot");
    assert_string_equal(config.auth, "user:password");
    assert_string_equal(config.blocks, "/var/lib/bitcoind/blocks");
    assert_string_equal(config.daemon_rpc_url, "http://127.0.0.1:8332");
    shr_config_free(&config);
    shr_buf_free(&all);
    shr_buf_free(&raw);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_documented, clear_environment),
        cmocka_unit_test_setup(test_sample_config, clear_environment),
    };
    return cmocka_run_group_tests_name("config_docs", tests, make_config_file, remove_config_file);
}
