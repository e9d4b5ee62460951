#include "snapshot/part.h"

#include "base/alloc.h"
#include "base/endian.h"
#include "base/hex.h"
#include "chain/digest.h"
#include "index/apply.h"
#include "snapshot/stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC "shrwSNP1"
#define MAGIC_BYTES 8u
#define BLOCK_BYTES 85u /* height, hash, flags, root, keys, keys held after */
#define PAIR_BYTES 8u   /* length of the key, of the value */
#define HAS_ROOT 1u
#define CHUNK_BYTES ((size_t)1 << 18)

_Static_assert(SHR_PART_PAIR_COST >= sizeof(struct shr_pair), "count what a pair takes");
_Static_assert(SHR_PART_BLOCK_MAX >= (uint64_t)SHR_KEY_MAX + SHR_VALUE_MAX + SHR_PART_PAIR_COST,
               "a part must take the largest pair");
_Static_assert(SHR_PART_BLOCK_MAX >=
                   SHR_FLUSH_BYTES_MAX + (uint64_t)SHR_FLUSH_PAIRS_MAX * SHR_PART_PAIR_COST,
               "a part must take what a block may flush");

void shr_part_name(struct shr_part *part) {
    char hex[17];
    shr_hex_write(hex, shr_bytes(part->sha256.b, 8));
    if (part->base) {
        snprintf(part->name, sizeof part->name, "base-%09" PRIu32 "-%05" PRIu32 "-%s.zst", part->to,
                 part->index, hex);
    } else {
        snprintf(part->name, sizeof part->name, "%09" PRIu32 "-%09" PRIu32 "-%s.zst", part->from,
                 part->to, hex);
    }
}

/* --- Writing --- */

struct writer {
    struct shr_reader *reader;
    struct shr_zout *stream;
    uint32_t height;
    uint64_t raw;    /* bytes so far */
    uint64_t writes; /* of this block */
    struct shr_buf value, line;
};

static int put(struct writer *writer, struct shr_bytes bytes, struct shrewd_error *err) {
    writer->raw += bytes.len;
    return shr_zout_put(writer->stream, bytes, err);
}

static int write_pair(void *ctx, struct shr_bytes key, struct shrewd_error *err) {
    struct writer *writer = ctx;
    int code = shr_reader_get(writer->reader, &writer->value, key, writer->height, err);
    if (code == SHREWD_NOT_FOUND) {
        return shr_fail(err, SHREWD_CORRUPT,
                        "the database is damaged: block %" PRIu32
                        " changed a key that has no value after it; run 'shrewd check'",
                        writer->height);
    }
    if (code != 0) {
        return code;
    }
    writer->writes++;
    shr_buf_clear(&writer->line);
    shr_buf_add_be32(&writer->line, (uint32_t)key.len);
    shr_buf_add_be32(&writer->line, (uint32_t)writer->value.len);
    shr_buf_add(&writer->line, key);
    shr_buf_add(&writer->line, shr_buf_bytes(&writer->value));
    return put(writer, shr_buf_bytes(&writer->line), err);
}

/* Whoever restores refuses a block above the bound: there must be no such part. */
static int check_fits(const struct shr_block_record *block, struct shrewd_error *err) {
    bool fits = block->n_keys <= SHR_PART_BLOCK_MAX / SHR_PART_PAIR_COST &&
                block->key_bytes <= SHR_PART_BLOCK_MAX &&
                block->value_bytes <= SHR_PART_BLOCK_MAX &&
                block->n_keys * SHR_PART_PAIR_COST + block->key_bytes + block->value_bytes <=
                    SHR_PART_BLOCK_MAX;
    return fits ? 0
                : shr_fail(err, SHREWD_LIMIT,
                           "block %" PRIu32 " wrote %" PRIu64 " keys of %" PRIu64
                           " bytes with values of %" PRIu64
                           ": more than a snapshot can hold of one block, which is %" PRIu64
                           " MiB, %u bytes for each key counted in; take a copy of the database's "
                           "folder instead",
                           block->height, block->n_keys, block->key_bytes, block->value_bytes,
                           SHR_PART_BLOCK_MAX >> 20, SHR_PART_PAIR_COST);
}

