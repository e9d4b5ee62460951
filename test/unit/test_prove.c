/* shr_prove of a damaged database: no proof is given that its verifier would refuse; the message
 * names the key, or says that it is the tree. */
#include "state_help.h"

#include "state/codec.h"
#include "state/prove.h"

static const struct shr_identity identity = {.start_height = 0};

static struct shr_state *make(struct shr_store *store) {
    static const char *const values[] = {"one", "two", "three"};
    struct shr_state *state = NULL;
    assert_ok(shr_state_open(&state, store, &identity, false, err));
    shr_state_set_cache(state, 0); /* which would have what was there before the damage */
    for (uint32_t height = 0; height < 3; height++) {
        struct shr_pair pairs[] = {{TEXT("a"), shr_bytes_str(values[height])},
                                   {TEXT("b"), TEXT("always")}};
        struct shr_block_change change = {.height = height, .pairs = pairs, .n_pairs = 2};
        assert_ok(shr_state_apply(state, &change, false, err));
    }
    return state;
}

struct damage {
    enum shr_table table;
    struct shr_bytes key, value; /* value.data NULL: the row is gone */
    uint32_t height;             /* asked for */
    const char *message;
};

#define BYTES(text)                                                                                \
    { (const uint8_t *)(text), sizeof(text) - 1 }

static const struct damage damages[] = {
    {SHR_TABLE_LATEST, BYTES("a"), BYTES("THREE\0\0\0\2"), 2,
     "key 0x61 after block 2 is not what its state root says (the key has another value)"},
    {SHR_TABLE_HISTORY, BYTES("\0\0\0\1a\0\0\0\2"), BYTES("twO\0\0\0\1"), 1,
     "key 0x61 after block 1 is not what its state root says (the key has another value)"},
    {SHR_TABLE_LATEST, BYTES("b"), {NULL, 0}, 2, "key 0x62 after block 2 is not what its state"},
    {SHR_TABLE_LATEST, BYTES("c"), BYTES("more\0\0\0\0"), 1, "key 0x63 after block 1 is not what"},
    /* The row of the only page, of block 1: the leaf of index 1 has another value */
    {SHR_TABLE_ROOT, BYTES("\0\xff\xff\xff\xfe"),
     BYTES("\4\1\1"
           "0123456789abcdef0123456789abcdef"),
     1, "the state tree after block 1 does not have the block's state root"},
};

static void nothing_damaged_is_proven(void **unused) {
    const struct shr_bytes keys[] = {TEXT("a"), TEXT("b"), TEXT("c"), TEXT("a")};
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        const struct damage *damage = &damages[i];
        struct shr_store *store = shr_store_new_memory();
        struct shr_state *state = make(store);
        struct shr_proved proved;
        struct shr_batch batch = {0};
        for (uint32_t height = 0; height < 3; height++) {
            assert_ok(shr_prove(&proved, state, keys, 4, height, err));
            shr_proved_free(&proved);
        }
        if (damage->value.data == NULL) {
            shr_batch_remove(&batch, damage->table, damage->key);
        } else {
            shr_batch_put(&batch, damage->table, damage->key, damage->value);
        }
        assert_ok(shr_store_write(store, &batch, false, err));
        shr_batch_free(&batch);
        /* Readers have the picture of the last block: with one more they see the damage. */
        struct shr_block_change change = {.height = 3};
        assert_ok(shr_state_apply(state, &change, false, err));
        assert_fails(shr_prove(&proved, state, keys, 4, damage->height, err), SHREWD_CORRUPT,
                     damage->message);
        assert_null(proved.values);
        shr_state_close(state);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_damaged_is_proven)};
    return cmocka_run_group_tests_name("prove", tests, NULL, NULL);
}
