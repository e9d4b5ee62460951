/* shr_reader_changes: the keys that a block changed. */
#include "state/state_impl.h"

int shr_reader_changes(struct shr_reader *reader, uint32_t height, shr_change_fn *visit, void *ctx,
                       struct shrewd_error *err) {
    struct shr_state *state = reader->state;
    if (state->base != NULL && height <= state->fork.height) {
        return shr_reader_changes(state->base, height, visit, ctx, err);
    }
    struct shr_height_key key = shr_height_key(height);
    struct shr_buf row = {0};
    const char *wrong = NULL;
    int code = shr_store_get(state->store, reader->snapshot, SHR_TABLE_CHANGES, &row,
                             shr_height_key_bytes(&key), err);
    if (code == SHREWD_NOT_FOUND) {
        wrong = "the changes of a block are missing";
        code = 0;
    }
    struct shr_bytes left = shr_buf_bytes(&row);
    while (code == 0 && wrong == NULL && left.len > 0) {
        struct shr_change change;
        wrong = shr_change_take(&change, &left);
        if (wrong == NULL) {
            code = visit(ctx, change.key, err);
        }
    }
    if (wrong != NULL) {
        code = shr_corrupt(state->store, SHR_TABLE_CHANGES, shr_height_key_bytes(&key), wrong, err);
    }
    shr_buf_free(&row);
    return code;
}
