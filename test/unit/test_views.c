/* The service that answers views: versions never mix, warm instances are bounded and never make a
 * call fail, verification, limits, cancelling, previews. */
#include "base/clock.h"
#include "base/log.h"
#include "views_help.h"

#include <pthread.h>

#define MIB ((uint64_t)1 << 20)

static struct shr_views_stats stats_of(struct shrewd *shrewd) {
    struct shr_views_stats stats;
    shr_views_stats(shr_lib_views(shrewd), &stats);
    return stats;
}

static int ask(struct shrewd *shrewd, struct shr_buf *out, const char *view, struct shr_bytes input,
               uint32_t height, struct shrewd_error *err) {
    struct shr_view_call call = {.view = view, .input = input, .height = height};
    return shr_views_call(shr_lib_views(shrewd), out, &call, NULL, err);
}

/* The answer of four bytes. */
static uint32_t number(struct shrewd *shrewd, const char *view, uint32_t input) {
    struct shr_buf out = {0};
    uint8_t bytes[4];
    shr_put_le32(bytes, input);
    assert_ok(ask(shrewd, &out, view, shr_bytes(bytes, 4), SHR_LATEST, err));
    assert_int_equal(out.len, 4);
    uint32_t answer = shr_get_le32(out.data);
    shr_buf_free(&out);
    return answer;
}

static void check_version(struct shrewd *shrewd, uint32_t asked, uint32_t height,
                          const struct shr_hash *hash) {
    struct shr_buf out = {0};
    struct shr_hash told;
    uint32_t told_height = 0;
    assert_ok(ask(shrewd, &out, "version", NO_BYTES, asked, err));
    const char *wrong = read_version(&told_height, &told, shr_buf_bytes(&out));
    if (wrong != NULL) {
        fail_msg("at %u: %s", asked, wrong);
    }
    assert_int_equal(told_height, height);
    assert_true(shr_hash_eq(&told, hash));
    shr_buf_free(&out);
}

/* Indexes a block on `prev` and gives its hash. */
static struct shr_hash extend(struct shrewd *shrewd, const struct shr_hash *prev, uint32_t height,
                              uint32_t salt) {
    struct made_block block;
    make_block(&block, prev, height, salt);
    assert_ok(shrewd_index_block(shrewd, block.bytes.data, block.bytes.len, err));
    shr_buf_free(&block.bytes);
    return block.hash;
}

/* --- Versions --- */

static void test_versions(void **state) {
    struct shrewd *shrewd = open_versions(&(struct shrewd_view_options){0}, NULL);
    struct shr_hash genesis = shr_network_by_name("regtest")->genesis_hash;
    for (int i = 0; i < 3; i++) {
        check_version(shrewd, SHR_LATEST, 0, &genesis);
    }
    assert_int_equal(stats_of(shrewd).warm, 2);
    assert_int_equal(stats_of(shrewd).fresh, 1);
    struct shr_hash first = extend(shrewd, &genesis, 1, 1);
    check_version(shrewd, SHR_LATEST, 1, &first);
    assert_int_equal(stats_of(shrewd).warm, 2);
    check_version(shrewd, 1, 1, &first);
    check_version(shrewd, 0, 0, &genesis);
    assert_int_equal(stats_of(shrewd).warm, 4);
    assert_int_equal(stats_of(shrewd).idle_instances, 2);
    shrewd_close(shrewd);
}

/* The same height on another chain is another version, and nothing of the first one stays. */
static void test_reorg(void **state) {
    struct shrewd *shrewd = open_versions(&(struct shrewd_view_options){0}, NULL);
    struct shr_hash genesis = shr_network_by_name("regtest")->genesis_hash;
    struct shr_hash hash = extend(shrewd, &genesis, 1, 1);
    check_version(shrewd, 1, 1, &hash);
    check_version(shrewd, 0, 0, &genesis);
    for (uint32_t salt = 2; salt < 10; salt++) {
        assert_ok(shrewd_rollback(shrewd, 0, err));
        assert_int_equal(stats_of(shrewd).idle_instances, 1);
        hash = extend(shrewd, &genesis, 1, salt);
        check_version(shrewd, 1, 1, &hash);
        check_version(shrewd, SHR_LATEST, 1, &hash);
        check_version(shrewd, 0, 0, &genesis);
        assert_int_equal(stats_of(shrewd).idle_instances, 2);
    }
    shrewd_close(shrewd);
}

