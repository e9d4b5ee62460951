/* The tip's state root, computed anew from LATEST, and the pages that hold the tree. */
#include "state/check_impl.h"
#include "state/root_page.h"

#include "base/alloc.h"
#include "base/hex.h"

#include <stdlib.h>

/* Leaves held at a time; a state of more is gone through several times. */
#define LEAVES_MAX ((uint64_t)4 << 20)

/* Subtrees of the top page, from one slot up to another. */
struct slots {
    struct shr_check_run *run;
    unsigned from, to;
    struct shr_root_leaf *leaves;
    size_t n, cap;
};

static enum shr_scan_step take_leaf(void *ctx, struct shr_bytes key, struct shr_bytes row) {
    struct slots *slots = ctx;
    struct shr_root_leaf leaf;
    struct shr_bytes value;
    uint32_t height;
    shr_sha256(&leaf.key, key);
    unsigned slot = shr_root_nibble(&leaf.key, 0);
    if (slot >= slots->from && slot < slots->to &&
        shr_version_decode(&value, &height, row) == NULL &&
        shr_check_at_tip(slots->run, &value, &height, key)) {
        shr_sha256(&leaf.value, value);
        struct shr_check_height *at = shr_check_value_height(slots->run, height);
        if (at != NULL) {
            at->values += shr_check_leaf(slots->run, &leaf);
        }
        if (slots->n == slots->cap) {
            slots->cap = slots->cap == 0 ? 1024 : slots->cap * 2;
            slots->leaves = shr_realloc_array(slots->leaves, slots->cap, sizeof leaf);
        }
        slots->leaves[slots->n++] = leaf;
    }
    return shr_check_step(slots->run, key, row);
}

/* Fills in the tops of the slots. */
static int read_slots(struct slots *slots, struct shr_root_top all[SHR_ROOT_NODES]) {
    slots->n = 0;
    int code = shr_check_scan(slots->run, SHR_TABLE_LATEST, take_leaf, slots);
    if (slots->n > 0) {
        qsort(slots->leaves, slots->n, sizeof *slots->leaves, shr_root_leaf_order);
    }
    size_t at = 0;
    for (unsigned slot = slots->from; slot < slots->to; slot++) {
        size_t first = at;
        while (at < slots->n && shr_root_nibble(&slots->leaves[at].key, 0) == slot) {
            at++;
        }
        const struct shr_root_leaf *leaves = at > first ? slots->leaves + first : NULL;
        shr_root_top_of(&all[SHR_ROOT_SLOTS - 1 + slot], leaves, at - first, SHR_ROOT_LEVELS);
    }
    return code;
}

/* Whether all that is in force at the tip could be read. */
static bool knows_latest(const struct shr_check_run *run) {
    return !run->unread[SHR_TABLE_LATEST] && !run->older_unread;
}

/* The way down, page by page: each must have the hash that the one above says. */
struct walk {
    struct shr_check_run *run;
    struct shr_scans *scans;
    struct shr_hash path;
};

static int walk_page(struct walk *walk, unsigned depth, const struct shr_root_top *want);

static int walk_slots(struct walk *walk, const struct shr_root_page *page) {
    int code = 0;
    for (unsigned slot = 0; code == 0 && page->is_inner && slot < SHR_ROOT_SLOTS; slot++) {
        if (shr_root_empty(&page->of.inner->slots[slot])) {
            continue;
        }
        uint8_t *byte = &walk->path.b[page->depth / 2];
        *byte = (uint8_t)(page->depth % 2 == 0 ? slot << 4 : (*byte & 0xf0u) | slot);
        code = walk_page(walk, page->depth + 1u, &page->of.inner->slots[slot]);
    }
    return code;
}

static int walk_page(struct walk *walk, unsigned depth, const struct shr_root_top *want) {
    struct shr_check_run *run = walk->run;
    struct shr_root_page *page = NULL;
    struct shr_root_top top = {0};
    struct shrewd_error err = {0};
    struct shr_root_key key = shr_root_key(depth, &walk->path, run->last);
    if (shr_check_full(run)) {
        return 0;
    }
    int code =
        shr_root_page_read(&page, run->store, walk->scans, depth, &walk->path, run->last, &err);
    if (code == SHREWD_CORRUPT) {
        if (!run->unread[SHR_TABLE_ROOT]) {
            shr_check_note(run, SHR_TABLE_ROOT, shr_root_key_bytes(&key), "rows of a page",
                           "%.600s", err.message);
        }
        return 0;
    }
    if (code != 0) {
        return shr_fail(run->err, code, "%s", err.message);
    }
    if (page != NULL) {
        shr_root_page_top(&top, page);
    }
    if (!shr_hash_eq(&top.hash, &want->hash) || top.single != want->single) {
        shr_check_note(run, SHR_TABLE_ROOT, shr_root_key_bytes(&key),
                       depth > 0            ? "what the page above says"
                       : !knows_latest(run) ? "the root of the block"
                                            : "the root of LATEST",
                       "%s", page == NULL ? "no page" : "another hash");
    } else if (page != NULL) {
        code = walk_slots(walk, page);
    }
    (void)shr_check_step(run, shr_root_key_bytes(&key), shr_bytes(NULL, 0));
    shr_root_page_free(page);
    return run->stopped ? shr_fail(run->err, SHREWD_STOPPED, "the check was stopped") : code;
}

static void compare_tip(struct shr_check_run *run, const struct shr_root_top *top) {
    char want[SHR_HASH_HEX_LEN + 1], got[SHR_HASH_HEX_LEN + 1];
    struct shr_height_key key = shr_height_key(run->last);
    if (run->has_tip && run->tip.has_root != run->keep_root) {
        shr_check_note(run, SHR_TABLE_BLOCKS, shr_height_key_bytes(&key),
                       run->keep_root ? "a state root" : "no state root", "%s",
                       run->keep_root ? "none" : "one");
    } else if (run->has_tip && !shr_hash_eq(&run->tip.root, &top->hash)) {
        shr_hex_write(want, shr_bytes(top->hash.b, sizeof top->hash.b));
        shr_hex_write(got, shr_bytes(run->tip.root.b, sizeof run->tip.root.b));
        shr_check_note(run, SHR_TABLE_BLOCKS, shr_height_key_bytes(&key),
                       "the state root of the values in LATEST", "%s, where those give %s", got,
                       want);
    }
}

int shr_check_root(struct shr_check_run *run) {
    struct shr_root_top all[SHR_ROOT_NODES] = {{{{0}}, false}};
    if (!run->keep_root || !run->has_blocks || shr_check_full(run)) {
        return 0;
    }
    unsigned step = SHR_ROOT_SLOTS;
    while (step > 1 && run->tip.total_keys / SHR_ROOT_SLOTS * step > LEAVES_MAX) {
        step /= 2;
    }
    struct slots slots = {.run = run};
    int code = 0;
    for (slots.from = 0; code == 0 && slots.from < SHR_ROOT_SLOTS; slots.from += step) {
        slots.to = slots.from + step;
        code = read_slots(&slots, all);
    }
    free(slots.leaves);
    if (code != 0) {
        return code;
    }
    shr_root_nodes(all);
    if (!knows_latest(run)) { /* the tree is compared with the record alone */
        all[0] = (struct shr_root_top){run->tip.root, run->tip.total_keys == 1};
    } else {
        compare_tip(run, &all[0]);
    }
    struct walk walk = {.run = run};
    walk.scans = shr_store_scans_new(run->store, run->snapshot, SHR_TABLE_ROOT);
    code = walk_page(&walk, 0, &all[0]);
    shr_store_scans_free(walk.scans);
    return code;
}
