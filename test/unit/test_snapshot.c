/* Snapshots: taken, grown, restored; damaged, foreign and broken off. */
#include "snapshot_help.h"

#include "base/endian.h"
#include "index/apply.h"
#include "snapshot/base.h"
#include "snapshot/stream.h"

#include <pthread.h>

#define BLOCKS 40u

/* --- What it is for --- */

static void restored_is_the_same(void **state) {
    struct place place = make_place();
    struct shr_state *ours = memory_state(), *theirs;
    struct shr_snap_summary made, put;
    grow(ours, BLOCKS, 0);
    assert_ok(shr_snap_create(&made, ours, place.snap, UINT32_MAX, &stop, err));
    assert_int_equal(made.height, BLOCKS);
    assert_int_equal(made.parts, 1);
    assert_ok(shr_snap_verify(&made, place.snap, NULL, &stop, err));
    assert_ok(restore(&put, &place, err));
    assert_int_equal(put.height, BLOCKS);
    theirs = disk_state(place.db);
    assert_same(ours, theirs);
    grow(ours, BLOCKS + 5, 0);
    grow(theirs, BLOCKS + 5, 0);
    assert_same(ours, theirs);
    shr_state_close(theirs);
    shr_state_close(ours);
    drop_place(&place);
}

static void grows_by_whole_parts(void **state) {
    struct place place = make_place();
    struct shr_state *ours = memory_state(), *theirs;
    struct shr_snap_summary made;
    for (uint32_t height = 10; height <= BLOCKS; height += 10) {
        grow(ours, height + 2, 0); /* the tip is not what is asked for */
        assert_ok(shr_snap_create(&made, ours, place.snap, height, &stop, err));
        assert_int_equal(made.height, height);
        assert_int_equal(made.new_parts, 1);
        assert_int_equal(made.parts, height / 10);
    }
    assert_ok(shr_snap_create(&made, ours, place.snap, BLOCKS, &stop, err));
    assert_int_equal(made.new_parts, 0);
    assert_ok(shr_state_rollback(ours, BLOCKS, err));
    assert_ok(restore(&made, &place, err));
    assert_int_equal(made.new_parts, 4);
    theirs = disk_state(place.db);
    assert_same(ours, theirs);
    shr_state_close(theirs);
    shr_state_close(ours);
    drop_place(&place);
}

static void a_reorg_replaces_parts(void **state) {
    struct place place = make_place();
    struct shr_state *ours = memory_state(), *theirs;
    struct shr_snap_summary made;
    grow(ours, 20, 0);
    assert_ok(shr_snap_create(&made, ours, place.snap, 12, &stop, err));
    assert_ok(shr_snap_create(&made, ours, place.snap, 20, &stop, err));
    assert_ok(shr_state_rollback(ours, 15, err));
    grow(ours, 24, 1);
    assert_ok(shr_snap_create(&made, ours, place.snap, UINT32_MAX, &stop, err));
    assert_int_equal(made.parts, 2);
    assert_int_equal(made.new_parts, 1);
    assert_ok(restore(&made, &place, err));
    theirs = disk_state(place.db);
    assert_same(ours, theirs);
    shr_state_close(theirs);
    shr_state_close(ours);
    drop_place(&place);
}

static void deterministic(void **state) {
    struct place a = make_place(), b = make_place();
    struct shr_buf text_a = {0}, text_b = {0};
    struct shr_snap_summary made;
    struct shr_state *ours = memory_state();
    grow(ours, 20, 0);
    assert_ok(shr_snap_create(&made, ours, a.snap, 20, &stop, err));
    grow(ours, 30, 1);
    assert_ok(shr_state_rollback(ours, 18, err));
    grow(ours, 20, 0);
    assert_ok(shr_snap_create(&made, ours, b.snap, 20, &stop, err));
    char *path_a = shr_asprintf("%s/manifest.json", a.snap);
    char *path_b = shr_asprintf("%s/manifest.json", b.snap);
    assert_ok(shr_file_read(&text_a, path_a, 1 << 20, err));
    assert_ok(shr_file_read(&text_b, path_b, 1 << 20, err));
    assert_bytes(shr_buf_bytes(&text_a), shr_buf_bytes(&text_b)); /* it names the parts' hashes */
    shr_buf_free(&text_a);
    shr_buf_free(&text_b);
    free(path_a);
    free(path_b);
    shr_state_close(ours);
    drop_place(&a);
    drop_place(&b);
}

/* --- What it must refuse --- */

/* 1000 single bytes (SHREWD_SNAPSHOT_TRIALS), in parts and manifest: each refused by its name,
 * nothing put in place. */
