#include "node/link.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"

#include <stdlib.h>
#include <string.h>

#define COOKIE_SIZE_MAX 4096
#define DEFAULT_TIMEOUT_MS 30000u
/* A node that restarts writes its new cookie before it answers, so an old one is soon noticed. */
#define REFUSED_MAX 5u

static int set_fixed_auth(struct shr_link *link, const char *auth, struct shrewd_error *err) {
    if (auth != NULL) {
        char *user;
        char *password;
        if (!shr_split_auth(&user, &password, auth)) {
            return shr_fail(err, SHREWD_INVALID, "--auth: expected user:password");
        }
        free(link->url.user);
        shr_free_secret(link->url.password);
        link->url.user = user;
        link->url.password = password;
    }
    if (link->url.user != NULL) {
        shr_http_set_auth(link->http, link->url.user, link->url.password);
        link->has_auth = true;
    }
    return 0;
}

int shr_link_open(struct shr_link *link, struct shr_halt *halt, struct shr_source *source,
                  struct shr_retry_voice *voice, const struct shr_node_options *options,
                  struct shrewd_error *err) {
    *link = (struct shr_link){.halt = halt, .source = source, .silent = options->silent_since_ms};
    int code = shr_node_url_parse(&link->url, options->url, err);
    if (code != 0) {
        return code;
    }
    link->whom = shr_asprintf("node %s", link->url.shown);
    shr_retry_init(&link->retry, halt, voice, link->whom);
    code = shr_http_open(&link->http, link->url.origin,
                         options->timeout_ms == 0 ? DEFAULT_TIMEOUT_MS : options->timeout_ms, halt,
                         err);
    if (code == 0) {
        code = set_fixed_auth(link, options->auth, err);
    }
    if (code != 0) {
        shr_link_close(link);
        return code;
    }
    if (!link->has_auth && options->cookie_file != NULL) {
        link->cookie_file = shr_strdup(options->cookie_file);
    }
    return 0;
}

void shr_link_close(struct shr_link *link) {
    shr_http_close(link->http);
    shr_node_url_free(&link->url);
    free(link->whom);
    free(link->cookie_file);
    shr_free_secret(link->cookie);
    *link = (struct shr_link){0};
}

/* Reads the cookie file when there is one and its content is not known. */
static int load_cookie(struct shr_link *link, struct shrewd_error *err) {
    if (link->cookie_file == NULL || link->cookie != NULL) {
        return 0;
    }
    struct shr_buf text = {0};
    char *user = NULL;
    char *password = NULL;
    int code = shr_file_read(&text, link->cookie_file, COOKIE_SIZE_MAX, err);
    if (code == SHREWD_NOT_FOUND) {
        code = shr_fail(err, SHREWD_NODE_BUSY,
                        "no cookie file %s yet (the node writes it when it "
                        "starts, unless rpcpassword is set)",
                        link->cookie_file);
    } else if (code == 0) {
        char *cookie = shr_buf_cstr(&text);
        cookie[strcspn(cookie, "\r\n")] = 0;
        if (shr_split_auth(&user, &password, cookie)) {
            shr_http_set_auth(link->http, user, password);
            link->cookie = shr_strdup(cookie);
        } else {
            code = shr_fail(err, SHREWD_NODE_BUSY, "cookie file %s does not hold user:password",
                            link->cookie_file);
        }
    }
    if (text.data != NULL) {
        explicit_bzero(text.data, text.cap);
    }
    shr_buf_free(&text);
    free(user);
    shr_free_secret(password);
    return code;
}

static int judge_unauthorised(struct shr_link *link, struct shrewd_error *err) {
    if (link->cookie_file == NULL) {
        return shr_fail(err, SHREWD_NODE,
                        link->has_auth
                            ? "it refuses the user or password (401); check --auth, or give "
                              "--cookie-file"
                            : "it wants a user and password (401); give --auth user:password or "
                              "--cookie-file");
    }
    if (++link->refused >= REFUSED_MAX && !link->met) {
        return shr_fail(err, SHREWD_NODE,
                        "it refuses the cookie in %s (401); is this the cookie file of this node?",
                        link->cookie_file);
    }
    shr_free_secret(link->cookie);
    link->cookie = NULL;
    return shr_fail(err, SHREWD_NODE_BUSY, "it refuses the cookie (401); reading %s again",
                    link->cookie_file);
}

