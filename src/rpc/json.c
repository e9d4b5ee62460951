#include "rpc/json.h"

#include "base/alloc.h"
#include "base/endian.h"

#include <stdlib.h>
#include <string.h>

struct parser {
    struct shr_json *json;
    const uint8_t *text;
    uint32_t at, len;
    uint32_t depth;
    struct shrewd_error *err;
};

static int parse_value(struct parser *parser);

/* Bytes of the valid UTF-8 sequence at `at`; 0 when there is none. */
static size_t utf8_length(const uint8_t *at, size_t left) {
    uint8_t first = at[0];
    if (first < 0x80) {
        return 1;
    }
    size_t len = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || left < len) {
        return 0;
    }
    for (size_t i = 1; i < len; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (first == 0xe0 && at[1] < 0xa0) || (first == 0xf0 && at[1] < 0x90);
    bool surrogate = first == 0xed && at[1] > 0x9f;
    bool too_big = first == 0xf4 && at[1] > 0x8f;
    return overlong || surrogate || too_big ? 0 : len;
}

static int fail(const struct parser *parser, const char *expected) {
    if (parser->at >= parser->len) {
        return shr_fail(parser->err, SHREWD_INVALID,
                        "the text ends at byte %u, where %s was expected", parser->at, expected);
    }
    uint8_t got = parser->text[parser->at];
    if (got > 0x20 && got < 0x7f) {
        return shr_fail(parser->err, SHREWD_INVALID, "byte %u is '%c', where %s was expected",
                        parser->at, got, expected);
    }
    return shr_fail(parser->err, SHREWD_INVALID, "byte %u is 0x%02x, where %s was expected",
                    parser->at, got, expected);
}

static void skip_space(struct parser *parser) {
    while (parser->at < parser->len) {
        uint8_t c = parser->text[parser->at];
        if (c != ' ' && c != '\n' && c != '\r' && c != '\t') {
            return;
        }
        parser->at++;
    }
}

static bool next_is(const struct parser *parser, char c) {
    return parser->at < parser->len && parser->text[parser->at] == (uint8_t)c;
}

static bool take(struct parser *parser, char c) {
    bool found = next_is(parser, c);
    parser->at += found;
    return found;
}

/* The index of a new value that starts here; SHR_JSON_NONE when there are too many. */
static uint32_t add_value(struct parser *parser, enum shr_json_type type) {
    struct shr_json *json = parser->json;
    if (json->n >= SHR_JSON_VALUES_MAX) {
        shr_fail(parser->err, SHREWD_LIMIT, "more than %u values in one body", SHR_JSON_VALUES_MAX);
        return SHR_JSON_NONE;
    }
    if (json->n == json->cap) {
        json->cap = json->cap == 0 ? 16 : json->cap * 2;
        json->values = shr_realloc_array(json->values, json->cap, sizeof *json->values);
    }
    json->values[json->n] = (struct shr_json_value){.start = parser->at, .type = (uint8_t)type};
    return json->n++;
}

static void end_value(struct parser *parser, uint32_t value) {
    parser->json->values[value].end = parser->at;
    parser->json->values[value].next = parser->json->n;
}

static int parse_word(struct parser *parser, const char *word, enum shr_json_type type) {
    size_t len = strlen(word);
    if (parser->len - parser->at < len || memcmp(parser->text + parser->at, word, len) != 0) {
        return fail(parser, "a JSON value");
    }
    uint32_t value = add_value(parser, type);
    if (value == SHR_JSON_NONE) {
        return SHREWD_LIMIT;
    }
    parser->at += (uint32_t)len;
    end_value(parser, value);
    return 0;
}

static bool take_digits(struct parser *parser) {
    uint32_t from = parser->at;
    while (parser->at < parser->len && parser->text[parser->at] >= '0' &&
           parser->text[parser->at] <= '9') {
        parser->at++;
    }
    return parser->at > from;
}

static int parse_number(struct parser *parser) {
    uint32_t value = add_value(parser, SHR_JSON_NUMBER);
    if (value == SHR_JSON_NONE) {
        return SHREWD_LIMIT;
    }
    take(parser, '-');
    if (!take(parser, '0') && !take_digits(parser)) {
        return fail(parser, "a digit");
    }
    if (take(parser, '.') && !take_digits(parser)) {
        return fail(parser, "a digit");
    }
    if (take(parser, 'e') || take(parser, 'E')) {
        if (!take(parser, '+')) {
            take(parser, '-');
        }
        if (!take_digits(parser)) {
            return fail(parser, "a digit");
        }
    }
    end_value(parser, value);
    return 0;
}

/* True when none of eight bytes is a quote, a backslash, a control or beyond ASCII: hex inputs of
 * megabytes pass through here. */