/* Nobody tells of the reorg: even then versions do not mix. */
static void test_reorg_untold(void **state) {
    struct shrewd *shrewd = open_versions(&(struct shrewd_view_options){0}, NULL);
    struct shr_pair pair = {.key = TEXT("v")};
    uint8_t value[84] = {1};
    pair.value = shr_bytes(value, sizeof value);
    for (uint8_t salt = 1; salt < 6; salt++) {
        struct shr_block_change change = {.height = 1, .pairs = &pair, .n_pairs = 1};
        value[4] = salt;
        shr_sha256d(&change.hash, shr_bytes(value + 4, 80));
        assert_ok(shr_state_apply(shr_lib_state(shrewd), &change, false, err));
        check_version(shrewd, 1, 1, &change.hash);
        check_version(shrewd, SHR_LATEST, 1, &change.hash);
        assert_ok(shr_state_rollback(shr_lib_state(shrewd), 0, err));
    }
    shrewd_close(shrewd);
}

/* --- The pool --- */

/* Instances of many heights: never more than the bytes allowed; those asked for last stay. */
static void test_pool_bounded(void **state) {
    struct shrewd *shrewd =
        open_versions(&(struct shrewd_view_options){.pool_bytes = 2 * MIB}, NULL);
    struct shr_hash hashes[31] = {shr_network_by_name("regtest")->genesis_hash};
    for (uint32_t height = 1; height <= 30; height++) {
        hashes[height] = extend(shrewd, &hashes[height - 1], height, 1);
    }
    for (uint32_t height = 0; height <= 30; height++) {
        check_version(shrewd, height, height, &hashes[height]);
        assert_true(stats_of(shrewd).idle_bytes <= 2 * MIB);
    }
    struct shr_views_stats before = stats_of(shrewd);
    assert_true(before.idle_instances > 2 && before.idle_instances < 10);
    assert_int_equal(before.evicted, 31 - before.idle_instances);
    check_version(shrewd, 30, 30, &hashes[30]);
    check_version(shrewd, 29, 29, &hashes[29]);
    assert_int_equal(stats_of(shrewd).warm, before.warm + 2);
    check_version(shrewd, 0, 0, &hashes[0]);
    assert_int_equal(stats_of(shrewd).warm, before.warm + 2);
    shrewd_close(shrewd);
}

/* An instance that grew past its share, a quarter, is not kept. */
static void test_share(void **state) {
    struct shrewd *shrewd =
        open_versions(&(struct shrewd_view_options){.pool_bytes = 16 * MIB}, NULL);
    uint32_t most = 0;
    for (int i = 0; i < 20; i++) {
        uint32_t pages = number(shrewd, "grows", 0); /* before it grew */
        most = pages > most ? pages : most;
        assert_true(stats_of(shrewd).idle_bytes <= 4 * MIB);
    }
    assert_true(most > 32 && most <= 64);
    assert_true(stats_of(shrewd).fresh >= 4 && stats_of(shrewd).warm >= 10);
    shrewd_close(shrewd);
}

/* What fails in a reused instance is asked again in a new one. */
static void test_reuse_never_fails(void **state) {
    struct shrewd *shrewd = open_versions(&(struct shrewd_view_options){0}, NULL);
    for (int i = 0; i < 10; i++) {
        number(shrewd, "once", 0);
        assert_int_equal(number(shrewd, "doubled", 21), 42);
    }
    struct shr_views_stats stats = stats_of(shrewd);
    assert_int_equal(stats.retried, 9);
    assert_int_equal(stats.traps, 0);
    assert_int_equal(stats.fresh + stats.warm, 20);
    shrewd_close(shrewd);
}

