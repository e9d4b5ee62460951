/* A node as a source, against a scripted HTTP server: what passes is waited out, what cannot pass
 * ends with what to do, and nothing waits once a stop was requested. */
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "fake_node.h"
#include "node/feed.h"
#include "node/http.h"
#include "node/retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define BOB_SECRET "Ym9iOnNlY3JldA=="
#define COOKIE_ONE "X19jb29raWVfXzpvbmU=" /* __cookie__:one */
#define COOKIE_TWO "X19jb29raWVfXzp0d28=" /* __cookie__:two */

struct fixture {
    struct fake_node node;
    struct shr_stop stop;
    struct shr_source *source;
    struct shrewd_error err;
    char url[128];
};

static int open_with(struct fixture *f, struct shr_node_options options) {
    options.url = options.url == NULL ? f->url : options.url;
    return shr_node_open(&f->source, &f->stop, &options, &f->err);
}

static void start(struct fixture *f, uint32_t n, bool rest) {
    memset(f, 0, sizeof *f);
    fake_node_start(&f->node, n, rest);
    assert_int_equal(shr_stop_init(&f->stop), 0);
    snprintf(f->url, sizeof f->url, "http://127.0.0.1:%u", f->node.port);
}

static void begin(struct fixture *f, uint32_t n, bool rest) {
    start(f, n, rest);
    assert_int_equal(open_with(f, (struct shr_node_options){0}), 0);
}

/* Where the node goes silent: the timeout is soon over, but not before it answers otherwise, busy
 * as the machine may be. */
static void begin_hasty(struct fixture *f, uint32_t n, bool rest) {
    start(f, n, rest);
    assert_int_equal(open_with(f, (struct shr_node_options){.timeout_ms = 1500}), 0);
}

static bool goes_silent(const struct fake_plan *plan) {
    return plan->act == FAKE_STALL || plan->act == FAKE_TRICKLE;
}

static void end(struct fixture *f) {
    shr_source_close(f->source);
    fake_node_end(&f->node);
    shr_stop_deinit(&f->stop);
}

static void expect_block(struct fixture *f, uint32_t height) {
    struct shr_hash hash;
    struct shr_hash want = scripted_hash(f->node.chain, height);
    struct shr_buf block = {0};
    assert_int_equal(shr_source_hash_at(f->source, &hash, height, &f->err), 0);
    assert_memory_equal(&hash, &want, sizeof hash);
    assert_int_equal(shr_source_block(f->source, &block, &hash, &f->err), 0);
    assert_int_equal(shr_block_check(NULL, NULL, shr_buf_bytes(&block), &hash, &f->err), 0);
    shr_buf_free(&block);
}

static void serves_the_chain(void **state) {
    (void)state;
    for (int rest = 0; rest < 2; rest++) {
        struct fixture f;
        struct shr_tip tip;
        struct shr_hash genesis;
        struct shr_buf block = {0};
        begin(&f, 40, rest == 1);
        assert_string_equal(f.source->ops->name, rest == 1 ? "rest" : "rpc");
        assert_false(f.source->ops->finite);
        assert_int_equal(shr_source_tip(f.source, &tip, &f.err), 0);
        assert_int_equal(tip.height, 39);
        struct shr_hash want = scripted_hash(f.node.chain, 39);
        assert_memory_equal(&tip.hash, &want, sizeof want);
        assert_int_equal(shr_source_genesis(f.source, &genesis, &f.err), 0);
        want = scripted_hash(f.node.chain, 0);
        assert_memory_equal(&genesis, &want, sizeof want);
        for (uint32_t h = 0; h < 40; h++) {
            expect_block(&f, h);
        }
        assert_int_equal(shr_source_hash_at(f.source, &want, 40, &f.err), SHREWD_NOT_FOUND);
        assert_int_equal(shr_source_hash_at(f.source, &want, UINT32_MAX, &f.err), SHREWD_NOT_FOUND);
        memset(&want, 7, sizeof want);
        assert_int_equal(shr_source_block(f.source, &block, &want, &f.err), SHREWD_NOT_FOUND);
        assert_non_null(strstr(f.err.message, "0707070707"));
        shr_buf_free(&block);
        /* All over one connection, and far fewer requests than two a block. */
        assert_int_equal(fake_count(&f.node, &f.node.connections), 1);
        assert_in_range(fake_count(&f.node, &f.node.requests), 40, 60);
        end(&f);
    }
}

