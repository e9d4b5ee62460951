#include "cli/options.h"

#include <ctype.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define BIT(name) (1u << SHR_COMMAND_##name)
#define ALL ((1u << SHR_COMMAND_COUNT) - 1)
#define READS (BIT(VIEW) | BIT(PREVIEW) | BIT(STATUS) | BIT(DUMP) | BIT(PROVE))
#define STORES (BIT(RUN) | READS | BIT(ROLLBACK) | BIT(BENCH) | BIT(CHECK) | BIT(SNAPSHOT))
#define MIGRATES (BIT(IMPORT_ROCKSHREW) | BIT(EXPORT_ROCKSHREW))
#define MAKES (MIGRATES | BIT(LOAD))
#define FOLLOWS (BIT(RUN) | BIT(DIFF)) /* diff --compare runs over blocks too */
#define GUESTS (BIT(RUN) | BIT(VIEW) | BIT(PREVIEW))
#define VIEWS (GUESTS | BIT(BENCH))
#define PROOFS (BIT(PROVE) | BIT(VERIFY)) /* of views */
#define NUMBER_MAX (UINT32_MAX - 1)
#define AT(field) offsetof(struct shr_config, field)

/* name, arg, kind, group, commands, min, max, default, container variable, field, help */
const struct shr_option shr_options[] = {
    {"daemon-rpc-url", "URL", SHR_OPTION_URL, SHR_GROUP_BLOCKS, FOLLOWS, 0, 0, NULL,
     "DAEMON_RPC_ADDR", AT(daemon_rpc_url),
     "the Bitcoin node's RPC, http://[user:password@]host:port"},
    {"auth", "USER:PASSWORD", SHR_OPTION_AUTH, SHR_GROUP_BLOCKS, FOLLOWS, 0, 0, NULL, "AUTH",
     AT(auth), "the node's RPC user and password; wins over the URL's"},
    {"cookie-file", "FILE", SHR_OPTION_FILE, SHR_GROUP_BLOCKS, FOLLOWS, 0, 0, NULL, NULL,
     AT(cookie_file), "the node's .cookie file, instead of a password"},
    {"zmq", "URL", SHR_OPTION_SOCKET, SHR_GROUP_BLOCKS, BIT(RUN), 0, 0, NULL, NULL, AT(zmq),
     "the node's zmqpubhashblock address, to hear of new blocks at once"},
    {"blocks", "PATH", SHR_OPTION_PATH, SHR_GROUP_BLOCKS, FOLLOWS, 0, 0, NULL, NULL, AT(blocks),
     "read blocks from a file or a node's blocks/ folder; without a node, only those"},
    {"poll-ms", "MS", SHR_OPTION_NUMBER, SHR_GROUP_BLOCKS, BIT(RUN), 10, 3600000, "1000", NULL,
     AT(poll_ms), "how often to ask the node for a new block"},
    {"start-block", "N", SHR_OPTION_NUMBER, SHR_GROUP_BLOCKS, FOLLOWS, 0, NUMBER_MAX, "0",
     "START_BLOCK", AT(start_block), "the first height to index, for a new database"},
    {"exit-at", "N", SHR_OPTION_NUMBER, SHR_GROUP_BLOCKS, BIT(RUN), 0, NUMBER_MAX, NULL, "EXIT_AT",
     AT(exit_at), "stop once this height is indexed; otherwise follow for ever"},
    {"max-reorg-depth", "N", SHR_OPTION_NUMBER, SHR_GROUP_BLOCKS, BIT(RUN), 1, 1000000, "100", NULL,
     AT(max_reorg_depth), "the most blocks to take back in one reorg; past it, stop"},
    {"reorg-check-threshold", "N", SHR_OPTION_NUMBER, SHR_GROUP_BLOCKS, BIT(RUN), 0, NUMBER_MAX,
     "6", NULL, AT(reorg_check_threshold),
     "this near the node's tip, each block is committed before the next"},
    {"pipeline-size", "N", SHR_OPTION_NUMBER, SHR_GROUP_BLOCKS, BIT(RUN), 0, 4096, "0", NULL,
     AT(prefetch_blocks), "blocks to fetch ahead; 0 lets shrewd choose"},
    {"prefetch-size", "N", SHR_OPTION_NUMBER, SHR_GROUP_BLOCKS, BIT(RUN), 0, 4096, "0", NULL,
     AT(prefetch_blocks), "another name of --pipeline-size"},
    {"prefetch-mb", "N", SHR_OPTION_NUMBER, SHR_GROUP_BLOCKS, BIT(RUN), 0, 65536, "0", NULL,
     AT(prefetch_mb), "memory for blocks fetched ahead, in MiB; 0: its share"},
    {"node-timeout-ms", "MS", SHR_OPTION_NUMBER, SHR_GROUP_BLOCKS, FOLLOWS, 10, 3600000, "30000",
     NULL, AT(node_timeout_ms), "how long a reply may stay under 1 KB/s before it is given up"},

    {"indexer", "FILE", SHR_OPTION_FILE, SHR_GROUP_STATE,
     GUESTS | PROOFS | BIT(DEMO) | BIT(SNAPSHOT) | BIT(IMPORT_ROCKSHREW) | BIT(DIFF) | BIT(LOAD), 0,
     0, NULL, "INDEXER", AT(indexer), "the module, .wasm or .wat"},
    {"db-path", "DIR", SHR_OPTION_DIR, SHR_GROUP_STATE, STORES | MAKES | BIT(DEMO), 0, 0, NULL,
     "DB_PATH", AT(db_path), "the database folder"},
    {"label", "TEXT", SHR_OPTION_LABEL, SHR_GROUP_STATE, STORES | MAKES, 0, 0, NULL, "LABEL",
     AT(label), "keeps databases apart: the folder becomes DIR-TEXT"},
    {"fork", "DIR", SHR_OPTION_DIR, SHR_GROUP_STATE, STORES, 0, 0, NULL, NULL, AT(fork),
     "read through to this database, write to --db-path only"},
    {"state-root", "on|off", SHR_OPTION_CHOICE, SHR_GROUP_STATE, BIT(RUN), 0, 0, NULL, NULL,
     AT(state_root), "whether a new database gets a state root for each block; on"},
    {"prune", "N", SHR_OPTION_NUMBER, SHR_GROUP_STATE, BIT(RUN), 0, NUMBER_MAX, "0", NULL,
     AT(prune), "keep the states of the last N blocks only; 0 keeps all"},
    {"accept-module", NULL, SHR_OPTION_SWITCH, SHR_GROUP_STATE, VIEWS | BIT(PROVE), 0, 0, NULL,
     NULL, AT(accept_module), "go on with another module than the one the database was made with"},
    {"cache-dir", "DIR", SHR_OPTION_DIR, SHR_GROUP_STATE,
     VIEWS | PROOFS | BIT(INSPECT) | BIT(DEMO) | BIT(IMPORT_ROCKSHREW) | BIT(DIFF) | BIT(LOAD), 0,
     0, NULL, NULL, AT(cache_dir), "where compiled modules are kept; ~/.cache/shrewd/modules"},
    {"memory-mb", "N", SHR_OPTION_NUMBER, SHR_GROUP_STATE, BIT(RUN), SHR_MEMORY_MB_LEAST, 1048576,
     NULL, NULL, AT(memory_mb),
     "memory in all, above the module's own, in MiB, for all parts to share; 1024"},
    {"cache-mb", "N", SHR_OPTION_NUMBER, SHR_GROUP_STATE, STORES | MAKES | BIT(DIFF), 1, 1048576,
     NULL, NULL, AT(cache_mb), "memory for the database's block cache, in MiB; its share, or 256"},
    {"read-cache-mb", "N", SHR_OPTION_NUMBER, SHR_GROUP_STATE, VIEWS, 0, 1048576, NULL, NULL,
     AT(read_cache_mb), "memory for values read, in MiB; 0: none; its share, or 64"},
    {"fsync", "always|tip|never", SHR_OPTION_CHOICE, SHR_GROUP_STATE, BIT(RUN), 0, 0, "tip", NULL,
     AT(fsync), "when a block is on disk before it is announced"},
    {"load-pairs", "N", SHR_OPTION_NUMBER, SHR_GROUP_STATE, BIT(RUN), 1, NUMBER_MAX, "30000", NULL,
     AT(load_pairs), "from so many keys on, a write loads files into the database"},

    {"host", "ADDRESS", SHR_OPTION_TEXT, SHR_GROUP_SERVER, BIT(RUN) | BIT(DEMO), 0, 0, "127.0.0.1",
     "HOST", AT(host), "the address to listen on"},
    {"port", "PORT", SHR_OPTION_PORT, SHR_GROUP_SERVER, BIT(RUN) | BIT(DEMO), 0, 65535, "8080",
     "PORT", AT(port), "the port to listen on; 0 picks a free one and prints it"},
    {"cors", "ORIGIN", SHR_OPTION_TEXT, SHR_GROUP_SERVER, BIT(RUN) | BIT(DEMO), 0, 0, NULL, NULL,
     AT(cors), "let pages of this origin ask (Access-Control-Allow-Origin), or *"},

    {"views", "stateful|fresh", SHR_OPTION_CHOICE, SHR_GROUP_VIEWS, BIT(RUN), 0, 0, "stateful",
     NULL, AT(views), "keep instances warm between calls, or make a new one for each call"},
    {"view-memory-mb", "N", SHR_OPTION_NUMBER, SHR_GROUP_VIEWS, BIT(RUN) | BIT(BENCH), 1, 1048576,
     "256", NULL, AT(view_memory_mb), "memory of all idle warm instances, in MiB"},
    {"view-cache-mb", "N", SHR_OPTION_NUMBER, SHR_GROUP_VIEWS, BIT(RUN), 0, 1048576, NULL, NULL,
     AT(view_cache_mb), "memory for answers kept, in MiB; 0: none (fresh: 64; stateful: none)"},
    {"view-verify", "N", SHR_OPTION_NUMBER, SHR_GROUP_VIEWS, BIT(RUN), 0, NUMBER_MAX, "0", NULL,
     AT(view_verify), "compute every Nth stateful answer again, fresh, and compare; 0: never"},
    {"view-timeout-ms", "MS", SHR_OPTION_NUMBER, SHR_GROUP_VIEWS, VIEWS | PROOFS, 1, 86400000,
     "10000", NULL, AT(view_timeout_ms), "how long one view may take"},
    {"preview-timeout-ms", "MS", SHR_OPTION_NUMBER, SHR_GROUP_VIEWS, BIT(RUN) | BIT(PREVIEW), 1,
     86400000, "30000", NULL, AT(preview_timeout_ms), "how long one preview may take"},
    {"view-instance-mb", "N", SHR_OPTION_NUMBER, SHR_GROUP_VIEWS, VIEWS | PROOFS, 1, 4096, "1024",
     NULL, AT(view_instance_mb), "the most memory one view may use, in MiB"},
    {"view-result-mb", "N", SHR_OPTION_NUMBER, SHR_GROUP_VIEWS, VIEWS | PROOFS, 1, 256, "64", NULL,
     AT(view_result_mb), "the largest answer of a view, in MiB"},
    {"view-log-lines", "N", SHR_OPTION_NUMBER, SHR_GROUP_VIEWS, VIEWS | PROOFS, 1, NUMBER_MAX,
     "100", NULL, AT(view_log_lines), "messages of one call that are logged"},
    {"view-concurrency", "N", SHR_OPTION_NUMBER, SHR_GROUP_VIEWS, BIT(RUN), 1, 1024, "16", NULL,
     AT(view_concurrency), "views that may run at the same time"},
    {"view-queue", "N", SHR_OPTION_NUMBER, SHR_GROUP_VIEWS, BIT(RUN), 1, 1000000, "4096", NULL,
     AT(view_queue), "calls that may wait for their turn; past it they are refused at once"},

    {"enable-preview", NULL, SHR_OPTION_SWITCH, SHR_GROUP_COMPAT, BIT(RUN), 0, 0, NULL, NULL,
     AT(enable_preview), "no effect: previews are always on"},
    {"snapshot-directory", "DIR", SHR_OPTION_DIR, SHR_GROUP_STATE, BIT(RUN), 0, 0, NULL, NULL,
     AT(snapshot_directory), "keep a snapshot in this folder growing, for others to restore"},
    {"snapshot-interval", "N", SHR_OPTION_NUMBER, SHR_GROUP_STATE, BIT(RUN), 1, NUMBER_MAX, "1000",
     NULL, AT(snapshot_interval), "blocks between one growth of the snapshot and the next"},
    {"repo", "PLACE", SHR_OPTION_TEXT, SHR_GROUP_STATE, BIT(RUN), 0, 0, NULL, NULL, AT(repo),
     "begin a new database with the snapshot in this folder or at this http URL"},
    {"expect-root", "HEX", SHR_OPTION_TEXT, SHR_GROUP_STATE, BIT(RUN) | BIT(SNAPSHOT) | BIT(LOAD),
     0, 0, NULL, NULL, AT(expect_root),
     "the state root that a snapshot, or a dump loaded, must end with"},

    {"server", "URL", SHR_OPTION_URL, SHR_GROUP_COMMAND,
     BIT(VIEW) | BIT(PREVIEW) | BIT(STATUS) | BIT(PROVE), 0, 0, NULL, NULL, AT(server),
     "ask a running shrewd instead of a database"},
    {"height", "H", SHR_OPTION_HEIGHT, SHR_GROUP_COMMAND,
     BIT(VIEW) | BIT(PREVIEW) | BIT(DUMP) | BIT(ROLLBACK) | BIT(BENCH) | BIT(SNAPSHOT) | PROOFS |
         BIT(DIFF) | BIT(LOAD),
     0, NUMBER_MAX, "latest", NULL, AT(height), "the height: a number, 0x hex, or latest"},
    {"prefix", "BYTES", SHR_OPTION_TEXT, SHR_GROUP_COMMAND, BIT(DUMP) | BIT(DIFF), 0, 0, NULL, NULL,
     AT(prefix), "only keys that start with this: 0x hex, or text"},
    {"json", NULL, SHR_OPTION_SWITCH, SHR_GROUP_COMMAND,
     READS | MIGRATES | BIT(ROLLBACK) | BIT(VERIFY) | BIT(CHECK) | BIT(INSPECT) | BIT(BENCH) |
         BIT(SNAPSHOT) | BIT(DIFF) | BIT(LOAD),
     0, 0, NULL, NULL, AT(json), "print JSON"},
    {"findings", "N", SHR_OPTION_NUMBER, SHR_GROUP_COMMAND, BIT(CHECK) | BIT(DIFF), 1, 1000000,
     "100", NULL, AT(findings), "stop after so many things found wrong, or keys that differ"},
    {"deep", NULL, SHR_OPTION_SWITCH, SHR_GROUP_COMMAND, BIT(DIFF), 0, 0, NULL, NULL, AT(deep),
     "compare every value itself, without trusting the state roots"},
    {"compare", "FILE", SHR_OPTION_FILE, SHR_GROUP_COMMAND, BIT(DIFF), 0, 0, NULL, NULL,
     AT(compare), "run this module over the blocks, and compare what it writes"},
    {"yes", NULL, SHR_OPTION_SWITCH, SHR_GROUP_COMMAND, BIT(ROLLBACK), 0, 0, NULL, NULL, AT(yes),
     "do not ask before removing anything"},
    {"view", "NAME", SHR_OPTION_TEXT, SHR_GROUP_COMMAND, BIT(BENCH) | PROOFS, 0, 0, NULL, NULL,
     AT(view), "the view to call; of verify: that the document must be of"},
    {"input", "HEX", SHR_OPTION_TEXT, SHR_GROUP_COMMAND, BIT(BENCH) | PROOFS, 0, 0, NULL, NULL,
     AT(input), "its input, 0x optional; none when left out"},
    {"calls", "N", SHR_OPTION_NUMBER, SHR_GROUP_COMMAND, BIT(BENCH), 1, 100000000, "50", NULL,
     AT(calls), "how many calls, of all clients together"},
    {"clients", "N", SHR_OPTION_NUMBER, SHR_GROUP_COMMAND, BIT(BENCH), 1, 1024, "1", NULL,
     AT(clients), "threads that call at the same time"},
    {"network", "NAME", SHR_OPTION_TEXT, SHR_GROUP_COMMAND, BIT(IMPORT_ROCKSHREW) | BIT(LOAD), 0, 0,
     NULL, NULL, AT(network),
     "the chain, when its block 0 is not there: main, test, testnet4, signet, regtest"},
    {"block-hash", "HEX", SHR_OPTION_TEXT, SHR_GROUP_COMMAND, BIT(LOAD), 0, 0, NULL, NULL,
     AT(block_hash), "the hash of the block at --height, as it is shown"},
    {"root", "HEX", SHR_OPTION_TEXT, SHR_GROUP_COMMAND, BIT(VERIFY), 0, 0, NULL, NULL, AT(root),
     "the state root to trust; without it, the document's own"},
    {"keep", NULL, SHR_OPTION_SWITCH, SHR_GROUP_COMMAND, BIT(DEMO), 0, 0, NULL, NULL, AT(keep),
     "keep serving after the demo, until Ctrl-C"},

    {"config", "FILE", SHR_OPTION_FILE, SHR_GROUP_GENERAL, ALL, 0, 0, NULL, NULL, AT(config_file),
     "read flags from a file: lines of name = value"},
    {"log-level", "LEVEL", SHR_OPTION_LEVEL, SHR_GROUP_GENERAL, ALL, 0, 0, "info", NULL,
     AT(log_level), "debug, info, warn, error or off"},
    {"help", NULL, SHR_OPTION_ACTION, SHR_GROUP_GENERAL, ALL, 0, 0, NULL, NULL, AT(help),
     "show this help"},
    {"version", NULL, SHR_OPTION_ACTION, SHR_GROUP_GENERAL, ALL, 0, 0, NULL, NULL, AT(version),
     "show the version"},
};

