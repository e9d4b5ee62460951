/* The source over block files: what is given is told apart here, scanned and linked once, and
 * afterwards only read. */
#include "node/source.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "chain/build.h"
#include "node/files_index.h"
#include "node/files_scan.h"
#include "node/finite.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REPORT_EVERY_MS 10000

struct files_source {
    struct shr_source base;
    struct shr_files_index index;
    struct shr_files_file *files;
    size_t n_files;
    struct shr_hash genesis;
    pthread_mutex_t lock; /* over what follows */
    int fd;               /* the file read last, -1 for none */
    uint32_t open_file;
};

static struct files_source *self(struct shr_source *source) {
    return (struct files_source *)source;
}

static int files_hash_at(struct shr_source *source, struct shr_hash *out, uint32_t height,
                         struct shrewd_error *err) {
    const struct shr_files_index *index = &self(source)->index;
    if (height < index->first_height || height - index->first_height >= index->n_chain) {
        return shr_fail(err, SHREWD_NOT_FOUND,
                        "no block of height %u: the files hold heights %u to %zu", height,
                        index->first_height, index->first_height + index->n_chain - 1);
    }
    *out = index->records[index->chain[height - index->first_height]].hash;
    return 0;
}

static int files_tip(struct shr_source *source, struct shr_tip *out, struct shrewd_error *err) {
    const struct shr_files_index *index = &self(source)->index;
    uint32_t height = index->first_height + (uint32_t)(index->n_chain - 1);
    out->height = height;
    return files_hash_at(source, &out->hash, height, err);
}

static int open_file(struct files_source *s, uint32_t number, struct shrewd_error *err) {
    if (s->fd >= 0 && s->open_file == number) {
        return 0;
    }
    if (s->fd >= 0) {
        close(s->fd);
    }
    s->open_file = number;
    s->fd = open(s->files[number].path, O_RDONLY | O_CLOEXEC);
    if (s->fd < 0) {
        return shr_fail_errno(err, SHREWD_IO, "cannot open '%s'", s->files[number].path);
    }
    return 0;
}

bool shr_files_hold(const struct shr_source *files, const struct shr_hash *hash) {
    return shr_files_index_find(&((const struct files_source *)files)->index, hash) != NULL;
}

static int files_block(struct shr_source *source, struct shr_buf *out, const struct shr_hash *hash,
                       struct shrewd_error *err) {
    struct files_source *s = self(source);
    const struct shr_files_record *record = shr_files_index_find(&s->index, hash);
    if (record == NULL) {
        char hex[SHR_HASH_HEX_LEN + 1];
        shr_hash_hex(hex, hash);
        return shr_fail(err, SHREWD_NOT_FOUND, "the files hold no block %s", hex);
    }
    shr_buf_clear(out);
    if (record->file == SHR_FILES_BUILT) {
        shr_network_genesis(out, s->index.network);
        return 0;
    }
    pthread_mutex_lock(&s->lock);
    int status = open_file(s, record->file, err);
    if (status == 0) {
        status = shr_files_read(shr_buf_grow(out, record->len), record->len, s->fd, record->offset,
                                &s->files[record->file], err);
    }
    pthread_mutex_unlock(&s->lock);
    return status;
}

static int files_genesis(struct shr_source *source, struct shr_hash *out,
                         struct shrewd_error *err) {
    *out = self(source)->genesis;
    return 0;
}

