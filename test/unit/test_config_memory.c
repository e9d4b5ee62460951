/* --memory-mb: what each part gets of it. */
#include "config_load.h"

/* One budget; what a flag names comes off it, and the others share the rest. */
static void test_memory(void **state) {
    (void)state;
    struct shr_config config;
#define NODE "run --indexer m --db-path d --daemon-rpc-url u "
    assert_int_equal(load(&config, NODE "--memory-mb 544 --fsync never"), 0); /* 64 and 15 x 32 */
    assert_int_equal(config.cache_mb, 96);
    assert_int_equal(config.write_buffer_mb, 64);
    assert_int_equal(config.read_cache_mb, 96);
    assert_int_equal(config.prefetch_mb, 32);
    assert_int_equal(config.pending_mb, 64);
    assert_int_equal(config.root_cache_mb, 128);
    assert_int_equal(config.fsync, 2);
    shr_config_free(&config);
    assert_int_equal(load(&config, NODE "--memory-mb 544 --cache-mb 20 --read-cache-mb 0"), 0);
    assert_int_equal(config.cache_mb, 20);
    assert_int_equal(config.read_cache_mb, 0);
    assert_int_equal(config.prefetch_mb, 51); /* (544 - 64 - 20) / 9 */
    assert_int_equal(config.root_cache_mb, 204);
    shr_config_free(&config);
    /* A part that has its share changes nothing; one that has more leaves the others less. */
    assert_int_equal(load(&config, NODE "--memory-mb 1024 --cache-mb 192"), 0);
    assert_int_equal(config.read_cache_mb, 192);
    shr_config_free(&config);
    assert_int_equal(load(&config, NODE "--memory-mb 1024 --cache-mb 300"), 0);
    assert_int_equal(config.read_cache_mb, 165);
    assert_int_equal(config.root_cache_mb, 220);
    shr_config_free(&config);
    /* The others have what they have of 256 at least. */
    assert_int_equal(load(&config, NODE "--memory-mb 518 --cache-mb 300"), 0);
    shr_config_free(&config);
    assert_refused(NODE "--memory-mb 517 --cache-mb 300",
                   "for the 300 of --cache-mb, and 218 for the other parts: the least is 518");
    assert_refused(NODE "--memory-mb 850 --cache-mb 600 --prefetch-mb 100 --read-cache-mb 0",
                   "the 700 of --cache-mb and --prefetch-mb, and");
    assert_int_equal(load(&config, NODE "--cache-mb 4000"), 0);
    assert_int_equal(config.read_cache_mb, 192);
    shr_config_free(&config);
    assert_refused(NODE "--memory-mb 255", "(256 to 1048576)");
    assert_refused(NODE "--fsync sometimes", "is not one of always|tip|never");
    assert_int_equal(load(&config, "status --db-path d"), 0); /* no budget */
    assert_int_equal(config.cache_mb, 256);
    assert_int_equal(config.read_cache_mb, 64);
    shr_config_free(&config);
#undef NODE
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_memory, clear_environment),
    };
    return cmocka_run_group_tests_name("config_memory", tests, NULL, NULL);
}
