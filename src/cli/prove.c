/* shrewd prove: values, or a view's answer, and a proof of them against the state root, as 'shrewd
 * verify' reads it. */
#include "rpc/prove.h"
#include "base/alloc.h"
#include "cli/client.h"
#include "cli/database.h"
#include "cli/document.h"
#include "cli/output.h"
#include "lib/lib.h"

#include <stdlib.h>
#include <string.h>

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

/* Whether the document is of what was asked for; whether it is true is for 'shrewd verify'. */
static bool is_asked(const struct shr_document *document, const struct keys *keys,
                     const struct shr_config *config) {
    const struct shrewd_proof *reads = &document->proof.reads;
    bool height = config->height == SHR_UNSET ||
                  (document->has_height && reads->block.height == config->height);
    if (config->view != NULL) {
        return height && document->view != NULL && strcmp(document->view, config->view) == 0;
    }
    bool same = height && document->view == NULL && reads->n == keys->n;
    for (size_t i = 0; same && i < keys->n; i++) {
        same =
            shr_bytes_eq(shr_bytes(reads->claims[i].key, reads->claims[i].key_len), keys->bytes[i]);
    }
    return same;
}

static int check_reply(const struct shr_client *client, const json_t *result,
                       const struct keys *keys, const struct shr_config *config,
                       struct shrewd_error *err) {
    struct shr_document document = {0};
    struct shrewd_error why = {0};
    int code = shr_document_take(&document, result, &why);
    if (code != 0) {
        char *what = shr_asprintf("a proof: %s", why.message);
        code = shr_client_odd(client, what, err);
        free(what);
    } else if (!is_asked(&document, keys, config)) {
        code = shr_client_odd(client, "a proof of what it was asked", err);
    }
    shr_document_free(&document);
    return code;
}

/* Takes over `params`, and puts the height after them. `keys`: NULL for a view. */
static int ask_server(const char *method, json_t *params, const struct keys *keys,
                      const struct shr_config *config, struct shrewd_error *err) {
    struct shr_client *client = NULL;
    json_t *result = NULL;
    json_array_append_new(params, config->height == SHR_UNSET ? json_string("latest")
                                                              : json_integer(config->height));
    int code = shr_client_open(&client, config->server, err);
    if (code == 0) {
        code = shr_client_call(client, &result, method, params, err);
    } else {
        json_decref(params);
    }
    if (code == 0) {
        code = check_reply(client, result, keys, config, err);
    }
    if (code == 0) {
        shr_out_json(json_incref(result));
    }
    json_decref(result);
    shr_client_close(client);
    return code;
}

/* Frees it. */
static void print_document(struct shr_buf *text) {
    shr_out_json(json_loadb((const char *)text->data, text->len, 0, NULL));
    shr_buf_free(text);
}

static int ask_server_keys(const struct keys *keys, const struct shr_config *config,
                           struct shrewd_error *err) {
    json_t *list = json_array(), *params = json_array();
    for (size_t i = 0; i < keys->n; i++) {
        json_array_append_new(list, shr_json_hex(keys->bytes[i]));
    }
    json_array_append_new(params, list);
    return ask_server("shrewd_prove", params, keys, config, err);
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
        print_document(&text);
        shr_proved_free(&proved);
    }
    shrewd_close(db);
    return code;
}

static int prove_keys(const struct shr_config *config, struct shrewd_error *err) {
    struct keys keys = {0};
    int code = read_keys(&keys, config, err);
    if (code == 0) {
        code = config->server != NULL ? ask_server_keys(&keys, config, err)
                                      : ask_database(&keys, config, err);
    }
    for (size_t i = 0; i < keys.n; i++) {
        shr_buf_free(&keys.bufs[i]);
    }
    free(keys.bytes);
    free(keys.bufs);
    return code;
}

struct view_call {
    const struct shr_config *config;
    struct shr_view_call call;
    struct shrewd_error *err;
};

/* On a stack that guests can run on. */
static int ask_database_view(void *ctx) {
    const struct view_call *view = ctx;
    struct shrewd *db = NULL;
    struct shr_view_proved proved = {0};
    int code = shr_database_open(&db, view->config, SHREWD_READ_ONLY, true, view->err);
    if (code == 0) {
        code = shr_views_prove(shr_lib_views(db), &proved, &view->call, NULL, view->err);
    }
    if (code == 0) {
        struct shr_buf text = {0};
        shr_prove_write_view(&text, &proved, &view->call);
        print_document(&text);
    }
    shr_view_proved_free(&proved);
    shrewd_close(db);
    return code;
}

static int prove_view(const struct shr_config *config, struct shrewd_error *err) {
    struct shr_buf input = {0};
    struct view_call view = {
        .config = config, .call = {.view = config->view, .height = config->height}, .err = err};
    int code = config->input != NULL ? shr_read_hex(&input, config->input, "--input", err) : 0;
    view.call.input = shr_buf_bytes(&input);
    json_t *name = json_string(config->view);
    if (code == 0 && name == NULL) {
        code = shr_fail(err, SHREWD_INVALID, "--view: the view's name is not UTF-8 text");
    } else if (code == 0 && config->server != NULL) {
        json_t *params = json_array();
        json_array_append(params, name);
        json_array_append_new(params, shr_json_hex(view.call.input));
        code = ask_server("shrewd_view_proof", params, NULL, config, err);
    } else if (code == 0 && config->indexer == NULL) {
        code = shr_fail(err, SHREWD_INVALID,
                        "--view: the view runs once: give its module with --indexer FILE");
    } else if (code == 0) {
        code = shr_on_guest_stack(ask_database_view, &view, err);
    }
    json_decref(name);
    shr_buf_free(&input);
    return code;
}

int shr_cmd_prove(struct shr_config *config) {
    struct shrewd_error err = {0};
    int code;
    if ((config->view != NULL) == (config->n_args > 0)) {
        code = shr_fail(&err, SHREWD_INVALID,
                        config->view != NULL
                            ? "give keys or --view, not both: a view's reads are proven by itself"
                            : "'shrewd prove' needs KEY..., or --view NAME\nfor example:\n%s",
                        shr_commands[SHR_COMMAND_PROVE].examples);
    } else {
        code = config->view != NULL ? prove_view(config, &err) : prove_keys(config, &err);
    }
    return code == 0 ? SHR_EXIT_OK : shr_report(&err);
}
