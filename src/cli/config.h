/* config.h: what the operator asked for: flags, environment, config file, defaults, in this
 * order of precedence. One struct for every command; strings are owned by it, NULL when unset.
 * Not thread-safe while being filled; read-only for the command afterwards. */
#ifndef SHR_CLI_CONFIG_H
#define SHR_CLI_CONFIG_H

#include "base/error.h"
#include "base/log.h"
#include "cli/commands.h"
#include "shrewd/shrewd.h"

#include <stdbool.h>
#include <stdint.h>

#define SHR_UNSET UINT32_MAX
/* The least --memory-mb. */
#define SHR_MEMORY_MB_LEAST 256u

/* Exit codes, documented in the man page. */
enum shr_exit {
    SHR_EXIT_OK = 0,
    SHR_EXIT_FAILURE = 1,  /* any other failure */
    SHR_EXIT_USAGE = 2,    /* unknown flag, bad value, missing argument */
    SHR_EXIT_DATABASE = 3, /* locked, of another chain or module, damaged, not there */
    SHR_EXIT_NODE = 4,     /* the node, or another server, refused or could not be reached */
    SHR_EXIT_GUEST = 5,    /* the module cannot be used, or failed on a block or a view */
    SHR_EXIT_REORG = 6,    /* a reorg deeper than --max-reorg-depth */
    SHR_EXIT_DAMAGED = 7,  /* check: the database is not sound */
};
/* The exit code for an error code of libshrewd (0 gives 0); of SHREWD_STOPPED see signals.h. */
int shr_exit_for(int code);

struct shr_config {
    /* where blocks come from */
    char *daemon_rpc_url;
    char *auth;
    char *cookie_file;
    char *zmq;
    char *blocks; /* --blocks PATH: a block file or a node's blocks/ folder */
    uint32_t poll_ms;
    /* what runs, and where its state lives */
    char *indexer;
    char *db_path;
    char *label;
    char *fork;
    char *cache_dir; /* compiled modules; default ~/.cache/shrewd/modules */
    bool accept_module;
    uint32_t state_root; /* 0: on, 1: off; SHR_UNSET: as the database was made */
    uint32_t prune;      /* --prune N; 0: keep every version */
    uint32_t start_block;
    uint32_t exit_at; /* SHR_UNSET: follow for ever */
    uint32_t max_reorg_depth;
    uint32_t reorg_check_threshold;
    uint32_t load_pairs;
    uint32_t prefetch_blocks; /* --pipeline-size, --prefetch-size; 0: the default */
    uint32_t prefetch_mb;     /* 0: the default */
    uint32_t node_timeout_ms;
    uint32_t fsync;           /* 0: always, 1: tip, 2: never */
    uint32_t memory_mb;       /* --memory-mb: the budget that the following come out of */
    uint32_t cache_mb;        /* --cache-mb: RocksDB block cache */
    uint32_t read_cache_mb;   /* --read-cache-mb: 0: none */
    uint32_t root_cache_mb;   /* 0: the default; the budget's share */
    uint32_t write_buffer_mb; /* 0: the default; the budget's share */
    uint32_t pending_mb;      /* blocks not committed yet; as above */
    /* the server */
    char *host;
    uint16_t port;
    char *cors;
    uint32_t views; /* 0: stateful, 1: fresh */
    uint32_t view_memory_mb;
    uint32_t view_cache_mb; /* SHR_UNSET: 64 in fresh mode, off in stateful mode */
    uint32_t view_verify;   /* every Nth; 0: never */
    uint32_t view_timeout_ms;
    uint32_t preview_timeout_ms;
    uint32_t view_instance_mb;
    uint32_t view_result_mb;
    uint32_t view_log_lines;
    uint32_t view_concurrency;
    uint32_t view_queue;
    bool enable_preview; /* accepted; previews are always on */
    /* snapshots */
    char *snapshot_directory; /* --snapshot-directory: grows while indexing; NULL: none */
    uint32_t snapshot_interval;
    char *repo;        /* --repo: what a new database begins with */
    char *expect_root; /* --expect-root HEX */
    /* the command's own */
    char *server;      /* --server URL: ask a running daemon instead of a database */
    uint32_t height;   /* --height; SHR_UNSET: latest */
    char *prefix;      /* --prefix, hex or text */
    uint32_t findings; /* check, diff --findings */
    bool deep;         /* diff --deep */
    char *compare;     /* diff --compare: a module */
    bool json;
    bool yes;
    bool keep;  /* demo --keep */
    char *view; /* bench --view, --input (hex) */
    char *input;
    uint32_t calls, clients;
    char *network;    /* import-rockshrew, load --network; NULL: what block 0 says */
    char *block_hash; /* load --block-hash */
    char *root;       /* verify --root, hex; NULL: what the document says */
    /* general */
    char *config_file; /* --config, already read */
    enum shr_log_level log_level;
    bool help;    /* --help: nothing else was checked */
    bool version; /* --version: the same */
    char **args;  /* positional arguments */
    int n_args;
};

/* Fills `out` for `command` from argv (argv[0] and the command's name are not in it), the
 * environment and the config file. SHREWD_INVALID, or the config file's read error, with a message
 * for the operator; nothing is left to free then. */
int shr_config_load(struct shr_config *out, const struct shr_command *command, int argc,
                    char **argv, struct shrewd_error *err);
void shr_config_free(struct shr_config *config); /* leaves {0} */

/* Each command: src/cli/<name>.c. Returns an exit code. */
int shr_cmd_run(struct shr_config *config);
int shr_cmd_view(struct shr_config *config);
int shr_cmd_preview(struct shr_config *config);
int shr_cmd_status(struct shr_config *config);
int shr_cmd_rollback(struct shr_config *config);
int shr_cmd_dump(struct shr_config *config);
int shr_cmd_verify(struct shr_config *config);
int shr_cmd_check(struct shr_config *config);
int shr_cmd_inspect(struct shr_config *config);
int shr_cmd_import_rockshrew(struct shr_config *config);
int shr_cmd_export_rockshrew(struct shr_config *config);
int shr_cmd_bench(struct shr_config *config);
int shr_cmd_demo(struct shr_config *config);
int shr_cmd_completion(struct shr_config *config);
int shr_cmd_prove(struct shr_config *config);
int shr_cmd_load(struct shr_config *config);
int shr_cmd_snapshot(struct shr_config *config);
int shr_cmd_diff(struct shr_config *config);

/* The database folder: db_path, with "-label" after it when a label is set. Caller frees. */
char *shr_config_db_dir(const struct shr_config *config);
/* How views answer, as the flags have it. */
void shr_config_views(struct shrewd_view_options *out, const struct shr_config *config);
/* Prints "shrewd: message" on standard error and returns the exit code for err. */
int shr_report(const struct shrewd_error *err);

/* Gives every part that was not told its memory its share of --memory-mb (`budget`: the command
 * takes it), or its default. SHREWD_INVALID, naming the least budget. */
int shr_config_memory(struct shr_config *config, bool budget, struct shrewd_error *err);
void shr_config_log_memory(const struct shr_config *config);
/* Has malloc give back what is freed, so that the budget holds; for the whole process, before other
 * threads are started. */
void shr_config_tune_malloc(void);

#endif
