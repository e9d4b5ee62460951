/* Proofs of a view's answer (shrewd/prove.h), changed: nothing may crash, hang or leak, every
 * refusal carries its code and a message, and what is accepted is what the view really answers at
 * that height to that input.
 *
 * An input is a list of changes to a sound proof, of three bytes each: which part, an offset, and
 * the byte that is put there, or, past the part's end, after it. */
#include "chain/build.h"
#include "chain/network.h"
#include "shrewd/prove.h"

#include <stdlib.h>
#include <string.h>

#define MODULE SHREWD_SOURCE_DIR "/test/unit/proofs.wat"
#define TIP 3u
#define INPUT "\1k\5empty\4none\5fixed\1k"
#define READS 4u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct shrewd *shrewd; /* lives as long as the process, as does what follows */
static struct shrewd_verifier *verifier;
static struct shrewd_view_proof *sound;

enum { PROOF, ANSWER, ASKED, HASH, ABSENT, COUNT, VIEW, KEYS, VALUES = KEYS + READS };
#define PARTS ((size_t)VALUES + READS)

static void must(bool held) {
    if (!held) {
        abort();
    }
}

static void index_chain(void) {
    struct shr_buf block = {0};
    struct shr_hash hash = shr_network_by_name("regtest")->genesis_hash;
    shr_network_genesis(&block, shr_network_by_name("regtest"));
    for (uint32_t height = 0; height <= TIP; height++) {
        static const uint8_t script[] = {0x51};
        struct shr_build_output output = {.value_sats = 50, .script = {script, sizeof script}};
        struct shr_build_block next = {
            .version = 4,
            .prev = hash,
            .time = 1600000000u + height,
            .bits = SHR_REGTEST_BITS,
            .height = height,
            .outputs = &output,
            .n_outputs = 1,
        };
        if (height > 0) {
            shr_buf_clear(&block);
            must(shr_write_block(&block, &hash, &next, NULL) == 0);
        }
        must(shrewd_index_block(shrewd, block.data, block.len, NULL) == 0);
    }
    shr_buf_free(&block);
}

static void make_sound(void) {
    struct shrewd_options options = {
        .flags = SHREWD_CREATE | SHREWD_IN_MEMORY,
        .module_path = MODULE,
        .genesis32 = shr_network_by_name("regtest")->genesis_hash.b,
        .read_cache_off = true, /* its entries would count as leaked */
        .views = {.time_ms = 60000, .fresh = true, .results_off = true},
    };
    must(shrewd_open(&shrewd, &options, NULL) == 0);
    index_chain();
    must(shrewd_verifier_open(&verifier, MODULE, NULL, &options.views, NULL) == 0);
    must(shrewd_prove_view(shrewd, &sound, "reads", (const uint8_t *)INPUT, sizeof INPUT - 1, TIP,
                           NULL) == 0);
    must(sound->reads.n == READS);
}

/* The parts of the sound proof, one after the other. */
static void copy_parts(struct shr_buf parts[PARTS]) {
    shr_buf_append(&parts[PROOF], sound->reads.proof, sound->reads.proof_len);
    shr_buf_append(&parts[ANSWER], sound->answer, sound->answer_len);
    shr_buf_append(&parts[ASKED], sound->input, sound->input_len);
    shr_buf_append(&parts[HASH], sound->module_hash, 32);
    shr_buf_append(&parts[COUNT], "\4", 1);
    shr_buf_append(&parts[VIEW], "\0", 1);
    for (size_t i = 0; i < READS; i++) {
        const struct shrewd_claim *claim = &sound->reads.claims[i];
        shr_buf_add_u8(&parts[ABSENT], claim->absent != 0);
        shr_buf_append(&parts[KEYS + i], claim->key, claim->key_len);
        shr_buf_append(&parts[VALUES + i], claim->value, claim->value_len);
    }
}

static void change_parts(struct shr_buf parts[PARTS], const uint8_t *data, size_t len) {
    for (; len >= 3; data += 3, len -= 3) {
        struct shr_buf *part = &parts[data[0] % PARTS];
        if (data[1] < part->len) {
            part->data[data[1]] = data[2];
        } else if (data[2] == 0xff && part->len > 0) {
            part->len--;
        } else {
            shr_buf_add_u8(part, data[2]);
        }
    }
}

/* What the changed parts claim. */
static void make_claim(struct shrewd_view_proof *out, struct shrewd_claim claims[READS],
                       struct shr_buf parts[PARTS]) {
    static const char *const views[] = {"reads", "many",        "counter", "height",
                                        "traps", "points_past", "_start",  "absent"};
    *out = *sound;
    memset(out->module_hash, 0, 32);
    memcpy(out->module_hash, parts[HASH].data, parts[HASH].len < 32 ? parts[HASH].len : 32);
    out->view = views[parts[VIEW].len > 0 ? parts[VIEW].data[0] % 8 : 0];
    out->input = parts[ASKED].data;
    out->input_len = parts[ASKED].len;
    out->answer = parts[ANSWER].data;
    out->answer_len = parts[ANSWER].len;
    out->reads.proof = parts[PROOF].data;
    out->reads.proof_len = parts[PROOF].len;
    out->reads.claims = claims;
    out->reads.n = parts[COUNT].len > 0 ? parts[COUNT].data[0] % (READS + 1) : 0;
    for (size_t i = 0; i < READS; i++) {
        claims[i] = (struct shrewd_claim){
            .key = parts[KEYS + i].data,
            .key_len = parts[KEYS + i].len,
            .value = parts[VALUES + i].data,
            .value_len = parts[VALUES + i].len,
            .absent = i < parts[ABSENT].len && (parts[ABSENT].data[i] & 1) != 0,
        };
    }
}

/* What was accepted is true. */
static void check_accepted(const struct shrewd_view_proof *proof) {
    uint8_t *answer = NULL;
    size_t len = 0;
    must(shrewd_view(shrewd, &answer, &len, proof->view, proof->input, proof->input_len, TIP,
                     NULL) == 0);
    must(len == proof->answer_len && memcmp(answer, proof->answer, len) == 0);
    must(memcmp(proof->module_hash, sound->module_hash, 32) == 0);
    shrewd_free(answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    if (shrewd == NULL) {
        make_sound();
    }
    struct shr_buf parts[PARTS] = {{0}};
    struct shrewd_claim claims[READS];
    struct shrewd_view_proof proof;
    struct shrewd_error err = {0};
    copy_parts(parts);
    change_parts(parts, data, len);
    make_claim(&proof, claims, parts);
    int code = shrewd_verify_view(verifier, sound->reads.block.root, TIP, &proof, &err);
    if (code == 0) {
        check_accepted(&proof);
    } else {
        must(err.code == code && err.message[0] != 0);
        must(code == SHREWD_UNPROVEN);
        must(len >= 3);
    }
    for (size_t i = 0; i < PARTS; i++) {
        shr_buf_free(&parts[i]);
    }
    return 0;
}
