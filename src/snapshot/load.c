#include "snapshot/load.h"

#include "base/alloc.h"
#include "base/hex.h"
#include "state/found.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES (2 * ((size_t)SHR_KEY_MAX + SHR_VALUE_MAX) + 64)

/* Digits up to `end`, which is taken off too; false when they are not hex, or there is no end. */
static bool take_hex(struct shr_buf *out, struct shr_bytes *line, const char *end) {
    const char *text = (const char *)line->data;
    size_t end_len = strlen(end), digits = 0;
    while (digits < line->len && text[digits] != end[0]) {
        digits++;
    }
    shr_buf_clear(out);
    bool prefixed = digits > 1 && (text[1] | 0x20) == 'x'; /* the decoder would pass over it */
    bool ends = line->len - digits >= end_len && memcmp(text + digits, end, end_len) == 0;
    if (!ends || prefixed || (digits > 0 && !shr_hex_decode(out, text, digits, NULL))) {
        return false;
    }
    *line = shr_bytes(line->data + digits + end_len, line->len - digits - end_len);
    return true;
}

static bool take_text(struct shr_bytes *line, const char *text) {
    struct shr_bytes want = shr_bytes_str(text);
    if (!shr_bytes_starts(*line, want)) {
        return false;
    }
    *line = shr_bytes(line->data + want.len, line->len - want.len);
    return true;
}

const char *shr_dump_line(struct shr_buf *key, struct shr_buf *value, struct shr_bytes line) {
    if (line.len == 0) {
        return "it is empty";
    }
    if (line.data[0] == '{') {
        bool good = take_text(&line, "{\"key\":\"0x") && take_hex(key, &line, "\"") &&
                    take_text(&line, ",\"value\":\"0x") && take_hex(value, &line, "\"") &&
                    take_text(&line, "}") && line.len == 0;
        return good ? NULL : "expected {\"key\":\"0x..\",\"value\":\"0x..\"}";
    }
    if (!take_hex(key, &line, " ")) {
        return "expected a key in hex, one space, and a value in hex";
    }
    shr_buf_clear(value);
    bool prefixed = line.len > 1 && (line.data[1] | 0x20) == 'x';
    bool good = line.len == 0 ||
                (!prefixed && shr_hex_decode(value, (const char *)line.data, line.len, NULL));
    return good ? NULL : "the value is not hex";
}

static int wrong_line(const struct shr_load *load, uint64_t number, const char *what,
                      struct shrewd_error *err) {
    return shr_fail(err, SHREWD_INVALID, "'%s' line %" PRIu64 ": %s", load->name, number, what);
}

/* What is read, line by line. */
struct reading {
    struct shr_found *found;
    struct shr_block_record block; /* counts what is in it */
    struct shr_buf key, value, before;
};

/* One line, as it was read. */
static int take_line(const struct shr_load *load, struct reading *in, struct shr_bytes line,
                     uint64_t number, struct shrewd_error *err) {
    if (line.len == 0 || line.data[line.len - 1] != '\n') {
        return wrong_line(load, number, "it does not end: the dump was cut short", err);
    }
    const char *wrong =
        line.len > LINE_MAX_BYTES
            ? "it is too long"
            : shr_dump_line(&in->key, &in->value, shr_bytes(line.data, line.len - 1));
    struct shr_bytes key = shr_buf_bytes(&in->key), value = shr_buf_bytes(&in->value);
    if (wrong == NULL && number > 1 && shr_bytes_cmp(shr_buf_bytes(&in->before), key) >= 0) {
        wrong = "its key does not come after the one before, as in a dump";
    }
    if (wrong != NULL) {
        return wrong_line(load, number, wrong, err);
    }
    shr_buf_set(&in->before, key);
    in->block.n_keys++;
    in->block.key_bytes += key.len;
    in->block.value_bytes += value.len;
    int code = shr_found_put(in->found, key, value, err);
    return code == SHREWD_LIMIT ? shr_fail_in(err, code, "'%s' line %" PRIu64, load->name, number)
                                : code;
}

static int read_lines(const struct shr_load *load, struct reading *in, struct shrewd_error *err) {
    char *line = NULL;
    size_t room = 0;
    ssize_t len;
    int code = 0;
    for (uint64_t number = 1; code == 0; number++) {
        errno = 0;
        len = getline(&line, &room, load->from);
        if (len < 0) {
            break;
        }
        code = take_line(load, in, shr_bytes(line, (size_t)len), number, err);
    }
    if (code == 0 && !feof(load->from)) {
        code = shr_fail_errno(err, SHREWD_IO, "cannot read '%s'", load->name);
    }
    free(line);
    return code;
}

static int check_root(const struct shr_load *load, struct shrewd_error *err) {
    char want[SHR_HASH_HEX_LEN + 1], got[SHR_HASH_HEX_LEN + 1];
    if (load->root == NULL || shr_hash_eq(load->root, &load->loaded.root)) {
        return 0;
    }
    shr_hex_write(want, shr_bytes(load->root->b, sizeof load->root->b));
    shr_hex_write(got, shr_bytes(load->loaded.root.b, sizeof load->loaded.root.b));
    return shr_fail(err, SHREWD_MISMATCH,
                    "'%s' has the state root %s, where %s is expected: it is the dump of another "
                    "state, or not whole",
                    load->name, got, want);
}

int shr_load_dump(struct shr_load *load, struct shr_state *state, struct shrewd_error *err) {
    struct reading in = {.block = {.height = load->height, .hash = load->hash}};
    int code =
        shr_found_begin(&in.found, state, load->height, load->scratch, SHR_FOUND_MEMORY, err);
    code = code != 0 ? code : read_lines(load, &in, err);
    in.block.total_keys = in.block.n_keys;
    code = code != 0 ? code : shr_found_block(in.found, &in.block, err);
    code = code != 0 ? code : shr_found_end(in.found, &load->loaded, err);
    shr_found_free(in.found);
    shr_buf_free(&in.before);
    shr_buf_free(&in.value);
    shr_buf_free(&in.key);
    return code != 0 ? code : check_root(load, err);
}
