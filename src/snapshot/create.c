#include "snapshot/snapshot.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/log.h"
#include "snapshot/base.h"
#include "snapshot/held.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define PART_RAW_BYTES ((uint64_t)128 << 20)

struct creation {
    struct shr_reader *reader;
    const char *dir;
    uint32_t height;
    struct shr_manifest manifest;
    bool dropped; /* parts that the manifest on disk still names */
    size_t new_parts;
    struct shr_stop *stop;
};

static int lock_dir(int *fd, const char *dir, struct shrewd_error *err) {
    char *path = shr_asprintf("%s/lock", dir);
    int code = 0;
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (*fd < 0) {
        code = shr_fail_errno(err, SHREWD_IO, "cannot create '%s'", path);
    } else if (flock(*fd, LOCK_EX | LOCK_NB) != 0) {
        code = shr_fail(err, SHREWD_LOCKED,
                        "another process is writing a snapshot in '%s'; wait for it, or use "
                        "another folder",
                        dir);
        close(*fd);
        *fd = -1;
    }
    free(path);
    return code;
}

/* What is in the folder already, as far as it is of our chain. */
static int load(struct creation *c, const struct shr_identity *identity, struct shrewd_error *err) {
    int code = shr_manifest_read(&c->manifest, c->dir, err);
    if (code == SHREWD_NOT_FOUND) {
        c->manifest.identity = *identity;
        return 0;
    }
    code = code != 0 ? code : shr_held_check(&c->manifest, identity, c->dir, err);
    return code != 0 ? code
                     : shr_held_keep(&c->manifest, c->reader, c->height, c->dir, &c->dropped, err);
}

/* Of a pruned database, when there is nothing that goes on to where blocks are held. */
static int add_base(struct creation *c, struct shrewd_error *err) {
    uint32_t oldest = shr_reader_oldest(c->reader);
    const struct shr_part *last = shr_manifest_last(&c->manifest);
    if (!shr_reader_pruned(c->reader) || shr_manifest_next(&c->manifest) > oldest) {
        return 0;
    }
    if (last != NULL) {
        shr_warn("snapshot",
                 "the one in '%s' ends with block %" PRIu32 ", and what the blocks up to %" PRIu32
                 " wrote was pruned since: begun anew, with the state after block %" PRIu32
                 "; to go on instead, prune less or take it more often",
                 c->dir, last->to, oldest, oldest);
        shr_held_clear(&c->manifest);
    }
    int code =
        shr_base_write(&c->manifest, c->dir, c->reader, oldest, PART_RAW_BYTES, c->stop, err);
    c->new_parts += c->manifest.n_base;
    return code != 0 ? code : shr_manifest_write(c->dir, &c->manifest, err);
}

static int add_parts(struct creation *c, struct shrewd_error *err) {
    int code = add_base(c, err);
    /* Now that those which a reorg or pruning made useless are out. */
    code = code != 0 ? code : shr_held_present(&c->manifest, c->dir, err);
    for (uint64_t next = shr_manifest_next(&c->manifest); code == 0 && next <= c->height;) {
        struct shr_part part;
        code = shr_part_write(&part, c->dir, c->reader, (uint32_t)next, c->height, PART_RAW_BYTES,
                              c->stop, err);
        if (code == 0) {
            shr_manifest_add(&c->manifest, &part);
            c->new_parts++;
            next = (uint64_t)part.to + 1;
            code = shr_manifest_write(c->dir, &c->manifest, err);
        }
    }
    /* Nothing had to be added: then it still names what is about to be deleted. */
    if (code == 0 && c->dropped && c->new_parts == 0) {
        code = shr_manifest_write(c->dir, &c->manifest, err);
    }
    return code;
}

/* As shr_part_name makes them: other files of the folder are not ours. */
static bool is_part_name(const char *name) {
    const char *at = strncmp(name, "base-", 5) == 0 ? name + 5 : name;
    for (int i = 0; i < 2; i++) {
        size_t digits = strspn(at, "0123456789");
        if (digits < 5 || at[digits] != '-') {
            return false;
        }
        at += digits + 1;
    }
    return strspn(at, "0123456789abcdef") == 16 && strcmp(at + 16, ".zst") == 0;
}

