/* fake_source.h: a source for the JSON-RPC server without database or module.
 *
 * Blocks 100 to 270; block h has the hash bytes h, h+1, ... and, when even, a root of 0xaa bytes.
 * Views: "echo" returns its input, "height" the height it runs at as decimal text, "empty"
 * nothing, "trap" traps with a message that is not UTF-8, "big" as many bytes as its input says
 * (decimal), "wait" until fake.gate opens, "spin" until it is cancelled (or the gate opens),
 * "sleep" 100 ms. "kept" is answered by the result cache: its input.
 */
#ifndef TEST_FAKE_SOURCE_H
#define TEST_FAKE_SOURCE_H

#include "base/alloc.h"
#include "base/error.h"
#include "rpc/source.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FAKE_FIRST 100u
#define FAKE_TIP 270u

struct fake {
    bool empty; /* nothing indexed */
    _Atomic bool gate;
    _Atomic int runs; /* guest calls begun */
    _Atomic int running;
    _Atomic int cancelled; /* "spin"s ended */
};

static inline int fake_block(void *ctx, struct shr_block_record *out, uint32_t height,
                             struct shrewd_error *err) {
    const struct fake *fake = ctx;
    if (fake->empty) {
        return shr_fail(err, SHREWD_NOT_FOUND, "no block is indexed yet");
    }
    if (height > FAKE_TIP) {
        return shr_fail(err, SHREWD_ABOVE_TIP, "block %u is not indexed: the tip is %u", height,
                        FAKE_TIP);
    }
    if (height < FAKE_FIRST) {
        return shr_fail(err, SHREWD_BELOW_START, "height %u is below %u", height, FAKE_FIRST);
    }
    *out = (struct shr_block_record){.height = height, .has_root = height % 2 == 0};
    for (size_t i = 0; i < sizeof out->hash.b; i++) {
        out->hash.b[i] = (uint8_t)(height + i);
        out->root.b[i] = out->has_root ? 0xaa : 0;
    }
    return 0;
}

static inline int fake_tip(void *ctx, struct shr_block_record *out, struct shrewd_error *err) {
    return fake_block(ctx, out, FAKE_TIP, err);
}

static inline int fake_guest(struct fake *fake, struct shr_buf *out,
                             const struct shr_view_call *call, uint32_t height,
                             const _Atomic bool *cancel, struct shrewd_error *err) {
    shr_buf_clear(out);
    if (strcmp(call->view, "echo") == 0) {
        shr_buf_add(out, call->input);
    } else if (strcmp(call->view, "height") == 0) {
        shr_buf_printf(out, "%u", height);
    } else if (strcmp(call->view, "trap") == 0) {
        return shr_fail(err, SHREWD_TRAP, "view \"trap\": \xff\xfe\"quoted\"\n\x01 unreachable");
    } else if (strcmp(call->view, "big") == 0) {
        size_t len = call->input.len == 4
                         ? (size_t)call->input.data[0] << 24 | (size_t)call->input.data[1] << 16 |
                               (size_t)call->input.data[2] << 8 | (size_t)call->input.data[3]
                         : 0;
        if (len > 0) {
            memset(shr_buf_grow(out, len), 0x5a, len);
        }
    } else if (strcmp(call->view, "wait") == 0) {
        while (!atomic_load(&fake->gate)) {
            usleep(1000);
        }
    } else if (strcmp(call->view, "spin") == 0) {
        while ((cancel == NULL || !atomic_load(cancel)) && !atomic_load(&fake->gate)) {
            usleep(1000);
        }
        atomic_fetch_add(&fake->cancelled, 1);
        return shr_fail(err, SHREWD_STOPPED, "cancelled");
    } else if (strcmp(call->view, "sleep") == 0) {
        usleep(100000);
    } else if (strcmp(call->view, "empty") != 0) {
        return shr_fail(err, SHREWD_NO_VIEW, "no view \"%s\"; there are echo, height", call->view);
    }
    return 0;
}

static inline int fake_view(void *ctx, struct shr_buf *out, const struct shr_view_call *call,
                            const _Atomic bool *cancel, struct shrewd_error *err) {
    struct fake *fake = ctx;
    struct shr_block_record block = {0};
    int rc = fake_block(ctx, &block, call->height == SHR_LATEST ? FAKE_TIP : call->height, err);
    if (rc != 0) {
        return rc;
    }
    atomic_fetch_add(&fake->runs, 1);
    atomic_fetch_add(&fake->running, 1);
    rc = fake_guest(fake, out, call, block.height, cancel, err);
    atomic_fetch_sub(&fake->running, 1);
    return rc;
}

