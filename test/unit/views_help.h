/* views_help.h: for the tests of views: the module versions.wat, chains of blocks to index into it
 * that can fork, and what its answers say. */
#ifndef SHR_TEST_VIEWS_HELP_H
#define SHR_TEST_VIEWS_HELP_H

#include "base/endian.h"
#include "chain/build.h"
#include "chain/network.h"
#include "guest_signals.h"
#include "lib/lib.h"
#include "state_help.h"

#define VERSIONS_WAT SHREWD_SOURCE_DIR "/test/unit/versions.wat"
#define VERSION_SIZE 172u /* bytes of an answer of "version" */

struct made_block {
    struct shr_buf bytes;
    struct shr_hash hash;
};

/* A block on `prev` at `height`; `salt` makes siblings differ. */
static inline void make_block(struct made_block *out, const struct shr_hash *prev, uint32_t height,
                              uint32_t salt) {
    static const uint8_t script[] = {0x51};
    struct shr_build_output output = {.value_sats = 50, .script = {script, sizeof script}};
    struct shr_build_block block = {
        .version = 4,
        .prev = *prev,
        .time = 1600000000u + height,
        .bits = SHR_REGTEST_BITS,
        .height = height,
        .extra = {(const uint8_t *)&salt, sizeof salt},
        .outputs = &output,
        .n_outputs = 1,
    };
    memset(out, 0, sizeof *out);
    assert_ok(shr_write_block(&out->bytes, &out->hash, &block, err));
}

static inline void make_genesis(struct made_block *out) {
    memset(out, 0, sizeof *out);
    shr_network_genesis(&out->bytes, shr_network_by_name("regtest"));
    out->hash = shr_network_by_name("regtest")->genesis_hash;
}

/* A handle with the genesis block indexed; `db` NULL: in memory. */
static inline struct shrewd *open_versions(const struct shrewd_view_options *views,
                                           const char *db) {
    struct shrewd *shrewd = NULL;
    struct made_block genesis;
    guest_signals_restore();
    struct shrewd_options options = {
        .flags = SHREWD_CREATE | (db == NULL ? SHREWD_IN_MEMORY : 0),
        .db_path = db,
        .module_path = VERSIONS_WAT,
        .genesis32 = shr_network_by_name("regtest")->genesis_hash.b,
        .views = *views,
    };
    assert_ok(shrewd_open(&shrewd, &options, err));
    make_genesis(&genesis);
    assert_ok(shrewd_index_block(shrewd, genesis.bytes.data, genesis.bytes.len, err));
    shr_buf_free(&genesis.bytes);
    return shrewd;
}

/* What an answer of "version" says; NULL: it is sound, and of the version in *height and *hash. */
static inline const char *read_version(uint32_t *height, struct shr_hash *hash,
                                       struct shr_bytes answer) {
    if (answer.len != VERSION_SIZE) {
        return "an answer of another length";
    }
    *height = shr_get_le32(answer.data);
    const uint8_t *cached = answer.data + 4;
    const uint8_t *now = answer.data + 4 + 84;
    shr_header_hash(hash, shr_bytes(now + 4, 80));
    if (memcmp(cached, now, 84) != 0) {
        return "what the instance kept is of another version than what it reads";
    }
    return shr_get_le32(now) == *height ? NULL : "the state is of another height than the input";
}

#endif
