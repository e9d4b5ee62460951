/* The memo of a warm instance, against what was put into it. */
#include "wasm/memo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct shr_bytes key_of(uint32_t i, char text[64]) {
    int len = snprintf(text, 64, "/%.*s/%u", (int)(i % 40),
                       "a long path, as modules have them ......", i);
    return shr_bytes(text, (size_t)len);
}

static void add(struct shr_memo *memo, uint32_t i) {
    char key[64], value[64];
    snprintf(value, sizeof value, "%u", i * 7);
    struct shr_bytes bytes = shr_bytes(value, i % 5 == 0 ? 0 : strlen(value));
    struct shr_bytes name = key_of(i, key);
    shr_memo_add(memo, name, shr_memo_hash(name), i % 3 == 0 ? NULL : &bytes);
}

/* True when it is known, and then as it was put in. */
static bool knows(struct shr_memo *memo, uint32_t i) {
    char text[64], value[64];
    struct shr_bytes key = key_of(i, text), found = {0}, own = key;
    snprintf(value, sizeof value, "%u", i * 7);
    if (!shr_memo_get(memo, &own, shr_memo_hash(key), &found)) {
        return false;
    }
    assert_true(shr_bytes_eq(own, key));
    assert_ptr_not_equal(own.data, key.data);
    assert_int_equal(found.data == NULL, i % 3 == 0);
    if (i % 3 != 0) {
        assert_true(shr_bytes_eq(found, shr_bytes(value, i % 5 == 0 ? 0 : strlen(value))));
    }
    return true;
}

static void it_knows_what_it_was_told(void **state) {
    struct shr_memo memo = {0};
    shr_memo_begin(&memo, 1);
    assert_false(knows(&memo, 1));
    uint32_t known = 0;
    for (uint32_t i = 0; i < 3000; i++) {
        add(&memo, i);
    }
    for (uint32_t i = 0; i < 4000; i++) {
        known += knows(&memo, i);
        assert_true(i < 3000 || !knows(&memo, i));
    }
    assert_in_range(known, 2900, 3000);
    shr_memo_begin(&memo, 1);
    assert_true(knows(&memo, 7));
    shr_memo_begin(&memo, 2);
    for (uint32_t i = 0; i < 3000; i++) {
        assert_false(knows(&memo, i));
    }
    add(&memo, 7);
    assert_true(knows(&memo, 7));
    shr_memo_free(&memo);
}

/* Keys without a byte, and entries around the largest kept. */
static void odd_sizes(void **state) {
    static uint8_t bytes[5000];
    struct shr_memo memo = {0};
    struct shr_bytes none = shr_bytes(bytes, 0), value = shr_bytes(bytes, 4096), found = {0};
    shr_memo_begin(&memo, 1);
    shr_memo_add(&memo, none, shr_memo_hash(none), &value);
    assert_true(shr_memo_get(&memo, &none, shr_memo_hash(none), &found));
    assert_int_equal(found.len, 4096);
    for (size_t len = 1; len < 40; len++) {
        struct shr_bytes key = shr_bytes(bytes, len), own = key;
        value = shr_bytes(bytes, 4096 - len + (len % 2));
        shr_memo_add(&memo, key, shr_memo_hash(key), &value);
        assert_int_equal(shr_memo_get(&memo, &own, shr_memo_hash(key), &found), len % 2 == 0);
    }
    shr_memo_free(&memo);
}

/* It stays within its bound; full, it goes on while it is of use and is given up when it is not. */
static void it_is_bounded(void **state) {
    struct shr_memo memo = {0};
    shr_memo_begin(&memo, 1);
    for (uint32_t i = 0; i < 20000; i++) {
        add(&memo, i);
        assert_true(knows(&memo, 1) || i == 0);
        assert_in_range(shr_memo_bytes(&memo), 0, SHR_MEMO_BYTES_MAX * 3 / 2);
    }
    assert_false(memo.useless);
    for (uint32_t i = 20000; i < 40000; i++) {
        add(&memo, i);
    }
    assert_true(memo.useless);
    assert_int_equal(shr_memo_bytes(&memo), 0);
    assert_false(knows(&memo, 1));
    shr_memo_begin(&memo, 2);
    assert_false(memo.useless);
    shr_memo_free(&memo);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_knows_what_it_was_told),
        cmocka_unit_test(odd_sizes),
        cmocka_unit_test(it_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
