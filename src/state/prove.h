/* prove.h: values and their proof, from one consistent picture of a state. */
#ifndef SHR_STATE_PROVE_H
#define SHR_STATE_PROVE_H

#include "state/state.h"

#define SHR_PROVE_KEYS_MAX 10000u

/* {0} is empty; shr_proved_free. */
struct shr_proved {
    struct shr_block_record block; /* the block after which it holds, and its state root */
    size_t n;
    struct shr_buf *values; /* of each key, in the order asked; empty where absent */
    bool *found;
    struct shr_buf proof; /* of all of them at once: shrewd/proof.h, doc/state-root.md */
};

/* `height`: UINT32_MAX for the tip. SHREWD_NO_ROOT when the database, or a fork, keeps none;
 * SHREWD_ABOVE_TIP, SHREWD_BELOW_START, SHREWD_PRUNED; SHREWD_LIMIT above SHR_PROVE_KEYS_MAX keys;
 * SHREWD_CORRUPT, naming the key, when a value is not what the root proves. Any thread. */
int shr_prove(struct shr_proved *out, struct shr_state *state, const struct shr_bytes *keys,
              size_t n, uint32_t height, struct shrewd_error *err);
/* The same without verifying it: whoever asks does, and sees what a damaged database has. */
int shr_prove_as_held(struct shr_proved *out, struct shr_state *state, const struct shr_bytes *keys,
                      size_t n, uint32_t height, struct shrewd_error *err);
/* As shr_prove from a reader that is open, so that it is of the very picture that was read
 * before. */
int shr_prove_in(struct shr_proved *out, struct shr_reader *reader, const struct shr_bytes *keys,
                 size_t n, uint32_t height, struct shrewd_error *err);
/* The block of `height` in it, if something can be proven there; else as shr_prove fails. */
int shr_prove_block(struct shr_block_record *out, struct shr_reader *reader, uint32_t height,
                    struct shrewd_error *err);
void shr_proved_free(struct shr_proved *proved);

#endif
