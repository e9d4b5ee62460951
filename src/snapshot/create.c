#include "snapshot/snapshot.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"

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

static int check_identity(const struct shr_identity *held, const struct shr_identity *ours,
                          const char *dir, struct shrewd_error *err) {
    if (shr_hash_eq(&held->genesis, &ours->genesis) &&
        shr_hash_eq(&held->module_hash, &ours->module_hash) &&
        held->start_height == ours->start_height) {
        return 0;
    }
    return shr_fail(err, SHREWD_MISMATCH,
                    "the snapshot in '%s' is of another chain, module or start height than the "
                    "database; give another folder",
                    dir);
}

/* Whether the part ends with a block that we have too. */
static int still_ours(const struct creation *c, const struct shr_part *part, bool *ours,
                      struct shrewd_error *err) {
    struct shr_block_record block;
    *ours = false;
    if (part->to > c->height) {
        return 0;
    }
    int code = shr_reader_block(c->reader, &block, part->to, err);
    *ours = code == 0 && shr_hash_eq(&block.hash, &part->block) &&
            block.has_root == part->has_root && shr_hash_eq(&block.root, &part->root);
    return code;
}

/* What is in the folder already, without the parts that a reorg has outdated. */
static int load(struct creation *c, const struct shr_identity *identity, struct shrewd_error *err) {
    int code = shr_manifest_read(&c->manifest, c->dir, err);
    if (code == SHREWD_NOT_FOUND) {
        c->manifest.identity = *identity;
        return 0;
    }
    code = code != 0 ? code : check_identity(&c->manifest.identity, identity, c->dir, err);
    while (code == 0 && c->manifest.n_parts > 0) {
        bool ours = false;
        code = still_ours(c, shr_manifest_last(&c->manifest), &ours, err);
        if (code != 0 || ours) {
            break;
        }
        c->manifest.n_parts--;
    }
    return code;
}

static int add_parts(struct creation *c, struct shrewd_error *err) {
    const struct shr_part *last = shr_manifest_last(&c->manifest);
    uint64_t next = last == NULL ? c->manifest.identity.start_height : (uint64_t)last->to + 1;
    int code = 0;
    while (code == 0 && next <= c->height) {
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
    return code;
}

static bool is_part_name(const char *name) {
    size_t len = strlen(name);
    return len > 4 && strcmp(name + len - 4, ".zst") == 0;
}

/* Files that no manifest names any more. */
static void remove_outdated(const struct creation *c) {
    DIR *dir = opendir(c->dir);
    if (dir == NULL) {
        return;
    }
    for (struct dirent *item; (item = readdir(dir)) != NULL;) {
        bool named = !is_part_name(item->d_name);
        for (size_t i = 0; !named && i < c->manifest.n_parts; i++) {
            named = strcmp(c->manifest.parts[i].name, item->d_name) == 0;
        }
        if (!named) {
            unlinkat(dirfd(dir), item->d_name, 0);
        }
    }
    closedir(dir);
}

static void sum_up(struct shr_snap_summary *out, const struct shr_manifest *manifest,
                   size_t new_parts) {
    const struct shr_part *last = shr_manifest_last(manifest);
    *out = (struct shr_snap_summary){.height = last->to,
                                     .block = last->block,
                                     .has_root = last->has_root,
                                     .root = last->root,
                                     .parts = manifest->n_parts,
                                     .new_parts = new_parts,
                                     .bytes = shr_manifest_bytes(manifest)};
}

static int settle_height(struct creation *c, const struct shr_identity *identity,
                         struct shrewd_error *err) {
    struct shr_block_record block;
    int code = c->height == UINT32_MAX ? shr_reader_tip(c->reader, &block, err)
                                       : shr_reader_block(c->reader, &block, c->height, err);
    if (code == 0 && shr_reader_oldest(c->reader) != identity->start_height) {
        code = shr_fail(err, SHREWD_UNSUPPORTED,
                        "the database was pruned: what blocks below %" PRIu32
                        " wrote is gone, so no snapshot can be made from it; make it from one "
                        "that was not, or keep one growing from the start "
                        "(--snapshot-directory)",
                        shr_reader_oldest(c->reader));
    }
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
                   : shr_dir_make(dir, err);
    code = code != 0 ? code : lock_dir(&lock, dir, err);
    code = code != 0 ? code : shr_reader_open(&c.reader, state, err);
    code = code != 0 ? code : settle_height(&c, &identity, err);
    code = code != 0 ? code : load(&c, &identity, err);
    code = code != 0 ? code : add_parts(&c, err);
    if (code == 0) {
        remove_outdated(&c);
        sum_up(out, &c.manifest, c.new_parts);
    }
    shr_manifest_free(&c.manifest);
    shr_reader_close(c.reader);
    if (lock >= 0) {
        close(lock);
    }
    return code;
}

int shr_snap_verify(struct shr_snap_summary *out, const char *dir, struct shr_stop *stop,
                    struct shrewd_error *err) {
    struct shr_manifest manifest;
    int code = shr_manifest_read(&manifest, dir, err);
    if (code != 0) {
        return code;
    }
    if (manifest.n_parts == 0) {
        code = shr_fail(err, SHREWD_CORRUPT, "the snapshot in '%s' has no part", dir);
    }
    for (size_t i = 0; code == 0 && i < manifest.n_parts; i++) {
        char *path = shr_asprintf("%s/%s", dir, manifest.parts[i].name);
        code = shr_part_verify(&manifest.parts[i], path, err);
        free(path);
        if (code == 0 && shr_stopped(stop)) {
            code = shr_fail(err, SHREWD_STOPPED, "stopped");
        }
    }
    if (code == 0) {
        sum_up(out, &manifest, 0);
    }
    shr_manifest_free(&manifest);
    return code;
}
