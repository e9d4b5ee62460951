/* scripted_source.h: a block source in memory that does what a test tells it: change its chain,
 * serve damaged blocks, fail, hang, be slow. Counts what it is asked. */
#ifndef SHR_TEST_SCRIPTED_SOURCE_H
#define SHR_TEST_SCRIPTED_SOURCE_H

#include "base/alloc.h"
#include "base/clock.h"
#include "chain/build.h"
#include "node/halt.h"
#include "node/source.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SCRIPTED_BLOCKS_MAX 8192u

struct scripted_block {
    struct shr_hash hash;
    struct shr_buf raw;
};

struct scripted_source {
    struct shr_source source; /* first */
    struct shr_stop stop;
    struct shr_halt halt;
    struct shr_source_ops ops;
    int bell; /* a new tip, or wake() */
    pthread_mutex_t lock;
    struct scripted_block all[SCRIPTED_BLOCKS_MAX]; /* every block ever made */
    uint32_t n_all;
    uint32_t chain[SCRIPTED_BLOCKS_MAX]; /* indices into `all`; chain[i] has height first + i */
    uint32_t n_chain;
    uint32_t first;
    uint32_t salt; /* makes the blocks of each fork differ */
    /* what to do */
    uint32_t block_delay_ms;
    uint32_t damage_height; /* serve this height damaged ... */
    uint32_t damage_times;  /* ... so often */
    bool damage_swaps;      /* with another block, instead of a flipped byte */
    uint32_t fail_height;   /* answer fail_code for this height ... */
    uint32_t fail_times;    /* ... so often */
    int fail_code;
    uint32_t missing_times; /* block() knows no block, so often */
    bool hang;              /* block() does not return before a halt or the stop */
    bool held;              /* nor before this is false */
    /* what was asked */
    uint32_t block_calls;
    uint32_t hash_calls;
    uint64_t damaged_ms; /* when damage_height was last served damaged */
    uint64_t sound_ms;   /* when it was first served sound */
};

static inline struct scripted_source *scripted(struct shr_source *source) {
    return (struct scripted_source *)source;
}

static inline int scripted_tip(struct shr_source *source, struct shr_tip *out,
                               struct shrewd_error *err) {
    struct scripted_source *s = scripted(source);
    pthread_mutex_lock(&s->lock);
    int code = s->n_chain == 0 ? shr_fail(err, SHREWD_NOT_FOUND, "no block at all") : 0;
    if (code == 0) {
        *out = (struct shr_tip){s->first + s->n_chain - 1, s->all[s->chain[s->n_chain - 1]].hash};
    }
    pthread_mutex_unlock(&s->lock);
    return code;
}

static inline int scripted_hash_at(struct shr_source *source, struct shr_hash *out, uint32_t height,
                                   struct shrewd_error *err) {
    struct scripted_source *s = scripted(source);
    int code = 0;
    pthread_mutex_lock(&s->lock);
    s->hash_calls++;
    if (height == s->fail_height && s->fail_times > 0) {
        s->fail_times--;
        code = shr_fail(err, s->fail_code, "scripted failure");
    } else if (height < s->first || height - s->first >= s->n_chain) {
        code = shr_fail(err, SHREWD_NOT_FOUND, "no height %u", height);
    } else {
        *out = s->all[s->chain[height - s->first]].hash;
    }
    pthread_mutex_unlock(&s->lock);
    return code;
}

/* What a feed's thread reads or writes meanwhile is set and read so. */
static inline void scripted_set(struct scripted_source *s, uint32_t *what, uint32_t value) {
    pthread_mutex_lock(&s->lock);
    *what = value;
    pthread_mutex_unlock(&s->lock);
}

static inline uint32_t scripted_get(struct scripted_source *s, const uint32_t *what) {
    pthread_mutex_lock(&s->lock);
    uint32_t value = *what;
    pthread_mutex_unlock(&s->lock);
    return value;
}

static inline void scripted_hold(struct scripted_source *s, bool held) {
    pthread_mutex_lock(&s->lock);
    s->held = held;
    pthread_mutex_unlock(&s->lock);
}

static inline bool scripted_is_held(struct scripted_source *s) {
    pthread_mutex_lock(&s->lock);
    bool held = s->held;
    pthread_mutex_unlock(&s->lock);
    return held;
}

/* With the lock. */
static inline void scripted_serve(struct scripted_source *s, struct shr_buf *out, uint32_t at) {
    bool meant =
        s->damage_height - s->first < s->n_chain && s->chain[s->damage_height - s->first] == at;
    bool damage = meant && s->damage_times > 0;
    if (damage) {
        s->damage_times--;
        s->damaged_ms = shr_now_ms();
    } else if (meant && s->sound_ms == 0) {
        s->sound_ms = shr_now_ms();
    }
    shr_buf_set(out, shr_buf_bytes(&s->all[damage && s->damage_swaps ? at - 1 : at].raw));
    if (damage && !s->damage_swaps) {
        out->data[out->len - 5] ^= 1;
    }
}

