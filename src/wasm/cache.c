/* cache.c: compiled modules on disk.
 *
 * Machine code is run as it is read, so an entry counts only when folder and file belong to us
 * and nobody else can write them, and when its hash fits. Anything less is compiled anew.
 *
 * A file: magic, 8 bytes; key, 32 bytes (module, engine, settings, CPU); length of the machine
 * code, u64 LE; SHA-256 of the machine code, 32 bytes; the machine code.
 */
#include "wasm/internal.h"

#include "base/alloc.h"
#include "base/endian.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAGIC "SHRWASM1"
#define KEY_AT 8
#define LEN_AT 40
#define SUM_AT 48
#define HEADER_SIZE 80
#define CODE_SIZE_MAX (1ull << 31)
#define ENTRIES_MAX 64        /* the oldest go when there are more */
#define STAGED_AGE_MAX (3600) /* seconds after which an unfinished file is a leftover */

static void cache_key(struct shr_hash *out, const struct shr_hash *module,
                      enum shr_engine_kind kind) {
    struct shr_buf text = {0};
    shr_buf_append(&text, module->b, sizeof module->b);
    shr_engine_fingerprint(&text, kind);
    shr_sha256(out, shr_buf_bytes(&text));
    shr_buf_free(&text);
}

static void entry_name(char out[80], const struct shr_hash *key) {
    char hex[SHR_HASH_HEX_LEN + 1];
    shr_hex_write(hex, shr_bytes(key->b, sizeof key->b));
    snprintf(out, 80, "%s.cwasm", hex);
}

static bool ours_only(const struct stat *info) {
    return info->st_uid == geteuid() && (info->st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

/* An open folder that only we can write, or -1 (logged unless it just is not there). */
static int open_dir(const char *dir) {
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        if (errno != ENOENT) {
            shr_warn("wasm", "cannot use the module cache '%s': %s", dir, strerrordesc_np(errno));
        }
        return -1;
    }
    struct stat info;
    if (fstat(fd, &info) != 0 || !ours_only(&info)) {
        shr_warn("wasm",
                 "the module cache '%s' is not used: others own it or can write it; make it yours "
                 "alone with chown and chmod 700",
                 dir);
        close(fd);
        return -1;
    }
    return fd;
}

/* Reads a whole file of `size` bytes; false when it has another size. */
static bool read_exactly(int fd, struct shr_buf *out, size_t size) {
    uint8_t *at = shr_buf_grow(out, size);
    while (size > 0) {
        ssize_t got = read(fd, at, size);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return false;
        }
        at += got;
        size -= (size_t)got;
    }
    return true;
}

/* NULL when the entry is whole and of this key, else what is wrong with it. */
static const char *check_entry(struct shr_bytes entry, const struct shr_hash *key) {
    struct shr_hash sum;
    if (entry.len < HEADER_SIZE || memcmp(entry.data, MAGIC, 8) != 0) {
        return "it has no header";
    }
    if (memcmp(entry.data + KEY_AT, key->b, sizeof key->b) != 0) {
        return "it is of another module or engine";
    }
    if (shr_get_le64(entry.data + LEN_AT) != entry.len - HEADER_SIZE) {
        return "it is cut off or too long";
    }
    shr_sha256(&sum, shr_bytes(entry.data + HEADER_SIZE, entry.len - HEADER_SIZE));
    if (memcmp(entry.data + SUM_AT, sum.b, sizeof sum.b) != 0) {
        return "its checksum is wrong";
    }
    return NULL;
}

static const char *read_entry(struct shr_buf *out, int fd, const struct shr_hash *key) {
    struct stat info;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || !ours_only(&info)) {
        return "others own it or can write it";
    }
    if (info.st_size < HEADER_SIZE || (uint64_t)info.st_size > HEADER_SIZE + CODE_SIZE_MAX) {
        return "it has no header";
    }
    if (!read_exactly(fd, out, (size_t)info.st_size)) {
        return "it cannot be read";
    }
    return check_entry(shr_buf_bytes(out), key);
}

wasmtime_module_t *shr_cache_load(wasm_engine_t *wasm, enum shr_engine_kind kind, const char *dir,
                                  const struct shr_hash *hash, const char *name) {
    wasmtime_module_t *module = NULL;
    struct shr_hash key;
    char file[80];
    struct shr_buf entry = {0};
    int dir_fd = open_dir(dir);
    if (dir_fd < 0) {
        return NULL;
    }
    cache_key(&key, hash, kind);
    entry_name(file, &key);
    int fd = openat(dir_fd, file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        if (errno != ENOENT) {
            shr_warn("wasm", "'%s' is compiled anew: cannot open '%s/%s': %s", name, dir, file,
                     strerrordesc_np(errno));
        }
        goto out;
    }
    const char *wrong = read_entry(&entry, fd, &key);
    if (wrong == NULL) {
        wasmtime_error_t *error = wasmtime_module_deserialize(wasm, entry.data + HEADER_SIZE,
                                                              entry.len - HEADER_SIZE, &module);
        if (error != NULL) {
            wasmtime_error_delete(error);
            wrong = "the engine refuses it";
        }
    }
    if (wrong != NULL) {
        shr_warn("wasm", "'%s' is compiled anew: the cached code in '%s/%s' is not used: %s", name,
                 dir, file, wrong);
    } else {
        futimens(fd, NULL); /* the oldest unused entries go first */
    }
    close(fd);
out:
    close(dir_fd);
    shr_buf_free(&entry);
    return module;
}