static void falls_back_when_rest_goes_away(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, 10, true);
    expect_block(&f, 3);
    fake_plan(&f.node, (struct fake_plan){"GET /rest", FAKE_STATUS, 1000, 404, ""});
    for (uint32_t h = 4; h < 10; h++) {
        expect_block(&f, h);
    }
    end(&f);
}

/* What passes: the answer is right after all, and there was a pause before it. */
static const struct fake_plan passing[] = {
    {"getblockchaininfo", FAKE_DROP, 2, 0, NULL},
    {"getblockchaininfo", FAKE_CUT, 2, 0, NULL},
    {"getblockchaininfo", FAKE_STALL, 1, 0, NULL},
    {"getblockchaininfo", FAKE_TRICKLE, 1, 0, NULL},
    {"getblockchaininfo", FAKE_RAW, 2, 0, "SSH-2.0-OpenSSH_9.2\r\n"},
    {"getblockchaininfo", FAKE_RAW, 2, 0, "HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{"},
    {"getblockchaininfo", FAKE_STATUS, 2, 200, "<html>hello</html>"},
    {"getblockchaininfo", FAKE_STATUS, 2, 200, ""},
    {"getblockchaininfo", FAKE_STATUS, 2, 200, "{\"result\":{},\"error\":null,\"id\":987}"},
    {"getblockchaininfo", FAKE_STATUS, 2, 200, "[]"},
    {"getblockchaininfo", FAKE_STATUS, 2, 200, "{\"result\":null,\"error\":{}}"},
    {"getblockchaininfo", FAKE_STATUS, 2, 500, "oops"},
    {"getblockchaininfo", FAKE_STATUS, 2, 502, "<html>bad gateway</html>"},
    {"getblockchaininfo", FAKE_STATUS, 2, 503, "Work queue depth exceeded"},
    {"getblockchaininfo", FAKE_RPC_ERROR, 2, -28, "Loading block index..."},
    {"getblockchaininfo", FAKE_RPC_ERROR, 2, -32603, "internal"},
    {"getblockchaininfo", FAKE_RPC_ERROR, 2, -1, "something odd"},
};

static void waits_out_what_passes(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof passing / sizeof passing[0]; i++) {
        struct fixture f;
        struct shr_tip tip;
        (goes_silent(&passing[i]) ? begin_hasty : begin)(&f, 3, false);
        fake_plan(&f.node, passing[i]);
        print_message("  %d %d %s\n", passing[i].act, passing[i].status,
                      passing[i].text == NULL ? "" : passing[i].text);
        uint64_t from = shr_now_ms();
        uint32_t asked = fake_count(&f.node, &f.node.requests);
        assert_int_equal(shr_source_tip(f.source, &tip, &f.err), 0);
        assert_int_equal(tip.height, 2);
        assert_int_equal(f.err.code, 0);
        assert_in_range(shr_now_ms() - from, SHR_RETRY_FIRST_MS / 2, 10000);
        assert_int_equal(fake_count(&f.node, &f.node.requests), asked + 1 + passing[i].times);
        end(&f);
    }
}

static void waits_out_broken_blocks_and_batches(void **state) {
    (void)state;
    static const struct fake_plan plans[] = {
        {"\"getblock\"", FAKE_CUT, 1, 0, NULL},
        {"\"getblock\"", FAKE_STATUS, 1, 200, "{\"result\":\"0g\",\"error\":null,\"id\":1}"},
        {"\"getblock\"", FAKE_STATUS, 1, 200, "{\"result\":\"abc"},
        {"\"getblock\"", FAKE_STATUS, 1, 200, "{\"result\":7,\"error\":null,\"id\":1}"},
        {"[{", FAKE_CUT, 1, 0, NULL},
        {"[{", FAKE_STATUS, 1, 200, "[]"},
        {"[{", FAKE_STATUS, 1, 200, "{\"result\":1,\"error\":null,\"id\":1}"},
        {"[{", FAKE_RPC_ERROR, 1, -28, "Verifying blocks..."},
        {"[{", FAKE_STATUS, 1, 503, "Work queue depth exceeded"},
    };
    for (size_t i = 0; i < sizeof plans / sizeof plans[0]; i++) {
        struct fixture f;
        begin(&f, 6, false);
        fake_plan(&f.node, plans[i]);
        for (uint32_t h = 0; h < 6; h++) {
            expect_block(&f, h);
        }
        assert_true(fake_forget_plans(&f.node)); /* it did happen */
        end(&f);
    }
}