static void every_damaged_byte_is_refused(void **state) {
    struct place place = make_place();
    struct shr_state *ours = memory_state();
    struct shr_snap_summary made;
    struct shr_manifest manifest;
    struct rng rng = {.state = 6};
    char *work = shr_asprintf("%s.restore", place.db);
    grow(ours, 20, 0);
    assert_ok(shr_snap_create(&made, ours, place.snap, 9, &stop, err));
    assert_ok(shr_snap_create(&made, ours, place.snap, 20, &stop, err));
    assert_ok(shr_manifest_read(&manifest, place.snap, err));
    uint32_t trials = trials_wanted(1000);
    for (uint32_t trial = 0; trial < trials; trial++) {
        size_t which = rng_below(&rng, 3);
        const char *name = which < 2 ? manifest.parts[which].name : SHR_MANIFEST_NAME;
        char *path = shr_asprintf("%s/%s", place.snap, name);
        off_t at = (off_t)rng_below(&rng, (uint32_t)size_of(path));
        uint8_t with = (uint8_t)(1 + rng_below(&rng, 255));
        flip(path, at, with);
        struct shrewd_error failure = {0};
        int code = shr_snap_verify(&made, place.snap, NULL, &stop, &failure);
        assert_true(code == SHREWD_CORRUPT || code == SHREWD_MISMATCH);
        assert_non_null(strstr(failure.message, name));
        if (trial % 10 == 0) {
            /* What an earlier try has applied would not be asked for again. */
            assert_ok(shr_dir_remove(work, err));
            code = restore(&made, &place, &failure);
            if ((code != SHREWD_CORRUPT && code != SHREWD_MISMATCH) ||
                strstr(failure.message, name) == NULL) {
                fail_msg("trial %u, %s: %d: %s", trial, name, code, failure.message);
            }
            assert_int_not_equal(access(place.db, F_OK), 0);
        }
        flip(path, at, with);
        free(path);
    }
    assert_ok(restore(&made, &place, err)); /* what the failures left does not harm */
    struct shr_state *theirs = disk_state(place.db);
    assert_same(ours, theirs);
    shr_state_close(theirs);
    free(work);
    shr_manifest_free(&manifest);
    shr_state_close(ours);
    drop_place(&place);
}

static void a_forged_part_is_refused(void **state) {
    struct place place = make_place();
    struct shr_state *ours = memory_state(), *forged = memory_state();
    struct shr_snap_summary made;
    struct shr_manifest manifest;
    struct shr_part other;
    struct shr_reader *reader = NULL;
    grow(ours, 20, 0);
    grow(forged, 20, 5);
    assert_ok(shr_snap_create(&made, ours, place.snap, 20, &stop, err));
    assert_ok(shr_manifest_read(&manifest, place.snap, err));
    assert_ok(shr_reader_open(&reader, forged, err));
    assert_ok(shr_part_write(&other, place.snap, reader, 3, 20, UINT64_MAX, &stop, err));
    shr_reader_close(reader);
    /* A manifest that fits the file, but promises the other's block. */
    other.block = manifest.parts[0].block;
    manifest.parts[0] = other;
    assert_ok(shr_manifest_write(place.snap, &manifest, err));
    assert_fails(restore(&made, &place, err), SHREWD_CORRUPT, other.name);
    assert_int_not_equal(access(place.db, F_OK), 0);
    shr_manifest_free(&manifest);
    shr_state_close(forged);
    shr_state_close(ours);
    drop_place(&place);
}

static void what_is_not_wanted_is_refused(void **state) {
    struct place place = make_place();
    struct shr_state *ours = memory_state();
    struct shr_snap_summary made;
    struct shr_hash other = {{1, 2, 3}};
    grow(ours, 10, 0);
    assert_ok(shr_snap_create(&made, ours, place.snap, 10, &stop, err));
    struct shr_snap_restore ask = {.from = place.snap, .db_path = place.db, .stop = &stop};
    ask.genesis = &other;
    assert_fails(shr_snap_restore(&made, &ask, err), SHREWD_MISMATCH, "genesis");
    ask.genesis = NULL;
    ask.module_hash = &other;
    assert_fails(shr_snap_restore(&made, &ask, err), SHREWD_MISMATCH, "module");
    ask.module_hash = NULL;
    ask.root = &other;
    assert_fails(shr_snap_restore(&made, &ask, err), SHREWD_MISMATCH, "state root");
    ask.root = NULL;
    ask.from = place.dir;
    assert_fails(shr_snap_restore(&made, &ask, err), SHREWD_NOT_FOUND, "no snapshot");
    assert_false(shr_snap_begun(place.db)); /* nothing stays of what was never begun */
    assert_int_equal(mkdir(place.db, 0700), 0);
    char *file = shr_asprintf("%s/precious", place.db);
    assert_ok(shr_file_write(file, TEXT("kept"), err));
    ask.from = place.snap;
    assert_fails(shr_snap_restore(&made, &ask, err), SHREWD_MISMATCH, "holds something");
    assert_int_equal(access(file, F_OK), 0);
    free(file);
    shr_state_close(ours);
    drop_place(&place);
}

