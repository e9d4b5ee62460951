/* http.h: one keep-alive HTTP connection to the node, over libcurl. One exchange a call, no
 * retry (link.h does that); a halt ends an exchange in hand within milliseconds.
 *
 * Proxies of the environment are not used and redirects not followed: credentials go to the
 * host that was named and nowhere else. One thread at a time. */
#ifndef SHR_NODE_HTTP_H
#define SHR_NODE_HTTP_H

#include "base/buf.h"
#include "base/error.h"
#include "node/halt.h"

struct shr_http;

struct shr_http_request {
    const char *path;      /* what follows the origin, from its first / */
    struct shr_bytes body; /* JSON to POST; data NULL: GET */
    size_t reply_max;      /* bytes, after decompression */
    /* There is another way to ask for it: shr_link_ask returns a refusal in any case. */
    bool may_refuse;
};

/* `origin` is scheme://host:port, copied. `halt` is borrowed and outlives the result.
 * `timeout_ms`: how long an exchange may run while fewer than 1 KB/s arrive, counted anew each
 * time; over four times that, fewer than 4 KB/s are too few as well. A link that is faster than
 * that is waited for, however long it takes. */
int shr_http_open(struct shr_http **out, const char *origin, uint32_t timeout_ms,
                  struct shr_halt *halt, struct shrewd_error *err);
void shr_http_close(struct shr_http *http); /* NULL is fine */
/* Sent with every request from now on (HTTP basic). NULL, NULL: none. */
void shr_http_set_auth(struct shr_http *http, const char *user, const char *password);

/* Replaces `out` by the reply's body, whatever its *status. SHREWD_NODE_BUSY: no whole reply
 * came, which can pass. SHREWD_LIMIT: larger than reply_max. SHREWD_NODE: cannot pass (TLS).
 * SHREWD_STOPPED. */
int shr_http_ask(struct shr_http *http, long *status, struct shr_buf *out,
                 const struct shr_http_request *request, struct shrewd_error *err);

#endif
