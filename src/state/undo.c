#include "state/undo.h"

#include "state/state_impl.h"

/* Reads the versions to put back; a key that was new has none. */
static int read_versions(struct shr_undo_window *window, struct shr_store *store, uint32_t low,
                         struct shrewd_error *err) {
    size_t n_reads = 0;
    for (size_t i = 0; i < window->n; i++) {
        const struct shr_undo *undo = window->undos[i];
        if (undo->replaced) {
            shr_history_key(&window->keys[i], undo->key, undo->height);
            window->reads[n_reads++] = (struct shr_read){.table = SHR_TABLE_HISTORY,
                                                         .key = shr_buf_bytes(&window->keys[i]),
                                                         .value = &window->versions[i]};
        }
    }
    int code = shr_store_get_many(store, NULL, window->reads, n_reads, err);
    for (size_t i = 0; code == 0 && i < n_reads; i++) {
        const struct shr_read *read = &window->reads[i];
        struct shr_bytes value;
        uint32_t written_at = 0;
        const char *wrong = "the version that a block replaced is missing";
        if (read->found) {
            wrong = shr_version_decode(&value, &written_at, shr_buf_bytes(read->value));
        }
        if (wrong == NULL && written_at >= low) {
            wrong = "a version is not older than the block that replaced it";
        }
        if (wrong != NULL) {
            code = shr_corrupt(store, SHR_TABLE_HISTORY, read->key, wrong, err);
        }
    }
    return code;
}

/* In key order: a store takes sorted writes faster. */
int shr_undo_window_restore(struct shr_undo_window *window, struct shr_store *store, uint32_t low,
                            struct shr_batch *batch, struct shrewd_error *err) {
    int code = read_versions(window, store, low, err);
    for (size_t i = 0; code == 0 && i < window->n; i++) {
        const struct shr_undo *undo = window->undos[i];
        if (undo->replaced) {
            shr_batch_put(batch, SHR_TABLE_LATEST, undo->key, shr_buf_bytes(&window->versions[i]));
        } else {
            shr_batch_remove(batch, SHR_TABLE_LATEST, undo->key);
        }
    }
    window->n = 0;
    return code;
}

void shr_undo_window_free(struct shr_undo_window *window) {
    for (size_t i = 0; i < SHR_UNDO_WINDOW; i++) {
        shr_buf_free(&window->versions[i]);
        shr_buf_free(&window->keys[i]);
    }
}
