/* config_lines.h: for each command, and each of its flags, a line of arguments that loads. */
#ifndef SHR_TEST_CONFIG_LINES_H
#define SHR_TEST_CONFIG_LINES_H

#include "config_load.h"

/* What a command needs besides its flags, so that it loads. */
static inline const char *base_line(enum shr_command_id id) {
    static const char *const lines[SHR_COMMAND_COUNT] = {
        [SHR_COMMAND_RUN] = "run --indexer m --db-path d --daemon-rpc-url u",
        [SHR_COMMAND_VIEW] = "view name --db-path d --indexer m",
        [SHR_COMMAND_PREVIEW] = "preview 00 name --db-path d --indexer m",
        [SHR_COMMAND_STATUS] = "status --db-path d",
        [SHR_COMMAND_ROLLBACK] = "rollback --db-path d --height 1",
        [SHR_COMMAND_DUMP] = "dump --db-path d",
        [SHR_COMMAND_SNAPSHOT] = "snapshot create p --db-path d",
        [SHR_COMMAND_PROVE] = "prove k --db-path d",
        [SHR_COMMAND_VERIFY] = "verify f",
        [SHR_COMMAND_CHECK] = "check --db-path d",
        [SHR_COMMAND_DIFF] = "diff a b",
        [SHR_COMMAND_LOAD] = ("load f --db-path d --indexer m --network regtest --height 3 "
                              "--block-hash h"),
        [SHR_COMMAND_INSPECT] = "inspect m",
        [SHR_COMMAND_IMPORT_ROCKSHREW] = "import-rockshrew r --db-path d --indexer m",
        [SHR_COMMAND_EXPORT_ROCKSHREW] = "export-rockshrew r --db-path d",
        [SHR_COMMAND_BENCH] = "bench m --view v",
        [SHR_COMMAND_DEMO] = "demo",
        [SHR_COMMAND_COMPLETION] = "completion bash",
    };
    return lines[id];
}

/* Flags that contradict the base line: they take the place of the one they contradict. */
static inline const char *line_for(const struct shr_option *option, enum shr_command_id id) {
    if (strcmp(option->name, "blocks") == 0) {
        return "run --indexer m --db-path d";
    }
    if (strcmp(option->name, "server") == 0) {
        return id == SHR_COMMAND_STATUS  ? "status"
               : id == SHR_COMMAND_PROVE ? "prove k"
               : id == SHR_COMMAND_VIEW  ? "view v"
                                         : "preview 0 v";
    }
    if (id == SHR_COMMAND_RUN && strcmp(option->name, "expect-root") == 0) {
        return "run --indexer m --db-path d --daemon-rpc-url u --repo p";
    }
    const char *actions = shr_option_actions(option, &shr_commands[id]);
    bool restores = actions != NULL && strstr(actions, "restore") != NULL;
    return restores ? "snapshot restore p --db-path d" : base_line(id);
}

#endif
