#include "base/staging.h"

#include "base/alloc.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_NAME "shrewd.lock"

/* Plain files of a folder but the lock; with `depth` left, those of its folders too, and these. */
static void clear_folder(int parent, const char *name, int depth) {
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        if (fd >= 0) {
            close(fd);
        }
        return;
    }
    for (struct dirent *item; (item = readdir(dir)) != NULL;) {
        const char *inside = item->d_name;
        if (strcmp(inside, ".") == 0 || strcmp(inside, "..") == 0 ||
            strcmp(inside, LOCK_NAME) == 0 || unlinkat(fd, inside, 0) == 0) {
            continue;
        }
        if (depth > 0) {
            clear_folder(fd, inside, depth - 1);
            unlinkat(fd, inside, AT_REMOVEDIR);
        }
    }
    closedir(dir);
}

/* Whether nothing is there, or a folder without anything in it. */
static int check_target(const char *target, struct shrewd_error *err) {
    DIR *dir = opendir(target);
    if (dir == NULL) {
        return errno == ENOENT ? 0 : shr_fail_errno(err, SHREWD_MISMATCH, "'%s'", target);
    }
    bool empty = true;
    for (struct dirent *item; (item = readdir(dir)) != NULL;) {
        empty = empty && (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0);
    }
    closedir(dir);
    return empty ? 0
                 : shr_fail(err, SHREWD_MISMATCH,
                            "'%s' holds something already; name a folder that is not there yet",
                            target);
}

/* The length of the path up to the first folder that is not there; 0: all are. */
static size_t first_missing(const char *path) {
    size_t len = strlen(path), found = 0;
    for (size_t at = 1; at <= len && found == 0; at++) {
        if (path[at] == '/' || path[at] == 0) {
            char *some = shr_strndup(path, at);
            struct stat info;
            found = lstat(some, &info) != 0 && errno == ENOENT ? at : 0;
            free(some);
        }
    }
    return found;
}

/* The folders made, from the innermost up, as far as there is nothing in them. */
static void remove_made(struct shr_staging *staging) {
    char *path = shr_strdup(staging->folder);
    for (size_t at = strlen(path); staging->made_from != 0 && at >= staging->made_from; at--) {
        if (staging->folder[at] == '/' || staging->folder[at] == 0) {
            path[at] = 0;
            rmdir(path);
        }
    }
    staging->made_from = 0;
    free(path);
}

int shr_staging_resume(struct shr_staging *out, const char *target, const char *suffix,
                       struct shrewd_error *err) {
    size_t len = strlen(target);
    while (len > 1 && target[len - 1] == '/') {
        len--;
    }
    *out = (struct shr_staging){.lock = -1};
    out->target = shr_strndup(target, len);
    int code = check_target(out->target, err);
    if (code != 0) {
        return code;
    }
    out->folder = shr_asprintf("%s%s", out->target, suffix);
    out->made = shr_asprintf("%s/db", out->folder);
    out->made_from = first_missing(out->folder);
    code = shr_dir_make(out->folder, err);
    if (code != 0) {
        remove_made(out);
        return code;
    }
    char *path = shr_asprintf("%s/" LOCK_NAME, out->folder);
    out->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (out->lock < 0) {
        code = shr_fail_errno(err, SHREWD_IO, "cannot create '%s'", path);
    } else if (flock(out->lock, LOCK_EX | LOCK_NB) != 0) {
        code = shr_fail(err, SHREWD_LOCKED, "another process is making '%s'", out->target);
        close(out->lock);
        out->lock = -1;
    }
    if (out->lock < 0) {
        remove_made(out);
    }
    free(path);
    return code;
}

int shr_staging_begin(struct shr_staging *out, const char *target, struct shrewd_error *err) {
    int code = shr_staging_resume(out, target, ".partial", err);
    if (code == 0) {
        clear_folder(AT_FDCWD, out->folder, 1);
    }
    return code;
}

int shr_staging_commit(struct shr_staging *staging, struct shrewd_error *err) {
    if (rename(staging->made, staging->target) != 0) {
        return shr_fail_errno(err, SHREWD_IO, "cannot rename '%s' to '%s'", staging->made,
                              staging->target);
    }
    shr_dir_sync_above(staging->target);
    return 0;
}

void shr_staging_leave(struct shr_staging *staging) {
    if (staging->lock >= 0) {
        close(staging->lock);
    }
    free(staging->target);
    free(staging->folder);
    free(staging->made);
    *staging = (struct shr_staging){.lock = -1};
}

void shr_staging_end(struct shr_staging *staging) {
    if (staging->lock >= 0) {
        char *path = shr_asprintf("%s/" LOCK_NAME, staging->folder);
        clear_folder(AT_FDCWD, staging->folder, 1);
        unlink(path);
        rmdir(staging->folder);
        remove_made(staging);
        free(path);
    }
    shr_staging_leave(staging);
}
