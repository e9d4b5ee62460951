/* shrewd prove: values and a proof of them against the state root, as 'shrewd verify' reads it. */
#include "rpc/prove.h"
#include "base/alloc.h"
#include "cli/client.h"
#include "cli/database.h"
#include "cli/output.h"
#include "lib/lib.h"

#include <stdlib.h>

struct keys {
    struct shr_buf *bufs;
    struct shr_bytes *bytes;
    size_t n;
};

static int read_keys(struct keys *out, const struct shr_config *config, struct shrewd_error *err) {
    size_t n = (size_t)config->n_args;
    int code = 0;
    out->bufs = shr_alloc_array(n, sizeof *out->bufs);
    out->bytes = shr_alloc_array(n, sizeof *out->bytes);
    for (; code == 0 && out->n < n; out->n++) {
        const char *text = config->args[out->n];
        if (text[0] == '0' && (text[1] | 0x20) == 'x') {
            code = shr_read_hex(&out->bufs[out->n], text, "KEY", err);
        } else {
            shr_buf_add_str(&out->bufs[out->n], text);
        }
        out->bytes[out->n] = shr_buf_bytes(&out->bufs[out->n]);
    }
    return code;
}

static int ask_server(const struct keys *keys, const struct shr_config *config,
                      struct shrewd_error *err) {
    struct shr_client *client = NULL;
    json_t *result = NULL;
    int code = shr_client_open(&client, config->server, err);
    if (code == 0) {
        json_t *list = json_array();
        for (size_t i = 0; i < keys->n; i++) {
            json_array_append_new(list, shr_json_hex(keys->bytes[i]));
        }
        json_t *params = json_array();
        json_array_append_new(params, list);
        json_array_append_new(params, config->height == SHR_UNSET ? json_string("latest")
                                                                  : json_integer(config->height));
        code = shr_client_call(client, &result, "shrewd_prove", params, err);
    }
    if (code == 0) {
        shr_out_json(result);
    }
    shr_client_close(client);
    return code;
}

static int ask_database(const struct keys *keys, const struct shr_config *config,
                        struct shrewd_error *err) {
    struct shrewd *db = NULL;
    struct shr_proved proved;
    int code = shr_database_open(&db, config, SHREWD_READ_ONLY, false, err);
    if (code != 0) {
        return code;
    }
    code = shr_prove(&proved, shr_lib_state(db), keys->bytes, keys->n, config->height, err);
    if (code == 0) {
        struct shr_buf text = {0};
        shr_prove_write(&text, &proved, keys->bytes);
        shr_out_json(json_loadb((const char *)text.data, text.len, 0, NULL));
        shr_buf_free(&text);
        shr_proved_free(&proved);
    }
    shrewd_close(db);
    return code;
}

int shr_cmd_prove(struct shr_config *config) {
    struct shrewd_error err = {0};
    struct keys keys = {0};
    int code = read_keys(&keys, config, &err);
    if (code == 0) {
        code = config->server != NULL ? ask_server(&keys, config, &err)
                                      : ask_database(&keys, config, &err);
    }
    for (size_t i = 0; i < keys.n; i++) {
        shr_buf_free(&keys.bufs[i]);
    }
    free(keys.bytes);
    free(keys.bufs);
    return code == 0 ? SHR_EXIT_OK : shr_report(&err);
}
