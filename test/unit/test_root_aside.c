/* Buckets put aside: taken back as they were, or not at all; whatever becomes of the file. */
#include "state_help.h"

#include "state/root_impl.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

#define RING ((uint64_t)256 << 10)
#define BUCKETS 2000u /* several times what the ring holds */

/* The `i`th bucket: its size and what it holds follow from its number. */
static struct shr_root_page *make_bucket(uint32_t i) {
    struct shr_root_page *page = shr_root_page_new(1 + i % SHR_ROOT_DEPTH_MAX, false);
    page->n = (uint16_t)(1 + i * 7 % SHR_ROOT_BUCKET_MAX);
    page->n_diffs = (uint8_t)(i % SHR_ROOT_DIFFS_MAX);
    page->diff_bytes = i;
    shr_root_page_reserve(page, page->n);
    memset(page->of.leaves, (int)(i * 31), page->n * sizeof *page->of.leaves);
    memcpy(page->of.leaves, &i, sizeof i);
    return page;
}

static uint64_t put(struct shr_root_aside *aside, uint32_t i) {
    struct shr_root_page *page = make_bucket(i);
    uint64_t at = shr_root_aside_put(aside, page);
    shr_root_page_free(page);
    return at;
}

/* Whether the bucket is there; if so it is as it was. */
static bool take(struct shr_root_aside *aside, uint64_t at, uint32_t i) {
    struct shr_root_page *want = make_bucket(i);
    struct shr_root_page *got = at == 0 ? NULL : shr_root_aside_take(aside, at, want->depth);
    bool there = got != NULL;
    if (there) {
        assert_int_equal(got->depth, want->depth);
        assert_int_equal(got->n, want->n);
        assert_int_equal(got->n_diffs, want->n_diffs);
        assert_int_equal(got->diff_bytes, want->diff_bytes);
        assert_memory_equal(got->of.leaves, want->of.leaves, want->n * sizeof *want->of.leaves);
    }
    shr_root_page_free(got);
    shr_root_page_free(want);
    return there;
}

/* Of those put aside, the newest that come to so many are there: all from the first found on. */
static uint32_t count_there(struct shr_root_aside *aside, const uint64_t *at, uint32_t n) {
    uint32_t there = 0;
    for (uint32_t i = 0; i < n; i++) {
        bool found = take(aside, at[i], i);
        assert_true(found || there == 0);
        there += found;
    }
    return there;
}

/* A descriptor of the file without a name in a folder; -1: there is none. */
static int nameless_in(const char *folder) {
    DIR *dir = opendir("/proc/self/fd");
    int found = -1;
    assert_non_null(dir);
    for (struct dirent *item; found < 0 && (item = readdir(dir)) != NULL;) {
        char path[300], target[512];
        snprintf(path, sizeof path, "/proc/self/fd/%s", item->d_name);
        ssize_t n = readlink(path, target, sizeof target - 1);
        if (n > 0) {
            target[n] = '\0';
            found = strncmp(target, folder, strlen(folder)) == 0 && strstr(target, "(deleted)")
                        ? atoi(item->d_name)
                        : -1;
        }
    }
    closedir(dir);
    return found;
}

static void test_ring(void **state) {
    char *dir = make_dir();
    struct shr_root_aside *aside = shr_root_aside_new(dir, RING);
    uint64_t at[BUCKETS];
    for (uint32_t i = 0; i < BUCKETS; i++) {
        at[i] = put(aside, i);
        assert_int_not_equal(at[i], 0);
        assert_true(take(aside, at[i], i));
    }
    /* A bucket takes about a KiB. */
    assert_in_range(count_there(aside, at, BUCKETS), RING / 1024 / 2, RING / 1024 * 2);
    int fd = nameless_in(dir);
    assert_true(fd >= 0);
    assert_in_range(lseek(fd, 0, SEEK_END), RING / 2, RING);
    assert_null(shr_root_aside_take(aside, at[BUCKETS - 1], SHR_ROOT_DEPTH_MAX + 1));
    shr_root_aside_clear(aside);
    assert_int_equal(nameless_in(dir), -1);
    at[0] = put(aside, 0);
    assert_true(take(aside, at[0], 0));
    shr_root_aside_free(aside);
    remove_dir(dir);
}

/* What has been changed in the file is not taken for what was written. */
static void test_damaged(void **state) {
    char *dir = make_dir();
    struct shr_root_aside *aside = shr_root_aside_new(dir, RING);
    uint64_t at[100];
    for (uint32_t i = 0; i < 100; i++) {
        at[i] = put(aside, i);
    }
    int fd = nameless_in(dir);
    assert_true(fd >= 0);
    for (off_t byte = 0; byte < 40; byte++) { /* of the first bucket */
        uint8_t was;
        assert_int_equal(pread(fd, &was, 1, byte), 1);
        uint8_t changed = was ^ 0x10;
        assert_int_equal(pwrite(fd, &changed, 1, byte), 1);
        assert_false(take(aside, at[0], 0));
        assert_int_equal(pwrite(fd, &was, 1, byte), 1);
        assert_true(take(aside, at[0], 0));
    }
    assert_int_equal(ftruncate(fd, 10), 0);
    assert_false(take(aside, at[0], 0));
    shr_root_aside_free(aside);
    remove_dir(dir);
}

/* A disk that takes no more: what is there stays, and nothing is put aside until all is cleared. */
static void test_disk_full(void **state) {
    char *dir = make_dir();
    struct shr_root_aside *aside = shr_root_aside_new(dir, RING);
    struct rlimit limit;
    uint64_t at[BUCKETS];
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &(struct rlimit){RING / 2, limit.rlim_max}), 0);
    uint32_t n = 0;
    while (n < BUCKETS && (at[n] = put(aside, n)) != 0) {
        n++;
    }
    assert_in_range(n, RING / 1024 / 4, RING / 1024);
    assert_int_equal(count_there(aside, at, n), n);
    assert_int_equal(put(aside, 0), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(put(aside, 0), 0);
    shr_root_aside_clear(aside);
    at[0] = put(aside, 0);
    assert_true(take(aside, at[0], 0));
    shr_root_aside_free(aside);
    remove_dir(dir);
}

/* A ring larger than the disk has free, or a folder that is not there: none. */
static void test_no_room(void **state) {
    char *dir = make_dir();
    const struct {
        const char *folder;
        uint64_t ring;
    } cases[] = {{dir, (uint64_t)1 << 60}, {dir, 0}, {"/nowhere/at/all", RING}};
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        struct shr_root_aside *aside = shr_root_aside_new(cases[c].folder, cases[c].ring);
        uint32_t i = 0;
        while (i < BUCKETS && put(aside, i) != 0) {
            i++;
        }
        assert_in_range(i, 0, BUCKETS - 1);
        int fd = nameless_in(dir);
        assert_true(fd < 0 || lseek(fd, 0, SEEK_END) == 0);
        shr_root_aside_free(aside);
    }
    remove_dir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ring),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_disk_full),
        cmocka_unit_test(test_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
