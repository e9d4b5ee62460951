/* client.h: asking a running shrewd over JSON-RPC, for --server. One thread a client. */
#ifndef SHR_CLI_CLIENT_H
#define SHR_CLI_CLIENT_H

#include "base/buf.h"
#include "base/error.h"

#include <jansson.h>

struct shr_client;

/* `url`: http or https, with user:password@ when a proxy wants one. Connects on the first call. */
int shr_client_open(struct shr_client **out, const char *url, struct shrewd_error *err);
void shr_client_close(struct shr_client *client); /* NULL is fine */

/* From now on calls have 10 s each, for those that take no work; else 600 s, once a page of the
 * server was answered within 10 s. */
void shr_client_hurry(struct shr_client *client);
/* The URL without what stands between "://" and "@": passwords stay out of messages. Caller
 * frees. */
char *shr_client_shown(const char *url);

/* Calls `method`; takes over `params` (an array), also on failure. *result is the caller's, to
 * json_decref. An error the server answers comes back with its libshrewd code when it names one
 * (SHREWD_INVALID for refused parameters); SHREWD_NODE_BUSY: it cannot be reached; SHREWD_NODE:
 * what is there is no JSON-RPC server. */
int shr_client_call(struct shr_client *client, json_t **result, const char *method, json_t *params,
                    struct shrewd_error *err);
/* SHREWD_NODE: "the server at URL answered something that is not `what`", without a password. */
int shr_client_odd(const struct shr_client *client, const char *what, struct shrewd_error *err);
/* The same as shr_client_call for methods that answer bytes as a hex string; replaces `out`. */
int shr_client_call_hex(struct shr_client *client, struct shr_buf *out, const char *method,
                        json_t *params, struct shrewd_error *err);
/* What GET /health says; an empty object when there is no such page. */
json_t *shr_client_health(struct shr_client *client);
/* What GET /metrics says; replaces `out`, which is empty when there is no such page. */
void shr_client_metrics(struct shr_client *client, struct shr_buf *out);
/* The last indexed height; SHREWD_NOT_FOUND when nothing is indexed yet. */
int shr_client_height(struct shr_client *client, uint32_t *out, struct shrewd_error *err);

#endif
