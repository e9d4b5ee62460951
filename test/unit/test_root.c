/* The state tree against a naive one (root_model.h): the same roots, proofs and nodes, at the tip
 * and at every height held, through random blocks, rollbacks and prunings; and the same rows
 * whether a block was undone or never seen. Every proof verifies; with a byte changed, none does.
 *
 * SHREWD_ROOT_STEPS sets the number of random steps; 100,000 of them is the long form. */
#include "root_model.h"
#include "root_rows.h"
#include "state_help.h"

#include "shrewd/proof.h"
#include "state/root_impl.h"

#define HEIGHTS_MAX 24 /* held at a time */
#define KEYS 900       /* so that there are inner pages at two depths, and buckets at three */
#define BATCH_MAX 4    /* blocks written at once */
#define VALUES 20      /* "0" to "19" */
#define ASIDE_BYTES ((uint64_t)48 << 10)

struct world {
    struct rng rng;
    struct shr_store *store;
    struct shr_root *root;
    uint32_t first, tip; /* the heights held; the first block is 1, 0 is before it */
    struct root_model models[HEIGHTS_MAX + BATCH_MAX + 1]; /* by height - first */
    struct shr_hash roots[HEIGHTS_MAX + BATCH_MAX + 1];
    struct shr_batch batch;
    uint64_t checked;
    uint64_t swept; /* proofs of which each byte was changed */
    char *dir;      /* for what is put aside; NULL: nothing is */
};

static void new_root(struct world *world, size_t cache_bytes) {
    world->root = shr_root_new(world->store, cache_bytes, 2);
    if (world->dir != NULL) {
        shr_root_set_aside(world->root, world->dir, ASIDE_BYTES);
    }
}

static void copy_model(struct root_model *to, const struct root_model *from) {
    *to = (struct root_model){.n = from->n, .cap = from->n};
    if (from->n > 0) {
        to->leaves = shr_alloc_array(from->n, sizeof *to->leaves);
        memcpy(to->leaves, from->leaves, from->n * sizeof *to->leaves);
    }
}

/* Random blocks, of few keys or, now and then, many. */
static void add_block(struct world *world) {
    uint32_t at = world->tip + 1 - world->first;
    size_t n =
        rng_below(&world->rng, 40) == 0 ? rng_below(&world->rng, KEYS) : rng_below(&world->rng, 6);
    struct root_model *model = &world->models[at];
    char keys[KEYS][16], values[KEYS][16];
    struct shr_pair pairs[KEYS];
    const struct shr_pair *sorted[KEYS];
    size_t made = 0;
    copy_model(model, &world->models[at - 1]);
    uint32_t reach = 1 + rng_below(&world->rng, KEYS), step = 1 + rng_below(&world->rng, 50);
    for (uint32_t i = rng_below(&world->rng, reach); made < n && i < KEYS; i += step) {
        key_text(i, keys[made]);
        snprintf(values[made], 16, "%u", rng_below(&world->rng, VALUES));
        pairs[made].key = shr_bytes_str(keys[made]);
        pairs[made].value = shr_bytes_str(values[made]);
        root_model_put(model, pairs[made].key, pairs[made].value);
        sorted[made] = &pairs[made];
        made++;
    }
    world->tip++;
    assert_ok(shr_root_update(world->root, world->tip, sorted, made, &world->batch,
                              &world->roots[at], err));
    struct shr_hash want;
    root_model_root(model, &want);
    assert_memory_equal(world->roots[at].b, want.b, sizeof want.b);
}

static void write_batch(struct world *world) {
    assert_ok(shr_store_write(world->store, &world->batch, false, err));
    shr_batch_clear(&world->batch);
}

static void prune_to(struct world *world, uint32_t first) {
    uint32_t gone = first - world->first;
    for (uint32_t height = world->first + 1; height <= first; height++) {
        assert_ok(shr_root_prune(world->store, height, &world->batch, err));
    }
    write_batch(world);
    for (uint32_t i = 0; i < gone; i++) {
        root_model_free(&world->models[i]);
    }
    memmove(world->models, world->models + gone,
            (world->tip - first + 1) * sizeof world->models[0]);
    memmove(world->roots, world->roots + gone, (world->tip - first + 1) * sizeof world->roots[0]);
    world->first = first;
}

