#include "cli/client.h"

#include "base/alloc.h"
#include "base/hex.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#define REPLY_MAX ((size_t)600 << 20) /* bytes: a view's 256 MiB as hex, and some */
#define CONNECT_MS 10000L
#define CALL_MS 600000L /* of a call: its work, and its turn in the queue, take time */
#define PROBE_MS 10000L /* of a page, which a server has at once */

struct shr_client {
    CURL *curl;
    struct curl_slist *headers;
    char *url;
    struct shr_buf reply;
    int next_id;
    long call_ms;
    bool probed; /* it has answered once */
    char curl_error[CURL_ERROR_SIZE];
};

static size_t on_bytes(char *data, size_t size, size_t n, void *ctx) {
    struct shr_client *client = ctx;
    if (client->reply.len + size * n > REPLY_MAX) {
        return 0;
    }
    shr_buf_append(&client->reply, data, size * n);
    return size * n;
}

int shr_client_open(struct shr_client **out, const char *url, struct shrewd_error *err) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
    struct shr_client *client = shr_alloc(sizeof *client);
    client->url = shr_strdup(url);
    client->call_ms = CALL_MS;
    client->curl = curl_easy_init();
    client->headers = curl_slist_append(NULL, "Content-Type: application/json");
    if (client->curl == NULL || client->headers == NULL) {
        shr_client_close(client);
        return shr_fail(err, SHREWD_NO_MEMORY, "cannot start an HTTP client");
    }
    CURL *curl = client->curl;
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, client->headers);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, client->curl_error);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, client);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    *out = client;
    return 0;
}

void shr_client_close(struct shr_client *client) {
    if (client == NULL) {
        return;
    }
    curl_slist_free_all(client->headers);
    curl_easy_cleanup(client->curl);
    shr_buf_free(&client->reply);
    free(client->url);
    free(client);
}

char *shr_client_shown(const char *url) {
    const char *scheme_end = strstr(url, "://");
    const char *host = scheme_end != NULL ? scheme_end + 3 : url;
    size_t authority = strcspn(host, "/?#");
    const char *at = memrchr(host, '@', authority);
    return at == NULL ? shr_strdup(url) : shr_asprintf("%.*s%s", (int)(host - url), url, at + 1);
}

void shr_client_hurry(struct shr_client *client) {
    client->call_ms = PROBE_MS;
}

static int fail_server(const struct shr_client *client, int code, struct shrewd_error *err,
                       const char *what) {
    char *url = shr_client_shown(client->url);
    shr_fail(err, code, "the server at %s %s", url, what);
    free(url);
    return code;
}

int shr_client_odd(const struct shr_client *client, const char *what, struct shrewd_error *err) {
    char *answered = shr_asprintf("answered something that is not %s", what);
    int code = fail_server(client, SHREWD_NODE, err, answered);
    free(answered);
    return code;
}

static char *page_url(const struct shr_client *client, const char *name) {
    size_t len = strlen(client->url);
    bool slash = len > 0 && client->url[len - 1] == '/';
    return shr_asprintf("%s%s%s", client->url, slash ? "" : "/", name);
}

/* Before the first call, which may take long: whether the server answers at all, whatever it is. */
static CURLcode probe(struct shr_client *client) {
    CURL *curl = client->curl;
    if (client->probed || client->call_ms <= PROBE_MS) {
        return CURLE_OK;
    }
    char *url = page_url(client, "health");
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, PROBE_MS);
    CURLcode failed = curl_easy_perform(curl);
    client->probed = failed == CURLE_OK;
    free(url);
    shr_buf_clear(&client->reply);
    return failed == CURLE_OPERATION_TIMEDOUT ? failed : CURLE_OK; /* the call tells all others */
}

/* One request: a POST of `body`, or a GET when it is NULL. The reply's bytes and *status. */
static int request(struct shr_client *client, long *status, const char *url, const char *body,
                   struct shrewd_error *err) {
    CURL *curl = client->curl;
    shr_buf_clear(&client->reply);
    client->curl_error[0] = 0;
    CURLcode failed = body != NULL ? probe(client) : CURLE_OK;
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, body != NULL ? client->call_ms : PROBE_MS);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    if (body != NULL) {
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
    } else {
        curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
    }
    failed = failed != CURLE_OK ? failed : curl_easy_perform(curl);
    if (failed != CURLE_OK) {
        const char *why =
            client->curl_error[0] != 0 ? client->curl_error : curl_easy_strerror(failed);
        char *what = shr_asprintf("did not answer: %s; is 'shrewd run' running there?", why);
        fail_server(client, SHREWD_NODE_BUSY, err, what);
        free(what);
        return SHREWD_NODE_BUSY;
    }
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status);
    return 0;
}

static int post(struct shr_client *client, const char *body, struct shrewd_error *err) {
    long status = 0;
    int code = request(client, &status, client->url, body, err);
    if (code == 0 && status != 200) {
        char *what = shr_asprintf("answered HTTP status %ld, not a JSON-RPC reply", status);
        code = fail_server(client, SHREWD_NODE, err, what);
        free(what);
    }
    return code;
}

