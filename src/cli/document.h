/* document.h: proof documents (doc/state-root.md, "The document") as read from a file. */
#ifndef SHR_CLI_DOCUMENT_H
#define SHR_CLI_DOCUMENT_H

#include "base/buf.h"
#include "shrewd/prove.h"

#include <jansson.h>

/* {0} is empty; shr_document_free. */
struct shr_document {
    /* Of a document that proves keys only, `view` is NULL and only `reads` is filled in. */
    struct shrewd_view_proof proof;
    bool has_height; /* it says so; of a view's it always does */
    /* private: what the proof points into */
    struct shr_buf *bytes; /* of entry i: 2i its key, 2i + 1 its value */
    struct shr_buf proof_bytes, input, answer;
    char *view;
};

/* `arg`: a file, or "-": standard input; a server's whole reply will do. SHREWD_INVALID, naming
 * the member, when it is no such document; the file's error when it cannot be read. */
int shr_document_read(struct shr_document *out, const char *arg, struct shrewd_error *err);
/* The same of what was read already; keeps nothing of `json`. */
int shr_document_take(struct shr_document *out, const json_t *json, struct shrewd_error *err);
void shr_document_free(struct shr_document *document);

#endif