static void gzip_is_understood(void **state) {
    (void)state;
    struct fixture f;
    start(&f, 5, true);
    fake_plan(&f.node, (struct fake_plan){"/", FAKE_GZIP, 1000, 0, NULL});
    assert_int_equal(open_with(&f, (struct shr_node_options){0}), 0);
    for (uint32_t h = 0; h < 5; h++) {
        expect_block(&f, h);
    }
    assert_int_equal(fake_count(&f.node, &f.node.connections), 1);
    end(&f);
}

/* What cannot pass, met at once: code and what the message must say. */
static const struct {
    struct fake_plan plan;
    const char *says;
} final[] = {
    {{"getblockchaininfo", FAKE_STATUS, 9, 401, ""}, "--auth"},
    {{"getblockchaininfo", FAKE_STATUS, 9, 403, ""}, "rpcallowip"},
    {{"getblockchaininfo", FAKE_STATUS, 9, 404, "not here"}, "404"},
    {{"getblockchaininfo", FAKE_STATUS, 9, 301, ""}, "301"},
    {{"getblockchaininfo", FAKE_STATUS, 9, 200, "<html>a web server</html>"}, "Bitcoin node"},
    {{"getblockchaininfo", FAKE_STATUS, 9, 200, "{\"result\":{},\"error\":null,\"id\":1}"},
     "Bitcoin node"},
    {{"getblockchaininfo", FAKE_RPC_ERROR, 9, -32601, "Method not found"}, "Bitcoin node"},
    {{"getblockchaininfo", FAKE_RPC_ERROR, 9, -32600, "odd"}, "-32600"},
    {{"getblockchaininfo", FAKE_HUGE, 9, 0, NULL}, "larger than"},
};

static void ends_on_what_cannot_pass(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof final / sizeof final[0]; i++) {
        struct fixture f;
        start(&f, 3, false);
        fake_plan(&f.node, final[i].plan);
        assert_int_equal(open_with(&f, (struct shr_node_options){.auth = "bob:hunter2"}),
                         SHREWD_NODE);
        print_message("  %s\n", f.err.message);
        assert_non_null(strstr(f.err.message, final[i].says));
        assert_non_null(strstr(f.err.message, f.url));
        assert_null(strstr(f.err.message, "hunter2"));
        end(&f);
    }
}

static void ends_on_blocks_that_cannot_be_had(void **state) {
    (void)state;
    struct fixture f;
    struct shr_hash hash;
    struct shr_buf block = {0};
    begin(&f, 3, false);
    assert_int_equal(shr_source_hash_at(f.source, &hash, 1, &f.err), 0);
    fake_plan(&f.node, (struct fake_plan){"\"getblock\"", FAKE_RPC_ERROR, 1, -1,
                                          "Block not available (pruned data)"});
    assert_int_equal(shr_source_block(f.source, &block, &hash, &f.err), SHREWD_NODE);
    assert_non_null(strstr(f.err.message, "pruned"));
    assert_non_null(strstr(f.err.message, "--start-block"));
    fake_plan(&f.node, (struct fake_plan){"\"getblock\"", FAKE_HUGE, 1, 0, NULL});
    assert_int_equal(shr_source_block(f.source, &block, &hash, &f.err), 0); /* asked again */
    assert_true(fake_forget_plans(&f.node));
    assert_in_range(block.cap, 0, 1 << 20);
    shr_buf_free(&block);
    expect_block(&f, 1); /* and the connection is of use again */
    end(&f);
}

/* Whatever a node that was met refuses may pass: it restarts, or a proxy before it does. */
static void a_known_node_is_asked_again(void **state) {
    (void)state;
    static const struct fake_plan plans[] = {
        {"getblockchaininfo", FAKE_STATUS, 2, 401, ""},
        {"getblockchaininfo", FAKE_STATUS, 2, 403, ""},
        {"getblockchaininfo", FAKE_STATUS, 2, 404, ""},
        {"getblockchaininfo", FAKE_STATUS, 2, 301, ""},
        {"getblockchaininfo", FAKE_HUGE, 1, 0, NULL},
        {"getblockchaininfo", FAKE_RPC_ERROR, 2, -32601, "Method not found"},
        {"getblockchaininfo", FAKE_RPC_ERROR, 2, -32600, "odd"},
    };
    for (size_t i = 0; i < sizeof plans / sizeof plans[0]; i++) {
        struct fixture f;
        struct shr_tip tip;
        begin(&f, 3, false);
        fake_plan(&f.node, plans[i]);
        assert_int_equal(shr_source_tip(f.source, &tip, &f.err), 0);
        assert_int_equal(tip.height, 2);
        assert_true(fake_forget_plans(&f.node));
        assert_int_equal(atomic_load(&f.source->retries), plans[i].times);
        end(&f);
    }
}

