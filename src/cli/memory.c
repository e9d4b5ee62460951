/* --memory-mb: one budget, and what each part of shrewd gets of it. */
#include "cli/config.h"

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

static uint32_t share(const struct shr_config *config, uint32_t fifteenths) {
    return (uint32_t)((uint64_t)(config->memory_mb - REST_MB) * fifteenths / SHARES);
}

static uint32_t or_share(uint32_t given, const struct shr_config *config, uint32_t fifteenths) {
    return given == SHR_UNSET ? share(config, fifteenths) : given;
}

int shr_config_memory(struct shr_config *config, bool budget, struct shrewd_error *err) {
    if (!budget) {
        config->cache_mb = config->cache_mb == SHR_UNSET ? CACHE_MB_DEFAULT : config->cache_mb;
        config->read_cache_mb =
            config->read_cache_mb == SHR_UNSET ? READ_CACHE_MB_DEFAULT : config->read_cache_mb;
        return 0;
    }
    uint64_t given = 0, shares = ROOT_SHARE + BUFFERS_SHARE + PENDING_SHARE;
    given += config->cache_mb == SHR_UNSET ? 0 : config->cache_mb;
    given += config->read_cache_mb == SHR_UNSET ? 0 : config->read_cache_mb;
    given += config->prefetch_mb;
    shares += config->cache_mb == SHR_UNSET ? CACHE_SHARE : 0;
    shares += config->read_cache_mb == SHR_UNSET ? READ_CACHE_SHARE : 0;
    shares += config->prefetch_mb == 0 ? PREFETCH_SHARE : 0;
    uint64_t left = SHARES - shares; /* for what was given */
    uint64_t least = left == 0 ? 0 : REST_MB + (given * SHARES + left - 1) / left;
    if (config->memory_mb == SHR_UNSET) { /* what flags name may be more: they were asked for */
        config->memory_mb = MEMORY_MB_DEFAULT;
    } else if (config->memory_mb < least) {
        return shr_fail(err, SHREWD_INVALID,
                        "--memory-mb: %" PRIu32 " MiB are too few for what --cache-mb, "
                        "--read-cache-mb and --prefetch-mb take: the least is %" PRIu64,
                        config->memory_mb, least);
    }
    config->cache_mb = or_share(config->cache_mb, config, CACHE_SHARE);
    config->read_cache_mb = or_share(config->read_cache_mb, config, READ_CACHE_SHARE);
    config->prefetch_mb =
        config->prefetch_mb == 0 ? share(config, PREFETCH_SHARE) : config->prefetch_mb;
    config->pending_mb = share(config, PENDING_SHARE);
    config->root_cache_mb = share(config, ROOT_SHARE);
    config->write_buffer_mb = share(config, BUFFERS_SHARE);
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