static void files_close(struct shr_source *source) {
    struct files_source *s = self(source);
    if (s->fd >= 0) {
        close(s->fd);
    }
    for (size_t i = 0; i < s->n_files; i++) {
        free(s->files[i].path);
    }
    free(s->files);
    shr_files_index_deinit(&s->index);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static const struct shr_source_ops files_ops = {
    .tip = files_tip,
    .hash_at = files_hash_at,
    .block = files_block,
    .wait = shr_finite_wait,
    .genesis = files_genesis,
    .close = files_close,
    .finite = true,
    .name = "files",
};

/* The key a node wrote beside its files; zeros when there is none. */
static int read_key(uint8_t key[SHR_FILES_KEY_SIZE], const char *folder, struct shrewd_error *err) {
    char *path = shr_asprintf("%s/xor.dat", folder);
    struct shr_buf bytes = {0};
    int status = shr_file_read(&bytes, path, 4096, err);
    memset(key, 0, SHR_FILES_KEY_SIZE);
    if (status == SHREWD_NOT_FOUND) {
        status = 0;
    } else if (status == 0 && bytes.len != SHR_FILES_KEY_SIZE) {
        status = shr_fail(err, SHREWD_IO,
                          "'%s' has %zu bytes, but a key has %d: it does not belong to a node",
                          path, bytes.len, SHR_FILES_KEY_SIZE);
    } else if (status == 0) {
        memcpy(key, bytes.data, SHR_FILES_KEY_SIZE);
    }
    shr_buf_free(&bytes);
    free(path);
    return status;
}

static bool is_block_file_name(const char *name) {
    size_t len = strlen(name);
    return len > 7 && strncmp(name, "blk", 3) == 0 && strcmp(name + len - 4, ".dat") == 0 &&
           strspn(name + 3, "0123456789") == len - 7;
}

static void add_file(struct files_source *s, const char *path,
                     const uint8_t key[SHR_FILES_KEY_SIZE]) {
    s->files = shr_realloc_array(s->files, s->n_files + 1, sizeof *s->files);
    struct shr_files_file *file = &s->files[s->n_files++];
    file->path = shr_strdup(path);
    memcpy(file->key, key, SHR_FILES_KEY_SIZE);
}

static int by_path(const void *a, const void *b) {
    return strcmp(((const struct shr_files_file *)a)->path,
                  ((const struct shr_files_file *)b)->path);
}

static int list_folder(struct files_source *s, const char *folder, struct shrewd_error *err) {
    uint8_t key[SHR_FILES_KEY_SIZE];
    int status = read_key(key, folder, err);
    if (status != 0) {
        return status;
    }
    DIR *dir = opendir(folder);
    if (dir == NULL) {
        return shr_fail_errno(err, SHREWD_IO, "cannot open the folder '%s'", folder);
    }
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (is_block_file_name(entry->d_name)) {
            char *path = shr_asprintf("%s/%s", folder, entry->d_name);
            add_file(s, path, key);
            free(path);
        }
    }
    closedir(dir);
    if (s->n_files == 0) {
        return shr_fail(err, SHREWD_IO,
                        "the folder '%s' holds no blk*.dat: give the blocks/ folder of a node",
                        folder);
    }
    qsort(s->files, s->n_files, sizeof *s->files, by_path);
    return 0;
}

/* One file: its key, when it is one of a node's own. */
static int list_file(struct files_source *s, const char *path, struct shrewd_error *err) {
    uint8_t key[SHR_FILES_KEY_SIZE] = {0};
    int status = 0;
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    if (is_block_file_name(name)) {
        char *folder = slash == NULL ? shr_strdup(".") : shr_strndup(path, (size_t)(name - path));
        status = read_key(key, folder, err);
        free(folder);
    }
    if (status == 0) {
        add_file(s, path, key);
    }
    return status;
}

/* Whether the file is one raw block: its first 80 bytes are a header with its proof of work.
 * Then it must be a whole one. A raw block does not say which network it is of: regtest's own
 * bits mean regtest, all others mean mainnet. */
