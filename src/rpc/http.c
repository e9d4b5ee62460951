/* One HTTP request from its first header to the last byte of its answer.
 *
 * An HTTP thread receives the body, parses it, and answers at once what runs no guest, and calls of
 * views that lately were brief, in a warm instance: to hand such a call over and back takes longer
 * than it runs. Any other is queued for a worker with its connection suspended; the worker builds
 * the reply and resumes the connection, whose HTTP thread then sends it.
 */
#include "rpc/http.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/prompt.h"

#include <inttypes.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_JSON "application/json"

enum phase {
    RECEIVING,
    QUEUED, /* the worker's */
    READY,  /* the reply is there */
};

/* Why a body is thrown away while it comes in. */
enum refusal { NOT_REFUSED, TOO_LARGE, TOO_MUCH_HELD };

struct request {
    struct shr_job job; /* first: a job is its request */
    struct shr_server *server;
    struct MHD_Connection *connection;
    struct shr_hangup_item watched; /* while suspended */
    uint32_t kind;                  /* of call, for the lanes */
    enum phase phase;
    enum refusal refusal;
    uint64_t received; /* bytes of body */
    uint64_t held;     /* bytes counted in server->held */
    struct shr_buf body;
    struct shr_rpc_body parsed;
    struct shr_buf reply;
    bool in_hand;
};

static void release_body(struct request *request) {
    shr_rpc_body_free(&request->parsed);
    shr_buf_free(&request->body);
    atomic_fetch_sub(&request->server->held, request->held);
    request->held = 0;
}

static enum MHD_Result send_response(struct request *request, unsigned status,
                                     struct MHD_Response *response) {
    atomic_fetch_add(&request->server->stats.requests, 1);
    enum MHD_Result rc = MHD_queue_response(request->connection, status, response);
    MHD_destroy_response(response);
    return rc;
}

static enum MHD_Result send_reply(struct request *request, unsigned status,
                                  const char *content_type) {
    return send_response(
        request, status,
        shr_http_response(request->server, request->connection, &request->reply, content_type));
}

/* The reply to a POST: nothing at all when only notifications came. */
static enum MHD_Result send_rpc(struct request *request) {
    if (request->reply.len == 0) {
        return send_reply(request, MHD_HTTP_NO_CONTENT, NULL);
    }
    return send_reply(request, MHD_HTTP_OK, TEXT_JSON);
}

static enum MHD_Result send_fault(struct request *request, unsigned status, int code,
                                  const char *message) {
    atomic_fetch_add(&request->server->stats.faults, 1);
    shr_rpc_write_fault(&request->reply, code, message);
    return send_reply(request, status, TEXT_JSON);
}

static enum MHD_Result send_too_large(struct request *request) {
    char message[128];
    snprintf(message, sizeof message, "the body is larger than %zu bytes, the most that is read",
             request->server->body_max);
    return send_fault(request, MHD_HTTP_CONTENT_TOO_LARGE, SHR_RPC_LIMIT, message);
}

static bool is_get(const char *method) {
    return strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
}

static enum MHD_Result answer_get(struct request *request, const char *url) {
    struct shr_server *server = request->server;
    if (strcmp(url, "/") == 0) {
        shr_page_home(&request->reply, server);
        return send_reply(request, MHD_HTTP_OK, "text/html; charset=utf-8");
    }
    if (strcmp(url, "/health") == 0) {
        unsigned status = shr_page_health(&request->reply, server);
        return send_reply(request, status, TEXT_JSON);
    }
    if (strcmp(url, "/metrics") == 0) {
        shr_page_metrics(&request->reply, server);
        return send_reply(request, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8");
    }
    return send_fault(request, MHD_HTTP_NOT_FOUND, SHR_RPC_REQUEST,
                      "no such page: there are /, /health and /metrics; JSON-RPC is by POST");
}

static enum MHD_Result answer_other(struct request *request, const char *method) {
    if (strcmp(method, MHD_HTTP_METHOD_OPTIONS) == 0 && request->server->cors != NULL) {
        struct MHD_Response *response =
            shr_http_response(request->server, request->connection, &request->reply, NULL);
        shr_http_add_preflight(response, request->connection);
        return send_response(request, MHD_HTTP_NO_CONTENT, response);
    }
    atomic_fetch_add(&request->server->stats.faults, 1);
    shr_rpc_write_fault(&request->reply, SHR_RPC_REQUEST,
                        "this HTTP method is not served: send JSON-RPC by POST");
    struct MHD_Response *response =
        shr_http_response(request->server, request->connection, &request->reply, TEXT_JSON);
    MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW,
                            request->server->cors != NULL ? "GET, HEAD, POST, OPTIONS"
                                                          : "GET, HEAD, POST");
    return send_response(request, MHD_HTTP_METHOD_NOT_ALLOWED, response);
}

