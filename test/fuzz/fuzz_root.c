/* Arbitrary bytes in the rows of the state's tree (ROOT, its pages; ROOT_PAGES, the pages that a
 * block changed): nothing may crash, hang or leak, every failure carries its code and a message,
 * and no proof of damaged rows passes for one of the sound state, unless it is that one.
 *
 * An input is a list of changes to the rows of a small sound tree of two levels: a byte that says
 * what is done (its low two bits), the number of a row (two bytes), and then
 *   0, 1  an offset (two bytes) and a byte: that byte of the value is set, or, past its end, added
 *   2     nothing: the row is removed
 *   3     a length (two bytes) and so many bytes: the value. With bit 2, before it a length (one
 *         byte) and a key: a row that was not there, in the same table. */
#include "base/alloc.h"
#include "base/endian.h"
#include "shrewd/proof.h"
#include "state/check.h"
#include "state/root.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS 700u /* so that some slots of the top page hold inner pages */
#define BLOCKS 6u
#define ROWS_MAX 2000u
#define ASKED 3u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct shr_store *sound; /* lives as long as the process, as does the state that has it */
static struct shr_state *sound_state;
static struct shr_hash roots[BLOCKS + 1];
static struct shr_buf proofs[BLOCKS + 1]; /* what prove gives of the sound tree */
static struct {
    enum shr_table table;
    struct shr_buf key, value;
} rows[ROWS_MAX];
static size_t n_rows;
static enum shr_table scanned;

static void must(bool held) {
    if (!held) {
        abort();
    }
}

static void check(int code, const struct shrewd_error *err) {
    must(code <= 0 && (code == 0 || (err->code == code && err->message[0] != 0)));
}

/* Block `height`: all keys in the first, then fewer and fewer. */
static size_t make_block(struct shr_pair *pairs, char (*texts)[16], uint32_t height) {
    static const char *const values[] = {"", "one", "two", "three", "four", "five", "six"};
    size_t n = 0;
    for (uint32_t i = 0; i < KEYS; i += height == 1 ? 1 : 20 * height) {
        snprintf(texts[n], sizeof texts[n], "key %u", i);
        pairs[n] = (struct shr_pair){shr_bytes_str(texts[n]), shr_bytes_str(values[height % 7])};
        n++;
    }
    return n;
}

static enum shr_scan_step remember(void *ctx, struct shr_bytes key, struct shr_bytes value) {
    must(n_rows < ROWS_MAX);
    rows[n_rows].table = scanned;
    shr_buf_set(&rows[n_rows].key, key);
    shr_buf_set(&rows[n_rows++].value, value);
    return SHR_SCAN_MORE;
}

static bool take(struct shr_bytes *in, size_t n, struct shr_bytes *out) {
    if (in->len < n) {
        return false;
    }
    *out = shr_bytes(in->data, n);
    *in = shr_bytes(in->data + n, in->len - n);
    return true;
}

static void set_byte(struct shr_buf *value, size_t at, uint8_t byte) {
    if (at < value->len) {
        value->data[at] = byte;
    } else {
        shr_buf_add_u8(value, byte);
    }
}

/* One change. `now` has the values as changed so far. */
static bool take_change(struct shr_bytes *in, struct shr_buf *now, struct shr_batch *batch) {
    struct shr_bytes part, key, value;
    if (!take(in, 3, &part)) {
        return false;
    }
    uint8_t what = part.data[0];
    size_t row = shr_get_le16(part.data + 1) % n_rows;
    key = shr_buf_bytes(&rows[row].key);
    switch (what & 3) {
    case 2:
        shr_batch_remove(batch, rows[row].table, key);
        return true;
    case 3:
        if ((what & 4) != 0 && !(take(in, 1, &part) && take(in, part.data[0], &key))) {
            return false;
        }
        if (!take(in, 2, &part)) {
            return false;
        }
        size_t len = shr_get_le16(part.data);
        if (!take(in, len < in->len ? len : in->len, &value)) {
            return false;
        }
        if ((what & 4) == 0) {
            shr_buf_set(&now[row], value);
        }
        shr_batch_put(batch, rows[row].table, key, value);
        return true;
    default:
        if (!take(in, 3, &part)) {
            return false;
        }
        if (now[row].data == NULL) {
            shr_buf_set(&now[row], shr_buf_bytes(&rows[row].value));
        }
        set_byte(&now[row], shr_get_le16(part.data), part.data[2]);
        shr_batch_put(batch, rows[row].table, key, shr_buf_bytes(&now[row]));
        return true;
    }
}

static struct shr_store *make_damaged(struct shr_bytes in, bool *changed) {
    struct shr_store *damaged = shr_store_new_overlay(sound, NULL);
    struct shr_batch batch = {0};
    struct shr_buf *now = shr_alloc_array(n_rows, sizeof *now);
    while (take_change(&in, now, &batch)) {
    }
    *changed = batch.n > 0;
    must(shr_store_write(damaged, &batch, false, NULL) == 0);
    for (size_t i = 0; i < n_rows; i++) {
        shr_buf_free(&now[i]);
    }
    free(now);
    shr_batch_free(&batch);
    return damaged;
}

static int by_bytes(const void *a, const void *b) {
    return memcmp(a, b, sizeof(struct shr_hash));
}

/* Nodes at many depths, each of which is found from the top page down. */
static void look(struct shr_root_view *view, const struct shr_hash hashes[ASKED]) {
    for (unsigned depth = 0; depth <= 256; depth += depth < 12 ? 1 : 61) {
        struct shr_root_node node;
        struct shrewd_error err;
        check(shr_root_node(view, &node, depth, &hashes[depth % ASKED], &err), &err);
    }
}

