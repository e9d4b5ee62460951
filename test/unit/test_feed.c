/* The feed over a scripted source: order, checks, reorgs, seeks, bounds, ends, stops. */
#include "base/clock.h"
#include "base/log.h"
#include "node/feed.h"
#include "scripted_source.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

/* Nothing here takes as long, nor do the threads starve as long on a busy machine; and all that
 * ends by itself when it was missed (a call that hangs, a wait at the tip) takes longer. */
#define PATIENCE_MS 30000u

struct fixture {
    struct scripted_source *s;
    struct shr_feed *feed;
    struct shr_feed_block block;
    struct shrewd_error err;
};

static void begin(struct fixture *f, uint32_t first, uint32_t n, struct shr_feed_options options) {
    *f = (struct fixture){0};
    f->s = scripted_open(first, n, 10);
    assert_int_equal(shr_feed_open(&f->feed, &f->s->source, &options, &f->err), 0);
}

static void end(struct fixture *f) {
    shr_feed_close(f->feed);
    shr_buf_free(&f->block.raw);
    shr_source_close(&f->s->source);
}

static int next(struct fixture *f, uint32_t ms) {
    return shr_feed_next(f->feed, &f->block, ms, &f->err);
}

/* The next block is the chain's at this height. */
static void expect(struct fixture *f, uint32_t height) {
    assert_int_equal(next(f, PATIENCE_MS), 0);
    struct shr_hash want = scripted_hash(f->s, height);
    struct shr_hash hash;
    shr_header_hash(&hash, shr_buf_bytes(&f->block.raw));
    assert_int_equal(f->block.height, height);
    assert_memory_equal(&f->block.hash, &want, sizeof want);
    assert_memory_equal(&hash, &want, sizeof want);
}

static void delivers_in_order(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, 0, 300, (struct shr_feed_options){0});
    assert_int_equal(next(&f, 50), SHREWD_NOT_FOUND); /* nothing before a seek */
    assert_int_equal(f.s->block_calls, 0);
    shr_feed_seek(f.feed, 0);
    struct shr_hash prev = {{0}};
    for (uint32_t h = 0; h < 300; h++) {
        expect(&f, h);
        assert_memory_equal(&f.block.header.prev, &prev, sizeof prev);
        prev = f.block.hash;
    }
    assert_int_equal(shr_feed_tip_height(f.feed), 299);
    end(&f);
}

static void waits_at_the_tip_and_goes_on_at_once(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, 0, 3, (struct shr_feed_options){0});
    shr_feed_seek(f.feed, 2);
    expect(&f, 2);
    uint64_t start = shr_now_ms();
    assert_int_equal(next(&f, 150), SHREWD_NOT_FOUND);
    assert_in_range(shr_now_ms() - start, 145, PATIENCE_MS);
    scripted_grow(f.s, 2, 10);
    start = shr_now_ms();
    expect(&f, 3);
    expect(&f, 4);
    assert_int_equal(shr_feed_tip_height(f.feed), 4);
    /* A seek does not wait for the source's wait to end. */
    assert_int_equal(next(&f, 50), SHREWD_NOT_FOUND);
    shr_feed_seek(f.feed, 1);
    expect(&f, 1);
    assert_in_range(shr_now_ms() - start, 0, PATIENCE_MS);
    end(&f);
}

static void a_reorg_shows_in_the_parent(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, 0, 11, (struct shr_feed_options){0});
    shr_feed_seek(f.feed, 0);
    for (uint32_t h = 0; h <= 10; h++) {
        expect(&f, h);
    }
    struct shr_hash old_tip = f.block.hash;
    assert_int_equal(next(&f, 50), SHREWD_NOT_FOUND);
    scripted_reorg(f.s, 6, 10); /* heights 6 to 15 */
    expect(&f, 11);
    assert_memory_not_equal(&f.block.header.prev, &old_tip, sizeof old_tip);
    for (uint32_t h = 10; h >= 6; h--) { /* pop one, ask again */
        shr_feed_seek(f.feed, h);
        expect(&f, h);
    }
    for (uint32_t h = 7; h <= 15; h++) {
        expect(&f, h);
    }
    end(&f);
}

