#include "snapshot/manifest.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/hex.h"
#include "snapshot/stream.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT "shrewd-snapshot"
#define VERSION 1
#define VERSION_BASE 2 /* with a base; shrewds that know of none must not pass over it */
#define DUMP_FLAGS (JSON_INDENT(1) | JSON_SORT_KEYS | JSON_ENSURE_ASCII)

void shr_manifest_free(struct shr_manifest *manifest) {
    free(manifest->base);
    free(manifest->parts);
    *manifest = (struct shr_manifest){0};
}

void shr_manifest_add(struct shr_manifest *manifest, const struct shr_part *part) {
    manifest->parts =
        shr_realloc_array(manifest->parts, manifest->n_parts + 1, sizeof *manifest->parts);
    manifest->parts[manifest->n_parts++] = *part;
}

void shr_manifest_add_base(struct shr_manifest *manifest, const struct shr_part *part) {
    manifest->base =
        shr_realloc_array(manifest->base, manifest->n_base + 1, sizeof *manifest->base);
    manifest->base[manifest->n_base++] = *part;
}

uint32_t shr_manifest_oldest(const struct shr_manifest *manifest) {
    return manifest->n_base > 0 ? manifest->base[0].to : manifest->identity.start_height;
}

const struct shr_part *shr_manifest_last(const struct shr_manifest *manifest) {
    return manifest->n_parts > 0  ? &manifest->parts[manifest->n_parts - 1]
           : manifest->n_base > 0 ? &manifest->base[manifest->n_base - 1]
                                  : NULL;
}

uint64_t shr_manifest_next(const struct shr_manifest *manifest) {
    const struct shr_part *last = shr_manifest_last(manifest);
    return last == NULL ? manifest->identity.start_height : (uint64_t)last->to + 1;
}

static uint64_t bytes_of(const struct shr_part *parts, size_t n) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < n; i++) {
        bytes += parts[i].bytes;
    }
    return bytes;
}

uint64_t shr_manifest_bytes(const struct shr_manifest *manifest) {
    return bytes_of(manifest->base, manifest->n_base) +
           bytes_of(manifest->parts, manifest->n_parts);
}

/* --- Writing --- */

static json_t *hash_text(const struct shr_hash *hash) {
    char hex[SHR_HASH_HEX_LEN + 1];
    shr_hash_hex(hex, hash);
    return json_string(hex);
}

static json_t *digest_text(const struct shr_hash *digest) {
    char hex[SHR_HASH_HEX_LEN + 1];
    shr_hex_write(hex, shr_bytes(digest->b, sizeof digest->b));
    return json_string(hex);
}

static json_t *root_text(const struct shr_part *part) {
    return part->has_root ? digest_text(&part->root) : json_null();
}

static json_t *part_json(const struct shr_part *part) {
    json_t *object = json_object();
    json_object_set_new(object, "name", json_string(part->name));
    json_object_set_new(object, "from", json_integer(part->from));
    json_object_set_new(object, "to", json_integer(part->to));
    json_object_set_new(object, "bytes", json_integer((json_int_t)part->bytes));
    json_object_set_new(object, "writes", json_integer((json_int_t)part->writes));
    json_object_set_new(object, "sha256", digest_text(&part->sha256));
    json_object_set_new(object, "block_hash", hash_text(&part->block));
    json_object_set_new(object, "state_root", root_text(part));
    return object;
}

static json_t *parts_json(const struct shr_part *parts, size_t n) {
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(array, part_json(&parts[i]));
    }
    return array;
}

static json_t *manifest_json(const struct shr_manifest *manifest) {
    const struct shr_part *last = shr_manifest_last(manifest);
    json_t *object = json_object();
    json_object_set_new(object, "format", json_string(FORMAT));
    json_object_set_new(object, "version",
                        json_integer(manifest->n_base > 0 ? VERSION_BASE : VERSION));
    json_object_set_new(object, "genesis", hash_text(&manifest->identity.genesis));
    json_object_set_new(object, "module_sha256", digest_text(&manifest->identity.module_hash));
    json_object_set_new(object, "start_height", json_integer(manifest->identity.start_height));
    if (manifest->n_base > 0) {
        json_object_set_new(object, "oldest_height", json_integer(shr_manifest_oldest(manifest)));
        json_object_set_new(object, "base", parts_json(manifest->base, manifest->n_base));
    }
    json_object_set_new(object, "parts", parts_json(manifest->parts, manifest->n_parts));
    if (last != NULL) {
        json_object_set_new(object, "height", json_integer(last->to));
        json_object_set_new(object, "block_hash", hash_text(&last->block));
        json_object_set_new(object, "state_root", root_text(last));
    }
    return object;
}

