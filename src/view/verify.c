#include "view/verify.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/prompt.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE_MAX 64u
#define INPUT_MAX (1u << 20) /* bytes of one sample's input: so the queue stays small */
#define INPUT_SHOWN 256u     /* bytes of an input in the log */

struct sample {
    struct sample *next;
    struct shr_reader *reader;
    struct shr_version at;
    char *view;
    struct shr_buf input;
    size_t answer_len;
    struct shr_hash answer; /* its SHA-256 */
};

struct shr_verify {
    struct shr_verify_options options;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t change; /* a sample came, or the end */
    struct sample *first;
    struct sample **last;
    uint32_t waiting;
    bool ending;
    _Atomic bool cancel; /* of the run in hand */
    struct shr_verify_stats stats;
};

static void free_sample(struct sample *sample) {
    shr_reader_close(sample->reader);
    shr_buf_free(&sample->input);
    free(sample->view);
    free(sample);
}

/* --- The thread --- */

enum verdict { SAME, OTHER, UNKNOWN };

static int run_fresh(struct shr_verify *verify, struct shr_buf *out, const struct sample *sample,
                     struct shrewd_error *err) {
    const struct shr_verify_options *options = &verify->options;
    struct shr_instance *instance = NULL;
    struct shr_view_call call = {.view = sample->view, .input = shr_buf_bytes(&sample->input)};
    struct shr_deadline deadline = {.at_ns = shr_now_ns() + (uint64_t)options->time_ms * 1000000u,
                                    .cancel = &verify->cancel};
    int code = shr_instance_new(&instance, options->module, &options->limits, err);
    if (code == 0) {
        code =
            shr_view_run(instance, out, sample->reader, sample->at.height, &call, &deadline, err);
    }
    shr_instance_free(instance);
    return code;
}

static void report(const struct sample *sample, const char *fresh) {
    struct shr_buf input = {0};
    char warm[SHR_HASH_HEX_LEN + 1];
    size_t len = sample->input.len;
    shr_hex_write(warm, shr_bytes(sample->answer.b, 32));
    shr_hex_encode(&input, shr_bytes(sample->input.data, len < INPUT_SHOWN ? len : INPUT_SHOWN));
    shr_error("view",
              "view '%.100s' at %" PRIu32 " with input 0x%s%s (%zu bytes): its stateful answer "
              "(%zu bytes, SHA-256 %s) is not the fresh one (%s). The module keeps something "
              "between calls that changes answers: this view runs fresh from now on",
              sample->view, sample->at.height, shr_buf_cstr(&input), len > INPUT_SHOWN ? "..." : "",
              len, sample->answer_len, warm, fresh);
    shr_buf_free(&input);
}

/* A fresh run that was ended, or for which there was no memory, says nothing of the answer. */
static enum verdict compare(struct shr_verify *verify, const struct sample *sample) {
    struct shr_buf answer = {0};
    struct shrewd_error err = {0};
    struct shr_hash hash;
    enum verdict verdict = SAME;
    int code = run_fresh(verify, &answer, sample, &err);
    if (code == SHREWD_TRAP || code == SHREWD_GUEST) {
        verdict = OTHER;
        report(sample, err.message);
    } else if (code != 0) {
        verdict = UNKNOWN;
    } else {
        shr_sha256(&hash, shr_buf_bytes(&answer));
        if (!shr_hash_eq(&hash, &sample->answer)) {
            char fresh[SHR_HASH_HEX_LEN + 1];
            char text[150];
            verdict = OTHER;
            shr_hex_write(fresh, shr_bytes(hash.b, 32));
            snprintf(text, sizeof text, "%zu bytes, SHA-256 %s", answer.len, fresh);
            report(sample, text);
        }
    }
    shr_buf_free(&answer);
    return verdict;
}

