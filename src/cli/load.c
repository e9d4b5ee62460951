/* shrewd load: a dump as a database that begins at the dump's height. */
#include "snapshot/load.h"
#include "base/hex.h"
#include "base/staging.h"
#include "chain/network.h"
#include "cli/database.h"
#include "cli/output.h"
#include "wasm/guest.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct job {
    const struct shr_config *config;
    struct shr_staging staging;
    struct shr_identity identity;
    struct shr_load load;
    struct shr_hash root;
};

static int read_flags(struct job *job, struct shrewd_error *err) {
    const struct shr_config *config = job->config;
    const struct shr_network *network = shr_network_by_name(config->network);
    if (config->height == SHR_UNSET) {
        return shr_fail(err, SHREWD_INVALID, "--height: a load needs the height of the dump");
    }
    if (network == NULL) {
        return shr_fail(err, SHREWD_INVALID,
                        "--network: '%.100s' is none of main, test, testnet4, signet, regtest",
                        config->network);
    }
    if (!shr_hash_parse(&job->load.hash, config->block_hash, strlen(config->block_hash))) {
        return shr_fail(err, SHREWD_INVALID,
                        "--block-hash: '%.100s' is not a block hash, 64 hex digits",
                        config->block_hash);
    }
    job->identity.genesis = network->genesis_hash;
    job->identity.start_height = job->load.height = config->height;
    job->identity.keep_root = SHR_KEEP_ROOT_YES;
    if (config->expect_root == NULL) {
        return 0;
    }
    job->load.root = &job->root;
    return shr_read_root(job->root.b, config->expect_root, "--expect-root", err);
}

static int read_module(struct job *job, struct shrewd_error *err) {
    struct shr_engine *engine = NULL;
    struct shr_module *module = NULL;
    int code = shr_engine_new(&engine, err);
    if (code == 0) {
        code = shr_module_open(&module, engine, job->config->indexer, job->config->cache_dir, err);
    }
    if (code == 0) {
        job->identity.module_hash = *shr_module_hash(module);
    }
    shr_module_free(module);
    shr_engine_free(engine);
    return code;
}

static int open_dump(struct job *job, struct shrewd_error *err) {
    const char *name = job->config->args[0];
    bool standard = strcmp(name, "-") == 0;
    job->load.name = standard ? "standard input" : name;
    job->load.from = standard ? stdin : fopen(name, "rbe");
    return job->load.from != NULL ? 0
                                  : shr_fail_errno(err, SHREWD_INVALID, "cannot open '%s'", name);
}

/* A dump that failed prints nothing, and 'dump | load -' must not make a database of that. */
static int check_not_empty(const struct job *job, struct shrewd_error *err) {
    if (job->load.root != NULL) {
        return 0; /* the root tells whether nothing is what is expected */
    }
    int first = getc(job->load.from);
    if (first == EOF) {
        return ferror(job->load.from) ? 0 /* reading goes on, and says why it cannot */
                                      : shr_fail(err, SHREWD_INVALID,
                                                 "'%s' is empty: did the dump fail? Of a state "
                                                 "without keys, give --expect-root, 64 zeros",
                                                 job->load.name);
    }
    ungetc(first, job->load.from);
    return 0;
}

/* In the order in which mistakes are cheapest. */
static int run(struct job *job, struct shrewd_error *err) {
    struct shr_rocks_options options = {.create = true,
                                        .cache_bytes = (size_t)job->config->cache_mb << 20};
    struct shr_store *store = NULL;
    struct shr_state *state = NULL;
    char *dir = shr_config_db_dir(job->config);
    int code = read_flags(job, err);
    code = code != 0 ? code : open_dump(job, err);
    code = code != 0 ? code : shr_staging_begin(&job->staging, dir, err);
    job->load.scratch = job->staging.folder;
    code = code != 0 ? code : read_module(job, err);
    code = code != 0 ? code : check_not_empty(job, err);
    code = code != 0 ? code : shr_store_open_rocks(&store, job->staging.made, &options, err);
    code = code != 0 ? code : shr_state_open(&state, store, &job->identity, false, err);
    code = code != 0 ? code : shr_load_dump(&job->load, state, err);
    shr_state_close(state);
    free(dir);
    return code != 0 ? code : shr_staging_commit(&job->staging, err);
}

static void print(const struct job *job) {
    const struct shr_block_record *loaded = &job->load.loaded;
    char hash[SHR_HASH_HEX_LEN + 1], root[SHR_HASH_HEX_LEN + 1];
    shr_hash_hex(hash, &loaded->hash);
    shr_hex_write(root, shr_bytes(loaded->root.b, sizeof loaded->root.b));
    if (job->config->json) {
        json_t *object = json_object();
        json_object_set_new(object, "height", json_integer(loaded->height));
        json_object_set_new(object, "hash", json_string(hash));
        json_object_set_new(object, "root", json_string(root));
        json_object_set_new(object, "keys", json_integer((json_int_t)loaded->total_keys));
        json_object_set_new(object, "root_given", json_boolean(job->load.root != NULL));
        shr_out_json(object);
        return;
    }
    printf("block %" PRIu32 " %s\n%" PRIu64 " keys\nstate root %s%s\n", loaded->height, hash,
           loaded->total_keys, root,
           job->load.root != NULL ? ", as expected"
                                  : ", to be compared: no --expect-root was given");
}

int shr_cmd_load(struct shr_config *config) {
    struct shrewd_error err = {0};
    struct job job = {.config = config, .staging = {.lock = -1}};
    int code = run(&job, &err);
    shr_staging_end(&job.staging);
    if (job.load.from != NULL && job.load.from != stdin) {
        fclose(job.load.from);
    }
    if (code == 0) {
        print(&job);
    }
    return code == 0 ? SHR_EXIT_OK : shr_report(&err);
}
