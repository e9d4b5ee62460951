#include "state/prove.h"

#include "base/alloc.h"
#include "base/hex.h"
#include "shrewd/proof.h"
#include "state/root.h"
#include "state/state_impl.h"

#include <stdlib.h>
#include <string.h>

#define KEY_SHOWN 64u /* bytes of a key in a message */

static int by_bytes(const void *a, const void *b) {
    return memcmp(a, b, sizeof(struct shr_hash));
}

static int read_values(struct shr_proved *out, struct shr_reader *reader,
                       const struct shr_bytes *keys, struct shrewd_error *err) {
    int code = 0;
    for (size_t i = 0; code == 0 && i < out->n; i++) {
        code = shr_reader_get(reader, &out->values[i], keys[i], out->block.height, err);
        out->found[i] = code == 0;
        if (code == SHREWD_NOT_FOUND) {
            shr_buf_clear(&out->values[i]);
            code = 0;
        }
    }
    return code;
}

/* Each key once, in the order of their hashes. */
static int add_proof(struct shr_proved *out, struct shr_reader *reader,
                     const struct shr_bytes *keys, struct shrewd_error *err) {
    struct shr_hash *hashes = shr_alloc_array(out->n + 1, sizeof *hashes);
    for (size_t i = 0; i < out->n; i++) {
        shr_sha256(&hashes[i], keys[i]);
    }
    qsort(hashes, out->n, sizeof *hashes, by_bytes);
    size_t n = 0;
    for (size_t i = 0; i < out->n; i++) {
        if (n == 0 || !shr_hash_eq(&hashes[n - 1], &hashes[i])) {
            hashes[n++] = hashes[i];
        }
    }
    struct shr_root_view *view =
        shr_root_view_new(reader->state->store, reader->snapshot, out->block.height);
    int code = shr_root_prove(view, &out->proof, hashes, n, err);
    shr_root_view_free(view);
    free(hashes);
    return code;
}

static int refuse(const struct shr_proved *proved, const struct shr_reader *reader, int why,
                  struct shr_bytes key, struct shrewd_error *err) {
    bool value = why == SHREWD_UNPROVEN_OTHER_VALUE || why == SHREWD_UNPROVEN_IS_ABSENT ||
                 why == SHREWD_UNPROVEN_IS_PRESENT;
    char hex[2 * KEY_SHOWN + 1];
    bool cut = key.len > KEY_SHOWN;
    if (!value) {
        return shr_fail(err, SHREWD_CORRUPT,
                        "the database '%s' is damaged: the state tree after block %u does not have "
                        "the block's state root (%s); 'shrewd check' says more; restore a copy of "
                        "the folder, or index again into an empty one",
                        reader->state->store->name, proved->block.height,
                        shrewd_proof_strerror(why));
    }
    shr_hex_write(hex, shr_bytes(key.data, cut ? KEY_SHOWN : key.len));
    return shr_fail(err, SHREWD_CORRUPT,
                    "the database '%s' is damaged: what it has of the key 0x%s%s after block %u is "
                    "not what its state root says (%s); 'shrewd check' says more; restore a copy "
                    "of the folder, or index again into an empty one",
                    reader->state->store->name, hex, cut ? "..." : "", proved->block.height,
                    shrewd_proof_strerror(why));
}

/* As whoever gets the proof will: what is damaged is not handed out. */
static int verify(const struct shr_proved *proved, const struct shr_reader *reader,
                  const struct shr_bytes *keys, struct shrewd_error *err) {
    struct shrewd_claim *claims = shr_alloc_array(proved->n + 1, sizeof *claims);
    size_t at = 0;
    for (size_t i = 0; i < proved->n; i++) {
        claims[i] = (struct shrewd_claim){.key = keys[i].data,
                                          .key_len = keys[i].len,
                                          .value = proved->values[i].data,
                                          .value_len = proved->values[i].len,
                                          .absent = !proved->found[i]};
    }
    int why = shrewd_proof_verify(proved->block.root.b, proved->proof.data, proved->proof.len,
                                  claims, proved->n, &at);
    free(claims);
    struct shr_bytes key = at < proved->n ? keys[at] : shr_bytes(NULL, 0);
    return why == 0 ? 0 : refuse(proved, reader, why, key, err);
}

int shr_prove_block(struct shr_block_record *out, struct shr_reader *reader, uint32_t height,
                    struct shrewd_error *err) {
    int code = height == UINT32_MAX ? shr_reader_tip(reader, out, err)
                                    : shr_reader_block(reader, out, height, err);
    if (code == 0) {
        code = shr_reader_check_held(reader, out->height, err);
    }
    if (code == 0 && (!out->has_root || shr_state_is_fork(reader->state))) {
        code = shr_fail(err, SHREWD_NO_ROOT, "this database keeps no state root for height %u",
                        out->height);
    }
    return code;
}

static int prove(struct shr_proved *out, struct shr_reader *reader, const struct shr_bytes *keys,
                 size_t n, uint32_t height, bool as_held, struct shrewd_error *err) {
    *out = (struct shr_proved){.n = n};
    if (n > SHR_PROVE_KEYS_MAX) {
        return shr_fail(err, SHREWD_LIMIT, "%zu keys; one proof is of at most %u", n,
                        SHR_PROVE_KEYS_MAX);
    }
    int code = shr_prove_block(&out->block, reader, height, err);
    if (code != 0) {
        return code;
    }
    out->values = shr_alloc_array(n + 1, sizeof *out->values);
    out->found = shr_alloc_array(n + 1, sizeof *out->found);
    code = read_values(out, reader, keys, err);
    if (code == 0) {
        code = add_proof(out, reader, keys, err);
    }
    if (code == 0 && !as_held) {
        code = verify(out, reader, keys, err);
    }
    if (code != 0) {
        shr_proved_free(out);
    }
    return code;
}

int shr_prove_in(struct shr_proved *out, struct shr_reader *reader, const struct shr_bytes *keys,
                 size_t n, uint32_t height, struct shrewd_error *err) {
    return prove(out, reader, keys, n, height, false, err);
}

static int prove_now(struct shr_proved *out, struct shr_state *state, const struct shr_bytes *keys,
                     size_t n, uint32_t height, bool as_held, struct shrewd_error *err) {
    struct shr_reader *reader = NULL;
    *out = (struct shr_proved){0};
    int code = shr_reader_open(&reader, state, err);
    if (code == 0) {
        code = prove(out, reader, keys, n, height, as_held, err);
        shr_reader_close(reader);
    }
    return code;
}

int shr_prove(struct shr_proved *out, struct shr_state *state, const struct shr_bytes *keys,
              size_t n, uint32_t height, struct shrewd_error *err) {
    return prove_now(out, state, keys, n, height, false, err);
}

int shr_prove_as_held(struct shr_proved *out, struct shr_state *state, const struct shr_bytes *keys,
                      size_t n, uint32_t height, struct shrewd_error *err) {
    return prove_now(out, state, keys, n, height, true, err);
}

void shr_proved_free(struct shr_proved *proved) {
    for (size_t i = 0; proved->values != NULL && i < proved->n; i++) {
        shr_buf_free(&proved->values[i]);
    }
    free(proved->values);
    free(proved->found);
    shr_buf_free(&proved->proof);
    *proved = (struct shr_proved){0};
}
