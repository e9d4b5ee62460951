/* The read cache and published readers: the cache's own rules, answers against a model whatever
 * its size, the same rows written, and readers beside a chain that grows and reorganises. */
#include "state_help.h"

#include "base/clock.h"
#include "state/state_impl.h"

#include <pthread.h>

static const struct shr_identity identity = {
    .genesis = {{1}}, .start_height = 5, .module_hash = {{2}}};

/* --- The rules, one by one --- */

static enum shr_cache_answer ask(struct shr_cache *cache, const struct shr_cache_at *at,
                                 const char *key, uint32_t height, const char *want) {
    struct shr_buf value = {0};
    uint32_t written_at = 0;
    struct shr_bytes bytes = shr_bytes_str(key);
    enum shr_cache_answer answer =
        shr_cache_get(cache, at, &value, &written_at, bytes, shr_cache_hash(cache, bytes), height);
    if (answer == SHR_CACHE_VALUE) {
        assert_non_null(want);
        assert_bytes(shr_buf_bytes(&value), shr_bytes_str(want));
    }
    shr_buf_free(&value);
    return answer;
}

static void fill(struct shr_cache *cache, const struct shr_cache_at *at, const char *key,
                 const char *value, uint32_t written_at) {
    struct shr_bytes bytes = shr_bytes_str(key), text = shr_bytes_str(value == NULL ? "" : value);
    shr_cache_fill(cache, at, bytes, shr_cache_hash(cache, bytes), value == NULL ? NULL : &text,
                   written_at);
}

static void a_hit_fits_its_reader(void **state) {
    struct shr_cache *cache = shr_cache_new(1 << 20);
    struct shr_cache_at before = {.generation = 1, .epoch = 0, .tip = 10};
    struct shr_cache_at after = {.generation = 2, .epoch = 0, .tip = 11};
    struct shr_cache_at reorged = {.generation = 3, .epoch = 1, .tip = 10};
    struct shr_bytes past = shr_bytes_str("past"), key = shr_bytes_str("key");
    shr_cache_advance(cache, &before);
    assert_int_equal(ask(cache, &before, "key", 10, NULL), SHR_CACHE_MISS);
    fill(cache, &before, "key", "old", 7);
    fill(cache, &before, "none", NULL, 0);
    fill(cache, &after, "early", "x", 11); /* a picture that the cache has not reached */
    assert_int_equal(ask(cache, &before, "early", 10, NULL), SHR_CACHE_MISS);
    assert_int_equal(ask(cache, &before, "key", 10, "old"), SHR_CACHE_VALUE);
    assert_int_equal(ask(cache, &before, "key", 7, "old"), SHR_CACHE_VALUE);
    assert_int_equal(ask(cache, &before, "key", 6, NULL), SHR_CACHE_NEWER);
    assert_int_equal(ask(cache, &before, "none", 3, NULL), SHR_CACHE_ABSENT);
    shr_cache_fill_past(cache, &before, key, shr_cache_hash(cache, key), &past, 6);
    shr_cache_fill_past(cache, &before, key, shr_cache_hash(cache, key), NULL, 5);
    assert_int_equal(ask(cache, &before, "key", 6, "past"), SHR_CACHE_VALUE);
    assert_int_equal(ask(cache, &before, "key", 5, NULL), SHR_CACHE_ABSENT);
    assert_int_equal(ask(cache, &before, "key", 4, NULL), SHR_CACHE_NEWER);

    shr_cache_advance(cache, &after);
    shr_cache_written(cache, key, shr_cache_hash(cache, key), shr_bytes_str("new"), 11);
    shr_cache_written(cache, shr_bytes_str("none"), shr_cache_hash(cache, shr_bytes_str("none")),
                      shr_bytes_str(""), 11);
    fill(cache, &before, "key", "old", 7); /* a late reader */
    fill(cache, &before, "late", "old", 7);
    assert_int_equal(ask(cache, &after, "late", 11, NULL), SHR_CACHE_MISS);
    assert_int_equal(ask(cache, &after, "key", 11, "new"), SHR_CACHE_VALUE);
    assert_int_equal(ask(cache, &after, "none", 11, ""), SHR_CACHE_VALUE);
    assert_int_equal(ask(cache, &before, "key", 10, NULL), SHR_CACHE_NEWER);
    assert_int_equal(ask(cache, &before, "none", 10, NULL), SHR_CACHE_NEWER);
    assert_int_equal(ask(cache, &after, "key", 6, "past"), SHR_CACHE_VALUE);

    shr_cache_advance(cache, &reorged);
    assert_int_equal(ask(cache, &reorged, "key", 10, NULL), SHR_CACHE_MISS);
    assert_int_equal(ask(cache, &reorged, "key", 6, NULL), SHR_CACHE_MISS);
    fill(cache, &after, "key", "new", 11); /* a reader from before the rollback */
    assert_int_equal(ask(cache, &reorged, "key", 11, NULL), SHR_CACHE_MISS);
    fill(cache, &reorged, "key", "old", 7);
    assert_int_equal(ask(cache, &reorged, "key", 10, "old"), SHR_CACHE_VALUE);
    assert_int_equal(ask(cache, &after, "key", 11, NULL), SHR_CACHE_MISS);
    shr_cache_free(cache);
}