static void nothing_stale_after_a_seek(void **state) {
    (void)state;
    struct fixture f;
    uint32_t seed = 1;
    begin(&f, 0, 200, (struct shr_feed_options){.blocks_max = 8});
    for (int i = 0; i < 3000; i++) {
        seed = seed * 1664525 + 1013904223;
        uint32_t height = (seed >> 8) % 190;
        shr_feed_seek(f.feed, height);
        if (seed >> 30 == 0) {
            shr_feed_seek(f.feed, ++height);
        }
        for (uint32_t n = 0; n < (seed >> 20) % 4; n++) {
            expect(&f, height + n);
        }
        if (i % 100 == 99) { /* what was fetched ahead is of a chain that is gone */
            scripted_reorg(f.s, height, 200 - height);
            shr_feed_seek(f.feed, height);
            expect(&f, height);
        }
    }
    end(&f);
}

static void keeps_to_its_bounds(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, 0, 60, (struct shr_feed_options){.blocks_max = 4});
    shr_feed_seek(f.feed, 0);
    for (uint32_t h = 0; h < 60; h++) {
        if (h % 10 == 0) {
            usleep(20000); /* all the time it could want to run ahead */
        }
        expect(&f, h);
        pthread_mutex_lock(&f.s->lock);
        assert_in_range(f.s->block_calls, h + 1, h + 1 + 4);
        pthread_mutex_unlock(&f.s->lock);
    }
    end(&f);
    /* By bytes: blocks of 1 MB and room for 3 of them, another in hand. */
    f = (struct fixture){0};
    f.s = scripted_open(0, 12, 1000000);
    size_t block = f.s->all[0].raw.cap;
    struct shr_feed_options options = {.bytes_max = 3 * block};
    assert_int_equal(shr_feed_open(&f.feed, &f.s->source, &options, &f.err), 0);
    shr_feed_seek(f.feed, 0);
    for (uint32_t h = 0; h < 12; h++) {
        usleep(20000);
        expect(&f, h);
        pthread_mutex_lock(&f.s->lock);
        assert_in_range(f.s->block_calls, h + 1, h + 1 + 4);
        pthread_mutex_unlock(&f.s->lock);
    }
    end(&f);
    /* One block always fits. */
    f = (struct fixture){0};
    f.s = scripted_open(0, 3, 100000);
    options.bytes_max = 1;
    assert_int_equal(shr_feed_open(&f.feed, &f.s->source, &options, &f.err), 0);
    shr_feed_seek(f.feed, 0);
    for (uint32_t h = 0; h < 3; h++) {
        expect(&f, h);
    }
    end(&f);
}

static void a_bad_block_is_told_and_asked_again(void **state) {
    (void)state;
    for (int swaps = 0; swaps < 2; swaps++) {
        struct fixture f;
        begin(&f, 0, 10, (struct shr_feed_options){0});
        f.s->damage_height = 5;
        f.s->damage_times = 1;
        f.s->damage_swaps = swaps == 1;
        shr_feed_seek(f.feed, 0);
        for (uint32_t h = 0; h < 5; h++) { /* the good ones come first */
            expect(&f, h);
        }
        assert_int_equal(next(&f, PATIENCE_MS), SHREWD_BAD_BLOCK);
        assert_int_equal(f.err.code, SHREWD_BAD_BLOCK);
        assert_non_null(strstr(f.err.message, "height 5"));
        assert_int_equal(f.block.height, 4); /* untouched by the failure */
        expect(&f, 5);
        expect(&f, 6);
        pthread_mutex_lock(&f.s->lock); /* a second later, by the source's clock */
        assert_int_equal(f.s->damage_times, 0);
        assert_in_range(f.s->sound_ms - f.s->damaged_ms, 1000, PATIENCE_MS);
        pthread_mutex_unlock(&f.s->lock);
        end(&f);
    }
}

/* The failure ordered has happened, and has had the time to be told. */
static void wait_failed(struct fixture *f) {
    while (scripted_get(f->s, &f->s->fail_times) > 0) {
        usleep(1000);
    }
    usleep(30000);
}

