/* Answers belong to the version that was asked for: many clients ask a module that keeps in memory
 * what it read first, while blocks arrive and reorgs take others away, at the tip and below.
 *
 * An answer carries three versions, which must be one: the height it was asked at, what the
 * instance kept, and what the state says now. And the test knows when each block was on the best
 * chain: the answer's block must have been (as the tip, when the tip was asked for) at some moment
 * of the call.
 *
 * SHREWD_STALENESS_CALLS: how many answers; a million for the long form. */
#include "base/clock.h"
#include "views_help.h"

#include <pthread.h>
#include <stdatomic.h>

#define CLIENTS 64
#define HEIGHTS 512u /* reorgs keep the chain shorter */
#define MADE_MAX 60000u
#define NEVER UINT64_MAX
#define ANSWERS_A_CHANGE 200u /* then clients wait for the next one: the chain keeps up */

/* Times count changes of the chain: `now` goes up before and after each, so that a change which a
 * call may or may not have seen counts for it. */
struct span {
    uint64_t from, to;
};

/* A block, and when it was on the best chain, and its tip. */
struct life {
    struct shr_hash hash;
    uint32_t height;
    struct span chain;
    struct span *tips;
    uint32_t n_tips;
};

struct world {
    struct shrewd *shrewd;
    _Atomic uint64_t now;
    _Atomic uint64_t left; /* answers to come */
    _Atomic uint64_t answers, historical;
    _Atomic uint32_t height; /* of the tip */
    _Atomic bool stop;
    const char *_Atomic wrong;
    _Atomic int code;      /* of the call that failed */
    pthread_rwlock_t lock; /* for what follows */
    struct life *lives;    /* every block ever made; never removed */
    uint32_t n_lives;
    uint32_t best[HEIGHTS]; /* index by height */
    /* the writer's */
    uint32_t blocks, reorgs;
};

static void fail_world(struct world *world, const char *wrong) {
    const char *none = NULL;
    atomic_compare_exchange_strong(&world->wrong, &none, wrong);
    atomic_store(&world->stop, true);
}

/* --- The clients --- */

static bool meets(struct span span, struct span call) {
    return span.from <= call.to && span.to >= call.from;
}

/* With the lock held for reading. */
static const struct life *find(const struct world *world, const struct shr_hash *hash,
                               uint32_t height) {
    for (uint32_t i = world->n_lives; i-- > 0;) {
        const struct life *life = &world->lives[i];
        if (life->height == height && shr_hash_eq(&life->hash, hash)) {
            return life;
        }
    }
    return NULL;
}

static const char *judge(const struct world *world, const struct shr_hash *hash, uint32_t height,
                         bool tip, struct span call) {
    const struct life *life = find(world, hash, height);
    if (life == NULL) {
        return "an answer of a block that was never made";
    }
    if (!tip) {
        return meets(life->chain, call) ? NULL
                                        : "a version that was not on the chain during the call";
    }
    for (uint32_t i = life->n_tips; i-- > 0;) {
        if (meets(life->tips[i], call)) {
            return NULL;
        }
    }
    return "latest answered from a block that was not the tip during the call";
}

static const char *check(struct world *world, uint32_t asked, struct span call,
                         struct shr_bytes answer) {
    struct shr_hash hash;
    uint32_t height = 0;
    const char *wrong = read_version(&height, &hash, answer);
    if (wrong != NULL) {
        return wrong;
    }
    if (asked != SHR_LATEST && asked != height) {
        return "an answer of another height than asked for";
    }
    pthread_rwlock_rdlock(&world->lock);
    wrong = judge(world, &hash, height, asked == SHR_LATEST, call);
    pthread_rwlock_unlock(&world->lock);
    return wrong;
}

