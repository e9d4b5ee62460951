#include "snapshot/base.h"

#include "base/alloc.h"
#include "base/endian.h"
#include "snapshot/stream.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAGIC "shrwBAS1"
#define HEAD_BYTES 16u   /* magic, height, the file's index */
#define RECORD_BYTES 101 /* height, hash, flags, root, four counts */
#define HAS_ROOT 1u
#define STOP_AFTER ((uint64_t)4096) /* entries between two looks at the stop request */

/* What an entry begins with. */
enum entry { ENTRY_RECORD = 'R', ENTRY_PAIR = 'P', ENTRY_END = 'E' };

/* --- Writing --- */

struct writer {
    struct shr_manifest *manifest;
    const char *dir;
    char *staged;
    struct shr_reader *reader;
    struct shr_block_record block; /* that of the base */
    uint64_t raw_max;
    struct shr_stop *stop;
    struct shr_zout *stream; /* NULL: no file is open */
    struct shr_part part;    /* the file in hand */
    uint64_t raw;            /* its bytes so far */
    uint64_t entries;
    struct shr_buf line;
    int code;
    struct shrewd_error *err;
};

static int put_line(struct writer *writer) {
    writer->raw += writer->line.len;
    return shr_zout_put(writer->stream, shr_buf_bytes(&writer->line), writer->err);
}

static int begin_file(struct writer *writer) {
    const struct shr_block_record *block = &writer->block;
    writer->part = (struct shr_part){.base = true,
                                     .index = (uint32_t)writer->manifest->n_base,
                                     .from = block->height,
                                     .to = block->height,
                                     .block = block->hash,
                                     .root = block->root,
                                     .has_root = block->has_root};
    writer->raw = 0;
    unlink(writer->staged); /* what a run cut short has left may have another mode */
    int code = shr_zout_open(&writer->stream, writer->staged, writer->err);
    shr_buf_clear(&writer->line);
    shr_buf_add_str(&writer->line, MAGIC);
    shr_buf_add_be32(&writer->line, block->height);
    shr_buf_add_be32(&writer->line, writer->part.index);
    return code != 0 ? code : put_line(writer);
}

static int end_file(struct writer *writer) {
    shr_buf_clear(&writer->line);
    shr_buf_add_u8(&writer->line, ENTRY_END);
    int code = put_line(writer);
    if (code != 0) {
        return code;
    }
    struct shr_zout *stream = writer->stream;
    writer->stream = NULL;
    code = shr_part_keep(&writer->part, writer->dir, writer->staged, stream, writer->err);
    if (code == 0) {
        shr_manifest_add_base(writer->manifest, &writer->part);
    }
    return code;
}

/* Puts the entry in writer->line, in another file when this one is full. */
static int put_entry(struct writer *writer) {
    int code = put_line(writer);
    if (code == 0 && writer->raw >= writer->raw_max) {
        code = end_file(writer);
        code = code != 0 ? code : begin_file(writer);
    }
    if (code == 0 && ++writer->entries % STOP_AFTER == 0 && shr_stopped(writer->stop)) {
        code = shr_fail(writer->err, SHREWD_STOPPED, "stopped while writing a snapshot");
    }
    return code;
}

static int put_record(struct writer *writer, uint32_t height) {
    struct shr_block_record record;
    int code = shr_reader_block(writer->reader, &record, height, writer->err);
    if (code != 0) {
        return code;
    }
    shr_buf_clear(&writer->line);
    shr_buf_add_u8(&writer->line, ENTRY_RECORD);
    shr_buf_add_be32(&writer->line, height);
    shr_buf_append(&writer->line, record.hash.b, sizeof record.hash.b);
    shr_buf_add_u8(&writer->line, record.has_root ? HAS_ROOT : 0);
    shr_buf_append(&writer->line, record.root.b, sizeof record.root.b);
    shr_buf_add_be64(&writer->line, record.n_keys);
    shr_buf_add_be64(&writer->line, record.key_bytes);
    shr_buf_add_be64(&writer->line, record.value_bytes);
    shr_buf_add_be64(&writer->line, record.total_keys);
    return put_entry(writer);
}

static enum shr_scan_step put_pair(void *ctx, struct shr_bytes key, struct shr_bytes value) {
    struct writer *writer = ctx;
    writer->part.writes++;
    shr_buf_clear(&writer->line);
    shr_buf_add_u8(&writer->line, ENTRY_PAIR);
    shr_buf_add_be32(&writer->line, (uint32_t)key.len);
    shr_buf_add_be32(&writer->line, (uint32_t)value.len);
    shr_buf_add(&writer->line, key);
    shr_buf_add(&writer->line, value);
    writer->code = put_entry(writer);
    return writer->code == 0 ? SHR_SCAN_MORE : SHR_SCAN_DONE;
}

