/* url.h: reading the node's URL and credentials.
 *
 * Accepted: http://[user:pass@]host[:port][/path] and https://..., and host[:port][/path] for
 * plain HTTP. Without a port: 80 and 443 where a scheme is given, else 8332. Credentials may be
 * percent-encoded (RFC 3986). ssh://, ssh2+http://... and user@host (tunnelled forms of the
 * reference) give SHREWD_UNSUPPORTED with what to do instead. No message shows a password.
 */
#ifndef SHR_NODE_URL_H
#define SHR_NODE_URL_H

#include "base/error.h"

#include <stdbool.h>

/* Owned strings; shr_node_url_free. */
struct shr_node_url {
    char *origin;   /* scheme://host:port */
    char *rpc_path; /* where JSON-RPC is, e.g. "/" or "/wallet/main" */
    char *root;     /* what precedes "/rest/...": "" unless the node sits below a path */
    char *user;     /* NULL when the URL carries no credentials */
    char *password; /* "" when only a user was given; NULL with user */
    char *shown;    /* origin and path without credentials: for messages */
};

/* On failure *out is {0}. */
int shr_node_url_parse(struct shr_node_url *out, const char *text, struct shrewd_error *err);
void shr_node_url_free(struct shr_node_url *url); /* fine on {0}; wipes the password */

/* Splits "user:pass" at its first colon; false when there is none or the user is empty. The
 * outputs are allocated. */
bool shr_split_auth(char **user, char **password, const char *text);
/* Overwrites, then frees; NULL is fine. */
void shr_free_secret(char *secret);

#endif
