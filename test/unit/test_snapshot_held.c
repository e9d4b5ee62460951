/* What a snapshot's folder holds already: whose it is, that it is never cut back, and what goes
 * when a reorg has taken blocks back. */
#include "snapshot_help.h"

#include <dirent.h>

static size_t count_parts(const char *folder) {
    size_t files = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *item; (item = readdir(dir)) != NULL;) {
        files += strstr(item->d_name, ".zst") != NULL;
    }
    closedir(dir);
    return files;
}

/* The snapshot is whole, and nothing but its parts is there. */
static void assert_holds(const char *folder, uint32_t height, size_t parts) {
    struct shr_snap_summary held;
    assert_ok(shr_snap_verify(&held, folder, NULL, &stop, err));
    assert_int_equal(held.height, height);
    assert_int_equal(held.parts, parts);
    assert_int_equal(count_parts(folder), parts);
}

static struct shr_state *state_of(const struct shr_identity *wanted) {
    struct shr_state *state = NULL;
    assert_ok(shr_state_open(&state, shr_store_new_memory(), wanted, false, err));
    return state;
}

/* --- Whose it is --- */

static void assert_refused(const struct place *place, const struct shr_identity *other,
                           const char *says) {
    struct shr_snap_summary made;
    struct shr_state *foreign = state_of(other);
    uint32_t height = 1;
    grow_from(foreign, other->start_height, 12, 0);
    assert_fails(shr_snap_height(&height, foreign, place->snap, err), SHREWD_MISMATCH, says);
    assert_int_equal(height, 0);
    const char *const told[] = {says, place->snap, "another folder"};
    for (size_t i = 0; i < 3; i++) {
        assert_fails(shr_snap_create(&made, foreign, place->snap, 12, &stop, err), SHREWD_MISMATCH,
                     told[i]);
    }
    assert_holds(place->snap, 10, 1);
    shr_state_close(foreign);
}

static void anothers_is_refused_by_name(void **state) {
    struct place place = make_place();
    struct shr_state *ours = memory_state();
    struct shr_snap_summary made;
    uint32_t height = 1;
    grow(ours, 10, 0);
    assert_ok(shr_snap_height(&height, ours, place.snap, err));
    assert_int_equal(height, 0);
    assert_ok(shr_snap_create(&made, ours, place.snap, 10, &stop, err));
    assert_ok(shr_snap_height(&height, ours, place.snap, err));
    assert_int_equal(height, 10);
    struct shr_identity other = identity();
    other.genesis.b[31] = 0xab;
    assert_refused(&place, &other, "genesis block 0707");
    assert_refused(&place, &other, "the one with ab07");
    other = identity();
    other.module_hash.b[0] = 0xcd;
    assert_refused(&place, &other, "SHA-256 0909");
    assert_refused(&place, &other, "the one with cd09");
    other = identity();
    other.start_height = 5;
    assert_refused(&place, &other, "starts at block 3, the database at block 5");
    other = identity();
    other.keep_root = SHR_KEEP_ROOT_NO;
    assert_refused(&place, &other, "the snapshot keeps state roots and the other none");
    shr_state_close(ours);
    drop_place(&place);
}

static void one_without_roots_goes_on_without(void **state) {
    struct place place = make_place();
    struct shr_identity without = identity();
    struct shr_snap_summary made;
    without.keep_root = SHR_KEEP_ROOT_NO;
    struct shr_state *ours = state_of(&without), *other = memory_state();
    grow(ours, 10, 0);
    grow(other, 12, 0);
    assert_ok(shr_snap_create(&made, ours, place.snap, 10, &stop, err));
    assert_fails(shr_snap_create(&made, other, place.snap, 12, &stop, err), SHREWD_MISMATCH,
                 "the database keeps state roots and the other none");
    assert_holds(place.snap, 10, 1);
    grow(ours, 12, 0);
    assert_ok(shr_snap_create(&made, ours, place.snap, 12, &stop, err));
    assert_holds(place.snap, 12, 2);
    struct shr_hash root = {{1}};
    struct shr_snap_restore ask = {
        .from = place.snap, .db_path = place.db, .stop = &stop, .root = &root};
    assert_fails(shr_snap_restore(&made, &ask, err), SHREWD_MISMATCH, "keeps no state roots");
    shr_state_close(other);
    shr_state_close(ours);
    drop_place(&place);
}

/* The same blocks with another state: neither may be put on top of the other. */
static void another_state_of_the_same_blocks_is_refused(void **state) {
    struct place place = make_place();
    struct shr_state *ours = memory_state(), *wrong = memory_state();
    struct shr_snap_summary made;
    struct shr_pair pair = {TEXT("key"), TEXT("wrong")};
    struct shr_block_change change = {
        .height = 8, .hash = block_hash(8, 0), .pairs = &pair, .n_pairs = 1};
    grow(ours, 8, 0);
    assert_ok(shr_snap_create(&made, ours, place.snap, 8, &stop, err));
    grow(wrong, 7, 0);
    assert_ok(shr_state_apply(wrong, &change, false, err));
    grow(wrong, 12, 0);
    assert_fails(shr_snap_create(&made, wrong, place.snap, 12, &stop, err), SHREWD_MISMATCH,
                 "after block 8");
    assert_fails(shr_snap_create(&made, wrong, place.snap, 12, &stop, err), SHREWD_MISMATCH,
                 place.snap);
    assert_holds(place.snap, 8, 1);
    shr_state_close(wrong);
    shr_state_close(ours);
    drop_place(&place);
}

