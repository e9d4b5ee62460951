/* state_help.h: what the tests of src/state share: temporary folders, seeded randomness, bytes. */
#ifndef SHR_TEST_STATE_HELP_H
#define SHR_TEST_STATE_HELP_H

#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define TEXT(text) shr_bytes(text, sizeof(text) - 1)
#define NO_BYTES shr_bytes(NULL, 0)

/* Steps of a random test: fewer under ThreadSanitizer, where they take ten times as long and it has
 * nothing to say of what one thread does. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define STEPS(n) ((n) / 10)
#endif
#endif
#ifndef STEPS
#define STEPS(n) (n)
#endif

/* splitmix64: the same steps on every run. */
struct rng {
    uint64_t state;
};
static inline uint64_t rng_next(struct rng *rng) {
    uint64_t z = rng->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}
static inline uint32_t rng_below(struct rng *rng, uint32_t n) {
    return (uint32_t)(rng_next(rng) % n);
}

/* Short keys out of few bytes, so that they collide and are prefixes of each other. */
static inline void rng_key(struct rng *rng, struct shr_buf *out) {
    static const uint8_t alphabet[] = {0x00, 0x01, 'a', 'b', 0xff};
    uint32_t len = rng_below(rng, 5);
    shr_buf_clear(out);
    while (len-- > 0) {
        shr_buf_add_u8(out, alphabet[rng_below(rng, sizeof alphabet)]);
    }
}

static inline void rng_value(struct rng *rng, struct shr_buf *out) {
    uint32_t len = rng_below(rng, 8) == 0 ? rng_below(rng, 3000) : rng_below(rng, 12);
    shr_buf_clear(out);
    while (len-- > 0) {
        shr_buf_add_u8(out, (uint8_t)rng_next(rng));
    }
}

static inline char *make_dir(void) {
    char path[] = "/tmp/shrewd-test-XXXXXX";
    assert_non_null(mkdtemp(path));
    return shr_strdup(path);
}

/* Removes a folder of plain files, and frees the path. */
static inline void remove_dir(char *path) {
    DIR *dir = opendir(path);
    if (dir != NULL) {
        for (struct dirent *item; (item = readdir(dir)) != NULL;) {
            unlinkat(dirfd(dir), item->d_name, 0);
        }
        closedir(dir);
    }
    rmdir(path);
    free(path);
}

#define assert_ok(call)                                                                            \
    do {                                                                                           \
        struct shrewd_error *ok_err_ = &(struct shrewd_error){0};                                  \
        struct shrewd_error *err = ok_err_;                                                        \
        int ok_code_ = (call);                                                                     \
        if (ok_code_ != 0) {                                                                       \
            fail_msg("%s: %d: %s", #call, ok_code_, ok_err_->message);                             \
        }                                                                                          \
    } while (0)

/* The call, which uses a variable `err`, fails with this code and its message holds `text`. */
#define assert_fails(call, wanted, text)                                                           \
    do {                                                                                           \
        struct shrewd_error *bad_err_ = &(struct shrewd_error){0};                                 \
        struct shrewd_error *err = bad_err_;                                                       \
        int bad_code_ = (call);                                                                    \
        if (bad_code_ != (wanted) || bad_err_->code != (wanted)) {                                 \
            fail_msg("%s: %d instead of %d: %s", #call, bad_code_, (wanted), bad_err_->message);   \
        }                                                                                          \
        if (strstr(bad_err_->message, (text)) == NULL) {                                           \
            fail_msg("%s: '%s' is not in '%s'", #call, (text), bad_err_->message);                 \
        }                                                                                          \
    } while (0)

static inline void assert_bytes(struct shr_bytes got, struct shr_bytes want) {
    assert_int_equal(got.len, want.len);
    if (want.len > 0) {
        assert_memory_equal(got.data, want.data, want.len);
    }
}

#endif