int shr_link_judge_status(long status, const struct shr_buf *body, struct shrewd_error *err) {
    if (status == 503 || status == 429) {
        const char *text = (const char *)body->data;
        size_t shown = strcspn(text, "\r\n");
        return shr_fail(err, SHREWD_NODE_BUSY, "it is too busy (HTTP %ld %.*s)", status,
                        (int)(shown < 80 ? shown : 80), text);
    }
    if (status >= 500 || status == 408) {
        return shr_fail(err, SHREWD_NODE_BUSY, "it answers HTTP %ld", status);
    }
    if (status == 404) {
        return shr_fail(err, SHREWD_NODE,
                        "nothing answers JSON-RPC at this path (404); check host, "
                        "port and path of the URL");
    }
    if (status >= 300) {
        return shr_fail(err, SHREWD_NODE, "it answers HTTP %ld; expected a Bitcoin node's JSON-RPC",
                        status);
    }
    return shr_fail(err, SHREWD_CORRUPT, "its reply is not what a Bitcoin node answers");
}

/* One try. SHREWD_NODE_BUSY and SHREWD_CORRUPT mean: again later; SHREWD_NODE and SHREWD_LIMIT do
 * from a node that is known. */
static int ask_once(struct shr_link *link, struct shr_buf *body,
                    const struct shr_http_request *request, shr_link_take *take, void *ctx,
                    struct shrewd_error *err) {
    int code = load_cookie(link, err);
    if (code != 0) {
        return code;
    }
    long status = 0;
    code = shr_http_ask(link->http, &status, body, request, err);
    if (code != 0) {
        return code;
    }
    if (status == 401) {
        return judge_unauthorised(link, err);
    }
    if (status == 403) {
        return shr_fail(err, SHREWD_NODE,
                        "it refuses this client (403); allow it with rpcallowip "
                        "or rpcwhitelist in the node's configuration");
    }
    link->refused = 0;
    shr_buf_cstr(body);
    return take(ctx, status, body, err);
}

/* Of all connections together: any one's answer counts. */
static void note(const struct shr_link *link, bool answered) {
    uint64_t since = 0;
    if (link->silent != NULL && answered) {
        atomic_store_explicit(link->silent, 0, memory_order_relaxed);
    } else if (link->silent != NULL) {
        atomic_compare_exchange_strong(link->silent, &since, shr_now_ms());
    }
}

int shr_link_ask(struct shr_link *link, struct shr_buf *body,
                 const struct shr_http_request *request, shr_link_take *take, void *ctx,
                 struct shrewd_error *err) {
    for (;;) {
        struct shrewd_error why = {0};
        atomic_fetch_add_explicit(&link->source->requests, 1, memory_order_relaxed);
        int code = ask_once(link, body, request, take, ctx, &why);
        if (code == SHREWD_CORRUPT) {
            link->garbled++;
            if (link->garbled == link->garbled_max) {
                code = SHREWD_NODE;
            }
        } else if (code != SHREWD_NODE_BUSY) {
            link->garbled = 0;
        }
        bool refused = code == SHREWD_NODE || code == SHREWD_LIMIT;
        bool passes = code == SHREWD_NODE_BUSY || code == SHREWD_CORRUPT ||
                      (refused && link->met && !request->may_refuse);
        if (!passes) {
            if (code == 0 || code == SHREWD_NOT_FOUND) {
                shr_retry_done(&link->retry);
                note(link, true);
            }
            if (code == SHREWD_LIMIT) {
                code = SHREWD_NODE;
            }
            return code == 0 ? 0 : shr_fail(err, code, "%s: %s", link->whom, why.message);
        }
        atomic_fetch_add_explicit(&link->source->retries, 1, memory_order_relaxed);
        note(link, false);
        if (shr_retry_pause(&link->retry, why.message)) {
            return shr_fail(err, SHREWD_STOPPED, "stopped while asking %s", link->whom);
        }
    }
}