static bool eight_plain(const uint8_t *at) {
    const uint64_t ones = 0x0101010101010101u;
    const uint64_t tops = 0x8080808080808080u;
    uint64_t word = shr_get_le64(at);
    uint64_t quote = word ^ (ones * '"');
    uint64_t slash = word ^ (ones * '\\');
    uint64_t odd = (word - ones * 0x20) | ((quote - ones) & ~quote) | ((slash - ones) & ~slash);
    return ((word | odd) & tops) == 0;
}

static int hex_digit(uint8_t c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int parse_escape(struct parser *parser) {
    parser->at++;
    if (parser->at >= parser->len || parser->text[parser->at] == 0 ||
        strchr("\"\\/bfnrtu", parser->text[parser->at]) == NULL) {
        return fail(parser, "an escape such as \\n or \\u0041");
    }
    bool unicode = parser->text[parser->at] == 'u';
    parser->at++;
    for (int i = 0; unicode && i < 4; i++, parser->at++) {
        if (parser->at >= parser->len || hex_digit(parser->text[parser->at]) < 0) {
            return fail(parser, "a hex digit of a \\u escape");
        }
    }
    return 0;
}

static int parse_string(struct parser *parser) {
    uint32_t value = add_value(parser, SHR_JSON_STRING);
    if (value == SHR_JSON_NONE) {
        return SHREWD_LIMIT;
    }
    parser->at++;
    while (!next_is(parser, '"')) {
        if (parser->len - parser->at >= 8 && eight_plain(parser->text + parser->at)) {
            parser->at += 8;
            continue;
        }
        if (parser->at >= parser->len || parser->text[parser->at] < 0x20) {
            return fail(parser, "the rest of a string");
        }
        if (parser->text[parser->at] == '\\') {
            parser->json->values[value].escaped = true;
            if (parse_escape(parser) != 0) {
                return SHREWD_INVALID;
            }
            continue;
        }
        size_t len = utf8_length(parser->text + parser->at, parser->len - parser->at);
        if (len == 0) {
            return fail(parser, "valid UTF-8");
        }
        parser->at += (uint32_t)len;
    }
    parser->at++;
    end_value(parser, value);
    return 0;
}

static int parse_member(struct parser *parser) {
    if (!next_is(parser, '"')) {
        return fail(parser, "a member's name in quotes");
    }
    int rc = parse_string(parser);
    if (rc != 0) {
        return rc;
    }
    skip_space(parser);
    if (!take(parser, ':')) {
        return fail(parser, "':'");
    }
    return parse_value(parser);
}

static int parse_container(struct parser *parser, enum shr_json_type type) {
    char close = type == SHR_JSON_ARRAY ? ']' : '}';
    if (++parser->depth > SHR_JSON_DEPTH_MAX) {
        return shr_fail(parser->err, SHREWD_LIMIT, "byte %u: nested deeper than %u levels",
                        parser->at, SHR_JSON_DEPTH_MAX);
    }
    uint32_t value = add_value(parser, type);
    if (value == SHR_JSON_NONE) {
        return SHREWD_LIMIT;
    }
    parser->at++;
    skip_space(parser);
    while (!next_is(parser, close)) {
        if (parser->json->values[value].n > 0) {
            if (!take(parser, ',')) {
                return fail(parser, type == SHR_JSON_ARRAY ? "',' or ']'" : "',' or '}'");
            }
            skip_space(parser);
        }
        int rc = type == SHR_JSON_ARRAY ? parse_value(parser) : parse_member(parser);
        if (rc != 0) {
            return rc;
        }
        parser->json->values[value].n++;
        skip_space(parser);
    }
    parser->at++;
    parser->depth--;
    end_value(parser, value);
    return 0;
}

/* Recursion is bounded by SHR_JSON_DEPTH_MAX. */
static int parse_value(struct parser *parser) {
    skip_space(parser);
    uint8_t first = parser->at < parser->len ? parser->text[parser->at] : 0;
    switch (first) {
    case '{':
        return parse_container(parser, SHR_JSON_OBJECT);
    case '[':
        return parse_container(parser, SHR_JSON_ARRAY);
    case '"':
        return parse_string(parser);
    case 't':
        return parse_word(parser, "true", SHR_JSON_BOOL);
    case 'f':
        return parse_word(parser, "false", SHR_JSON_BOOL);
    case 'n':
        return parse_word(parser, "null", SHR_JSON_NULL);
    default:
        if (first == '-' || (first >= '0' && first <= '9')) {
            return parse_number(parser);
        }
        return fail(parser, "a JSON value");
    }
}

int shr_json_parse(struct shr_json *out, struct shr_bytes text, struct shrewd_error *err) {
    *out = (struct shr_json){.text = text};
    if (text.len > SHR_JSON_TEXT_MAX) {
        return shr_fail(err, SHREWD_LIMIT, "a text of %zu bytes; at most %u are read", text.len,
                        SHR_JSON_TEXT_MAX);
    }
    struct parser parser = {.json = out, .text = text.data, .len = (uint32_t)text.len, .err = err};
    int rc = parse_value(&parser);
    if (rc != 0) {
        return rc;
    }
    skip_space(&parser);
    return parser.at == parser.len ? 0 : fail(&parser, "the end");
}

void shr_json_free(struct shr_json *json) {
    free(json->values);
    *json = (struct shr_json){0};
}

struct shr_bytes shr_json_raw(const struct shr_json *json, uint32_t value) {
    const struct shr_json_value *at = &json->values[value];
    return shr_bytes(json->text.data + at->start, at->end - at->start);
}

static void add_utf8(struct shr_buf *out, uint32_t code) {
    if (code < 0x80) {
        shr_buf_add_u8(out, (uint8_t)code);
    } else if (code < 0x800) {
        shr_buf_add_u8(out, (uint8_t)(0xc0 | code >> 6));
        shr_buf_add_u8(out, (uint8_t)(0x80 | (code & 0x3f)));
    } else if (code < 0x10000) {
        shr_buf_add_u8(out, (uint8_t)(0xe0 | code >> 12));
        shr_buf_add_u8(out, (uint8_t)(0x80 | (code >> 6 & 0x3f)));
        shr_buf_add_u8(out, (uint8_t)(0x80 | (code & 0x3f)));
    } else {
        shr_buf_add_u8(out, (uint8_t)(0xf0 | code >> 18));
        shr_buf_add_u8(out, (uint8_t)(0x80 | (code >> 12 & 0x3f)));
        shr_buf_add_u8(out, (uint8_t)(0x80 | (code >> 6 & 0x3f)));
        shr_buf_add_u8(out, (uint8_t)(0x80 | (code & 0x3f)));
    }
}

/* The four digits after "\u", which the parser has checked. */
static uint32_t unit_at(const uint8_t *digits) {
    uint32_t unit = 0;
    for (int i = 0; i < 4; i++) {
        unit = unit << 4 | (uint32_t)hex_digit(digits[i]);
    }
    return unit;
}

/* Decodes the escape at text[at] ('\\'); returns where the text goes on. */
static size_t decode_escape(struct shr_buf *out, struct shr_bytes text, size_t at) {
    static const char letters[] = "bfnrt", meant[] = "\b\f\n\r\t";
    uint8_t kind = text.data[at + 1];
    if (kind != 'u') {
        const char *letter = strchr(letters, kind);
        shr_buf_add_u8(out, letter != NULL ? (uint8_t)meant[letter - letters] : kind);
        return at + 2;
    }
    uint32_t unit = unit_at(text.data + at + 2);
    at += 6;
    if (unit >= 0xd800 && unit < 0xdc00 && text.len - at >= 6 && text.data[at] == '\\' &&
        text.data[at + 1] == 'u') {
        uint32_t low = unit_at(text.data + at + 2);
        if (low >= 0xdc00 && low < 0xe000) {
            add_utf8(out, 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00));
            return at + 6;
        }
    }
    add_utf8(out, unit >= 0xd800 && unit < 0xe000 ? 0xfffd : unit);
    return at;
}

