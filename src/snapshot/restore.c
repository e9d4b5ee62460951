#include "snapshot/snapshot.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/staging.h"
#include "node/download.h"
#include "snapshot/base.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORK_SUFFIX ".restore"

struct restoring {
    const struct shr_snap_restore *ask;
    bool remote;
    char *from;                 /* without a slash at its end */
    struct shr_staging staging; /* beside the database's place; kept until that is whole */
    const char *work, *db_dir;  /* its folder, and what is built there */
    char *parts_dir;
    char *based; /* a file that is there once the base is whole in db_dir */
    struct shr_manifest manifest;
    struct shr_state *state;
    size_t applied;
};

/* --- The manifest --- */

static int fetch_manifest(struct restoring *r, struct shr_buf *text, char **origin,
                          struct shrewd_error *err) {
    *origin = shr_asprintf("%s/" SHR_MANIFEST_NAME, r->from);
    if (!r->remote) {
        int code = shr_file_read(text, *origin, SHR_MANIFEST_BYTES_MAX, err);
        return code == SHREWD_NOT_FOUND
                   ? shr_fail(err, SHREWD_NOT_FOUND, "there is no snapshot in '%s': no manifest",
                              r->from)
                   : code;
    }
    char *path = shr_asprintf("%s/manifest.new", r->work);
    unlink(path);
    int code = shr_download(*origin, path, SHR_MANIFEST_BYTES_MAX, r->ask->stop, err);
    if (code == 0) {
        code = shr_file_read(text, path, SHR_MANIFEST_BYTES_MAX, err);
    }
    unlink(path);
    free(path);
    return code;
}

static int differs(const struct restoring *r, const char *what, const struct shr_hash *held,
                   const struct shr_hash *wanted, bool display, struct shrewd_error *err) {
    char a[SHR_HASH_HEX_LEN + 1], b[SHR_HASH_HEX_LEN + 1];
    if (display) {
        shr_hash_hex(a, held);
        shr_hash_hex(b, wanted);
    } else {
        shr_hex_write(a, shr_bytes(held->b, sizeof held->b));
        shr_hex_write(b, shr_bytes(wanted->b, sizeof wanted->b));
    }
    return shr_fail(err, SHREWD_MISMATCH,
                    "the snapshot in '%s' is not the one wanted: its %s is %s, expected %s; name "
                    "the place of another one",
                    r->from, what, a, b);
}

/* As the database would be: what a start would refuse afterwards. */
static int check_settings(const struct restoring *r, bool has_root, struct shrewd_error *err) {
    const struct shr_snap_restore *ask = r->ask;
    struct shr_identity identity = r->manifest.identity;
    identity.keep_root = has_root ? SHR_KEEP_ROOT_YES : SHR_KEEP_ROOT_NO;
    if (ask->start_height != 0 && ask->start_height != identity.start_height) {
        return shr_fail(err, SHREWD_MISMATCH,
                        "the snapshot in '%s' starts at block %" PRIu32
                        ", not at --start-block %" PRIu32
                        ": leave --start-block out, or name the place of another one",
                        r->from, identity.start_height, ask->start_height);
    }
    if (ask->keep_root != SHR_KEEP_ROOT_ANY && ask->keep_root != identity.keep_root) {
        return shr_fail(err, SHREWD_MISMATCH,
                        "the snapshot in '%s' keeps %s, against --state-root: leave --state-root "
                        "out, or name the place of another one",
                        r->from, has_root ? "state roots" : "no state roots");
    }
    int code = ask->grow_dir == NULL ? 0 : shr_snap_may_grow(&identity, ask->grow_dir, err);
    return code == 0 ? 0 : shr_fail_in(err, code, "--snapshot-directory");
}

static int check_wanted(const struct restoring *r, struct shrewd_error *err) {
    const struct shr_snap_restore *ask = r->ask;
    const struct shr_identity *identity = &r->manifest.identity;
    const struct shr_part *last = shr_manifest_last(&r->manifest);
    if (last == NULL) {
        return shr_fail(err, SHREWD_CORRUPT, "the snapshot in '%s' has no part", r->from);
    }
    if (ask->genesis != NULL && !shr_hash_eq(ask->genesis, &identity->genesis)) {
        return differs(r, "genesis block", &identity->genesis, ask->genesis, true, err);
    }
    if (ask->module_hash != NULL && !shr_hash_eq(ask->module_hash, &identity->module_hash)) {
        return differs(r, "module's SHA-256", &identity->module_hash, ask->module_hash, false, err);
    }
    int code = ask->root == NULL ? 0 : shr_snap_check_root(&r->manifest, r->from, ask->root, err);
    return code != 0 ? code : check_settings(r, last->has_root, err);
}

