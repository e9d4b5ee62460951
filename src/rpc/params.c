#include "rpc/params.h"

#include "base/hex.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NAME_SHOWN 60 /* characters of a client's text that a message repeats */

static int spec_size(const struct shr_param_spec *spec) {
    int n = 0;
    while (spec->names[n] != NULL) {
        n++;
    }
    return n;
}

/* "[view, input, height?]" */
static const char *describe(char *out, size_t size, const struct shr_param_spec *spec) {
    size_t used = 0;
    for (int i = 0; spec->names[i] != NULL; i++) {
        used += (size_t)snprintf(out + used, size - used, "%s%s%s", i == 0 ? "" : ", ",
                                 spec->names[i], i < spec->required ? "" : "?");
    }
    out[used] = 0;
    return out;
}

static int bind_array(struct shr_params *out, uint32_t value, struct shrewd_error *err) {
    const struct shr_json_value *array = &out->json->values[value];
    int n = spec_size(out->spec);
    if (array->n > (uint32_t)n) {
        char takes[128];
        return shr_fail(err, SHREWD_INVALID, "%u parameters; this method takes [%s]", array->n,
                        describe(takes, sizeof takes, out->spec));
    }
    uint32_t child = value + 1;
    for (uint32_t i = 0; i < array->n; i++) {
        out->at[i] = child;
        child = out->json->values[child].next;
    }
    return 0;
}

static int bind_object(struct shr_params *out, uint32_t value, struct shrewd_error *err) {
    struct shr_buf scratch = {0};
    uint32_t child = value + 1;
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < out->json->values[value].n; i++) {
        struct shr_bytes name = shr_json_text(out->json, child, &scratch);
        int found = 0;
        while (out->spec->names[found] != NULL &&
               !shr_bytes_eq(name, shr_bytes_str(out->spec->names[found]))) {
            found++;
        }
        if (out->spec->names[found] == NULL) {
            char takes[128];
            int shown = name.len < NAME_SHOWN ? (int)name.len : NAME_SHOWN;
            rc = shr_fail(err, SHREWD_INVALID, "unknown parameter \"%.*s\"; this method takes {%s}",
                          shown, (const char *)name.data, describe(takes, sizeof takes, out->spec));
            break;
        }
        out->at[found] = child + 1;
        child = out->json->values[child + 1].next;
    }
    shr_buf_free(&scratch);
    return rc;
}

int shr_params_bind(struct shr_params *out, const struct shr_param_spec *spec,
                    const struct shr_json *json, uint32_t value, struct shrewd_error *err) {
    *out = (struct shr_params){.json = json, .spec = spec};
    for (int i = 0; i < SHR_PARAMS_MAX; i++) {
        out->at[i] = SHR_JSON_NONE;
    }
    char takes[128];
    int rc = 0;
    switch (value == SHR_JSON_NONE ? SHR_JSON_NULL : json->values[value].type) {
    case SHR_JSON_NULL:
        break;
    case SHR_JSON_ARRAY:
        rc = bind_array(out, value, err);
        break;
    case SHR_JSON_OBJECT:
        rc = bind_object(out, value, err);
        break;
    default:
        return shr_fail(err, SHREWD_INVALID, "params is %s; this method takes [%s]",
                        shr_json_type_name(json, value), describe(takes, sizeof takes, spec));
    }
    if (rc != 0) {
        return rc;
    }
    for (int i = 0; spec->names[i] != NULL; i++) {
        if (out->at[i] != SHR_JSON_NONE && json->values[out->at[i]].type == SHR_JSON_NULL) {
            out->at[i] = SHR_JSON_NONE;
        }
        if (i < spec->required && out->at[i] == SHR_JSON_NONE) {
            return shr_fail(err, SHREWD_INVALID,
                            "params[%d] (%s) is missing; this method takes [%s]", i, spec->names[i],
                            describe(takes, sizeof takes, spec));
        }
    }
    return 0;
}

static int bad_height(const struct shr_params *params, int i, struct shrewd_error *err) {
    struct shr_bytes raw = shr_json_raw(params->json, params->at[i]);
    int shown = raw.len < NAME_SHOWN ? (int)raw.len : NAME_SHOWN;
    return shr_fail(err, SHREWD_INVALID,
                    "params[%d] (%s) is %.*s; expected a height: a whole number from 0 to "
                    "4294967295, the same as a decimal or \"0x..\" string, or \"latest\"",
                    i, params->spec->names[i], shown, (const char *)raw.data);
}

static int digit_of(uint8_t c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
}