static void dump(struct shr_buf *out, const json_t *object) {
    char *text = json_dumps(object, DUMP_FLAGS);
    if (text == NULL) {
        shr_out_of_memory(0);
    }
    shr_buf_clear(out);
    shr_buf_add_str(out, text);
    free(text);
}

void shr_manifest_encode(struct shr_buf *out, const struct shr_manifest *manifest) {
    struct shr_hash sum;
    json_t *object = manifest_json(manifest);
    dump(out, object);
    shr_sha256(&sum, shr_buf_bytes(out));
    json_object_set_new(object, "checksum", digest_text(&sum));
    dump(out, object);
    shr_buf_add_u8(out, '\n');
    json_decref(object);
}

/* --- Reading --- */

struct decoding {
    const char *wrong; /* the first thing that is wrong, in static text; NULL so far */
};

static void wrong(struct decoding *in, const char *what) {
    in->wrong = in->wrong == NULL ? what : in->wrong;
}

static uint64_t number(struct decoding *in, const json_t *object, const char *name, uint64_t max) {
    const json_t *value = json_object_get(object, name);
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        (uint64_t)json_integer_value(value) > max) {
        wrong(in, "a number is missing or out of range");
        return 0;
    }
    return (uint64_t)json_integer_value(value);
}

static void hash(struct decoding *in, struct shr_hash *out, const json_t *object, const char *name,
                 bool display) {
    const json_t *value = json_object_get(object, name);
    struct shr_buf bytes = {0};
    if (!json_is_string(value) || json_string_length(value) != SHR_HASH_HEX_LEN) {
        wrong(in, "a hash is missing or not 64 hex digits");
    } else if (display) {
        if (!shr_hash_parse(out, json_string_value(value), SHR_HASH_HEX_LEN)) {
            wrong(in, "a hash is not 64 hex digits");
        }
    } else if (!shr_hex_decode(&bytes, json_string_value(value), SHR_HASH_HEX_LEN, NULL) ||
               bytes.len != sizeof out->b) {
        wrong(in, "a hash is not 64 hex digits");
    } else {
        memcpy(out->b, bytes.data, sizeof out->b);
    }
    shr_buf_free(&bytes);
}

static void decode_part(struct decoding *in, struct shr_part *part, const json_t *object) {
    *part = (struct shr_part){0};
    part->from = (uint32_t)number(in, object, "from", UINT32_MAX - 1);
    part->to = (uint32_t)number(in, object, "to", UINT32_MAX - 1);
    part->bytes = number(in, object, "bytes", INT64_MAX);
    part->writes = number(in, object, "writes", INT64_MAX);
    hash(in, &part->sha256, object, "sha256", false);
    hash(in, &part->block, object, "block_hash", true);
    part->has_root = !json_is_null(json_object_get(object, "state_root"));
    if (part->has_root) {
        hash(in, &part->root, object, "state_root", false);
    }
    if (part->to < part->from) {
        wrong(in, "a part ends before it begins");
    }
}

static void decode_base(struct decoding *in, struct shr_manifest *out, const json_t *base) {
    if (base != NULL && json_array_size(base) == 0) {
        wrong(in, "the list of what it begins with is empty");
    }
    for (size_t i = 0; in->wrong == NULL && i < json_array_size(base); i++) {
        struct shr_part part;
        decode_part(in, &part, json_array_get(base, i));
        part.base = true;
        part.index = (uint32_t)i;
        shr_part_name(&part); /* a name read from a file could lead anywhere */
        if (part.from != part.to || part.from < out->identity.start_height) {
            wrong(in, "what it begins with is not of one height");
        }
        shr_manifest_add_base(out, &part);
        const struct shr_part *first = &out->base[0];
        if (part.to != first->to || !shr_hash_eq(&part.block, &first->block) ||
            part.has_root != first->has_root || !shr_hash_eq(&part.root, &first->root)) {
            wrong(in, "what it begins with is not of one block");
        }
    }
}

