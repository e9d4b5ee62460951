/* Snapshots of pruned databases: what they hold, how they grow, and what is refused. */
#include "snapshot_help.h"

#include "snapshot/base.h"
#include "state/check.h"

static void found_one(void *ctx, const struct shr_check_finding *finding) {
    fail_msg("%s: expected %s, found %s", shr_check_table(finding->table), finding->expected,
             finding->found);
}

/* The database is sound, holds what `ours` does from `oldest` on, and refuses what is below. */
static void assert_restored(const struct place *place, struct shr_state *ours, uint32_t oldest) {
    struct shr_check_options options = {.findings_max = 1, .found = found_one};
    struct shr_rocks_options rocks = {.cache_bytes = 1 << 20};
    struct shr_check_summary summary;
    struct shr_block_record block;
    struct shr_reader *reader = NULL;
    struct shr_store *store = NULL;
    struct shr_state *theirs = NULL;
    assert_ok(shr_store_open_rocks(&store, place->db, &rocks, err));
    assert_ok(shr_check(store, &options, &summary, err));
    assert_int_equal(summary.first_height, oldest);
    assert_ok(shr_state_open(&theirs, store, NULL, false, err));
    assert_int_equal(shr_state_oldest(theirs), oldest);
    assert_same_from(ours, theirs, oldest);
    assert_ok(shr_reader_open(&reader, theirs, err));
    char *says = shr_asprintf("the oldest height held is %u", oldest);
    assert_fails(shr_reader_held(reader, &block, oldest - 1, err), SHREWD_PRUNED, says);
    free(says);
    shr_reader_close(reader);
    assert_fails(shr_state_rollback(theirs, oldest - 1, err), SHREWD_PRUNED, "pruned");
    shr_state_close(theirs);
}

static void restored_is_the_same_from_there(void **unused) {
    static const uint32_t oldest[] = {4, 14, 25, 40};
    for (size_t i = 0; i < sizeof oldest / sizeof oldest[0]; i++) {
        struct place place = make_place();
        struct shr_state *ours = pruned_state(40, oldest[i]), *theirs;
        struct shr_snap_summary made, put;
        assert_ok(shr_snap_create(&made, ours, place.snap, UINT32_MAX, &stop, err));
        assert_int_equal(made.oldest, oldest[i]);
        assert_int_equal(made.height, 40);
        assert_int_equal(made.parts, oldest[i] == 40 ? 1 : 2);
        assert_ok(shr_snap_verify(&made, place.snap, NULL, &stop, err));
        assert_ok(restore(&put, &place, err));
        assert_int_equal(put.new_parts, made.parts);
        assert_restored(&place, ours, oldest[i]);
        theirs = disk_state(place.db);
        grow(ours, 45, 0);
        grow(theirs, 45, 0);
        assert_same_from(ours, theirs, oldest[i]);
        prune(theirs, 43);
        prune(ours, 43);
        assert_ok(shr_state_rollback(theirs, 44, err));
        assert_ok(shr_state_rollback(ours, 44, err));
        assert_same_from(ours, theirs, 43);
        shr_state_close(theirs);
        shr_state_close(ours);
        drop_place(&place);
    }
}

static struct shr_manifest manifest_of(const struct place *place) {
    struct shr_manifest manifest;
    assert_ok(shr_manifest_read(&manifest, place->snap, err));
    return manifest;
}

/* Pruning that stays behind the end of the snapshot takes nothing from it. */
static void grows_while_pruning_stays_behind(void **unused) {
    struct place place = make_place();
    struct shr_state *ours = pruned_state(12, 8), *whole = memory_state();
    struct shr_snap_summary made;
    for (uint32_t height = 12; height <= 40; height += 7) {
        grow(ours, height, 0);
        assert_ok(shr_snap_create(&made, ours, place.snap, height, &stop, err));
        assert_int_equal(made.oldest, 8);
        assert_int_equal(made.new_parts, height == 12 ? 2 : 1);
        prune(ours, height); /* the end itself may go: what the next block wrote is held */
    }
    assert_ok(restore(&made, &place, err));
    grow(whole, 40, 0);
    assert_restored(&place, whole, 8);
    shr_state_close(whole);
    shr_state_close(ours);
    drop_place(&place);
}

/* One that began with the first block goes on just so. */
static void a_whole_one_grows_on(void **unused) {
    struct place place = make_place();
    struct shr_state *ours = memory_state(), *whole = memory_state(), *theirs;
    struct shr_snap_summary made;
    grow(ours, 20, 0);
    assert_ok(shr_snap_create(&made, ours, place.snap, 20, &stop, err));
    prune(ours, 20);
    grow(ours, 30, 0);
    assert_ok(shr_snap_create(&made, ours, place.snap, 30, &stop, err));
    assert_int_equal(made.oldest, 3);
    assert_int_equal(made.parts, 2);
    assert_ok(restore(&made, &place, err));
    grow(whole, 30, 0);
    theirs = disk_state(place.db);
    assert_same(whole, theirs);
    shr_state_close(theirs);
    shr_state_close(whole);
    shr_state_close(ours);
    drop_place(&place);
}

