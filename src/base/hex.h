/* hex.h: hexadecimal text. */
#ifndef SHR_BASE_HEX_H
#define SHR_BASE_HEX_H

#include "base/buf.h"

/* Appends lower-case hex digits, without prefix. */
void shr_hex_encode(struct shr_buf *out, struct shr_bytes bytes);
/* Writes 2*len digits and a NUL at `out`. */
void shr_hex_write(char *out, struct shr_bytes bytes);
/* Appends the bytes of `text` (an optional 0x or 0X, then an even number of digits).
 * False, and nothing appended, when the text is not hex; *bad_at (may be NULL) is then the
 * offset of the first wrong character, or the text's length when a digit is missing. */
bool shr_hex_decode(struct shr_buf *out, const char *text, size_t len, size_t *bad_at);

#endif