static void a_failure_comes_after_the_good_blocks(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, 0, 10, (struct shr_feed_options){0});
    f.s->fail_height = 3;
    f.s->fail_times = 1;
    f.s->fail_code = SHREWD_NODE;
    shr_feed_seek(f.feed, 0);
    wait_failed(&f);
    for (uint32_t h = 0; h < 3; h++) {
        expect(&f, h);
    }
    assert_int_equal(next(&f, PATIENCE_MS), SHREWD_NODE);
    assert_string_equal(f.err.message, "scripted failure");
    for (uint32_t h = 3; h < 10; h++) {
        expect(&f, h);
    }
    /* A seek forgets a failure not delivered yet. */
    scripted_set(f.s, &f.s->fail_height, 8);
    scripted_set(f.s, &f.s->fail_times, 1);
    shr_feed_seek(f.feed, 8);
    wait_failed(&f);
    shr_feed_seek(f.feed, 1);
    expect(&f, 1);
    end(&f);
}

static void a_finite_source_ends_at_once(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, 100, 5, (struct shr_feed_options){0});
    f.s->ops.finite = true;
    shr_feed_seek(f.feed, 100);
    for (uint32_t h = 100; h < 105; h++) {
        expect(&f, h);
    }
    for (int i = 0; i < 3; i++) {
        uint64_t start = shr_now_ms();
        assert_int_equal(next(&f, 60000), SHREWD_NOT_FOUND);
        assert_in_range(shr_now_ms() - start, 0, PATIENCE_MS);
    }
    shr_feed_seek(f.feed, 103);
    expect(&f, 103);
    expect(&f, 104);
    shr_feed_seek(f.feed, 99); /* below what it holds: not its end */
    assert_int_equal(next(&f, PATIENCE_MS), SHREWD_IO);
    assert_non_null(strstr(f.err.message, "height 99"));
    end(&f);
}

struct stopper {
    struct shr_stop *stop;
    pthread_t thread;
};

static void *stop_soon(void *arg) {
    struct stopper *stopper = arg;
    usleep(50000);
    shr_stop_request(stopper->stop);
    return NULL;
}

static void stops_at_once(void **state) {
    (void)state;
    for (int what = 0; what < 4; what++) {
        struct fixture f;
        begin(&f, 0, 10, (struct shr_feed_options){.blocks_max = 2});
        struct stopper stopper = {.stop = &f.s->stop};
        f.s->hang = what == 1;                 /* in a call */
        f.s->damage_times = what == 2 ? 9 : 0; /* pausing after a bad block */
        shr_feed_seek(f.feed, what == 3 ? 10 : 0);
        if (what == 2) {
            assert_int_equal(next(&f, PATIENCE_MS), SHREWD_BAD_BLOCK);
        } else if (what == 0) {
            usleep(20000); /* its queue is full */
        }
        pthread_create(&stopper.thread, NULL, stop_soon, &stopper);
        uint64_t start = shr_now_ms();
        int code;
        do { /* the pause after a bad block may end before the stop comes */
            code = next(&f, 2 * PATIENCE_MS);
        } while (code == 0 || (what == 2 && code == SHREWD_BAD_BLOCK));
        if (what != 0) {
            assert_int_equal(code, SHREWD_STOPPED);
        }
        pthread_join(stopper.thread, NULL);
        assert_int_equal(next(&f, 2 * PATIENCE_MS), SHREWD_STOPPED);
        end(&f);
        assert_in_range(shr_now_ms() - start, 0, PATIENCE_MS);
    }
}

static void closes_at_once_without_a_stop(void **state) {
    (void)state;
    for (int what = 0; what < 4; what++) {
        struct fixture f;
        begin(&f, 0, 10, (struct shr_feed_options){.blocks_max = 2});
        f.s->hang = what == 1;
        uint64_t start = shr_now_ms();
        if (what > 0) {
            shr_feed_seek(f.feed, what == 3 ? 10 : 0); /* hanging, full queue, at the tip */
            usleep(30000);
        }
        shr_feed_close(f.feed);
        assert_in_range(shr_now_ms() - start, 0, PATIENCE_MS);
        struct shr_tip tip; /* the source goes on working */
        assert_false(shr_halted(&f.s->halt));
        assert_int_equal(shr_source_tip(&f.s->source, &tip, &f.err), 0);
        f.feed = NULL;
        end(&f);
    }
}

