/* Flags, environment, config file: every option of the table by each way, precedence, messages. */
#include "config_lines.h"

struct sample {
    const char *text;
    const char *string; /* what a text field holds then */
    uint32_t number;    /* what any other field holds */
};

static struct sample sample_of(const struct shr_option *option) {
    switch (option->kind) {
    case SHR_OPTION_SWITCH:
        return (struct sample){"true", NULL, true};
    case SHR_OPTION_NUMBER:
        return (struct sample){"256", NULL, 256};
    case SHR_OPTION_PORT:
        return (struct sample){"65535", NULL, 65535};
    case SHR_OPTION_HEIGHT:
        return (struct sample){"0x1F", NULL, 31};
    case SHR_OPTION_LEVEL:
        return (struct sample){"warn", NULL, SHR_LOG_WARN};
    case SHR_OPTION_CHOICE:
        return strcmp(option->name, "fsync") == 0        ? (struct sample){"never", NULL, 2}
               : strcmp(option->name, "state-root") == 0 ? (struct sample){"off", NULL, 1}
                                                         : (struct sample){"fresh", NULL, 1};
    case SHR_OPTION_URL:
        return (struct sample){"node:8332", "http://node:8332", 0};
    case SHR_OPTION_SOCKET:
        return (struct sample){"tcp://a:1", "tcp://a:1", 0};
    case SHR_OPTION_AUTH:
        return (struct sample){"u:p=w:x", "u:p=w:x", 0};
    default:
        return (struct sample){"some.text", "some.text", 0};
    }
}

static void assert_field(const struct shr_config *config, const struct shr_option *option) {
    const void *field = (const char *)config + option->offset;
    struct sample sample = sample_of(option);
    if (sample.string != NULL) {
        assert_string_equal(*(char *const *)field, sample.string);
    } else if (option->kind == SHR_OPTION_SWITCH) {
        assert_true(*(const bool *)field);
    } else if (option->kind == SHR_OPTION_PORT) {
        assert_int_equal(*(const uint16_t *)field, sample.number);
    } else {
        assert_int_equal(*(const uint32_t *)field, sample.number);
    }
}

static bool by_any_way(const struct shr_option *option, const struct shr_command *command) {
    return option->kind != SHR_OPTION_ACTION && strcmp(option->name, "config") != 0 &&
           shr_option_applies(option, command);
}

static void test_each_flag(void **state) {
    (void)state;
    for (size_t c = 0; c < SHR_COMMAND_COUNT; c++) {
        for (size_t i = 0; i < shr_option_count; i++) {
            const struct shr_option *option = &shr_options[i];
            if (!by_any_way(option, &shr_commands[c])) {
                continue;
            }
            const char *text = sample_of(option).text;
            const char *base = line_for(option, shr_commands[c].id);
            for (int form = 0; form < 2; form++) {
                char line[300];
                struct shr_config config;
                if (option->arg == NULL) {
                    snprintf(line, sizeof line, "%s --%s", base, option->name);
                } else {
                    snprintf(line, sizeof line, "%s --%s%s%s", base, option->name,
                             form == 0 ? " " : "=", text);
                }
                if (load(&config, line) != 0) {
                    fail_msg("'%s': %s", line, err.message);
                }
                assert_field(&config, option);
                shr_config_free(&config);
            }
        }
    }
}

/* The base line without the flag under test: a flag would win. */
static char *without(const char *line, const char *name) {
    char *copy = strdup(line);
    char flag[64];
    snprintf(flag, sizeof flag, " --%s ", name);
    char *at = strstr(copy, flag);
    if (at != NULL) {
        char *rest = strchr(at + strlen(flag), ' ');
        memmove(at, rest != NULL ? rest : "", rest != NULL ? strlen(rest) + 1 : 1);
    }
    return copy;
}