/* A view that breaks instances does not cost the others their warm ones, until it behaves. */
static void test_breakers(void **state) {
    struct shrewd *shrewd = open_versions(&(struct shrewd_view_options){.result_max = MIB}, NULL);
    struct shr_buf out = {0};
    uint8_t fits[4], too_large[4];
    shr_put_le32(fits, 8);
    shr_put_le32(too_large, MIB + 1);
    assert_fails(ask(shrewd, &out, "traps", NO_BYTES, 0, err), SHREWD_TRAP, "unreachable");
    number(shrewd, "doubled", 1);
    for (uint64_t i = 1; i <= 10; i++) {
        assert_fails(ask(shrewd, &out, "traps", NO_BYTES, 0, err), SHREWD_TRAP, "unreachable");
        assert_fails(ask(shrewd, &out, "large", shr_bytes(too_large, 4), 0, err), SHREWD_LIMIT, "");
        number(shrewd, "doubled", 1);
        assert_int_equal(stats_of(shrewd).warm, i > 1 ? i - 1 : 0);
    }
    uint64_t fresh = stats_of(shrewd).fresh;
    for (int i = 0; i < 6; i++) {
        assert_ok(ask(shrewd, &out, "large", shr_bytes(fits, 4), 0, err));
    }
    assert_int_equal(stats_of(shrewd).fresh, fresh + 4);
    shr_buf_free(&out);
    shrewd_close(shrewd);
}

static void test_fresh_mode(void **state) {
    struct shrewd *shrewd =
        open_versions(&(struct shrewd_view_options){.fresh = true, .results_off = true}, NULL);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(number(shrewd, "counter", 0), 1);
    }
    struct shr_views_stats stats = stats_of(shrewd);
    assert_int_equal(stats.fresh, 5);
    assert_int_equal(stats.warm + stats.cached + stats.idle_instances, 0);
    shrewd_close(shrewd);
}

/* --- At once --- */

static bool quick(struct shrewd *shrewd, const char *view, uint32_t height) {
    struct shr_buf out = {0};
    struct shr_view_call call = {.view = view, .height = height};
    bool found = shr_views_quick(shr_lib_views(shrewd), &out, &call);
    shr_buf_free(&out);
    return found;
}

/* A warm instance of "counter" answers at once. On a busy machine it may take too long for that;
 * its place is another's then. How many calls the one that answered has had. */
static uint32_t quick_at_last(struct shrewd *shrewd, uint32_t calls, uint32_t height) {
    for (int i = 0; !quick(shrewd, "counter", height); i++) {
        struct shr_buf out = {0};
        assert_true(i < 100);
        assert_ok(ask(shrewd, &out, "counter", NO_BYTES, height, err));
        calls = shr_get_le32(out.data);
        assert_int_equal(calls, 1);
        shr_buf_free(&out);
    }
    return calls + 1;
}

/* A warm instance of the version answers, or nobody does; a call that takes long or fails is left
 * to those who may wait. */
static void test_quick(void **state) {
    struct shrewd *shrewd = open_versions(&(struct shrewd_view_options){0}, NULL);
    struct shr_hash genesis = shr_network_by_name("regtest")->genesis_hash;
    assert_false(quick(shrewd, "counter", SHR_LATEST));
    assert_int_equal(number(shrewd, "counter", 0), 1);
    uint32_t n = quick_at_last(shrewd, 1, SHR_LATEST);
    assert_int_equal(number(shrewd, "counter", 0), n + 1);
    extend(shrewd, &genesis, 1, 1);
    assert_false(quick(shrewd, "counter", SHR_LATEST));
    quick_at_last(shrewd, n + 1, 0);
    assert_false(quick(shrewd, "counter", 2));
    uint64_t calls = stats_of(shrewd).calls;
    assert_false(quick(shrewd, "traps", 0)); /* and its instance is gone */
    assert_false(quick(shrewd, "counter", 0));
    assert_int_equal(number(shrewd, "counter", SHR_LATEST), 1);
    uint64_t start = shr_now_ns();
    assert_false(quick(shrewd, "spins", SHR_LATEST));
    assert_in_range(shr_now_ns() - start, 1000000, 5000000000);
    assert_int_equal(stats_of(shrewd).calls, calls + 1);
    assert_int_equal(stats_of(shrewd).traps + stats_of(shrewd).timeouts, 0);
    shrewd_close(shrewd);
    shrewd = open_versions(&(struct shrewd_view_options){.fresh = true}, NULL);
    assert_false(quick(shrewd, "version", 0));
    check_version(shrewd, 0, 0, &genesis);
    assert_true(quick(shrewd, "version", 0)); /* kept */
    assert_int_equal(stats_of(shrewd).cached, 1);
    shrewd_close(shrewd);
}

