/* fake_node.h: an HTTP server on 127.0.0.1 that answers like bitcoind over the chain of a scripted
 * source, and misbehaves where a test's plan says so. A thread for each connection. */
#ifndef SHR_TEST_FAKE_NODE_H
#define SHR_TEST_FAKE_NODE_H

#include "base/hex.h"
#include "scripted_source.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>

enum fake_act {
    FAKE_ANSWER,
    FAKE_DROP,      /* close instead of answering */
    FAKE_CUT,       /* close half-way through the answer */
    FAKE_STATUS,    /* answer `status` with `text` as body */
    FAKE_RAW,       /* send `text` instead of HTTP */
    FAKE_STALL,     /* say nothing until the client goes */
    FAKE_TRICKLE,   /* answer, one byte each 50 ms */
    FAKE_PACE,      /* answer, `status` bytes a second */
    FAKE_HUGE,      /* answer without an end */
    FAKE_GZIP,      /* answer, compressed */
    FAKE_RPC_ERROR, /* a JSON-RPC error: HTTP 500, code `status`, message `text` */
};

/* What happens to the first `times` requests whose path or body contains `match`. */
struct fake_plan {
    const char *match;
    enum fake_act act;
    int times;
    int status;
    const char *text;
};

#define FAKE_PLANS_MAX 4
#define FAKE_CLIENTS_MAX 256

struct fake_node {
    struct scripted_source *chain;
    struct shr_stop quit;
    pthread_t thread;
    int listener;
    uint16_t port;
    bool rest;
    pthread_mutex_t lock; /* everything below */
    struct fake_plan plans[FAKE_PLANS_MAX];
    const char *wants_auth; /* base64 of user:password; NULL: anyone */
    uint32_t connections;
    uint32_t requests;
    struct fake_client *clients[FAKE_CLIENTS_MAX]; /* the listener's thread only */
    uint32_t n_clients;
};

struct fake_client {
    struct fake_node *node;
    pthread_t thread;
    int fd;
    struct shr_buf in;    /* received, not consumed yet */
    struct shr_buf reply; /* head and body */
    bool gone;
};

static inline void fake_send(struct fake_client *c, const void *data, size_t len) {
    const char *at = data;
    while (len > 0 && !c->gone) {
        ssize_t sent = send(c->fd, at, len, MSG_NOSIGNAL);
        c->gone = sent <= 0;
        at += sent > 0 ? sent : 0;
        len -= sent > 0 ? (size_t)sent : 0;
    }
}

/* Waits up to `ms` for the client to send or go; false when time is up. */
static inline bool fake_poll(struct fake_client *c, int ms) {
    struct pollfd fds[2] = {{.fd = c->fd, .events = POLLIN},
                            {.fd = c->node->quit.fd, .events = POLLIN}};
    int n = poll(fds, 2, ms);
    c->gone = c->gone || fds[1].revents != 0;
    return n > 0;
}

static inline void fake_frame(struct fake_client *c, int status, const char *extra,
                              struct shr_bytes body) {
    shr_buf_clear(&c->reply);
    shr_buf_printf(&c->reply, "HTTP/1.1 %d X\r\n%sContent-Length: %zu\r\n\r\n", status, extra,
                   body.len);
    shr_buf_add(&c->reply, body);
}

static inline void fake_rpc_error(struct shr_buf *out, json_int_t id, int code, const char *text) {
    shr_buf_printf(out, "{\"result\":null,\"error\":{\"code\":%d,\"message\":\"%s\"},\"id\":%lld}",
                   code, text, (long long)id);
}