static int load_manifest(struct restoring *r, struct shrewd_error *err) {
    struct shr_buf text = {0};
    char *origin = NULL;
    int code = fetch_manifest(r, &text, &origin, err);
    if (code == 0) {
        code = shr_manifest_decode(&r->manifest, shr_buf_bytes(&text), origin, err);
    }
    code = code != 0 ? code : check_wanted(r, err);
    free(origin);
    shr_buf_free(&text);
    return code;
}

/* --- Folders --- */

static char *without_slash(const char *path) {
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/') {
        len--;
    }
    return shr_strndup(path, len);
}

/* Nothing is ever written over: what is there may be somebody's database. */
static int make_work(struct restoring *r, struct shrewd_error *err) {
    int code = shr_staging_resume(&r->staging, r->ask->db_path, WORK_SUFFIX, err);
    if (code != 0) {
        return code;
    }
    r->work = r->staging.folder;
    r->db_dir = r->staging.made;
    r->parts_dir = shr_asprintf("%s/parts", r->work);
    r->based = shr_asprintf("%s/based", r->work);
    return shr_dir_make(r->parts_dir, err);
}

/* --- The database being built --- */

static int open_state(struct restoring *r, struct shrewd_error *err) {
    struct shr_rocks_options rocks = {.create = true, .cache_bytes = r->ask->cache_bytes};
    struct shr_store *store = NULL;
    int code = shr_store_open_rocks(&store, r->db_dir, &rocks, err);
    return code != 0 ? code : shr_state_open(&r->state, store, &r->manifest.identity, false, err);
}

static void close_state(struct restoring *r) {
    if (r->state != NULL) {
        shr_state_close(r->state);
        r->state = NULL;
    }
}

/* Whether what was built begins with what the snapshot begins with. */
static int same_base(struct restoring *r, bool *same, struct shrewd_error *err) {
    const struct shr_manifest *manifest = &r->manifest;
    struct shr_block_record block;
    uint32_t oldest = shr_manifest_oldest(manifest);
    *same = shr_state_oldest(r->state) == oldest;
    if (!*same || manifest->n_base == 0) {
        return 0;
    }
    int code = shr_state_block(r->state, &block, oldest, err);
    *same = code == 0 && shr_hash_eq(&block.hash, &manifest->base[0].block);
    return code;
}

/* Takes what an earlier try has built back to the end of a part; *next is the part after it. False
 * when it was built from another snapshot. */
static int find_place(struct restoring *r, size_t *next, bool *usable, struct shrewd_error *err) {
    const struct shr_manifest *manifest = &r->manifest;
    struct shr_block_record tip, block;
    int code = shr_state_tip(r->state, &tip, err);
    *next = 0;
    *usable = true;
    if (code == SHREWD_NOT_FOUND) {
        *usable = manifest->n_base == 0 || access(r->based, F_OK) != 0;
        return 0;
    }
    code = code != 0 ? code : same_base(r, usable, err);
    if (code != 0 || !*usable) {
        return code;
    }
    while (code == 0 && *next < manifest->n_parts && manifest->parts[*next].to <= tip.height) {
        const struct shr_part *part = &manifest->parts[*next];
        code = shr_state_block(r->state, &block, part->to, err);
        if (code == 0 && !shr_hash_eq(&block.hash, &part->block)) {
            *usable = false;
            return 0;
        }
        ++*next;
    }
    if (code != 0) {
        return code;
    }
    uint32_t whole = *next > 0 ? manifest->parts[*next - 1].to : shr_manifest_oldest(manifest);
    if (*next == 0 && manifest->n_base == 0) {
        return shr_state_rollback_all(r->state, err);
    }
    return tip.height > whole ? shr_state_rollback(r->state, whole, err) : 0;
}

/* Whether what an earlier try left is of no use. Whatever else hindered its opening may pass: it
 * stays. */
static bool is_in_vain(int code, bool usable) {
    return code == 0
               ? !usable
               : code == SHREWD_MISMATCH || code == SHREWD_CORRUPT || code == SHREWD_NOT_FOUND;
}