static int try_raw_block(bool *is_raw, struct files_source *s, uint64_t size,
                         struct shrewd_error *err) {
    const char *path = s->files[0].path;
    uint8_t bytes[SHR_HEADER_SIZE];
    struct shr_files_record record = {.len = (uint32_t)size};
    struct shr_header header;
    struct shr_buf block = {0};
    *is_raw = false;
    int status = open_file(s, 0, err);
    if (status != 0 || size < SHR_HEADER_SIZE) {
        return status;
    }
    status = shr_files_read(bytes, sizeof bytes, s->fd, 0, &s->files[0], err);
    if (status != 0) {
        return status;
    }
    shr_header_hash(&record.hash, shr_bytes(bytes, sizeof bytes));
    shr_header_parse(&header, shr_bytes(bytes, sizeof bytes), NULL);
    if (!shr_pow_ok(&record.hash, header.bits)) {
        return 0;
    }
    *is_raw = true;
    if (size > SHR_BLOCK_SIZE_MAX) {
        return shr_fail(
            err, SHREWD_BAD_BLOCK,
            "'%s' begins like one raw block, but has %llu bytes; a block has at most %u", path,
            (unsigned long long)size, SHR_BLOCK_SIZE_MAX);
    }
    status = shr_files_read(shr_buf_grow(&block, (size_t)size), (size_t)size, s->fd, 0,
                            &s->files[0], err);
    if (status == 0) {
        status = shr_block_check(NULL, NULL, shr_buf_bytes(&block), NULL, err);
        if (status != 0) {
            status = shr_fail_in(err, status, "'%s' begins like one raw block, but is none", path);
        }
    }
    if (status == 0) {
        s->index.network = shr_network_by_genesis(&record.hash);
        if (s->index.network == NULL) {
            s->index.network =
                shr_network_by_name(header.bits == SHR_REGTEST_BITS ? "regtest" : "main");
        }
        shr_files_index_add(&s->index, &record, &header);
    }
    shr_buf_free(&block);
    return status;
}

static int scan_all(struct files_source *s, struct shrewd_error *err) {
    struct shr_files_scan scan = {.index = &s->index, .stop = s->base.stop};
    uint64_t reported = shr_now_ms();
    for (size_t i = 0; i < s->n_files; i++) {
        int status = shr_files_scan(&scan, &s->files[i], (uint32_t)i, err);
        if (status != 0) {
            return status;
        }
        if (shr_now_ms() - reported > REPORT_EVERY_MS) {
            reported = shr_now_ms();
            shr_info("files", "looked through %zu of %zu files: %zu blocks so far", i + 1,
                     s->n_files, s->index.n);
        }
    }
    return 0;
}

/* Fills the index from what lies at `path`. */
static int find_blocks(struct files_source *s, const char *path, struct shrewd_error *err) {
    struct stat about;
    bool is_raw = false;
    if (stat(path, &about) != 0) {
        return shr_fail_errno(err, SHREWD_IO, "cannot open '%s'", path);
    }
    int status = S_ISDIR(about.st_mode) ? list_folder(s, path, err) : list_file(s, path, err);
    if (status != 0) {
        return status;
    }
    if (!S_ISDIR(about.st_mode) && !shr_files_starts_with_record(&s->files[0])) {
        status = try_raw_block(&is_raw, s, (uint64_t)about.st_size, err);
    }
    if (status == 0 && !is_raw) {
        status = scan_all(s, err);
    }
    if (status == 0 && s->index.n == 0) {
        status = shr_fail(err, SHREWD_IO,
                          "'%s' holds no block: expected records of network magic, length and "
                          "block (bootstrap.dat, a node's blocks/ folder), or one raw block",
                          path);
    }
    return status;
}

static void report(const struct files_source *s, const char *path) {
    const struct shr_files_index *index = &s->index;
    size_t last = index->first_height + index->n_chain - 1;
    shr_info("files", "'%s': %zu blocks; the best chain has heights %u to %zu (%s)", path, index->n,
             index->first_height, last, index->network->name);
    if (index->n_apart > 0) {
        shr_warn("files",
                 "'%s': %zu blocks are left out, as they do not connect to the block of height %u: "
                 "are files missing?",
                 path, index->n_apart, index->first_height);
    }
}

int shr_files_open(struct shr_source **out, struct shr_stop *stop, const char *path,
                   uint32_t first_height, struct shrewd_error *err) {
    struct files_source *s = shr_alloc(sizeof *s);
    s->base.ops = &files_ops;
    s->base.stop = stop;
    s->fd = -1;
    pthread_mutex_init(&s->lock, NULL);
    int status = find_blocks(s, path, err);
    if (status == 0) {
        status = shr_files_index_link(&s->index, first_height, err);
    }
    if (status != 0) {
        files_close(&s->base);
        return status;
    }
    s->genesis = s->index.network->genesis_hash;
    report(s, path);
    *out = &s->base;
    return 0;
}