static void roll_back(struct world *world, uint32_t height) {
    for (; world->tip > height; world->tip--) {
        assert_ok(shr_root_undo(world->store, world->tip, &world->batch, err));
        root_model_free(&world->models[world->tip - world->first]);
    }
    write_batch(world);
    shr_root_forget(world->root);
}

/* What the model holds under a key. */
static void claim_of(struct shrewd_claim *claim, const struct root_model *model,
                     struct shr_bytes key, const struct shr_hash *hash) {
    static char values[VALUES][4];
    static struct shr_hash hashes[VALUES];
    static bool made;
    for (int v = 0; !made && v < VALUES; v++) {
        snprintf(values[v], sizeof values[v], "%d", v);
        shr_sha256(&hashes[v], shr_bytes_str(values[v]));
    }
    made = true;
    *claim = (struct shrewd_claim){.key = key.data, .key_len = key.len, .absent = 1};
    for (size_t i = 0; i < model->n; i++) {
        for (int v = 0; shr_hash_eq(&model->leaves[i].key, hash) && v < VALUES; v++) {
            if (shr_hash_eq(&model->leaves[i].value, &hashes[v])) {
                claim->absent = 0;
                claim->value = (const uint8_t *)values[v];
                claim->value_len = strlen(values[v]);
            }
        }
    }
}

/* The proof verifies; changed in a byte anywhere (`sweep`: in each), cut or longer, it does not. */
static void check_proof(struct world *world, const struct root_model *model, struct shr_buf *proof,
                        const struct shr_bytes *keys, size_t n, bool sweep) {
    struct shrewd_claim claims[8];
    struct shr_hash root;
    root_model_root(model, &root);
    for (size_t i = 0; i < n; i++) {
        struct shr_hash hash;
        shr_sha256(&hash, keys[i]);
        claim_of(&claims[i], model, keys[i], &hash);
    }
    assert_int_equal(shrewd_proof_verify(root.b, proof->data, proof->len, claims, n, NULL), 0);
    size_t from = sweep ? 0 : rng_below(&world->rng, (uint32_t)proof->len);
    for (size_t at = from; at < (sweep ? proof->len : from + 1); at++) {
        uint8_t change = (uint8_t)(1 + rng_below(&world->rng, 255));
        proof->data[at] ^= change;
        assert_true(shrewd_proof_verify(root.b, proof->data, proof->len, claims, n, NULL) < 0);
        proof->data[at] ^= change;
        assert_true(shrewd_proof_verify(root.b, proof->data, at, claims, n, NULL) < 0);
    }
    shr_buf_add_u8(proof, 0);
    assert_true(shrewd_proof_verify(root.b, proof->data, proof->len, claims, n, NULL) < 0);
    proof->len--;
    world->swept += sweep;
}

/* A proof, and a node, at a random height held. */
static void check_past(struct world *world, bool all) {
    uint32_t height = world->first + rng_below(&world->rng, world->tip - world->first + 1);
    const struct root_model *model = &world->models[height - world->first];
    struct shr_root_view *view = shr_root_view_new(world->store, NULL, height);
    char texts[8][16];
    struct shr_bytes keys[8];
    struct shr_hash hashes[8];
    struct shr_buf got = {0}, want = {0};
    size_t n = rng_below(&world->rng, 9);
    for (size_t i = 0; i < n; i++) {
        key_text(rng_below(&world->rng, KEYS + 100), texts[i]);
        keys[i] = shr_bytes_str(texts[i]);
        shr_sha256(&hashes[i], keys[i]);
    }
    qsort(hashes, n, sizeof hashes[0], root_model_order);
    root_model_prove(model, &want, keys, n);
    assert_ok(shr_root_prove(view, &got, hashes, n, err));
    assert_bytes(shr_buf_bytes(&got), shr_buf_bytes(&want));
    check_proof(world, model, &got, keys, n, all && rng_below(&world->rng, 10) == 0);
    shr_buf_free(&got);
    shr_buf_free(&want);
    for (size_t i = 0; all && i < 40; i++) {
        struct shr_root_node node;
        struct shr_hash path, hash;
        char text[16];
        unsigned depth = rng_below(&world->rng, 20);
        key_text(rng_below(&world->rng, KEYS + 100), text);
        shr_sha256(&path, shr_bytes_str(text));
        size_t lo = 0, hi = model->n;
        for (unsigned bit = 0; bit < depth; bit++) {
            size_t mid = root_model_split(model, lo, hi, bit);
            lo = root_model_bit(&path, bit) ? mid : lo;
            hi = root_model_bit(&path, bit) ? hi : mid;
        }
        root_model_hash(model, &hash, lo, hi, depth);
        assert_ok(shr_root_node(view, &node, depth, &path, err));
        assert_memory_equal(node.hash.b, hash.b, sizeof hash.b);
        assert_int_equal(node.kind, hi == lo       ? SHR_ROOT_EMPTY
                                    : hi - lo == 1 ? SHR_ROOT_LEAF
                                                   : SHR_ROOT_INNER);
        if (hi - lo == 1) {
            assert_memory_equal(node.key.b, model->leaves[lo].key.b, 32);
            assert_memory_equal(node.value.b, model->leaves[lo].value.b, 32);
        }
    }
    shr_root_view_free(view);
    world->checked++;
}

