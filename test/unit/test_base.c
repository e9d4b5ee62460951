/* Buffers, hex, errors, log escaping, files, the stop request, work in pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/endian.h"
#include "base/error.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/stop.h"
#include "base/tasks.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void test_bytes_order(void **state) {
    struct shr_bytes empty = shr_bytes(NULL, 0);
    struct shr_bytes a = shr_bytes_str("a");
    struct shr_bytes ab = shr_bytes_str("ab");
    struct shr_bytes high = shr_bytes("\xff", 1);
    assert_true(shr_bytes_cmp(empty, a) < 0);
    assert_true(shr_bytes_cmp(a, ab) < 0);
    assert_true(shr_bytes_cmp(high, ab) > 0); /* bytes are unsigned */
    assert_int_equal(shr_bytes_cmp(ab, ab), 0);
    assert_true(shr_bytes_eq(empty, empty));
    assert_false(shr_bytes_eq(a, ab));
    assert_true(shr_bytes_starts(ab, a));
    assert_true(shr_bytes_starts(ab, empty));
    assert_false(shr_bytes_starts(a, ab));
}

static void test_buf_grows(void **state) {
    struct shr_buf buf = {0};
    for (uint32_t i = 0; i < 100000; i++) {
        shr_buf_add_le32(&buf, i);
    }
    assert_int_equal(buf.len, 400000);
    for (uint32_t i = 0; i < 100000; i++) {
        assert_int_equal(shr_get_le32(buf.data + (size_t)i * 4), i);
    }
    shr_buf_clear(&buf);
    shr_buf_printf(&buf, "%s-%d", "block", 7);
    assert_string_equal(shr_buf_cstr(&buf), "block-7");
    assert_int_equal(buf.len, 7);
    shr_buf_free(&buf);
    assert_null(buf.data);
    shr_buf_free(&buf);
}

static void test_hex_round_trip(void **state) {
    struct shr_buf text = {0};
    struct shr_buf back = {0};
    uint8_t all[256];
    for (int i = 0; i < 256; i++) {
        all[i] = (uint8_t)i;
    }
    shr_hex_encode(&text, shr_bytes(all, sizeof all));
    assert_int_equal(text.len, 512);
    assert_true(shr_hex_decode(&back, (char *)text.data, text.len, NULL));
    assert_memory_equal(back.data, all, sizeof all);
    shr_buf_free(&text);
    shr_buf_free(&back);
}

static void test_hex_refuses(void **state) {
    static const struct {
        const char *text;
        size_t bad_at;
    } cases[] = {{"0", 1}, {"0x0", 3}, {"zz", 0}, {"0xag", 3}, {"abc", 3}, {"ab cd", 2}};
    struct shr_buf out = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t bad_at = 99;
        assert_false(shr_hex_decode(&out, cases[i].text, strlen(cases[i].text), &bad_at));
        assert_int_equal(bad_at, cases[i].bad_at);
        assert_int_equal(out.len, 0);
    }
    assert_true(shr_hex_decode(&out, "", 0, NULL));
    assert_true(shr_hex_decode(&out, "0X", 2, NULL));
    assert_int_equal(out.len, 0);
    assert_true(shr_hex_decode(&out, "0xABcd", 6, NULL));
    assert_memory_equal(out.data, "\xab\xcd", 2);
    shr_buf_free(&out);
}

static void test_errors_nest(void **state) {
    struct shrewd_error err;
    char long_text[3000];
    assert_int_equal(shr_fail(&err, SHREWD_IO, "file %d", 3), SHREWD_IO);
    assert_int_equal(shr_fail_in(&err, SHREWD_CORRUPT, "block %d", 9), SHREWD_CORRUPT);
    assert_string_equal(err.message, "block 9: file 3");
    assert_int_equal(err.code, SHREWD_CORRUPT);
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = 0;
    shr_fail(&err, SHREWD_IO, "%s", long_text);
    shr_fail_in(&err, SHREWD_IO, "%s", long_text);
    assert_true(strlen(err.message) < sizeof err.message);
    assert_int_equal(shr_fail(NULL, SHREWD_IO, "nobody listens"), SHREWD_IO);
    assert_string_equal(shrewd_error_name(SHREWD_REORG_DEPTH), "REORG_DEPTH");
    assert_string_equal(shrewd_strerror(0), "success");
    assert_string_equal(shrewd_strerror(-4711), "unknown error");
}

