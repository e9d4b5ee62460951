#include "cli/database.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/hex.h"

#include <ctype.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_FILE_MAX ((size_t)64 << 20) /* bytes */
#define STACK_BYTES ((size_t)16 << 20)
#define HEADER_DIGITS 160 /* no shorter hex text is a block */

int shr_database_open(struct shrewd **out, const struct shr_config *config, unsigned flags,
                      bool guest, struct shrewd_error *err) {
    /* Told apart here from a database that is not there. */
    if (guest && access(config->indexer, R_OK) != 0) {
        return shr_fail_errno(err, SHREWD_MODULE, "--indexer: cannot open '%s'", config->indexer);
    }
    char *dir = shr_config_db_dir(config);
    struct shrewd_options options = {
        .flags = flags | (config->accept_module ? SHREWD_ACCEPT_MODULE : 0),
        .db_path = dir,
        .module_path = guest ? config->indexer : NULL,
        .cache_path = config->cache_dir,
        .fork_path = config->fork,
        .cache_bytes = (size_t)config->cache_mb << 20,
        .read_cache_bytes = (size_t)config->read_cache_mb << 20,
        .read_cache_off = config->read_cache_mb == 0,
    };
    shr_config_views(&options.views, config);
    int code = shrewd_open(out, &options, err);
    free(dir);
    return code;
}

struct call {
    int (*fn)(void *ctx);
    void *ctx;
    int result;
};

static void *on_thread(void *arg) {
    struct call *call = arg;
    call->result = call->fn(call->ctx);
    return NULL;
}

int shr_on_guest_stack(int (*fn)(void *ctx), void *ctx, struct shrewd_error *err) {
    struct call call = {.fn = fn, .ctx = ctx};
    pthread_attr_t attr;
    pthread_t thread;
    pthread_attr_init(&attr);
    int failed = pthread_attr_setstacksize(&attr, STACK_BYTES);
    failed = failed != 0 ? failed : pthread_create(&thread, &attr, on_thread, &call);
    pthread_attr_destroy(&attr);
    if (failed != 0) {
        return shr_fail(err, SHREWD_NO_MEMORY, "cannot start a thread: %s", strerror(failed));
    }
    pthread_join(thread, NULL);
    return call.result;
}

int shr_read_hex(struct shr_buf *out, const char *text, const char *what,
                 struct shrewd_error *err) {
    size_t len = strlen(text);
    size_t bad_at = 0;
    if (shr_hex_decode(out, text, len, &bad_at)) {
        return 0;
    }
    if (bad_at >= len) {
        return shr_fail(err, SHREWD_INVALID, "%s: the hex has an odd number of digits", what);
    }
    struct shr_buf shown = {0};
    shr_escape(&shown, shr_bytes(text + bad_at, 1));
    int code = shr_fail(err, SHREWD_INVALID, "%s: character %zu ('%s') is not a hex digit", what,
                        bad_at + 1, shr_buf_cstr(&shown));
    shr_buf_free(&shown);
    return code;
}

int shr_read_root(uint8_t root[32], const char *text, const char *what, struct shrewd_error *err) {
    struct shr_buf bytes = {0};
    int code = shr_read_hex(&bytes, text, what, err);
    if (code == 0 && bytes.len != 32) {
        code = shr_fail(err, SHREWD_INVALID, "%s: a root has 32 bytes, not %zu", what, bytes.len);
    }
    if (code == 0) {
        memcpy(root, bytes.data, 32);
    }
    shr_buf_free(&bytes);
    return code;
}

int shr_read_prefix(struct shr_buf *out, const char *text, struct shrewd_error *err) {
    if (text == NULL) {
        return 0;
    }
    if (text[0] == '0' && (text[1] | 0x20) == 'x') {
        return shr_read_hex(out, text, "--prefix", err);
    }
    shr_buf_add_str(out, text);
    return 0;
}

/* Whether the bytes can only be meant as hex text; *len leaves out space at the end. */
static bool is_hex_text(struct shr_bytes bytes, size_t *len) {
    *len = bytes.len;
    while (*len > 0 && isspace(bytes.data[*len - 1])) {
        (*len)--;
    }
    size_t i = *len > 2 && bytes.data[0] == '0' && (bytes.data[1] | 0x20) == 'x' ? 2 : 0;
    bool long_enough = *len >= i + HEADER_DIGITS;
    while (i < *len && isxdigit(bytes.data[i])) {
        i++;
    }
    return long_enough && i == *len;
}

int shr_read_block(struct shr_buf *out, const char *arg, struct shrewd_error *err) {
    size_t len = 0;
    bool prefixed = arg[0] == '0' && (arg[1] | 0x20) == 'x';
    bool literal = is_hex_text(shr_bytes(arg, strlen(arg)), &len);
    if (literal || (prefixed && access(arg, F_OK) != 0)) {
        return shr_read_hex(out, arg, "BLOCK", err);
    }
    struct shr_buf raw = {0};
    const char *path = strcmp(arg, "-") == 0 ? "/dev/stdin" : arg;
    int code = shr_file_read(&raw, path, BLOCK_FILE_MAX, err);
    if (code == SHREWD_NOT_FOUND) {
        code = shr_fail_in(err, SHREWD_INVALID, "BLOCK is neither hex nor a file");
    }
    if (code == 0 && raw.len == 0) {
        code = shr_fail(err, SHREWD_INVALID, "BLOCK: '%s' is empty", path);
    }
    if (code != 0) {
        goto out;
    }
    if (!is_hex_text(shr_buf_bytes(&raw), &len)) {
        shr_buf_add(out, shr_buf_bytes(&raw));
    } else if (!shr_hex_decode(out, (const char *)raw.data, len, NULL)) {
        code = shr_fail(err, SHREWD_INVALID, "BLOCK: '%s' has an odd number of hex digits", path);
    }
out:
    shr_buf_free(&raw);
    return code;
}
