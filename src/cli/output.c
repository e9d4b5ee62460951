#include "cli/output.h"

#include "base/alloc.h"
#include "base/hex.h"
#include "chain/hash.h"
#include "cli/config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* errno of the first write that failed; stdio keeps only a flag. */
static int write_errno;

void shr_out_put(struct shr_bytes bytes) {
    if (fwrite(bytes.data, 1, bytes.len, stdout) != bytes.len && write_errno == 0) {
        write_errno = errno;
    }
}

void shr_out_hex(struct shr_bytes bytes) {
    struct shr_buf line = {0};
    shr_buf_reserve(&line, bytes.len * 2 + 3);
    shr_buf_add_str(&line, "0x");
    shr_hex_encode(&line, bytes);
    shr_buf_add_u8(&line, '\n');
    shr_out_put(shr_buf_bytes(&line));
    shr_buf_free(&line);
}

void shr_out_json(json_t *value) {
    char *text = json_dumps(value, JSON_INDENT(2) | JSON_ENCODE_ANY);
    json_decref(value);
    if (text == NULL) {
        shr_out_of_memory(0);
    }
    shr_out_put(shr_bytes_str(text));
    shr_out_put(shr_bytes("\n", 1));
    free(text);
}

json_t *shr_json_hex(struct shr_bytes bytes) {
    struct shr_buf text = {0};
    shr_buf_add_str(&text, "0x");
    shr_hex_encode(&text, bytes);
    json_t *value = json_stringn((const char *)text.data, text.len);
    shr_buf_free(&text);
    return value;
}

json_t *shr_json_hash(const uint8_t hash[32]) {
    struct shr_hash copy;
    char text[SHR_HASH_HEX_LEN + 1];
    memcpy(copy.b, hash, sizeof copy.b);
    shr_hash_hex(text, &copy);
    return json_string(text);
}

json_t *shr_json_digest(const uint8_t digest[32]) {
    char text[65];
    shr_hex_write(text, shr_bytes(digest, 32));
    return json_string(text);
}

void shr_human_bytes(char out[64], uint64_t bytes) {
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB"};
    double size = (double)bytes / 1024;
    size_t unit = 0;
    while (size >= 1024 && unit + 1 < sizeof units / sizeof units[0]) {
        size /= 1024;
        unit++;
    }
    if (bytes < 1024) {
        snprintf(out, 64, "%" PRIu64 " bytes", bytes);
    } else {
        snprintf(out, 64, "%.1f %s (%" PRIu64 " bytes)", size, units[unit], bytes);
    }
}

bool shr_out_ok(void) {
    return write_errno == 0 && !ferror(stdout);
}

int shr_out_close(int status) {
    errno = 0;
    if (fflush(stdout) != 0 && write_errno == 0) {
        write_errno = errno;
    }
    if (shr_out_ok()) {
        return status;
    }
    if (write_errno != EPIPE) {
        fprintf(stderr, "shrewd: cannot write standard output: %s\n",
                write_errno != 0 ? strerror(write_errno) : "it was cut short");
    }
    return status != SHR_EXIT_OK ? status : SHR_EXIT_FAILURE;
}
