/* link.h: asking the node until it answers: credentials, retries, and which failures pass.
 *
 * One thread at a time; the source's lock sees to it. */
#ifndef SHR_NODE_LINK_H
#define SHR_NODE_LINK_H

#include "node/http.h"
#include "node/retry.h"
#include "node/source.h"
#include "node/url.h"

struct shr_link {
    struct shr_node_url url;
    struct shr_halt *halt;     /* borrowed */
    struct shr_source *source; /* borrowed: its counters */
    struct shr_http *http;
    struct shr_retry retry;
    char *whom;        /* "node http://host:port": for messages */
    char *cookie_file; /* NULL: credentials, if any, are fixed */
    char *cookie;      /* as last read; NULL: read it before the next request */
    bool has_auth;
    _Atomic uint64_t *silent; /* as in the options */
    uint32_t refused;         /* 401 in a row */
    uint32_t garbled;         /* replies in a row that make no sense */
    /* Give up after so many of those (0: never): while it is not known yet to be a node. */
    uint32_t garbled_max;
    /* It is known to be a node, and has taken the credentials: whatever it refuses now may pass
     * (it restarts with another cookie or configuration, a proxy before it does), so that is told
     * and asked again. */
    bool met;
};

/* Reads URL and credentials; nothing is asked. `halt`, `source`
 * and `voice` outlive the link. */
int shr_link_open(struct shr_link *link, struct shr_halt *halt, struct shr_source *source,
                  struct shr_retry_voice *voice, const struct shr_node_options *options,
                  struct shrewd_error *err);
void shr_link_close(struct shr_link *link); /* fine on {0} */

/* Judges a reply, whose status is neither 401 nor 403; the body is NUL-terminated. 0: taken.
 * SHREWD_NODE_BUSY: ask again later. SHREWD_CORRUPT: it makes no sense; ask again later. Anything
 * else is final. */
typedef int shr_link_take(void *ctx, long status, struct shr_buf *body, struct shrewd_error *err);

/* Asks until `take` takes or refuses the reply. `body` is the caller's, for reuse. SHREWD_STOPPED,
 * SHREWD_NODE with what to do, or what `take` said. */
int shr_link_ask(struct shr_link *link, struct shr_buf *body,
                 const struct shr_http_request *request, shr_link_take *take, void *ctx,
                 struct shrewd_error *err);

/* `body` is NUL-terminated. Fills err with what an unexpected status means; SHREWD_NODE_BUSY,
 * SHREWD_CORRUPT (a 200 whose body was not understood) or SHREWD_NODE. */
int shr_link_judge_status(long status, const struct shr_buf *body, struct shrewd_error *err);

#endif