static void another_chains_folder_is_refused(void **state) {
    struct place place = make_place();
    struct shr_state *ours = memory_state(), *foreign = NULL;
    struct shr_snap_summary made;
    struct shr_identity other = identity();
    other.genesis.b[0] ^= 1;
    assert_ok(shr_state_open(&foreign, shr_store_new_memory(), &other, false, err));
    grow(ours, 10, 0);
    grow(foreign, 10, 0);
    assert_ok(shr_snap_create(&made, ours, place.snap, 10, &stop, err));
    assert_fails(shr_snap_create(&made, foreign, place.snap, 10, &stop, err), SHREWD_MISMATCH,
                 place.snap);
    assert_fails(shr_snap_create(&made, ours, place.snap, 11, &stop, err), SHREWD_ABOVE_TIP, "10");
    shr_state_close(foreign);
    shr_state_close(ours);
    drop_place(&place);
}

static void a_height_that_is_not_held_makes_no_folder(void **state) {
    struct place place = make_place();
    struct shr_state *ours = memory_state();
    struct shr_snap_summary made;
    grow(ours, 10, 0);
    char *dir = shr_asprintf("%s/made", place.snap);
    assert_fails(shr_snap_create(&made, ours, dir, 11, &stop, err), SHREWD_ABOVE_TIP, "10");
    assert_int_not_equal(access(dir, F_OK), 0);
    free(dir);
    shr_state_close(ours);
    drop_place(&place);
}

/* A part as a hostile place may make it: one block that says it has `n_keys`, and the lengths of
 * the first pair, of which nothing follows. The file's own hash is right. */
static void put_part(struct shr_part *part, const char *path, uint64_t n_keys, uint32_t key_len,
                     uint32_t value_len) {
    struct shr_zout *file = NULL;
    struct shr_buf text = {0};
    shr_buf_add_str(&text, part->base ? "shrwBAS1" : "shrwSNP1");
    shr_buf_add_be32(&text, part->to);
    if (part->base) {
        shr_buf_add_be32(&text, part->index);
        shr_buf_add_u8(&text, 'P');
    } else {
        memset(shr_buf_grow(&text, 32 + 1 + 32), 0, 32 + 1 + 32);
        shr_put_be64(shr_buf_grow(&text, 8), n_keys);
        shr_put_be64(shr_buf_grow(&text, 8), n_keys);
    }
    shr_buf_add_be32(&text, key_len);
    shr_buf_add_be32(&text, value_len);
    assert_ok(shr_zout_open(&file, path, err));
    assert_ok(shr_zout_put(file, shr_buf_bytes(&text), err));
    assert_ok(shr_zout_close(file, &part->sha256, &part->bytes, err));
    shr_part_name(part);
    shr_buf_free(&text);
}

/* Before the bytes are unpacked, of which a small file can have very many. */
static void what_no_state_can_hold_is_not_read(void **state) {
    static const struct {
        bool base;
        uint64_t n_keys;
        uint32_t key_len, value_len;
        const char *says;
    } bad[] = {
        {false, 1, SHR_KEY_MAX + 1, 1, "larger key or value"},
        {false, 1, 1, SHR_VALUE_MAX + 1, "larger key or value"},
        {false, 1, UINT32_MAX, UINT32_MAX, "larger key or value"},
        {true, 1, SHR_KEY_MAX + 1, 1, "larger key or value"},
        {true, 1, 1, SHR_VALUE_MAX + 1, "larger key or value"},
        {false, UINT64_MAX, 1, 1, "more of one block"},
        {false, SHR_PART_BLOCK_MAX / SHR_PART_PAIR_COST + 1, 1, 1, "more of one block"},
        {false, SHR_PART_BLOCK_MAX / SHR_PART_PAIR_COST, 1, 1, "more of one block"},
        /* What a state can hold is asked of the file. */
        {false, 1, SHR_KEY_MAX, SHR_VALUE_MAX, "ends too early"},
        {false, SHR_FLUSH_PAIRS_MAX, 1, SHR_FLUSH_BYTES_MAX, "ends too early"},
        {true, 1, SHR_KEY_MAX, SHR_VALUE_MAX, "ends too early"},
    };
    struct place place = make_place();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct shr_state *ours = memory_state();
        struct shr_found *found = NULL;
        struct shr_part part = {.base = bad[i].base, .from = 3, .to = 3};
        put_part(&part, place.snap, bad[i].n_keys, bad[i].key_len, bad[i].value_len);
        struct shrewd_error failure = {0};
        int code;
        if (part.base) {
            assert_ok(shr_found_begin(&found, ours, 3, place.dir, SHR_FOUND_MEMORY, err));
            code = shr_base_apply(&part, found, place.snap, &stop, &failure);
            shr_found_free(found);
        } else {
            code = shr_part_apply(&part, ours, place.snap, &stop, &failure);
        }
        if (code != SHREWD_CORRUPT || strstr(failure.message, bad[i].says) == NULL ||
            strstr(failure.message, part.name) == NULL) {
            fail_msg("%zu: %d: %s", i, code, failure.message);
        }
        shr_state_close(ours);
    }
    drop_place(&place);
}

