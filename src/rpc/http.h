/* http.h: inside the server: its state, shared by the files of this room that speak HTTP. */
#ifndef SHR_RPC_HTTP_H
#define SHR_RPC_HTTP_H

#include "rpc/accept.h"
#include "rpc/hangup.h"
#include "rpc/jsonrpc.h"
#include "rpc/lanes.h"
#include "rpc/workers.h"

#include <microhttpd.h>
#include <pthread.h>

/* All the bytes of request bodies held at once; past it calls are refused, not the host's
 * memory used up. */
#define SHR_HTTP_HELD_MAX (1ull << 30)
/* Of a body that is too large the rest is read and thrown away, so that the client gets its
 * answer; not for ever. */
#define SHR_HTTP_DRAIN_MAX (1ull << 30)

#define SHR_HTTP_THREADS_MAX 16u

struct shr_http_stats {
    _Atomic uint64_t requests;  /* HTTP requests answered */
    _Atomic uint64_t faults;    /* error objects sent */
    _Atomic uint64_t refused;   /* calls refused: queue full, too much held, stopping */
    _Atomic uint64_t abandoned; /* calls that waited when their client left */
};

struct shr_server {
    struct shr_rpc_env env;
    struct shr_http_stats stats;
    struct shr_workers *workers;
    struct shr_lanes lanes;
    struct shr_hangups *hangups; /* of the clients whose calls wait or run */
    uint32_t n_workers, queue_max;
    struct shr_http_thread http[SHR_HTTP_THREADS_MAX];
    unsigned n_http;
    struct shr_acceptor *acceptor;
    int listens; /* the socket */
    uint16_t port;
    char *cors; /* NULL: no such headers */
    size_t body_max;
    uint64_t start_ns;
    _Atomic bool stopping;
    _Atomic uint64_t held; /* bytes of bodies */
    pthread_mutex_t mutex;
    pthread_cond_t answered;
    uint32_t in_hand; /* requests received whole, whose answer is not sent yet */
};

/* Callbacks for the daemon; cls is the server. */
enum MHD_Result shr_http_request(void *cls, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *upload_data,
                                 size_t *upload_data_size, void **con_cls);
void shr_http_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
                        enum MHD_RequestTerminationCode why);

/* Starts server->hangups. */
int shr_http_hangups_start(struct shr_server *server, struct shrewd_error *err);

/* A response that takes over `body` (which it clears), with the headers every reply has. */
struct MHD_Response *shr_http_response(const struct shr_server *server,
                                       struct MHD_Connection *connection, struct shr_buf *body,
                                       const char *content_type);
/* Adds what the answer to an OPTIONS request needs beyond that. */
void shr_http_add_preflight(struct MHD_Response *response, struct MHD_Connection *connection);

/* A listening socket; *port is the one it got. The error names host and port. */
int shr_http_listen(int *fd, uint16_t *port, const char *host, struct shrewd_error *err);

/* Pages: append their text. */
void shr_page_home(struct shr_buf *out, struct shr_server *server);
unsigned shr_page_health(struct shr_buf *out, struct shr_server *server); /* HTTP status */
void shr_page_metrics(struct shr_buf *out, struct shr_server *server);

#endif