static void decode_parts(struct decoding *in, struct shr_manifest *out, const json_t *parts) {
    if (!json_is_array(parts)) {
        wrong(in, "the list of parts is missing");
    }
    for (size_t i = 0; in->wrong == NULL && i < json_array_size(parts); i++) {
        struct shr_part part;
        decode_part(in, &part, json_array_get(parts, i));
        shr_part_name(&part);
        if (part.from != shr_manifest_next(out)) {
            wrong(in, "the parts leave out a block");
        }
        shr_manifest_add(out, &part);
    }
}

static int check_format(const json_t *object, const char *origin, struct shrewd_error *err) {
    const char *format = json_string_value(json_object_get(object, "format"));
    json_int_t version = json_integer_value(json_object_get(object, "version"));
    if (format == NULL || strcmp(format, FORMAT) != 0) {
        return shr_fail(err, SHREWD_MISMATCH, "'%s' is not the manifest of a shrewd snapshot",
                        origin);
    }
    if (version != VERSION && version != VERSION_BASE) {
        return shr_fail(err, SHREWD_MISMATCH,
                        "the snapshot '%s' has version %lld and this shrewd reads %d and %d: use "
                        "the shrewd that made it, or a newer one",
                        origin, (long long)version, VERSION, VERSION_BASE);
    }
    return 0;
}

int shr_manifest_decode(struct shr_manifest *out, struct shr_bytes text, const char *origin,
                        struct shrewd_error *err) {
    struct decoding in = {0};
    struct shr_buf again = {0};
    json_error_t where;
    *out = (struct shr_manifest){0};
    json_t *object = json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES, &where);
    int code = 0;
    if (!json_is_object(object)) {
        code = shr_fail(err, SHREWD_CORRUPT, "the manifest '%s' is damaged: it is not JSON: %s",
                        origin, object == NULL ? where.text : "no object");
    } else {
        code = check_format(object, origin, err);
    }
    if (code == 0) {
        out->identity.start_height = (uint32_t)number(&in, object, "start_height", UINT32_MAX - 1);
        hash(&in, &out->identity.genesis, object, "genesis", true);
        hash(&in, &out->identity.module_hash, object, "module_sha256", false);
        decode_base(&in, out, json_object_get(object, "base"));
        decode_parts(&in, out, json_object_get(object, "parts"));
        shr_manifest_encode(&again, out);
        if (!shr_bytes_eq(shr_buf_bytes(&again), text)) {
            wrong(&in, "its bytes are not what its checksum says");
        }
        if (in.wrong != NULL) {
            code = shr_fail(err, SHREWD_CORRUPT,
                            "the manifest '%s' is damaged: %s; fetch it again, or take another "
                            "snapshot",
                            origin, in.wrong);
        }
    }
    json_decref(object);
    shr_buf_free(&again);
    if (code != 0) {
        shr_manifest_free(out);
    }
    return code;
}

int shr_manifest_read(struct shr_manifest *out, const char *dir, struct shrewd_error *err) {
    char *path = shr_asprintf("%s/" SHR_MANIFEST_NAME, dir);
    struct shr_buf text = {0};
    int code = shr_file_read(&text, path, SHR_MANIFEST_BYTES_MAX, err);
    if (code == 0) {
        code = shr_manifest_decode(out, shr_buf_bytes(&text), path, err);
    }
    shr_buf_free(&text);
    free(path);
    return code;
}

int shr_manifest_write(const char *dir, const struct shr_manifest *manifest,
                       struct shrewd_error *err) {
    char *path = shr_asprintf("%s/" SHR_MANIFEST_NAME, dir);
    struct shr_buf text = {0};
    shr_manifest_encode(&text, manifest);
    int code = shr_file_write_mode(path, shr_buf_bytes(&text), SHR_SNAP_FILE_MODE, err);
    shr_buf_free(&text);
    free(path);
    return code;
}