/* With the mutex held. */
static struct sample *pop(struct shr_verify *verify) {
    struct sample *sample = verify->first;
    if (sample != NULL) {
        verify->first = sample->next;
        if (verify->first == NULL) {
            verify->last = &verify->first;
        }
        verify->waiting--;
    }
    return sample;
}

static void *verify_main(void *ctx) {
    struct shr_verify *verify = ctx;
    shr_name_thread("view-verify");
    pthread_mutex_lock(&verify->mutex);
    while (!verify->ending) {
        struct sample *sample = pop(verify);
        if (sample == NULL) {
            pthread_cond_wait(&verify->change, &verify->mutex);
            continue;
        }
        pthread_mutex_unlock(&verify->mutex);
        enum verdict verdict = compare(verify, sample);
        if (verdict == OTHER) {
            verify->options.differs(verify->options.ctx, sample->view);
        }
        free_sample(sample);
        pthread_mutex_lock(&verify->mutex);
        verify->stats.verified += verdict != UNKNOWN;
        verify->stats.differed += verdict == OTHER;
        verify->stats.dropped += verdict == UNKNOWN;
    }
    pthread_mutex_unlock(&verify->mutex);
    return NULL;
}

/* --- */

int shr_verify_new(struct shr_verify **out, const struct shr_verify_options *options,
                   struct shrewd_error *err) {
    struct shr_verify *verify = shr_alloc(sizeof *verify);
    verify->options = *options;
    verify->last = &verify->first;
    pthread_mutex_init(&verify->mutex, NULL);
    pthread_cond_init(&verify->change, NULL);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    int failed = pthread_attr_setstacksize(&attr, SHR_GUEST_THREAD_STACK);
    failed = failed != 0 ? failed : pthread_create(&verify->thread, &attr, verify_main, verify);
    pthread_attr_destroy(&attr);
    if (failed != 0) {
        pthread_cond_destroy(&verify->change);
        pthread_mutex_destroy(&verify->mutex);
        free(verify);
        return shr_fail(err, SHREWD_NO_MEMORY, "cannot start the thread that verifies views: %s",
                        strerror(failed));
    }
    *out = verify;
    return 0;
}

void shr_verify_free(struct shr_verify *verify) {
    if (verify == NULL) {
        return;
    }
    atomic_store(&verify->cancel, true);
    pthread_mutex_lock(&verify->mutex);
    verify->ending = true;
    pthread_cond_signal(&verify->change);
    pthread_mutex_unlock(&verify->mutex);
    pthread_join(verify->thread, NULL);
    for (struct sample *sample; (sample = pop(verify)) != NULL;) {
        free_sample(sample);
    }
    pthread_cond_destroy(&verify->change);
    pthread_mutex_destroy(&verify->mutex);
    free(verify);
}

void shr_verify_submit(struct shr_verify *verify, struct shr_reader *reader,
                       const struct shr_version *at, const struct shr_view_call *call,
                       struct shr_bytes answer) {
    struct sample *sample = shr_alloc(sizeof *sample);
    sample->reader = reader;
    sample->at = *at;
    sample->view = shr_strdup(call->view);
    bool fits = call->input.len <= INPUT_MAX;
    if (fits) {
        shr_buf_set(&sample->input, call->input);
        sample->answer_len = answer.len;
        shr_sha256(&sample->answer, answer);
    }
    pthread_mutex_lock(&verify->mutex);
    fits = fits && verify->waiting < QUEUE_MAX;
    if (fits) {
        *verify->last = sample;
        verify->last = &sample->next;
        verify->waiting++;
        pthread_cond_signal(&verify->change);
    } else {
        verify->stats.dropped++;
    }
    pthread_mutex_unlock(&verify->mutex);
    if (!fits) {
        free_sample(sample);
    }
}

void shr_verify_stats(struct shr_verify *verify, struct shr_verify_stats *out) {
    pthread_mutex_lock(&verify->mutex);
    *out = verify->stats;
    pthread_mutex_unlock(&verify->mutex);
}
