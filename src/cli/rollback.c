/* shrewd rollback: takes the newest blocks off a database, after saying which. */
#include "chain/hash.h"
#include "cli/database.h"
#include "cli/output.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Past this many blocks the keys they wrote are not counted: it would take too long. */
#define COUNTED_MAX 1000000u

static void show_hash(char out[SHR_HASH_HEX_LEN + 1], const uint8_t hash[32]) {
    struct shr_hash copy;
    memcpy(copy.b, hash, sizeof copy.b);
    shr_hash_hex(out, &copy);
}

/* Says what goes, on standard error: standard output is for the result. */
static int show_plan(struct shrewd *db, const struct shrewd_block *tip, uint32_t height,
                     struct shrewd_error *err) {
    uint64_t keys = 0;
    bool counted = tip->height - height <= COUNTED_MAX;
    for (uint32_t at = tip->height; counted && at > height; at--) {
        struct shrewd_block block;
        int code = shrewd_block_at(db, &block, at, err);
        if (code != 0) {
            return code;
        }
        keys += block.n_keys;
    }
    char hash[SHR_HASH_HEX_LEN + 1];
    show_hash(hash, tip->hash);
    fprintf(stderr, "tip            %" PRIu32 " %s\n", tip->height, hash);
    fprintf(stderr, "to be removed  blocks %" PRIu32 " to %" PRIu32 " (%" PRIu32 ")", height + 1,
            tip->height, tip->height - height);
    if (counted) {
        fprintf(stderr, ", which wrote %" PRIu64 " keys", keys);
    }
    fputs("\n", stderr);
    return 0;
}

static bool confirmed(void) {
    char line[16] = "";
    fputs("Remove them? Type yes to go on: ", stderr);
    fflush(stderr);
    return fgets(line, sizeof line, stdin) != NULL && strcmp(line, "yes\n") == 0;
}

static void print_tip(const struct shr_config *config, const struct shrewd_block *tip,
                      uint32_t removed) {
    char hash[SHR_HASH_HEX_LEN + 1] = "";
    if (tip != NULL) {
        show_hash(hash, tip->hash);
    }
    if (config->json) {
        json_t *object = json_object();
        json_object_set_new(object, "removed", json_integer(removed));
        json_object_set_new(object, "height", tip ? json_integer(tip->height) : json_null());
        json_object_set_new(object, "hash", tip ? json_string(hash) : json_null());
        shr_out_json(object);
    } else if (tip != NULL) {
        printf("removed %" PRIu32 " blocks; the tip is %" PRIu32 " %s\n", removed, tip->height,
               hash);
    } else {
        printf("removed %" PRIu32 " blocks; none is left\n", removed);
    }
}

static int roll_back(struct shrewd *db, const struct shr_config *config, struct shrewd_error *err) {
    struct shrewd_block tip;
    uint32_t removed = 0;
    int code = shrewd_tip(db, &tip, err);
    if (code != 0) {
        return code;
    }
    if (config->height > tip.height) {
        return shr_fail(err, SHREWD_ABOVE_TIP,
                        "--height: %" PRIu32 " is above the tip, %" PRIu32
                        ": there is nothing to remove",
                        config->height, tip.height);
    }
    if (config->height < tip.height) {
        removed = tip.height - config->height;
        code = show_plan(db, &tip, config->height, err);
        if (code != 0) {
            return code;
        }
        if (!config->yes && !confirmed()) {
            return shr_fail(err, SHREWD_IO, "nothing was removed");
        }
        code = shrewd_rollback(db, config->height, err);
    }
    if (code != 0) {
        return code;
    }
    code = shrewd_tip(db, &tip, err);
    if (code == 0 || code == SHREWD_NOT_FOUND) {
        print_tip(config, code == 0 ? &tip : NULL, removed);
        code = 0;
    }
    return code;
}

int shr_cmd_rollback(struct shr_config *config) {
    struct shrewd_error err = {0};
    struct shrewd *db = NULL;
    int code = 0;
    if (config->height == SHR_UNSET) {
        code = shr_fail(&err, SHREWD_INVALID, "--height: a rollback needs a number");
    } else if (!config->yes && !isatty(STDIN_FILENO)) {
        code = shr_fail(&err, SHREWD_INVALID,
                        "a rollback asks first, and standard input is not a terminal: add --yes");
    }
    if (code == 0) {
        code = shr_database_open(&db, config, 0, false, &err);
    }
    if (code == SHREWD_LOCKED) {
        shr_fail_in(&err, code, "a rollback needs the database for itself");
    }
    if (code == 0) {
        code = roll_back(db, config, &err);
    }
    shrewd_close(db);
    return code == 0 ? SHR_EXIT_OK : shr_report(&err);
}