static void test_each_variable_and_key(void **state) {
    (void)state;
    for (size_t c = 0; c < SHR_COMMAND_COUNT; c++) {
        for (size_t i = 0; i < shr_option_count; i++) {
            const struct shr_option *option = &shr_options[i];
            if (!by_any_way(option, &shr_commands[c])) {
                continue;
            }
            char name[64];
            char text[200];
            struct shr_config config;
            char *line = without(line_for(option, shr_commands[c].id), option->name);
            shr_option_env(name, option);
            setenv(name, sample_of(option).text, 1);
            if (load(&config, line) != 0) {
                fail_msg("%s with '%s': %s", name, line, err.message);
            }
            assert_field(&config, option);
            shr_config_free(&config);
            unsetenv(name);

            snprintf(text, sizeof text, "%s = %s\n", option->name, sample_of(option).text);
            write_config(text);
            setenv("SHREWD_CONFIG", config_path, 1);
            if (load(&config, line) != 0) {
                fail_msg("%s with '%s': %s", text, line, err.message);
            }
            assert_field(&config, option);
            shr_config_free(&config);
            unsetenv("SHREWD_CONFIG");
            free(line);
        }
    }
}

/* As in the contract, not as in the table. */
static void test_reference_flags(void **state) {
    (void)state;
    struct shr_config config;
    assert_int_equal(
        load(&config,
             "run --daemon-rpc-url http://user:pass@127.0.0.1:18443 --auth a:b --indexer x.wasm "
             "--db-path /db --fork /old --start-block 880000 --host 0.0.0.0 --port 8081 "
             "--label alkanes --exit-at 900000 --pipeline-size 10"),
        0);
    assert_string_equal(config.daemon_rpc_url, "http://user:pass@127.0.0.1:18443");
    assert_string_equal(config.auth, "a:b");
    assert_string_equal(config.fork, "/old");
    assert_int_equal(config.start_block, 880000);
    assert_string_equal(config.host, "0.0.0.0");
    assert_int_equal(config.port, 8081);
    assert_int_equal(config.exit_at, 900000);
    assert_int_equal(config.prefetch_blocks, 10);
    char *dir = shr_config_db_dir(&config);
    assert_string_equal(dir, "/db-alkanes");
    free(dir);
    shr_config_free(&config);
    assert_int_equal(load(&config, "run --daemon-rpc-url ssh2+http://h:8332 --indexer x --db-path "
                                   "/db/ --cors * --snapshot-directory s --snapshot-interval 500 "
                                   "--repo https://r --max-reorg-depth 50 "
                                   "--reorg-check-threshold 3 --prefetch-size 7 "
                                   "--prefetch-mb 12 --node-timeout-ms 500 "
                                   "--enable-preview --view-concurrency 4 --view-memory-mb 64 "
                                   "--read-cache-mb 0"),
                     0);
    assert_string_equal(config.daemon_rpc_url, "ssh2+http://h:8332");
    assert_string_equal(config.cors, "*");
    assert_int_equal(config.snapshot_interval, 500);
    assert_int_equal(config.max_reorg_depth, 50);
    assert_int_equal(config.reorg_check_threshold, 3);
    assert_int_equal(config.prefetch_blocks, 7);
    assert_int_equal(config.prefetch_mb, 12);
    assert_int_equal(config.node_timeout_ms, 500);
    assert_true(config.enable_preview);
    assert_int_equal(config.view_concurrency, 4);
    assert_int_equal(config.view_memory_mb, 64);
    assert_int_equal(config.read_cache_mb, 0);
    dir = shr_config_db_dir(&config);
    assert_string_equal(dir, "/db");
    free(dir);
    shr_config_free(&config);
}

static void test_defaults(void **state) {
    (void)state;
    struct shr_config config;
    assert_int_equal(load(&config, base_line(SHR_COMMAND_RUN)), 0);
    assert_string_equal(config.host, "127.0.0.1");
    assert_int_equal(config.port, 8080);
    assert_int_equal(config.snapshot_interval, 1000);
    assert_int_equal(config.max_reorg_depth, 100);
    assert_int_equal(config.reorg_check_threshold, 6);
    assert_int_equal(config.load_pairs, 30000);
    assert_int_equal(config.view_concurrency, 16);
    assert_int_equal(config.view_memory_mb, 256);
    assert_int_equal(config.memory_mb, 1024);
    assert_int_equal(config.cache_mb, 192);
    assert_int_equal(config.read_cache_mb, 192);
    assert_int_equal(config.pending_mb, 128);
    assert_int_equal(config.fsync, 1);
    assert_int_equal(config.start_block, 0);
    assert_int_equal(config.exit_at, SHR_UNSET);
    assert_int_equal(config.height, SHR_UNSET);
    assert_int_equal(config.log_level, SHR_LOG_INFO);
    assert_string_equal(config.cache_dir, "/home/someone/.cache/shrewd/modules");
    assert_null(config.label);
    assert_null(config.cors);
    assert_false(config.accept_module);
    shr_config_free(&config);
    setenv("XDG_CACHE_HOME", "/var/cache", 1);
    assert_int_equal(load(&config, base_line(SHR_COMMAND_RUN)), 0);
    assert_string_equal(config.cache_dir, "/var/cache/shrewd/modules");
    shr_config_free(&config);
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    assert_int_equal(load(&config, base_line(SHR_COMMAND_RUN)), 0);
    assert_null(config.cache_dir);
    shr_config_free(&config);
}

