#include "base/file.h"

#include "base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int shr_file_read(struct shr_buf *out, const char *path, size_t max, struct shrewd_error *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return shr_fail_errno(err, errno == ENOENT ? SHREWD_NOT_FOUND : SHREWD_IO,
                              "cannot open '%s'", path);
    }
    int code = 0;
    size_t start = out->len;
    for (;;) {
        shr_buf_reserve(out, 65536);
        ssize_t got = read(fd, out->data + out->len, out->cap - out->len);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            code = shr_fail_errno(err, SHREWD_IO, "cannot read '%s'", path);
            break;
        }
        if (got == 0) {
            break;
        }
        out->len += (size_t)got;
        if (out->len - start > max) {
            code =
                shr_fail(err, SHREWD_LIMIT, "'%s' is larger than the %zu bytes allowed", path, max);
            break;
        }
    }
    close(fd);
    return code;
}

static int write_all(int fd, struct shr_bytes bytes) {
    while (bytes.len > 0) {
        ssize_t put = write(fd, bytes.data, bytes.len);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return -1;
        }
        bytes.data += put;
        bytes.len -= (size_t)put;
    }
    return 0;
}

int shr_file_write_mode(const char *path, struct shr_bytes bytes, unsigned mode,
                        struct shrewd_error *err) {
    char *staged = shr_asprintf("%s.%ld.tmp", path, (long)getpid());
    int code = 0;
    int fd = open(staged, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (fd < 0) {
        code = shr_fail_errno(err, SHREWD_IO, "cannot create '%s'", staged);
        goto out;
    }
    int bad = write_all(fd, bytes) != 0 || fsync(fd) != 0;
    bad = close(fd) != 0 || bad;
    if (bad || rename(staged, path) != 0) {
        code = shr_fail_errno(err, SHREWD_IO, "cannot write '%s'", path);
        unlink(staged);
    }
out:
    free(staged);
    return code;
}

int shr_file_write(const char *path, struct shr_bytes bytes, struct shrewd_error *err) {
    return shr_file_write_mode(path, bytes, 0600, err);
}

void shr_dir_sync_above(const char *path) {
    const char *slash = strrchr(path, '/');
    char *parent = slash == NULL
                       ? shr_strdup(".")
                       : shr_asprintf("%.*s", slash == path ? 1 : (int)(slash - path), path);
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    free(parent);
}

int shr_dir_make_mode(const char *path, unsigned mode, struct shrewd_error *err) {
    char *copy = shr_strdup(path);
    int code = 0;
    for (char *at = copy + 1; code == 0; at++) {
        if (*at != '/' && *at != 0) {
            continue;
        }
        char kept = *at;
        *at = 0;
        bool made = mkdir(copy, mode) == 0;
        if (!made && errno != EEXIST) {
            code = shr_fail_errno(err, SHREWD_IO, "cannot make the folder '%s'", copy);
        } else if (made || kept == 0) { /* the last one may be of a run that was cut short */
            shr_dir_sync_above(copy);
        }
        *at = kept;
        if (kept == 0) {
            break;
        }
    }
    struct stat info;
    if (code == 0 && (stat(path, &info) != 0 || !S_ISDIR(info.st_mode))) {
        code = shr_fail(err, SHREWD_IO, "'%s' is not a folder", path);
    }
    free(copy);
    return code;
}

int shr_dir_make(const char *path, struct shrewd_error *err) {
    return shr_dir_make_mode(path, 0700, err);
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where) {
    (void)info, (void)kind, (void)where;
    return remove(path);
}

int shr_dir_remove(const char *path, struct shrewd_error *err) {
    if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT) {
        return shr_fail_errno(err, SHREWD_IO, "cannot delete the folder '%s'", path);
    }
    return 0;
}