static void refuses_bad_options(void **state) {
    (void)state;
    struct fixture f;
    start(&f, 1, false);
    assert_int_equal(open_with(&f, (struct shr_node_options){.auth = "nocolon"}), SHREWD_INVALID);
    assert_null(strstr(f.err.message, "nocolon"));
    assert_int_equal(open_with(&f, (struct shr_node_options){.url = "ssh://a@b"}),
                     SHREWD_UNSUPPORTED);
    assert_int_equal(open_with(&f, (struct shr_node_options){.zmq = "nonsense"}), SHREWD_INVALID);
    assert_int_equal(fake_count(&f.node, &f.node.connections), 0);
    end(&f);
}

static void credentials_reach_the_node(void **state) {
    (void)state;
    struct fixture f;
    char url[160];
    start(&f, 2, false);
    fake_want_auth(&f.node, BOB_SECRET);
    snprintf(url, sizeof url, "http://%%62ob:s%%65cret@127.0.0.1:%u", f.node.port);
    assert_int_equal(open_with(&f, (struct shr_node_options){.url = url}), 0);
    shr_source_close(f.source);
    f.source = NULL;
    snprintf(url, sizeof url, "http://bob:wrong@127.0.0.1:%u/", f.node.port);
    assert_int_equal(open_with(&f, (struct shr_node_options){.url = url}), SHREWD_NODE);
    assert_null(strstr(f.err.message, "wrong"));
    /* The flag wins over the URL, and both over the cookie, which is not even read. */
    assert_int_equal(open_with(&f, (struct shr_node_options){.url = url,
                                                             .auth = "bob:secret",
                                                             .cookie_file = "/nowhere"}),
                     0);
    end(&f);
}

struct later {
    struct fixture *f;
    const char *path;
    pthread_t thread;
};

static void *write_cookie_later(void *arg) {
    struct later *later = arg;
    usleep(150000);
    assert_int_equal(shr_file_write(later->path, shr_bytes_str("__cookie__:one"), NULL), 0);
    return NULL;
}

static void the_cookie_is_read_again(void **state) {
    (void)state;
    struct fixture f;
    char path[] = "/tmp/shrewd-cookie-XXXXXX";
    struct shr_tip tip;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    unlink(path);
    start(&f, 2, false);
    fake_want_auth(&f.node, COOKIE_ONE);
    struct later later = {&f, path, 0};
    pthread_create(&later.thread, NULL, write_cookie_later, &later); /* the node starts up */
    assert_int_equal(open_with(&f, (struct shr_node_options){.cookie_file = path}), 0);
    pthread_join(later.thread, NULL);
    fake_want_auth(&f.node, COOKIE_TWO); /* the node restarts */
    assert_int_equal(shr_file_write(path, shr_bytes_str("__cookie__:two\n"), NULL), 0);
    assert_int_equal(shr_source_tip(f.source, &tip, &f.err), 0);
    fake_want_auth(&f.node, COOKIE_ONE); /* it restarts, and writes its cookie late */
    later.f = &f;
    pthread_create(&later.thread, NULL, write_cookie_later, &later);
    assert_int_equal(shr_source_tip(f.source, &tip, &f.err), 0);
    pthread_join(later.thread, NULL);
    shr_source_close(f.source);
    f.source = NULL;
    fake_want_auth(&f.node, COOKIE_TWO); /* at the start: it is another node's cookie */
    assert_int_equal(open_with(&f, (struct shr_node_options){.cookie_file = path}), SHREWD_NODE);
    assert_non_null(strstr(f.err.message, path));
    assert_null(strstr(f.err.message, "__cookie__"));
    unlink(path);
    end(&f);
}

static void *stop_later(void *arg) {
    struct fixture *f = arg;
    usleep(100000);
    shr_stop_request(&f->stop);
    return NULL;
}

static void *halt_later(void *arg) {
    struct fixture *f = arg;
    usleep(100000);
    f->source->ops->halt(f->source, true);
    return NULL;
}