static void test_container_variables(void **state) {
    (void)state;
    struct shr_config config;
    setenv("DAEMON_RPC_ADDR", "bitcoind:8332", 1);
    setenv("AUTH", "u:p", 1);
    setenv("INDEXER", "/m.wasm", 1);
    setenv("DB_PATH", "/data", 1);
    setenv("HOST", "0.0.0.0", 1);
    setenv("PORT", "9000", 1);
    setenv("START_BLOCK", "10", 1);
    setenv("EXIT_AT", "20", 1);
    setenv("LABEL", "l", 1);
    assert_int_equal(load(&config, "run"), 0);
    assert_string_equal(config.daemon_rpc_url, "http://bitcoind:8332");
    assert_string_equal(config.auth, "u:p");
    assert_string_equal(config.indexer, "/m.wasm");
    assert_string_equal(config.db_path, "/data");
    assert_string_equal(config.host, "0.0.0.0");
    assert_int_equal(config.port, 9000);
    assert_int_equal(config.start_block, 10);
    assert_int_equal(config.exit_at, 20);
    assert_string_equal(config.label, "l");
    shr_config_free(&config);
    setenv("SHREWD_PORT", "9001", 1);
    setenv("EXIT_AT", "", 1);
    assert_int_equal(load(&config, "run"), 0);
    assert_int_equal(config.port, 9001);
    assert_int_equal(config.exit_at, SHR_UNSET);
    shr_config_free(&config);
    setenv("PORT", "tcp://10.0.0.1:80", 1);
    unsetenv("SHREWD_PORT");
    assert_refused("run", "PORT: 'tcp://10.0.0.1:80' is not a port (0 to 65535)");
    /* No flag of status: not looked at. */
    assert_int_equal(load(&config, "status"), 0);
    shr_config_free(&config);
}

static void test_precedence(void **state) {
    (void)state;
    struct shr_config config;
    char line[300];
    write_config("port = 1\nlabel = file\nhost = h\njson = yes\n");
    snprintf(line, sizeof line, "%s --config %s", base_line(SHR_COMMAND_RUN), config_path);
    assert_int_equal(load(&config, line), 0);
    assert_int_equal(config.port, 1);
    assert_string_equal(config.label, "file");
    shr_config_free(&config);
    setenv("PORT", "2", 1);
    setenv("SHREWD_LABEL", "env", 1);
    assert_int_equal(load(&config, line), 0);
    assert_int_equal(config.port, 2);
    assert_string_equal(config.label, "env");
    assert_string_equal(config.host, "h");
    shr_config_free(&config);
    setenv("SHREWD_PORT", "3", 1);
    assert_int_equal(load(&config, line), 0);
    assert_int_equal(config.port, 3);
    shr_config_free(&config);
    snprintf(line, sizeof line, "%s --config %s --port 4 --port=5", base_line(SHR_COMMAND_RUN),
             config_path);
    assert_int_equal(load(&config, line), 0);
    assert_int_equal(config.port, 5);
    shr_config_free(&config);
}