static size_t bytes_from(const struct shr_root_page *page, size_t *grouped) {
    size_t bytes = shr_root_page_bytes(page);
    *grouped += page->groups != NULL;
    for (unsigned i = 0; page->is_inner && i < SHR_ROOT_SLOTS; i++) {
        const struct shr_root_page *below = page->of.inner->pages[i];
        bytes += below != NULL ? bytes_from(below, grouped) : 0;
    }
    return bytes;
}

/* The memory that is counted is what the pages take; how many buckets have their groups kept. */
static size_t check_bytes(const struct shr_root *root) {
    size_t grouped = 0;
    size_t bytes = root->top != NULL ? bytes_from(root->top, &grouped) : 0;
    assert_int_equal(root->bytes, bytes);
    return grouped;
}

static void step(struct world *world) {
    uint32_t what = rng_below(&world->rng, 16);
    if (what == 0 && world->tip > world->first) {
        roll_back(world, world->first + rng_below(&world->rng, world->tip - world->first));
    } else if (world->tip - world->first >= HEIGHTS_MAX ||
               (what == 1 && world->tip > world->first)) {
        prune_to(world, world->first + 1 + rng_below(&world->rng, world->tip - world->first));
    } else if (what == 2) { /* a write that failed */
        uint32_t tip = world->tip;
        add_block(world);
        shr_batch_clear(&world->batch);
        root_model_free(&world->models[world->tip - world->first]);
        world->tip = tip;
        shr_root_forget(world->root);
    } else if (what == 3) { /* a new process */
        shr_root_free(world->root);
        new_root(world, rng_below(&world->rng, 3) * 40000);
    } else {
        uint32_t n = rng_below(&world->rng, 4) == 0 ? BATCH_MAX : 1;
        for (uint32_t i = 0; i < n; i++) {
            add_block(world);
        }
        write_batch(world);
        shr_root_written(world->root);
        check_past(world, what == 4);
    }
    check_bytes(world->root);
}

static void test_random(void **state) {
    const char *wanted = getenv("SHREWD_ROOT_STEPS");
    uint64_t steps = wanted != NULL ? strtoull(wanted, NULL, 10) : 3000;
    struct world *world = shr_alloc(sizeof *world);
    char *dir = make_dir();
    world->rng.state = 6;
    for (uint64_t done = 0; done < steps;) {
        /* The state only grows but for rollbacks, so that begin anew now and then. */
        world->store = shr_store_new_memory();
        world->dir = done / 1000 % 2 == 0 ? dir : NULL;
        new_root(world, 40000);
        world->first = world->tip = 0;
        for (uint64_t i = 0; done < steps && i < 1000; i++, done++) {
            step(world);
        }
        for (uint32_t height = world->first; height <= world->tip; height++) {
            root_model_free(&world->models[height - world->first]);
        }
        world->models[0] = (struct root_model){0};
        shr_root_free(world->root);
        shr_store_close(world->store);
    }
    assert_true(world->checked > steps / 3);
    assert_true(steps < 3000 || world->swept > 0);
    shr_batch_free(&world->batch);
    free(world);
    remove_dir(dir);
}