static void begins_anew_when_pruning_passed_the_end(void **unused) {
    struct place place = make_place();
    struct shr_state *ours = pruned_state(20, 10);
    struct shr_snap_summary made;
    said[0] = 0;
    assert_ok(shr_snap_create(&made, ours, place.snap, 20, &stop, err));
    grow(ours, 40, 0);
    prune(ours, 21);
    assert_string_equal(said, "");
    assert_ok(shr_snap_create(&made, ours, place.snap, 40, &stop, err));
    assert_non_null(strstr(said, "ends with block 20"));
    assert_non_null(strstr(said, "begun anew, with the state after block 21"));
    assert_int_equal(made.oldest, 21);
    assert_int_equal(made.new_parts, 2);
    assert_int_equal(made.parts, 2);
    struct shr_manifest manifest = manifest_of(&place);
    size_t files = 0;
    DIR *dir = opendir(place.snap);
    for (struct dirent *item; (item = readdir(dir)) != NULL;) {
        files += strstr(item->d_name, ".zst") != NULL;
    }
    closedir(dir);
    assert_int_equal(files, 2); /* the old ones are gone */
    shr_manifest_free(&manifest);
    assert_ok(restore(&made, &place, err));
    assert_restored(&place, ours, 21);
    shr_state_close(ours);
    drop_place(&place);
}

static void a_height_that_is_gone_is_refused(void **unused) {
    struct place place = make_place();
    struct shr_state *ours = pruned_state(20, 10);
    struct shr_snap_summary made;
    assert_fails(shr_snap_create(&made, ours, place.snap, 9, &stop, err), SHREWD_PRUNED,
                 "the oldest height held is 10");
    assert_ok(shr_snap_create(&made, ours, place.snap, 10, &stop, err));
    assert_int_equal(made.parts, 1);
    shr_state_close(ours);
    drop_place(&place);
}

/* A reorg below the first block of a snapshot: it begins anew. */
static void a_reorg_of_the_base_replaces_it(void **unused) {
    struct place place = make_place();
    struct shr_state *ours = pruned_state(20, 15), *other = memory_state();
    struct shr_snap_summary made;
    assert_ok(shr_snap_create(&made, ours, place.snap, 20, &stop, err));
    grow(other, 12, 0);
    grow(other, 25, 3);
    prune(other, 13);
    assert_ok(shr_snap_create(&made, other, place.snap, 25, &stop, err));
    assert_int_equal(made.oldest, 13);
    assert_ok(restore(&made, &place, err));
    assert_restored(&place, other, 13);
    shr_state_close(other);
    shr_state_close(ours);
    drop_place(&place);
}

/* Of the base in several files, and of the manifest. */
static void damage_is_refused_by_name(void **unused) {
    struct place place = make_place();
    struct shr_state *ours = pruned_state(30, 25);
    struct shr_reader *reader = NULL;
    struct shr_snap_summary made;
    struct shr_manifest manifest = {0};
    struct shr_part part;
    struct rng rng = {.state = 11};
    char *work = shr_asprintf("%s.restore", place.db);
    shr_state_identity(ours, &manifest.identity);
    assert_ok(shr_dir_make(place.snap, err));
    assert_ok(shr_reader_open(&reader, ours, err));
    assert_ok(shr_base_write(&manifest, place.snap, reader, 25, 4000, &stop, err));
    assert_true(manifest.n_base > 4);
    assert_ok(shr_part_write(&part, place.snap, reader, 26, 30, UINT64_MAX, &stop, err));
    shr_reader_close(reader);
    shr_manifest_add(&manifest, &part);
    assert_ok(shr_manifest_write(place.snap, &manifest, err));
    uint32_t trials = trials_wanted(300);
    for (uint32_t trial = 0; trial < trials; trial++) {
        size_t which = rng_below(&rng, (uint32_t)manifest.n_base + 2);
        const char *name = which < manifest.n_base    ? manifest.base[which].name
                           : which == manifest.n_base ? part.name
                                                      : SHR_MANIFEST_NAME;
        char *path = shr_asprintf("%s/%s", place.snap, name);
        off_t at = (off_t)rng_below(&rng, (uint32_t)size_of(path));
        uint8_t with = (uint8_t)(1 + rng_below(&rng, 255));
        struct shrewd_error failure = {0};
        flip(path, at, with);
        int code = shr_snap_verify(&made, place.snap, NULL, &stop, &failure);
        assert_true(code == SHREWD_CORRUPT || code == SHREWD_MISMATCH);
        assert_non_null(strstr(failure.message, name));
        if (trial % 20 == 0) {
            assert_ok(shr_dir_remove(work, err));
            code = restore(&made, &place, &failure);
            assert_true(code == SHREWD_CORRUPT || code == SHREWD_MISMATCH);
            assert_non_null(strstr(failure.message, name));
            assert_int_not_equal(access(place.db, F_OK), 0);
        }
        flip(path, at, with);
        free(path);
    }
    assert_ok(restore(&made, &place, err));
    assert_restored(&place, ours, 25);
    free(work);
    shr_manifest_free(&manifest);
    shr_state_close(ours);
    drop_place(&place);
}

