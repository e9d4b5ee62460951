/* shrewd snapshot: taking, restoring and verifying what another machine continues from. */
#include "snapshot/snapshot.h"
#include "base/hex.h"
#include "cli/database.h"
#include "cli/output.h"
#include "cli/signals.h"
#include "cli/snapshots.h"
#include "lib/lib.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct job {
    struct shr_config *config;
    const char *place;
    struct shr_snap_summary *done;
    struct shr_stop *stop;
    struct shrewd_error *err;
};

static int create(const struct job *job) {
    struct shrewd *db = NULL;
    int code = shr_database_open(&db, job->config, SHREWD_READ_ONLY, false, job->err);
    if (code == 0) {
        code = shr_snap_create(job->done, shr_lib_state(db), job->place, job->config->height,
                               job->stop, job->err);
        shrewd_close(db);
    }
    return code;
}

static int restore(void *ctx) {
    const struct job *job = ctx;
    char *dir = shr_config_db_dir(job->config);
    int code =
        shr_snapshot_fetch(job->done, job->config, dir, job->place, NULL, job->stop, job->err);
    free(dir);
    return code;
}

static int verify(const struct job *job) {
    struct shr_hash root;
    const char *wanted = job->config->expect_root;
    int code = wanted == NULL ? 0 : shr_read_root(root.b, wanted, "--expect-root", job->err);
    return code != 0 ? code
                     : shr_snap_verify(job->done, job->place, wanted == NULL ? NULL : &root,
                                       job->stop, job->err);
}

static int run(struct job *job, const char *what) {
    bool verifies = strcmp(what, "verify") == 0;
    if (!verifies && strcmp(what, "create") != 0 && strcmp(what, "restore") != 0) {
        return shr_fail(
            job->err, SHREWD_INVALID,
            "unknown action '%.100s'; 'shrewd snapshot' takes create, restore or verify", what);
    }
    if (!verifies && job->config->db_path == NULL) {
        return shr_fail(job->err, SHREWD_INVALID, "'shrewd snapshot %s' needs --db-path DIR", what);
    }
    if (strcmp(what, "create") == 0) {
        return create(job);
    }
    if (strcmp(what, "restore") == 0) {
        return shr_on_guest_stack(restore, job, job->err);
    }
    return verify(job);
}

static void print(const struct shr_config *config, const struct shr_snap_summary *done) {
    char hash[SHR_HASH_HEX_LEN + 1], root[SHR_HASH_HEX_LEN + 1], size[64];
    shr_hash_hex(hash, &done->block);
    shr_hex_write(root, shr_bytes(done->root.b, sizeof done->root.b));
    if (config->json) {
        json_t *object = json_object();
        json_object_set_new(object, "height", json_integer(done->height));
        json_object_set_new(object, "oldest_height", json_integer(done->oldest));
        json_object_set_new(object, "hash", json_string(hash));
        json_object_set_new(object, "root", done->has_root ? json_string(root) : json_null());
        json_object_set_new(object, "parts", json_integer((json_int_t)done->parts));
        json_object_set_new(object, "new_parts", json_integer((json_int_t)done->new_parts));
        json_object_set_new(object, "bytes", json_integer((json_int_t)done->bytes));
        shr_out_json(object);
        return;
    }
    shr_human_bytes(size, done->bytes);
    printf("block %" PRIu32 " %s\nstate root %s\nreadable from block %" PRIu32
           " on\n%zu part%s, %zu of them new, %s\n",
           done->height, hash, done->has_root ? root : "not kept", done->oldest, done->parts,
           done->parts == 1 ? "" : "s", done->new_parts, size);
}

int shr_cmd_snapshot(struct shr_config *config) {
    struct shrewd_error err = {0};
    struct shr_snap_summary done;
    struct shr_stop stop;
    if (shr_signals_install(&stop, &err) != 0) {
        return shr_report(&err);
    }
    struct job job = {
        .config = config, .place = config->args[1], .done = &done, .stop = &stop, .err = &err};
    int code = run(&job, config->args[0]);
    if (code == 0) {
        print(config, &done);
    }
    shr_signals_restore(&stop);
    return code == 0 ? SHR_EXIT_OK : shr_signals_report(&err);
}
