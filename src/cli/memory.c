/* --memory-mb: one budget, and what each part of shrewd gets of it. */
#include "cli/config.h"

#include "base/buf.h"
#include "base/log.h"

#include <inttypes.h>
#include <malloc.h>

/* Of any budget, for everything that has no share: the program, modules being compiled, stacks,
 * requests, what a write is made of. */
#define REST_MB 64u
/* Shares of what is left, in fifteenths. */
#define CACHE_SHARE 3u
#define BUFFERS_SHARE 2u
#define READ_CACHE_SHARE 3u
#define PENDING_SHARE 2u
#define PREFETCH_SHARE 1u
#define ROOT_SHARE 4u
#define SHARES 15u

#define MEMORY_MB_DEFAULT 1024u
/* glibc keeps what was freed in pools, one a thread, up to 8 a core: what one thread has freed no
 * other one uses. So few pools; large pieces, which come with each write, past them; and the end of
 * a pool is given back early. */
#define ARENAS_MAX 3
#define MMAP_MIN ((size_t)1 << 20)
#define TRIM_MIN ((size_t)4 << 20)
/* Of commands that only read, or run once. */
#define CACHE_MB_DEFAULT 256u
#define READ_CACHE_MB_DEFAULT 64u

/* A part that a flag may name. */
struct part {
    uint32_t *mb;
    uint32_t unset; /* what it is when no flag named it */
    uint32_t share;
    const char *flag;
};

/* What the shares are of: so many MiB, in so many shares; never 0, as some parts have no flag. */
struct pot {
    uint64_t mb;
    uint32_t shares;
};

static uint32_t share(struct pot pot, uint32_t n) {
    return (uint32_t)(pot.mb * n / pot.shares);
}

/* What flags name comes off the budget; the other parts share what is left of it, and have as much
 * as of the least budget. */
static int take_off(struct pot *pot, const struct shr_config *config, const struct part *parts,
                    size_t n, struct shrewd_error *err) {
    struct shr_buf flags = {0};
    uint64_t given = 0;
    pot->shares = SHARES;
    for (size_t i = 0; i < n; i++) {
        if (*parts[i].mb == parts[i].unset) {
            continue;
        }
        pot->shares -= parts[i].share;
        given += *parts[i].mb;
        if (*parts[i].mb > 0) {
            shr_buf_printf(&flags, "%s--%s", flags.len > 0 ? " and " : "", parts[i].flag);
        }
    }
    uint64_t others =
        ((uint64_t)(SHR_MEMORY_MB_LEAST - REST_MB) * pot->shares + SHARES - 1) / SHARES;
    uint64_t least = REST_MB + given + others;
    int code = 0;
    if (config->memory_mb < least) {
        code = shr_fail(err, SHREWD_INVALID,
                        "--memory-mb: %" PRIu32 " MiB are too few for the %" PRIu64 " of %s, and "
                        "%" PRIu64 " for the other parts: the least is %" PRIu64,
                        config->memory_mb, given, shr_buf_cstr(&flags), REST_MB + others, least);
    } else {
        pot->mb = config->memory_mb - REST_MB - given;
    }
    shr_buf_free(&flags);
    return code;
}

int shr_config_memory(struct shr_config *config, bool budget, struct shrewd_error *err) {
    if (!budget) {
        config->cache_mb = config->cache_mb == SHR_UNSET ? CACHE_MB_DEFAULT : config->cache_mb;
        config->read_cache_mb =
            config->read_cache_mb == SHR_UNSET ? READ_CACHE_MB_DEFAULT : config->read_cache_mb;
        return 0;
    }
    const struct part parts[] = {
        {&config->cache_mb, SHR_UNSET, CACHE_SHARE, "cache-mb"},
        {&config->read_cache_mb, SHR_UNSET, READ_CACHE_SHARE, "read-cache-mb"},
        {&config->prefetch_mb, 0, PREFETCH_SHARE, "prefetch-mb"},
    };
    size_t n = sizeof parts / sizeof parts[0];
    struct pot pot = {.mb = MEMORY_MB_DEFAULT - REST_MB, .shares = SHARES};
    if (config->memory_mb == SHR_UNSET) { /* what flags name comes on top: no bound was asked for */
        config->memory_mb = MEMORY_MB_DEFAULT;
    } else {
        int code = take_off(&pot, config, parts, n, err);
        if (code != 0) {
            return code;
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (*parts[i].mb == parts[i].unset) {
            *parts[i].mb = share(pot, parts[i].share);
        }
    }
    config->pending_mb = share(pot, PENDING_SHARE);
    config->root_cache_mb = share(pot, ROOT_SHARE);
    config->write_buffer_mb = share(pot, BUFFERS_SHARE);
    return 0;
}

void shr_config_tune_malloc(void) {
    mallopt(M_ARENA_MAX, ARENAS_MAX);
    mallopt(M_MMAP_THRESHOLD, (int)MMAP_MIN);
    mallopt(M_TRIM_THRESHOLD, (int)TRIM_MIN);
}

void shr_config_log_memory(const struct shr_config *config) {
    shr_info("state",
             "memory, in MiB: %" PRIu32 " for shrewd; of it or by flags, block cache %" PRIu32
             ", write buffers %" PRIu32 ", read cache %" PRIu32 ", blocks fetched ahead %" PRIu32
             ", blocks to commit %" PRIu32 ", pages of the state's tree %" PRIu32,
             config->memory_mb, config->cache_mb, config->write_buffer_mb, config->read_cache_mb,
             config->prefetch_mb, config->pending_mb, config->root_cache_mb);
}
