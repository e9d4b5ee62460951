/* Arbitrary bytes as rows of every table: nothing may crash, hang or leak, and every failure
 * carries its code and a message.
 *
 * An input is a list of rows written over a small sound state: a byte that picks the table (or,
 * from 0xf0 up, with a second byte, one of the rows the state has, key and all), key length,
 * key, value length (two bytes, little endian; 0xffff removes the row), value. */
#include "base/alloc.h"
#include "base/endian.h"
#include "state/check.h"

#include <stdlib.h>
#include <string.h>

#define BLOCKS 5u
#define ROWS_MAX 64
/* Of reads. The usual one's table takes most of an input's time to touch and give back. */
#define CACHE_BYTES ((size_t)1 << 16)

static struct shr_store *sound; /* lives as long as the process, as does the state that has it */
static struct shr_state *sound_state;
static struct {
    enum shr_table table;
    struct shr_buf key;
} rows[ROWS_MAX];
static size_t n_rows;
static enum shr_table scanned;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(int code, const struct shrewd_error *err) {
    if (code > 0 || (code != 0 && (err->code != code || err->message[0] == 0))) {
        abort();
    }
}

static struct shr_pair pair(const char *key, const char *value) {
    return (struct shr_pair){shr_bytes_str(key), shr_bytes_str(value)};
}

static int apply(struct shr_state *state, uint32_t height, struct shrewd_error *err) {
    static const char *const values[] = {"", "one", "two", "three"};
    struct shr_pair pairs[] = {pair("", values[height % 3]), pair("a", values[height % 4]),
                               pair("ab", "the same"), pair(values[height % 4], "by value")};
    struct shr_block_change change = {.height = height, .pairs = pairs, .n_pairs = 4};
    return shr_state_apply(state, &change, false, err);
}

static enum shr_scan_step remember(void *ctx, struct shr_bytes key, struct shr_bytes value) {
    if (n_rows < ROWS_MAX) {
        rows[n_rows].table = scanned;
        shr_buf_set(&rows[n_rows++].key, key);
    }
    return SHR_SCAN_MORE;
}

/* The sound state is kept in a store of its own; each input works on an overlay. */
static void make_sound(void) {
    static const struct shr_identity identity = {.start_height = 1};
    sound = shr_store_new_memory();
    if (shr_state_open(&sound_state, sound, &identity, false, NULL) != 0) {
        abort();
    }
    shr_state_set_cache(sound_state, 0); /* whose entries would count as leaked */
    for (uint32_t height = 1; height <= BLOCKS; height++) {
        if (apply(sound_state, height, NULL) != 0) {
            abort();
        }
    }
    for (int table = 0; table < SHR_TABLE_COUNT; table++) {
        scanned = (enum shr_table)table;
        shr_store_scan(sound, NULL, scanned, shr_bytes(NULL, 0), shr_bytes(NULL, 0), false,
                       remember, NULL, NULL);
    }
}

static bool take(struct shr_bytes *in, size_t n, struct shr_bytes *out) {
    if (in->len < n) {
        return false;
    }
    *out = shr_bytes(in->data, n);
    *in = shr_bytes(in->data + n, in->len - n);
    return true;
}

static bool take_row(struct shr_bytes *in, struct shr_batch *batch) {
    struct shr_bytes part, key, value;
    enum shr_table table;
    if (!take(in, 2, &part)) {
        return false;
    }
    if (part.data[0] >= 0xf0) {
        size_t row = part.data[1] % n_rows;
        table = rows[row].table;
        key = shr_buf_bytes(&rows[row].key);
    } else {
        table = (enum shr_table)(part.data[0] % SHR_TABLE_COUNT);
        if (!take(in, part.data[1], &key)) {
            return false;
        }
    }
    if (!take(in, 2, &part)) {
        return false;
    }
    size_t len = shr_get_le16(part.data);
    if (len == UINT16_MAX) {
        shr_batch_remove(batch, table, key);
        return true;
    }
    if (!take(in, len < in->len ? len : in->len, &value)) {
        return false;
    }
    shr_batch_put(batch, table, key, value);
    return true;
}

