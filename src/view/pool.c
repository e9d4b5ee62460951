#include "view/pool.h"

#include "base/alloc.h"
#include "base/endian.h"

#include <pthread.h>
#include <stdlib.h>

#define BUCKETS 256u          /* of versions; as many as are likely to be idle at once */
#define IDLE_MAX 1024u        /* instances: each has mappings of its own, which the kernel counts */
#define OWN_BYTES (64u << 10) /* what an instance costs besides its linear memory, about */

struct idle {
    struct idle *next;
    struct shr_instance *instance;
    uint64_t bytes;
};

/* The idle instances of one version; there is at least one. The last given is taken first. */
struct group {
    struct shr_version at;
    struct idle *idle;
    struct group *chain;         /* of its bucket */
    struct group *newer, *older; /* by last use */
};

struct shr_pool {
    pthread_mutex_t mutex;
    uint64_t bytes_max;
    struct group *buckets[BUCKETS];
    struct group *newest, *oldest;
    size_t n_groups;
    struct shr_pool_stats stats;
};

struct shr_pool *shr_pool_new(uint64_t bytes_max) {
    struct shr_pool *pool = shr_alloc(sizeof *pool);
    pool->bytes_max = bytes_max;
    pthread_mutex_init(&pool->mutex, NULL);
    return pool;
}

void shr_pool_free(struct shr_pool *pool) {
    if (pool != NULL) {
        shr_pool_empty(pool);
        pthread_mutex_destroy(&pool->mutex);
        free(pool);
    }
}

static void free_idle(struct idle *idle) {
    while (idle != NULL) {
        struct idle *next = idle->next;
        shr_instance_free(idle->instance);
        free(idle);
        idle = next;
    }
}

/* --- With the mutex held --- */

static struct group **bucket_of(struct shr_pool *pool, const struct shr_version *at) {
    return &pool->buckets[shr_get_le32(at->hash.b) % BUCKETS];
}

static struct group *find(struct shr_pool *pool, const struct shr_version *at) {
    struct group *group = *bucket_of(pool, at);
    while (group != NULL && !shr_version_eq(&group->at, at)) {
        group = group->chain;
    }
    return group;
}

static void unlink_use(struct shr_pool *pool, struct group *group) {
    *(group->newer != NULL ? &group->newer->older : &pool->newest) = group->older;
    *(group->older != NULL ? &group->older->newer : &pool->oldest) = group->newer;
}

static void link_newest(struct shr_pool *pool, struct group *group) {
    group->newer = NULL;
    group->older = pool->newest;
    *(pool->newest != NULL ? &pool->newest->newer : &pool->oldest) = group;
    pool->newest = group;
}

/* The group of a version, now the newest; NULL when nothing of it is idle. */
static struct group *touch(struct shr_pool *pool, const struct shr_version *at) {
    struct group *group = find(pool, at);
    if (group != NULL) {
        unlink_use(pool, group);
        link_newest(pool, group);
    }
    return group;
}

static struct group *touch_or_add(struct shr_pool *pool, const struct shr_version *at) {
    struct group *group = touch(pool, at);
    if (group == NULL) {
        struct group **bucket = bucket_of(pool, at);
        group = shr_alloc(sizeof *group);
        group->at = *at;
        group->chain = *bucket;
        *bucket = group;
        pool->n_groups++;
        link_newest(pool, group);
    }
    return group;
}

static void remove_group(struct shr_pool *pool, struct group *group) {
    struct group **link = bucket_of(pool, &group->at);
    while (*link != group) {
        link = &(*link)->chain;
    }
    *link = group->chain;
    unlink_use(pool, group);
    pool->n_groups--;
    free(group);
}

/* Takes one instance out of a group, which goes when it was the last. */
static struct idle *pop(struct shr_pool *pool, struct group *group) {
    struct idle *idle = group->idle;
    group->idle = idle->next;
    pool->stats.instances--;
    pool->stats.bytes -= idle->bytes;
    if (group->idle == NULL) {
        remove_group(pool, group);
    }
    return idle;
}

/* Moves one instance of the group to *freed. */
static void evict_one(struct shr_pool *pool, struct group *group, struct idle **freed) {
    struct idle *idle = pop(pool, group);
    idle->next = *freed;
    *freed = idle;
    pool->stats.evicted++;
}

/* --- */

struct shr_instance *shr_pool_take(struct shr_pool *pool, const struct shr_version *at) {
    struct idle *idle = NULL;
    pthread_mutex_lock(&pool->mutex);
    struct group *group = touch(pool, at);
    if (group != NULL) {
        idle = pop(pool, group);
    }
    pthread_mutex_unlock(&pool->mutex);
    struct shr_instance *instance = idle != NULL ? idle->instance : NULL;
    free(idle);
    return instance;
}

void shr_pool_give(struct shr_pool *pool, const struct shr_version *at,
                   struct shr_instance *instance) {
    uint64_t bytes = shr_instance_memory(instance) + OWN_BYTES;
    if (!shr_instance_usable(instance) || bytes > pool->bytes_max / 4) {
        shr_instance_free(instance);
        return;
    }
    struct idle *freed = NULL;
    struct idle *idle = shr_alloc(sizeof *idle);
    *idle = (struct idle){.instance = instance, .bytes = bytes};
    pthread_mutex_lock(&pool->mutex);
    touch(pool, at); /* so that its own version gives up last */
    while (pool->stats.bytes + bytes > pool->bytes_max || pool->stats.instances >= IDLE_MAX) {
        evict_one(pool, pool->oldest, &freed);
    }
    struct group *group = touch_or_add(pool, at);
    idle->next = group->idle;
    group->idle = idle;
    pool->stats.instances++;
    pool->stats.bytes += bytes;
    pthread_mutex_unlock(&pool->mutex);
    free_idle(freed);
}

void shr_pool_empty(struct shr_pool *pool) {
    struct idle *freed = NULL;
    pthread_mutex_lock(&pool->mutex);
    while (pool->oldest != NULL) {
        evict_one(pool, pool->oldest, &freed);
    }
    pthread_mutex_unlock(&pool->mutex);
    free_idle(freed);
}

static void drop_version(struct shr_pool *pool, const struct shr_version *at) {
    struct idle *freed = NULL;
    pthread_mutex_lock(&pool->mutex);
    for (struct group *group; (group = find(pool, at)) != NULL;) {
        evict_one(pool, group, &freed);
    }
    pthread_mutex_unlock(&pool->mutex);
    free_idle(freed);
}

void shr_pool_drop(struct shr_pool *pool, bool (*gone)(void *ctx, const struct shr_version *at),
                   void *ctx) {
    pthread_mutex_lock(&pool->mutex);
    size_t n = 0;
    struct shr_version *versions = shr_alloc_array(pool->n_groups + 1, sizeof *versions);
    for (struct group *group = pool->oldest; group != NULL; group = group->newer) {
        versions[n++] = group->at;
    }
    pthread_mutex_unlock(&pool->mutex);
    for (size_t i = 0; i < n; i++) {
        if (gone(ctx, &versions[i])) {
            drop_version(pool, &versions[i]);
        }
    }
    free(versions);
}

void shr_pool_stats(struct shr_pool *pool, struct shr_pool_stats *out) {
    pthread_mutex_lock(&pool->mutex);
    *out = pool->stats;
    pthread_mutex_unlock(&pool->mutex);
}
