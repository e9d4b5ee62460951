/* The values of flags: what each kind accepts, and what to say of the rest. */
#include "cli/options.h"

#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 4096 /* bytes; the longest path Linux takes */

/* Decimal digits, or 0x and hex digits; false for anything else and past 32 bits. */
static bool parse_u32(const char *text, uint32_t *out) {
    int base = text[0] == '0' && (text[1] == 'x' || text[1] == 'X') ? 16 : 10;
    const char *digits = base == 16 ? text + 2 : text;
    size_t len = strlen(digits);
    if (len == 0 || strspn(digits, base == 16 ? "0123456789abcdefABCDEF" : "0123456789") != len) {
        return false;
    }
    while (*digits == '0' && len > 1) {
        digits++;
        len--;
    }
    if (len > 10) {
        return false;
    }
    unsigned long long value = strtoull(digits, NULL, base);
    *out = (uint32_t)value;
    return value <= UINT32_MAX;
}

static int bad_value(struct shrewd_error *err, const char *origin, const char *text,
                     const char *expected) {
    return shr_fail(err, SHREWD_INVALID, "%s: '%.200s' is not %s", origin, text, expected);
}

static int parse_number(const struct shr_option *option, uint32_t *out, const char *text,
                        const char *origin, struct shrewd_error *err) {
    uint32_t value;
    if (option->kind == SHR_OPTION_HEIGHT && strcmp(text, "latest") == 0) {
        *out = SHR_UNSET;
        return 0;
    }
    if (parse_u32(text, &value) && value >= option->min && value <= option->max) {
        *out = value;
        return 0;
    }
    if (option->kind == SHR_OPTION_HEIGHT) {
        return bad_value(err, origin, text, "a height (a number, 0x hex, or latest)");
    }
    return shr_fail(err, SHREWD_INVALID, "%s: '%.200s' is not a %s (%u to %u)", origin, text,
                    option->kind == SHR_OPTION_PORT ? "port" : "number", option->min, option->max);
}

static int parse_choice(const struct shr_option *option, uint32_t *out, const char *text,
                        const char *origin, struct shrewd_error *err) {
    uint32_t i = 0;
    for (const char *at = option->arg; *at != 0; i++) {
        size_t len = strcspn(at, "|");
        if (strlen(text) == len && strncmp(text, at, len) == 0) {
            *out = i;
            return 0;
        }
        at += len + (at[len] == '|');
    }
    char *expected = shr_asprintf("one of %s", option->arg);
    int code = bad_value(err, origin, text, expected);
    free(expected);
    return code;
}

static int parse_switch(bool *out, const char *text, const char *origin, struct shrewd_error *err) {
    static const char *const on[] = {"true", "1", "yes", "on"};
    static const char *const off[] = {"false", "0", "no", "off"};
    for (size_t i = 0; i < sizeof on / sizeof on[0]; i++) {
        if (strcasecmp(text, on[i]) == 0 || strcasecmp(text, off[i]) == 0) {
            *out = strcasecmp(text, on[i]) == 0;
            return 0;
        }
    }
    return bad_value(err, origin, text, "true or false");
}

/* What is wrong with a text value, as the rest of "NAME: expected ..."; NULL: nothing. */
static const char *text_fault(const struct shr_option *option, const char *text) {
    size_t len = strlen(text);
    if (len == 0) {
        return "a value, but it is empty";
    }
    if (len > TEXT_MAX) {
        return "at most 4096 bytes";
    }
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            return "text without control characters";
        }
    }
    switch (option->kind) {
    case SHR_OPTION_AUTH:
        return strchr(text, ':') == NULL ? "USER:PASSWORD, but there is no colon" : NULL;
    case SHR_OPTION_LABEL:
        return strchr(text, '/') != NULL ? "a part of a folder's name, without '/'" : NULL;
    case SHR_OPTION_SOCKET:
        return strstr(text, "://") == NULL ? "an address such as tcp://127.0.0.1:28332" : NULL;
    case SHR_OPTION_URL:
        return strchr(text, ' ') != NULL ? "a URL, without spaces" : NULL;
    default:
        return NULL;
    }
}

static int parse_text(const struct shr_option *option, char **out, const char *text,
                      const char *origin, struct shrewd_error *err) {
    const char *fault = text_fault(option, text);
    /* The value may be, or hold, a password: it is not repeated. */
    if (fault != NULL) {
        return shr_fail(err, SHREWD_INVALID, "%s: expected %s", origin, fault);
    }
    free(*out);
    /* Containers give the node as host:port. An ssh form keeps its shape; the node room answers. */
    bool bare = option->kind == SHR_OPTION_URL && strstr(text, "://") == NULL &&
                strncmp(text, "ssh", 3) != 0;
    *out = bare ? shr_asprintf("http://%s", text) : shr_strdup(text);
    return 0;
}

int shr_option_parse(const struct shr_option *option, struct shr_config *config, const char *text,
                     const char *origin, struct shrewd_error *err) {
    void *field = (char *)config + option->offset;
    switch (option->kind) {
    case SHR_OPTION_SWITCH:
        return parse_switch(field, text, origin, err);
    case SHR_OPTION_NUMBER:
    case SHR_OPTION_HEIGHT:
        return parse_number(option, field, text, origin, err);
    case SHR_OPTION_PORT: {
        uint32_t port = 0;
        int code = parse_number(option, &port, text, origin, err);
        if (code == 0) {
            *(uint16_t *)field = (uint16_t)port;
        }
        return code;
    }
    case SHR_OPTION_LEVEL:
        return shr_log_parse_level(text, field)
                   ? 0
                   : bad_value(err, origin, text, "debug, info, warn, error or off");
    case SHR_OPTION_CHOICE:
        return parse_choice(option, field, text, origin, err);
    case SHR_OPTION_ACTION:
        return 0;
    default:
        return parse_text(option, field, text, origin, err);
    }
}
