/* The cache of compiled modules: used when it is ours and whole, else compiled anew. */
#include "base/file.h"
#include "base/log.h"
#include "guest_bench.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODULE                                                                                     \
    "(module (memory (export \"memory\") 1)(func (export \"v\") (result i32) (i32.const 8)))"
#define OTHER                                                                                      \
    "(module (memory (export \"memory\") 2)(func (export \"w\") (result i32) (i32.const 8)))"

static char root[] = "/tmp/shrewd-cache-XXXXXX";
static char dir[100];
static char entry[400]; /* the one entry of `dir` */
static struct shr_buf said;

static void hear(void *ctx, enum shr_log_level level, const char *room, const char *message) {
    shr_buf_add_str(&said, message);
    shr_buf_add_str(&said, "\n");
}

/* How many entries there are; `entry` becomes the path of one. */
static int find_entries(void) {
    int n = 0;
    DIR *list = opendir(dir);
    for (struct dirent *item; list != NULL && (item = readdir(list)) != NULL;) {
        if (item->d_name[0] != '.') {
            snprintf(entry, sizeof entry, "%s/%s", dir, item->d_name);
            n++;
        }
    }
    if (list != NULL) {
        closedir(list);
    }
    return n;
}

/* Compiles or loads, runs, and tells whether the code came from the cache. */
static bool load(const char *wat, const char *view) {
    struct bench bench;
    struct shr_buf out = {0};
    struct shr_module *module = NULL;
    struct shrewd_error err = {0};
    bench_init(&bench);
    shr_buf_clear(&said);
    if (shr_module_new(&module, bench_engine, shr_bytes_str(wat), "m.wat", dir, &err) != 0) {
        fail_msg("%s", err.message);
    }
    struct shr_guest_call call = {.entry = view, .host = &bench.host};
    assert_int_equal(shr_guest_view(module, &out, &call, NULL), 0);
    bool cached = shr_module_info(module)->from_cache;
    shr_module_free(module);
    bench_deinit(&bench);
    return cached;
}

static int empty_dir(void **state) {
    while (find_entries() > 0) {
        unlink(entry);
    }
    rmdir(dir);
    return 0;
}

