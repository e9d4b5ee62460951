#include "snapshot/stream.h"

#include "base/alloc.h"
#include "chain/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#define LEVEL 3

struct shr_zout {
    char *path;
    FILE *file;
    ZSTD_CCtx *zstd;
    struct shr_digest *digest;
    uint64_t bytes;
    struct shr_buf packed;
};

struct shr_zin {
    char *path;
    FILE *file;
    ZSTD_DCtx *zstd;
    struct shr_digest *digest;
    struct shr_buf packed; /* read from the file; unpacked up to `at` */
    size_t at;
    struct shr_buf plain; /* unpacked; given out up to `taken` */
    size_t taken;
    bool file_ended;
    bool frame_ended; /* nothing is held back inside zstd */
};

/* --- Writing --- */

int shr_zout_open(struct shr_zout **out, const char *path, struct shrewd_error *err) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, SHR_SNAP_FILE_MODE);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "wb");
    if (file == NULL) {
        int code = shr_fail_errno(err, SHREWD_IO, "cannot create '%s'", path);
        if (fd >= 0) {
            close(fd);
        }
        return code;
    }
    struct shr_zout *stream = shr_alloc(sizeof *stream);
    stream->path = shr_strdup(path);
    stream->file = file;
    stream->zstd = ZSTD_createCCtx();
    stream->digest = shr_digest_new();
    if (stream->zstd == NULL) {
        shr_out_of_memory(0);
    }
    ZSTD_CCtx_setParameter(stream->zstd, ZSTD_c_compressionLevel, LEVEL);
    ZSTD_CCtx_setParameter(stream->zstd, ZSTD_c_checksumFlag, 1);
    shr_buf_reserve(&stream->packed, ZSTD_CStreamOutSize());
    *out = stream;
    return 0;
}

static int pack(struct shr_zout *stream, struct shr_bytes bytes, ZSTD_EndDirective end,
                struct shrewd_error *err) {
    ZSTD_inBuffer in = {bytes.data, bytes.len, 0};
    for (;;) {
        ZSTD_outBuffer to = {stream->packed.data, stream->packed.cap, 0};
        size_t left = ZSTD_compressStream2(stream->zstd, &to, &in, end);
        if (ZSTD_isError(left)) {
            return shr_fail(err, SHREWD_IO, "cannot compress '%s': %s", stream->path,
                            ZSTD_getErrorName(left));
        }
        shr_digest_add(stream->digest, shr_bytes(to.dst, to.pos));
        stream->bytes += to.pos;
        if (fwrite(to.dst, 1, to.pos, stream->file) != to.pos) {
            return shr_fail_errno(err, SHREWD_IO, "cannot write '%s'", stream->path);
        }
        if (end == ZSTD_e_end ? left == 0 : in.pos == in.size) {
            return 0;
        }
    }
}

int shr_zout_put(struct shr_zout *stream, struct shr_bytes bytes, struct shrewd_error *err) {
    return pack(stream, bytes, ZSTD_e_continue, err);
}

static void free_out(struct shr_zout *stream) {
    if (stream->file != NULL) {
        fclose(stream->file);
    }
    ZSTD_freeCCtx(stream->zstd);
    shr_digest_free(stream->digest);
    shr_buf_free(&stream->packed);
    free(stream->path);
    free(stream);
}

int shr_zout_close(struct shr_zout *stream, struct shr_hash *sha256, uint64_t *bytes,
                   struct shrewd_error *err) {
    int code = pack(stream, shr_bytes(NULL, 0), ZSTD_e_end, err);
    if (code == 0) {
        bool bad = fflush(stream->file) != 0 || fsync(fileno(stream->file)) != 0;
        bad = fclose(stream->file) != 0 || bad;
        stream->file = NULL;
        if (bad) {
            code = shr_fail_errno(err, SHREWD_IO, "cannot write '%s'", stream->path);
        }
    }
    if (code != 0) {
        shr_zout_drop(stream);
        return code;
    }
    shr_digest_end(stream->digest, sha256);
    *bytes = stream->bytes;
    free_out(stream);
    return 0;
}

void shr_zout_drop(struct shr_zout *stream) {
    if (stream != NULL) {
        unlink(stream->path);
        free_out(stream);
    }
}

/* --- Reading --- */

