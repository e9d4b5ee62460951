#include "node/url.h"

#include "base/alloc.h"
#include "base/buf.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define URL_LEN_MAX 4096
#define DEFAULT_RPC_PORT "8332"

/* A URL as it may be shown: what precedes its last @ replaced. A / in a password belongs to the
 * path by the standard; looking for the last @ anywhere keeps it hidden all the same. */
static char *redacted(const char *text) {
    const char *scheme_end = strstr(text, "://");
    const char *from = scheme_end == NULL ? text : scheme_end + 3;
    const char *at = strrchr(text, '@');
    if (at == NULL || at < from) {
        return shr_strdup(text);
    }
    return shr_asprintf("%.*s***%s", (int)(from - text), text, at);
}

static int fail_url(struct shrewd_error *err, int code, const char *text, const char *why) {
    char *shown = redacted(text);
    shr_fail(err, code, "node URL '%.200s': %s", shown, why);
    free(shown);
    return code;
}

void shr_free_secret(char *secret) {
    if (secret != NULL) {
        explicit_bzero(secret, strlen(secret));
        free(secret);
    }
}

bool shr_split_auth(char **user, char **password, const char *text) {
    const char *colon = strchr(text, ':');
    if (colon == NULL || colon == text) {
        return false;
    }
    *user = shr_strndup(text, (size_t)(colon - text));
    *password = shr_strdup(colon + 1);
    return true;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* NULL for a broken escape or an encoded NUL. */
static char *percent_decode(const char *text, size_t len) {
    char *out = shr_alloc(len + 1);
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] != '%') {
            out[n++] = text[i];
            continue;
        }
        int high = i + 2 < len ? hex_digit(text[i + 1]) : -1;
        int low = i + 2 < len ? hex_digit(text[i + 2]) : -1;
        if (high < 0 || low < 0 || (high == 0 && low == 0)) {
            shr_free_secret(out);
            return NULL;
        }
        out[n++] = (char)(high << 4 | low);
        i += 2;
    }
    out[n] = 0;
    return out;
}

/* The pieces of a URL, borrowed from its text. */
struct parts {
    const char *text;
    const char *scheme; /* "http" or "https" */
    bool has_scheme;
    struct shr_bytes credentials; /* data NULL when there are none */
    struct shr_bytes host;        /* with its brackets when an IPv6 address */
    struct shr_bytes port;
    const char *path;
};

static bool is_ssh(const char *text) {
    return strncasecmp(text, "ssh", 3) == 0 && strstr(text, "://") != NULL &&
           strcspn(text, ":/") == (size_t)(strstr(text, "://") - text);
}

static int refuse_ssh(struct shrewd_error *err, const char *text) {
    return fail_url(err, SHREWD_UNSUPPORTED, text,
                    "SSH tunnels are not made by shrewd; make one with "
                    "'ssh -N -L 8332:127.0.0.1:8332 user@host' and give "
                    "http://127.0.0.1:8332 as the node's URL");
}

static int read_scheme(struct parts *parts, const char **rest, struct shrewd_error *err) {
    const char *text = parts->text;
    if (is_ssh(text)) {
        return refuse_ssh(err, text);
    }
    parts->scheme = "http";
    parts->has_scheme = true;
    if (strncasecmp(text, "http://", 7) == 0) {
        *rest = text + 7;
    } else if (strncasecmp(text, "https://", 8) == 0) {
        parts->scheme = "https";
        *rest = text + 8;
    } else if (strstr(text, "://") != NULL && strcspn(text, "/@") > strcspn(text, ":")) {
        return fail_url(err, SHREWD_INVALID, text, "expected http:// or https://");
    } else {
        parts->has_scheme = false;
        *rest = text;
    }
    return 0;
}

static bool port_ok(struct shr_bytes port) {
    uint32_t value = 0;
    for (size_t i = 0; i < port.len; i++) {
        if (port.data[i] < '0' || port.data[i] > '9' || port.len > 5) {
            return false;
        }
        value = value * 10 + (uint32_t)(port.data[i] - '0');
    }
    return value >= 1 && value <= 65535;
}