static void refuse(struct request *request, const char *message) {
    shr_rpc_body_refuse(&request->reply, &request->parsed, SHR_RPC_BUSY, message);
    atomic_fetch_add(&request->server->stats.faults, 1);
}

/* The reply is there: back to the HTTP thread, which sends it. */
static void resume(struct request *request) {
    release_body(request);
    request->phase = READY;
    MHD_resume_connection(request->connection);
}

static void abandon(struct request *request) {
    atomic_fetch_add(&request->server->stats.abandoned, 1);
    refuse(request, "not run: the client hung up");
}

/* On a worker, or abandoned on the thread that stops the server. */
static void run_job(struct shr_job *job, bool abandoned) {
    struct request *request = (struct request *)job;
    struct shr_server *server = request->server;
    if (abandoned) {
        atomic_fetch_add(&server->stats.refused, 1);
        refuse(request, "the server is stopping");
    } else if (shr_hangup_now(request->watched.fd)) {
        abandon(request);
    } else {
        uint64_t start_ns = shr_now_ns(), start_cpu_ns = shr_lane_cpu_ns();
        uint32_t errors = shr_rpc_body_answer(&request->reply, &request->parsed, &server->env,
                                              &request->watched.gone);
        atomic_fetch_add(&server->stats.faults, errors);
        shr_lane_ended(&server->lanes, request->kind, shr_lane_cpu_ns() - start_cpu_ns,
                       shr_now_ns() - start_ns);
    }
    shr_hangups_remove(server->hangups, &request->watched);
    resume(request);
}

static struct request *request_of(struct shr_hangup_item *watched) {
    return (struct request *)(void *)((char *)watched - offsetof(struct request, watched));
}

/* A client hung up: its call leaves the queue, so that others find room there. */
static bool claim_waiting(void *ctx, struct shr_hangup_item *watched) {
    struct shr_server *server = ctx;
    return shr_workers_take(server->workers, &request_of(watched)->job);
}

static void finish_waiting(void *ctx, struct shr_hangup_item *watched) {
    struct request *request = request_of(watched);
    abandon(request);
    resume(request);
}

int shr_http_hangups_start(struct shr_server *server, struct shrewd_error *err) {
    struct shr_hangups_options options = {
        .claim = claim_waiting, .finish = finish_waiting, .ctx = server};
    return shr_hangups_start(&server->hangups, &options, err);
}

/* Answers at once, or not at all: a call that turns out not to be brief, or fails, is begun again
 * by a worker, which measures it and says why. */
static bool answer_at_once(struct request *request) {
    struct shr_server *server = request->server;
    bool brief = shr_lane_brief(&server->lanes, request->kind);
    uint64_t start_ns = brief ? shr_lane_cpu_ns() : 0;
    bool done = shr_rpc_body_answer_at_once(&request->reply, &request->parsed, &server->env, brief);
    uint64_t took_ns = brief ? shr_lane_cpu_ns() - start_ns : 0;
    if (brief && took_ns > SHR_LANE_BRIEF_NS) { /* the next one is measured by a worker */
        shr_lane_ended(&server->lanes, request->kind, SHR_LANE_BRIEF_NS + 1, 0);
    } else if (brief && done) {
        shr_lane_ended(&server->lanes, request->kind, took_ns, 0);
    }
    return done;
}

static enum MHD_Result hand_over(struct request *request) {
    struct shr_server *server = request->server;
    request->job.run = run_job;
    request->job.slow = shr_lane_slow(&server->lanes, request->kind);
    request->phase = QUEUED;
    MHD_suspend_connection(request->connection);
    shr_hangups_add(server->hangups, &request->watched);
    if (!shr_workers_push(server->workers, &request->job)) {
        char message[128];
        snprintf(message, sizeof message,
                 "%" PRIu32 " calls are waiting already (--view-queue): try again later",
                 server->queue_max);
        atomic_fetch_add(&server->stats.refused, 1);
        refuse(request, atomic_load(&server->stopping) ? "the server is stopping" : message);
        shr_hangups_remove(server->hangups, &request->watched);
        resume(request);
    }
    return MHD_YES;
}

