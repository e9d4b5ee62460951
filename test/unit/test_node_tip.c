/* Following a node's tip: waiting for it by polling and by ZMQ, and hashes learnt ahead that must
 * not outlive a reorg. */
#include "base/clock.h"
#include "base/log.h"
#include "fake_node.h"
#include "node/ahead.h"
#include "node/feed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <zmq.h>

struct fixture {
    struct fake_node node;
    struct shr_stop stop;
    struct shr_source *source;
    struct shrewd_error err;
};

static void begin(struct fixture *f, uint32_t n, bool rest, struct shr_node_options options) {
    char url[128];
    memset(f, 0, sizeof *f);
    fake_node_start(&f->node, n, rest);
    assert_int_equal(shr_stop_init(&f->stop), 0);
    snprintf(url, sizeof url, "127.0.0.1:%u", f->node.port);
    options.url = url;
    assert_int_equal(shr_node_open(&f->source, &f->stop, &options, &f->err), 0);
}

static void end(struct fixture *f) {
    shr_source_close(f->source);
    fake_node_end(&f->node);
    shr_stop_deinit(&f->stop);
}

static bool is_current(struct fixture *f, uint32_t height) {
    struct shr_hash hash;
    struct shr_hash want = scripted_hash(f->node.chain, height);
    assert_int_equal(shr_source_hash_at(f->source, &hash, height, &f->err), 0);
    return shr_hash_eq(&hash, &want);
}

static uint64_t timed_wait(struct fixture *f, uint32_t ms) {
    uint64_t from = shr_now_ms();
    assert_int_equal(shr_source_wait(f->source, ms, &f->err), 0);
    return shr_now_ms() - from;
}

/* The same while another thread does something after 100 ms. */
static uint64_t timed_wait_during(struct fixture *f, void *(*act)(void *)) {
    pthread_t thread;
    uint64_t from = shr_now_ms();
    pthread_create(&thread, NULL, act, f);
    assert_int_equal(shr_source_wait(f->source, 20000, &f->err), 0);
    uint64_t spent = shr_now_ms() - from;
    pthread_join(thread, NULL);
    return spent;
}

static void *grow_later(void *arg) {
    struct fixture *f = arg;
    usleep(100000);
    scripted_grow(f->node.chain, 1, 10);
    return NULL;
}

static void *wake_later(void *arg) {
    struct fixture *f = arg;
    usleep(100000);
    f->source->ops->wake(f->source);
    return NULL;
}

static void waits_by_polling(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, 5, false, (struct shr_node_options){.poll_ms = 50});
    assert_in_range(timed_wait(&f, 200), 195, 5000); /* nothing new */
    assert_in_range(timed_wait_during(&f, grow_later), 99, 5000);
    assert_true(is_current(&f, 5));
    assert_in_range(timed_wait_during(&f, wake_later), 99, 5000);
    /* A change seen by another call meanwhile is not lost to the one who waits. */
    struct shr_tip tip;
    scripted_grow(f.node.chain, 1, 10);
    assert_int_equal(shr_source_tip(f.source, &tip, &f.err), 0);
    assert_in_range(timed_wait(&f, 20000), 0, 5000);
    /* A reorg to the same height is a change as well. */
    scripted_reorg(f.node.chain, 6, 1);
    assert_in_range(timed_wait(&f, 20000), 0, 5000);
    assert_in_range(timed_wait(&f, 100), 95, 5000);
    end(&f);
}

static void polling_is_not_put_off_by_short_waits(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, 5, false, (struct shr_node_options){.poll_ms = 300});
    scripted_grow(f.node.chain, 1, 10);
    uint64_t from = shr_now_ms();
    uint32_t asked = fake_count(&f.node, &f.node.requests);
    while (fake_count(&f.node, &f.node.requests) == asked && shr_now_ms() - from < 5000) {
        timed_wait(&f, 40);
    }
    assert_in_range(shr_now_ms() - from, 0, 4000);
    end(&f);
}

static void *bind_publisher(void **context, char *endpoint, size_t size) {
    *context = zmq_ctx_new();
    void *publisher = zmq_socket(*context, ZMQ_PUB);
    assert_int_equal(zmq_bind(publisher, "tcp://127.0.0.1:*"), 0);
    assert_int_equal(zmq_getsockopt(publisher, ZMQ_LAST_ENDPOINT, endpoint, &size), 0);
    return publisher;
}

static void zmq_announcements_end_a_wait(void **state) {
    (void)state;
    struct fixture f;
    void *context;
    char endpoint[128];
    void *publisher = bind_publisher(&context, endpoint, sizeof endpoint);
    begin(&f, 5, false, (struct shr_node_options){.poll_ms = 60000, .zmq = endpoint});
    /* Until the subscription has arrived, announcements are lost; so announce some. */
    bool early = false;
    for (int i = 0; i < 100 && !early; i++) {
        zmq_send(publisher, "hashblock", 9, ZMQ_SNDMORE);
        zmq_send(publisher, "12345678901234567890123456789012", 32, ZMQ_SNDMORE);
        zmq_send(publisher, "\0\0\0\0", 4, 0);
        early = timed_wait(&f, 100) < 90;
    }
    assert_true(early);
    timed_wait(&f, 50); /* whatever was still on its way */
    assert_in_range(timed_wait(&f, 300), 295, 5000);
    zmq_send(publisher, "rawtx", 5, 0); /* not what was subscribed to */
    assert_in_range(timed_wait(&f, 100), 95, 5000);
    /* Wake and stop work next to ZMQ. */
    assert_in_range(timed_wait_during(&f, wake_later), 99, 5000);
    shr_stop_request(&f.stop);
    assert_int_equal(shr_source_wait(f.source, 20000, &f.err), SHREWD_STOPPED);
    end(&f);
    zmq_close(publisher);
    zmq_ctx_term(context);
}

