/* loops.c: copying a wasm binary with a mark at the start of each loop and of most functions. */
#include "wasm/loops.h"

#include "base/alloc.h"
#include "wasm/reader.h"

#include <stdlib.h>
#include <string.h>

#define HEADER_SIZE 8
#define SECTION_CUSTOM 0
#define SECTION_IMPORT 2
#define SECTION_TABLE 4
#define SECTION_MEMORY 5
#define SECTION_CODE 10
/* A function that calls none and is not longer than this gets no mark: its callers have one. */
#define LEAF_SIZE_MAX 64
#define MARKS_MAX 4096 /* of a function: its marks load from one page of the host's */

struct marker {
    struct shr_reader in;
    struct shr_buf *out;
    size_t out_start; /* `out` may hold something already */
    struct shr_loops_map *map;
    size_t *marks; /* of the function in hand: offsets in the module */
    size_t marks_cap;
    size_t n_marks;  /* in all */
    uint32_t memory; /* its index; known when the memories are written */
    bool has_memory; /* ... which they are */
};

void shr_loops_map_free(struct shr_loops_map *map) {
    free(map->steps);
    *map = (struct shr_loops_map){0};
}

size_t shr_loops_original(const struct shr_loops_map *map, size_t offset) {
    size_t low = 0;
    size_t high = map->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (map->steps[middle].from <= offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low > 0 ? (size_t)((int64_t)offset - map->steps[low - 1].shift) : offset;
}

/* What is written next stood at `original`. */
static void note_shift(struct marker *marker, size_t original) {
    struct shr_loops_map *map = marker->map;
    if (map == NULL) {
        return;
    }
    if ((map->n & (map->n - 1)) == 0) { /* full at each power of two */
        map->steps =
            shr_realloc_array(map->steps, map->n == 0 ? 1 : 2 * map->n, sizeof *map->steps);
    }
    size_t at = marker->out->len - marker->out_start;
    map->steps[map->n++] =
        (struct shr_loops_step){(uint32_t)at, (int32_t)((int64_t)at - (int64_t)original)};
}

static void add_u32(struct shr_buf *out, uint32_t value) {
    while (value >= 0x80) {
        shr_buf_add_u8(out, (uint8_t)(value | 0x80));
        value >>= 7;
    }
    shr_buf_add_u8(out, (uint8_t)value);
}

static void copy(struct marker *marker, size_t from, size_t to) {
    if (to > from) {
        note_shift(marker, from);
        shr_buf_append(marker->out, marker->in.bytes.data + from, to - from);
    }
}

static size_t u32_size(uint32_t value) {
    size_t size = 1;
    for (; value >= 0x80; value >>= 7) {
        size++;
    }
    return size;
}

/* i32.const 0, i32.load8_u (memory) offset=address, drop. The address is not the constant, which
 * would have a sign. */
static void add_mark(struct marker *marker, uint32_t address) {
    shr_buf_append(marker->out, "\x41\0\x2d\x40", 4);
    shr_buf_add_u8(marker->out, (uint8_t)marker->memory);
    add_u32(marker->out, address);
    shr_buf_add_u8(marker->out, 0x1a);
}

static size_t mark_size(uint32_t address) {
    return 6 + u32_size(address);
}

static void note_mark(struct marker *marker, size_t n, size_t at) {
    if (n == marker->marks_cap) {
        marker->marks_cap = marker->marks_cap == 0 ? 64 : 2 * marker->marks_cap;
        marker->marks = shr_realloc_array(marker->marks, marker->marks_cap, sizeof *marker->marks);
    }
    marker->marks[n] = at;
}

static void skip_locals(struct shr_reader *in) {
    uint32_t n = shr_read_u32(in);
    for (uint32_t i = 0; i < n && in->wrong == NULL; i++) {
        shr_read_u32(in);
        shr_skip_valtype(in);
    }
}

/* Finds where marks go in the function that ends at `end`. Returns how many there are. */
static size_t find_marks(struct marker *marker, size_t end) {
    struct shr_reader *in = &marker->in;
    bool calls = false;
    size_t depth = 1;
    size_t n = 1; /* the first is that of the function */
    skip_locals(in);
    size_t start = in->at;
    note_mark(marker, 0, start);
    while (in->wrong == NULL && depth > 0) {
        enum shr_op op = shr_read_instruction(in);
        calls = calls || op == SHR_OP_CALL;
        depth += op == SHR_OP_LOOP || op == SHR_OP_OPEN;
        depth -= op == SHR_OP_END;
        if (op == SHR_OP_LOOP) {
            note_mark(marker, n++, in->at);
        }
    }
    if (in->wrong == NULL && in->at != end) {
        in->wrong = "a function that is not as long as it says";
    }
    if (!calls && end - start <= LEAF_SIZE_MAX) {
        n--;
        memmove(marker->marks, marker->marks + 1, n * sizeof *marker->marks);
    }
    return n;
}

static void mark_function(struct marker *marker) {
    struct shr_reader *in = &marker->in;
    uint32_t size = shr_read_u32(in);
    size_t start = in->at;
    shr_skip(in, size);
    if (in->wrong != NULL) {
        return;
    }
    size_t end = in->at;
    in->at = start;
    size_t n = find_marks(marker, end);
    if (in->wrong == NULL && n > MARKS_MAX) {
        in->at = start;
        in->wrong = "a function with more loops than marks can be told apart";
    }
    if (in->wrong != NULL) {
        return;
    }
    uint64_t new_size = size;
    for (size_t i = 0; i < n; i++) {
        new_size += mark_size((uint32_t)i);
    }
    if (new_size > UINT32_MAX) {
        in->wrong = "a function that is too long";
        return;
    }
    marker->n_marks += n;
    note_shift(marker, start - u32_size((uint32_t)new_size));
    add_u32(marker->out, (uint32_t)new_size);
    for (size_t i = 0; i < n; i++) {
        copy(marker, start, marker->marks[i]);
        add_mark(marker, (uint32_t)i);
        start = marker->marks[i];
    }
    copy(marker, start, end);
}

/* The section's length is known when it is written: it takes five bytes, which is allowed. */
static void mark_code(struct marker *marker, size_t end) {
    struct shr_reader *in = &marker->in;
    shr_buf_add_u8(marker->out, SECTION_CODE);
    size_t size_at = marker->out->len;
    shr_buf_grow(marker->out, 5);
    uint32_t n = shr_read_u32(in);
    add_u32(marker->out, n);
    for (uint32_t i = 0; i < n && in->wrong == NULL; i++) {
        mark_function(marker);
    }
    if (in->wrong == NULL && in->at != end) {
        in->wrong = "a code section that is not as long as it says";
    }
    uint64_t size = marker->out->len - size_at - 5;
    if (in->wrong == NULL && size > UINT32_MAX) {
        in->wrong = "a module that is too long";
    }
    for (unsigned i = 0; i < 5; i++) {
        marker->out->data[size_at + i] = (uint8_t)((size >> 7 * i & 0x7f) | (i < 4 ? 0x80 : 0));
    }
}

/* The memory section, which had `body`, with the memory of the marks after the `n` others. */
static void add_memories(struct marker *marker, uint32_t n, struct shr_bytes body) {
    struct shr_buf section = {0};
    add_u32(&section, n + 1);
    shr_buf_add(&section, body);
    shr_buf_append(&section, "\1\1\1", 3); /* a page at least and at most */
    shr_buf_add_u8(marker->out, SECTION_MEMORY);
    add_u32(marker->out, (uint32_t)section.len);
    shr_buf_add(marker->out, shr_buf_bytes(&section));
    shr_buf_free(&section);
    marker->has_memory = true;
    marker->memory = n;
}

static void mark_memories(struct marker *marker, size_t end) {
    struct shr_reader *in = &marker->in;
    uint32_t n = shr_read_u32(in);
    if (in->wrong == NULL && (n > 1 || marker->has_memory || in->at > end)) {
        in->wrong = "more than one memory";
    }
    if (in->wrong == NULL) {
        add_memories(marker, n, shr_bytes(in->bytes.data + in->at, end - in->at));
        in->at = end;
    }
}

static void skip_limits(struct shr_reader *in) {
    uint8_t flags = shr_read_u8(in);
    shr_skip_leb(in, 64);
    if ((flags & 1) != 0) {
        shr_skip_leb(in, 64);
    }
}

/* An imported memory would come before those of the module itself. */
static void look_for_memories(struct shr_reader *in) {
    uint32_t n = shr_read_u32(in);
    for (uint32_t i = 0; i < n && in->wrong == NULL; i++) {
        shr_skip(in, shr_read_u32(in));
        shr_skip(in, shr_read_u32(in));
        switch (shr_read_u8(in)) {
        case 0: /* function */
            shr_skip_leb(in, 32);
            break;
        case 1: /* table */
            shr_skip_valtype(in);
            skip_limits(in);
            break;
        case 3: /* global */
            shr_skip_valtype(in);
            shr_skip(in, 1);
            break;
        default:
            if (in->wrong == NULL) {
                in->wrong = "an imported memory, or something that is not known";
            }
        }
    }
}

static bool has_code_offsets(struct shr_bytes section) {
    static const char *const prefixes[] = {".debug_", "metadata.code.", "sourceMappingURL"};
    struct shr_reader in = {.bytes = section};
    uint32_t len = shr_read_u32(&in);
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0] && in.wrong == NULL; i++) {
        size_t prefix_len = strlen(prefixes[i]);
        if (len >= prefix_len && section.len - in.at >= prefix_len &&
            memcmp(section.data + in.at, prefixes[i], prefix_len) == 0) {
            return true;
        }
    }
    return false;
}