static void *client_main(void *ctx) {
    struct world *world = ctx;
    struct rng rng = {shr_now_ns()};
    struct shr_buf out = {0};
    while (!atomic_load(&world->stop)) {
        if (atomic_load(&world->answers) > ANSWERS_A_CHANGE * (2 + atomic_load(&world->now) / 2)) {
            usleep(1000);
            continue;
        }
        /* The time first: a tip that was taken away before the call is then seen to have been. */
        struct span span = {.from = atomic_load(&world->now)};
        uint32_t tip = atomic_load(&world->height);
        uint32_t back = rng_below(&rng, 8);
        /* Half ask for the tip; the rest for some height near it, a few for any. */
        uint32_t height = rng_below(&rng, 2) == 0    ? SHR_LATEST
                          : rng_below(&rng, 16) == 0 ? rng_below(&rng, tip + 1)
                          : back > tip               ? 0
                                                     : tip - back;
        struct shr_view_call call = {.view = "version", .height = height};
        struct shrewd_error err = {0};
        int code = shr_views_call(shr_lib_views(world->shrewd), &out, &call, NULL, &err);
        span.to = atomic_load(&world->now);
        if (code == SHREWD_ABOVE_TIP && span.from != span.to) {
            continue; /* taken away meanwhile */
        }
        const char *wrong =
            code != 0 ? "a call failed" : check(world, height, span, shr_buf_bytes(&out));
        if (wrong != NULL) {
            atomic_store(&world->code, code);
            fail_world(world, wrong);
        }
        atomic_fetch_add(&world->historical, height != SHR_LATEST);
        if (atomic_fetch_add(&world->answers, 1) + 1 >= atomic_load(&world->left)) {
            atomic_store(&world->stop, true);
        }
    }
    shr_buf_free(&out);
    return NULL;
}

/* --- The chain --- */

/* With the lock held for writing. */
static void become_tip(struct life *life, uint64_t now) {
    life->tips = shr_realloc_array(life->tips, life->n_tips + 1, sizeof *life->tips);
    life->tips[life->n_tips++] = (struct span){now, NEVER};
}

static void be_no_tip(struct life *life, uint64_t now) {
    struct span *last = &life->tips[life->n_tips - 1];
    last->to = last->to < now ? last->to : now;
}

static bool add_block(struct world *world, const struct made_block *block, uint32_t height) {
    uint64_t now = atomic_fetch_add(&world->now, 1) + 1;
    pthread_rwlock_wrlock(&world->lock);
    struct life *life = &world->lives[world->n_lives];
    *life = (struct life){.hash = block->hash, .height = height, .chain = {now, NEVER}};
    become_tip(life, now);
    world->best[height] = world->n_lives++;
    pthread_rwlock_unlock(&world->lock);
    bool good = shrewd_index_block(world->shrewd, block->bytes.data, block->bytes.len, NULL) == 0;
    now = atomic_fetch_add(&world->now, 1) + 1;
    pthread_rwlock_wrlock(&world->lock);
    be_no_tip(&world->lives[world->best[height - 1]], now);
    pthread_rwlock_unlock(&world->lock);
    atomic_store(&world->height, height);
    world->blocks++;
    return good;
}

static bool roll_back(struct world *world, uint32_t to) {
    uint32_t tip = atomic_load(&world->height);
    atomic_store(&world->height, to); /* first: who sees the time below asks for no height above */
    uint64_t now = atomic_fetch_add(&world->now, 1) + 1;
    pthread_rwlock_wrlock(&world->lock);
    become_tip(&world->lives[world->best[to]], now);
    pthread_rwlock_unlock(&world->lock);
    bool good = shrewd_rollback(world->shrewd, to, NULL) == 0;
    now = atomic_fetch_add(&world->now, 1) + 1;
    pthread_rwlock_wrlock(&world->lock);
    for (uint32_t height = to + 1; height <= tip; height++) {
        struct life *life = &world->lives[world->best[height]];
        life->chain.to = now;
        be_no_tip(life, now);
    }
    pthread_rwlock_unlock(&world->lock);
    world->reorgs++;
    return good;
}

/* One or more blocks on a branch of their own. */
static bool grow(struct world *world, uint32_t n) {
    bool good = true;
    for (uint32_t i = 0; i < n && good; i++) {
        struct made_block block;
        uint32_t height = atomic_load(&world->height) + 1;
        make_block(&block, &world->lives[world->best[height - 1]].hash, height, world->n_lives);
        good = add_block(world, &block, height);
        shr_buf_free(&block.bytes);
    }
    return good;
}

/* Blocks and reorgs until the clients have asked enough. The pace leaves versions time to be used,
 * and to be taken away while they are. */