static void a_silent_zmq_endpoint_does_not_stall(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, 5, false, (struct shr_node_options){.poll_ms = 40, .zmq = "tcp://127.0.0.1:1"});
    scripted_grow(f.node.chain, 1, 10);
    assert_in_range(timed_wait(&f, 20000), 0, 5000);
    end(&f);
}

static void questions_downwards_are_never_answered_from_memory(void **state) {
    (void)state;
    for (int rest = 0; rest < 2; rest++) {
        struct fixture f;
        begin(&f, 100, rest == 1, (struct shr_node_options){0});
        for (uint32_t h = 0; h <= 20; h++) {
            assert_true(is_current(&f, h));
        }
        uint32_t asked = fake_count(&f.node, &f.node.requests);
        assert_true(is_current(&f, 21));
        assert_int_equal(fake_count(&f.node, &f.node.requests), asked); /* this one was */
        scripted_reorg(f.node.chain, 10, 100);
        assert_true(is_current(&f, 21));
        assert_true(is_current(&f, 20));
        for (uint32_t h = 10; h < 110; h++) {
            assert_true(is_current(&f, h));
        }
        end(&f);
    }
}

static void hashes_ahead_are_dropped_when_the_tip_changes(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, 100, false, (struct shr_node_options){0});
    for (uint32_t h = 0; h <= 20; h++) {
        assert_true(is_current(&f, h));
    }
    struct shr_tip tip;
    scripted_reorg(f.node.chain, 10, 100);
    assert_int_equal(shr_source_tip(f.source, &tip, &f.err), 0); /* any sight of it will do */
    assert_true(is_current(&f, 21));
    assert_true(is_current(&f, 22));
    scripted_reorg(f.node.chain, 10, 101);
    usleep(1100000); /* and unseen it is looked for every second */
    assert_true(is_current(&f, 23));
    end(&f);
}

static void the_feed_follows_reorgs(void **state) {
    (void)state;
    struct fixture f;
    struct shr_feed *feed;
    struct shr_feed_block block = {0};
    begin(&f, 50, true, (struct shr_node_options){.poll_ms = 50});
    assert_int_equal(shr_feed_open(&feed, f.source, NULL, &f.err), 0);
    struct shr_hash chain[200];
    uint32_t next = 0;
    shr_feed_seek(feed, 0);
    for (int round = 0; round < 6; round++) {
        uint32_t tip = 50 + 10 * (uint32_t)round;
        while (next < tip) {
            int code = shr_feed_next(feed, &block, 5000, &f.err);
            assert_int_equal(code, 0);
            assert_int_equal(block.height, next);
            if (next > 0 && !shr_hash_eq(&block.header.prev, &chain[next - 1])) {
                shr_feed_seek(feed, --next); /* pop one, ask again */
                continue;
            }
            chain[next++] = block.hash;
        }
        struct shr_hash want = scripted_hash(f.node.chain, tip - 1);
        assert_memory_equal(&chain[tip - 1], &want, sizeof want);
        scripted_reorg(f.node.chain, tip - 1 - 7 * (uint32_t)round, 11 + 7 * (uint32_t)round);
    }
    shr_feed_close(feed);
    shr_buf_free(&block.raw);
    end(&f);
}

static void ahead_hands_out_each_hash_once(void **state) {
    (void)state;
    struct shr_ahead *ahead = shr_alloc(sizeof *ahead);
    struct shr_hash best = {{9}};
    struct shr_hash hash;
    assert_false(shr_ahead_ask(ahead, 0));
    assert_true(shr_ahead_ask(ahead, 1));
    assert_false(shr_ahead_ask(ahead, 1));
    assert_false(shr_ahead_ask(ahead, 3));
    assert_false(shr_ahead_ask(ahead, UINT32_MAX));
    assert_false(shr_ahead_ask(ahead, 0)); /* not its successor */
    assert_false(shr_ahead_has(ahead, 0));
    ahead->hashes[0].b[0] = 1;
    ahead->hashes[1].b[0] = 2;
    shr_ahead_filled(ahead, 7, 2, &best, 0);
    assert_false(shr_ahead_has(ahead, 8));
    assert_true(shr_ahead_has(ahead, 7));
    shr_ahead_take(ahead, &hash);
    assert_int_equal(hash.b[0], 1);
    assert_false(shr_ahead_has(ahead, 7));
    assert_true(shr_ahead_has(ahead, 8));
    shr_ahead_drop(ahead);
    assert_false(shr_ahead_has(ahead, 8));
    free(ahead);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_by_polling),
        cmocka_unit_test(polling_is_not_put_off_by_short_waits),
        cmocka_unit_test(zmq_announcements_end_a_wait),
        cmocka_unit_test(a_silent_zmq_endpoint_does_not_stall),
        cmocka_unit_test(questions_downwards_are_never_answered_from_memory),
        cmocka_unit_test(hashes_ahead_are_dropped_when_the_tip_changes),
        cmocka_unit_test(the_feed_follows_reorgs),
        cmocka_unit_test(ahead_hands_out_each_hash_once),
    };
    shr_log_set_level(SHR_LOG_OFF);
    return cmocka_run_group_tests_name("node_tip", tests, NULL, NULL);
}
