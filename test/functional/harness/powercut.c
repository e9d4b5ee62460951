/* A disk that can lose its power: preloaded into the program under test, it writes down, in order,
 * every change below $POWERCUT_ROOT into $POWERCUT_JOURNAL: what was written where, what became
 * durable and when, which names came and went. powercut.py builds from that what a power cut at any
 * moment may leave. Nothing is really synced: the page cache outlives a killed process, and the
 * tests are quicker.
 *
 * It can be a small disk as well: with $POWERCUT_SPACE, a file with a number in it, the files below
 * the root have room for so many bytes together; the number may change at any time. One below zero
 * is the errno with which whatever writes fails.
 *
 * A record is a type (1), the length of the rest (4), and by type:
 * - O: a file was opened: handle (4), flags (1; bit 0: it is new, bit 1: emptied), path;
 * - W: handle, offset (8), what was written there; T: handle, size (8) it was cut to; S: handle,
 *   synced;
 * - D: a folder was synced, M: made, X: removed, U: a file was removed: path;
 * - R: a file was renamed, L: it was given another name as well: path, a zero byte, path.
 * Paths are relative to the root; integers little-endian. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define HANDLES 65536
#define REAL(name, ...) ((long)syscall(SYS_##name, __VA_ARGS__))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t handle_of[HANDLES]; /* by descriptor; 0: not one of ours */
static char *folder_of[HANDLES];    /* by descriptor: the path of a folder of ours */
static uint32_t handles;
static const char *root;
static size_t root_len;
static int journal = -1;  /* none */
static const char *space; /* NULL: without end */
static off_t used;

static int add_size(const char *path, const struct stat *info, int kind, struct FTW *at) {
    (void)path;
    (void)at;
    used += kind == FTW_F ? info->st_size : 0;
    return 0;
}

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("POWERCUT_JOURNAL");
    root = getenv("POWERCUT_ROOT");
    if (root == NULL) {
        return;
    }
    root_len = strlen(root);
    space = getenv("POWERCUT_SPACE");
    if (space != NULL && nftw(root, add_size, 8, FTW_PHYS) != 0) {
        _exit(99);
    }
    if (path == NULL) {
        return;
    }
    int fd = (int)REAL(openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) {
        _exit(99);
    }
    journal = fcntl(fd, F_DUPFD_CLOEXEC, 900); /* out of the way */
    REAL(close, fd);
}

/* The path below the root; NULL for any other. */
static const char *inside(const char *path) {
    if (root == NULL || path == NULL || strncmp(path, root, root_len) != 0 ||
        (path[root_len] != '/' && path[root_len] != 0)) {
        return NULL;
    }
    path += root_len;
    while (*path == '/') {
        path++;
    }
    return path;
}

/* One record: a single write, so that a kill leaves it whole or not there, or as the last one. */
static void note(char type, const void *head, size_t head_len, const void *data, size_t len) {
    if (journal < 0) {
        return;
    }
    unsigned char start[5] = {(unsigned char)type};
    uint32_t rest = (uint32_t)(head_len + len);
    memcpy(start + 1, &rest, 4);
    struct iovec parts[3] = {
        {start, sizeof start}, {(void *)(uintptr_t)head, head_len}, {(void *)(uintptr_t)data, len}};
    if (REAL(writev, journal, parts, 3) != (long)(sizeof start + head_len + len)) {
        _exit(99);
    }
}

static void note_path(char type, const char *path) {
    note(type, path, strlen(path), NULL, 0);
}

static void note_at(char type, int fd, uint64_t at, const void *data, size_t len) {
    unsigned char head[12];
    memcpy(head, &handle_of[fd], 4);
    memcpy(head + 4, &at, 8);
    note(type, head, sizeof head, data, len);
}

static bool ours(int fd) {
    return fd >= 0 && fd < HANDLES && handle_of[fd] != 0;
}

/* What the file says: bytes, or when below zero an errno: then nothing can be written. It is empty
 * for a moment while the test writes another number. */
static off_t space_told(void) {
    for (int tries = 0; tries < 10000; tries++) {
        char number[32] = {0};
        int from = (int)REAL(openat, AT_FDCWD, space, O_RDONLY | O_CLOEXEC, 0);
        if (from < 0) {
            _exit(99);
        }
        ssize_t len = REAL(read, from, number, sizeof number - 1);
        REAL(close, from);
        if (len > 0) {
            return strtoll(number, NULL, 10);
        }
        usleep(100);
    }
    _exit(99);
}

