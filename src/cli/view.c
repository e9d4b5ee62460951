/* shrewd view and shrewd preview: one call of a view, from a database or a running server. */
#include "base/alloc.h"
#include "base/hex.h"
#include "cli/client.h"
#include "cli/database.h"
#include "cli/output.h"

#include <stdlib.h>
#include <string.h>

struct view_call {
    const struct shr_config *config;
    struct shr_buf block; /* preview only */
    const char *view;
    struct shr_buf input;
    uint32_t height; /* SHR_UNSET: latest */
    bool preview;
    uint8_t *answer;
    size_t answer_len;
    struct shrewd_error *err;
};

/* JSON output tells the height, so latest is settled first. */
static bool must_settle(const struct view_call *call) {
    return call->config->json && call->height == SHR_UNSET;
}

static int settle_height(struct view_call *call, struct shrewd *db) {
    struct shrewd_block tip;
    if (!must_settle(call)) {
        return 0;
    }
    int code = shrewd_tip(db, &tip, call->err);
    if (code == 0) {
        call->height = tip.height;
    }
    return code;
}

static int ask_database(void *ctx) {
    struct view_call *call = ctx;
    struct shrewd *db = NULL;
    int code = shr_database_open(&db, call->config, SHREWD_READ_ONLY, true, call->err);
    if (code != 0) {
        return code;
    }
    code = settle_height(call, db);
    if (code == 0 && call->preview) {
        code =
            shrewd_preview(db, &call->answer, &call->answer_len, call->block.data, call->block.len,
                           call->view, call->input.data, call->input.len, call->height, call->err);
    } else if (code == 0) {
        code = shrewd_view(db, &call->answer, &call->answer_len, call->view, call->input.data,
                           call->input.len, call->height, call->err);
    }
    shrewd_close(db);
    return code;
}

static int ask_server(struct view_call *call) {
    struct shr_client *client = NULL;
    struct shr_buf answer = {0};
    int code = shr_client_open(&client, call->config->server, call->err);
    if (code == 0 && must_settle(call)) {
        code = shr_client_height(client, &call->height, call->err);
    }
    if (code != 0) {
        goto out;
    }
    json_t *height = call->height == SHR_UNSET ? json_string("latest") : json_integer(call->height);
    json_t *params = json_array();
    if (call->preview) {
        json_array_append_new(params, shr_json_hex(shr_buf_bytes(&call->block)));
    }
    json_t *view = json_string(call->view);
    if (view == NULL) {
        json_decref(params);
        json_decref(height);
        code = shr_fail(call->err, SHREWD_INVALID, "the view's name is not UTF-8 text");
        goto out;
    }
    json_array_append_new(params, view);
    json_array_append_new(params, shr_json_hex(shr_buf_bytes(&call->input)));
    json_array_append_new(params, height);
    code = shr_client_call_hex(
        client, &answer, call->preview ? "metashrew_preview" : "metashrew_view", params, call->err);
    call->answer = answer.data;
    call->answer_len = answer.len;
out:
    shr_client_close(client);
    return code;
}

static void print_answer(const struct view_call *call) {
    struct shr_bytes answer = shr_bytes(call->answer, call->answer_len);
    if (!call->config->json) {
        shr_out_hex(answer);
        return;
    }
    json_t *object = json_object();
    json_object_set_new(object, "view", json_string(call->view));
    /* A preview answers as of the block on top. */
    json_int_t height = (json_int_t)call->height + (call->preview ? 1 : 0);
    json_object_set_new(object, "height", json_integer(height));
    json_object_set_new(object, "result", shr_json_hex(answer));
    shr_out_json(object);
}

static int run_call(const struct shr_config *config, bool preview) {
    struct shrewd_error err = {0};
    struct view_call call = {
        .config = config, .height = config->height, .preview = preview, .err = &err};
    int at = preview ? 1 : 0;
    int code = preview ? shr_read_block(&call.block, config->args[0], &err) : 0;
    call.view = config->args[at];
    if (code == 0 && config->n_args > at + 1) {
        code = shr_read_hex(&call.input, config->args[at + 1], "HEX", &err);
    }
    if (code == 0) {
        code = config->server != NULL ? ask_server(&call)
                                      : shr_on_guest_stack(ask_database, &call, &err);
    }
    int status = code == 0 ? SHR_EXIT_OK : shr_report(&err);
    if (code == 0) {
        print_answer(&call);
    }
    free(call.answer);
    shr_buf_free(&call.block);
    shr_buf_free(&call.input);
    return status;
}

int shr_cmd_view(struct shr_config *config) {
    return run_call(config, false);
}

int shr_cmd_preview(struct shr_config *config) {
    return run_call(config, true);
}