static void memory_is_bounded(size_t bytes) {
    struct shr_cache *cache = shr_cache_new(bytes);
    struct shr_cache_at at = {0};
    struct shr_cache_stats stats;
    struct rng rng = {bytes};
    struct shr_buf key = {0}, value = {0};
    uint64_t kept = 0;
    memset(shr_buf_grow(&value, 100000), 'v', 100000);
    for (uint32_t i = 0; i < 200000; i++) {
        shr_buf_clear(&key);
        shr_buf_printf(&key, "key-%u", rng_below(&rng, 100000));
        uint32_t len = rng_below(&rng, 50) == 0 ? rng_below(&rng, 100000) : rng_below(&rng, 200);
        shr_cache_written(cache, shr_buf_bytes(&key), shr_cache_hash(cache, shr_buf_bytes(&key)),
                          shr_bytes(value.data, len), i);
        if (i % 1000 == 0) {
            shr_cache_stats(cache, &stats);
            assert_true(stats.bytes <= stats.bytes_max && stats.bytes_max <= bytes);
            kept = stats.entries;
        }
    }
    assert_true(kept >= bytes / 1024); /* and it is used */
    shr_cache_written(cache, TEXT("big"), shr_cache_hash(cache, TEXT("big")), TEXT("small"), 1);
    assert_int_equal(ask(cache, &at, "big", UINT32_MAX, "small"), SHR_CACHE_VALUE);
    shr_cache_written(cache, TEXT("big"), shr_cache_hash(cache, TEXT("big")), shr_buf_bytes(&value),
                      2); /* too large to be kept */
    assert_int_equal(ask(cache, &at, "big", UINT32_MAX, NULL), SHR_CACHE_MISS);
    shr_buf_free(&value);
    shr_buf_free(&key);
    shr_cache_free(cache);
}

static void memory_stays_bounded(void **state) {
    memory_is_bounded(4096);
    memory_is_bounded(300000);
    memory_is_bounded(8 << 20);
}

/* What is read again and again outlives what is written once. */
static void what_is_used_stays(void **state) {
    struct shr_cache *cache = shr_cache_new(1 << 20);
    struct shr_cache_at at = {0};
    char key[32];
    unsigned hits = 0, asked = 0;
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "hot-%u", i);
        fill(cache, &at, key, "value", 0);
    }
    for (unsigned i = 0; i < 300000; i++) {
        snprintf(key, sizeof key, "cold-%u", i);
        shr_cache_written(cache, shr_bytes_str(key), shr_cache_hash(cache, shr_bytes_str(key)),
                          TEXT("value"), 0);
        if (i % 2 == 0) {
            snprintf(key, sizeof key, "hot-%u", i / 2 % 1000);
            asked++;
            if (ask(cache, &at, key, 0, "value") == SHR_CACHE_VALUE) {
                hits++;
            } else {
                fill(cache, &at, key, "value", 0);
            }
        }
    }
    print_message("%u of %u hit\n", hits, asked);
    assert_true(hits > asked * 9 / 10);
    shr_cache_free(cache);
}