static void mark_section(struct marker *marker) {
    struct shr_reader *in = &marker->in;
    size_t start = in->at;
    uint8_t id = shr_read_u8(in);
    uint32_t len = shr_read_u32(in);
    size_t body = in->at;
    shr_skip(in, len);
    size_t end = in->at;
    if (in->wrong != NULL) {
        return;
    }
    /* Memories come after tables and before whatever else. */
    if (id > SECTION_TABLE && id != SECTION_MEMORY && !marker->has_memory) {
        add_memories(marker, 0, shr_bytes(NULL, 0));
    }
    if (id == SECTION_CODE) {
        in->at = body;
        mark_code(marker, end);
        return;
    }
    if (id == SECTION_MEMORY) {
        in->at = body;
        mark_memories(marker, end);
        return;
    }
    if (id == SECTION_IMPORT) {
        in->at = body;
        look_for_memories(in);
        if (in->wrong != NULL) {
            return;
        }
        in->at = end;
    }
    if (id != SECTION_CUSTOM || !has_code_offsets(shr_bytes(in->bytes.data + body, len))) {
        copy(marker, start, end);
    }
}

int shr_loops_mark(struct shr_buf *out, struct shr_loops_map *map, struct shr_bytes module,
                   struct shrewd_error *err) {
    struct marker marker = {.in = {.bytes = module}, .out = out, .out_start = out->len, .map = map};
    int code = 0;
    shr_skip(&marker.in, HEADER_SIZE);
    copy(&marker, 0, marker.in.at);
    while (marker.in.wrong == NULL && marker.in.at < module.len) {
        mark_section(&marker);
    }
    if (marker.in.wrong != NULL) {
        code =
            shr_fail(err, SHREWD_UNSUPPORTED, "at offset 0x%zx: %s", marker.in.at, marker.in.wrong);
    }
    if (map != NULL) {
        map->marks = marker.n_marks;
        map->memory = marker.memory;
    }
    if (code != 0) {
        out->len = marker.out_start;
        if (map != NULL) {
            shr_loops_map_free(map);
        }
    }
    free(marker.marks);
    return code;
}
