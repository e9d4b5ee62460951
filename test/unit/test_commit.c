/* Committing behind the guest: what waits is read, order, room, failures, the stop. */
#include "gate_store.h"
#include "state_model.h"

#include "base/clock.h"
#include "index/commit.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static const struct shr_identity identity = {
    .genesis = {{1}}, .start_height = 5, .module_hash = {{2}}};

struct subject {
    struct gate_store *gate;
    struct shr_state *state;
    struct shr_stop stop;
    struct shr_commit_stats stats;
    struct shr_commit_options options;
    struct shr_commit *commit;
    struct chain chain;
    struct rng rng;
    _Atomic uint32_t announced; /* blocks */
    _Atomic uint32_t last;      /* of them, the last one's height */
};

static int on_committed(void *ctx, const struct shr_writes *blocks, struct shrewd_error *err) {
    struct subject *subject = ctx;
    for (; blocks != NULL; blocks = blocks->next) {
        struct shr_block_record tip;
        assert_int_equal(shr_state_tip(subject->state, &tip, NULL), 0);
        assert_true(tip.height >= blocks->height); /* published before it is announced */
        atomic_fetch_add(&subject->announced, 1);
        atomic_store(&subject->last, blocks->height);
    }
    return 0;
}

static void start_with(struct subject *subject, uint64_t seed, struct shr_commit_options options) {
    *subject = (struct subject){.rng = {seed}, .chain = {.start = identity.start_height}};
    assert_int_equal(shr_stop_init(&subject->stop), 0);
    subject->gate = gate_new();
    assert_ok(shr_state_open(&subject->state, &subject->gate->store, &identity, false, err));
    atomic_store(&subject->gate->tries, 0);
    atomic_store(&subject->gate->syncs, 0);
    subject->options = options;
    subject->options.stop = &subject->stop;
    subject->options.stats = &subject->stats;
    subject->options.committed = on_committed;
    subject->options.ctx = subject;
    assert_ok(shr_commit_open(&subject->commit, subject->state, &subject->options, err));
}

static void end(struct subject *subject) {
    shr_commit_close(subject->commit);
    assert_int_equal(atomic_load(&subject->stats.blocks_waiting), 0);
    assert_int_equal(atomic_load(&subject->stats.bytes_waiting), 0);
    shr_state_close(subject->state);
    shr_stop_deinit(&subject->stop);
    chain_free(&subject->chain);
}

/* The chain's last block, handed over. */
static int put_last(struct subject *subject, struct shrewd_error *err) {
    const struct chain *chain = &subject->chain;
    const struct model_block *block = &chain->blocks[chain->n - 1];
    struct shr_writes *writes = shr_writes_new(chain->start + (uint32_t)chain->n - 1, &block->hash);
    for (size_t i = 0; i < block->n; i++) {
        shr_writes_add(writes, shr_buf_bytes(&block->keys[i]), shr_buf_bytes(&block->values[i]));
    }
    return shr_commit_put(subject->commit, writes, err);
}

static int grow(struct subject *subject, struct shrewd_error *err) {
    chain_grow(&subject->chain, &subject->rng);
    return put_last(subject, err);
}

/* What the guest of the next block would read. */
static void check_reads(struct subject *subject, int n) {
    struct shr_buf key = {0}, value = {0};
    assert_ok(shr_commit_begin(subject->commit, err));
    for (int i = 0; i < n; i++) {
        rng_key(&subject->rng, &key);
        const struct shr_buf *want =
            chain_get(&subject->chain, shr_buf_bytes(&key), subject->chain.n);
        int code = shr_commit_get(subject->commit, &value, shr_buf_bytes(&key), NULL);
        assert_int_equal(code, want != NULL ? 0 : SHREWD_NOT_FOUND);
        if (want != NULL) {
            assert_bytes(shr_buf_bytes(&value), shr_buf_bytes(want));
        }
    }
    shr_commit_end(subject->commit);
    shr_buf_free(&value);
    shr_buf_free(&key);
}

/* The state is the whole chain's. */
static void check_state(struct subject *subject) {
    struct shr_reader *reader = NULL;
    assert_ok(shr_reader_open(&reader, subject->state, err));
    check_reader(reader, &subject->chain, &subject->rng);
    shr_reader_close(reader);
}

static void wait_for(const _Atomic unsigned *counter, unsigned wanted) {
    for (int i = 0; i < 10000 && atomic_load(counter) < wanted; i++) {
        usleep(1000);
    }
    assert_true(atomic_load(counter) >= wanted);
}

