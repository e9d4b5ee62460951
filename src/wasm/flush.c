/* flush.c: the one protobuf message of the guest ABI. Source: the protobuf encoding guide. */
#include "wasm/flush.h"

#define GROUP_DEPTH_MAX 100
#define LIST_FIELD 1

enum wire_type { WIRE_VARINT, WIRE_64, WIRE_BYTES, WIRE_GROUP, WIRE_GROUP_END, WIRE_32 };

struct reader {
    struct shr_bytes message;
    size_t at;
    struct shrewd_error *err;
};

static int bad(struct reader *reader, size_t at, const char *what) {
    return shr_fail(reader->err, SHREWD_GUEST, "not a KeyValueFlush: %s at offset %zu of %zu bytes",
                    what, at, reader->message.len);
}

static int read_varint(struct reader *reader, uint64_t *out) {
    size_t start = reader->at;
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (reader->at == reader->message.len) {
            return bad(reader, start, "a number is cut off");
        }
        uint8_t byte = reader->message.data[reader->at++];
        if (shift == 63 && byte > 1) {
            break;
        }
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *out = value;
            return 0;
        }
    }
    return bad(reader, start, "a number has more than 64 bits");
}

static int read_bytes(struct reader *reader, struct shr_bytes *out) {
    size_t start = reader->at;
    uint64_t len = 0;
    int code = read_varint(reader, &len);
    if (code != 0) {
        return code;
    }
    if (len > reader->message.len - reader->at) {
        return bad(reader, start, "a field reaches past the end");
    }
    *out = shr_bytes(reader->message.data + reader->at, (size_t)len);
    reader->at += (size_t)len;
    return 0;
}

static int skip_fixed(struct reader *reader, size_t len) {
    if (len > reader->message.len - reader->at) {
        return bad(reader, reader->at, "a field reaches past the end");
    }
    reader->at += len;
    return 0;
}

static int read_tag(struct reader *reader, uint32_t *field, enum wire_type *type) {
    size_t start = reader->at;
    uint64_t tag = 0;
    int code = read_varint(reader, &tag);
    if (code != 0) {
        return code;
    }
    if (tag > UINT32_MAX || tag >> 3 == 0) {
        return bad(reader, start, "a field number is out of range");
    }
    if ((tag & 7) > WIRE_32) {
        return bad(reader, start, "a field has an unknown wire type");
    }
    *field = (uint32_t)(tag >> 3);
    *type = (enum wire_type)(tag & 7);
    return 0;
}

static int skip_value(struct reader *reader, enum wire_type type) {
    uint64_t number;
    struct shr_bytes bytes;
    switch (type) {
    case WIRE_VARINT:
        return read_varint(reader, &number);
    case WIRE_64:
        return skip_fixed(reader, 8);
    case WIRE_BYTES:
        return read_bytes(reader, &bytes);
    case WIRE_32:
        return skip_fixed(reader, 4);
    default:
        return bad(reader, reader->at, "a group ends that was not begun");
    }
}

/* Skips an unknown field; a group (deprecated, but part of the format) with all it holds. */
static int skip_field(struct reader *reader, uint32_t field, enum wire_type type) {
    if (type != WIRE_GROUP) {
        return skip_value(reader, type);
    }
    uint32_t open[GROUP_DEPTH_MAX] = {field};
    size_t depth = 1;
    while (depth > 0) {
        size_t start = reader->at;
        int code = read_tag(reader, &field, &type);
        if (code != 0) {
            return code;
        }
        if (type == WIRE_GROUP_END) {
            if (field != open[depth - 1]) {
                return bad(reader, start, "a group ends that was not begun");
            }
            depth--;
        } else if (type == WIRE_GROUP) {
            if (depth == GROUP_DEPTH_MAX) {
                return bad(reader, start, "groups are nested too deep");
            }
            open[depth++] = field;
        } else if ((code = skip_value(reader, type)) != 0) {
            return code;
        }
    }
    return 0;
}

int shr_flush_decode(struct shr_bytes message,
                     int (*put)(void *ctx, struct shr_bytes key, struct shr_bytes value,
                                struct shrewd_error *err),
                     void *ctx, struct shrewd_error *err) {
    struct reader reader = {.message = message, .err = err};
    struct shr_bytes key = {0};
    bool have_key = false;
    while (reader.at < message.len) {
        uint32_t field = 0;
        enum wire_type type = WIRE_VARINT;
        int code = read_tag(&reader, &field, &type);
        if (code == 0 && (field != LIST_FIELD || type != WIRE_BYTES)) {
            code = skip_field(&reader, field, type);
            if (code == 0) {
                continue;
            }
        }
        struct shr_bytes item = {0};
        if (code == 0) {
            code = read_bytes(&reader, &item);
        }
        if (code == 0 && have_key) {
            code = put(ctx, key, item, err);
        }
        if (code != 0) {
            return code;
        }
        key = item;
        have_key = !have_key;
    }
    if (have_key) {
        return bad(&reader, reader.at, "the last key has no value");
    }
    return 0;
}