/* What the tree says of some keys: two that are there, one that is not. `nodes`: and what it says
 * of nodes on the way. */
static int prove(struct shr_buf *out, struct shr_store *store, uint32_t height, bool nodes,
                 struct shrewd_error *err) {
    static const char *const keys[ASKED] = {"key 0", "key 123", "none"};
    struct shr_hash hashes[ASKED];
    for (size_t i = 0; i < ASKED; i++) {
        shr_sha256(&hashes[i], shr_bytes_str(keys[i]));
    }
    qsort(hashes, ASKED, sizeof hashes[0], by_bytes);
    struct shr_root_view *view = shr_root_view_new(store, NULL, height);
    int code = shr_root_prove(view, out, hashes, ASKED, err);
    if (nodes) {
        look(view, hashes);
    }
    shr_root_view_free(view);
    return code;
}

static void make_sound(void) {
    static const struct shr_identity identity = {.start_height = 1, .keep_root = SHR_KEEP_ROOT_YES};
    static struct shr_pair pairs[KEYS];
    static char texts[KEYS][16];
    sound = shr_store_new_memory();
    must(shr_state_open(&sound_state, sound, &identity, false, NULL) == 0);
    shr_state_set_cache(sound_state, 0); /* whose entries would count as leaked */
    for (uint32_t height = 1; height <= BLOCKS; height++) {
        struct shr_block_record record;
        struct shr_block_change change = {
            .height = height, .pairs = pairs, .n_pairs = make_block(pairs, texts, height)};
        must(shr_state_apply(sound_state, &change, false, NULL) == 0);
        must(shr_state_tip(sound_state, &record, NULL) == 0 && record.has_root);
        roots[height] = record.root;
    }
    for (uint32_t height = 1; height <= BLOCKS; height++) {
        must(prove(&proofs[height], sound, height, false, NULL) == 0);
    }
    for (int i = 0; i < 2; i++) { /* the few rows of ROOT_PAGES first */
        scanned = i == 0 ? SHR_TABLE_ROOT_PAGES : SHR_TABLE_ROOT;
        must(shr_store_scan(sound, NULL, scanned, shr_bytes(NULL, 0), shr_bytes(NULL, 0), false,
                            remember, NULL, NULL) == 0);
    }
}

/* No claims are right for a changed tree; so what the sound state's root takes is its own proof. */
static void prove_all(struct shr_store *damaged, uint32_t nodes_at) {
    for (uint32_t height = 0; height <= BLOCKS + 1; height++) {
        struct shr_buf got = {0};
        struct shrewd_error err;
        int code = prove(&got, damaged, height, height == nodes_at, &err);
        check(code, &err);
        if (code == 0 && height >= 1 && height <= BLOCKS) {
            struct shrewd_claim claims[ASKED] = {
                {.key = (const uint8_t *)"key 0", .key_len = 5, .absent = 1},
                {.key = (const uint8_t *)"key 123", .key_len = 7, .absent = 1},
                {.key = (const uint8_t *)"none", .key_len = 4, .absent = 1}};
            int verdict =
                shrewd_proof_verify(roots[height].b, got.data, got.len, claims, ASKED, NULL);
            must(verdict < 0);
            bool same = shr_bytes_eq(shr_buf_bytes(&got), shr_buf_bytes(&proofs[height]));
            /* Two keys are there: the proof itself is right. */
            must((verdict == SHREWD_UNPROVEN_IS_PRESENT) == same);
        }
        shr_buf_free(&got);
    }
}

/* A block more, what it and those before changed taken back, and heights pruned. */
static void write_all(struct shr_store *damaged) {
    static struct shr_pair pairs[KEYS];
    static char texts[KEYS][16];
    static const struct shr_pair *list[KEYS];
    struct shr_root *root = shr_root_new(damaged, 0, 1);
    struct shr_batch batch = {0};
    struct shr_hash hash;
    struct shrewd_error err;
    size_t n = make_block(pairs, texts, 3);
    for (size_t i = 0; i < n; i++) {
        list[i] = &pairs[i];
    }
    int code = shr_root_update(root, BLOCKS + 1, list, n, &batch, &hash, &err);
    check(code, &err);
    if (code == 0) {
        must(shr_store_write(damaged, &batch, false, NULL) == 0);
        shr_root_written(root);
    } else {
        shr_root_forget(root);
    }
    shr_batch_clear(&batch);
    check(shr_root_prune(damaged, 2, &batch, &err), &err);
    check(shr_root_prune(damaged, 3, &batch, &err), &err);
    for (uint32_t height = BLOCKS + 1; height > 3; height--) {
        check(shr_root_undo(damaged, height, &batch, &err), &err);
    }
    must(shr_store_write(damaged, &batch, false, NULL) == 0);
    shr_root_free(root);
    shr_batch_free(&batch);
}

static void found(void *ctx, const struct shr_check_finding *finding) {
    ++*(size_t *)ctx;
    must(finding->expected[0] != 0 && finding->found[0] != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    if (sound == NULL) {
        make_sound();
    }
    bool changed;
    size_t n = 0;
    struct shrewd_error err;
    struct shr_check_summary summary;
    struct shr_check_options options = {.findings_max = 50, .found = found, .ctx = &n};
    struct shr_store *damaged = make_damaged(shr_bytes(data, len), &changed);
    prove_all(damaged, (uint32_t)(len % (BLOCKS + 2)));
    check(shr_check(damaged, &options, &summary, &err), &err);
    must(changed || n == 0);
    write_all(damaged);
    shr_store_close(damaged);
    return 0;
}
