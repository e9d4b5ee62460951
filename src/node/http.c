#include "node/http.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "node/curl.h"

#include <stdlib.h>
#include <string.h>

#define DEAD_BYTES_PER_MS 1 /* less than 1 KB/s for one timeout */
#define SLOW_BYTES_PER_MS 4 /* less than 4 KB/s for four */
#define SLOW_TIMEOUTS 4
#define CONNECT_MS_MAX 10000u

struct shr_http {
    CURLM *multi; /* keeps the connection between exchanges */
    CURL *easy;
    struct curl_slist *headers;
    struct shr_halt *halt;
    char *origin;
    uint32_t timeout_ms;
    char detail[CURL_ERROR_SIZE];
    /* the exchange in hand */
    struct shr_buf *reply;
    size_t reply_max;
    uint64_t received; /* bytes, whatever attempt they belong to */
    bool too_large;
};

static size_t take_bytes(char *data, size_t size, size_t n, void *ctx) {
    struct shr_http *http = ctx;
    size_t len = size * n;
    if (len > http->reply_max - http->reply->len) {
        http->too_large = true;
        return 0; /* ends the transfer */
    }
    if (http->reply->len == 0) { /* so that it need not grow: a body is seldom compressed */
        curl_off_t whole = -1;
        curl_easy_getinfo(http->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &whole);
        if (whole > 0 && (uint64_t)whole < http->reply_max) {
            shr_buf_reserve(http->reply, (size_t)whole + 1);
        }
    }
    shr_buf_append(http->reply, data, len);
    http->received += len;
    return len;
}

static void set_options(struct shr_http *http) {
    CURL *easy = http->easy;
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip");
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 256L * 1024);
    /* A stop must not wait for a name server. */
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, http->headers);
}

int shr_http_open(struct shr_http **out, const char *origin, uint32_t timeout_ms,
                  struct shr_halt *halt, struct shrewd_error *err) {
    uint32_t connect_ms = timeout_ms < CONNECT_MS_MAX ? timeout_ms : CONNECT_MS_MAX;
    struct shr_http *http = shr_alloc(sizeof *http);
    http->halt = halt;
    http->origin = shr_strdup(origin);
    http->timeout_ms = timeout_ms;
    http->easy = shr_curl_new((long)connect_ms, http->detail, take_bytes, http);
    http->multi = curl_multi_init();
    http->headers = curl_slist_append(NULL, "Content-Type: application/json");
    struct curl_slist *more =
        http->headers == NULL ? NULL : curl_slist_append(http->headers, "Expect:");
    if (http->multi == NULL || http->easy == NULL || more == NULL) {
        shr_http_close(http);
        return shr_fail(err, SHREWD_NODE, "libcurl cannot be set up");
    }
    set_options(http);
    *out = http;
    return 0;
}

void shr_http_close(struct shr_http *http) {
    if (http != NULL) {
        curl_easy_cleanup(http->easy);
        curl_multi_cleanup(http->multi);
        curl_slist_free_all(http->headers);
        free(http->origin);
        free(http);
    }
}

void shr_http_set_auth(struct shr_http *http, const char *user, const char *password) {
    curl_easy_setopt(http->easy, CURLOPT_USERNAME, user);
    curl_easy_setopt(http->easy, CURLOPT_PASSWORD, password);
}

static int fail_transfer(struct shr_http *http, CURLcode result, struct shrewd_error *err) {
    const char *detail = http->detail[0] != 0 ? http->detail : curl_easy_strerror(result);
    switch (result) {
    case CURLE_OUT_OF_MEMORY:
        shr_out_of_memory(0);
    case CURLE_WRITE_ERROR:
        if (http->too_large) {
            return shr_fail(err, SHREWD_LIMIT, "its reply is larger than %zu bytes",
                            http->reply_max);
        }
        break;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_URL_MALFORMAT:
        return shr_fail(err, SHREWD_NODE, "%s", detail);
    case CURLE_UNSUPPORTED_PROTOCOL: /* only http and https get here: the reply is not HTTP */
        return shr_fail(err, SHREWD_NODE_BUSY, "its reply is not HTTP");
    default:
        break;
    }
    return shr_fail(err, SHREWD_NODE_BUSY, "%s", detail);
}

/* How long too little may come, and since when what has come is counted. */
struct pace {
    uint64_t span_ms;
    uint64_t bytes_per_ms;
    uint64_t start_ms;
    uint64_t received;
};