/* Opens what an earlier try left, or begins anew. */
static int begin(struct restoring *r, size_t *next, struct shrewd_error *err) {
    bool usable = false;
    *next = 0;
    int code = 0;
    if (r->manifest.n_base > 0 && access(r->based, F_OK) != 0) {
        code = shr_dir_remove(r->db_dir, err); /* there may be some of the base */
    }
    code = code != 0 ? code : open_state(r, err);
    if (code == 0) {
        code = find_place(r, next, &usable, err);
    }
    if (!is_in_vain(code, usable)) {
        return code;
    }
    close_state(r);
    shr_warn("snapshot", "what an earlier try left in '%s' is %s: begun anew", r->db_dir,
             code == SHREWD_CORRUPT ? "damaged" : "of another snapshot");
    *next = 0;
    unlink(r->based);
    code = shr_dir_remove(r->db_dir, err);
    return code != 0 ? code : open_state(r, err);
}

/* --- Parts --- */

static int fetch_part(const struct restoring *r, const struct shr_part *part, const char *path,
                      struct shrewd_error *err) {
    if (access(path, F_OK) == 0 && shr_part_verify(part, path, err) == 0) {
        return 0;
    }
    char *url = shr_asprintf("%s/%s", r->from, part->name);
    char *partial = shr_asprintf("%s.partial", path);
    int code = 0;
    for (int tries = 0; tries < 2; tries++) {
        bool resumed = access(partial, F_OK) == 0;
        code = shr_download(url, partial, part->bytes, r->ask->stop, err);
        code = code != 0 ? code : shr_part_verify(part, partial, err);
        if (code == SHREWD_CORRUPT || code == SHREWD_LIMIT) {
            unlink(partial);
            if (resumed) {
                continue; /* the beginning may be of another try */
            }
        }
        break;
    }
    if (code == 0 && rename(partial, path) != 0) {
        code = shr_fail_errno(err, SHREWD_IO, "cannot rename '%s'", partial);
    }
    free(partial);
    free(url);
    return code == SHREWD_NOT_FOUND || code == SHREWD_LIMIT
               ? shr_fail_in(err, SHREWD_CORRUPT, "part '%s' of the snapshot", part->name)
               : code;
}

/* The part's file, whole; fetched when it is not here. To be freed. */
static int ready_part(const struct restoring *r, const struct shr_part *part, char **path,
                      struct shrewd_error *err) {
    *path = shr_asprintf("%s/%s", r->remote ? r->parts_dir : r->from, part->name);
    return r->remote ? fetch_part(r, part, *path, err) : shr_part_verify(part, *path, err);
}

/* What was fetched is not needed any more. */
static void drop_part(const struct restoring *r, const struct shr_part *part) {
    char *path = shr_asprintf("%s/%s", r->parts_dir, part->name);
    unlink(path);
    free(path);
}

static int take_part(struct restoring *r, const struct shr_part *part, struct shrewd_error *err) {
    char *path = NULL;
    int code = ready_part(r, part, &path, err);
    code = code != 0 ? code : shr_part_apply(part, r->state, path, r->ask->stop, err);
    if (code == 0) {
        r->applied++;
        shr_info("snapshot", "restored up to block %" PRIu32 " of %" PRIu32, part->to,
                 shr_manifest_last(&r->manifest)->to);
        drop_part(r, part);
    }
    free(path);
    return code;
}

/* --- What a pruned database's begins with --- */

static int apply_base(struct restoring *r, struct shr_found *found, struct shrewd_error *err) {
    int code = 0;
    for (size_t i = 0; code == 0 && i < r->manifest.n_base; i++) {
        const struct shr_part *part = &r->manifest.base[i];
        char *path = NULL;
        code = ready_part(r, part, &path, err);
        code = code != 0 ? code : shr_base_apply(part, found, path, r->ask->stop, err);
        free(path);
    }
    return code;
}

static int check_base(struct restoring *r, const struct shr_block_record *made,
                      struct shrewd_error *err) {
    const struct shr_part *last = &r->manifest.base[r->manifest.n_base - 1];
    return shr_hash_eq(&made->hash, &last->block) &&
                   (!last->has_root || !made->has_root || shr_hash_eq(&made->root, &last->root))
               ? 0
               : shr_part_damaged(last, err,
                                  "what it and those before hold is not the block and state root "
                                  "that the manifest names");
}