static void a_stop_ends_everything_at_once(void **state) {
    (void)state;
    for (int what = 0; what < 5; what++) {
        struct fixture f;
        struct shr_tip tip;
        pthread_t thread;
        start(&f, 2, false);
        assert_int_equal(open_with(&f, (struct shr_node_options){0}), 0);
        if (what == 4) { /* at open, with nobody there */
            shr_source_close(f.source);
            f.source = NULL;
            snprintf(f.url, sizeof f.url, "http://127.0.0.1:1");
        } else if (what < 3) {
            fake_plan(&f.node, (struct fake_plan){"getblockchaininfo",
                                                  what == 1 ? FAKE_DROP : FAKE_STALL, 99, 0, NULL});
        }
        uint64_t from = shr_now_ms();
        pthread_create(&thread, NULL, what == 2 ? halt_later : stop_later, &f);
        int code = what == 4   ? open_with(&f, (struct shr_node_options){0})
                   : what == 3 ? shr_source_wait(f.source, 60000, &f.err)
                               : shr_source_tip(f.source, &tip, &f.err);
        assert_int_equal(code, SHREWD_STOPPED);
        assert_in_range(shr_now_ms() - from, 99, 15000); /* half of the timeout */
        pthread_join(thread, NULL);
        if (what == 2) { /* a halt, unlike a stop, can be taken back */
            assert_int_equal(shr_source_tip(f.source, &tip, &f.err), SHREWD_STOPPED);
            f.source->ops->halt(f.source, false);
            fake_forget_plans(&f.node);
            assert_int_equal(shr_source_tip(f.source, &tip, &f.err), 0);
        }
        end(&f);
    }
}

static void the_feed_catches_a_wrong_block(void **state) {
    (void)state;
    struct fixture f;
    struct shr_feed *feed;
    struct shr_feed_block block = {0};
    begin(&f, 20, false);
    f.node.chain->damage_height = 7;
    f.node.chain->damage_times = 1;
    f.node.chain->damage_swaps = true;
    assert_int_equal(shr_feed_open(&feed, f.source, NULL, &f.err), 0);
    shr_feed_seek(feed, 0);
    int bad = 0;
    for (uint32_t h = 0; h < 20;) {
        int code = shr_feed_next(feed, &block, 20000, &f.err);
        if (code == SHREWD_BAD_BLOCK) {
            assert_int_equal(h, 7);
            bad++;
            continue;
        }
        assert_int_equal(code, 0);
        struct shr_hash want = scripted_hash(f.node.chain, h++);
        assert_memory_equal(&block.hash, &want, sizeof want);
    }
    assert_int_equal(bad, 1);
    shr_feed_close(feed);
    shr_buf_free(&block.raw);
    end(&f);
}

/* Takes the whole chain through a feed. */
static void expect_feed(struct fixture *f, uint32_t n) {
    struct shr_feed *feed;
    struct shr_feed_block block = {0};
    assert_int_equal(shr_feed_open(&feed, f->source, NULL, &f->err), 0);
    shr_feed_seek(feed, 0);
    for (uint32_t h = 0; h < n; h++) {
        struct shr_hash want = scripted_hash(f->node.chain, h);
        assert_int_equal(shr_feed_next(feed, &block, 20000, &f->err), 0);
        assert_int_equal(block.height, h);
        assert_memory_equal(&block.hash, &want, sizeof want);
        assert_int_equal(shr_block_check(NULL, NULL, shr_buf_bytes(&block.raw), &want, &f->err), 0);
    }
    shr_feed_close(feed);
    shr_buf_free(&block.raw);
}

static void small_blocks_come_many_at_a_time(void **state) {
    (void)state;
    for (int rest = 0; rest < 2; rest++) {
        struct fixture f;
        begin(&f, 2000, rest == 1);
        expect_feed(&f, 2000);
        assert_in_range(fake_count(&f.node, &f.node.requests), 2000 / 64, 200);
        assert_in_range(fake_count(&f.node, &f.node.connections), 2, 5);
        end(&f);
    }
}