/* --- Answers kept --- */

static bool cached(struct shrewd *shrewd, const char *view, uint32_t height) {
    struct shr_buf out = {0};
    struct shr_view_call call = {.view = view, .height = height};
    bool found = shr_views_cached(shr_lib_views(shrewd), &out, &call);
    shr_buf_free(&out);
    return found;
}

static void test_kept(void **state) {
    struct shrewd *shrewd = open_versions(&(struct shrewd_view_options){.fresh = true}, NULL);
    struct shr_hash genesis = shr_network_by_name("regtest")->genesis_hash;
    assert_false(cached(shrewd, "version", SHR_LATEST));
    for (int i = 0; i < 5; i++) {
        check_version(shrewd, i % 2 == 0 ? SHR_LATEST : 0, 0, &genesis);
    }
    assert_true(cached(shrewd, "version", SHR_LATEST));
    assert_int_equal(stats_of(shrewd).cached, 5);
    assert_int_equal(stats_of(shrewd).fresh, 1);
    struct shr_hash first = extend(shrewd, &genesis, 1, 1);
    assert_false(cached(shrewd, "version", SHR_LATEST));
    assert_true(cached(shrewd, "version", 0));
    assert_false(cached(shrewd, "version", 2));
    check_version(shrewd, SHR_LATEST, 1, &first);
    assert_int_equal(stats_of(shrewd).result_entries, 2);
    assert_ok(shrewd_rollback(shrewd, 0, err));
    assert_int_equal(stats_of(shrewd).result_entries, 1);
    struct shr_hash other = extend(shrewd, &genesis, 1, 2);
    check_version(shrewd, SHR_LATEST, 1, &other);
    check_version(shrewd, 1, 1, &other);
    shrewd_close(shrewd);
}

/* Failures are not kept; stateful answers only when asked to. */
static void test_kept_when(void **state) {
    struct shrewd *shrewd = open_versions(&(struct shrewd_view_options){.fresh = true}, NULL);
    struct shr_buf out = {0};
    for (int i = 0; i < 3; i++) {
        assert_fails(ask(shrewd, &out, "traps", NO_BYTES, 0, err), SHREWD_TRAP, "unreachable");
        assert_fails(ask(shrewd, &out, "nosuch", NO_BYTES, 0, err), SHREWD_NO_VIEW, "doubled");
    }
    assert_int_equal(stats_of(shrewd).traps, 3);
    assert_int_equal(stats_of(shrewd).cached, 0);
    shrewd_close(shrewd);
    shrewd = open_versions(&(struct shrewd_view_options){0}, NULL);
    assert_int_equal(number(shrewd, "counter", 0), 1);
    assert_int_equal(number(shrewd, "counter", 0), 2);
    shrewd_close(shrewd);
    shrewd = open_versions(&(struct shrewd_view_options){.results_bytes = MIB}, NULL);
    assert_int_equal(number(shrewd, "counter", 0), 1);
    assert_int_equal(number(shrewd, "counter", 0), 1);
    assert_int_equal(number(shrewd, "counter", 1), 2);
    shrewd_close(shrewd);
    shr_buf_free(&out);
}

/* --- Verification --- */

static struct shr_buf logged;
static unsigned lines_logged;
static pthread_mutex_t log_mutex = PTHREAD_MUTEX_INITIALIZER;