static void random_blocks(uint64_t seed, struct shr_commit_options options, unsigned slow) {
    struct subject subject;
    start_with(&subject, seed, options);
    atomic_store(&subject.gate->slow, slow);
    check_reads(&subject, 5);
    while (subject.chain.n < CHAIN_MAX) {
        assert_ok(grow(&subject, err));
        check_reads(&subject, 60);
        if (rng_below(&subject.rng, 12) == 0) {
            assert_ok(shr_commit_drain(subject.commit, err));
            check_state(&subject);
        }
    }
    assert_ok(shr_commit_drain(subject.commit, err));
    check_state(&subject);
    check_reads(&subject, 60);
    assert_int_equal(atomic_load(&subject.announced), CHAIN_MAX);
    assert_int_equal(atomic_load(&subject.last), identity.start_height + CHAIN_MAX - 1);
    end(&subject);
}

static void what_waits_is_read(void **state) {
    for (uint64_t seed = 0; seed < 6; seed++) {
        unsigned slow = seed % 2 == 0 ? 3000 : 0;
        random_blocks(seed, (struct shr_commit_options){0}, slow);
        random_blocks(seed + 10, (struct shr_commit_options){.group_blocks_max = 1}, slow);
        random_blocks(seed + 20, (struct shr_commit_options){.group_blocks_max = 7}, slow);
        random_blocks(seed + 30, (struct shr_commit_options){.bytes_max = 20000}, slow);
        random_blocks(seed + 40, (struct shr_commit_options){.blocks_max = 2}, slow);
        random_blocks(seed + 50, (struct shr_commit_options){.gather_ms = 60000}, slow);
        random_blocks(seed + 60,
                      (struct shr_commit_options){.gather_ms = 60000, .bytes_max = 20000}, slow);
        random_blocks(seed + 70, (struct shr_commit_options){.gather_ms = 1}, slow);
    }
}

/* While a write is held up, all that comes after it goes into the next one. */
static void what_waits_goes_together(void **state) {
    struct subject subject;
    start_with(&subject, 1, (struct shr_commit_options){0});
    atomic_store(&subject.gate->held, true);
    assert_ok(grow(&subject, err));
    wait_for(&subject.gate->tries, 1);
    for (int i = 0; i < 9; i++) {
        assert_ok(grow(&subject, err));
        check_reads(&subject, 30);
    }
    assert_int_equal(atomic_load(&subject.stats.blocks_waiting), 10);
    assert_int_equal(atomic_load(&subject.announced), 0);
    atomic_store(&subject.gate->held, false);
    assert_ok(shr_commit_drain(subject.commit, err));
    assert_int_equal(atomic_load(&subject.gate->tries), 2);
    check_state(&subject);
    end(&subject);
}

/* Blocks wait for others: until somebody waits for them, or there are as many as go together. */
static void blocks_gather(void **state) {
    struct subject subject;
    start_with(&subject, 6,
               (struct shr_commit_options){.gather_ms = 3600000, .group_blocks_max = 4});
    for (int i = 0; i < 3; i++) {
        assert_ok(grow(&subject, err));
        check_reads(&subject, 30);
    }
    assert_int_equal(atomic_load(&subject.stats.blocks_waiting), 3);
    assert_ok(shr_commit_drain(subject.commit, err));
    assert_int_equal(atomic_load(&subject.gate->tries), 1);
    for (int i = 0; i < 4; i++) {
        assert_ok(grow(&subject, err));
    }
    wait_for(&subject.gate->tries, 2); /* by itself */
    assert_ok(shr_commit_drain(subject.commit, err));
    assert_int_equal(atomic_load(&subject.gate->tries), 2);
    check_state(&subject);
    end(&subject);
}

/* But not for long. */
static void gathering_ends(void **state) {
    struct subject subject;
    start_with(&subject, 7, (struct shr_commit_options){.gather_ms = 20});
    assert_ok(grow(&subject, err));
    wait_for(&subject.gate->tries, 1);
    assert_ok(shr_commit_drain(subject.commit, err));
    check_state(&subject);
    end(&subject);
}

/* Nor where there is no room for more: the guest's thread waits then. */
static void a_full_queue_gathers_no_more(void **state) {
    struct subject subject;
    start_with(&subject, 8,
               (struct shr_commit_options){
                   .gather_ms = 3600000, .blocks_max = 3, .group_blocks_max = 100});
    for (int i = 0; i < 10; i++) {
        assert_ok(grow(&subject, err));
    }
    assert_ok(shr_commit_drain(subject.commit, err));
    check_state(&subject);
    end(&subject);
}