/* The groups of buckets stay right through changed and added leaves, buckets that become inner
 * pages, pages that are dropped and read again, and blocks that are undone. */
static void test_groups(void **state) {
    struct world *world = shr_alloc(sizeof *world);
    size_t grouped = 0;
    world->rng.state = 8;
    for (unsigned round = 0; round < 8; round++) {
        world->store = shr_store_new_memory();
        world->root = shr_root_new(world->store, round % 2 == 0 ? 1 << 20 : 60000, 2);
        world->first = world->tip = 0;
        for (unsigned i = 0; i < 400; i++) {
            if (world->tip - world->first >= HEIGHTS_MAX) {
                prune_to(world, world->tip - 2);
            }
            if (rng_below(&world->rng, 50) == 0 && world->tip > world->first) {
                roll_back(world, world->tip - 1);
            }
            add_block(world);
            write_batch(world);
            shr_root_written(world->root);
            grouped += check_bytes(world->root) > 0;
        }
        for (uint32_t height = world->first; height <= world->tip; height++) {
            root_model_free(&world->models[height - world->first]);
        }
        world->models[0] = (struct root_model){0};
        shr_root_free(world->root);
        shr_store_close(world->store);
    }
    assert_true(grouped > 1000);
    shr_batch_free(&world->batch);
    free(world);
}

static size_t bytes_at_most; /* of pages, in the last apply */

/* A block of `n` keys from the `from`th, valued by `salt`. */
static void apply(struct shr_store *store, struct shr_root *root, uint32_t height, uint32_t from,
                  uint32_t n, uint32_t salt, struct shr_hash *out) {
    char(*keys)[16] = shr_alloc_array(n + 1, sizeof *keys);
    struct shr_pair *pairs = shr_alloc_array(n + 1, sizeof *pairs);
    const struct shr_pair **list = shr_alloc_array(n + 1, sizeof *list);
    struct shr_batch batch = {0};
    for (uint32_t i = 0; i < n; i++) {
        key_text(from + i, keys[i]);
        pairs[i] = (struct shr_pair){shr_bytes_str(keys[i]), shr_bytes(&salt, sizeof salt)};
        list[i] = &pairs[i];
    }
    assert_ok(shr_root_update(root, height, list, n, &batch, out, err));
    assert_ok(shr_store_write(store, &batch, false, err));
    bytes_at_most = root->bytes;
    shr_root_written(root);
    shr_batch_free(&batch);
    free(list);
    free(pairs);
    free(keys);
}

static void undo(struct shr_store *store, struct shr_root *root, uint32_t height) {
    struct shr_batch batch = {0};
    assert_ok(shr_root_undo(store, height, &batch, err));
    assert_ok(shr_store_write(store, &batch, false, err));
    shr_root_forget(root);
    shr_batch_free(&batch);
}

/* Large blocks on several threads, on RocksDB; then each is undone, and every row is as before. */
static void test_undone(void **state) {
    char *dir = make_dir();
    struct shr_rocks_options options = {.create = true};
    struct shr_store *store = NULL;
    struct shr_hash roots[8];
    struct shr_buf rows[8] = {{0}}, now = {0};
    assert_ok(shr_store_open_rocks(&store, dir, &options, err));
    struct shr_root *root = shr_root_new(store, 1 << 20, 3);
    for (uint32_t height = 0; height < 8; height++) {
        apply(store, root, height, height * 3000, 6000, height, &roots[height]);
        read_rows(store, &rows[height]);
    }
    for (uint32_t height = 7; height > 0; height--) {
        struct shr_root_view *view = shr_root_view_new(store, NULL, height);
        struct shr_root_node node;
        assert_ok(shr_root_node(view, &node, 0, &roots[0], err));
        assert_memory_equal(node.hash.b, roots[height].b, 32);
        shr_root_view_free(view);
        undo(store, root, height);
        read_rows(store, &now);
        assert_bytes(shr_buf_bytes(&now), shr_buf_bytes(&rows[height - 1]));
        struct shr_hash again;
        apply(store, root, height, height * 3000, 6000, height, &again);
        assert_memory_equal(again.b, roots[height].b, 32);
        undo(store, root, height);
    }
    for (size_t i = 0; i < 8; i++) {
        shr_buf_free(&rows[i]);
    }
    shr_buf_free(&now);
    shr_root_free(root);
    shr_store_close(store);
    remove_dir(dir);
}

