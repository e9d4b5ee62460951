/* shrewd export-rockshrew: a database in rockshrew-mono's layout, for tools that read that. */
#include "base/staging.h"
#include "cli/database.h"
#include "cli/migrate.h"

#include <stdlib.h>

static int run(const struct shr_config *config, struct shr_staging *staging,
               struct shr_rockshrew_counts *counts, struct shr_block_record *tip,
               struct shrewd_error *err) {
    struct shr_store *store = NULL;
    struct shr_state *state = NULL;
    struct shr_rocks_options options = {.read_only = true,
                                        .cache_bytes = (size_t)config->cache_mb << 20};
    char *dir = shr_config_db_dir(config);
    int code = shr_store_open_rocks(&store, dir, &options, err);
    free(dir);
    if (code == 0) {
        code = shr_state_open(&state, store, NULL, false, err);
    }
    if (code == 0) {
        code = shr_state_tip(state, tip, err);
    }
    if (code == 0) {
        code = shr_staging_begin(staging, config->args[0], err);
    }
    if (code == 0) {
        code = shr_rockshrew_export(state, staging->made, config->label, counts, err);
    }
    if (code == 0) {
        code = shr_staging_commit(staging, err);
    }
    shr_state_close(state);
    return code;
}

int shr_cmd_export_rockshrew(struct shr_config *config) {
    struct shrewd_error err = {0};
    struct shr_staging staging = {.lock = -1};
    struct shr_rockshrew_counts counts;
    struct shr_block_record tip;
    int code = run(config, &staging, &counts, &tip, &err);
    shr_staging_end(&staging);
    if (code != 0) {
        return shr_report(&err);
    }
    if (config->json) {
        shr_out_json(shr_migrate_json(&counts, &tip));
    } else {
        shr_migrate_print("exported", &counts, &tip);
    }
    return SHR_EXIT_OK;
}