/* What gathers when it is closed is dropped, at once. */
static void closing_while_gathering(void **state) {
    struct subject subject;
    start_with(&subject, 9, (struct shr_commit_options){.gather_ms = 3600000});
    assert_ok(grow(&subject, err));
    shr_commit_close(subject.commit);
    subject.commit = NULL;
    assert_int_equal(atomic_load(&subject.gate->tries), 0);
    chain_pop(&subject.chain);
    end(&subject);
}

/* After a rollback blocks come at heights that were there before: reads see the new ones' values.
 */
static void heights_come_again(void **state) {
    for (uint64_t seed = 20; seed < 30; seed++) {
        struct subject subject;
        start_with(&subject, seed, (struct shr_commit_options){.gather_ms = 3600000});
        for (int turn = 0; turn < 5; turn++) {
            for (int i = 0; i < 8; i++) {
                assert_ok(grow(&subject, err));
                check_reads(&subject, 60);
            }
            assert_ok(shr_commit_drain(subject.commit, err));
            for (int i = 0; i < 6; i++) {
                chain_pop(&subject.chain);
            }
            uint32_t tip = identity.start_height + (uint32_t)subject.chain.n - 1;
            assert_ok(shr_state_rollback(subject.state, tip, err));
            check_reads(&subject, 60);
        }
        check_state(&subject);
        end(&subject);
    }
}

/* Until the main thread has slept for twenty looks: in what it began to wait for, however long it
 * was kept from coming there. */
static void wait_asleep(void) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)getpid());
    for (int asleep = 0; asleep < 20; usleep(1000)) {
        char text[256] = "";
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
        close(fd);
        const char *state = strrchr(text, ')'); /* after the name: R runs, S sleeps */
        asleep = n > 0 && state != NULL && state[1] == ' ' && state[2] == 'S' ? asleep + 1 : 0;
    }
}

static void *release(void *arg) {
    struct subject *subject = arg;
    wait_asleep();
    usleep(60000);
    atomic_store(&subject->gate->held, false);
    return NULL;
}

static void a_full_queue_waits(void **state) {
    struct subject subject;
    pthread_t thread;
    start_with(&subject, 2, (struct shr_commit_options){.blocks_max = 2});
    atomic_store(&subject.gate->held, true);
    uint64_t from = shr_now_ns();
    assert_ok(grow(&subject, err));
    assert_ok(grow(&subject, err));
    uint64_t before = atomic_load(&subject.stats.full_ns);
    assert_in_range(before, 0, shr_now_ns() - from); /* the waiting is none, taking the lock is */
    pthread_create(&thread, NULL, release, &subject);
    assert_ok(grow(&subject, err));
    assert_false(atomic_load(&subject.gate->held)); /* it did not go on before */
    assert_in_range(atomic_load(&subject.stats.full_ns), before + 60000000, shr_now_ns() - from);
    pthread_join(thread, NULL);
    assert_ok(shr_commit_drain(subject.commit, err));
    check_state(&subject);
    end(&subject);
}

/* After a failure nothing of what waited is there; then it goes on from the tip. */
static void a_failed_write_drops_what_waits(void **state) {
    for (int late = 0; late < 2; late++) {
        struct subject subject;
        start_with(&subject, 3, (struct shr_commit_options){0});
        assert_ok(grow(&subject, err));
        assert_ok(grow(&subject, err));
        assert_ok(shr_commit_drain(subject.commit, err));
        unsigned tries = atomic_load(&subject.gate->tries);
        atomic_store(&subject.gate->fail_with, SHREWD_IO);
        atomic_store(&subject.gate->held, true);
        for (int i = 0; i < 4; i++) {
            assert_ok(grow(&subject, err));
        }
        wait_for(&subject.gate->tries, tries + 1);
        atomic_store(&subject.gate->held, false);
        if (late == 0) {
            assert_fails(shr_commit_drain(subject.commit, err), SHREWD_IO, "the gate is shut");
        } else { /* noticed when the next block comes */
            while (atomic_load(&subject.stats.blocks_waiting) != 0) {
                usleep(1000);
            }
            assert_fails(grow(&subject, err), SHREWD_IO, "not indexed");
            chain_pop(&subject.chain);
        }
        for (int i = 0; i < 4; i++) {
            chain_pop(&subject.chain);
        }
        check_state(&subject);
        check_reads(&subject, 60);
        assert_int_equal(atomic_load(&subject.announced), 2);
        assert_ok(shr_commit_drain(subject.commit, err)); /* told once */
        atomic_store(&subject.gate->fail_with, 0);
        assert_ok(grow(&subject, err));
        assert_ok(grow(&subject, err));
        assert_ok(shr_commit_drain(subject.commit, err));
        check_state(&subject);
        end(&subject);
    }
}

