#include "snapshot/held.h"

#include "base/alloc.h"
#include "base/hex.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdlib.h>

/* --- Whose it is --- */

static const char another[] = "give another folder, or delete what is in it";

static int other_chain(const struct shr_identity *held, const struct shr_identity *ours,
                       const char *dir, struct shrewd_error *err) {
    char a[SHR_HASH_HEX_LEN + 1], b[SHR_HASH_HEX_LEN + 1];
    shr_hash_hex(a, &held->genesis);
    shr_hash_hex(b, &ours->genesis);
    return shr_fail(err, SHREWD_MISMATCH,
                    "the snapshot in '%s' is of the chain with genesis block %s, the database of "
                    "the one with %s; %s",
                    dir, a, b, another);
}

static int other_module(const struct shr_identity *held, const struct shr_identity *ours,
                        const char *dir, struct shrewd_error *err) {
    char a[SHR_HASH_HEX_LEN + 1], b[SHR_HASH_HEX_LEN + 1];
    shr_hex_write(a, shr_bytes(held->module_hash.b, sizeof held->module_hash.b));
    shr_hex_write(b, shr_bytes(ours->module_hash.b, sizeof ours->module_hash.b));
    return shr_fail(err, SHREWD_MISMATCH,
                    "the snapshot in '%s' is of the module with SHA-256 %s, the database of the "
                    "one with %s; %s",
                    dir, a, b, another);
}

int shr_held_check(const struct shr_manifest *held, const struct shr_identity *ours,
                   const char *dir, struct shrewd_error *err) {
    const struct shr_identity *theirs = &held->identity;
    const struct shr_part *last = shr_manifest_last(held);
    bool roots = ours->keep_root == SHR_KEEP_ROOT_YES;
    if (!shr_hash_eq(&theirs->genesis, &ours->genesis)) {
        return other_chain(theirs, ours, dir, err);
    }
    if (!shr_hash_eq(&theirs->module_hash, &ours->module_hash)) {
        return other_module(theirs, ours, dir, err);
    }
    if (theirs->start_height != ours->start_height) {
        return shr_fail(err, SHREWD_MISMATCH,
                        "the snapshot in '%s' starts at block %" PRIu32
                        ", the database at block %" PRIu32 "; %s",
                        dir, theirs->start_height, ours->start_height, another);
    }
    if (last != NULL && last->has_root != roots) {
        return shr_fail(err, SHREWD_MISMATCH,
                        "of the snapshot in '%s' and the database, %s keeps state roots and the "
                        "other none (--state-root); %s",
                        dir, roots ? "the database" : "the snapshot", another);
    }
    return 0;
}

/* --- Whether it is whole --- */

static int present(const struct shr_part *part, const char *dir, struct shrewd_error *err) {
    struct shrewd_error why = {0};
    char *path = shr_asprintf("%s/%s", dir, part->name);
    int code = shr_part_present(part, path, &why);
    free(path);
    return code == 0 ? 0
                     : shr_fail(err, code,
                                "%.700s; put it back as it was, or delete the folder '%.200s' to "
                                "have the snapshot made anew",
                                why.message, dir);
}

int shr_held_present(const struct shr_manifest *held, const char *dir, struct shrewd_error *err) {
    int code = 0;
    for (size_t i = 0; code == 0 && i < held->n_base; i++) {
        code = present(&held->base[i], dir, err);
    }
    for (size_t i = 0; code == 0 && i < held->n_parts; i++) {
        code = present(&held->parts[i], dir, err);
    }
    return code;
}

/* --- What of it is still on the chain --- */

void shr_held_clear(struct shr_manifest *held) {
    struct shr_identity identity = held->identity;
    shr_manifest_free(held);
    held->identity = identity;
}

/* Whether the part ends with a block of ours; it must not end above the tip. */
static int still_ours(const struct shr_part *part, struct shr_reader *reader, const char *dir,
                      bool *ours, struct shrewd_error *err) {
    struct shr_block_record block;
    int code = shr_reader_block(reader, &block, part->to, err);
    *ours = code == 0 && shr_hash_eq(&block.hash, &part->block);
    if (*ours && block.has_root && part->has_root && !shr_hash_eq(&block.root, &part->root)) {
        return shr_fail(err, SHREWD_MISMATCH,
                        "after block %" PRIu32
                        " the snapshot in '%s' has another state root than the database: one of "
                        "them is wrong; run 'shrewd check' and 'shrewd snapshot verify', and give "
                        "another folder",
                        part->to, dir);
    }
    return code;
}