static void test_escape(void **state) {
    struct shr_buf out = {0};
    static const char input[] = "ok \xc3\xa9 \n\x1b[2J \xff \xc0\x80 \xed\xa0\x80 end";
    shr_escape(&out, shr_bytes(input, sizeof input - 1));
    assert_string_equal(shr_buf_cstr(&out), "ok \xc3\xa9 \\x0a\\x1b[2J \\xff \\xc0\\x80 "
                                            "\\xed\\xa0\\x80 end");
    shr_buf_free(&out);
}

static void sink(void *ctx, enum shr_log_level level, const char *room, const char *message) {
    snprintf(ctx, 256, "%d %s %.200s", (int)level, room, message);
}

static void test_log_sink(void **state) {
    char line[256] = "";
    shr_log_set_sink(sink, line);
    shr_debug("x", "not shown at the default level");
    assert_string_equal(line, "");
    shr_warn("node", "a\nb");
    assert_string_equal(line, "2 node a\\x0ab");
    shr_log_set_sink(NULL, NULL);
}

static void test_files(void **state) {
    char dir[] = "/tmp/shrewd-test-XXXXXX";
    assert_non_null(mkdtemp(dir));
    char *nested = shr_asprintf("%s/a/b", dir);
    char *path = shr_asprintf("%s/file", nested);
    struct shrewd_error err;
    struct shr_buf back = {0};
    assert_int_equal(shr_dir_make(nested, &err), 0);
    assert_int_equal(shr_dir_make(nested, &err), 0);
    assert_int_equal(shr_file_read(&back, path, 100, &err), SHREWD_NOT_FOUND);
    assert_non_null(strstr(err.message, path));
    assert_int_equal(shr_file_write(path, shr_bytes_str("hello"), &err), 0);
    assert_int_equal(shr_file_write(path, shr_bytes_str("replaced"), &err), 0);
    assert_int_equal(shr_file_read(&back, path, 100, &err), 0);
    assert_string_equal(shr_buf_cstr(&back), "replaced");
    assert_int_equal(shr_file_read(&back, path, 3, &err), SHREWD_LIMIT);
    assert_int_equal(shr_dir_make(path, &err), SHREWD_IO);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    unlink(path);
    rmdir(nested);
    *strrchr(nested, '/') = 0;
    rmdir(nested);
    rmdir(dir);
    shr_buf_free(&back);
    free(nested);
    free(path);
}

static void *request_later(void *arg) {
    usleep(20000);
    shr_stop_request(arg);
    return NULL;
}

static void test_stop_wakes_sleepers(void **state) {
    struct shr_stop stop;
    pthread_t thread;
    assert_int_equal(shr_stop_init(&stop), 0);
    assert_false(shr_stop_sleep(&stop, 1));
    pthread_create(&thread, NULL, request_later, &stop);
    uint64_t start = shr_now_ms();
    assert_true(shr_stop_sleep(&stop, 60000));
    assert_true(shr_now_ms() - start < 30000);
    assert_true(shr_stop_sleep(&stop, 60000)); /* stays requested */
    pthread_join(thread, NULL);
    shr_stop_deinit(&stop);
}

static int odd_fails(void *ctx, size_t i, struct shrewd_error *err) {
    _Atomic unsigned *done = ctx;
    atomic_fetch_add(done, 1);
    return i % 2 == 1 ? shr_fail(err, SHREWD_IO, "piece %zu", i) : 0;
}

/* Every piece is done, and the first failure by number is the one that is told. */
static void test_tasks_fail(void **state) {
    struct shrewd_error err = {0};
    for (unsigned helpers = 0; helpers < 4; helpers++) {
        for (size_t n = 0; n < 7; n++) {
            _Atomic unsigned done = 0;
            struct shr_tasks tasks = {.task = odd_fails, .ctx = &done, .n = n, .name = "tasks"};
            shr_tasks_begin(&tasks, helpers);
            assert_int_equal(shr_tasks_end(&tasks, &err), n > 1 ? SHREWD_IO : 0);
            assert_int_equal(done, n);
            if (n > 1) {
                assert_string_equal(err.message, "piece 1");
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_order),
        cmocka_unit_test(test_buf_grows),
        cmocka_unit_test(test_hex_round_trip),
        cmocka_unit_test(test_hex_refuses),
        cmocka_unit_test(test_errors_nest),
        cmocka_unit_test(test_escape),
        cmocka_unit_test(test_log_sink),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_stop_wakes_sleepers),
        cmocka_unit_test(test_tasks_fail),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