struct shr_bytes shr_json_text(const struct shr_json *json, uint32_t value,
                               struct shr_buf *scratch) {
    struct shr_bytes raw = shr_json_raw(json, value);
    struct shr_bytes inner = shr_bytes(raw.data + 1, raw.len - 2);
    if (!json->values[value].escaped) {
        return inner;
    }
    shr_buf_clear(scratch);
    for (size_t at = 0; at < inner.len;) {
        if (inner.data[at] == '\\') {
            at = decode_escape(scratch, inner, at);
        } else {
            shr_buf_add_u8(scratch, inner.data[at++]);
        }
    }
    return shr_buf_bytes(scratch);
}

const char *shr_json_type_name(const struct shr_json *json, uint32_t value) {
    static const char *const names[] = {"null",     "a boolean", "a number",
                                        "a string", "an array",  "an object"};
    return names[json->values[value].type];
}

void shr_json_write_string(struct shr_buf *out, struct shr_bytes text) {
    shr_buf_add_u8(out, '"');
    for (size_t at = 0; at < text.len;) {
        uint8_t c = text.data[at];
        size_t len = utf8_length(text.data + at, text.len - at);
        if (len == 0) {
            shr_buf_add_str(out, "\xef\xbf\xbd");
            at++;
            continue;
        }
        if (c == '"' || c == '\\') {
            shr_buf_add_u8(out, '\\');
            shr_buf_add_u8(out, c);
        } else if (c < 0x20 || c == 0x7f) {
            shr_buf_printf(out, "\\u%04x", c);
        } else {
            shr_buf_append(out, text.data + at, len);
        }
        at += len;
    }
    shr_buf_add_u8(out, '"');
}