/* Many blocks' worth of memory to let go of, which takes a while. */
static struct shr_writes *large_block(uint32_t height) {
    static const uint8_t value[1 << 18];
    struct shr_hash hash = {{(uint8_t)height}};
    struct shr_writes *writes = shr_writes_new(height, &hash);
    for (uint32_t i = 0; i < 60; i++) {
        shr_writes_add(writes, shr_bytes(&i, sizeof i), shr_bytes(value, sizeof value));
    }
    return writes;
}

/* The next write fails while what is committed is let go of: a drain that has seen no failure yet
 * does not say that all is stored. */
static void a_write_fails_meanwhile(void **state) {
    for (int round = 0; round < STEPS(60); round++) {
        struct subject subject;
        struct shr_block_record tip;
        start_with(&subject, 3, (struct shr_commit_options){.group_blocks_max = 1});
        subject.gate->writes_left = 1;
        atomic_store(&subject.gate->fail_with, SHREWD_DISK_FULL);
        shr_state_set_load_min(subject.state, SIZE_MAX);
        assert_ok(shr_commit_put(subject.commit, large_block(5), err));
        struct shr_writes *next = shr_writes_new(6, &(struct shr_hash){{6}});
        int code = shr_commit_put(subject.commit, next, NULL);
        code = code != 0 ? code : shr_commit_drain(subject.commit, NULL);
        assert_int_equal(code, SHREWD_DISK_FULL);
        assert_ok(shr_state_tip(subject.state, &tip, err));
        assert_int_equal(tip.height, 5);
        end(&subject);
    }
}

static void *release_late(void *arg) {
    struct subject *subject = arg;
    usleep(1200000);
    atomic_store(&subject->gate->held, false);
    return NULL;
}

/* After the stop nobody waits for long; what is not being written is dropped. */
static void the_stop(void **state) {
    struct subject subject;
    pthread_t thread;
    start_with(&subject, 4, (struct shr_commit_options){.blocks_max = 3});
    atomic_store(&subject.gate->held, true);
    assert_ok(grow(&subject, err));
    wait_for(&subject.gate->tries, 1);
    assert_ok(grow(&subject, err));
    assert_ok(grow(&subject, err));
    shr_stop_request(&subject.stop);
    assert_fails(grow(&subject, err), SHREWD_STOPPED, "stopped");
    pthread_create(&thread, NULL, release_late, &subject);
    assert_fails(shr_commit_drain(subject.commit, err), SHREWD_STOPPED, "stopped");
    pthread_join(thread, NULL);
    while (subject.chain.n > 1) { /* the one being written */
        chain_pop(&subject.chain);
    }
    check_state(&subject);
    check_reads(&subject, 20);
    end(&subject);
}

/* What waits when it is closed is dropped whole. */
static void closing(void **state) {
    struct subject subject;
    pthread_t thread;
    start_with(&subject, 5, (struct shr_commit_options){0});
    atomic_store(&subject.gate->held, true);
    assert_ok(grow(&subject, err));
    wait_for(&subject.gate->tries, 1);
    assert_ok(grow(&subject, err));
    pthread_create(&thread, NULL, release, &subject);
    shr_commit_close(subject.commit);
    subject.commit = NULL;
    pthread_join(thread, NULL);
    chain_pop(&subject.chain);
    check_state(&subject);
    end(&subject);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_waits_is_read),
        cmocka_unit_test(what_waits_goes_together),
        cmocka_unit_test(a_full_queue_waits),
        cmocka_unit_test(a_failed_write_drops_what_waits),
        cmocka_unit_test(a_write_fails_meanwhile),
        cmocka_unit_test(blocks_gather),
        cmocka_unit_test(gathering_ends),
        cmocka_unit_test(the_stop),
        cmocka_unit_test(closing),
        cmocka_unit_test(closing_while_gathering),
        cmocka_unit_test(heights_come_again),
        cmocka_unit_test(a_full_queue_gathers_no_more),
    };
    return cmocka_run_group_tests_name("commit", tests, NULL, NULL);
}