int shr_zin_open(struct shr_zin **out, const char *path, struct shrewd_error *err) {
    FILE *file = fopen(path, "rbe");
    if (file == NULL) {
        return shr_fail_errno(err, errno == ENOENT ? SHREWD_NOT_FOUND : SHREWD_IO,
                              "cannot open '%s'", path);
    }
    struct shr_zin *stream = shr_alloc(sizeof *stream);
    stream->path = shr_strdup(path);
    stream->file = file;
    stream->zstd = ZSTD_createDCtx();
    stream->digest = shr_digest_new();
    if (stream->zstd == NULL) {
        shr_out_of_memory(0);
    }
    stream->frame_ended = true;
    *out = stream;
    return 0;
}

static int fill(struct shr_zin *stream, struct shrewd_error *err) {
    size_t size = ZSTD_DStreamInSize();
    shr_buf_clear(&stream->packed);
    shr_buf_reserve(&stream->packed, size);
    stream->at = 0;
    size_t got = fread(stream->packed.data, 1, size, stream->file);
    stream->packed.len = got;
    shr_digest_add(stream->digest, shr_buf_bytes(&stream->packed));
    if (got < size) {
        if (ferror(stream->file)) {
            return shr_fail_errno(err, SHREWD_IO, "cannot read '%s'", stream->path);
        }
        stream->file_ended = true;
    }
    return 0;
}

/* Unpacks some more. *more: whether anything came. */
static int unpack(struct shr_zin *stream, bool *more, struct shrewd_error *err) {
    *more = false;
    while (!*more) {
        if (stream->at == stream->packed.len && !stream->file_ended) {
            int code = fill(stream, err);
            if (code != 0) {
                return code;
            }
        }
        bool last = stream->at == stream->packed.len;
        size_t room = ZSTD_DStreamOutSize();
        shr_buf_reserve(&stream->plain, room);
        ZSTD_inBuffer in = {stream->packed.data, stream->packed.len, stream->at};
        ZSTD_outBuffer to = {stream->plain.data + stream->plain.len, room, 0};
        size_t left = ZSTD_decompressStream(stream->zstd, &to, &in);
        if (ZSTD_isError(left)) {
            return shr_fail(err, SHREWD_CORRUPT, "'%s' is damaged: %s", stream->path,
                            ZSTD_getErrorName(left));
        }
        stream->frame_ended = left == 0 || (last && stream->frame_ended && to.pos == 0);
        stream->at = in.pos;
        stream->plain.len += to.pos;
        *more = to.pos > 0;
        if (last && to.pos == 0) {
            return 0;
        }
    }
    return 0;
}

int shr_zin_take(struct shr_zin *stream, struct shr_bytes *out, size_t n,
                 struct shrewd_error *err) {
    struct shr_buf *plain = &stream->plain;
    if (plain->len - stream->taken < n && stream->taken > 0) {
        memmove(plain->data, plain->data + stream->taken, plain->len - stream->taken);
        plain->len -= stream->taken;
        stream->taken = 0;
    }
    while (plain->len - stream->taken < n) {
        bool more = false;
        int code = unpack(stream, &more, err);
        if (code == 0 && !more) {
            code =
                shr_fail(err, SHREWD_CORRUPT, "'%s' is damaged: it ends too early", stream->path);
        }
        if (code != 0) {
            return code;
        }
    }
    *out = shr_bytes(plain->data == NULL ? NULL : plain->data + stream->taken, n);
    stream->taken += n;
    return 0;
}

int shr_zin_end(struct shr_zin *stream, struct shr_hash *sha256, struct shrewd_error *err) {
    bool more = stream->plain.len > stream->taken;
    int code = more ? 0 : unpack(stream, &more, err);
    if (code == 0 && (more || !stream->frame_ended)) {
        code = shr_fail(err, SHREWD_CORRUPT, "'%s' is damaged: %s", stream->path,
                        more ? "there is more in it than belongs there" : "it ends too early");
    }
    if (code == 0) {
        shr_digest_end(stream->digest, sha256);
    }
    return code;
}

void shr_zin_close(struct shr_zin *stream) {
    if (stream != NULL) {
        fclose(stream->file);
        ZSTD_freeDCtx(stream->zstd);
        shr_digest_free(stream->digest);
        shr_buf_free(&stream->packed);
        shr_buf_free(&stream->plain);
        free(stream->path);
        free(stream);
    }
}
