/* json.h: reading and writing JSON (RFC 8259) for the server, on text that stays where it is.
 *
 * Why not a general library: a request's id is sent back exactly as it came (big integers, 1.0,
 * escapes), a height is judged by how it is written, and 8 MB of hex is not copied. Parsing is
 * strict: valid UTF-8 only, nothing after the value, bounded depth and number of values. Of equal
 * keys in an object the last one counts.
 *
 * Pure functions; no global state.
 */
#ifndef SHR_RPC_JSON_H
#define SHR_RPC_JSON_H

#include "base/buf.h"
#include "base/error.h"

#define SHR_JSON_DEPTH_MAX 100u      /* nested arrays and objects */
#define SHR_JSON_VALUES_MAX 1000000u /* values in one text, keys included */
#define SHR_JSON_TEXT_MAX (1u << 30) /* bytes */
#define SHR_JSON_NONE UINT32_MAX     /* "no such value", where an index is meant */

enum shr_json_type {
    SHR_JSON_NULL,
    SHR_JSON_BOOL,
    SHR_JSON_NUMBER,
    SHR_JSON_STRING,
    SHR_JSON_ARRAY,
    SHR_JSON_OBJECT,
};

/* One value. Children of an array follow it in order, those of an object as key, value, key... */
struct shr_json_value {
    uint32_t start, end; /* its text, quotes and brackets included */
    uint32_t next;       /* index of the value after it and all it holds */
    uint32_t n;          /* elements or members */
    uint8_t type;        /* enum shr_json_type */
    bool escaped;        /* a string with backslashes */
};

/* {0} is empty. Borrows the text; owns the values. values[0] is the whole. */
struct shr_json {
    struct shr_bytes text;
    struct shr_json_value *values;
    uint32_t n, cap;
};

/* SHREWD_INVALID: not JSON, naming the byte; SHREWD_LIMIT: too deep, too many values, too long.
 * `out` needs shr_json_free in any case. */
int shr_json_parse(struct shr_json *out, struct shr_bytes text, struct shrewd_error *err);
void shr_json_free(struct shr_json *json);

/* The text of a value as it was written. Lives as long as the parsed text. */
struct shr_bytes shr_json_raw(const struct shr_json *json, uint32_t value);
/* The content of a string: the text itself, or decoded into `scratch` (which it replaces) when it
 * has escapes. A surrogate without its partner decodes to U+FFFD. */
struct shr_bytes shr_json_text(const struct shr_json *json, uint32_t value,
                               struct shr_buf *scratch);
/* "a string", "null"...: for messages. */
const char *shr_json_type_name(const struct shr_json *json, uint32_t value);

/* Appends `text` as a JSON string; bytes that are not UTF-8 become U+FFFD. */
void shr_json_write_string(struct shr_buf *out, struct shr_bytes text);

#endif