static off_t space_left(void) {
    return space_told() - used;
}

static bool broken(void) {
    off_t told = space == NULL ? 0 : space_told();
    if (told < 0) {
        errno = (int)-told;
    }
    return told < 0;
}

static off_t size_of(int fd) {
    struct stat info;
    return fstat(fd, &info) == 0 ? info.st_size : 0;
}

/* How many of `len` bytes there is room for at `at`; 0 and ENOSPC when for none. */
static size_t room(int fd, off_t at, size_t len) {
    off_t size = size_of(fd);
    if (broken()) {
        return 0;
    }
    if (space == NULL || at + (off_t)len <= size) {
        return len;
    }
    off_t left = space_left(), more = at + (off_t)len - size;
    if (more > left) {
        len = left <= more - (off_t)len ? 0 : len - (size_t)(more - left);
    }
    if (len == 0) {
        errno = ENOSPC;
    }
    return len;
}

/* What was written or cut changed the file's size. */
static void resized(int fd, off_t before) {
    used += size_of(fd) - before;
}

static int open_any(int at, const char *path, int flags, mode_t mode) {
    const char *name = at == AT_FDCWD || path[0] == '/' ? inside(path) : NULL;
    if (name == NULL) {
        return (int)REAL(openat, at, path, flags, mode);
    }
    if ((flags & (O_ACCMODE | O_CREAT)) != O_RDONLY && broken()) {
        return -1;
    }
    pthread_mutex_lock(&lock);
    struct stat info;
    bool was = REAL(newfstatat, AT_FDCWD, path, &info, 0) == 0;
    used -= was && S_ISREG(info.st_mode) && (flags & O_TRUNC) ? info.st_size : 0;
    int fd = (int)REAL(openat, at, path, flags, mode);
    int saved = errno;
    if (fd >= 0 && fd < HANDLES && was && S_ISDIR(info.st_mode)) {
        free(folder_of[fd]);
        folder_of[fd] = strdup(name);
    } else if (fd >= 0 && fd < HANDLES && (flags & O_ACCMODE) != O_RDONLY) {
        unsigned char head[5];
        handle_of[fd] = ++handles;
        memcpy(head, &handle_of[fd], 4);
        head[4] = (unsigned char)((was ? 0 : 1) | (flags & O_TRUNC ? 2 : 0));
        note('O', head, sizeof head, name, strlen(name));
    }
    pthread_mutex_unlock(&lock);
    errno = saved;
    return fd;
}

#define OPEN_MODE(flags)                                                                           \
    mode_t mode = 0;                                                                               \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                                         \
        va_list more;                                                                              \
        va_start(more, flags);                                                                     \
        mode = va_arg(more, mode_t);                                                               \
        va_end(more);                                                                              \
    }