/* --- Against a model: which version each of a few keys had after each block --- */

#define KEYS 160
#define HEIGHTS 40
#define HELD 5

struct model {
    uint32_t n;                      /* blocks */
    uint32_t version[HEIGHTS][KEYS]; /* 0: absent */
};

struct picture {
    struct shr_reader *reader;
    struct model model;
};

struct script {
    struct shr_state *state;
    struct model model;
    struct picture held[HELD];
    uint32_t next_version;
    struct rng rng;
    uint64_t reads;
    struct shr_buf want, got;
};

static void key_of(uint32_t key, char out[16]) {
    snprintf(out, 16, "%x/%u", key % 7, key);
}

/* Mostly short; some larger than a small cache takes; some empty. */
static void value_of(struct shr_buf *out, uint32_t key, uint32_t version) {
    shr_buf_clear(out);
    if (version % 11 != 0) {
        shr_buf_printf(out, "%u of %u", version, key);
        while (version % 23 == 0 && out->len < 2500) {
            shr_buf_add_str(out, " and so on");
        }
    }
}

static void check_value(struct script *script, int code, uint32_t key, uint32_t version) {
    assert_int_equal(code, version != 0 ? 0 : SHREWD_NOT_FOUND);
    if (version != 0) {
        value_of(&script->want, key, version);
        assert_bytes(shr_buf_bytes(&script->got), shr_buf_bytes(&script->want));
    }
    script->reads++;
}

static void read_some(struct script *script, struct shr_reader *reader, const struct model *model,
                      unsigned n) {
    char name[16];
    for (unsigned i = 0; i < n && model->n > 0; i++) {
        uint32_t key = rng_below(&script->rng, KEYS);
        uint32_t at =
            rng_below(&script->rng, 3) == 0 ? rng_below(&script->rng, model->n) : model->n - 1;
        key_of(key, name);
        int code = shr_reader_get(reader, &script->got, shr_bytes_str(name),
                                  identity.start_height + at, NULL);
        check_value(script, code, key, model->version[at][key]);
    }
}

static void write_block(struct script *script, struct shr_state *state, struct model *model) {
    static char names[KEYS][16];
    static struct shr_buf values[KEYS];
    struct shr_pair pairs[KEYS];
    struct shr_block_change change = {.height = identity.start_height + model->n, .pairs = pairs};
    uint64_t salt = rng_next(&script->rng);
    memcpy(change.hash.b, &salt, sizeof salt);
    uint32_t *now = model->version[model->n];
    for (uint32_t key = 0; key < KEYS; key++) {
        now[key] = model->n == 0 ? 0 : model->version[model->n - 1][key];
        if (rng_below(&script->rng, 10) == 0) {
            now[key] = ++script->next_version;
            key_of(key, names[key]);
            value_of(&values[key], key, now[key]);
            pairs[change.n_pairs++] =
                (struct shr_pair){shr_bytes_str(names[key]), shr_buf_bytes(&values[key])};
        }
    }
    /* A guest reads before it writes. */
    for (size_t i = 0; i < 20; i++) {
        uint32_t key = rng_below(&script->rng, KEYS);
        char name[16];
        key_of(key, name);
        int code = shr_state_get_latest(state, &script->got, shr_bytes_str(name), NULL);
        check_value(script, code, key, model->n == 0 ? 0 : model->version[model->n - 1][key]);
    }
    assert_ok(shr_state_apply(state, &change, false, err));
    model->n++;
    for (uint32_t key = 0; key < KEYS; key++) {
        shr_buf_free(&values[key]);
    }
}

static void roll_back(struct script *script) {
    uint32_t most = script->model.n < 12 ? script->model.n : 12;
    uint32_t depth = rng_below(&script->rng, 4) == 0 ? rng_below(&script->rng, most + 1) : most > 0;
    script->model.n -= depth;
    assert_ok(shr_state_rollback(script->state, identity.start_height + script->model.n - 1, err));
}