/* All of it at once, or again: half a state has no root to tell whether it is right. */
static int take_base(struct restoring *r, struct shrewd_error *err) {
    struct shr_found *found = NULL;
    struct shr_block_record made;
    const struct shr_part *last = &r->manifest.base[r->manifest.n_base - 1];
    int code = shr_found_begin(&found, r->state, last->to, r->work, SHR_FOUND_MEMORY, err);
    code = code != 0 ? code : apply_base(r, found, err);
    if (code == 0) {
        code = shr_part_fault(last, shr_found_end(found, &made, err), err);
    }
    shr_found_free(found);
    code = code != 0 ? code : check_base(r, &made, err);
    code = code != 0 ? code : shr_file_write(r->based, shr_bytes_str("whole\n"), err);
    for (size_t i = 0; code == 0 && i < r->manifest.n_base; i++) {
        r->applied++;
        drop_part(r, &r->manifest.base[i]);
    }
    if (code == 0) {
        shr_info("snapshot", "restored the state after block %" PRIu32 ", of %" PRIu32, last->to,
                 shr_manifest_last(&r->manifest)->to);
    }
    return code;
}

static int take_base_if_due(struct restoring *r, struct shrewd_error *err) {
    bool due = r->manifest.n_base > 0 && access(r->based, F_OK) != 0;
    return due ? take_base(r, err) : 0;
}

/* The whole must end as the manifest says. */
static int check_end(struct restoring *r, struct shrewd_error *err) {
    const struct shr_part *last = shr_manifest_last(&r->manifest);
    struct shr_block_record tip;
    int code = shr_state_tip(r->state, &tip, err);
    if (code != 0) {
        return code;
    }
    if (tip.height != last->to || !shr_hash_eq(&tip.hash, &last->block)) {
        return shr_fail(err, SHREWD_CORRUPT,
                        "the snapshot does not end with the block its manifest names");
    }
    if (last->has_root && (!tip.has_root || !shr_hash_eq(&tip.root, &last->root))) {
        return differs(r, "state root", &tip.root, &last->root, false, err);
    }
    return 0;
}

static int put_in_place(struct restoring *r, struct shrewd_error *err) {
    close_state(r);
    int code = shr_staging_commit(&r->staging, err);
    if (code == 0) {
        shr_staging_end(&r->staging);
    }
    return code;
}

/* --- What is left there after a failure --- */

static bool has_bytes(const char *path) {
    DIR *dir = opendir(path);
    bool found = false;
    for (struct dirent *item; dir != NULL && (item = readdir(dir)) != NULL;) {
        struct stat info;
        found = found || (fstatat(dirfd(dir), item->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
                          S_ISREG(info.st_mode) && info.st_size > 0);
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return found;
}

/* Whether another try can go on with something: a block of the database, or bytes of a part. */
static bool is_of_use(struct restoring *r) {
    struct shr_block_record tip;
    bool built =
        r->state != NULL ? shr_state_tip(r->state, &tip, NULL) == 0 : access(r->db_dir, F_OK) == 0;
    return built || has_bytes(r->parts_dir);
}

static void leave(struct restoring *r, bool whole) {
    bool kept = whole || r->staging.lock < 0 || is_of_use(r);
    close_state(r);
    if (kept) {
        shr_staging_leave(&r->staging);
    } else {
        shr_staging_end(&r->staging);
    }
}

bool shr_snap_begun(const char *db_path) {
    char *target = without_slash(db_path);
    char *folder = shr_asprintf("%s" WORK_SUFFIX, target);
    bool begun = access(folder, F_OK) == 0;
    free(folder);
    free(target);
    return begun;
}

static int run(struct restoring *r, struct shrewd_error *err) {
    size_t next = 0;
    int code = make_work(r, err);
    code = code != 0 ? code : load_manifest(r, err);
    code = code != 0 ? code : begin(r, &next, err);
    code = code != 0 ? code : take_base_if_due(r, err);
    for (; code == 0 && next < r->manifest.n_parts; next++) {
        code = take_part(r, &r->manifest.parts[next], err);
    }
    code = code != 0 ? code : check_end(r, err);
    return code != 0 ? code : put_in_place(r, err);
}

int shr_snap_restore(struct shr_snap_summary *out, const struct shr_snap_restore *ask,
                     struct shrewd_error *err) {
    struct restoring r = {.ask = ask, .staging = {.lock = -1}};
    r.from = without_slash(ask->from);
    r.remote = strncmp(r.from, "http://", 7) == 0 || strncmp(r.from, "https://", 8) == 0;
    int code = run(&r, err);
    if (code == 0) {
        shr_snap_sum_up(out, &r.manifest, r.applied);
    }
    leave(&r, code == 0);
    shr_manifest_free(&r.manifest);
    free(r.based);
    free(r.parts_dir);
    free(r.from);
    return code;
}