/* Two settings for one question: the higher layer's, or a refusal between two flags. */
static void test_rivals(void **state) {
    (void)state;
    struct shr_config config;
    setenv("DB_PATH", "/data", 1);
    assert_int_equal(load(&config, "status --server h:1"), 0);
    assert_string_equal(config.server, "http://h:1");
    assert_null(config.db_path);
    shr_config_free(&config);
    setenv("SHREWD_SERVER", "h:1", 1);
    assert_int_equal(load(&config, "status --db-path /other"), 0);
    assert_null(config.server);
    assert_string_equal(config.db_path, "/other");
    shr_config_free(&config);
    assert_refused("status --db-path a --server b", "give --server or --db-path, not both");
    assert_int_equal(load(&config, "run --indexer m --db-path d --blocks a --daemon-rpc-url b"), 0);
    assert_string_equal(config.blocks, "a"); /* these two go together */
    assert_string_equal(config.daemon_rpc_url, "http://b");
    shr_config_free(&config);
}

static void test_bad_values(void **state) {
    (void)state;
#define RUN "run --indexer m --db-path d --daemon-rpc-url u "
    assert_refused(RUN "--port abc", "--port: 'abc' is not a port (0 to 65535)");
    assert_refused(RUN "--port=65536", "--port: '65536' is not a port");
    assert_refused(RUN "--port=-1", "--port: '-1' is not a port");
    assert_refused(RUN "--port=", "--port: '' is not a port");
    assert_refused(RUN "--start-block 4294967295", "(0 to 4294967294)");
    assert_refused(RUN "--start-block 18446744073709551617", "is not a number");
    assert_refused(RUN "--start-block 1e3", "--start-block: '1e3' is not a number");
    assert_refused(RUN "--max-reorg-depth 0", "(1 to 1000000)");
    assert_refused(RUN "--view-instance-mb 4097", "(1 to 4096)");
    assert_refused(RUN "--views warm", "--views: 'warm' is not one of stateful|fresh");
    assert_refused(RUN "--views fresh|", "is not one of");
    assert_refused(RUN "--log-level loud", "'loud' is not debug, info, warn, error or off");
    assert_refused(RUN "--label a/b", "--label: expected a part of a folder's name");
    assert_refused(RUN "--zmq 127.0.0.1:28332", "tcp://127.0.0.1:28332");
    assert_refused(RUN "--host=", "--host: expected a value, but it is empty");
    assert_refused(RUN "--cors a\nb", "--cors: expected text without control characters");
    assert_refused(RUN "--start-block 10 --exit-at 9", "--exit-at: 9 lies below --start-block 10");
    assert_refused("dump --db-path d --height x", "a height (a number, 0x hex, or latest)");
    assert_refused("dump --db-path d --height 0x", "--height: '0x' is not a height");
    assert_refused(RUN "--auth secret", "--auth: expected USER:PASSWORD");
    assert_null(strstr(err.message, "secret"));
#undef RUN
    struct shr_config config;
    assert_int_equal(load(&config, "dump --db-path d --height latest"), 0);
    assert_int_equal(config.height, SHR_UNSET);
    shr_config_free(&config);
    assert_int_equal(load(&config, "dump --db-path d --height 0x000000000000000a"), 0);
    assert_int_equal(config.height, 10);
    shr_config_free(&config);
}

static void test_bad_flags(void **state) {
    (void)state;
    assert_refused("run --indexr x", "unknown flag --indexr; did you mean --indexer?");
    assert_refused("run --prot=3", "unknown flag --prot; did you mean --port?");
    assert_refused("run --zzzzzzzz", "unknown flag --zzzzzzzz; see 'shrewd run --help'");
    assert_refused("status --port 3", "--port does not apply to 'shrewd status'");
    assert_refused("run --port", "--port needs a value: --port PORT");
    assert_refused("status --json=1", "--json is a switch and takes no value");
    assert_refused("run --p 3", "--p may mean");
    assert_refused("run -p 3", "unknown flag -p");
    assert_refused("run --port 3 -xy", "unknown flag -xy");
    assert_refused("run --=3", "unknown flag --");
    assert_refused("run view", "a command comes before its flags: shrewd view");
    assert_refused("run bogus", "takes no argument, but got 'bogus'");
    assert_refused("view a b c", "'c' is too much: shrewd view NAME [HEX]");
}