const size_t shr_option_count = sizeof shr_options / sizeof shr_options[0];
_Static_assert(sizeof shr_options / sizeof shr_options[0] <= SHR_OPTION_MAX, "raise the bound");

const struct shr_option *shr_option_find(const char *name, size_t len) {
    for (size_t i = 0; i < shr_option_count; i++) {
        if (strlen(shr_options[i].name) == len && memcmp(shr_options[i].name, name, len) == 0) {
            return &shr_options[i];
        }
    }
    return NULL;
}

bool shr_option_applies(const struct shr_option *option, const struct shr_command *command) {
    return (option->commands >> command->id & 1) != 0;
}

const char *shr_option_actions(const struct shr_option *option, const struct shr_command *command) {
    static const struct {
        const char *name, *actions;
    } snapshot[] = {
        {"height", "create"},
        {"fork", "create"},
        {"indexer", "restore"},
        {"expect-root", "restore and verify"},
        {"db-path", "create and restore"},
        {"label", "create and restore"},
        {"cache-mb", "create and restore"},
    };
    for (size_t i = 0;
         command->id == SHR_COMMAND_SNAPSHOT && i < sizeof snapshot / sizeof snapshot[0]; i++) {
        if (strcmp(snapshot[i].name, option->name) == 0) {
            return snapshot[i].actions;
        }
    }
    return NULL;
}

