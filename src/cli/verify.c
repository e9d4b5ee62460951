/* shrewd verify: a proof against a state root. It needs no database, no node and no server: the
 * document has everything, and the verifier is that of shrewd/proof.h. */
#include "base/alloc.h"
#include "base/file.h"
#include "base/hex.h"
#include "cli/database.h"
#include "cli/output.h"
#include "shrewd/proof.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DOCUMENT_MAX ((size_t)1 << 30) /* bytes */

struct document {
    uint8_t root[32];
    struct shr_buf proof;
    struct shr_buf *keys, *values;
    struct shrewd_claim *claims;
    size_t n;
};

static void document_free(struct document *document) {
    for (size_t i = 0; i < document->n; i++) {
        shr_buf_free(&document->keys[i]);
        shr_buf_free(&document->values[i]);
    }
    free(document->keys);
    free(document->values);
    free(document->claims);
    shr_buf_free(&document->proof);
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

static int take_root(uint8_t root[32], struct shr_buf *bytes, const char *what,
                     struct shrewd_error *err) {
    if (bytes->len != 32) {
        return shr_fail(err, SHREWD_INVALID, "%s: a root has 32 bytes, not %zu", what, bytes->len);
    }
    memcpy(root, bytes->data, 32);
    return 0;
}

static int take_entry(struct document *document, const json_t *entry, size_t i,
                      struct shrewd_error *err) {
    struct shrewd_claim *claim = &document->claims[i];
    if (!json_is_object(entry)) {
        return shr_fail(err, SHREWD_INVALID, "entry %zu: expected {\"key\": .., \"value\": ..}", i);
    }
    int code = take_hex(&document->keys[i], entry, "key", i, err);
    claim->absent = json_is_null(json_object_get(entry, "value"));
    if (code == 0 && !claim->absent) {
        code = take_hex(&document->values[i], entry, "value", i, err);
    }
    claim->key = document->keys[i].data;
    claim->key_len = document->keys[i].len;
    claim->value = document->values[i].data;
    claim->value_len = document->values[i].len;
    return code;
}

static int take_document(struct document *out, const json_t *json, struct shrewd_error *err) {
    struct shr_buf root = {0};
    /* A server's whole reply will do. */
    const json_t *inner = json_object_get(json, "result");
    json = json_is_object(inner) ? inner : json;
    const json_t *entries = json_object_get(json, "entries");
    if (!json_is_array(entries)) {
        return shr_fail(err, SHREWD_INVALID,
                        "expected a JSON object with \"root\", \"entries\" "
                        "and \"proof\", as doc/state-root.md describes it");
    }
    int code = take_hex(&out->proof, json, "proof", SIZE_MAX, err);
    if (code == 0) {
        code = take_hex(&root, json, "root", SIZE_MAX, err);
    }
    if (code == 0) {
        code = take_root(out->root, &root, "\"root\"", err);
    }
    out->n = json_array_size(entries);
    out->keys = shr_alloc_array(out->n + 1, sizeof *out->keys);
    out->values = shr_alloc_array(out->n + 1, sizeof *out->values);
    out->claims = shr_alloc_array(out->n + 1, sizeof *out->claims);
    for (size_t i = 0; code == 0 && i < out->n; i++) {
        code = take_entry(out, json_array_get(entries, i), i, err);
    }
    shr_buf_free(&root);
    return code;
}

static int read_document(struct document *out, const char *arg, struct shrewd_error *err) {
    struct shr_buf text = {0};
    json_error_t fault;
    int code = shr_file_read(&text, strcmp(arg, "-") == 0 ? "/dev/stdin" : arg, DOCUMENT_MAX, err);
    if (code != 0) {
        return code;
    }
    json_t *json = json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES, &fault);
    code = json == NULL
               ? shr_fail(err, SHREWD_INVALID, "not JSON, at line %d: %s", fault.line, fault.text)
               : take_document(out, json, err);
    json_decref(json);
    shr_buf_free(&text);
    return code != 0 ? shr_fail_in(err, code, "%.200s", arg) : 0;
}

static int verify(struct document *document, struct shrewd_error *err) {
    size_t at = 0;
    int code = shrewd_proof_verify(document->root, document->proof.data, document->proof.len,
                                   document->claims, document->n, &at);
    if (code == 0) {
        return 0;
    }
    const char *why = shrewd_proof_strerror(code);
    bool claim = code == SHREWD_UNPROVEN_OTHER_VALUE || code == SHREWD_UNPROVEN_IS_ABSENT ||
                 code == SHREWD_UNPROVEN_IS_PRESENT;
    return claim ? shr_fail(err, SHREWD_UNPROVEN, "not proven: entry %zu: %s", at, why)
                 : shr_fail(err, SHREWD_UNPROVEN, "not proven: %s (byte %zu of %zu)", why, at,
                            document->proof.len);
}

static void print_proven(const struct shr_config *config, const struct document *document) {
    char root[65];
    shr_hex_write(root, shr_bytes(document->root, 32));
    if (config->json) {
        json_t *object = json_object();
        json_object_set_new(object, "proven", json_true());
        json_object_set_new(object, "entries", json_integer((json_int_t)document->n));
        json_object_set_new(object, "root", shr_json_hex(shr_bytes(document->root, 32)));
        json_object_set_new(object, "root_given", json_boolean(config->root != NULL));
        shr_out_json(object);
        return;
    }
    printf("proven: %zu %s, against the root 0x%s\n", document->n,
           document->n == 1 ? "entry" : "entries", root);
    if (config->root == NULL) {
        fputs("shrewd: the root is the document's own: compare it with one you trust, or give that "
              "with --root\n",
              stderr);
    }
}

int shr_cmd_verify(struct shr_config *config) {
    struct shrewd_error err = {0};
    struct document document = {0};
    struct shr_buf root = {0};
    int code = read_document(&document, config->args[0], &err);
    if (code == 0 && config->root != NULL) {
        code = shr_read_hex(&root, config->root, "--root", &err);
        code = code != 0 ? code : take_root(document.root, &root, "--root", &err);
    }
    if (code == 0) {
        code = verify(&document, &err);
    }
    int status = code == 0 ? SHR_EXIT_OK : shr_report(&err);
    if (code == 0) {
        print_proven(config, &document);
    }
    shr_buf_free(&root);
    document_free(&document);
    return status;
}