/* All of `text` as an unsigned number that fits 32 bits. */
static bool read_u32(uint32_t *out, struct shr_bytes text, unsigned base) {
    uint64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)digit_of(text.data[i]);
        if (digit >= base) {
            return false;
        }
        value = value * base + digit;
        if (value > UINT32_MAX) {
            return false;
        }
    }
    *out = (uint32_t)value;
    return text.len > 0;
}

int shr_param_height(struct shr_height *out, const struct shr_params *params, int i,
                     struct shrewd_error *err) {
    uint32_t at = params->at[i];
    *out = (struct shr_height){.latest = true};
    if (at == SHR_JSON_NONE) {
        return 0;
    }
    struct shr_buf scratch = {0};
    bool good = false;
    if (params->json->values[at].type == SHR_JSON_NUMBER) {
        out->latest = false;
        good = read_u32(&out->height, shr_json_raw(params->json, at), 10);
    } else if (params->json->values[at].type == SHR_JSON_STRING) {
        struct shr_bytes text = shr_json_text(params->json, at, &scratch);
        if (shr_bytes_eq(text, shr_bytes_str("latest"))) {
            good = true;
        } else if (text.len > 2 && text.data[0] == '0' && (text.data[1] | 0x20) == 'x') {
            out->latest = false;
            good = read_u32(&out->height, shr_bytes(text.data + 2, text.len - 2), 16);
        } else {
            out->latest = false;
            good = read_u32(&out->height, text, 10);
        }
    }
    shr_buf_free(&scratch);
    return good ? 0 : bad_height(params, i, err);
}

int shr_param_count(uint32_t *out, const struct shr_params *params, int i, uint32_t max,
                    struct shrewd_error *err) {
    uint32_t at = params->at[i];
    *out = 0;
    if (at == SHR_JSON_NONE) {
        return 0;
    }
    struct shr_bytes raw = shr_json_raw(params->json, at);
    if (params->json->values[at].type == SHR_JSON_NUMBER && read_u32(out, raw, 10) && *out > 0 &&
        *out <= max) {
        return 0;
    }
    int shown = raw.len < NAME_SHOWN ? (int)raw.len : NAME_SHOWN;
    return shr_fail(err, SHREWD_INVALID,
                    "params[%d] (%s) is %.*s; expected a whole number from 1 to %u", i,
                    params->spec->names[i], shown, (const char *)raw.data, max);
}

static int want_string(const struct shr_params *params, int i, const char *expected,
                       struct shrewd_error *err) {
    if (params->json->values[params->at[i]].type == SHR_JSON_STRING) {
        return 0;
    }
    return shr_fail(err, SHREWD_INVALID, "params[%d] (%s) is %s; expected %s", i,
                    params->spec->names[i], shr_json_type_name(params->json, params->at[i]),
                    expected);
}

int shr_param_hex(struct shr_buf *out, const struct shr_params *params, int i,
                  struct shrewd_error *err) {
    if (want_string(params, i, "a string of hex digits", err) != 0) {
        return SHREWD_INVALID;
    }
    struct shr_buf scratch = {0};
    struct shr_bytes text = shr_json_text(params->json, params->at[i], &scratch);
    size_t bad_at = 0;
    int rc = 0;
    shr_buf_clear(out);
    if (!shr_hex_decode(out, (const char *)text.data, text.len, &bad_at)) {
        const char *name = params->spec->names[i];
        if (bad_at >= text.len) {
            rc = shr_fail(err, SHREWD_INVALID,
                          "params[%d] (%s): the hex ends at offset %zu in the middle of a byte "
                          "(an odd number of digits)",
                          i, name, text.len);
        } else {
            rc = shr_fail(err, SHREWD_INVALID,
                          "params[%d] (%s): the character at offset %zu is not a hex digit", i,
                          name, bad_at);
        }
    }
    shr_buf_free(&scratch);
    return rc;
}

int shr_param_string(struct shr_buf *out, const struct shr_params *params, int i,
                     struct shrewd_error *err) {
    if (want_string(params, i, "a string", err) != 0) {
        return SHREWD_INVALID;
    }
    struct shr_buf scratch = {0};
    struct shr_bytes text = shr_json_text(params->json, params->at[i], &scratch);
    int rc = 0;
    if (text.len > 0 && memchr(text.data, 0, text.len) != NULL) {
        rc = shr_fail(err, SHREWD_INVALID, "params[%d] (%s) holds a NUL character", i,
                      params->spec->names[i]);
    } else {
        shr_buf_set(out, text);
        shr_buf_cstr(out);
    }
    shr_buf_free(&scratch);
    return rc;
}