static void keep_log(void *ctx, enum shr_log_level level, const char *room, const char *message) {
    pthread_mutex_lock(&log_mutex);
    lines_logged++;
    shr_buf_printf(&logged, "%d %s %s\n", level, room, message);
    pthread_mutex_unlock(&log_mutex);
}

static void wait_verified(struct shrewd *shrewd, uint64_t n) {
    for (uint64_t from = shr_now_ms(); stats_of(shrewd).verified < n;) {
        assert_true(shr_now_ms() - from < 60000);
    }
}

static void test_verify(void **state) {
    shr_log_set_sink(keep_log, NULL);
    struct shrewd *shrewd =
        open_versions(&(struct shrewd_view_options){.verify_every = 3, .results_bytes = MIB}, NULL);
    for (uint32_t i = 0; i < 10; i++) { /* one fresh, nine warm: three verified */
        assert_int_equal(number(shrewd, "doubled", i), 2 * i);
    }
    wait_verified(shrewd, 3);
    assert_int_equal(stats_of(shrewd).differed, 0);
    for (uint32_t i = 1; i <= 3; i++) {
        assert_int_equal(number(shrewd, "counter", i + 0xab00), i);
    }
    wait_verified(shrewd, 4);
    assert_int_equal(stats_of(shrewd).differed, 1);
    /* The view runs fresh now, also where a stateful answer was kept; others stay warm. */
    for (uint32_t i = 1; i <= 5; i++) {
        assert_int_equal(number(shrewd, "counter", i + 0xab00), 1);
    }
    uint64_t warm = stats_of(shrewd).warm;
    assert_int_equal(number(shrewd, "doubled", 1000), 2000);
    assert_int_equal(stats_of(shrewd).warm, warm + 1);
    shrewd_close(shrewd);
    shr_log_set_sink(NULL, NULL);
    const char *line = strstr(shr_buf_cstr(&logged), "view 'counter' at 0 with input 0x03ab0000");
    assert_non_null(line);
    char hex[SHR_HASH_HEX_LEN + 1];
    struct shr_hash hash;
    shr_sha256(&hash, shr_bytes("\3\0\0\0", 4));
    for (size_t i = 0; i < 32; i++) {
        snprintf(hex + 2 * i, 3, "%02x", hash.b[i]);
    }
    assert_non_null(strstr(line, hex));
    shr_sha256(&hash, shr_bytes("\1\0\0\0", 4));
    for (size_t i = 0; i < 32; i++) {
        snprintf(hex + 2 * i, 3, "%02x", hash.b[i]);
    }
    assert_non_null(strstr(line, hex));
    shr_buf_free(&logged);
}

/* A view whose fresh answer is a failure differs as well. Closing does not wait for the rest. */
static void test_verify_end(void **state) {
    shr_log_set_sink(keep_log, NULL);
    struct shrewd *shrewd = open_versions(&(struct shrewd_view_options){.verify_every = 1}, NULL);
    for (uint32_t i = 0; i < 500; i++) {
        number(shrewd, "doubled", i);
    }
    shrewd_close(shrewd);
    shr_log_set_sink(NULL, NULL);
    shr_buf_free(&logged);
}

/* --- Limits --- */