static void the_second_time_it_is_there(void **state) {
    struct stat info;
    assert_false(load(MODULE, "v"));
    assert_int_equal(said.len, 0);
    assert_int_equal(find_entries(), 1);
    assert_int_equal(stat(dir, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    assert_int_equal(stat(entry, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_true(load(MODULE, "v"));
    assert_false(load(OTHER, "w"));
    assert_int_equal(find_entries(), 2);
    assert_true(load(OTHER, "w"));
    assert_true(load(MODULE, "v"));
    assert_int_equal(said.len, 0);
}

static void without_a_folder_there_is_no_cache(void **state) {
    struct shr_module *module = NULL;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(
            shr_module_new(&module, bench_engine, shr_bytes_str(MODULE), "m", NULL, NULL), 0);
        assert_false(shr_module_info(module)->from_cache);
        shr_module_free(module);
    }
}

/* Each is a change of a good entry; afterwards it must have been compiled and written anew. */
static void expect_recovery(const char *says) {
    assert_false(load(MODULE, "v"));
    assert_contains(shr_buf_cstr(&said), "compiled anew");
    assert_contains(shr_buf_cstr(&said), says);
    assert_true(load(MODULE, "v"));
    assert_int_equal(said.len, 0);
}

static void flip(off_t at) {
    int fd = open(entry, O_RDWR);
    uint8_t byte;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x40;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static void damage_is_noticed(void **state) {
    struct stat info;
    assert_false(load(MODULE, "v"));
    assert_int_equal(find_entries(), 1);
    assert_int_equal(stat(entry, &info), 0);
    flip(0);
    expect_recovery("it has no header");
    flip(8);
    expect_recovery("another module or engine");
    flip(40);
    expect_recovery("cut off or too long");
    flip(48);
    expect_recovery("checksum");
    flip(80);
    expect_recovery("checksum");
    flip(info.st_size - 1);
    expect_recovery("checksum");
    assert_int_equal(truncate(entry, info.st_size - 1), 0);
    expect_recovery("cut off or too long");
    assert_int_equal(truncate(entry, 79), 0);
    expect_recovery("it has no header");
    assert_int_equal(truncate(entry, 0), 0);
    expect_recovery("it has no header");
    assert_int_equal(truncate(entry, info.st_size + 5), 0);
    expect_recovery("cut off or too long");
}

static void code_of_another_engine_is_refused(void **state) {
    struct shr_buf whole = {0};
    struct shr_hash sum;
    assert_false(load(MODULE, "v"));
    assert_int_equal(find_entries(), 1);
    assert_int_equal(shr_file_read(&whole, entry, 1 << 24, NULL), 0);
    /* Wasmtime's own header says what made it: spoil that, and make our checksum right. */
    memset(whole.data + 80, 0, whole.len - 80);
    shr_sha256(&sum, shr_bytes(whole.data + 80, whole.len - 80));
    memcpy(whole.data + 48, sum.b, 32);
    assert_int_equal(shr_file_write(entry, shr_buf_bytes(&whole), NULL), 0);
    shr_buf_free(&whole);
    expect_recovery("the engine refuses it");
}

static void what_others_can_write_is_not_used(void **state) {
    static const mode_t modes[] = {0777, 0770, 0702};
    assert_false(load(MODULE, "v"));
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        assert_int_equal(chmod(dir, modes[i]), 0);
        assert_false(load(MODULE, "v"));
        assert_contains(shr_buf_cstr(&said), "is not used: others own it or can write it");
    }
    assert_int_equal(chmod(dir, 0755), 0);
    assert_true(load(MODULE, "v"));
    assert_int_equal(find_entries(), 1);
    assert_int_equal(chmod(entry, 0620), 0);
    expect_recovery("others own it or can write it");
    assert_int_equal(chmod(entry, 0602), 0);
    expect_recovery("others own it or can write it");
}

static void a_link_is_not_followed(void **state) {
    char moved[200];
    assert_false(load(MODULE, "v"));
    assert_int_equal(find_entries(), 1);
    snprintf(moved, sizeof moved, "%s/moved", root);
    assert_int_equal(rename(entry, moved), 0);
    assert_int_equal(symlink(moved, entry), 0);
    expect_recovery("cannot open");
    unlink(moved);
}

static void other_owners_are_not_trusted(void **state) {
    if (geteuid() != 0) {
        skip(); /* only root can give files away */
    }
    assert_false(load(MODULE, "v"));
    assert_int_equal(find_entries(), 1);
    assert_int_equal(chown(entry, 65534, 65534), 0);
    expect_recovery("others own it or can write it");
    assert_int_equal(chown(dir, 65534, 65534), 0);
    assert_false(load(MODULE, "v"));
    assert_contains(shr_buf_cstr(&said), "is not used");
    assert_int_equal(chown(dir, 0, 0), 0);
}

static void a_folder_that_cannot_be_is_only_a_warning(void **state) {
    char kept[100];
    memcpy(kept, dir, sizeof kept);
    snprintf(dir, sizeof dir, "%s/file/below", root);
    char file[200];
    snprintf(file, sizeof file, "%s/file", root);
    assert_int_equal(shr_file_write(file, shr_bytes_str("x"), NULL), 0);
    assert_false(load(MODULE, "v"));
    assert_contains(shr_buf_cstr(&said), "is not kept");
    unlink(file);
    memcpy(dir, kept, sizeof dir);
}

static void the_oldest_entries_go(void **state) {
    assert_false(load(MODULE, "v"));
    for (int i = 0; i < 70; i++) {
        char path[300];
        snprintf(path, sizeof path, "%s/%02d.cwasm", dir, i);
        assert_int_equal(shr_file_write(path, shr_bytes_str("old"), NULL), 0);
        struct timespec times[2] = {{.tv_sec = 1000 + i}, {.tv_sec = 1000 + i}};
        assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    }
    char staged[300];
    snprintf(staged, sizeof staged, "%s/left.cwasm.tmp", dir);
    assert_int_equal(shr_file_write(staged, shr_bytes_str("old"), NULL), 0);
    struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    assert_int_equal(utimensat(AT_FDCWD, staged, times, 0), 0);
    assert_false(load(OTHER, "w"));
    assert_int_equal(find_entries(), 64);
    assert_true(load(MODULE, "v"));
    assert_true(load(OTHER, "w"));
}

static int setup(void **state) {
    if (mkdtemp(root) == NULL) {
        return -1;
    }
    snprintf(dir, sizeof dir, "%s/made/modules", root);
    shr_log_set_sink(hear, NULL);
    return bench_setup(state);
}

static int teardown(void **state) {
    char made[100];
    snprintf(made, sizeof made, "%s/made", root);
    rmdir(made);
    rmdir(root);
    shr_buf_free(&said);
    shr_log_set_sink(NULL, NULL);
    return bench_teardown(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(the_second_time_it_is_there, empty_dir),
        cmocka_unit_test_teardown(without_a_folder_there_is_no_cache, empty_dir),
        cmocka_unit_test_teardown(damage_is_noticed, empty_dir),
        cmocka_unit_test_teardown(code_of_another_engine_is_refused, empty_dir),
        cmocka_unit_test_teardown(what_others_can_write_is_not_used, empty_dir),
        cmocka_unit_test_teardown(a_link_is_not_followed, empty_dir),
        cmocka_unit_test_teardown(other_owners_are_not_trusted, empty_dir),
        cmocka_unit_test_teardown(a_folder_that_cannot_be_is_only_a_warning, empty_dir),
        cmocka_unit_test_teardown(the_oldest_entries_go, empty_dir),
    };
    guest_signals_keep();
    return cmocka_run_group_tests_name("module cache", tests, setup, teardown);
}