/* A preview: a fork in memory over a picture, a block on it, reads of both. */
static void preview(struct script *script, const struct picture *picture) {
    if (picture->model.n == 0 || picture->model.n == HEIGHTS) {
        return;
    }
    struct picture fork = {.model = picture->model};
    struct shr_state *state = NULL;
    fork.model.n = 1 + rng_below(&script->rng, picture->model.n);
    assert_ok(shr_state_open_fork(&state, shr_store_new_memory(), picture->reader,
                                  identity.start_height + fork.model.n - 1, NULL, false, err));
    write_block(script, state, &fork.model);
    assert_ok(shr_reader_open(&fork.reader, state, err));
    read_some(script, fork.reader, &fork.model, 100);
    shr_reader_close(fork.reader);
    shr_state_close(state);
}

static void check_head(struct script *script) {
    struct shr_reader *reader = NULL;
    struct shr_block_record record;
    struct shr_hash hash;
    uint32_t height = 0;
    assert_ok(shr_reader_open(&reader, script->state, err));
    assert_int_equal(shr_reader_generation(reader), shr_state_generation(script->state));
    assert_int_equal(shr_reader_head(reader, &height, &hash), script->model.n > 0);
    if (script->model.n > 0) {
        assert_int_equal(height, identity.start_height + script->model.n - 1);
        assert_ok(shr_state_tip(script->state, &record, err));
        assert_int_equal(record.height, height);
        assert_ok(shr_state_block(script->state, &record, height, err));
        assert_true(shr_hash_eq(&record.hash, &hash));
    }
    shr_reader_close(reader);
}

static void hold(struct script *script, struct picture *picture) {
    shr_reader_close(picture->reader);
    assert_ok(shr_reader_open(&picture->reader, script->state, err));
    picture->model = script->model;
}

static enum shr_scan_step dump_row(void *ctx, struct shr_bytes key, struct shr_bytes value) {
    struct shr_buf *out = ctx;
    shr_buf_add_le32(out, (uint32_t)key.len);
    shr_buf_add(out, key);
    shr_buf_add_le32(out, (uint32_t)value.len);
    shr_buf_add(out, value);
    return SHR_SCAN_MORE;
}

/* Runs the script that `seed` stands for; appends every row of the database it leaves. */
static uint64_t run_script(struct shr_store *store, uint64_t seed, size_t cache_bytes, int steps,
                           struct shr_buf *dump) {
    struct script *script = shr_alloc(sizeof *script);
    script->rng.state = seed;
    assert_ok(shr_state_open(&script->state, store, &identity, false, err));
    shr_state_set_cache(script->state, cache_bytes);
    for (size_t i = 0; i < HELD; i++) {
        hold(script, &script->held[i]);
    }
    for (int step = 0; step < steps; step++) {
        uint64_t before = shr_state_generation(script->state);
        if (script->model.n < HEIGHTS && rng_below(&script->rng, 5) != 0) {
            write_block(script, script->state, &script->model);
        } else {
            roll_back(script);
        }
        assert_true(shr_state_generation(script->state) <= before + 1);
        check_head(script);
        if (rng_below(&script->rng, 2) == 0) {
            hold(script, &script->held[rng_below(&script->rng, HELD)]);
        }
        for (size_t i = 0; i < HELD; i++) {
            read_some(script, script->held[i].reader, &script->held[i].model, 60);
        }
        preview(script, &script->held[rng_below(&script->rng, HELD)]);
    }
    for (int table = 0; table < SHR_TABLE_COUNT; table++) {
        assert_ok(shr_store_scan(store, NULL, (enum shr_table)table, NO_BYTES, NO_BYTES, false,
                                 dump_row, dump, err));
    }
    for (size_t i = 0; i < HELD; i++) {
        shr_reader_close(script->held[i].reader);
    }
    shr_state_close(script->state);
    shr_buf_free(&script->want);
    shr_buf_free(&script->got);
    uint64_t reads = script->reads;
    free(script);
    return reads;
}

static const size_t sizes[] = {0, 4096, 20000, 200000, SHR_STATE_CACHE_DEFAULT};
#define N_SIZES (sizeof sizes / sizeof sizes[0])