static int write_block(struct writer *writer, struct shr_part *part, struct shrewd_error *err) {
    struct shr_block_record block;
    int code = shr_reader_block(writer->reader, &block, writer->height, err);
    code = code != 0 ? code : check_fits(&block, err);
    if (code != 0) {
        return code;
    }
    shr_buf_clear(&writer->line);
    shr_buf_add_be32(&writer->line, writer->height);
    shr_buf_append(&writer->line, block.hash.b, sizeof block.hash.b);
    shr_buf_add_u8(&writer->line, block.has_root ? HAS_ROOT : 0);
    shr_buf_append(&writer->line, block.root.b, sizeof block.root.b);
    shr_buf_add_be64(&writer->line, block.n_keys);
    shr_buf_add_be64(&writer->line, block.total_keys);
    code = put(writer, shr_buf_bytes(&writer->line), err);
    writer->writes = 0;
    if (code == 0) {
        code = shr_reader_changes(writer->reader, writer->height, write_pair, writer, err);
    }
    if (code == 0 && writer->writes != block.n_keys) {
        code = shr_fail(err, SHREWD_CORRUPT,
                        "the database is damaged: block %" PRIu32
                        " changed %llu keys and its record says %llu; run 'shrewd check'",
                        writer->height, (unsigned long long)writer->writes,
                        (unsigned long long)block.n_keys);
    }
    part->writes += writer->writes;
    part->block = block.hash;
    part->has_root = block.has_root;
    part->root = block.root;
    part->to = writer->height;
    return code;
}

static int write_blocks(struct writer *writer, struct shr_part *part, uint32_t last,
                        uint64_t raw_max, struct shr_stop *stop, struct shrewd_error *err) {
    int code = put(writer, shr_bytes_str(MAGIC), err);
    for (writer->height = part->from; code == 0; writer->height++) {
        if (shr_stopped(stop)) {
            return shr_fail(err, SHREWD_STOPPED, "stopped while writing a snapshot");
        }
        code = write_block(writer, part, err);
        if (writer->height == last || writer->raw >= raw_max) {
            break;
        }
    }
    return code;
}

int shr_part_keep(struct shr_part *part, const char *dir, const char *staged,
                  struct shr_zout *stream, struct shrewd_error *err) {
    int code = shr_zout_close(stream, &part->sha256, &part->bytes, err);
    if (code != 0) {
        return code;
    }
    shr_part_name(part);
    char *path = shr_asprintf("%s/%s", dir, part->name);
    if (rename(staged, path) != 0) {
        code = shr_fail_errno(err, SHREWD_IO, "cannot rename '%s' to '%s'", staged, path);
        unlink(staged);
    }
    free(path);
    return code;
}

int shr_part_write(struct shr_part *out, const char *dir, struct shr_reader *reader, uint32_t from,
                   uint32_t last, uint64_t raw_max, struct shr_stop *stop,
                   struct shrewd_error *err) {
    char *staged = shr_asprintf("%s/part.tmp", dir);
    struct writer writer = {.reader = reader};
    *out = (struct shr_part){.from = from, .to = from};
    unlink(staged); /* what a run cut short has left may have another mode */
    int code = shr_zout_open(&writer.stream, staged, err);
    if (code == 0) {
        code = write_blocks(&writer, out, last, raw_max, stop, err);
        if (code == 0) {
            code = shr_part_keep(out, dir, staged, writer.stream, err);
        } else {
            shr_zout_drop(writer.stream);
        }
    }
    shr_buf_free(&writer.line);
    shr_buf_free(&writer.value);
    free(staged);
    return code;
}

/* --- Reading --- */

int shr_part_damaged(const struct shr_part *part, struct shrewd_error *err, const char *what) {
    return shr_fail(err, SHREWD_CORRUPT,
                    "the snapshot's part '%s' is damaged: %s; fetch it again, or take another "
                    "snapshot",
                    part->name, what);
}

int shr_part_present(const struct shr_part *part, const char *path, struct shrewd_error *err) {
    struct stat info;
    if (stat(path, &info) != 0) {
        return shr_fail_errno(err, SHREWD_IO, "cannot open the snapshot's part '%s'", path);
    }
    return (uint64_t)info.st_size == part->bytes
               ? 0
               : shr_fail(err, SHREWD_CORRUPT,
                          "the snapshot's part '%s' is damaged: it has %" PRIu64
                          " bytes, and its manifest says %" PRIu64,
                          path, (uint64_t)info.st_size, part->bytes);
}