static enum shr_scan_step count(void *ctx, struct shr_bytes key, struct shr_bytes value) {
    ++*(size_t *)ctx;
    return SHR_SCAN_MORE;
}

static void read_all(struct shr_state *state) {
    static const char *const keys[] = {"", "a", "ab", "one", "absent"};
    struct shr_reader *reader = NULL;
    struct shrewd_error err;
    struct shr_buf value = {0};
    struct shr_block_record record;
    int code = shr_reader_open(&reader, state, &err);
    check(code, &err);
    if (code != 0) {
        return;
    }
    check(shr_reader_tip(reader, &record, &err), &err);
    for (uint32_t height = 0; height <= BLOCKS + 1; height++) {
        size_t n = 0;
        check(shr_reader_block(reader, &record, height, &err), &err);
        for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
            check(shr_reader_get(reader, &value, shr_bytes_str(keys[i]), height, &err), &err);
        }
        check(shr_reader_each(reader, shr_bytes(NULL, 0), height, count, &n, &err), &err);
        check(shr_reader_each(reader, shr_bytes_str("a"), height, count, &n, &err), &err);
    }
    /* A fork on it, as previews make. */
    struct shr_state *fork = NULL;
    code = shr_state_open_fork(&fork, shr_store_new_memory(), reader, 3, NULL, false, &err);
    check(code, &err);
    if (code == 0) {
        size_t n = 0;
        struct shr_reader *above = NULL;
        check(apply(fork, 4, &err), &err);
        if (shr_reader_open(&above, fork, NULL) == 0) {
            check(shr_reader_each(above, shr_bytes(NULL, 0), 4, count, &n, &err), &err);
            shr_reader_close(above);
        }
        shr_state_close(fork);
    }
    shr_reader_close(reader);
    shr_buf_free(&value);
}

static void found(void *ctx, const struct shr_check_finding *finding) {
    ++*(size_t *)ctx;
    if (finding->expected[0] == 0 || finding->found[0] == 0) {
        abort();
    }
}

/* What the check finds is up to the bytes; that nothing is found where nothing was written is not.
 */
static void check_all(struct shr_store *store, bool damaged) {
    struct shrewd_error err;
    struct shr_check_summary summary;
    size_t n = 0;
    struct shr_check_options options = {.findings_max = 50, .found = found, .ctx = &n};
    int code = shr_check(store, &options, &summary, &err);
    check(code, &err);
    if (n > 50 || (code == 0 && n != summary.findings) || (!damaged && n > 0)) {
        abort();
    }
}

static void write_all(struct shr_state *state) {
    struct shrewd_error err;
    struct shr_block_record tip;
    int code = shr_state_tip(state, &tip, &err);
    check(code, &err);
    check(apply(state, code == 0 ? tip.height + 1 : 1, &err), &err);
    struct shr_prune_step step;
    check(shr_state_prune(state, 2, 1, &step, &err), &err);
    check(shr_state_rollback(state, 3, &err), &err);
    check(shr_state_rollback_all(state, &err), &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    if (sound == NULL) {
        make_sound();
    }
    struct shr_bytes in = shr_bytes(data, len);
    struct shr_store *damaged = shr_store_new_overlay(sound, NULL);
    struct shr_batch batch = {0};
    while (take_row(&in, &batch)) {
    }
    struct shr_state *state = NULL;
    struct shrewd_error err;
    /* First with rows damaged under an open state, then opening what is damaged. */
    int code = shr_state_open(&state, damaged, NULL, false, &err);
    if (code != 0) {
        abort();
    }
    shr_state_set_cache(state, CACHE_BYTES);
    check(shr_store_write(damaged, &batch, false, &err), &err);
    read_all(state);
    check_all(damaged, batch.n > 0);
    struct shr_state *again = NULL;
    code = shr_state_open(&again, shr_store_new_overlay(damaged, NULL), NULL, false, &err);
    check(code, &err);
    if (code == 0) {
        shr_state_set_cache(again, CACHE_BYTES);
        read_all(again);
        write_all(again);
        shr_state_close(again);
    }
    write_all(state);
    shr_state_close(state);
    shr_batch_free(&batch);
    return 0;
}