static inline int scripted_block(struct shr_source *source, struct shr_buf *out,
                                 const struct shr_hash *hash, struct shrewd_error *err) {
    struct scripted_source *s = scripted(source);
    pthread_mutex_lock(&s->lock);
    s->block_calls++;
    bool hang = s->hang;
    uint32_t delay = s->block_delay_ms;
    pthread_mutex_unlock(&s->lock);
    if ((hang || delay > 0) && shr_halt_sleep(&s->halt, hang ? 60000 : delay)) {
        return shr_fail(err, SHREWD_STOPPED, "stopped");
    }
    while (scripted_is_held(s)) {
        if (shr_halt_sleep(&s->halt, 1)) {
            return shr_fail(err, SHREWD_STOPPED, "stopped");
        }
    }
    int code = SHREWD_NOT_FOUND;
    pthread_mutex_lock(&s->lock);
    bool missing = s->missing_times > 0;
    s->missing_times -= missing;
    for (uint32_t i = 0; i < s->n_all && code != 0 && !missing; i++) {
        if (shr_hash_eq(&s->all[i].hash, hash)) {
            scripted_serve(s, out, i);
            code = 0;
        }
    }
    pthread_mutex_unlock(&s->lock);
    return code == 0 ? 0 : shr_fail(err, code, "no such block");
}

/* Waits ten times as long as it may: what relies on the end of the time shows as being stuck, and
 * what is only slow, on a busy machine, does not. */
static inline int scripted_wait(struct shr_source *source, uint32_t ms, struct shrewd_error *err) {
    struct scripted_source *s = scripted(source);
    struct pollfd fds[3] = {{.fd = s->bell, .events = POLLIN},
                            {.fd = s->stop.fd, .events = POLLIN},
                            {.fd = s->halt.fd, .events = POLLIN}};
    poll(fds, 3, 10 * (int)ms);
    shr_bell_hush(s->bell);
    return shr_halted(&s->halt) ? shr_fail(err, SHREWD_STOPPED, "stopped") : 0;
}

static inline int scripted_genesis(struct shr_source *source, struct shr_hash *out,
                                   struct shrewd_error *err) {
    return scripted_hash_at(source, out, 0, err);
}

static inline void scripted_wake(struct shr_source *source) {
    shr_bell_ring(scripted(source)->bell);
}

static inline void scripted_halt(struct shr_source *source, bool on) {
    shr_halt_set(&scripted(source)->halt, on);
}

static inline void scripted_close(struct shr_source *source) {
    struct scripted_source *s = scripted(source);
    for (uint32_t i = 0; i < s->n_all; i++) {
        shr_buf_free(&s->all[i].raw);
    }
    close(s->bell);
    shr_halt_deinit(&s->halt);
    shr_stop_deinit(&s->stop);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* Appends n blocks of `padding` extra bytes each, linked to the chain's last. */
static inline void scripted_grow(struct scripted_source *s, uint32_t n, size_t padding) {
    pthread_mutex_lock(&s->lock);
    for (uint32_t i = 0; i < n; i++) {
        uint8_t extra[8];
        struct shr_buf script = {0};
        memset(shr_buf_grow(&script, padding + 1), 0x51, padding + 1);
        memcpy(extra, &s->salt, 4);
        memcpy(extra + 4, &s->n_chain, 4);
        struct shr_build_output output = {50, shr_buf_bytes(&script)};
        struct shr_build_block block = {.version = 4,
                                        .time = 1700000000 + s->n_chain,
                                        .bits = SHR_REGTEST_BITS,
                                        .height = s->first + s->n_chain + 1,
                                        .extra = shr_bytes(extra, sizeof extra),
                                        .outputs = &output,
                                        .n_outputs = 1};
        if (s->n_chain > 0) {
            block.prev = s->all[s->chain[s->n_chain - 1]].hash;
        }
        struct scripted_block *made = &s->all[s->n_all];
        struct shrewd_error err;
        if (s->n_all == SCRIPTED_BLOCKS_MAX ||
            shr_write_block(&made->raw, &made->hash, &block, &err) != 0) {
            abort();
        }
        s->chain[s->n_chain++] = s->n_all++;
        shr_buf_free(&script);
    }
    pthread_mutex_unlock(&s->lock);
    shr_bell_ring(s->bell);
}

/* A reorg: the chain loses every block from `height` on and gets `n` others. */
static inline void scripted_reorg(struct scripted_source *s, uint32_t height, uint32_t n) {
    pthread_mutex_lock(&s->lock);
    s->n_chain = height - s->first;
    s->salt++;
    pthread_mutex_unlock(&s->lock);
    scripted_grow(s, n, 10);
}

static inline struct scripted_source *scripted_open(uint32_t first, uint32_t n, size_t padding) {
    struct scripted_source *s = shr_alloc(sizeof *s);
    s->ops = (struct shr_source_ops){
        .tip = scripted_tip,
        .hash_at = scripted_hash_at,
        .block = scripted_block,
        .wait = scripted_wait,
        .genesis = scripted_genesis,
        .close = scripted_close,
        .wake = scripted_wake,
        .halt = scripted_halt,
        .name = "scripted",
    };
    s->first = first;
    if (shr_stop_init(&s->stop) != 0 || shr_halt_init(&s->halt, &s->stop) != 0) {
        abort();
    }
    s->bell = shr_bell_open();
    s->source = (struct shr_source){.ops = &s->ops, .stop = &s->stop};
    pthread_mutex_init(&s->lock, NULL);
    scripted_grow(s, n, padding);
    return s;
}

static inline struct shr_hash scripted_hash(struct scripted_source *s, uint32_t height) {
    pthread_mutex_lock(&s->lock);
    struct shr_hash hash = s->all[s->chain[height - s->first]].hash;
    pthread_mutex_unlock(&s->lock);
    return hash;
}

#endif
