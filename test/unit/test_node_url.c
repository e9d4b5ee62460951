/* The node's URL in every form operators write it, and what of it may be shown. */
#include "node/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

struct good {
    const char *text;
    const char *origin;
    const char *rpc_path;
    const char *root;
    const char *user; /* NULL: none */
    const char *password;
    const char *shown;
};

static const struct good good_urls[] = {
    {"http://127.0.0.1:8332", "http://127.0.0.1:8332", "/", "", NULL, NULL,
     "http://127.0.0.1:8332"},
    {"http://bob:secret@node:18443/", "http://node:18443", "/", "", "bob", "secret",
     "http://node:18443/"},
    {"HTTPS://node", "https://node:443", "/", "", NULL, NULL, "https://node:443"},
    {"http://node", "http://node:80", "/", "", NULL, NULL, "http://node:80"},
    {"node:18443", "http://node:18443", "/", "", NULL, NULL, "http://node:18443"},
    {"node", "http://node:8332", "/", "", NULL, NULL, "http://node:8332"},
    {"bob:secret@node:1", "http://node:1", "/", "", "bob", "secret", "http://node:1"},
    {"http://b%40b:s%3Ae%2fc%25@node:1", "http://node:1", "/", "", "b@b", "s:e/c%",
     "http://node:1"},
    {"http://bob:p@ss@node:1", "http://node:1", "/", "", "bob", "p@ss", "http://node:1"},
    {"http://bob:a:b@node:1", "http://node:1", "/", "", "bob", "a:b", "http://node:1"},
    {"http://bob@node:1", "http://node:1", "/", "", "bob", "", "http://node:1"},
    {"http://node:1/wallet/main", "http://node:1", "/wallet/main", "", NULL, NULL,
     "http://node:1/wallet/main"},
    {"https://host/btc/wallet/w", "https://host:443", "/btc/wallet/w", "/btc", NULL, NULL,
     "https://host:443/btc/wallet/w"},
    {"https://host/btc/", "https://host:443", "/btc/", "/btc", NULL, NULL, "https://host:443/btc/"},
    {"http://[::1]:8332", "http://[::1]:8332", "/", "", NULL, NULL, "http://[::1]:8332"},
    {"[::1]", "http://[::1]:8332", "/", "", NULL, NULL, "http://[::1]:8332"},
    {"http://ssh:pw@node:1", "http://node:1", "/", "", "ssh", "pw", "http://node:1"},
    {"sshnode:8332", "http://sshnode:8332", "/", "", NULL, NULL, "http://sshnode:8332"},
};

static void assert_same(const char *got, const char *want) {
    if (want == NULL) {
        assert_null(got);
    } else {
        assert_string_equal(got, want);
    }
}

static void reads_good_urls(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof good_urls / sizeof good_urls[0]; i++) {
        const struct good *good = &good_urls[i];
        struct shr_node_url url;
        struct shrewd_error err = {0};
        print_message("  %s\n", good->text);
        assert_int_equal(shr_node_url_parse(&url, good->text, &err), 0);
        assert_same(url.origin, good->origin);
        assert_same(url.rpc_path, good->rpc_path);
        assert_same(url.root, good->root);
        assert_same(url.user, good->user);
        assert_same(url.password, good->password);
        assert_same(url.shown, good->shown);
        shr_node_url_free(&url);
        assert_null(url.origin);
    }
}

static const struct {
    const char *text;
    int code;
    const char *says;
} bad_urls[] = {
    {"", SHREWD_INVALID, "empty"},
    {"http://", SHREWD_INVALID, "no host"},
    {"http:///path", SHREWD_INVALID, "no host"},
    {"http://node:", SHREWD_INVALID, "port"},
    {"http://node:0", SHREWD_INVALID, "port"},
    {"http://node:65536", SHREWD_INVALID, "port"},
    {"http://node:8332x", SHREWD_INVALID, "port"},
    {"http://node:184467440737095516161", SHREWD_INVALID, "port"},
    {"http://[::1:8332", SHREWD_INVALID, "not closed"},
    {"http://[::1]8332", SHREWD_INVALID, "port"},
    {"ftp://node:1", SHREWD_INVALID, "http://"},
    {"http://node:1/?x=1", SHREWD_INVALID, "query"},
    {"http://node:1/#x", SHREWD_INVALID, "query"},
    {"http://no de:1", SHREWD_INVALID, "blanks"},
    {"http://node:1\r\nX: y", SHREWD_INVALID, "blanks"},
    {"http://SECRET%4:SECRET@node:1", SHREWD_INVALID, "hex digits"},
    {"http://bob:SECRET%00@node:1", SHREWD_INVALID, "hex digits"},
    {"http://bob:SECRET%@node:1", SHREWD_INVALID, "hex digits"},
    {"http://:SECRET@node:1", SHREWD_INVALID, "user"},
    {"http://bob:SEC/RET@node:1", SHREWD_INVALID, "%2F"},
    {"ssh://bob@node", SHREWD_UNSUPPORTED, "ssh -N -L"},
    {"ssh2+http://bob:SECRET@node:22/localhost:8332", SHREWD_UNSUPPORTED, "ssh -N -L"},
    {"ssh+https://node", SHREWD_UNSUPPORTED, "ssh -N -L"},
    {"bob@node", SHREWD_UNSUPPORTED, "ssh -N -L"},
    {"bob@node:2222", SHREWD_UNSUPPORTED, "ssh -N -L"},
};

static void refuses_bad_urls_without_showing_secrets(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bad_urls / sizeof bad_urls[0]; i++) {
        struct shr_node_url url;
        struct shrewd_error err = {0};
        print_message("  %s\n", bad_urls[i].text);
        assert_int_equal(shr_node_url_parse(&url, bad_urls[i].text, &err), bad_urls[i].code);
        assert_int_equal(err.code, bad_urls[i].code);
        assert_non_null(strstr(err.message, bad_urls[i].says));
        assert_null(strstr(err.message, "SEC"));
        assert_null(strstr(err.message, "RET"));
        assert_null(url.origin);
        assert_null(url.password);
    }
}

static void refuses_overlong_urls(void **state) {
    (void)state;
    char text[8192];
    struct shr_node_url url;
    struct shrewd_error err = {0};
    memset(text, 'a', sizeof text);
    memcpy(text, "http://", 7);
    text[sizeof text - 1] = 0;
    assert_int_equal(shr_node_url_parse(&url, text, &err), SHREWD_INVALID);
    assert_int_equal(shr_node_url_parse(&url, text, NULL), SHREWD_INVALID);
}

static void splits_credentials_at_the_first_colon(void **state) {
    (void)state;
    char *user;
    char *password;
    assert_true(shr_split_auth(&user, &password, "__cookie__:a:b"));
    assert_string_equal(user, "__cookie__");
    assert_string_equal(password, "a:b");
    free(user);
    shr_free_secret(password);
    assert_true(shr_split_auth(&user, &password, "bob:"));
    assert_string_equal(password, "");
    free(user);
    shr_free_secret(password);
    assert_false(shr_split_auth(&user, &password, "bob"));
    assert_false(shr_split_auth(&user, &password, ":secret"));
    assert_false(shr_split_auth(&user, &password, ""));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_good_urls),
        cmocka_unit_test(refuses_bad_urls_without_showing_secrets),
        cmocka_unit_test(refuses_overlong_urls),
        cmocka_unit_test(splits_credentials_at_the_first_colon),
    };
    return cmocka_run_group_tests_name("node_url", tests, NULL, NULL);
}