/* Appends the answer to one call. */
static inline void fake_call(struct fake_node *node, struct shr_buf *out, const json_t *call) {
    struct shr_source *chain = &node->chain->source;
    const char *method = json_string_value(json_object_get(call, "method"));
    const json_t *param = json_array_get(json_object_get(call, "params"), 0);
    json_int_t id = json_integer_value(json_object_get(call, "id"));
    struct shr_tip tip;
    struct shr_hash hash;
    struct shr_buf raw = {0};
    char hex[SHR_HASH_HEX_LEN + 1];
    scripted_tip(chain, &tip, NULL);
    shr_hash_hex(hex, &tip.hash);
    if (strcmp(method, "getblockchaininfo") == 0) {
        shr_buf_printf(out,
                       "{\"result\":{\"chain\":\"regtest\",\"blocks\":%u,\"bestblockhash\":"
                       "\"%s\"},\"error\":null,\"id\":%lld}",
                       tip.height, hex, (long long)id);
        return;
    }
    if (strcmp(method, "getblockhash") == 0) {
        if (scripted_hash_at(chain, &hash, (uint32_t)json_integer_value(param), NULL) != 0) {
            fake_rpc_error(out, id, -8, "Block height out of range");
            return;
        }
        shr_hash_hex(hex, &hash);
    } else if (strcmp(method, "getblock") == 0) {
        const char *text = json_string_value(param);
        shr_hash_parse(&hash, text, strlen(text));
        if (scripted_block(chain, &raw, &hash, NULL) != 0) {
            fake_rpc_error(out, id, -5, "Block not found");
            return;
        }
    } else if (strcmp(method, "getbestblockhash") != 0) {
        fake_rpc_error(out, id, -32601, "Method not found");
        return;
    }
    shr_buf_add_str(out, "{\"result\":\"");
    if (raw.len > 0) {
        shr_hex_encode(out, shr_buf_bytes(&raw));
    } else {
        shr_buf_add_str(out, hex);
    }
    shr_buf_printf(out, "\",\"error\":null,\"id\":%lld}\n", (long long)id);
    shr_buf_free(&raw);
}

static inline void fake_answer_rpc(struct fake_client *c, const char *body) {
    struct shr_buf out = {0};
    json_t *request = json_loads(body, 0, NULL);
    if (json_is_array(request)) {
        for (size_t i = 0; i < json_array_size(request); i++) {
            shr_buf_add_u8(&out, i == 0 ? '[' : ',');
            fake_call(c->node, &out, json_array_get(request, i));
        }
        shr_buf_add_u8(&out, ']');
    } else {
        fake_call(c->node, &out, request);
    }
    bool failed = json_is_object(request) && memmem(out.data, out.len, "\"error\":{", 9) != NULL;
    fake_frame(c, failed ? 500 : 200, "", shr_buf_bytes(&out));
    json_decref(request);
    shr_buf_free(&out);
}

static inline void fake_answer_rest(struct fake_client *c, const char *path) {
    struct shr_source *chain = &c->node->chain->source;
    struct shr_buf out = {0};
    struct shr_buf raw = {0};
    struct shr_hash hash;
    unsigned number;
    char hex[SHR_HASH_HEX_LEN + 1];
    int code = SHREWD_NOT_FOUND;
    if (!c->node->rest) {
        fake_frame(c, 404, "", shr_bytes_str(""));
        return;
    }
    if (sscanf(path, "/rest/blockhashbyheight/%u.bin", &number) == 1) {
        code = scripted_hash_at(chain, &hash, number, NULL);
        shr_buf_append(&out, hash.b, code == 0 ? sizeof hash.b : 0);
    } else if (sscanf(path, "/rest/block/%64[0-9a-f].bin", hex) == 1) {
        shr_hash_parse(&hash, hex, SHR_HASH_HEX_LEN);
        code = scripted_block(chain, &out, &hash, NULL);
    } else if (sscanf(path, "/rest/headers/%u/%64[0-9a-f].bin", &number, hex) == 2) {
        struct shr_hash at;
        shr_hash_parse(&hash, hex, SHR_HASH_HEX_LEN);
        code = 0;
        bool on = false;
        for (uint32_t h = 0; number > 0 && scripted_hash_at(chain, &at, h, NULL) == 0; h++) {
            on = on || shr_hash_eq(&at, &hash);
            if (on) {
                scripted_block(chain, &raw, &at, NULL);
                shr_buf_append(&out, raw.data, SHR_HEADER_SIZE);
                number--;
            }
        }
    }
    fake_frame(c, code == 0 ? 200 : 404, "", shr_buf_bytes(&out));
    shr_buf_free(&out);
    shr_buf_free(&raw);
}