static void run_chain(struct world *world) {
    struct rng rng = {7};
    while (!atomic_load(&world->stop) && world->n_lives < MADE_MAX - 20) {
        uint32_t height = atomic_load(&world->height);
        uint32_t depth = 1 + rng_below(&rng, 6);
        bool good = true;
        if (height + 16 > HEIGHTS) {
            good = roll_back(world, 8);
        } else if (height > depth && rng_below(&rng, 3) == 0) {
            good = roll_back(world, height - depth);
            /* At once, or with the shorter chain to be seen; up to the same height, or past it. */
            if (rng_below(&rng, 2) == 0) {
                usleep(500);
            }
            good = good && grow(world, depth + rng_below(&rng, 2));
        } else {
            good = grow(world, 1);
        }
        if (!good) {
            fail_world(world, "a block or a rollback failed");
        }
        usleep(rng_below(&rng, 3000));
    }
}

/* --- */

static uint64_t calls_wanted(void) {
    const char *text = getenv("SHREWD_STALENESS_CALLS");
    if (text != NULL) {
        return strtoull(text, NULL, 10);
    }
#if defined(SHR_TEST_TSAN) || defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
    return 20000;
#else
    return 200000;
#endif
}

static void run_world(const struct shrewd_view_options *options, const char *db, uint64_t calls) {
    struct world *world = shr_alloc(sizeof *world);
    pthread_t threads[CLIENTS];
    pthread_attr_t attr;
    world->shrewd = open_versions(options, db);
    world->lives = shr_alloc_array(MADE_MAX, sizeof *world->lives);
    world->lives[0] =
        (struct life){.hash = shr_network_by_name("regtest")->genesis_hash, .chain = {0, NEVER}};
    become_tip(&world->lives[0], 0);
    world->n_lives = 1;
    atomic_store(&world->left, calls);
    pthread_rwlockattr_t writer_first;
    pthread_rwlockattr_init(&writer_first);
    pthread_rwlockattr_setkind_np(&writer_first, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&world->lock, &writer_first);
    pthread_rwlockattr_destroy(&writer_first);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, SHR_GUEST_THREAD_STACK);
    for (int i = 0; i < CLIENTS; i++) {
        assert_int_equal(pthread_create(&threads[i], &attr, client_main, world), 0);
    }
    pthread_attr_destroy(&attr);
    run_chain(world);
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(threads[i], NULL);
    }
    const char *wrong = atomic_load(&world->wrong);
    struct shr_views_stats stats;
    shr_views_stats(shr_lib_views(world->shrewd), &stats);
    print_message("%llu answers (%llu of heights named; %llu warm, %llu fresh, %llu kept), %u "
                  "blocks, %u reorgs, %llu instances given up\n",
                  (unsigned long long)world->answers, (unsigned long long)world->historical,
                  (unsigned long long)stats.warm, (unsigned long long)stats.fresh,
                  (unsigned long long)stats.cached, world->blocks, world->reorgs,
                  (unsigned long long)stats.evicted);
    if (wrong != NULL) {
        fail_msg("%s (code %d)", wrong, atomic_load(&world->code));
    }
    assert_true(world->answers >= calls);
    assert_true(world->blocks + world->reorgs >= calls / ANSWERS_A_CHANGE / 2);
    assert_true(world->blocks > 10 && world->reorgs > 1);
    assert_int_equal(stats.differed, 0);
    assert_true(options->fresh || options->results_bytes > 0 ? stats.cached > 0 : stats.warm > 0);
    shrewd_close(world->shrewd);
    pthread_rwlock_destroy(&world->lock);
    for (uint32_t i = 0; i < world->n_lives; i++) {
        free(world->lives[i].tips);
    }
    free(world->lives);
    free(world);
}

static void test_stateful(void **state) {
    char *dir = make_dir();
    /* Every answer that is verified is compared with a fresh one of the same version, too. */
    struct shrewd_view_options options = {.pool_bytes = (uint64_t)16 << 20, .verify_every = 50};
    run_world(&options, dir, calls_wanted());
    remove_dir(dir);
}

static void test_stateful_kept(void **state) {
    struct shrewd_view_options options = {.results_bytes = (uint64_t)1 << 20};
    run_world(&options, NULL, calls_wanted() / 4);
}

static void test_fresh_kept(void **state) {
    struct shrewd_view_options options = {.fresh = true, .results_bytes = (uint64_t)1 << 20};
    run_world(&options, NULL, calls_wanted() / 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stateful),
        cmocka_unit_test(test_stateful_kept),
        cmocka_unit_test(test_fresh_kept),
    };
    guest_signals_keep();
    return cmocka_run_group_tests_name("staleness", tests, NULL, NULL);
}