size_t shr_option_slot(const struct shr_option *option) {
    size_t i = 0;
    while (shr_options[i].offset != option->offset) {
        i++;
    }
    return i;
}

void shr_option_env(char out[64], const struct shr_option *option) {
    int len = snprintf(out, 64, "SHREWD_%s", option->name);
    for (int i = 0; i < len; i++) {
        out[i] = out[i] == '-' ? '_' : (char)toupper((unsigned char)out[i]);
    }
}

const char *shr_option_nearest(const char *name, size_t len, const struct shr_command *command) {
    const char *nearest = NULL;
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < shr_option_count; i++) {
        const struct shr_option *option = &shr_options[i];
        bool fits = command != NULL ? shr_option_applies(option, command)
                                    : option->kind != SHR_OPTION_ACTION;
        size_t distance =
            fits ? shr_edit_distance(name, len, option->name, strlen(option->name)) : SIZE_MAX;
        if (distance < best) {
            best = distance;
            nearest = option->name;
        }
    }
    return shr_edit_near(best, len) ? nearest : NULL;
}

const char *shr_group_title(enum shr_option_group group) {
    static const char *const titles[SHR_GROUP_COUNT] = {
        "This command:",
        "Where blocks come from:",
        "Module and database:",
        "Server:",
        "Views:",
        "Accepted from rockshrew-mono:",
        "General:",
    };
    return titles[group];
}

/* Optimal string alignment, three rows; longer names than any flag are cut. */
size_t shr_edit_distance(const char *a, size_t a_len, const char *b, size_t b_len) {
    enum { LONGEST = 63 };
    size_t rows[3][LONGEST + 1];
    a_len = a_len > LONGEST ? LONGEST : a_len;
    b_len = b_len > LONGEST ? LONGEST : b_len;
    for (size_t j = 0; j <= b_len; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a_len; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i - 1) % 3];
        const size_t *above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t change = above[j - 1] + (a[i - 1] != b[j - 1]);
            size_t drop = above[j] + 1;
            size_t add = row[j - 1] + 1;
            size_t least = change < drop ? change : drop;
            least = add < least ? add : least;
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped && above2[j - 2] + 1 < least) {
                least = above2[j - 2] + 1;
            }
            row[j] = least;
        }
    }
    return rows[a_len % 3][b_len];
}

bool shr_edit_near(size_t distance, size_t len) {
    return distance <= (len < 4 ? 1 : len < 8 ? 2 : len < 15 ? len / 3 : 5);
}