static void test_prune(void **state) {
    (void)state;
    struct shr_config config;
    assert_refused("run --indexer m --db-path d --daemon-rpc-url u --prune 119",
                   "--prune: 119 is too few: a reorg may take back 100 blocks");
    assert_refused(
        "run --indexer m --db-path d --daemon-rpc-url u --prune 1019 --max-reorg-depth 1000",
        "give 1020 at least, or 0");
    assert_refused("run --indexer m --db-path d --daemon-rpc-url u --prune 500 --fork f",
                   "--prune: a database made with --fork cannot");
    assert_refused("run --indexer m --db-path d --daemon-rpc-url u --fork f --snapshot-directory s",
                   "--snapshot-directory: a database made with --fork cannot");
    assert_refused("run --indexer m --db-path d --daemon-rpc-url u --prune 500 "
                   "--snapshot-directory s",
                   "--prune: 500 is too few: a snapshot goes on every 1000 blocks");
    assert_int_equal(load(&config, "run --indexer m --db-path d --daemon-rpc-url u --prune 500 "
                                   "--snapshot-directory s --snapshot-interval 500"),
                     0);
    shr_config_free(&config);
    assert_int_equal(load(&config, "run --indexer m --db-path d --daemon-rpc-url u --prune 120"),
                     0);
    assert_int_equal(config.prune, 120);
    shr_config_free(&config);
    assert_int_equal(
        load(&config, "run --indexer m --db-path d --daemon-rpc-url u --prune 0 --fork f"), 0);
    shr_config_free(&config);
    assert_int_equal(
        load(&config,
             "run --indexer m --db-path d --daemon-rpc-url u --prune 30 --max-reorg-depth 10"),
        0);
    shr_config_free(&config);
}

static void test_missing(void **state) {
    (void)state;
    assert_refused("run", "needs --indexer FILE, --db-path DIR, --daemon-rpc-url URL (or --blocks");
    assert_refused("run", "for example:\nshrewd run --daemon-rpc-url");
    assert_refused("run --indexer m --blocks b", "'shrewd run' needs --db-path DIR\n");
    assert_refused("view", "'shrewd view' needs NAME [HEX]");
    assert_refused("view v", "needs --db-path DIR (or --server URL), --indexer FILE");
    assert_refused("status", "needs --db-path DIR (or --server URL)");
    assert_refused("rollback --db-path d", "needs --height H");
    assert_refused("dump", "needs --db-path DIR");
    assert_refused("inspect", "needs MODULE");
    struct shr_config config;
    assert_int_equal(load(&config, "view v --server s"), 0);
    shr_config_free(&config);
    assert_int_equal(load(&config, "run --help --port"), SHREWD_INVALID);
    assert_int_equal(load(&config, "run --help"), 0);
    assert_true(config.help);
    shr_config_free(&config);
    assert_int_equal(load(&config, "run -V"), 0);
    assert_true(config.version);
    shr_config_free(&config);
}

static void test_arguments(void **state) {
    (void)state;
    struct shr_config config;
    assert_int_equal(load(&config, "view --server s name --height 5 00ff"), 0);
    assert_int_equal(config.n_args, 2);
    assert_string_equal(config.args[0], "name");
    assert_string_equal(config.args[1], "00ff");
    shr_config_free(&config);
    assert_int_equal(load(&config, "preview --server s - -- --name"), 0);
    assert_string_equal(config.args[0], "-");
    assert_string_equal(config.args[1], "--name");
    shr_config_free(&config);
}

static void assert_file_refused(const char *text, const char *message) {
    char line[100];
    char expected[200];
    write_config(text);
    snprintf(line, sizeof line, "demo --config %s", config_path);
    snprintf(expected, sizeof expected, "%s%s", config_path, message);
    assert_refused(line, expected);
}