/* RFC 1952 around one stored block of RFC 1951: compression is not the point here. */
static inline void fake_gzip(struct fake_client *c) {
    static const uint8_t head[] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1};
    const char *split = memmem(c->reply.data, c->reply.len, "\r\n\r\n", 4);
    struct shr_bytes body = {(const uint8_t *)split + 4, 0};
    body.len = c->reply.len - (size_t)(body.data - c->reply.data);
    struct shr_buf out = {0};
    uint32_t crc = ~0u;
    for (size_t i = 0; i < body.len; i++) {
        crc ^= body.data[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
        }
    }
    shr_buf_append(&out, head, sizeof head);
    shr_buf_add_le32(&out, (uint32_t)body.len | ~(uint32_t)body.len << 16);
    shr_buf_add(&out, body);
    shr_buf_add_le32(&out, ~crc);
    shr_buf_add_le32(&out, (uint32_t)body.len);
    fake_frame(c, 200, "Content-Encoding: gzip\r\n", shr_buf_bytes(&out));
    shr_buf_free(&out);
}

/* By the clock: where this thread was kept from running, what is due is sent after all. */
static inline void fake_pace(struct fake_client *c, uint64_t bytes_per_second) {
    uint64_t start = shr_now_ms();
    for (size_t sent = 0; sent < c->reply.len && !fake_poll(c, 50);) {
        uint64_t due = (shr_now_ms() - start) * bytes_per_second / 1000;
        size_t end = due < c->reply.len ? (size_t)due : c->reply.len;
        fake_send(c, c->reply.data + sent, end - sent);
        sent = end;
    }
}

static inline void fake_act(struct fake_client *c, const struct fake_plan *plan) {
    char zeros[4096] = {0};
    switch (plan->act) {
    case FAKE_DROP:
        c->gone = true;
        return;
    case FAKE_CUT:
        fake_send(c, c->reply.data, c->reply.len - c->reply.len / 3);
        c->gone = true;
        return;
    case FAKE_STATUS:
        fake_frame(c, plan->status, "", shr_bytes_str(plan->text));
        break;
    case FAKE_RAW:
        fake_send(c, plan->text, strlen(plan->text));
        c->gone = true;
        return;
    case FAKE_STALL:
        fake_poll(c, -1);
        return;
    case FAKE_TRICKLE:
        for (size_t i = 0; i < c->reply.len && !fake_poll(c, 50); i++) {
            fake_send(c, c->reply.data + i, 1);
        }
        c->gone = true;
        return;
    case FAKE_PACE:
        fake_pace(c, (uint64_t)plan->status);
        return;
    case FAKE_HUGE:
        fake_send(c, "HTTP/1.1 200 X\r\n\r\n", 18);
        while (!c->gone) {
            fake_send(c, zeros, sizeof zeros);
        }
        return;
    case FAKE_GZIP:
        fake_gzip(c);
        break;
    case FAKE_RPC_ERROR:
        shr_buf_clear(&c->in);
        fake_rpc_error(&c->in, 0, plan->status, plan->text);
        fake_frame(c, 500, "", shr_buf_bytes(&c->in));
        shr_buf_clear(&c->in);
        break;
    case FAKE_ANSWER:
        break;
    }
    fake_send(c, c->reply.data, c->reply.len);
}

/* Serves one request, whose head is text[0 .. body). */
static inline void fake_serve(struct fake_client *c, char *text, char *body) {
    struct fake_node *node = c->node;
    struct fake_plan plan = {.act = FAKE_ANSWER};
    pthread_mutex_lock(&node->lock);
    node->requests++;
    for (int i = 0; i < FAKE_PLANS_MAX && plan.act == FAKE_ANSWER; i++) {
        if (node->plans[i].times > 0 && strstr(text, node->plans[i].match) != NULL) {
            node->plans[i].times--;
            plan = node->plans[i];
        }
    }
    bool allowed = node->wants_auth == NULL || strstr(text, node->wants_auth) != NULL;
    pthread_mutex_unlock(&node->lock);
    char path[512] = "";
    sscanf(text, "%*s %511s", path);
    if (!allowed) {
        fake_frame(c, 401, "WWW-Authenticate: Basic realm=\"jsonrpc\"\r\n", shr_bytes_str(""));
    } else if (strncmp(text, "GET ", 4) == 0) {
        fake_answer_rest(c, path);
    } else {
        fake_answer_rpc(c, body);
    }
    fake_act(c, &plan);
}