static void test_limits(void **state) {
    struct shrewd *shrewd = open_versions(
        &(struct shrewd_view_options){
            .time_ms = 200, .memory_max = 16 * MIB, .result_max = MIB, .log_lines_max = 3},
        NULL);
    struct shr_buf out = {0};
    uint64_t from = shr_now_ms();
    assert_fails(ask(shrewd, &out, "spins", NO_BYTES, 0, err), SHREWD_TIMEOUT,
                 "200 ms, the limit (--view-timeout-ms)");
    assert_true(shr_now_ms() - from >= 200 && shr_now_ms() - from < 20000);
    assert_fails(ask(shrewd, &out, "allocates", NO_BYTES, 0, err), SHREWD_TRAP,
                 "it held 16 MiB of memory, and --view-instance-mb allows 16");
    assert_fails(ask(shrewd, &out, "recurses", NO_BYTES, 0, err), SHREWD_TRAP, "stack");
    assert_fails(ask(shrewd, &out, "points_past", NO_BYTES, 0, err), SHREWD_GUEST, "result");
    uint8_t size[4];
    shr_put_le32(size, MIB);
    assert_ok(ask(shrewd, &out, "large", shr_bytes(size, 4), 0, err));
    assert_int_equal(out.len, MIB);
    shr_put_le32(size, MIB + 1);
    assert_fails(ask(shrewd, &out, "large", shr_bytes(size, 4), 0, err), SHREWD_LIMIT,
                 "--view-result-mb");
    shr_log_set_sink(keep_log, NULL);
    lines_logged = 0;
    number(shrewd, "logs_ten", 0);
    shr_log_set_sink(NULL, NULL);
    assert_int_equal(lines_logged, 3);
    shr_buf_free(&logged);
    assert_int_equal(number(shrewd, "doubled", 21), 42);
    struct shr_views_stats stats = stats_of(shrewd);
    assert_int_equal(stats.timeouts, 1);
    assert_int_equal(stats.traps, 3);
    assert_int_equal(stats.limits, 1);
    shrewd_close(shrewd);
    shrewd = open_versions(&(struct shrewd_view_options){.memory_max = MIB / 8}, NULL);
    assert_fails(ask(shrewd, &out, "doubled", NO_BYTES, 0, err), SHREWD_LIMIT,
                 "--view-instance-mb");
    shrewd_close(shrewd);
    shr_buf_free(&out);
}

/* Heights that are not there. */
static void test_heights(void **state) {
    struct shrewd *shrewd = open_versions(&(struct shrewd_view_options){0}, NULL);
    struct shr_buf out = {0};
    assert_fails(ask(shrewd, &out, "doubled", NO_BYTES, 1, err), SHREWD_ABOVE_TIP, "the tip is 0");
    assert_ok(shrewd_rollback(shrewd, 0, err));
    assert_ok(shr_state_rollback_all(shr_lib_state(shrewd), err));
    shr_views_on_tip(shr_lib_views(shrewd));
    assert_fails(ask(shrewd, &out, "doubled", NO_BYTES, SHR_LATEST, err), SHREWD_NOT_FOUND, "");
    assert_false(cached(shrewd, "doubled", SHR_LATEST));
    shrewd_close(shrewd);
    shr_buf_free(&out);
}

struct canceller {
    _Atomic bool flag;
};

static void *cancel_soon(void *ctx) {
    struct canceller *canceller = ctx;
    usleep(50000);
    atomic_store(&canceller->flag, true);
    return NULL;
}

static void test_cancel(void **state) {
    struct shrewd *shrewd = open_versions(&(struct shrewd_view_options){.time_ms = 100000}, NULL);
    struct canceller canceller = {false};
    struct shr_buf out = {0};
    struct shr_view_call call = {.view = "spins"};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &canceller), 0);
    uint64_t from = shr_now_ms();
    assert_fails(shr_views_call(shr_lib_views(shrewd), &out, &call, &canceller.flag, err),
                 SHREWD_STOPPED, "");
    assert_true(shr_now_ms() - from < 20000);
    pthread_join(thread, NULL);
    assert_int_equal(stats_of(shrewd).cancelled, 1);
    assert_int_equal(number(shrewd, "doubled", 21), 42);
    shrewd_close(shrewd);
    shr_buf_free(&out);
}

/* --- Previews --- */

static void preview(struct shrewd *shrewd, struct shr_buf *out, const struct made_block *block,
                    uint32_t height) {
    struct shr_view_call call = {.view = "version", .height = height};
    assert_ok(shr_views_preview(shr_lib_views(shrewd), out, shr_buf_bytes(&block->bytes), &call,
                                NULL, err));
}