/* --- It is never cut back --- */

static void no_height_takes_parts_away(void **state) {
    struct place place = make_place();
    struct shr_state *ours = memory_state(), *behind = memory_state();
    struct shr_snap_summary made;
    said[0] = 0;
    grow(ours, 25, 0);
    grow(behind, 15, 0);
    assert_ok(shr_snap_create(&made, ours, place.snap, 12, &stop, err));
    assert_ok(shr_snap_create(&made, ours, place.snap, 20, &stop, err));
    for (uint32_t height = 3; height < 20; height++) {
        assert_fails(shr_snap_create(&made, ours, place.snap, height, &stop, err), SHREWD_INVALID,
                     "a height of 20 or more instead of");
        assert_holds(place.snap, 20, 2);
    }
    for (uint32_t height = 11; height <= 15; height++) { /* whether it has block 20 is not known */
        assert_fails(shr_snap_create(&made, behind, place.snap, height, &stop, err),
                     SHREWD_ABOVE_TIP, "up to 20 and the database those up to 15");
        assert_holds(place.snap, 20, 2);
    }
    assert_string_equal(said, "");
    assert_ok(shr_snap_create(&made, ours, place.snap, 20, &stop, err));
    assert_int_equal(made.new_parts, 0);
    shr_state_close(behind);
    shr_state_close(ours);
    drop_place(&place);
}

static void nor_does_one_below_its_base(void **state) {
    struct place place = make_place();
    struct shr_state *ours = pruned_state(20, 15), *lower = pruned_state(20, 10);
    struct shr_state *behind = memory_state();
    struct shr_snap_summary made;
    said[0] = 0;
    assert_ok(shr_snap_create(&made, ours, place.snap, 15, &stop, err));
    assert_fails(shr_snap_create(&made, lower, place.snap, 12, &stop, err), SHREWD_INVALID,
                 "a height of 15 or more instead of 12");
    grow(behind, 14, 0);
    assert_fails(shr_snap_create(&made, behind, place.snap, 14, &stop, err), SHREWD_ABOVE_TIP,
                 "up to 15 and the database those up to 14");
    assert_holds(place.snap, 15, 1);
    assert_string_equal(said, "");
    shr_state_close(behind);
    shr_state_close(lower);
    shr_state_close(ours);
    drop_place(&place);
}

/* --- Reorgs --- */

/* Three parts, up to 10, 16 and 20, and then a chain that parts from theirs after `fork`. */
static struct shr_state *reorganised(const struct place *place, uint32_t fork, uint32_t tip) {
    struct shr_state *ours = memory_state();
    struct shr_snap_summary made;
    static const uint32_t heights[] = {10, 16, 20};
    grow(ours, 20, 0);
    for (size_t i = 0; i < 3; i++) {
        assert_ok(shr_snap_create(&made, ours, place->snap, heights[i], &stop, err));
    }
    assert_ok(shr_state_rollback(ours, fork, err));
    grow(ours, tip, 1);
    said[0] = 0;
    return ours;
}