/* The same view one height on, its answer preceded by the block. */
static inline int fake_preview(void *ctx, struct shr_buf *out, struct shr_bytes block,
                               const struct shr_view_call *call, const _Atomic bool *cancel,
                               struct shrewd_error *err) {
    struct shr_block_record at = {0};
    int rc = fake_block(ctx, &at, call->height == SHR_LATEST ? FAKE_TIP : call->height, err);
    if (rc == 0 && block.len < 80) {
        rc = shr_fail(err, SHREWD_BAD_BLOCK, "a block of %zu bytes has no header", block.len);
    }
    struct shr_buf result = {0};
    if (rc == 0) {
        rc = fake_guest(ctx, &result, call, at.height + 1, cancel, err);
    }
    if (rc == 0) {
        shr_buf_clear(out);
        shr_buf_printf(out, "%zu:", block.len);
        shr_buf_add(out, shr_buf_bytes(&result));
    }
    shr_buf_free(&result);
    return rc;
}

static inline bool fake_cached(void *ctx, struct shr_buf *out, const struct shr_view_call *call) {
    bool kept = strcmp(call->view, "kept") == 0;
    if (kept) {
        shr_buf_set(out, call->input);
    }
    return kept;
}

static inline int fake_prove(void *ctx, struct shr_proved *out, const struct shr_bytes *keys,
                             size_t n, uint32_t height, struct shrewd_error *err) {
    int rc = fake_block(ctx, &out->block, height == UINT32_MAX ? 270 : height, err);
    if (rc == 0) {
        out->n = n;
        out->values = shr_alloc_array(n + 1, sizeof *out->values);
        out->found = shr_alloc_array(n + 1, sizeof *out->found);
        for (size_t i = 0; i < n; i++) {
            out->found[i] = keys[i].len > 0; /* the empty key is absent, others hold themselves */
            shr_buf_add(&out->values[i], keys[i]);
        }
        shr_buf_add_u8(&out->proof, 1);
    }
    return rc;
}

/* The answer, and a read of the input. */
static inline int fake_prove_view(void *ctx, struct shr_view_proved *out,
                                  const struct shr_view_call *call, const _Atomic bool *cancel,
                                  struct shrewd_error *err) {
    struct shr_buf answer = {0};
    int rc = fake_view(ctx, &answer, call, cancel, err);
    if (rc == 0) {
        shr_reads_init(&out->keys);
        shr_reads_add(&out->keys, call->input);
        rc = fake_prove(ctx, &out->proved, out->keys.keys, 1, call->height, err);
    }
    if (rc == 0) {
        out->answer = answer;
    } else {
        shr_buf_free(&answer);
    }
    return rc;
}

/* Each path has, of the 16 nodes, the first as an inner one and the last as a leaf. */
static inline int fake_nodes(void *ctx, struct shr_block_record *block, struct shr_root_node *out,
                             const struct shr_node_path *paths, size_t n, uint32_t height,
                             struct shrewd_error *err) {
    int rc = fake_block(ctx, block, height == UINT32_MAX ? FAKE_TIP : height, err);
    if (rc == 0 && !block->has_root) {
        rc = shr_fail(err, SHREWD_NO_ROOT, "no root at %u", height);
    }
    memset(out, 0, SHR_ROOT_BELOW * n * sizeof *out);
    for (size_t i = 0; i < n; i++) {
        struct shr_root_node *nodes = out + SHR_ROOT_BELOW * i;
        nodes[0] = (struct shr_root_node){.kind = SHR_ROOT_INNER, .hash = paths[i].bits};
        nodes[15] = (struct shr_root_node){
            .kind = SHR_ROOT_LEAF, .key = paths[i].bits, .value.b = {(uint8_t)paths[i].nibbles}};
    }
    return rc;
}

/* One key: the prefix, and what it comes after. */
static inline int fake_keys(void *ctx, struct shr_block_record *block, struct shr_key_list *out,
                            const struct shr_key_range *range, struct shrewd_error *err) {
    uint32_t height = range->height == UINT32_MAX ? FAKE_TIP : range->height;
    int rc = fake_block(ctx, block, height, err);
    if (rc == 0) {
        struct shr_buf key = {0};
        struct shr_hash value = {{(uint8_t)range->count}};
        shr_buf_add(&key, range->prefix);
        shr_buf_add(&key, range->after);
        shr_key_list_add(out, shr_buf_bytes(&key), &value);
        out->more = range->has_after;
        shr_buf_free(&key);
    }
    return rc;
}

static inline void fake_stats(void *ctx, struct shr_views_stats *out) {
    *out = (struct shr_views_stats){.warm = 11, .fresh = 22, .cached = 33, .timeouts = 44};
}

static inline struct shr_rpc_source fake_source(struct fake *fake) {
    return (struct shr_rpc_source){.ctx = fake,
                                   .tip = fake_tip,
                                   .block = fake_block,
                                   .view = fake_view,
                                   .preview = fake_preview,
                                   .cached = fake_cached,
                                   .prove = fake_prove,
                                   .prove_view = fake_prove_view,
                                   .nodes = fake_nodes,
                                   .keys = fake_keys,
                                   .changed = fake_keys,
                                   .stats = fake_stats};
}

#endif