/* Another state's files, which are sound, behind a manifest that promises our root. */
static void a_forged_base_is_refused(void **unused) {
    struct place place = make_place();
    struct shr_state *ours = pruned_state(20, 15), *forged = memory_state();
    struct shr_reader *reader = NULL;
    struct shr_manifest manifest = {0};
    struct shr_block_record right;
    struct shr_snap_summary made;
    shr_state_identity(ours, &manifest.identity);
    grow(forged, 20, 5);
    assert_ok(shr_dir_make(place.snap, err));
    assert_ok(shr_reader_open(&reader, forged, err));
    assert_ok(shr_base_write(&manifest, place.snap, reader, 15, UINT64_MAX, &stop, err));
    shr_reader_close(reader);
    assert_ok(shr_state_block(ours, &right, 15, err));
    manifest.base[0].root = right.root;
    manifest.base[0].block = right.hash;
    assert_ok(shr_manifest_write(place.snap, &manifest, err));
    assert_fails(restore(&made, &place, err), SHREWD_CORRUPT, manifest.base[0].name);
    assert_int_not_equal(access(place.db, F_OK), 0);
    shr_manifest_free(&manifest);
    shr_state_close(forged);
    shr_state_close(ours);
    drop_place(&place);
}

/* What an earlier try has left, of the base or after it, is used or not, and never believed. */
static void broken_off_it_goes_on(void **unused) {
    for (int at_part = 0; at_part < 2; at_part++) {
        struct place place = make_place();
        struct shr_state *ours = pruned_state(30, 20);
        struct shr_snap_summary made;
        assert_ok(shr_snap_create(&made, ours, place.snap, 30, &stop, err));
        struct shr_manifest manifest = manifest_of(&place);
        const char *name = at_part ? manifest.parts[0].name : manifest.base[0].name;
        char *path = shr_asprintf("%s/%s", place.snap, name);
        char *kept = shr_asprintf("%s.kept", path);
        assert_int_equal(rename(path, kept), 0);
        assert_fails(restore(&made, &place, err), SHREWD_IO, name);
        assert_int_equal(rename(kept, path), 0);
        assert_ok(restore(&made, &place, err));
        assert_int_equal(made.new_parts, at_part ? 1 : 2); /* of two, the base was applied */
        assert_restored(&place, ours, 20);
        free(kept);
        free(path);
        shr_manifest_free(&manifest);
        shr_state_close(ours);
        drop_place(&place);
    }
}

/* The try before was of a snapshot that began elsewhere. */
static void another_base_begins_anew(void **unused) {
    struct place place = make_place();
    struct shr_state *ours = pruned_state(30, 20);
    struct shr_snap_summary made;
    assert_ok(shr_snap_create(&made, ours, place.snap, 30, &stop, err));
    struct shr_manifest manifest = manifest_of(&place);
    char *path = shr_asprintf("%s/%s", place.snap, manifest.parts[0].name);
    assert_int_equal(unlink(path), 0);
    assert_fails(restore(&made, &place, err), SHREWD_IO, manifest.parts[0].name);
    free(path);
    shr_manifest_free(&manifest);
    assert_ok(shr_dir_remove(place.snap, err));
    prune(ours, 26);
    assert_ok(shr_snap_create(&made, ours, place.snap, 30, &stop, err));
    assert_ok(restore(&made, &place, err));
    assert_restored(&place, ours, 26);
    shr_state_close(ours);
    drop_place(&place);
}

int main(void) {
    if (shr_stop_init(&stop) != 0) {
        return 1;
    }
    shr_log_set_sink(take_log, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(restored_is_the_same_from_there),
        cmocka_unit_test(grows_while_pruning_stays_behind),
        cmocka_unit_test(a_whole_one_grows_on),
        cmocka_unit_test(begins_anew_when_pruning_passed_the_end),
        cmocka_unit_test(a_height_that_is_gone_is_refused),
        cmocka_unit_test(a_reorg_of_the_base_replaces_it),
        cmocka_unit_test(damage_is_refused_by_name),
        cmocka_unit_test(a_forged_base_is_refused),
        cmocka_unit_test(broken_off_it_goes_on),
        cmocka_unit_test(another_base_begins_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
