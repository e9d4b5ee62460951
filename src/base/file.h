/* file.h: whole files and folders. Paths are NUL-terminated; errors name the path. */
#ifndef SHR_BASE_FILE_H
#define SHR_BASE_FILE_H

#include "base/buf.h"
#include "base/error.h"

/* Appends the file's bytes; SHREWD_NOT_FOUND, SHREWD_IO, or SHREWD_LIMIT above `max` bytes. */
int shr_file_read(struct shr_buf *out, const char *path, size_t max, struct shrewd_error *err);
/* Replaces the file atomically (temporary file, fsync, rename), mode 0600. */
int shr_file_write(const char *path, struct shr_bytes bytes, struct shrewd_error *err);
/* The same with another mode, less the umask. */
int shr_file_write_mode(const char *path, struct shr_bytes bytes, unsigned mode,
                        struct shrewd_error *err);
/* Makes a folder and its parents, mode 0700 for those it makes, durable; fine when it exists. */
int shr_dir_make(const char *path, struct shrewd_error *err);
/* The same with another mode, less the umask. */
int shr_dir_make_mode(const char *path, unsigned mode, struct shrewd_error *err);
/* Deletes a folder and everything in it; fine when it is absent. */
int shr_dir_remove(const char *path, struct shrewd_error *err);
/* What was made or renamed outlives a power cut only once the folder it is in has been synced. A
 * file system that cannot do so gets no complaint: there is nothing else to try. */
void shr_dir_sync_above(const char *path);

#endif
