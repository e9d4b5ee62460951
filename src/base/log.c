#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static _Atomic int min_level = SHR_LOG_INFO;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static shr_log_sink *log_sink;
static void *log_sink_ctx;
static void (*log_wipe)(void);

static const char *const level_names[] = {"debug", "info", "warn", "error", "off"};

void shr_log_set_level(enum shr_log_level level) {
    atomic_store(&min_level, (int)level);
}

enum shr_log_level shr_log_get_level(void) {
    return (enum shr_log_level)atomic_load(&min_level);
}

bool shr_log_parse_level(const char *name, enum shr_log_level *out) {
    for (size_t i = 0; i < sizeof level_names / sizeof level_names[0]; i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *out = (enum shr_log_level)i;
            return true;
        }
    }
    return false;
}

void shr_log_set_sink(shr_log_sink *sink, void *ctx) {
    pthread_mutex_lock(&lock);
    log_sink = sink;
    log_sink_ctx = ctx;
    pthread_mutex_unlock(&lock);
}

void shr_log_set_wipe(void (*wipe)(void)) {
    pthread_mutex_lock(&lock);
    log_wipe = wipe;
    pthread_mutex_unlock(&lock);
}

/* The length of the well-formed, printable UTF-8 sequence at text[at]; 0 when there is none. */
static size_t printable_len(struct shr_bytes text, size_t at) {
    const uint8_t *s = text.data + at;
    size_t left = text.len - at;
    if (s[0] < 0x80) {
        return s[0] >= 0x20 && s[0] != 0x7f;
    }
    size_t len = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || left < len) {
        return 0;
    }
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
    bool surrogate = s[0] == 0xed && s[1] >= 0xa0;
    bool too_large = s[0] == 0xf4 && s[1] >= 0x90;
    bool control = s[0] == 0xc2 && s[1] < 0xa0;
    return overlong || surrogate || too_large || control ? 0 : len;
}

void shr_escape(struct shr_buf *out, struct shr_bytes text) {
    for (size_t at = 0; at < text.len;) {
        size_t len = printable_len(text, at);
        if (len > 0) {
            shr_buf_append(out, text.data + at, len);
            at += len;
        } else {
            shr_buf_printf(out, "\\x%02x", text.data[at]);
            at++;
        }
    }
}

static void print_line(enum shr_log_level level, const char *room, const char *message) {
    static const char *const labels[] = {"DEBUG", "INFO ", "WARN ", "ERROR"};
    struct timespec now;
    struct tm utc;
    char when[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &utc);
    if (log_wipe != NULL) {
        log_wipe();
    }
    fprintf(stderr, "%s.%03ldZ %s %s: %s\n", when, now.tv_nsec / 1000000, labels[level], room,
            message);
}

void shr_log(enum shr_log_level level, const char *room, const char *format, ...) {
    if ((int)level < atomic_load(&min_level) || level >= SHR_LOG_OFF) {
        return;
    }
    struct shr_buf raw = {0};
    struct shr_buf line = {0};
    va_list args;
    va_start(args, format);
    char small[1024];
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(small, sizeof small, format, args);
    va_end(args);
    if (len >= (int)sizeof small) {
        vsnprintf((char *)shr_buf_grow(&raw, (size_t)len + 1), (size_t)len + 1, format, again);
        raw.len = (size_t)len;
    } else if (len > 0) {
        shr_buf_append(&raw, small, (size_t)len);
    }
    va_end(again);
    shr_escape(&line, shr_buf_bytes(&raw));
    pthread_mutex_lock(&lock);
    if (log_sink != NULL) {
        log_sink(log_sink_ctx, level, room, shr_buf_cstr(&line));
    } else {
        print_line(level, room, shr_buf_cstr(&line));
    }
    pthread_mutex_unlock(&lock);
    shr_buf_free(&raw);
    shr_buf_free(&line);
}