/* --- Broken off --- */

static void *stop_soon(void *arg) {
    usleep(*(useconds_t *)arg);
    shr_stop_request(&stop);
    return NULL;
}

/* Stopped again and again at other moments, it ends as if it had not been. */
static void broken_off_it_goes_on(void **state) {
    struct place place = make_place();
    struct shr_state *ours = memory_state(), *theirs;
    struct shr_snap_summary made;
    grow(ours, 200, 0);
    for (uint32_t height = 20; height <= 200; height += 20) {
        assert_ok(shr_snap_create(&made, ours, place.snap, height, &stop, err));
    }
    int code = SHREWD_STOPPED;
    useconds_t pause = 2000;
    for (int tries = 0; code == SHREWD_STOPPED; tries++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, stop_soon, &pause), 0);
        struct shrewd_error err = {0};
        code = restore(&made, &place, &err);
        assert_true(code == 0 || code == SHREWD_STOPPED);
        pthread_join(thread, NULL);
        shr_stop_deinit(&stop);
        assert_int_equal(shr_stop_init(&stop), 0);
        pause += 4000;
        assert_true(tries < 1000);
    }
    theirs = disk_state(place.db);
    assert_same(ours, theirs);
    shr_state_close(theirs);
    shr_state_close(ours);
    drop_place(&place);
}

static void leftovers_of_another_snapshot_go(void **state) {
    struct place place = make_place();
    struct shr_state *ours = memory_state(), *other = memory_state(), *theirs;
    struct shr_snap_summary made;
    struct shr_manifest manifest;
    grow(other, 30, 4);
    assert_ok(shr_snap_create(&made, other, place.snap, 15, &stop, err));
    assert_ok(shr_snap_create(&made, other, place.snap, 30, &stop, err));
    assert_ok(shr_manifest_read(&manifest, place.snap, err));
    char *path = shr_asprintf("%s/%s", place.snap, manifest.parts[1].name);
    assert_int_equal(unlink(path), 0);
    assert_fails(restore(&made, &place, err), SHREWD_IO, manifest.parts[1].name);
    free(path);
    shr_manifest_free(&manifest);
    assert_ok(shr_dir_remove(place.snap, err));
    grow(ours, 30, 0);
    assert_ok(shr_snap_create(&made, ours, place.snap, 30, &stop, err));
    assert_ok(restore(&made, &place, err));
    theirs = disk_state(place.db);
    assert_same(ours, theirs);
    shr_state_close(theirs);
    shr_state_close(other);
    shr_state_close(ours);
    drop_place(&place);
}

int main(void) {
    if (shr_stop_init(&stop) != 0) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(restored_is_the_same),
        cmocka_unit_test(grows_by_whole_parts),
        cmocka_unit_test(a_reorg_replaces_parts),
        cmocka_unit_test(deterministic),
        cmocka_unit_test(every_damaged_byte_is_refused),
        cmocka_unit_test(a_forged_part_is_refused),
        cmocka_unit_test(what_is_not_wanted_is_refused),
        cmocka_unit_test(another_chains_folder_is_refused),
        cmocka_unit_test(a_height_that_is_not_held_makes_no_folder),
        cmocka_unit_test(what_no_state_can_hold_is_not_read),
        cmocka_unit_test(broken_off_it_goes_on),
        cmocka_unit_test(leftovers_of_another_snapshot_go),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    shr_stop_deinit(&stop);
    return failed;
}
