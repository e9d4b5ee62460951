/* reader.c: the instructions of WebAssembly, as far as one must know them to walk over them.
 * Source: the core specification 2.0 with tail calls, appendix "Index of Instructions". */
#include "wasm/reader.h"

#include <string.h>

static void wrong(struct shr_reader *reader, const char *what) {
    if (reader->wrong == NULL) {
        reader->wrong = what;
    }
}

uint8_t shr_read_u8(struct shr_reader *reader) {
    if (reader->wrong == NULL && reader->at == reader->bytes.len) {
        wrong(reader, "it ends too early");
    }
    return reader->wrong == NULL ? reader->bytes.data[reader->at++] : 0;
}

uint32_t shr_read_u32(struct shr_reader *reader) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 35; shift += 7) {
        uint8_t byte = shr_read_u8(reader);
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            if (value > UINT32_MAX) {
                break;
            }
            return (uint32_t)value;
        }
    }
    wrong(reader, "a number does not fit 32 bits");
    return 0;
}

void shr_skip_leb(struct shr_reader *reader, unsigned bits) {
    for (unsigned shift = 0; shift < bits; shift += 7) {
        if (shr_read_u8(reader) < 0x80) {
            return;
        }
    }
    wrong(reader, "a number is too long");
}

void shr_skip(struct shr_reader *reader, size_t len) {
    if (reader->wrong == NULL && len > reader->bytes.len - reader->at) {
        wrong(reader, "it ends too early");
    }
    if (reader->wrong == NULL) {
        reader->at += len;
    }
}

void shr_skip_valtype(struct shr_reader *reader) {
    static const uint8_t known[] = {0x7f, 0x7e, 0x7d, 0x7c, 0x7b, 0x70, 0x6f};
    uint8_t type = shr_read_u8(reader);
    if (reader->wrong == NULL && memchr(known, type, sizeof known) == NULL) {
        wrong(reader, "a type that is not known");
    }
}

static void skip_block_type(struct shr_reader *reader) {
    uint8_t first = shr_read_u8(reader);
    if (first == 0x63 || first == 0x64) {
        wrong(reader, "a type that is not known");
    } else if (first >= 0x80) {
        shr_skip_leb(reader, 26);
    }
}

static void skip_memarg(struct shr_reader *reader) {
    if (shr_read_u32(reader) >= 32) { /* from 64 on a memory's index follows */
        wrong(reader, "an alignment that is not known");
    }
    shr_skip_leb(reader, 32);
}

static void skip_leb_pair(struct shr_reader *reader) {
    shr_skip_leb(reader, 32);
    shr_skip_leb(reader, 32);
}

static void skip_br_table(struct shr_reader *reader) {
    uint32_t n = shr_read_u32(reader);
    for (uint64_t i = 0; i <= n && reader->wrong == NULL; i++) {
        shr_skip_leb(reader, 32);
    }
}

static void skip_typed_select(struct shr_reader *reader) {
    uint32_t n = shr_read_u32(reader);
    for (uint32_t i = 0; i < n && reader->wrong == NULL; i++) {
        shr_skip_valtype(reader);
    }
}

/* 0xfc: saturating conversions, bulk memory, tables. */
static void skip_misc(struct shr_reader *reader) {
    uint32_t op = shr_read_u32(reader);
    if (op <= 7) {
        return;
    }
    switch (op) {
    case 8:  /* memory.init */
    case 10: /* memory.copy */
    case 12: /* table.init */
    case 14: /* table.copy */
        skip_leb_pair(reader);
        return;
    case 9:  /* data.drop */
    case 11: /* memory.fill */
    case 13: /* elem.drop */
    case 15: /* table.grow */
    case 16: /* table.size */
    case 17: /* table.fill */
        shr_skip_leb(reader, 32);
        return;
    default:
        wrong(reader, "an instruction 0xfc that is not known");
    }
}

/* 0xfd: SIMD. The gaps are numbers that were never given out. */
static void skip_simd(struct shr_reader *reader) {
    uint32_t op = shr_read_u32(reader);
    if (op <= 0x0b || op == 0x5c || op == 0x5d) { /* loads and v128.store */
        skip_memarg(reader);
    } else if (op == 0x0c || op == 0x0d) { /* v128.const, i8x16.shuffle */
        shr_skip(reader, 16);
    } else if (op >= 0x15 && op <= 0x22) { /* extract and replace a lane */
        shr_skip(reader, 1);
    } else if (op >= 0x54 && op <= 0x5b) { /* load and store a lane */
        skip_memarg(reader);
        shr_skip(reader, 1);
    } else if (op > 0xff) {
        wrong(reader, "an instruction 0xfd that is not known");
    }
}

static bool is_plain(uint8_t opcode) {
    return opcode <= 0x01 || opcode == 0x0f || opcode == 0x1a || opcode == 0x1b ||
           (opcode >= 0x45 && opcode <= 0xc4) || opcode == 0xd1;
}

static void skip_immediates(struct shr_reader *reader, uint8_t opcode) {
    if (is_plain(opcode)) {
        return;
    }
    if (opcode >= 0x28 && opcode <= 0x3e) {
        skip_memarg(reader);
        return;
    }
    switch (opcode) {
    case 0x0e:
        skip_br_table(reader);
        return;
    case 0x1c:
        skip_typed_select(reader);
        return;
    case 0x0c: /* br, br_if */
    case 0x0d:
    case 0x20: /* locals, globals, table.get, table.set */
    case 0x21:
    case 0x22:
    case 0x23:
    case 0x24:
    case 0x25:
    case 0x26:
    case 0x3f: /* memory.size, memory.grow */
    case 0x40:
    case 0x41: /* i32.const */
    case 0xd2: /* ref.func */
        shr_skip_leb(reader, 32);
        return;
    case 0x42:
        shr_skip_leb(reader, 64);
        return;
    case 0x43:
        shr_skip(reader, 4);
        return;
    case 0x44:
        shr_skip(reader, 8);
        return;
    case 0xd0: /* ref.null */
        shr_skip_valtype(reader);
        return;
    case 0xfc:
        skip_misc(reader);
        return;
    case 0xfd:
        skip_simd(reader);
        return;
    default:
        wrong(reader, "an instruction that is not known");
    }
}

enum shr_op shr_read_instruction(struct shr_reader *reader) {
    size_t start = reader->at;
    enum shr_op op = SHR_OP_OTHER;
    uint8_t opcode = shr_read_u8(reader);
    switch (opcode) {
    case 0x02: /* block */
    case 0x04: /* if */
        skip_block_type(reader);
        op = SHR_OP_OPEN;
        break;
    case 0x03:
        skip_block_type(reader);
        op = SHR_OP_LOOP;
        break;
    case 0x05: /* else: neither opens nor ends anything here */
        break;
    case 0x0b:
        op = SHR_OP_END;
        break;
    case 0x10: /* call, return_call */
    case 0x12:
        shr_skip_leb(reader, 32);
        op = SHR_OP_CALL;
        break;
    case 0x11: /* the same, indirect */
    case 0x13:
        skip_leb_pair(reader);
        op = SHR_OP_CALL;
        break;
    default:
        skip_immediates(reader, opcode);
    }
    if (reader->wrong != NULL && reader->at > start) {
        reader->at = start; /* for the message */
    }
    return op;
}