int open(const char *path, int flags, ...) {
    OPEN_MODE(flags)
    return open_any(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    OPEN_MODE(flags)
    return open_any(AT_FDCWD, path, flags, mode);
}

int openat(int at, const char *path, int flags, ...) {
    OPEN_MODE(flags)
    return open_any(at, path, flags, mode);
}

int openat64(int at, const char *path, int flags, ...) {
    OPEN_MODE(flags)
    return open_any(at, path, flags, mode);
}

int close(int fd) {
    pthread_mutex_lock(&lock);
    if (fd >= 0 && fd < HANDLES) {
        handle_of[fd] = 0;
        free(folder_of[fd]);
        folder_of[fd] = NULL;
    }
    int code = (int)REAL(close, fd);
    pthread_mutex_unlock(&lock);
    return code;
}

ssize_t write(int fd, const void *data, size_t len) {
    if (!ours(fd) || len == 0) {
        return REAL(write, fd, data, len);
    }
    pthread_mutex_lock(&lock);
    off_t before = size_of(fd);
    len = room(fd, REAL(lseek, fd, 0, SEEK_CUR), len);
    ssize_t n = len == 0 ? -1 : REAL(write, fd, data, len);
    if (n > 0) {
        resized(fd, before);
        note_at('W', fd, (uint64_t)(REAL(lseek, fd, 0, SEEK_CUR) - n), data, (size_t)n);
    }
    pthread_mutex_unlock(&lock);
    return n;
}

static ssize_t pwrite_any(int fd, const void *data, size_t len, off_t at) {
    if (!ours(fd) || len == 0) {
        return REAL(pwrite64, fd, data, len, at);
    }
    pthread_mutex_lock(&lock);
    off_t before = size_of(fd);
    len = room(fd, at, len);
    ssize_t n = len == 0 ? -1 : REAL(pwrite64, fd, data, len, at);
    if (n > 0) {
        resized(fd, before);
        note_at('W', fd, (uint64_t)at, data, (size_t)n);
    }
    pthread_mutex_unlock(&lock);
    return n;
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t at) {
    return pwrite_any(fd, data, len, at);
}

ssize_t pwrite64(int fd, const void *data, size_t len, off_t at) {
    return pwrite_any(fd, data, len, at);
}

static int truncate_any(int fd, off_t size) {
    pthread_mutex_lock(&lock);
    off_t before = size_of(fd);
    int code = (int)REAL(ftruncate, fd, size);
    if (code == 0 && ours(fd)) {
        resized(fd, before);
        note_at('T', fd, (uint64_t)size, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    return code;
}

int ftruncate(int fd, off_t size) {
    return truncate_any(fd, size);
}

int ftruncate64(int fd, off_t size) {
    return truncate_any(fd, size);
}

static int sync_any(int fd) {
    if (root == NULL || fd < 0 || fd >= HANDLES) {
        return (int)REAL(fsync, fd);
    }
    pthread_mutex_lock(&lock);
    if (folder_of[fd] != NULL) {
        note_path('D', folder_of[fd]);
    } else if (handle_of[fd] != 0) {
        note('S', &handle_of[fd], 4, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    return 0;
}

int fsync(int fd) {
    return sync_any(fd);
}

int fdatasync(int fd) {
    return sync_any(fd);
}

int rename(const char *from, const char *to) {
    const char *old = inside(from), *new = inside(to);
    pthread_mutex_lock(&lock);
    int code = (int)REAL(rename, from, to);
    if (code == 0 && old != NULL && new != NULL) {
        note('R', old, strlen(old) + 1, new, strlen(new));
    }
    pthread_mutex_unlock(&lock);
    return code;
}

int link(const char *from, const char *to) {
    const char *old = inside(from), *new = inside(to);
    pthread_mutex_lock(&lock);
    int code = (int)REAL(linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
    if (code == 0 && old != NULL && new != NULL) {
        note('L', old, strlen(old) + 1, new, strlen(new));
    }
    pthread_mutex_unlock(&lock);
    return code;
}

static int name_gone(char type, const char *path, int flags) {
    const char *name = inside(path);
    pthread_mutex_lock(&lock);
    struct stat info = {0};
    bool last =
        name != NULL && stat(path, &info) == 0 && S_ISREG(info.st_mode) && info.st_nlink == 1;
    if (!last) {
        info.st_size = 0;
    }
    int code = (int)REAL(unlinkat, AT_FDCWD, path, flags);
    if (code == 0 && name != NULL) {
        used -= info.st_size;
        note_path(type, name);
    }
    pthread_mutex_unlock(&lock);
    return code;
}

int unlink(const char *path) {
    return name_gone('U', path, 0);
}

int rmdir(const char *path) {
    return name_gone('X', path, AT_REMOVEDIR);
}

int mkdir(const char *path, mode_t mode) {
    const char *name = inside(path);
    pthread_mutex_lock(&lock);
    int code = (int)REAL(mkdir, path, mode);
    if (code == 0 && name != NULL) {
        note_path('M', name);
    }
    pthread_mutex_unlock(&lock);
    return code;
}

/* statvfs is one function in the C library, with two names. */
static int room_told(const char *path, struct statvfs *out) {
    struct statfs info;
    int code = (int)REAL(statfs, path, &info);
    if (code != 0) {
        return code;
    }
    memset(out, 0, sizeof *out);
    out->f_bsize = out->f_frsize = (unsigned long)info.f_bsize;
    out->f_blocks = info.f_blocks;
    out->f_bfree = info.f_bfree;
    out->f_bavail = info.f_bavail;
    out->f_namemax = (unsigned long)info.f_namelen;
    if (space != NULL && inside(path) != NULL && space_told() >= 0) {
        pthread_mutex_lock(&lock);
        off_t left = space_left();
        out->f_bfree = out->f_bavail = left < 0 ? 0 : (fsblkcnt_t)left / out->f_frsize;
        pthread_mutex_unlock(&lock);
    }
    return 0;
}

int statvfs(const char *path, struct statvfs *out) {
    return room_told(path, out);
}

int statvfs64(const char *path, struct statvfs64 *out) {
    return room_told(path, (struct statvfs *)out);
}
