/* reader.h: reading a wasm binary: LEB128 numbers, and instructions with what follows them. */
#ifndef SHR_WASM_READER_H
#define SHR_WASM_READER_H

#include "base/buf.h"

struct shr_reader {
    struct shr_bytes bytes;
    size_t at;
    const char *wrong; /* static text: what was wrong at `at`; reading goes on as zeros */
};

uint8_t shr_read_u8(struct shr_reader *reader);
uint32_t shr_read_u32(struct shr_reader *reader);            /* LEB128 */
void shr_skip_leb(struct shr_reader *reader, unsigned bits); /* of either sign */
void shr_skip(struct shr_reader *reader, size_t len);
/* A value type, as locals have. */
void shr_skip_valtype(struct shr_reader *reader);

/* What an instruction is, as far as marking needs to know. */
enum shr_op { SHR_OP_OTHER, SHR_OP_LOOP, SHR_OP_OPEN, SHR_OP_END, SHR_OP_CALL };

/* Reads one instruction with its immediates. */
enum shr_op shr_read_instruction(struct shr_reader *reader);

#endif