static int write_all(struct writer *writer) {
    int code = begin_file(writer);
    for (uint32_t height = shr_reader_first_height(writer->reader);
         code == 0 && height <= writer->block.height; height++) {
        code = put_record(writer, height);
    }
    if (code == 0) {
        code = shr_reader_each(writer->reader, shr_bytes(NULL, 0), writer->block.height, put_pair,
                               writer, writer->err);
    }
    code = code != 0 ? code : writer->code;
    return code != 0 ? code : end_file(writer);
}

int shr_base_write(struct shr_manifest *out, const char *dir, struct shr_reader *reader,
                   uint32_t height, uint64_t raw_max, struct shr_stop *stop,
                   struct shrewd_error *err) {
    struct writer writer = {.manifest = out,
                            .dir = dir,
                            .reader = reader,
                            .raw_max = raw_max,
                            .stop = stop,
                            .err = err};
    writer.staged = shr_asprintf("%s/part.tmp", dir);
    int code = shr_reader_held(reader, &writer.block, height, err);
    code = code != 0 ? code : write_all(&writer);
    shr_zout_drop(writer.stream);
    shr_buf_free(&writer.line);
    free(writer.staged);
    return code;
}

/* --- Reading --- */

static int take_record(struct shr_zin *stream, struct shr_found *found, struct shrewd_error *err) {
    struct shr_bytes row;
    int code = shr_zin_take(stream, &row, RECORD_BYTES, err);
    if (code != 0) {
        return code;
    }
    struct shr_block_record record = {
        .height = shr_get_be32(row.data),
        .has_root = (row.data[36] & HAS_ROOT) != 0,
        .n_keys = shr_get_be64(row.data + 69),
        .key_bytes = shr_get_be64(row.data + 77),
        .value_bytes = shr_get_be64(row.data + 85),
        .total_keys = shr_get_be64(row.data + 93),
    };
    memcpy(record.hash.b, row.data + 4, sizeof record.hash.b);
    memcpy(record.root.b, row.data + 37, sizeof record.root.b);
    return shr_found_block(found, &record, err);
}

static int take_pair(const struct shr_part *part, struct shr_zin *stream, struct shr_found *found,
                     struct shrewd_error *err) {
    struct shr_bytes body;
    uint32_t key_len, value_len;
    int code = shr_part_take_lengths(part, stream, &key_len, &value_len, err);
    code = code != 0 ? code : shr_zin_take(stream, &body, (size_t)key_len + value_len, err);
    return code != 0 ? code
                     : shr_found_put(found, shr_bytes(body.data, key_len),
                                     shr_bytes(body.data + key_len, value_len), err);
}

static int take_entries(const struct shr_part *part, struct shr_zin *stream,
                        struct shr_found *found, struct shr_stop *stop, struct shrewd_error *err) {
    struct shr_bytes head, entry;
    int code = shr_zin_take(stream, &head, HEAD_BYTES, err);
    if (code == 0 &&
        (memcmp(head.data, MAGIC, sizeof MAGIC - 1) != 0 ||
         shr_get_be32(head.data + 8) != part->to || shr_get_be32(head.data + 12) != part->index)) {
        return shr_part_damaged(part, err, "it does not begin as this part does");
    }
    for (uint64_t n = 1; code == 0; n++) {
        if (n % STOP_AFTER == 0 && shr_stopped(stop)) {
            return shr_fail(err, SHREWD_STOPPED, "stopped while restoring a snapshot");
        }
        code = shr_zin_take(stream, &entry, 1, err);
        if (code == 0 && entry.data[0] == ENTRY_END) {
            return 0;
        }
        if (code == 0 && entry.data[0] == ENTRY_RECORD) {
            code = take_record(stream, found, err);
        } else if (code == 0 && entry.data[0] == ENTRY_PAIR) {
            code = take_pair(part, stream, found, err);
        } else if (code == 0) {
            return shr_part_damaged(part, err, "it holds an entry of no known kind");
        }
    }
    return code;
}

int shr_base_apply(const struct shr_part *part, struct shr_found *found, const char *path,
                   struct shr_stop *stop, struct shrewd_error *err) {
    struct shr_zin *stream = NULL;
    struct shr_hash sha256;
    int code = shr_zin_open(&stream, path, err);
    code = code != 0 ? code : take_entries(part, stream, found, stop, err);
    code = code != 0 ? code : shr_zin_end(stream, &sha256, err);
    if (code == 0 && !shr_hash_eq(&sha256, &part->sha256)) {
        code = shr_part_damaged(part, err, "it is not the file that the manifest describes");
    }
    shr_zin_close(stream);
    return shr_part_fault(part, code, err);
}