static void answers_never_depend_on_the_cache(void **state) {
    uint64_t reads = 0;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct shr_buf dumps[N_SIZES] = {{0}};
        for (size_t i = 0; i < N_SIZES; i++) {
            reads += run_script(shr_store_new_memory(), seed, sizes[i], 400, &dumps[i]);
            assert_bytes(shr_buf_bytes(&dumps[i]), shr_buf_bytes(&dumps[0]));
        }
        for (size_t i = 0; i < N_SIZES; i++) {
            shr_buf_free(&dumps[i]);
        }
    }
    assert_true(reads > 2000000);
}

static void nor_on_rocksdb(void **state) {
    struct shr_buf dumps[N_SIZES] = {{0}};
    for (size_t i = 0; i < N_SIZES; i++) {
        struct shr_rocks_options options = {.create = true, .cache_bytes = 1 << 20};
        struct shr_store *store = NULL;
        char *dir = make_dir();
        assert_ok(shr_store_open_rocks(&store, dir, &options, err));
        run_script(store, 9, sizes[i], 150, &dumps[i]);
        assert_bytes(shr_buf_bytes(&dumps[i]), shr_buf_bytes(&dumps[0]));
        remove_dir(dir);
    }
    for (size_t i = 0; i < N_SIZES; i++) {
        shr_buf_free(&dumps[i]);
    }
}

/* --- Beside a committer. A value names its key and the block that wrote it, a block's hash
 * holds its number, and the number decides which keys the block writes: so a reader can tell for
 * every value, from the blocks of its own picture, whether it is the one to be seen. --- */

#define READERS 6
#define RACE_MS 2500

/* cmocka's assertions are for the main thread only. */
#define must(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct race {
    struct shr_state *state;
    _Atomic bool over;
    _Atomic uint64_t reads;
};

static bool writes_key(uint64_t block, uint32_t key) {
    struct rng rng = {block * KEYS + key};
    return rng_below(&rng, 8) == 0;
}

struct race_value {
    uint64_t block;
    uint32_t key, height;
};

static void apply_numbered(struct race *race, uint32_t height, uint64_t number) {
    static uint32_t keys[KEYS];
    static struct race_value values[KEYS];
    struct shr_pair pairs[KEYS];
    struct shr_block_change change = {.height = height, .pairs = pairs};
    memcpy(change.hash.b, &number, sizeof number);
    for (uint32_t key = 0; key < KEYS; key++) {
        if (writes_key(number, key)) {
            keys[key] = key;
            values[key] = (struct race_value){number, key, height};
            pairs[change.n_pairs++] =
                (struct shr_pair){shr_bytes(&keys[key], sizeof keys[key]),
                                  shr_bytes(&values[key], sizeof values[key])};
        }
    }
    must(shr_state_apply(race->state, &change, false, NULL) == 0);
}

static void *commit_blocks(void *ctx) {
    struct race *race = ctx;
    struct rng rng = {77};
    struct shr_block_record record;
    uint32_t next = identity.start_height;
    uint64_t end = shr_now_ms() + RACE_MS;
    /* A slow machine makes the pictures that the test asks for too, only later. */
    for (uint64_t number = 1; number <= 60 || shr_now_ms() < end; number++) {
        uint32_t held = next - identity.start_height;
        if (held == HEIGHTS || (held > 0 && rng_below(&rng, 6) == 0)) {
            next -= 1 + rng_below(&rng, held < 8 ? held : 8);
            must(shr_state_rollback(race->state, next - 1, NULL) == 0);
        }
        apply_numbered(race, next, number);
        must(shr_state_block(race->state, &record, next, NULL) == 0); /* announced: served */
        must(memcmp(record.hash.b, &number, sizeof number) == 0);
        next++;
    }
    atomic_store(&race->over, true);
    return NULL;
}

struct race_picture {
    struct shr_reader *reader;
    uint32_t n;
    uint64_t blocks[HEIGHTS];
};

static void look(struct race *race, struct race_picture *picture) {
    struct shr_block_record record;
    struct shr_hash hash;
    uint32_t height = 0;
    shr_reader_close(picture->reader);
    must(shr_reader_open(&picture->reader, race->state, NULL) == 0);
    bool any = shr_reader_head(picture->reader, &height, &hash);
    picture->n = any ? height - identity.start_height + 1 : 0;
    for (uint32_t i = 0; i < picture->n; i++) {
        must(shr_reader_block(picture->reader, &record, identity.start_height + i, NULL) == 0);
        memcpy(&picture->blocks[i], record.hash.b, sizeof picture->blocks[i]);
    }
}

