/* shrewd dump: every key and its value at a height. Prints nothing that depends on the machine,
 * the time or the path: two databases of one chain and module give the same bytes. */
#include "base/hex.h"
#include "cli/database.h"
#include "cli/output.h"

#include <stdio.h>
#include <string.h>

struct dump {
    bool json;
    struct shr_buf line; /* kept between keys */
};

static bool print_pair(void *ctx, const uint8_t *key, size_t key_len, const uint8_t *value,
                       size_t value_len) {
    struct dump *dump = ctx;
    struct shr_buf *line = &dump->line;
    shr_buf_clear(line);
    shr_buf_reserve(line, 2 * (key_len + value_len) + 32);
    if (dump->json) {
        shr_buf_add_str(line, "{\"key\":\"0x");
        shr_hex_encode(line, shr_bytes(key, key_len));
        shr_buf_add_str(line, "\",\"value\":\"0x");
        shr_hex_encode(line, shr_bytes(value, value_len));
        shr_buf_add_str(line, "\"}\n");
    } else {
        shr_hex_encode(line, shr_bytes(key, key_len));
        shr_buf_add_u8(line, ' ');
        shr_hex_encode(line, shr_bytes(value, value_len));
        shr_buf_add_u8(line, '\n');
    }
    shr_out_put(shr_buf_bytes(line));
    return shr_out_ok();
}

int shr_cmd_dump(struct shr_config *config) {
    struct shrewd_error err = {0};
    struct shr_buf prefix = {0};
    struct shrewd *db = NULL;
    struct dump dump = {.json = config->json};
    int code = shr_read_prefix(&prefix, config->prefix, &err);
    if (code == 0) {
        code = shr_database_open(&db, config, SHREWD_READ_ONLY, false, &err);
    }
    /* Without a block there is no state, which is not an empty one: that is an error. */
    if (code == 0) {
        code = shrewd_each(db, prefix.data, prefix.len, config->height, print_pair, &dump, &err);
    }
    int status = code == 0 ? SHR_EXIT_OK : shr_report(&err);
    shrewd_close(db);
    shr_buf_free(&dump.line);
    shr_buf_free(&prefix);
    return status;
}