static void pace_start(struct pace *pace, const struct shr_http *http, uint64_t now) {
    pace->start_ms = now;
    pace->received = http->received;
}

/* Fails when the span is over and too little came; *left_ms is lowered to what is left of it. */
static int pace_check(struct pace *pace, const struct shr_http *http, uint64_t now,
                      uint64_t *left_ms, struct shrewd_error *err) {
    uint64_t spent = now - pace->start_ms;
    if (spent >= pace->span_ms) {
        uint64_t got = http->received - pace->received;
        if (got < spent * pace->bytes_per_ms) {
            return shr_fail(err, SHREWD_NODE_BUSY,
                            "timeout: %llu bytes came in %llu ms; giving this connection up",
                            (unsigned long long)got, (unsigned long long)spent);
        }
        pace_start(pace, http, now);
        spent = 0;
    }
    if (pace->span_ms - spent < *left_ms) {
        *left_ms = pace->span_ms - spent;
    }
    return 0;
}

/* Runs the transfer to its end, its halt, or too long a time without progress. */
static int run_transfer(struct shr_http *http, struct shrewd_error *err) {
    uint64_t now = shr_now_ms();
    struct pace dead = {http->timeout_ms, DEAD_BYTES_PER_MS, 0, 0};
    struct pace slow = {(uint64_t)http->timeout_ms * SLOW_TIMEOUTS, SLOW_BYTES_PER_MS, 0, 0};
    pace_start(&dead, http, now);
    pace_start(&slow, http, now);
    for (;;) {
        int running = 0;
        uint64_t left = http->timeout_ms;
        if (curl_multi_perform(http->multi, &running) != CURLM_OK) {
            return shr_fail(err, SHREWD_NODE_BUSY, "libcurl cannot go on with the transfer");
        }
        if (running == 0) {
            return 0;
        }
        if (shr_halted(http->halt)) {
            return shr_fail(err, SHREWD_STOPPED, "stopped while asking the node");
        }
        now = shr_now_ms();
        int code = pace_check(&dead, http, now, &left, err);
        if (code == 0) {
            code = pace_check(&slow, http, now, &left, err);
        }
        if (code != 0) {
            return code;
        }
        struct curl_waitfd extra[2] = {{.fd = http->halt->stop->fd, .events = CURL_WAIT_POLLIN},
                                       {.fd = http->halt->fd, .events = CURL_WAIT_POLLIN}};
        curl_multi_poll(http->multi, extra, 2, (int)left, NULL);
    }
}

static CURLcode transfer_result(struct shr_http *http) {
    int left;
    CURLMsg *message;
    while ((message = curl_multi_info_read(http->multi, &left)) != NULL) {
        if (message->msg == CURLMSG_DONE && message->easy_handle == http->easy) {
            return message->data.result;
        }
    }
    return CURLE_RECV_ERROR;
}

int shr_http_ask(struct shr_http *http, long *status, struct shr_buf *out,
                 const struct shr_http_request *request, struct shrewd_error *err) {
    if (shr_halted(http->halt)) {
        return shr_fail(err, SHREWD_STOPPED, "stopped before asking the node");
    }
    char *url = shr_asprintf("%s%s", http->origin, request->path);
    shr_buf_clear(out);
    http->reply = out;
    http->reply_max = request->reply_max;
    http->too_large = false;
    http->detail[0] = 0;
    curl_easy_setopt(http->easy, CURLOPT_URL, url);
    if (request->body.data == NULL) {
        curl_easy_setopt(http->easy, CURLOPT_HTTPGET, 1L);
    } else {
        curl_easy_setopt(http->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len);
        curl_easy_setopt(http->easy, CURLOPT_POSTFIELDS, (const char *)request->body.data);
    }
    int code;
    if (curl_multi_add_handle(http->multi, http->easy) != CURLM_OK) {
        code = shr_fail(err, SHREWD_NODE_BUSY, "libcurl cannot begin the transfer");
    } else {
        code = run_transfer(http, err);
        CURLcode result = code == 0 ? transfer_result(http) : CURLE_OK;
        if (result != CURLE_OK) {
            code = fail_transfer(http, result, err);
        }
        curl_easy_getinfo(http->easy, CURLINFO_RESPONSE_CODE, status);
        curl_multi_remove_handle(http->multi, http->easy);
    }
    http->reply = NULL;
    free(url);
    return code;
}