static bool has_name(const struct shr_part *parts, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++) {
        if (strcmp(parts[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Files that no manifest names any more. */
static void remove_outdated(const struct creation *c) {
    DIR *dir = opendir(c->dir);
    if (dir == NULL) {
        return;
    }
    for (struct dirent *item; (item = readdir(dir)) != NULL;) {
        if (is_part_name(item->d_name) &&
            !has_name(c->manifest.base, c->manifest.n_base, item->d_name) &&
            !has_name(c->manifest.parts, c->manifest.n_parts, item->d_name)) {
            unlinkat(dirfd(dir), item->d_name, 0);
        }
    }
    closedir(dir);
}

void shr_snap_sum_up(struct shr_snap_summary *out, const struct shr_manifest *manifest,
                     size_t new_parts) {
    const struct shr_part *last = shr_manifest_last(manifest);
    *out = (struct shr_snap_summary){.height = last->to,
                                     .oldest = shr_manifest_oldest(manifest),
                                     .block = last->block,
                                     .has_root = last->has_root,
                                     .root = last->root,
                                     .parts = manifest->n_base + manifest->n_parts,
                                     .new_parts = new_parts,
                                     .bytes = shr_manifest_bytes(manifest)};
}

static int settle_height(struct creation *c, struct shrewd_error *err) {
    struct shr_block_record block;
    int code = c->height == UINT32_MAX ? shr_reader_tip(c->reader, &block, err)
                                       : shr_reader_held(c->reader, &block, c->height, err);
    c->height = block.height;
    return code;
}

int shr_snap_create(struct shr_snap_summary *out, struct shr_state *state, const char *dir,
                    uint32_t height, struct shr_stop *stop, struct shrewd_error *err) {
    struct creation c = {.dir = dir, .height = height, .stop = stop};
    struct shr_identity identity;
    int lock = -1;
    shr_state_identity(state, &identity);
    int code = shr_state_is_fork(state)
                   ? shr_fail(err, SHREWD_UNSUPPORTED,
                              "a fork cannot be made a snapshot of; use the database it reads "
                              "through to")
                   : shr_reader_open(&c.reader, state, err);
    code = code != 0 ? code : settle_height(&c, err); /* before there is a folder */
    code = code != 0 ? code : shr_dir_make_mode(dir, SHR_SNAP_DIR_MODE, err);
    code = code != 0 ? code : lock_dir(&lock, dir, err);
    code = code != 0 ? code : load(&c, &identity, err);
    code = code != 0 ? code : add_parts(&c, err);
    if (code == 0) {
        remove_outdated(&c);
        shr_snap_sum_up(out, &c.manifest, c.new_parts);
    }
    shr_manifest_free(&c.manifest);
    shr_reader_close(c.reader);
    if (lock >= 0) {
        close(lock);
    }
    return code;
}

static int held_height(uint32_t *out, const struct shr_identity *identity, const char *dir,
                       struct shrewd_error *err) {
    struct shr_manifest manifest;
    *out = 0;
    int code = shr_manifest_read(&manifest, dir, err);
    if (code != 0) {
        return code == SHREWD_NOT_FOUND ? 0 : code;
    }
    code = shr_held_check(&manifest, identity, dir, err);
    code = code != 0 ? code : shr_held_present(&manifest, dir, err);
    const struct shr_part *last = shr_manifest_last(&manifest);
    *out = code != 0 || last == NULL ? 0 : last->to;
    shr_manifest_free(&manifest);
    return code;
}

int shr_snap_height(uint32_t *out, struct shr_state *state, const char *dir,
                    struct shrewd_error *err) {
    struct shr_identity identity;
    shr_state_identity(state, &identity);
    return held_height(out, &identity, dir, err);
}

int shr_snap_may_grow(const struct shr_identity *identity, const char *dir,
                      struct shrewd_error *err) {
    uint32_t height;
    return held_height(&height, identity, dir, err);
}

static int verify_parts(const struct shr_part *parts, size_t n, const char *dir,
                        struct shr_stop *stop, struct shrewd_error *err) {
    int code = 0;
    for (size_t i = 0; code == 0 && i < n; i++) {
        char *path = shr_asprintf("%s/%s", dir, parts[i].name);
        code = shr_part_verify(&parts[i], path, err);
        free(path);
        if (code == 0 && shr_stopped(stop)) {
            code = shr_fail(err, SHREWD_STOPPED, "stopped");
        }
    }
    return code;
}

int shr_snap_check_root(const struct shr_manifest *manifest, const char *place,
                        const struct shr_hash *root, struct shrewd_error *err) {
    const struct shr_part *last = shr_manifest_last(manifest);
    char held[SHR_HASH_HEX_LEN + 1], wanted[SHR_HASH_HEX_LEN + 1];
    if (!last->has_root) {
        return shr_fail(err, SHREWD_MISMATCH,
                        "the snapshot in '%s' keeps no state roots, so it cannot be compared with "
                        "--expect-root; leave that out if you trust the place, or name the place "
                        "of another one",
                        place);
    }
    if (shr_hash_eq(root, &last->root)) {
        return 0;
    }
    shr_hex_write(held, shr_bytes(last->root.b, sizeof last->root.b));
    shr_hex_write(wanted, shr_bytes(root->b, sizeof root->b));
    return shr_fail(err, SHREWD_MISMATCH,
                    "the snapshot in '%s' is not the one wanted: its state root is %s, expected "
                    "%s; name the place of another one",
                    place, held, wanted);
}

int shr_snap_verify(struct shr_snap_summary *out, const char *dir, const struct shr_hash *root,
                    struct shr_stop *stop, struct shrewd_error *err) {
    struct shr_manifest manifest;
    int code = shr_manifest_read(&manifest, dir, err);
    if (code != 0) {
        return code;
    }
    if (shr_manifest_last(&manifest) == NULL) {
        code = shr_fail(err, SHREWD_CORRUPT, "the snapshot in '%s' has no part", dir);
    }
    if (code == 0 && root != NULL) {
        code = shr_snap_check_root(&manifest, dir, root, err);
    }
    code = code != 0 ? code : verify_parts(manifest.base, manifest.n_base, dir, stop, err);
    code = code != 0 ? code : verify_parts(manifest.parts, manifest.n_parts, dir, stop, err);
    if (code == 0) {
        shr_snap_sum_up(out, &manifest, 0);
    }
    shr_manifest_free(&manifest);
    return code;
}
