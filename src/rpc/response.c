/* What every HTTP reply carries, cross-origin headers included. */
#include "base/alloc.h"
#include "rpc/http.h"

#include <stdlib.h>
#include <string.h>

/* The value of Access-Control-Allow-Origin for this request: the operator's "*" or only origin
 * as it is; of several (commas between), the one that asks. Caller frees; NULL for none. */
static char *allowed_origin(const char *cors, const char *origin) {
    if (strchr(cors, ',') == NULL) {
        return shr_strdup(cors);
    }
    for (const char *at = cors; *at != 0;) {
        at += strspn(at, ", ");
        size_t len = strcspn(at, ", ");
        if (len == 1 && *at == '*') {
            return shr_strdup("*");
        }
        if (origin != NULL && len > 0 && len == strlen(origin) && memcmp(at, origin, len) == 0) {
            return shr_strndup(at, len);
        }
        at += len;
    }
    return NULL;
}

static void add_cors(struct MHD_Response *response, const char *cors, const char *origin) {
    char *allowed = allowed_origin(cors, origin);
    if (allowed != NULL) {
        MHD_add_response_header(response, "Access-Control-Allow-Origin", allowed);
    }
    if (strchr(cors, ',') != NULL) {
        MHD_add_response_header(response, "Vary", "Origin");
    }
    free(allowed);
}

void shr_http_add_preflight(struct MHD_Response *response, struct MHD_Connection *connection) {
    const char *headers =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Access-Control-Request-Headers");
    MHD_add_response_header(response, "Access-Control-Allow-Methods", "GET, POST, OPTIONS");
    if (headers == NULL ||
        MHD_add_response_header(response, "Access-Control-Allow-Headers", headers) != MHD_YES) {
        MHD_add_response_header(response, "Access-Control-Allow-Headers", "Content-Type");
    }
    MHD_add_response_header(response, "Access-Control-Max-Age", "86400");
}

struct MHD_Response *shr_http_response(const struct shr_server *server,
                                       struct MHD_Connection *connection, struct shr_buf *body,
                                       const char *content_type) {
    struct MHD_Response *response =
        MHD_create_response_from_buffer_with_free_callback(body->len, body->data, free);
    if (response == NULL) {
        shr_out_of_memory(body->len);
    }
    *body = (struct shr_buf){0};
    if (content_type != NULL) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
    }
    if (server->cors != NULL) {
        add_cors(response, server->cors,
                 MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Origin"));
    }
    if (atomic_load(&server->stopping)) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    }
    return response;
}