static void a_missing_block_is_waited_for(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, 0, 5, (struct shr_feed_options){0});
    f.s->missing_times = 1000; /* a node: it left the chain a moment ago, ask again */
    shr_feed_seek(f.feed, 2);
    do { /* until it is asked a second time */
        assert_int_equal(next(&f, 50), SHREWD_NOT_FOUND);
    } while (scripted_get(f.s, &f.s->missing_times) > 998);
    scripted_set(f.s, &f.s->missing_times, 0);
    expect(&f, 2);
    shr_feed_close(f.feed);
    f.s->ops.finite = true; /* files: it will never come */
    f.s->missing_times = 1;
    assert_int_equal(shr_feed_open(&f.feed, &f.s->source, NULL, &f.err), 0);
    shr_feed_seek(f.feed, 2);
    assert_int_equal(next(&f, PATIENCE_MS), SHREWD_IO);
    end(&f);
}

static void slow_sources_are_waited_for(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, 0, 4, (struct shr_feed_options){0});
    f.s->block_delay_ms = 120;
    f.s->held = true;
    shr_feed_seek(f.feed, 0);
    assert_int_equal(next(&f, 20), SHREWD_NOT_FOUND);
    scripted_hold(f.s, false);
    for (uint32_t h = 0; h < 4; h++) {
        expect(&f, h);
    }
    end(&f);
}

/* Waiting for room counts, once it ends. How much of a pause that is depends on when the fetcher
 * came to wait; it is never more than what has passed. */
static uint32_t take_until_waited(struct fixture *f, uint32_t height,
                                  const struct shr_feed_stats *stats, uint64_t start_ns) {
    uint64_t before_ns = stats->fetch_wait_ns;
    while (stats->fetch_wait_ns - before_ns < 40000000) {
        assert_in_range(height, 0, 90);
        while (stats->blocks_ready < 4) {
            usleep(1000);
        }
        usleep(50000); /* no room: it waits */
        expect(f, height++);
    }
    uint64_t counted_ns = stats->fetch_wait_ns + stats->fetch_busy_ns;
    assert_in_range(counted_ns, 0, shr_now_ns() - start_ns);
    return height;
}

static void counts_what_it_does(void **state) {
    (void)state;
    struct fixture f;
    struct shr_feed_stats stats = {0};
    uint64_t start_ns = shr_now_ns();
    begin(&f, 0, 100, (struct shr_feed_options){.blocks_max = 4, .stats = &stats});
    f.s->block_delay_ms = 5;
    assert_in_range(stats.fetchers, 1, 16);
    shr_feed_seek(f.feed, 0);
    for (uint32_t h = 0; h < 10; h++) {
        expect(&f, h);
    }
    while (stats.blocks_ready < 4) {
        usleep(1000);
    }
    assert_in_range(stats.bytes_ready, 4 * 100, 4 * 100000);
    assert_in_range(stats.fetch_busy_ns, 10 * 4000000, UINT64_MAX);
    assert_in_range(stats.check_busy_ns, 1, UINT64_MAX);
    atomic_fetch_add(&f.s->source.requests, 7);
    atomic_fetch_add(&f.s->source.retries, 3);
    for (uint32_t h = take_until_waited(&f, 10, &stats, start_ns); h < 100; h++) {
        expect(&f, h);
    }
    assert_int_equal(next(&f, 20), SHREWD_NOT_FOUND);
    assert_int_equal(stats.blocks_ready, 0);
    assert_int_equal(stats.bytes_ready, 0);
    assert_int_equal(stats.requests, 7);
    assert_int_equal(stats.retries, 3);
    end(&f);
    assert_int_equal(stats.fetchers, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(delivers_in_order),
        cmocka_unit_test(waits_at_the_tip_and_goes_on_at_once),
        cmocka_unit_test(a_reorg_shows_in_the_parent),
        cmocka_unit_test(nothing_stale_after_a_seek),
        cmocka_unit_test(keeps_to_its_bounds),
        cmocka_unit_test(a_bad_block_is_told_and_asked_again),
        cmocka_unit_test(a_failure_comes_after_the_good_blocks),
        cmocka_unit_test(a_finite_source_ends_at_once),
        cmocka_unit_test(stops_at_once),
        cmocka_unit_test(closes_at_once_without_a_stop),
        cmocka_unit_test(a_missing_block_is_waited_for),
        cmocka_unit_test(slow_sources_are_waited_for),
        cmocka_unit_test(counts_what_it_does),
    };
    shr_log_set_level(SHR_LOG_OFF);
    return cmocka_run_group_tests_name("feed", tests, NULL, NULL);
}