/* The libshrewd code of an error the server answered: by name in error.data.error, else by what
 * the JSON-RPC code means everywhere. */
static int code_of(json_t *error) {
    const char *name = json_string_value(json_object_get(json_object_get(error, "data"), "error"));
    if (name != NULL) {
#define SHR_X(NAME, code, text)                                                                    \
    if (strcmp(name, #NAME) == 0) {                                                                \
        return code;                                                                               \
    }
        SHREWD_ERROR_MAP(SHR_X)
#undef SHR_X
    }
    json_int_t code = json_integer_value(json_object_get(error, "code"));
    return code == -32602   ? SHREWD_INVALID
           : code == -32000 ? SHREWD_GUEST
           : code == -32601 ? SHREWD_NODE /* shrewd has every method that is asked for here */
                            : SHREWD_IO;
}

/* Of the error that the server answered. */
static int take_error(const struct shr_client *client, json_t *error, const char *method,
                      struct shrewd_error *err) {
    const char *message = json_string_value(json_object_get(error, "message"));
    int code = code_of(error);
    char *what = NULL;
    if (message == NULL) {
        what = shr_asprintf("answered %s with an error without a message", method);
        code = code == SHREWD_IO ? SHREWD_NODE : code;
    } else if (code == SHREWD_NODE) {
        what = shr_asprintf("answered %s with '%.300s': is it shrewd, and of this version?", method,
                            message);
    }
    code = what != NULL ? fail_server(client, code, err, what)
                        : shr_fail(err, code, "%.900s", message);
    free(what);
    return code;
}

static int take_result(struct shr_client *client, json_t **result, json_t *reply,
                       const char *method, struct shrewd_error *err) {
    json_t *error = json_object_get(reply, "error");
    if (error != NULL && !json_is_null(error)) {
        return take_error(client, error, method, err);
    }
    json_t *value = json_object_get(reply, "result");
    if (value == NULL) {
        return fail_server(client, SHREWD_NODE, err, "answered neither a result nor an error");
    }
    *result = json_incref(value);
    return 0;
}

int shr_client_call(struct shr_client *client, json_t **result, const char *method, json_t *params,
                    struct shrewd_error *err) {
    json_t *request = json_pack("{s:s,s:i,s:s,s:o}", "jsonrpc", "2.0", "id", ++client->next_id,
                                "method", method, "params", params);
    char *body = json_dumps(request, JSON_COMPACT);
    json_decref(request);
    if (body == NULL) {
        return shr_fail(err, SHREWD_INVALID, "%s: the arguments are not UTF-8 text", method);
    }
    json_t *reply = NULL;
    int code = post(client, body, err);
    if (code == 0) {
        reply = json_loadb((const char *)client->reply.data, client->reply.len, 0, NULL);
        code = reply == NULL ? shr_client_odd(client, "JSON", err)
                             : take_result(client, result, reply, method, err);
    }
    json_decref(reply);
    free(body);
    return code;
}

int shr_client_call_hex(struct shr_client *client, struct shr_buf *out, const char *method,
                        json_t *params, struct shrewd_error *err) {
    json_t *result = NULL;
    int code = shr_client_call(client, &result, method, params, err);
    if (code != 0) {
        return code;
    }
    shr_buf_clear(out);
    if (!json_is_string(result) ||
        !shr_hex_decode(out, json_string_value(result), json_string_length(result), NULL)) {
        code = shr_client_odd(client, "hex", err);
    }
    json_decref(result);
    return code;
}

/* A page beside the methods: its HTTP status; 0: no answer. */
static long get_page(struct shr_client *client, const char *name) {
    long status = 0;
    char *url = page_url(client, name);
    int code = request(client, &status, url, NULL, NULL);
    free(url);
    return code == 0 ? status : 0;
}

void shr_client_metrics(struct shr_client *client, struct shr_buf *out) {
    shr_buf_clear(out);
    if (get_page(client, "metrics") == 200) {
        shr_buf_add(out, shr_buf_bytes(&client->reply));
    }
}

json_t *shr_client_health(struct shr_client *client) {
    json_t *health = NULL;
    /* 503 comes with the reason in the same shape. */
    long status = get_page(client, "health");
    if (status == 200 || status == 503) {
        health = json_loadb((const char *)client->reply.data, client->reply.len, 0, NULL);
    }
    if (!json_is_object(health)) {
        json_decref(health);
        return json_object();
    }
    return health;
}

int shr_client_height(struct shr_client *client, uint32_t *out, struct shrewd_error *err) {
    json_t *result = NULL;
    int code = shr_client_call(client, &result, "metashrew_height", json_array(), err);
    if (code != 0) {
        return code;
    }
    const char *text = json_string_value(result);
    char *end = NULL;
    unsigned long long height = text != NULL ? strtoull(text, &end, 10) : 0;
    if (text == NULL || *text < '0' || *text > '9' || *end != 0 || height > UINT32_MAX) {
        code = shr_client_odd(client, "a height", err);
    } else {
        *out = (uint32_t)height;
    }
    json_decref(result);
    return code;
}
