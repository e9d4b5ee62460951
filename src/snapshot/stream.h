/* stream.h: a zstd file written or read from end to end, and the SHA-256 of its bytes as they
 * lie on disk. One thread a stream. Errors name the file: SHREWD_IO, SHREWD_CORRUPT. */
#ifndef SHR_SNAPSHOT_STREAM_H
#define SHR_SNAPSHOT_STREAM_H

#include "chain/hash.h"

#include "base/error.h"

struct shr_zout;
struct shr_zin;

/* Of all files of a snapshot, less the umask: any web server may serve them. */
#define SHR_SNAP_FILE_MODE 0644u

/* Makes the file, replacing what was there. */
int shr_zout_open(struct shr_zout **out, const char *path, struct shrewd_error *err);
int shr_zout_put(struct shr_zout *stream, struct shr_bytes bytes, struct shrewd_error *err);
/* Ends the file, on disk when it returns; `sha256` and `bytes` of it. The stream is freed, also on
 * failure, when the file is deleted. */
int shr_zout_close(struct shr_zout *stream, struct shr_hash *sha256, uint64_t *bytes,
                   struct shrewd_error *err);
/* Gives up: the file is deleted. NULL is fine. */
void shr_zout_drop(struct shr_zout *stream);

int shr_zin_open(struct shr_zin **out, const char *path, struct shrewd_error *err);
/* The next n bytes, valid until the next call. SHREWD_CORRUPT when fewer are left. A length that
 * lies costs no more memory than the file gives bytes. */
int shr_zin_take(struct shr_zin *stream, struct shr_bytes *out, size_t n, struct shrewd_error *err);
/* Nothing may be left; the hash of the whole file. */
int shr_zin_end(struct shr_zin *stream, struct shr_hash *sha256, struct shrewd_error *err);
void shr_zin_close(struct shr_zin *stream); /* NULL is fine */

#endif
