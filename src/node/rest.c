#include "node/rest.h"

#include <stdio.h>
#include <string.h>

#define SMALL_REPLY_MAX (64u << 10)
#define BLOCK_REPLY_MAX ((size_t)SHR_BLOCK_SIZE_MAX + 65536)
#define PATH_MAX_LEN 4608 /* the URL's path, and ours behind it */

void shr_rest_init(struct shr_rest *rest, struct shr_link *link) {
    *rest = (struct shr_rest){.link = link};
}

void shr_rest_deinit(struct shr_rest *rest) {
    shr_buf_free(&rest->reply);
}

/* Any definite refusal is NOT_FOUND: a node without REST, or a proxy before it, may answer 404,
 * 400 or 405 alike. */
static int take_bytes(void *ctx, long status, struct shr_buf *body, struct shrewd_error *err) {
    if (status != 200) {
        int code = shr_link_judge_status(status, body, err);
        return code == SHREWD_NODE_BUSY
                   ? code
                   : shr_fail(err, SHREWD_NOT_FOUND, "REST answers HTTP %ld", status);
    }
    return 0;
}

static int get(struct shr_rest *rest, struct shr_buf *out, const char *path, size_t reply_max,
               shr_link_take *take, void *ctx, struct shrewd_error *err) {
    char full[PATH_MAX_LEN];
    snprintf(full, sizeof full, "%s/rest/%s", rest->link->url.root, path);
    struct shr_http_request request = {.path = full, .reply_max = reply_max};
    return shr_link_ask(rest->link, out, &request, take, ctx, err);
}

/* What a node without REST answers is no fault: only a reply that must be asked for again is. */
static int take_probe(void *ctx, long status, struct shr_buf *body, struct shrewd_error *err) {
    bool *answered = ctx;
    if (status != 200 && shr_link_judge_status(status, body, err) == SHREWD_NODE_BUSY) {
        return SHREWD_NODE_BUSY;
    }
    *answered = status == 200;
    return 0;
}

int shr_rest_probe(struct shr_rest *rest, bool *offered, const struct shr_hash *genesis,
                   struct shrewd_error *err) {
    bool answered = false;
    *offered = false;
    int code = get(rest, &rest->reply, "blockhashbyheight/0.bin", SMALL_REPLY_MAX, take_probe,
                   &answered, err);
    if (code == 0) {
        *offered = answered && shr_bytes_eq(shr_buf_bytes(&rest->reply),
                                            shr_bytes(genesis->b, sizeof genesis->b));
    }
    return code;
}

size_t shr_rest_read_headers(struct shr_hash *out, size_t n, const struct shr_hash *first,
                             struct shr_bytes reply) {
    size_t got = 0;
    for (; reply.len >= SHR_HEADER_SIZE && got < n; got++) {
        shr_header_hash(&out[got], reply);
        const uint8_t *prev = reply.data + 4;
        if (got == 0 ? !shr_hash_eq(&out[0], first)
                     : memcmp(prev, out[got - 1].b, sizeof out->b) != 0) {
            break;
        }
        reply = shr_bytes(reply.data + SHR_HEADER_SIZE, reply.len - SHR_HEADER_SIZE);
    }
    return got;
}

int shr_rest_hashes_from(struct shr_rest *rest, struct shr_hash *out, size_t *n_out,
                         const struct shr_hash *first, size_t n, struct shrewd_error *err) {
    char path[128];
    char hex[SHR_HASH_HEX_LEN + 1];
    shr_hash_hex(hex, first);
    snprintf(path, sizeof path, "headers/%zu/%s.bin", n, hex);
    int code =
        get(rest, &rest->reply, path, n * SHR_HEADER_SIZE + SMALL_REPLY_MAX, take_bytes, NULL, err);
    *n_out = code == 0 ? shr_rest_read_headers(out, n, first, shr_buf_bytes(&rest->reply)) : 0;
    return code;
}

int shr_rest_block(struct shr_rest *rest, struct shr_buf *out, const struct shr_hash *hash,
                   struct shrewd_error *err) {
    char path[128];
    char hex[SHR_HASH_HEX_LEN + 1];
    shr_hash_hex(hex, hash);
    snprintf(path, sizeof path, "block/%s.bin", hex);
    return get(rest, out, path, BLOCK_REPLY_MAX, take_bytes, NULL, err);
}