static void check_one(const struct race_picture *picture, struct rng *rng, struct shr_buf *value) {
    uint32_t key = rng_below(rng, KEYS);
    uint32_t at = rng_below(rng, 3) == 0 ? rng_below(rng, picture->n) : picture->n - 1;
    int code = shr_reader_get(picture->reader, value, shr_bytes(&key, sizeof key),
                              identity.start_height + at, NULL);
    uint32_t from = 0; /* one above the block that wrote it */
    for (uint32_t i = at + 1; i-- > 0 && from == 0;) {
        from = writes_key(picture->blocks[i], key) ? i + 1 : 0;
    }
    must(code == (from != 0 ? 0 : SHREWD_NOT_FOUND));
    if (from != 0) {
        struct race_value got,
            want = {picture->blocks[from - 1], key, identity.start_height + from - 1};
        must(value->len == sizeof got);
        memcpy(&got, value->data, sizeof got);
        must(got.block == want.block && got.key == want.key && got.height == want.height);
    }
}

static void *read_beside(void *ctx) {
    struct race *race = ctx;
    struct race_picture held[3] = {{0}};
    struct shr_buf value = {0};
    struct rng rng = {(uint64_t)(uintptr_t)&value};
    uint64_t reads = 0;
    while (!atomic_load(&race->over)) {
        look(race, &held[rng_below(&rng, 3)]);
        for (int i = 0; i < 300; i++) {
            const struct race_picture *picture = &held[rng_below(&rng, 3)];
            if (picture->n > 0) {
                check_one(picture, &rng, &value);
                reads++;
            }
        }
    }
    for (size_t i = 0; i < 3; i++) {
        shr_reader_close(held[i].reader);
    }
    shr_buf_free(&value);
    atomic_fetch_add(&race->reads, reads);
    return NULL;
}

static void race(struct shr_store *store, size_t cache_bytes) {
    struct race race = {0};
    pthread_t committer, readers[READERS];
    assert_ok(shr_state_open(&race.state, store, &identity, false, err));
    shr_state_set_cache(race.state, cache_bytes);
    assert_int_equal(pthread_create(&committer, NULL, commit_blocks, &race), 0);
    for (size_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_create(&readers[i], NULL, read_beside, &race), 0);
    }
    pthread_join(committer, NULL);
    for (size_t i = 0; i < READERS; i++) {
        pthread_join(readers[i], NULL);
    }
    struct shr_cache_stats stats;
    shr_state_cache_stats(race.state, &stats);
    print_message("cache of %zu bytes: %llu pictures, %llu reads, %llu%% of lookups hit\n",
                  cache_bytes, (unsigned long long)shr_state_generation(race.state),
                  (unsigned long long)atomic_load(&race.reads),
                  (unsigned long long)(100 * stats.hits / (stats.hits + stats.misses + 1)));
    assert_true(shr_state_generation(race.state) > 50 && atomic_load(&race.reads) > 10000);
    shr_state_close(race.state);
}

static void no_reader_sees_another_picture(void **state) {
    race(shr_store_new_memory(), 4096);
    race(shr_store_new_memory(), 1 << 20);
}

static void nor_with_rocksdb(void **state) {
    struct shr_rocks_options options = {.create = true, .cache_bytes = 1 << 20};
    struct shr_store *store = NULL;
    char *dir = make_dir();
    assert_ok(shr_store_open_rocks(&store, dir, &options, err));
    race(store, 100000);
    remove_dir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hit_fits_its_reader),
        cmocka_unit_test(memory_stays_bounded),
        cmocka_unit_test(what_is_used_stays),
        cmocka_unit_test(answers_never_depend_on_the_cache),
        cmocka_unit_test(nor_on_rocksdb),
        cmocka_unit_test(no_reader_sees_another_picture),
        cmocka_unit_test(nor_with_rocksdb),
    };
    return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}