int shr_part_verify(const struct shr_part *part, const char *path, struct shrewd_error *err) {
    FILE *file = fopen(path, "rbe");
    if (file == NULL) {
        return shr_fail_errno(err, SHREWD_IO, "cannot open the snapshot's part '%s'", path);
    }
    struct shr_digest *digest = shr_digest_new();
    uint8_t *chunk = shr_alloc(CHUNK_BYTES);
    uint64_t bytes = 0;
    size_t got;
    while ((got = fread(chunk, 1, CHUNK_BYTES, file)) > 0) {
        shr_digest_add(digest, shr_bytes(chunk, got));
        bytes += got;
    }
    int code = 0;
    struct shr_hash found;
    shr_digest_end(digest, &found);
    if (ferror(file)) {
        code = shr_fail_errno(err, SHREWD_IO, "cannot read the snapshot's part '%s'", path);
    } else if (bytes != part->bytes) {
        code = shr_part_damaged(part, err, "its size is not what the manifest says");
    } else if (!shr_hash_eq(&found, &part->sha256)) {
        code = shr_part_damaged(part, err, "its SHA-256 is not what the manifest says");
    }
    shr_digest_free(digest);
    free(chunk);
    fclose(file);
    return code;
}

int shr_part_fault(const struct shr_part *part, int code, struct shrewd_error *err) {
    return code == SHREWD_CORRUPT || code == SHREWD_INVALID || code == SHREWD_LIMIT
               ? shr_fail_in(err, SHREWD_CORRUPT, "part '%s'", part->name)
               : code;
}

#define TOO_MUCH "it holds more of one block than a part may"

/* One block as the part has it. */
struct block_text {
    struct shr_block_record record;
    struct shr_buf bytes; /* its keys and values */
    struct shr_pair *pairs;
    size_t cap;
};

static int read_head(struct shr_zin *stream, struct block_text *block, struct shrewd_error *err) {
    struct shr_bytes head;
    int code = shr_zin_take(stream, &head, BLOCK_BYTES, err);
    if (code != 0) {
        return code;
    }
    struct shr_block_record *record = &block->record;
    *record = (struct shr_block_record){.height = shr_get_be32(head.data)};
    memcpy(record->hash.b, head.data + 4, 32);
    record->has_root = (head.data[36] & HAS_ROOT) != 0;
    memcpy(record->root.b, head.data + 37, 32);
    record->n_keys = shr_get_be64(head.data + 69);
    record->total_keys = shr_get_be64(head.data + 77);
    return 0;
}

int shr_part_take_lengths(const struct shr_part *part, struct shr_zin *stream, uint32_t *key_len,
                          uint32_t *value_len, struct shrewd_error *err) {
    struct shr_bytes lengths;
    int code = shr_zin_take(stream, &lengths, PAIR_BYTES, err);
    if (code != 0) {
        return code;
    }
    *key_len = shr_get_be32(lengths.data);
    *value_len = shr_get_be32(lengths.data + 4);
    return *key_len <= SHR_KEY_MAX && *value_len <= SHR_VALUE_MAX
               ? 0
               : shr_part_damaged(part, err, "it holds a larger key or value than can be stored");
}

/* `left`: what the block may still take. Nothing is read that is above it. */
static int read_pair(const struct shr_part *part, struct shr_zin *stream, struct block_text *block,
                     struct shr_pair *pair, uint64_t *left, struct shrewd_error *err) {
    struct shr_bytes body;
    uint32_t key_len, value_len;
    int code = shr_part_take_lengths(part, stream, &key_len, &value_len, err);
    if (code == 0 && (uint64_t)key_len + value_len > *left) {
        code = shr_part_damaged(part, err, TOO_MUCH);
    }
    code = code != 0 ? code : shr_zin_take(stream, &body, (size_t)key_len + value_len, err);
    if (code == 0) {
        *left -= body.len;
        pair->key.len = key_len;
        pair->value.len = value_len;
        shr_buf_add(&block->bytes, body);
    }
    return code;
}