/* So many rows are swept that they go by files; what is left is what was there before. */
static void test_swept(void **state) {
    char *dir = make_dir();
    struct shr_rocks_options options = {.create = true};
    struct shr_store *store = NULL;
    struct shr_hash first, again;
    struct shr_buf before = {0}, after = {0};
    assert_ok(shr_store_open_rocks(&store, dir, &options, err));
    struct shr_root *root = shr_root_new(store, 8 << 20, 2);
    apply(store, root, 0, 0, 60000, 0, &first);
    read_rows(store, &before);
    for (uint32_t height = 1; height <= 30; height++) {
        apply(store, root, height, height * 10000 % 50000, 10000, height, &again);
        first = height == 1 ? again : first;
    }
    struct shr_sizes sizes;
    assert_ok(shr_store_sizes(store, &sizes, err));
    assert_true(sizes.tables[SHR_TABLE_ROOT].rows > 100000);
    assert_ok(shr_root_sweep(store, 1, err));
    shr_root_forget(root);
    read_rows(store, &after);
    assert_bytes(shr_buf_bytes(&after), shr_buf_bytes(&before));
    apply(store, root, 1, 10000, 10000, 1, &again);
    assert_memory_equal(again.b, first.b, sizeof again.b);
    shr_buf_free(&after);
    shr_buf_free(&before);
    shr_root_free(root);
    shr_store_close(store);
    remove_dir(dir);
}

/* The order of blocks' keys, threads and cache do not show in the rows. */
static void test_same_rows(void **state) {
    struct shr_buf rows[3] = {{0}};
    for (unsigned i = 0; i < 3; i++) {
        struct shr_store *store = shr_store_new_memory();
        struct shr_root *root = shr_root_new(store, i == 0 ? 0 : 1 << 20, 1 + 3 * i);
        struct shr_hash hash;
        for (uint32_t height = 5; height < 40; height++) {
            apply(store, root, height, (height * 37) % 500, (height * 101) % 600, height, &hash);
        }
        read_rows(store, &rows[i]);
        shr_root_free(root);
        shr_store_close(store);
    }
    assert_bytes(shr_buf_bytes(&rows[1]), shr_buf_bytes(&rows[0]));
    assert_bytes(shr_buf_bytes(&rows[2]), shr_buf_bytes(&rows[0]));
    for (unsigned i = 0; i < 3; i++) {
        shr_buf_free(&rows[i]);
    }
}

/* Pages are given up before the next block needs room for its own, which are as many: the cache's
 * bytes are never exceeded by much more than blocks differ. */
static void test_room_for_the_next(void **state) {
    const size_t cache = 1 << 20;
    struct shr_store *store = shr_store_new_memory();
    struct shr_root *root = shr_root_new(store, cache, 2);
    struct shr_hash hash;
    apply(store, root, 0, 0, 60000, 0, &hash); /* several times what fits */
    assert_in_range(root->bytes, 1, cache);
    for (uint32_t height = 1; height < 30; height++) {
        apply(store, root, height, height * 2000 % 59000, 300, height, &hash);
        if (height > 2) {
            assert_in_range(bytes_at_most, cache / 2, cache + cache / 8);
        }
        assert_in_range(root->bytes, cache / 4, cache);
    }
    shr_root_free(root);
    shr_store_close(store);
}

static enum shr_scan_step remove_bucket(void *ctx, struct shr_bytes key, struct shr_bytes value) {
    if (shr_root_row_bucket(value.data[0])) {
        shr_batch_remove(ctx, SHR_TABLE_ROOT, key);
    }
    return SHR_SCAN_MORE;
}

/* Buckets that memory has no room for are had again without ROOT, which does not have them any
 * more, and are as they would be had from it. */