static enum MHD_Result answer_post(struct request *request) {
    struct shr_server *server = request->server;
    if (request->refusal == TOO_LARGE) {
        return send_too_large(request);
    }
    if (request->refusal == TOO_MUCH_HELD) {
        atomic_fetch_add(&server->stats.refused, 1);
        return send_fault(request, MHD_HTTP_OK, SHR_RPC_BUSY,
                          "too many large requests at once: try again later");
    }
    shr_workers_heed(server->workers);
    shr_rpc_body_parse(&request->parsed, shr_buf_bytes(&request->body));
    if (!shr_rpc_body_needs_worker(&request->parsed)) {
        uint32_t errors =
            shr_rpc_body_answer(&request->reply, &request->parsed, &server->env, NULL);
        atomic_fetch_add(&server->stats.faults, errors);
    } else {
        request->kind = shr_lane_kind(&request->parsed);
        if (!answer_at_once(request)) {
            return hand_over(request);
        }
    }
    release_body(request);
    return send_rpc(request);
}

/* One piece of body; MHD_NO hangs up. */
static enum MHD_Result receive(struct request *request, const char *data, size_t len, bool post) {
    struct shr_server *server = request->server;
    request->received += len;
    if (request->received > server->body_max && request->refusal == NOT_REFUSED) {
        request->refusal = TOO_LARGE;
        release_body(request);
    }
    if (!post || request->refusal != NOT_REFUSED) {
        return request->received > SHR_HTTP_DRAIN_MAX ? MHD_NO : MHD_YES;
    }
    shr_buf_append(&request->body, data, len);
    uint64_t more = request->body.cap - request->held;
    request->held += more;
    if (atomic_fetch_add(&server->held, more) + more > SHR_HTTP_HELD_MAX) {
        request->refusal = TOO_MUCH_HELD;
        release_body(request);
    }
    return MHD_YES;
}

/* A body announced as too large: no byte of it is kept. When the client waits for leave to send
 * it, or it is endless, the answer goes out at once. */
static bool refuse_at_once(struct request *request) {
    const char *length = MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND,
                                                     MHD_HTTP_HEADER_CONTENT_LENGTH);
    unsigned long long announced = length == NULL ? 0 : strtoull(length, NULL, 10);
    if (announced <= request->server->body_max) {
        return false;
    }
    request->refusal = TOO_LARGE;
    return announced > SHR_HTTP_DRAIN_MAX ||
           MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND,
                                       MHD_HTTP_HEADER_EXPECT) != NULL;
}

/* The library makes the HTTP threads: each sets itself up with its first request. */
static void set_up_thread(void) {
    static _Thread_local bool done;
    if (!done) {
        done = true;
        shr_name_thread("http");
        shr_prompt_thread();
    }
}

static enum MHD_Result begin(struct shr_server *server, struct MHD_Connection *connection,
                             void **con_cls) {
    set_up_thread();
    struct request *request = shr_alloc(sizeof *request);
    request->server = server;
    request->connection = connection;
    request->watched.fd =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    *con_cls = request;
    return refuse_at_once(request) ? send_too_large(request) : MHD_YES;
}

enum MHD_Result shr_http_request(void *cls, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *upload_data,
                                 size_t *upload_data_size, void **con_cls) {
    struct shr_server *server = cls;
    struct request *request = *con_cls;
    if (request == NULL) {
        return begin(server, connection, con_cls);
    }
    bool post = strcmp(method, MHD_HTTP_METHOD_POST) == 0;
    if (*upload_data_size > 0) {
        size_t len = *upload_data_size;
        *upload_data_size = 0;
        return receive(request, upload_data, len, post);
    }
    if (request->phase == READY) {
        return send_rpc(request);
    }
    if (request->phase == QUEUED) { /* only the worker may touch it now */
        return MHD_YES;
    }
    request->in_hand = true;
    pthread_mutex_lock(&server->mutex);
    server->in_hand++;
    pthread_mutex_unlock(&server->mutex);
    if (post) {
        return answer_post(request);
    }
    return is_get(method) ? answer_get(request, url) : answer_other(request, method);
}

void shr_http_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
                        enum MHD_RequestTerminationCode why) {
    struct shr_server *server = cls;
    struct request *request = *con_cls;
    if (request == NULL) {
        return;
    }
    *con_cls = NULL;
    if (request->in_hand) {
        pthread_mutex_lock(&server->mutex);
        server->in_hand--;
        pthread_cond_broadcast(&server->answered);
        pthread_mutex_unlock(&server->mutex);
    }
    release_body(request);
    shr_buf_free(&request->reply);
    free(request);
    /* A thread whose clients keep it busy never sleeps: it would keep its processor from the
     * others, and from their clients, until the kernel's next tick. */
    sched_yield();
}