static int read_pairs(const struct shr_part *part, struct shr_zin *stream, struct block_text *block,
                      struct shrewd_error *err) {
    size_t n = 0;
    shr_buf_clear(&block->bytes);
    if (block->record.n_keys > SHR_PART_BLOCK_MAX / SHR_PART_PAIR_COST) {
        return shr_part_damaged(part, err, TOO_MUCH);
    }
    uint64_t left = SHR_PART_BLOCK_MAX - block->record.n_keys * SHR_PART_PAIR_COST;
    for (; n < block->record.n_keys; n++) {
        if (n == block->cap) {
            block->cap = block->cap == 0 ? 1024 : block->cap * 2;
            block->pairs = shr_realloc_array(block->pairs, block->cap, sizeof *block->pairs);
        }
        int code = read_pair(part, stream, block, &block->pairs[n], &left, err);
        if (code != 0) {
            return code;
        }
    }
    /* The buffer has stopped moving: now the pairs may point into it. */
    static const uint8_t nothing[1];
    const uint8_t *at = block->bytes.data != NULL ? block->bytes.data : nothing;
    for (size_t i = 0; i < n; i++) {
        block->pairs[i].key.data = at;
        block->pairs[i].value.data = at + block->pairs[i].key.len;
        at += block->pairs[i].key.len + block->pairs[i].value.len;
    }
    return 0;
}

/* What applying gave must be what the part says of the block. */
static bool same_record(const struct shr_block_record *a, const struct shr_block_record *b) {
    return shr_hash_eq(&a->hash, &b->hash) && a->n_keys == b->n_keys &&
           a->total_keys == b->total_keys &&
           (!a->has_root || !b->has_root || shr_hash_eq(&a->root, &b->root));
}

static int apply_block(const struct shr_part *part, struct shr_state *state,
                       const struct block_text *block, bool sync, struct shrewd_error *err) {
    struct shr_block_record held;
    int code = shr_state_tip(state, &held, err);
    if (code != 0 && code != SHREWD_NOT_FOUND) {
        return code;
    }
    if (code == SHREWD_NOT_FOUND || held.height < block->record.height) {
        struct shr_block_change change = {.height = block->record.height,
                                          .hash = block->record.hash,
                                          .pairs = block->pairs,
                                          .n_pairs = block->record.n_keys};
        code = shr_state_apply(state, &change, sync, err);
    }
    if (code == 0) {
        code = shr_state_block(state, &held, block->record.height, err);
    }
    if (code == 0 && !same_record(&held, &block->record)) {
        code = shr_part_damaged(part, err,
                                "what it holds does not give the state root and counts it names");
    }
    return code;
}

static int apply_blocks(const struct shr_part *part, struct shr_state *state,
                        struct shr_zin *stream, struct block_text *block, struct shr_stop *stop,
                        struct shrewd_error *err) {
    struct shr_bytes magic;
    int code = shr_zin_take(stream, &magic, MAGIC_BYTES, err);
    if (code == 0 && !shr_bytes_eq(magic, shr_bytes_str(MAGIC))) {
        code = shr_part_damaged(part, err, "it does not begin as a part does");
    }
    for (uint32_t height = part->from; code == 0; height++) {
        if (shr_stopped(stop)) {
            return shr_fail(err, SHREWD_STOPPED, "stopped while restoring a snapshot");
        }
        code = read_head(stream, block, err);
        if (code == 0 && block->record.height != height) {
            code = shr_part_damaged(part, err, "its blocks are not in order of height");
        }
        code = code != 0 ? code : read_pairs(part, stream, block, err);
        code = code != 0 ? code : apply_block(part, state, block, height == part->to, err);
        if (height == part->to) {
            break;
        }
    }
    return code;
}

int shr_part_apply(const struct shr_part *part, struct shr_state *state, const char *path,
                   struct shr_stop *stop, struct shrewd_error *err) {
    struct block_text block = {0};
    struct shr_zin *stream = NULL;
    struct shr_hash found;
    int code = shr_zin_open(&stream, path, err);
    if (code == 0) {
        code = apply_blocks(part, state, stream, &block, stop, err);
    }
    if (code == 0) {
        code = shr_zin_end(stream, &found, err);
    }
    if (code == 0 &&
        (!shr_hash_eq(&found, &part->sha256) || !shr_hash_eq(&block.record.hash, &part->block) ||
         block.record.has_root != part->has_root ||
         !shr_hash_eq(&block.record.root, &part->root))) {
        code = shr_part_damaged(part, err, "it is not the file that the manifest describes");
    }
    shr_zin_close(stream);
    free(block.pairs);
    shr_buf_free(&block.bytes);
    return shr_part_fault(part, code, err);
}