static int read_host_port(struct parts *parts, const char *at, size_t len,
                          struct shrewd_error *err) {
    const char *end = at + len;
    const char *host_end = at;
    if (len > 0 && at[0] == '[') {
        host_end = memchr(at, ']', len);
        if (host_end == NULL) {
            return fail_url(err, SHREWD_INVALID, parts->text, "the [ of the address is not closed");
        }
        host_end++;
    } else {
        const char *colon = memchr(at, ':', len);
        host_end = colon == NULL ? end : colon;
    }
    parts->host = shr_bytes(at, (size_t)(host_end - at));
    if (parts->host.len == 0) {
        return fail_url(err, SHREWD_INVALID, parts->text,
                        "no host; expected e.g. http://127.0.0.1:8332");
    }
    if (host_end == end) {
        const char *port = !parts->has_scheme                    ? DEFAULT_RPC_PORT
                           : strcmp(parts->scheme, "https") == 0 ? "443"
                                                                 : "80";
        parts->port = shr_bytes_str(port);
        return 0;
    }
    parts->port = shr_bytes(host_end + 1, (size_t)(end - host_end - 1));
    if (*host_end != ':' || !port_ok(parts->port)) {
        return fail_url(err, SHREWD_INVALID, parts->text,
                        "expected a port from 1 to 65535 after the host (and %2F for a / in a "
                        "user or password)");
    }
    return 0;
}

static int read_parts(struct parts *parts, struct shrewd_error *err) {
    const char *rest = parts->text;
    size_t total = strlen(parts->text);
    if (total == 0 || total > URL_LEN_MAX) {
        return shr_fail(err, SHREWD_INVALID,
                        "the node's URL is %s; expected e.g. http://127.0.0.1:8332",
                        total == 0 ? "empty" : "too long");
    }
    for (const char *c = parts->text; *c != 0; c++) {
        if ((unsigned char)*c <= ' ' || *c == 0x7f || *c == '\\') {
            return fail_url(err, SHREWD_INVALID, parts->text,
                            "no blanks, control characters or backslashes may be in it");
        }
    }
    int code = read_scheme(parts, &rest, err);
    if (code != 0) {
        return code;
    }
    size_t authority = strcspn(rest, "/?#");
    parts->path = rest + authority;
    if (strpbrk(parts->path, "?#") != NULL) {
        return fail_url(err, SHREWD_INVALID, parts->text,
                        "a query or fragment has no meaning here");
    }
    const char *at = memrchr(rest, '@', authority);
    if (at != NULL) {
        parts->credentials = shr_bytes(rest, (size_t)(at - rest));
        if (!parts->has_scheme && memchr(rest, ':', parts->credentials.len) == NULL) {
            return refuse_ssh(err, parts->text);
        }
        authority -= parts->credentials.len + 1;
        rest = at + 1;
    }
    return read_host_port(parts, rest, authority, err);
}

static int take_credentials(struct shr_node_url *out, const struct parts *parts,
                            struct shrewd_error *err) {
    struct shr_bytes credentials = parts->credentials;
    if (credentials.data == NULL) {
        return 0;
    }
    const char *text = (const char *)credentials.data;
    const char *colon = memchr(text, ':', credentials.len);
    size_t user_len = colon == NULL ? credentials.len : (size_t)(colon - text);
    out->user = percent_decode(text, user_len);
    out->password =
        colon == NULL ? shr_strdup("") : percent_decode(colon + 1, credentials.len - user_len - 1);
    if (out->user == NULL || out->password == NULL) {
        return fail_url(err, SHREWD_INVALID, parts->text,
                        "a % in a user or password must be followed by two hex digits "
                        "(%25 is a % itself)");
    }
    if (out->user[0] == 0) {
        return fail_url(err, SHREWD_INVALID, parts->text, "the user before the @ is empty");
    }
    return 0;
}

int shr_node_url_parse(struct shr_node_url *out, const char *text, struct shrewd_error *err) {
    struct parts parts = {.text = text};
    *out = (struct shr_node_url){0};
    int code = read_parts(&parts, err);
    if (code == 0) {
        code = take_credentials(out, &parts, err);
    }
    if (code != 0) {
        shr_node_url_free(out);
        return code;
    }
    out->origin = shr_asprintf("%s://%.*s:%.*s", parts.scheme, (int)parts.host.len,
                               (const char *)parts.host.data, (int)parts.port.len,
                               (const char *)parts.port.data);
    out->rpc_path = shr_strdup(parts.path[0] == 0 ? "/" : parts.path);
    const char *wallet = strstr(out->rpc_path, "/wallet/");
    size_t root_len = wallet == NULL ? strlen(out->rpc_path) : (size_t)(wallet - out->rpc_path);
    while (root_len > 0 && out->rpc_path[root_len - 1] == '/') {
        root_len--;
    }
    out->root = shr_strndup(out->rpc_path, root_len);
    out->shown = shr_asprintf("%s%s", out->origin, parts.path);
    return 0;
}

void shr_node_url_free(struct shr_node_url *url) {
    free(url->origin);
    free(url->rpc_path);
    free(url->root);
    free(url->user);
    shr_free_secret(url->password);
    free(url->shown);
    *url = (struct shr_node_url){0};
}
