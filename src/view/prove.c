#include "view/prove.h"

#include <inttypes.h>

/* What a call reads, and what it has read so far. */
struct record {
    struct shr_reader *reader;
    uint32_t height;
    struct shr_reads *keys;
    size_t bytes; /* of keys and values */
    bool full;    /* there was more than fits a proof */
};

static int record_get(void *ctx, struct shr_buf *value, struct shr_bytes key,
                      struct shrewd_error *err) {
    struct record *record = ctx;
    size_t at;
    int code = shr_reader_get(record->reader, value, key, record->height, err);
    if ((code != 0 && code != SHREWD_NOT_FOUND) || shr_reads_find(record->keys, &at, key)) {
        return code;
    }
    record->bytes += key.len + (code == 0 ? value->len : 0);
    if (record->keys->n == SHR_VIEW_READS_MAX || record->bytes > SHR_VIEW_READS_BYTES_MAX) {
        record->full = true;
        return shr_fail(err, SHREWD_LIMIT, "the view reads too much for a proof");
    }
    shr_reads_add(record->keys, key);
    return code;
}

static int run(struct shr_view_proved *out, struct record *record, struct shr_module *module,
               const struct shr_instance_limits *limits, const struct shr_view_call *call,
               const struct shr_deadline *deadline, struct shrewd_error *err) {
    struct shr_instance *instance = NULL;
    int code = shr_instance_new(&instance, module, limits, err);
    if (code == 0) {
        code = shr_view_run_on(instance, &out->answer, record_get, record, record->height, call,
                               deadline, err);
    }
    shr_instance_free(instance);
    if (code != 0 && record->full) {
        code = shr_fail(err, SHREWD_LIMIT,
                        "view '%.100s' at height %" PRIu32 " reads more than %u different keys, or "
                        "%zu MiB of keys and values: too much for one proof",
                        call->view, record->height, SHR_VIEW_READS_MAX,
                        SHR_VIEW_READS_BYTES_MAX >> 20);
    }
    return code;
}

int shr_view_prove(struct shr_view_proved *out, struct shr_state *state, struct shr_module *module,
                   const struct shr_instance_limits *limits, const struct shr_view_call *call,
                   const struct shr_deadline *deadline, struct shrewd_error *err) {
    struct record record = {.keys = &out->keys};
    struct shr_block_record block;
    struct shr_version at;
    *out = (struct shr_view_proved){.module_hash = *shr_module_hash(module)};
    int code = shr_view_open(&record.reader, &at, state, call->height, err);
    if (code != 0) {
        return code;
    }
    shr_reads_init(&out->keys);
    record.height = at.height;
    code = shr_prove_block(&block, record.reader, at.height, err); /* before any work */
    if (code == 0) {
        code = run(out, &record, module, limits, call, deadline, err);
    }
    if (code == 0) {
        code =
            shr_prove_in(&out->proved, record.reader, out->keys.keys, out->keys.n, at.height, err);
    }
    shr_reader_close(record.reader);
    if (code != 0) {
        shr_view_proved_free(out);
    }
    return code;
}

void shr_view_proved_free(struct shr_view_proved *proved) {
    shr_buf_free(&proved->answer);
    shr_reads_free(&proved->keys);
    shr_proved_free(&proved->proved);
}