static inline void fake_talk(struct fake_client *c) {
    while (!c->gone) {
        char *text = shr_buf_cstr(&c->in);
        char *split = strstr(text, "\r\n\r\n");
        const char *length = split == NULL ? NULL : strcasestr(text, "content-length:");
        size_t body_len = length == NULL ? 0 : strtoul(length + 15, NULL, 10);
        size_t need = split == NULL ? SIZE_MAX : (size_t)(split + 4 - text) + body_len;
        if (c->in.len >= need) {
            fake_serve(c, text, split + 4);
            shr_buf_clear(&c->in); /* no pipelining here */
            continue;
        }
        fake_poll(c, -1);
        ssize_t got = c->gone ? 0 : recv(c->fd, shr_buf_grow(&c->in, 65536), 65536, 0);
        c->gone = c->gone || got <= 0;
        c->in.len -= c->gone ? 0 : 65536 - (size_t)got;
    }
}

static inline void *fake_run_client(void *arg) {
    struct fake_client *client = arg;
    fake_talk(client);
    close(client->fd);
    shr_buf_free(&client->in);
    shr_buf_free(&client->reply);
    return NULL;
}

static inline void fake_accept(struct fake_node *node) {
    int one = 1;
    struct fake_client *client = shr_alloc(sizeof *client);
    client->node = node;
    client->fd = accept(node->listener, NULL, NULL);
    if (client->fd < 0) {
        free(client);
        return;
    }
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    pthread_mutex_lock(&node->lock);
    node->connections++;
    pthread_mutex_unlock(&node->lock);
    if (node->n_clients == FAKE_CLIENTS_MAX ||
        pthread_create(&client->thread, NULL, fake_run_client, client) != 0) {
        abort();
    }
    node->clients[node->n_clients++] = client;
}

static inline void *fake_run(void *arg) {
    struct fake_node *node = arg;
    struct pollfd fds[2] = {{.fd = node->listener, .events = POLLIN},
                            {.fd = node->quit.fd, .events = POLLIN}};
    while (!shr_stopped(&node->quit)) {
        poll(fds, 2, -1);
        if (fds[0].revents != 0) {
            fake_accept(node);
        }
    }
    for (uint32_t i = 0; i < node->n_clients; i++) {
        pthread_join(node->clients[i]->thread, NULL);
        free(node->clients[i]);
    }
    return NULL;
}

/* A server over n blocks of its own. */
static inline void fake_node_start(struct fake_node *node, uint32_t n, bool rest) {
    *node = (struct fake_node){.rest = rest};
    node->chain = scripted_open(0, n, 10);
    pthread_mutex_init(&node->lock, NULL);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof at;
    node->listener = socket(AF_INET, SOCK_STREAM, 0);
    if (shr_stop_init(&node->quit) != 0 || node->listener < 0 ||
        bind(node->listener, (struct sockaddr *)&at, sizeof at) != 0 ||
        listen(node->listener, 16) != 0 ||
        getsockname(node->listener, (struct sockaddr *)&at, &len) != 0 ||
        pthread_create(&node->thread, NULL, fake_run, node) != 0) {
        abort();
    }
    node->port = ntohs(at.sin_port);
}

static inline void fake_node_end(struct fake_node *node) {
    shr_stop_request(&node->quit);
    pthread_join(node->thread, NULL);
    close(node->listener);
    shr_stop_deinit(&node->quit);
    scripted_close(&node->chain->source);
    pthread_mutex_destroy(&node->lock);
}

static inline void fake_plan(struct fake_node *node, struct fake_plan plan) {
    pthread_mutex_lock(&node->lock);
    for (int i = 0; i < FAKE_PLANS_MAX; i++) {
        if (node->plans[i].times == 0) {
            node->plans[i] = plan;
            break;
        }
    }
    pthread_mutex_unlock(&node->lock);
}

/* True when every plan was carried out to its end. */
static inline bool fake_forget_plans(struct fake_node *node) {
    bool done = true;
    pthread_mutex_lock(&node->lock);
    for (int i = 0; i < FAKE_PLANS_MAX; i++) {
        done = done && node->plans[i].times == 0;
        node->plans[i].times = 0;
    }
    pthread_mutex_unlock(&node->lock);
    return done;
}

static inline void fake_want_auth(struct fake_node *node, const char *base64) {
    pthread_mutex_lock(&node->lock);
    node->wants_auth = base64;
    pthread_mutex_unlock(&node->lock);
}

static inline uint32_t fake_count(struct fake_node *node, const uint32_t *counter) {
    pthread_mutex_lock(&node->lock);
    uint32_t count = *counter;
    pthread_mutex_unlock(&node->lock);
    return count;
}

#endif
