#include "cli/document.h"

#include "base/alloc.h"
#include "base/file.h"
#include "cli/database.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DOCUMENT_MAX ((size_t)1 << 30) /* bytes */

void shr_document_free(struct shr_document *document) {
    for (size_t i = 0; document->bytes != NULL && i < 2 * document->proof.reads.n; i++) {
        shr_buf_free(&document->bytes[i]);
    }
    free(document->bytes);
    free(document->proof.reads.claims);
    shr_buf_free(&document->proof_bytes);
    shr_buf_free(&document->input);
    shr_buf_free(&document->answer);
    free(document->view);
    *document = (struct shr_document){0};
}

/* A member of the document, or of its entry `n` (from 0; SIZE_MAX: of the document), as bytes. */
static int take_hex(struct shr_buf *out, const json_t *object, const char *name, size_t n,
                    struct shrewd_error *err) {
    char what[64];
    if (n == SIZE_MAX) {
        snprintf(what, sizeof what, "\"%s\"", name);
    } else {
        snprintf(what, sizeof what, "\"%s\" of entry %zu", name, n);
    }
    const json_t *text = json_object_get(object, name);
    if (!json_is_string(text)) {
        return shr_fail(err, SHREWD_INVALID, "%s: expected 0x hex, in quotes", what);
    }
    if (strlen(json_string_value(text)) != json_string_length(text)) {
        return shr_fail(err, SHREWD_INVALID, "%s: a zero byte is not a hex digit", what);
    }
    return shr_read_hex(out, json_string_value(text), what, err);
}

static int set_digest(uint8_t out[32], struct shr_bytes bytes, const char *what,
                      const char *has_32_bytes, struct shrewd_error *err) {
    if (bytes.len != 32) {
        return shr_fail(err, SHREWD_INVALID, "%s: %s has 32 bytes, not %zu", what, has_32_bytes,
                        bytes.len);
    }
    memcpy(out, bytes.data, 32);
    return 0;
}

static int take_digest(uint8_t out[32], const json_t *json, const char *name,
                       const char *has_32_bytes, struct shrewd_error *err) {
    char what[64];
    struct shr_buf bytes = {0};
    snprintf(what, sizeof what, "\"%s\"", name);
    int code = take_hex(&bytes, json, name, SIZE_MAX, err);
    if (code == 0) {
        code = set_digest(out, shr_buf_bytes(&bytes), what, has_32_bytes, err);
    }
    shr_buf_free(&bytes);
    return code;
}

static int take_entry(struct shr_document *document, const json_t *entry, size_t i,
                      struct shrewd_error *err) {
    struct shrewd_claim *claim = &document->proof.reads.claims[i];
    struct shr_buf *key = &document->bytes[2 * i], *value = key + 1;
    if (!json_is_object(entry)) {
        return shr_fail(err, SHREWD_INVALID, "entry %zu: expected {\"key\": .., \"value\": ..}", i);
    }
    int code = take_hex(key, entry, "key", i, err);
    claim->absent = json_is_null(json_object_get(entry, "value"));
    if (code == 0 && !claim->absent) {
        code = take_hex(value, entry, "value", i, err);
    }
    claim->key = key->data;
    claim->key_len = key->len;
    claim->value = value->data;
    claim->value_len = value->len;
    return code;
}

/* `must`: it cannot do without. */
static int take_height(struct shr_document *out, const json_t *json, bool must,
                       struct shrewd_error *err) {
    const json_t *height = json_object_get(json, "height");
    if (height == NULL && !must) {
        return 0;
    }
    json_int_t value = json_integer_value(height);
    if (!json_is_integer(height) || value < 0 || value > UINT32_MAX) {
        return shr_fail(err, SHREWD_INVALID,
                        "\"height\": expected a whole number from 0 to 4294967295");
    }
    out->has_height = true;
    out->proof.reads.block.height = (uint32_t)value;
    return 0;
}

/* The members that a view's document has besides. */
static int take_view(struct shr_document *out, const json_t *json, struct shrewd_error *err) {
    const json_t *view = json_object_get(json, "view");
    if (!json_is_string(view)) {
        return shr_fail(err, SHREWD_INVALID, "\"view\": expected the name of a view, in quotes");
    }
    out->view = shr_strdup(json_string_value(view));
    int code = take_digest(out->proof.module_hash, json, "module", "a module's SHA-256", err);
    if (code == 0) {
        code = take_hex(&out->input, json, "input", SIZE_MAX, err);
    }
    if (code == 0) {
        code = take_hex(&out->answer, json, "answer", SIZE_MAX, err);
    }
    out->proof.view = out->view;
    out->proof.input = out->input.data;
    out->proof.input_len = out->input.len;
    out->proof.answer = out->answer.data;
    out->proof.answer_len = out->answer.len;
    return code;
}

int shr_document_take(struct shr_document *out, const json_t *json, struct shrewd_error *err) {
    struct shrewd_proof *reads = &out->proof.reads;
    const json_t *inner = json_object_get(json, "result");
    json = json_is_object(inner) ? inner : json;
    const json_t *entries = json_object_get(json, "entries");
    bool is_view = json_object_get(json, "view") != NULL;
    if (!json_is_array(entries)) {
        return shr_fail(err, SHREWD_INVALID,
                        "expected a JSON object with \"root\", \"entries\" "
                        "and \"proof\", as doc/state-root.md describes it");
    }
    int code = take_hex(&out->proof_bytes, json, "proof", SIZE_MAX, err);
    reads->proof = out->proof_bytes.data;
    reads->proof_len = out->proof_bytes.len;
    if (code == 0) {
        code = take_digest(reads->block.root, json, "root", "a root", err);
    }
    if (code == 0) {
        code = take_height(out, json, is_view, err);
    }
    if (code == 0 && is_view) {
        code = take_view(out, json, err);
    }
    reads->n = json_array_size(entries);
    reads->claims = shr_alloc_array(reads->n + 1, sizeof *reads->claims);
    out->bytes = shr_alloc_array(2 * reads->n + 1, sizeof *out->bytes);
    for (size_t i = 0; code == 0 && i < reads->n; i++) {
        code = take_entry(out, json_array_get(entries, i), i, err);
    }
    return code;
}

int shr_document_read(struct shr_document *out, const char *arg, struct shrewd_error *err) {
    struct shr_buf text = {0};
    json_error_t fault;
    int code = shr_file_read(&text, strcmp(arg, "-") == 0 ? "/dev/stdin" : arg, DOCUMENT_MAX, err);
    if (code != 0) {
        return code;
    }
    json_t *json = json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES, &fault);
    code = json == NULL
               ? shr_fail(err, SHREWD_INVALID, "not JSON, at line %d: %s", fault.line, fault.text)
               : shr_document_take(out, json, err);
    json_decref(json);
    shr_buf_free(&text);
    return code != 0 ? shr_fail_in(err, code, "%.200s", arg) : 0;
}
