/* Decoding flushes: every form protobuf allows, and every way to be wrong. */
#include "wasm/flush.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static int collect(void *ctx, struct shr_bytes key, struct shr_bytes value,
                   struct shrewd_error *err) {
    struct shr_buf *out = ctx;
    shr_buf_add(out, key);
    shr_buf_add_str(out, "=");
    shr_buf_add(out, value);
    shr_buf_add_str(out, ";");
    return 0;
}

static void expect(const char *bytes, size_t len, const char *pairs) {
    struct shr_buf out = {0};
    struct shrewd_error err = {0};
    int code = shr_flush_decode(shr_bytes(bytes, len), collect, &out, &err);
    if (code != 0) {
        fail_msg("%s", err.message);
    }
    assert_string_equal(shr_buf_cstr(&out), pairs);
    shr_buf_free(&out);
}
#define EXPECT(bytes, pairs) expect(bytes, sizeof(bytes) - 1, pairs)

static void expect_fault(const char *bytes, size_t len, const char *message) {
    struct shr_buf out = {0};
    struct shrewd_error err = {0};
    /* A copy of exactly this length, so that a sanitizer sees a read past the end. */
    struct shr_buf copy = {0};
    shr_buf_append(&copy, bytes, len);
    assert_int_equal(shr_flush_decode(shr_buf_bytes(&copy), collect, &out, &err), SHREWD_GUEST);
    if (strstr(err.message, message) == NULL) {
        fail_msg("expected \"%s\" in \"%s\"", message, err.message);
    }
    assert_int_equal(shr_flush_decode(shr_buf_bytes(&copy), collect, &out, NULL), SHREWD_GUEST);
    shr_buf_free(&copy);
    shr_buf_free(&out);
}
#define EXPECT_FAULT(bytes, message) expect_fault(bytes, sizeof(bytes) - 1, message)

static void pairs_come_in_order(void **state) {
    EXPECT("", "");
    EXPECT("\x0a\x01k\x0a\x01v", "k=v;");
    EXPECT("\x0a\x01k\x0a\x00\x0a\x00\x0a\x01v", "k=;=v;");
    EXPECT("\x0a\x01k\x0a\x01v\x0a\x01k\x0a\x01w", "k=v;k=w;");
}

static void long_forms_of_numbers_are_numbers(void **state) {
    EXPECT("\x8a\x00\x81\x80\x00k\x0a\x81\x80\x80\x80\x80\x80\x80\x80\x80\x00v", "k=v;");
}

static void unknown_fields_are_skipped(void **state) {
    EXPECT("\x10\x96\x01\x0a\x01k\x19"
           "12345678\x0a\x01v",
           "k=v;");
    EXPECT("\x1a\x03xyz\x0a\x01k\x25"
           "1234\x0a\x01v",
           "k=v;");
    EXPECT("\x08\x05\x0a\x01k\x0a\x01v", "k=v;"); /* field 1, another type */
    EXPECT("\x13\x0a\x01z\x1b\x08\x01\x1c\x14\x0a\x01k\x0a\x01v", "k=v;"); /* nested groups */
}

static void faults_name_their_offset(void **state) {
    EXPECT_FAULT("\x0a\x01k", "the last key has no value at offset 3 of 3");
    EXPECT_FAULT("\x0a\x01k\x0a\x02v", "a field reaches past the end at offset 4 of 6");
    EXPECT_FAULT("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "past the end");
    EXPECT_FAULT("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", "more than 64 bits");
    EXPECT_FAULT("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "more than 64 bits");
    EXPECT_FAULT("\x0a", "cut off at offset 1 of 1");
    EXPECT_FAULT("\x8a", "cut off at offset 0 of 1");
    EXPECT_FAULT("\x02\x00", "field number is out of range");
    EXPECT_FAULT("\x8a\x80\x80\x80\x10", "field number is out of range");
    EXPECT_FAULT("\x0e", "unknown wire type");
    EXPECT_FAULT("\x19"
                 "1234567",
                 "past the end");
    EXPECT_FAULT("\x25"
                 "123",
                 "past the end");
    EXPECT_FAULT("\x0c", "a group ends that was not begun");
    EXPECT_FAULT("\x13\x1c", "a group ends that was not begun");
    EXPECT_FAULT("\x13\x10", "cut off");
    EXPECT_FAULT("{\"keys\": []}", "KeyValueFlush");
}

static void groups_are_nested_100_deep_at_most(void **state) {
    char bytes[300];
    memset(bytes, 0x13, 101);
    memset(bytes + 101, 0x14, 101);
    expect_fault(bytes, 202, "nested too deep");
    memset(bytes, 0x13, 100);
    memset(bytes + 100, 0x14, 100);
    expect(bytes, 200, "");
}

static int stop_at_second(void *ctx, struct shr_bytes key, struct shr_bytes value,
                          struct shrewd_error *err) {
    int *calls = ctx;
    return ++*calls == 2 ? SHREWD_STOPPED : 0;
}

static void put_can_end_it(void **state) {
    int calls = 0;
    const char bytes[] = "\x0a\x01k\x0a\x01v\x0a\x01k\x0a\x01w\x0a\x01k\x0a\x01x";
    assert_int_equal(
        shr_flush_decode(shr_bytes(bytes, sizeof bytes - 1), stop_at_second, &calls, NULL),
        SHREWD_STOPPED);
    assert_int_equal(calls, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_come_in_order),
        cmocka_unit_test(long_forms_of_numbers_are_numbers),
        cmocka_unit_test(unknown_fields_are_skipped),
        cmocka_unit_test(faults_name_their_offset),
        cmocka_unit_test(groups_are_nested_100_deep_at_most),
        cmocka_unit_test(put_can_end_it),
    };
    return cmocka_run_group_tests_name("flush", tests, NULL, NULL);
}