/* A preview answers what the view answers once the block is indexed; the state stays. */
static void test_preview(void **state) {
    struct shrewd *shrewd = open_versions(&(struct shrewd_view_options){0}, NULL);
    struct shr_hash tip = shr_network_by_name("regtest")->genesis_hash;
    struct shr_buf before = {0}, after = {0};
    for (uint32_t height = 1; height < 6; height++) {
        struct made_block block, other;
        make_block(&block, &tip, height, 1);
        make_block(&other, &tip, height, 2);
        preview(shrewd, &before, &block, SHR_LATEST);
        preview(shrewd, &after, &other, SHR_LATEST);
        assert_memory_not_equal(before.data, after.data, VERSION_SIZE);
        check_version(shrewd, SHR_LATEST, height - 1, &tip);
        assert_ok(shrewd_index_block(shrewd, block.bytes.data, block.bytes.len, err));
        assert_ok(ask(shrewd, &after, "version", NO_BYTES, SHR_LATEST, err));
        assert_bytes(shr_buf_bytes(&before), shr_buf_bytes(&after));
        preview(shrewd, &after, &block, height - 1); /* over the height below the tip */
        assert_bytes(shr_buf_bytes(&before), shr_buf_bytes(&after));
        tip = block.hash;
        shr_buf_free(&block.bytes);
        shr_buf_free(&other.bytes);
    }
    assert_int_equal(stats_of(shrewd).previews, 15);
    shr_buf_free(&before);
    shr_buf_free(&after);
    shrewd_close(shrewd);
}

struct previewer {
    struct shrewd *shrewd;
    struct made_block block;
    const char *wrong;
};

static void *previewer_main(void *ctx) {
    struct previewer *p = ctx;
    struct shr_buf out = {0};
    struct shr_view_call call = {.view = "version", .height = 0};
    for (int i = 0; i < 50 && p->wrong == NULL; i++) {
        struct shr_hash hash;
        uint32_t height = 0;
        if (shr_views_preview(shr_lib_views(p->shrewd), &out, shr_buf_bytes(&p->block.bytes), &call,
                              NULL, NULL) != 0) {
            p->wrong = "a preview failed";
            break;
        }
        p->wrong = read_version(&height, &hash, shr_buf_bytes(&out));
        if (p->wrong == NULL && (height != 1 || !shr_hash_eq(&hash, &p->block.hash))) {
            p->wrong = "the answer is of another preview's block";
        }
    }
    shr_buf_free(&out);
    return NULL;
}

/* Previews of different blocks at the same time, and views beside them, do not see each other. */
static void test_previews_apart(void **state) {
    struct shrewd *shrewd = open_versions(&(struct shrewd_view_options){0}, NULL);
    struct shr_hash genesis = shr_network_by_name("regtest")->genesis_hash;
    struct previewer previewers[4];
    pthread_t threads[4];
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, SHR_GUEST_THREAD_STACK);
    for (uint32_t i = 0; i < 4; i++) {
        previewers[i] = (struct previewer){.shrewd = shrewd};
        make_block(&previewers[i].block, &genesis, 1, i);
        assert_int_equal(pthread_create(&threads[i], &attr, previewer_main, &previewers[i]), 0);
    }
    pthread_attr_destroy(&attr);
    for (int i = 0; i < 50; i++) {
        check_version(shrewd, SHR_LATEST, 0, &genesis);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        if (previewers[i].wrong != NULL) {
            fail_msg("%s", previewers[i].wrong);
        }
        shr_buf_free(&previewers[i].block.bytes);
    }
    shrewd_close(shrewd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_versions),     cmocka_unit_test(test_reorg),
        cmocka_unit_test(test_reorg_untold), cmocka_unit_test(test_pool_bounded),
        cmocka_unit_test(test_share),        cmocka_unit_test(test_reuse_never_fails),
        cmocka_unit_test(test_quick),        cmocka_unit_test(test_breakers),
        cmocka_unit_test(test_fresh_mode),   cmocka_unit_test(test_kept),
        cmocka_unit_test(test_kept_when),    cmocka_unit_test(test_verify),
        cmocka_unit_test(test_verify_end),   cmocka_unit_test(test_limits),
        cmocka_unit_test(test_heights),      cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_preview),      cmocka_unit_test(test_previews_apart),
    };
    guest_signals_keep();
    return cmocka_run_group_tests_name("views", tests, NULL, NULL);
}