static void test_aside(void **state) {
    char *dir = make_dir();
    struct shr_batch batch = {0};
    struct shr_store *stores[2];
    struct shr_root *roots[2];
    struct shr_buf rows[2] = {{0}};
    for (unsigned i = 0; i < 2; i++) {
        struct shr_hash hash;
        stores[i] = shr_store_new_memory();
        roots[i] = shr_root_new(stores[i], 2 << 20, 2);
        if (i == 0) {
            shr_root_set_aside(roots[i], dir, (uint64_t)256 << 20);
        }
        apply(stores[i], roots[i], 0, 0, 60000, 0, &hash);
        apply(stores[i], roots[i], 1, 20000, 20000, 1, &hash);
    }
    struct shr_store *overlay = shr_store_new_overlay(stores[0], NULL);
    assert_ok(shr_store_scan(stores[0], NULL, SHR_TABLE_ROOT, NO_BYTES, NO_BYTES, false,
                             remove_bucket, &batch, err));
    assert_ok(shr_store_write(overlay, &batch, false, err));
    roots[0]->store = overlay;
    for (uint32_t height = 2; height < 30; height++) {
        struct shr_hash hashes[2];
        for (unsigned i = 0; i < 2; i++) {
            apply(stores[i], roots[i], height, height * 3000 % 58000, 2000, height, &hashes[i]);
        }
        assert_memory_equal(hashes[0].b, hashes[1].b, sizeof hashes[0].b);
    }
    for (unsigned i = 0; i < 2; i++) {
        read_rows(stores[i], &rows[i]);
        shr_root_free(roots[i]);
    }
    assert_bytes(shr_buf_bytes(&rows[0]), shr_buf_bytes(&rows[1]));
    shr_store_close(overlay);
    for (unsigned i = 0; i < 2; i++) {
        shr_store_close(stores[i]);
        shr_buf_free(&rows[i]);
    }
    shr_batch_free(&batch);
    remove_dir(dir);
}

/* Rows that say what cannot be. */
static void test_damaged(void **state) {
    struct shr_store *store = shr_store_new_memory();
    struct shr_root *root = shr_root_new(store, 0, 1);
    struct shr_hash hash = {{0}}, zero = {{0}};
    apply(store, root, 1, 0, 20, 1, &hash);
    apply(store, root, 2, 5, 2, 2, &hash);
    static const struct {
        uint32_t height;
        const char *row;
        size_t len;
        const char *text;
    } cases[] = {
        {2, "", 0, "malformed"},
        {2, "\x05", 1, "changed its kind"},
        {2, "\x03\0\1\0\0", 5, "changed its kind"},
        {2, "\x04", 1, "malformed"},
        {2, "\x04\1", 2, "malformed"},
        {2, "\x04\1\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 35,
         "malformed"},
        {2, "\x04\0\0", 3, "malformed"},
        {2, "\x01\0\0\0\0", 5, "malformed"},
        {2, "\x02", 1, "malformed"},
        {2, "\x02\0", 2, "malformed"},
        {1, "\x04\0", 2, "no row has all"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct shr_store *overlay = shr_store_new_overlay(store, NULL);
        struct shr_root_key key = shr_root_key(0, &zero, cases[i].height);
        struct shr_batch batch = {0};
        struct shr_root_page *page = NULL;
        struct shr_scans *scans = shr_store_scans_new(overlay, NULL, SHR_TABLE_ROOT);
        shr_batch_put(&batch, SHR_TABLE_ROOT, shr_root_key_bytes(&key),
                      shr_bytes(cases[i].row, cases[i].len));
        assert_ok(shr_store_write(overlay, &batch, false, err));
        assert_fails(shr_root_page_read(&page, overlay, scans, 0, &zero, 2, err), SHREWD_CORRUPT,
                     cases[i].text);
        assert_null(page);
        shr_store_scans_free(scans);
        shr_batch_free(&batch);
        shr_store_close(overlay);
    }
    struct shr_batch batch = {0};
    assert_fails(shr_root_undo(store, 3, &batch, err), SHREWD_CORRUPT, "missing");
    assert_fails(shr_root_prune(store, 3, &batch, err), SHREWD_CORRUPT, "missing");
    shr_batch_free(&batch);
    shr_root_free(root);
    shr_store_close(store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random), cmocka_unit_test(test_undone),
        cmocka_unit_test(test_swept),  cmocka_unit_test(test_same_rows),
        cmocka_unit_test(test_aside),  cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_groups), cmocka_unit_test(test_room_for_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
