/* shrewd import-rockshrew: rockshrew-mono's database as one of shrewd's, without syncing again. */
#include "base/staging.h"
#include "chain/network.h"
#include "cli/database.h"
#include "cli/migrate.h"
#include "wasm/guest.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct import {
    const struct shr_config *config;
    struct shr_staging staging;
    struct shr_rockshrew *old;
    struct shr_identity identity;
    struct shr_rockshrew_counts counts;
    struct shr_block_record tip;
};

/* The hash of the module that goes on with the database. */
static int read_module(struct import *import, struct shrewd_error *err) {
    struct shr_engine *engine = NULL;
    struct shr_module *module = NULL;
    const struct shr_config *config = import->config;
    if (access(config->indexer, R_OK) != 0) {
        return shr_fail_errno(err, SHREWD_MODULE, "--indexer: cannot open '%s'", config->indexer);
    }
    int code = shr_engine_new(&engine, err);
    if (code == 0) {
        code = shr_module_open(&module, engine, config->indexer, config->cache_dir, err);
    }
    if (code == 0) {
        import->identity.module_hash = *shr_module_hash(module);
    }
    shr_module_free(module);
    shr_engine_free(engine);
    return code;
}

/* The chain: the hash of block 0 when the database has it, else what --network names. */
static int settle_genesis(struct import *import, struct shrewd_error *err) {
    uint32_t tip;
    struct shr_hash first;
    struct shr_identity *identity = &import->identity;
    const char *name = import->config->network;
    const struct shr_network *network = name == NULL ? NULL : shr_network_by_name(name);
    shr_rockshrew_range(import->old, &identity->start_height, &tip, &first);
    if (name != NULL && network == NULL) {
        return shr_fail(err, SHREWD_INVALID,
                        "--network: '%.100s' is none of main, test, testnet4, signet, regtest",
                        name);
    }
    if (identity->start_height > 0) {
        if (network == NULL) {
            return shr_fail(err, SHREWD_INVALID,
                            "'%s' begins at block %u, so it does not tell its chain: give "
                            "--network main, or test, testnet4, signet, regtest",
                            import->config->args[0], identity->start_height);
        }
        identity->genesis = network->genesis_hash;
        return 0;
    }
    identity->genesis = first;
    if (network != NULL && !shr_hash_eq(&network->genesis_hash, &first)) {
        char hex[SHR_HASH_HEX_LEN + 1];
        shr_hash_hex(hex, &first);
        return shr_fail(err, SHREWD_MISMATCH,
                        "--network: block 0 of '%s' is %s, which is not that of %s",
                        import->config->args[0], hex, network->name);
    }
    return 0;
}

/* In the order in which mistakes are cheapest. */
static int run(struct import *import, struct shrewd_error *err) {
    const struct shr_config *config = import->config;
    char *dir = shr_config_db_dir(config);
    int code = shr_staging_begin(&import->staging, dir, err);
    free(dir);
    if (code == 0) {
        code = shr_rockshrew_open(&import->old, config->args[0], config->label,
                                  import->staging.folder, err);
    }
    if (code == 0) {
        code = settle_genesis(import, err);
    }
    if (code == 0) {
        code = read_module(import, err);
    }
    if (code != 0) {
        return code;
    }
    struct shr_rocks_options options = {.create = true,
                                        .cache_bytes = (size_t)config->cache_mb << 20};
    struct shr_store *store = NULL;
    struct shr_state *state = NULL;
    code = shr_store_open_rocks(&store, import->staging.made, &options, err);
    if (code == 0) {
        code = shr_state_open(&state, store, &import->identity, false, err);
    }
    if (code == 0) {
        code = shr_rockshrew_import(import->old, state, &import->counts, err);
    }
    if (code == 0) {
        code = shr_state_tip(state, &import->tip, err);
    }
    shr_state_close(state);
    return code != 0 ? code : shr_staging_commit(&import->staging, err);
}

static void print_left_out(const struct shr_rockshrew_counts *counts) {
    const struct {
        uint64_t n;
        const char *what;
    } lines[] = {
        {counts->superseded, "entries with a later one of the same height"},
        {counts->orphaned, "entries of blocks that a reorg took back"},
        {counts->above_tip, "entries above the tip, of a block that was not finished"},
        {counts->unreached, "entries beyond the count of their key"},
        {counts->other_rows, "rows of no known kind"},
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        if (lines[i].n > 0) {
            printf("left out       %" PRIu64 " %s\n", lines[i].n, lines[i].what);
        }
    }
    if (counts->other_rows > 0) {
        printf("               the first: %s\n", counts->other_row);
    }
    if (counts->heights_differ) {
        printf("tip            its two records differ; the lower one was taken\n");
    }
}

static void print_result(const struct import *import) {
    const struct shr_rockshrew_counts *counts = &import->counts;
    if (import->config->json) {
        json_t *object = shr_migrate_json(counts, &import->tip);
        json_object_set_new(object, "start_height", json_integer(import->identity.start_height));
        json_object_set_new(object, "genesis", shr_json_hash(import->identity.genesis.b));
        json_object_set_new(object, "superseded", json_integer((json_int_t)counts->superseded));
        json_object_set_new(object, "orphaned", json_integer((json_int_t)counts->orphaned));
        json_object_set_new(object, "above_tip", json_integer((json_int_t)counts->above_tip));
        json_object_set_new(object, "unreached", json_integer((json_int_t)counts->unreached));
        json_object_set_new(object, "other_rows", json_integer((json_int_t)counts->other_rows));
        json_object_set_new(object, "heights_differ", json_boolean(counts->heights_differ));
        shr_out_json(object);
        return;
    }
    shr_migrate_print("imported", counts, &import->tip);
    print_left_out(counts);
}

int shr_cmd_import_rockshrew(struct shr_config *config) {
    struct shrewd_error err = {0};
    struct import import = {.config = config, .staging = {.lock = -1}};
    int code = run(&import, &err);
    shr_rockshrew_close(import.old);
    shr_staging_end(&import.staging);
    int status = code == 0 ? SHR_EXIT_OK : shr_report(&err);
    if (code == 0) {
        print_result(&import);
    }
    return status;
}