static void what_a_reorg_took_back_goes(void **unused) {
    static const struct {
        uint32_t fork, tip, height;
        size_t kept, parts; /* of the three; in the end */
        const char *says;
    } cases[] = {
        {18, 25, 25, 2, 3, "1 part of blocks 17 to 20 dropped"},
        {18, 25, 16, 2, 2, "1 part of blocks 17 to 20 dropped"}, /* and none is made */
        {14, 25, 25, 1, 2, "2 parts of blocks 11 to 20 dropped"},
        {14, 18, 18, 1, 2, "2 parts of blocks 11 to 20 dropped"}, /* 20 is above the tip */
        {14, 25, 10, 1, 1, "2 parts of blocks 11 to 20 dropped"},
        {5, 25, 25, 0, 1, "3 parts of blocks 3 to 20 dropped"},
        {5, 25, 8, 0, 1, "3 parts of blocks 3 to 20 dropped"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct place place = make_place();
        struct shr_state *ours = reorganised(&place, cases[i].fork, cases[i].tip), *theirs;
        struct shr_snap_summary made;
        assert_ok(shr_snap_create(&made, ours, place.snap, cases[i].height, &stop, err));
        assert_int_equal(made.new_parts, cases[i].parts - cases[i].kept);
        assert_non_null(strstr(said, cases[i].says));
        assert_non_null(strstr(said, place.snap));
        assert_holds(place.snap, cases[i].height, cases[i].parts);
        assert_ok(restore(&made, &place, err));
        theirs = disk_state(place.db);
        assert_ok(shr_state_rollback(ours, cases[i].height, err));
        assert_same(ours, theirs);
        shr_state_close(theirs);
        shr_state_close(ours);
        drop_place(&place);
    }
}

/* What is below the reorg is on the chain still: a lower height does not take it away, and then
 * nothing else goes either. */
static void what_it_left_is_not_cut_back(void **unused) {
    struct place place = make_place();
    struct shr_state *ours = reorganised(&place, 18, 25);
    struct shr_snap_summary made;
    assert_fails(shr_snap_create(&made, ours, place.snap, 12, &stop, err), SHREWD_INVALID,
                 "a height of 16 or more instead of 12");
    assert_string_equal(said, "");
    assert_holds(place.snap, 20, 3);
    shr_state_close(ours);
    drop_place(&place);
}

/* At a height below the one it began with, too. */
static void a_base_that_a_reorg_took_back_goes(void **unused) {
    struct place place = make_place();
    struct shr_state *ours = pruned_state(20, 15), *other = memory_state();
    struct shr_snap_summary made;
    assert_ok(shr_snap_create(&made, ours, place.snap, 20, &stop, err));
    grow(other, 12, 0);
    grow(other, 25, 3);
    said[0] = 0;
    assert_ok(shr_snap_create(&made, other, place.snap, 13, &stop, err));
    assert_non_null(strstr(said, "block 15 that a reorg has taken back: begun anew"));
    assert_holds(place.snap, 13, 1);
    shr_state_close(other);
    shr_state_close(ours);
    drop_place(&place);
}

/* --- Its files --- */

static void only_its_own_files_go(void **unused) {
    static const char *const others[] = {
        "backup.zst",
        "000000003-000000020.zst",
        "base-x.zst",
        "a-b-c.zst",
        "000000003-000000020-0123456789abcdef.zst.orig",
        "notes",
    };
    static const char *const own[] = {"000000003-000000020-0123456789abcdef.zst",
                                      "base-000000009-00000-0123456789abcdef.zst"};
    struct place place = make_place();
    struct shr_state *ours = memory_state();
    struct shr_snap_summary made;
    assert_ok(shr_dir_make(place.snap, err));
    grow(ours, 10, 0);
    for (size_t i = 0; i < 8; i++) {
        char *path = shr_asprintf("%s/%s", place.snap, i < 6 ? others[i] : own[i - 6]);
        assert_ok(shr_file_write(path, TEXT("x"), err));
        free(path);
    }
    assert_ok(shr_snap_create(&made, ours, place.snap, 10, &stop, err));
    for (size_t i = 0; i < 8; i++) {
        char *path = shr_asprintf("%s/%s", place.snap, i < 6 ? others[i] : own[i - 6]);
        assert_int_equal(access(path, F_OK), i < 6 ? 0 : -1);
        free(path);
    }
    shr_state_close(ours);
    drop_place(&place);
}

static unsigned mode_of(const char *folder, const char *name) {
    struct stat info;
    char *path = shr_asprintf("%s/%s", folder, name);
    assert_int_equal(stat(path, &info), 0);
    free(path);
    return info.st_mode & 07777;
}

static void others_may_read_what_the_umask_lets_them(void **unused) {
    static const mode_t umasks[] = {0, 022, 027, 077};
    for (size_t i = 0; i < sizeof umasks / sizeof umasks[0]; i++) {
        struct place place = make_place();
        struct shr_state *ours = pruned_state(20, 10);
        struct shr_snap_summary made;
        struct shr_manifest manifest;
        mode_t before = umask(umasks[i]);
        int code = shr_snap_create(&made, ours, place.snap, 20, &stop, NULL);
        umask(before);
        assert_int_equal(code, 0);
        assert_ok(shr_manifest_read(&manifest, place.snap, err));
        assert_int_equal(mode_of(place.snap, ""), 0755 & ~umasks[i]);
        assert_int_equal(mode_of(place.snap, SHR_MANIFEST_NAME), 0644 & ~umasks[i]);
        assert_int_equal(mode_of(place.snap, manifest.base[0].name), 0644 & ~umasks[i]);
        assert_int_equal(mode_of(place.snap, manifest.parts[0].name), 0644 & ~umasks[i]);
        shr_manifest_free(&manifest);
        shr_state_close(ours);
        drop_place(&place);
    }
}

int main(void) {
    if (shr_stop_init(&stop) != 0) {
        return 1;
    }
    shr_log_set_sink(take_log, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(anothers_is_refused_by_name),
        cmocka_unit_test(one_without_roots_goes_on_without),
        cmocka_unit_test(another_state_of_the_same_blocks_is_refused),
        cmocka_unit_test(no_height_takes_parts_away),
        cmocka_unit_test(nor_does_one_below_its_base),
        cmocka_unit_test(what_a_reorg_took_back_goes),
        cmocka_unit_test(what_it_left_is_not_cut_back),
        cmocka_unit_test(a_base_that_a_reorg_took_back_goes),
        cmocka_unit_test(only_its_own_files_go),
        cmocka_unit_test(others_may_read_what_the_umask_lets_them),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    shr_stop_deinit(&stop);
    return failed;
}
