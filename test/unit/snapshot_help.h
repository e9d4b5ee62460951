/* snapshot_help.h: what the tests of snapshots share: states that grow, folders, comparing. */
#ifndef SHR_TEST_SNAPSHOT_HELP_H
#define SHR_TEST_SNAPSHOT_HELP_H

#include "state_help.h"

#include "base/file.h"
#include "base/log.h"
#include "snapshot/snapshot.h"

#include <fcntl.h>
#include <sys/stat.h>

static struct shr_stop stop;

static inline struct shr_hash block_hash(uint32_t height, uint32_t branch) {
    struct shr_hash hash = {{0}};
    hash.b[0] = (uint8_t)height;
    hash.b[1] = (uint8_t)(height >> 8);
    hash.b[2] = (uint8_t)branch;
    hash.b[31] = 1;
    return hash;
}

static inline struct shr_identity identity(void) {
    struct shr_identity out = {.start_height = 3};
    memset(out.genesis.b, 7, 32);
    memset(out.module_hash.b, 9, 32);
    return out;
}

/* Blocks up to and with `last`, the same for the same branch; in an empty state from `first` on. */
static inline void grow_from(struct shr_state *state, uint32_t first, uint32_t last,
                             uint32_t branch) {
    struct shr_block_record tip;
    uint32_t height = shr_state_tip(state, &tip, NULL) == 0 ? tip.height + 1 : first;
    for (; height <= last; height++) {
        struct rng rng = {.state = height * 1000u + branch};
        struct shr_buf keys[30] = {{0}}, values[30] = {{0}};
        struct shr_pair pairs[30];
        size_t n = height % 7 == 0 ? 0 : 30; /* some blocks write nothing */
        for (size_t i = 0; i < n; i++) {
            rng_key(&rng, &keys[i]);
            rng_value(&rng, &values[i]);
            pairs[i] = (struct shr_pair){shr_buf_bytes(&keys[i]), shr_buf_bytes(&values[i])};
        }
        struct shr_block_change change = {
            .height = height, .hash = block_hash(height, branch), .pairs = pairs, .n_pairs = n};
        assert_ok(shr_state_apply(state, &change, false, err));
        for (size_t i = 0; i < 30; i++) {
            shr_buf_free(&keys[i]);
            shr_buf_free(&values[i]);
        }
    }
}

static inline void grow(struct shr_state *state, uint32_t last, uint32_t branch) {
    grow_from(state, 3, last, branch);
}

static inline struct shr_state *memory_state(void) {
    struct shr_state *state = NULL;
    struct shr_identity wanted = identity();
    assert_ok(shr_state_open(&state, shr_store_new_memory(), &wanted, false, err));
    return state;
}

static inline struct shr_state *disk_state(const char *path) {
    struct shr_rocks_options options = {.cache_bytes = 1 << 20};
    struct shr_store *store = NULL;
    struct shr_state *state = NULL;
    assert_ok(shr_store_open_rocks(&store, path, &options, err));
    assert_ok(shr_state_open(&state, store, NULL, false, err));
    return state;
}

static enum shr_scan_step add_row(void *ctx, struct shr_bytes key, struct shr_bytes value) {
    struct shr_buf *out = ctx;
    shr_buf_add_be32(out, (uint32_t)key.len);
    shr_buf_add(out, key);
    shr_buf_add_be32(out, (uint32_t)value.len);
    shr_buf_add(out, value);
    return SHR_SCAN_MORE;
}

/* What the state says at every height, and holds from `oldest` on. */
static inline void picture(struct shr_buf *out, struct shr_state *state, uint32_t oldest) {
    struct shr_reader *reader = NULL;
    struct shr_block_record block;
    uint32_t last;
    struct shr_hash hash;
    shr_buf_clear(out);
    assert_ok(shr_reader_open(&reader, state, err));
    assert_true(shr_reader_head(reader, &last, &hash));
    for (uint32_t height = 3; height <= last; height++) {
        assert_ok(shr_reader_block(reader, &block, height, err));
        shr_buf_append(out, block.hash.b, 32);
        shr_buf_append(out, block.root.b, 32);
        shr_buf_printf(out, "%u %llu %llu %llu %llu\n", height, (unsigned long long)block.n_keys,
                       (unsigned long long)block.key_bytes, (unsigned long long)block.value_bytes,
                       (unsigned long long)block.total_keys);
        if (height >= oldest) {
            assert_ok(shr_reader_each(reader, NO_BYTES, height, add_row, out, err));
        }
    }
    shr_reader_close(reader);
}

static inline void assert_same_from(struct shr_state *a, struct shr_state *b, uint32_t oldest) {
    struct shr_buf of_a = {0}, of_b = {0};
    picture(&of_a, a, oldest);
    picture(&of_b, b, oldest);
    assert_bytes(shr_buf_bytes(&of_a), shr_buf_bytes(&of_b));
    shr_buf_free(&of_b);
    shr_buf_free(&of_a);
}

static inline void assert_same(struct shr_state *a, struct shr_state *b) {
    assert_same_from(a, b, 3);
}

static inline void prune(struct shr_state *state, uint32_t oldest) {
    struct shr_prune_step step = {.more = true};
    while (step.more) {
        assert_ok(shr_state_prune(state, oldest, 100, &step, err));
    }
    assert_int_equal(shr_state_oldest(state), oldest);
}

static inline struct shr_state *pruned_state(uint32_t tip, uint32_t oldest) {
    struct shr_state *state = memory_state();
    grow(state, tip, 0);
    prune(state, oldest);
    return state;
}

/* The warnings, once shr_log_set_sink has take_log. */
static char said[4096];

static inline void take_log(void *ctx, enum shr_log_level level, const char *room,
                            const char *message) {
    if (level == SHR_LOG_WARN) {
        snprintf(said + strlen(said), sizeof said - strlen(said), "%s: %s\n", room, message);
    }
}

struct place {
    char *dir, *snap, *db;
};

static inline struct place make_place(void) {
    struct place place = {.dir = make_dir()};
    place.snap = shr_asprintf("%s/snap", place.dir);
    place.db = shr_asprintf("%s/db", place.dir);
    return place;
}

static inline void drop_place(struct place *place) {
    assert_ok(shr_dir_remove(place->dir, err));
    free(place->dir);
    free(place->snap);
    free(place->db);
}

static inline int restore(struct shr_snap_summary *out, const struct place *place,
                          struct shrewd_error *err) {
    struct shr_snap_restore ask = {.from = place->snap, .db_path = place->db, .stop = &stop};
    return shr_snap_restore(out, &ask, err);
}

static inline void flip(const char *path, off_t at, uint8_t with) {
    uint8_t byte;
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= with;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

/* How many bytes are damaged, one at a time: SHREWD_SNAPSHOT_TRIALS, or as usual. */
static inline uint32_t trials_wanted(uint32_t usual) {
    const char *wanted = getenv("SHREWD_SNAPSHOT_TRIALS");
    return wanted == NULL ? usual : (uint32_t)strtoul(wanted, NULL, 10);
}

static inline off_t size_of(const char *path) {
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    return info.st_size;
}

#endif