static void test_config_file(void **state) {
    (void)state;
    struct shr_config config;
    char line[400];
    assert_file_refused("\n\nprot = 1\n", ":3: unknown key 'prot'; did you mean 'port'?");
    assert_file_refused("# c\nqqqqqqqq = 1\n", ":2: unknown key 'qqqqqqqq'; keys are flags");
    assert_file_refused("port = 1\nport = 2\n", ":2: 'port' was already set in line 1");
    assert_file_refused("pipeline-size = 1\nprefetch-size = 2\n", ":2: 'prefetch-size' was");
    assert_file_refused("config = x\n", ":1: a config file cannot name another");
    assert_file_refused("version = 1\n", ":1: unknown key 'version'");
    assert_file_refused("keep = maybe\n", ":1: keep: 'maybe' is not true or false");
    assert_file_refused("port = x", ":1: port: 'x' is not a port");
    assert_file_refused("port = 1\nno equals sign\nprot = 2\n", ":2: expected 'name = value'");
    assert_file_refused("[open\n", ":1: expected 'name = value'");
    memset(line, 'a', sizeof line);
    memcpy(line, "port = 1\nlabel = ", 17);
    line[sizeof line - 1] = 0;
    assert_file_refused(line, ":2: the line is longer than");
    /* Indented lines are not continuations; comments may be long; a section is only decoration. */
    memset(line, '#', sizeof line - 1);
    char text[600];
    snprintf(text, sizeof text, "%s\n[shrewd]\r\n  port = 7 ; why\r\n\tkeep = on\n; end", line);
    write_config(text);
    snprintf(line, sizeof line, "demo --config=%s", config_path);
    assert_int_equal(load(&config, line), 0);
    assert_int_equal(config.port, 7);
    assert_true(config.keep);
    shr_config_free(&config);
    FILE *file = fopen(config_path, "w");
    assert_non_null(file);
    fwrite("port = 1\0\n", 1, 10, file);
    fclose(file);
    assert_refused(line, "NUL bytes");
    assert_int_equal(load(&config, "demo --config /nonexistent/x"), SHREWD_NOT_FOUND);
    assert_non_null(strstr(err.message, "/nonexistent/x"));
}

static void test_nearest(void **state) {
    (void)state;
    assert_string_equal(shr_command_nearest("stauts"), "status");
    assert_string_equal(shr_command_nearest("rolback"), "rollback");
    assert_null(shr_command_nearest("helicopter"));
    assert_null(shr_command_nearest(""));
    assert_int_equal(shr_edit_distance("abc", 3, "abc", 3), 0);
    assert_int_equal(shr_edit_distance("abc", 3, "acb", 3), 1);
    assert_int_equal(shr_edit_distance("kitten", 6, "sitting", 7), 3);
    assert_int_equal(shr_edit_distance("", 0, "abc", 3), 3);
    char huge[1000];
    memset(huge, 'x', sizeof huge);
    assert_null(shr_option_nearest(huge, sizeof huge, NULL));
}

static void test_exit_codes(void **state) {
    (void)state;
    assert_int_equal(shr_exit_for(0), 0);
    assert_int_equal(shr_exit_for(SHREWD_STOPPED), 1);
    assert_int_equal(shr_exit_for(SHREWD_IO), 1);
    assert_int_equal(shr_exit_for(SHREWD_ABOVE_TIP), 1);
    assert_int_equal(shr_exit_for(SHREWD_INVALID), 2);
    assert_int_equal(shr_exit_for(SHREWD_LOCKED), 3);
    assert_int_equal(shr_exit_for(SHREWD_MISMATCH), 3);
    assert_int_equal(shr_exit_for(SHREWD_NODE), 4);
    assert_int_equal(shr_exit_for(SHREWD_TRAP), 5);
    assert_int_equal(shr_exit_for(SHREWD_NO_VIEW), 5);
    assert_int_equal(shr_exit_for(SHREWD_REORG_DEPTH), 6);
    assert_int_equal(shr_exit_for(-12345), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_each_flag, clear_environment),
        cmocka_unit_test_setup(test_each_variable_and_key, clear_environment),
        cmocka_unit_test_setup(test_reference_flags, clear_environment),
        cmocka_unit_test_setup(test_defaults, clear_environment),
        cmocka_unit_test_setup(test_container_variables, clear_environment),
        cmocka_unit_test_setup(test_precedence, clear_environment),
        cmocka_unit_test_setup(test_rivals, clear_environment),
        cmocka_unit_test_setup(test_bad_values, clear_environment),
        cmocka_unit_test_setup(test_bad_flags, clear_environment),
        cmocka_unit_test_setup(test_prune, clear_environment),
        cmocka_unit_test_setup(test_missing, clear_environment),
        cmocka_unit_test_setup(test_arguments, clear_environment),
        cmocka_unit_test_setup(test_config_file, clear_environment),
        cmocka_unit_test_setup(test_nearest, clear_environment),
        cmocka_unit_test_setup(test_exit_codes, clear_environment),
    };
    return cmocka_run_group_tests_name("config", tests, make_config_file, remove_config_file);
}
