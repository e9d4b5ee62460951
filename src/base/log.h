/* log.h: one line a message, to standard error or to the embedder's sink. Thread-safe.
 *
 * A line reads "2026-01-31T12:00:00.123Z INFO  room: message". Bytes that are not printable
 * UTF-8 are escaped as \xNN, so that a guest or a node cannot forge or break lines. */
#ifndef SHR_BASE_LOG_H
#define SHR_BASE_LOG_H

#include "base/buf.h"

enum shr_log_level { SHR_LOG_DEBUG, SHR_LOG_INFO, SHR_LOG_WARN, SHR_LOG_ERROR, SHR_LOG_OFF };

/* Called with one finished line's parts; `message` is valid during the call. */
typedef void shr_log_sink(void *ctx, enum shr_log_level level, const char *room,
                          const char *message);

void shr_log_set_level(enum shr_log_level level);
enum shr_log_level shr_log_get_level(void);
/* False when `name` is none of debug, info, warn, error, off. */
bool shr_log_parse_level(const char *name, enum shr_log_level *out);
/* NULL restores standard error. */
void shr_log_set_sink(shr_log_sink *sink, void *ctx);
/* Called before a line is printed on a terminal, to wipe a progress bar; NULL for none. */
void shr_log_set_wipe(void (*wipe)(void));

void shr_log(enum shr_log_level level, const char *room, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#define shr_debug(room, ...) shr_log(SHR_LOG_DEBUG, room, __VA_ARGS__)
#define shr_info(room, ...) shr_log(SHR_LOG_INFO, room, __VA_ARGS__)
#define shr_warn(room, ...) shr_log(SHR_LOG_WARN, room, __VA_ARGS__)
#define shr_error(room, ...) shr_log(SHR_LOG_ERROR, room, __VA_ARGS__)

/* Appends `text` with every byte that is not printable UTF-8 escaped as \xNN. */
void shr_escape(struct shr_buf *out, struct shr_bytes text);

#endif