/* The first part that is not on the chain, n_parts when that is true of none. Those above the tip
 * are on it as far as anyone knows, but for what lies above one that is not. */
static int find_outdated(const struct shr_manifest *held, struct shr_reader *reader, uint32_t tip,
                         const char *dir, size_t *first, struct shrewd_error *err) {
    bool ours = false;
    size_t known = held->n_parts;
    while (known > 0 && held->parts[known - 1].to > tip) {
        known--;
    }
    int code = 0;
    for (*first = known; *first > 0; --*first) {
        code = still_ours(&held->parts[*first - 1], reader, dir, &ours, err);
        if (code != 0 || ours) {
            break;
        }
    }
    *first = *first == known ? held->n_parts : *first;
    return code;
}

static void say_dropped(const struct shr_manifest *held, size_t first, const char *dir) {
    size_t n = held->n_parts - first;
    shr_warn("snapshot",
             "a reorg took back blocks of the one in '%s': %zu part%s of blocks %" PRIu32
             " to %" PRIu32 " dropped, to be made again of the chain as it is now",
             dir, n, n == 1 ? "" : "s", held->parts[first].from, held->parts[held->n_parts - 1].to);
}

/* What is left must not end above `height`. */
static int check_end(const struct shr_part *last, uint32_t height, uint32_t tip, const char *dir,
                     struct shrewd_error *err) {
    if (last == NULL || last->to <= height) {
        return 0;
    }
    if (last->to > tip) {
        return shr_fail(err, SHREWD_ABOVE_TIP,
                        "the snapshot in '%s' holds the blocks up to %" PRIu32
                        " and the database those up to %" PRIu32
                        "; wait until it has as many, or give another folder",
                        dir, last->to, tip);
    }
    return shr_fail(err, SHREWD_INVALID,
                    "the snapshot in '%s' holds the blocks up to %" PRIu32
                    " and is never cut back; give a height of %" PRIu32
                    " or more instead of %" PRIu32 ", or another folder",
                    dir, last->to, last->to, height);
}

/* Whether the base is of a block that is not on the chain; looked at when no part above it is. */
static int find_base_gone(const struct shr_manifest *held, struct shr_reader *reader, uint32_t tip,
                          const char *dir, bool *gone, struct shrewd_error *err) {
    bool ours = true;
    int code = held->n_base > 0 && held->base[0].to <= tip
                   ? still_ours(&held->base[0], reader, dir, &ours, err)
                   : 0;
    *gone = !ours;
    return code;
}

int shr_held_keep(struct shr_manifest *held, struct shr_reader *reader, uint32_t height,
                  const char *dir, bool *dropped, struct shrewd_error *err) {
    struct shr_hash hash;
    uint32_t tip = 0;
    size_t first = 0;
    bool base_gone = false;
    (void)shr_reader_head(reader, &tip, &hash); /* without a block no height can be asked for */
    int code = find_outdated(held, reader, tip, dir, &first, err);
    if (code == 0 && first == 0) {
        code = find_base_gone(held, reader, tip, dir, &base_gone, err);
    }
    if (code != 0) {
        return code;
    }
    struct shr_manifest left = *held;
    left.n_parts = first;
    left.n_base = base_gone ? 0 : held->n_base;
    code = check_end(shr_manifest_last(&left), height, tip, dir, err);
    *dropped = code == 0 && (first < held->n_parts || base_gone);
    if (*dropped && first < held->n_parts) {
        say_dropped(held, first, dir);
        held->n_parts = first;
    }
    if (*dropped && base_gone) {
        shr_warn("snapshot",
                 "the one in '%s' begins with a block %" PRIu32
                 " that a reorg has taken back: begun anew",
                 dir, held->base[0].to);
        shr_held_clear(held);
    }
    return code;
}