/* Each of these befalls batches only; every block comes all the same. */
static void batches_that_fail_are_no_loss(void **state) {
    (void)state;
    static const struct fake_plan plans[] = {
        {"[{\"jsonrpc\":\"1.0\",\"id\"", FAKE_CUT, 2, 0, NULL},
        {"\"getblock\",\"params\":[\"", FAKE_STATUS, 9, 403, ""},
        {"\"getblock\",\"params\":[\"", FAKE_STATUS, 9, 400, "no batches here"},
        {"\"getblock\",\"params\":[\"", FAKE_STATUS, 2, 200, "[]"},
        {"\"getblock\",\"params\":[\"", FAKE_STATUS, 2, 200, "[1,2"},
        {"\"getblock\",\"params\":[\"", FAKE_RPC_ERROR, 2, -28, "Loading"},
        {"\"getblock\",\"params\":[\"", FAKE_HUGE, 1, 0, NULL},
        {"\"getblock\",\"params\":[\"", FAKE_STALL, 1, 0, NULL},
    };
    for (size_t i = 0; i < sizeof plans / sizeof plans[0]; i++) {
        struct fixture f;
        /* One by one they come over REST. */
        (goes_silent(&plans[i]) ? begin_hasty : begin)(&f, 300, true);
        fake_plan(&f.node, plans[i]);
        expect_feed(&f, 300);
        end(&f);
    }
}

/* A connection that trickles is given up for another; one that is only slow is not. */
static void a_slow_link_is_told_from_a_dead_one(void **state) {
    (void)state;
    struct fixture f;
    struct shr_tip tip;
    begin_hasty(&f, 3, false);
    fake_plan(&f.node, (struct fake_plan){"getblockchaininfo", FAKE_TRICKLE, 1, 0, NULL});
    uint32_t connections = fake_count(&f.node, &f.node.connections);
    assert_int_equal(shr_source_tip(f.source, &tip, &f.err), 0);
    assert_int_equal(fake_count(&f.node, &f.node.connections), connections + 1);
    assert_int_equal(atomic_load(&f.source->retries), 1);
    end(&f);
    /* 10 KB/s for 6 s: six timeouts long, and never given up. */
    start(&f, 1, true);
    scripted_grow(f.node.chain, 1, 60000);
    assert_int_equal(open_with(&f, (struct shr_node_options){.timeout_ms = 1000}), 0);
    fake_plan(&f.node, (struct fake_plan){"GET /rest/block/", FAKE_PACE, 1, 10000, NULL});
    uint64_t from = shr_now_ms();
    expect_block(&f, 1);
    assert_in_range(shr_now_ms() - from, 5900, 60000);
    assert_int_equal(atomic_load(&f.source->retries), 0);
    /* 3 KB/s is more than 1, but not for long. */
    fake_plan(&f.node, (struct fake_plan){"GET /rest/block/", FAKE_PACE, 1, 3000, NULL});
    from = shr_now_ms();
    expect_block(&f, 1);
    assert_in_range(shr_now_ms() - from, 3900, 18000); /* of the 20 s it would take */
    assert_int_equal(atomic_load(&f.source->retries), 1);
    end(&f);
}

static void delays_double_within_bounds(void **state) {
    (void)state;
    uint32_t full[] = {250, 500, 1000, 2000, 4000, 8000, 10000, 10000};
    for (uint32_t n = 1; n <= 8; n++) {
        assert_int_equal(shr_retry_delay_ms(n, 0), full[n - 1]);
        for (uint64_t random = 1; random < 100000; random += 17) {
            assert_in_range(shr_retry_delay_ms(n, random), full[n - 1] / 2, full[n - 1]);
        }
    }
    assert_int_equal(shr_retry_delay_ms(UINT32_MAX, 0), 10000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(serves_the_chain),
        cmocka_unit_test(falls_back_when_rest_goes_away),
        cmocka_unit_test(waits_out_what_passes),
        cmocka_unit_test(waits_out_broken_blocks_and_batches),
        cmocka_unit_test(gzip_is_understood),
        cmocka_unit_test(ends_on_what_cannot_pass),
        cmocka_unit_test(ends_on_blocks_that_cannot_be_had),
        cmocka_unit_test(a_known_node_is_asked_again),
        cmocka_unit_test(refuses_bad_options),
        cmocka_unit_test(credentials_reach_the_node),
        cmocka_unit_test(the_cookie_is_read_again),
        cmocka_unit_test(a_stop_ends_everything_at_once),
        cmocka_unit_test(the_feed_catches_a_wrong_block),
        cmocka_unit_test(small_blocks_come_many_at_a_time),
        cmocka_unit_test(batches_that_fail_are_no_loss),
        cmocka_unit_test(a_slow_link_is_told_from_a_dead_one),
        cmocka_unit_test(delays_double_within_bounds),
    };
    shr_log_set_level(SHR_LOG_OFF);
    return cmocka_run_group_tests_name("node_http", tests, NULL, NULL);
}