struct entry_age {
    char *name;
    time_t used;
};

static int by_age(const void *a, const void *b) {
    const struct entry_age *left = a;
    const struct entry_age *right = b;
    return (left->used > right->used) - (left->used < right->used);
}

static bool ends_with(const char *text, const char *end) {
    size_t len = strlen(text);
    return len >= strlen(end) && strcmp(text + len - strlen(end), end) == 0;
}

/* Removes leftovers of interrupted writes, and the oldest entries above ENTRIES_MAX. */
static void prune(int dir_fd) {
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct entry_age *entries = NULL;
    size_t n = 0;
    if (dir == NULL) {
        if (fd >= 0) {
            close(fd);
        }
        return;
    }
    for (struct dirent *item; (item = readdir(dir)) != NULL;) {
        struct stat info;
        if (fstatat(dir_fd, item->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
            continue;
        }
        if (ends_with(item->d_name, ".cwasm")) {
            entries = shr_realloc_array(entries, n + 1, sizeof *entries);
            entries[n++] = (struct entry_age){shr_strdup(item->d_name), info.st_mtime};
        } else if (ends_with(item->d_name, ".cwasm.tmp") &&
                   time(NULL) - info.st_mtime > STAGED_AGE_MAX) {
            unlinkat(dir_fd, item->d_name, 0);
        }
    }
    closedir(dir);
    if (n > 0) {
        qsort(entries, n, sizeof *entries, by_age);
    }
    for (size_t i = 0; i < n; i++) {
        if (i + ENTRIES_MAX < n) {
            unlinkat(dir_fd, entries[i].name, 0);
        }
        free(entries[i].name);
    }
    free(entries);
}

static bool write_all(int fd, const void *data, size_t len) {
    const char *at = data;
    while (len > 0) {
        ssize_t put = write(fd, at, len);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return false;
        }
        at += put;
        len -= (size_t)put;
    }
    return true;
}

/* Written beside and renamed: another process reads the old entry or the new one. Not synced:
 * a power cut leaves an entry that does not fit its checksum. */
static bool write_entry(int dir_fd, const char *file, const uint8_t header[HEADER_SIZE],
                        const wasm_byte_vec_t *code) {
    static _Atomic unsigned counter;
    char staged[140];
    snprintf(staged, sizeof staged, "%.64s.%ld.%u.cwasm.tmp", file, (long)getpid(),
             atomic_fetch_add(&counter, 1u));
    int fd = openat(dir_fd, staged, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return false;
    }
    bool good = write_all(fd, header, HEADER_SIZE) && write_all(fd, code->data, code->size);
    good = close(fd) == 0 && good;
    good = good && renameat(dir_fd, staged, dir_fd, file) == 0;
    if (!good) {
        int saved = errno;
        unlinkat(dir_fd, staged, 0);
        errno = saved;
    }
    return good;
}

void shr_cache_store(const wasmtime_module_t *compiled, enum shr_engine_kind kind, const char *dir,
                     const struct shr_hash *hash, const char *name) {
    struct shrewd_error err;
    wasm_byte_vec_t code = {0, NULL};
    uint8_t header[HEADER_SIZE] = MAGIC;
    struct shr_hash key;
    struct shr_hash sum;
    char file[80];
    if (shr_dir_make(dir, &err) != 0) {
        shr_warn("wasm", "the compiled '%s' is not kept: %s", name, err.message);
        return;
    }
    int dir_fd = open_dir(dir);
    if (dir_fd < 0) {
        return;
    }
    wasmtime_error_t *error = wasmtime_module_serialize(compiled, &code);
    if (error != NULL) {
        wasmtime_error_delete(error);
        shr_warn("wasm", "the compiled '%s' is not kept: the engine cannot serialise it", name);
        close(dir_fd);
        return;
    }
    cache_key(&key, hash, kind);
    entry_name(file, &key);
    shr_sha256(&sum, shr_bytes(code.data, code.size));
    memcpy(header + KEY_AT, key.b, sizeof key.b);
    shr_put_le64(header + LEN_AT, code.size);
    memcpy(header + SUM_AT, sum.b, sizeof sum.b);
    if (write_entry(dir_fd, file, header, &code)) {
        prune(dir_fd);
    } else {
        shr_warn("wasm", "the compiled '%s' is not kept: cannot write '%s/%s': %s", name, dir, file,
                 strerrordesc_np(errno));
    }
    wasm_byte_vec_delete(&code);
    close(dir_fd);
}
