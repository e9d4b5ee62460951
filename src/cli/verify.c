/* shrewd verify: a proof against a state root. It needs no database, no node and no server: the
 * document has everything; of a view's answer, the module besides, which runs once more on what
 * the document proves. */
#include "base/hex.h"
#include "cli/database.h"
#include "cli/document.h"
#include "cli/output.h"
#include "view/prove.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define INPUT_SHOWN 64u /* bytes */

struct verify {
    const struct shr_config *config;
    struct shr_document document;
    struct shrewd_error err;
};

static int check_height(struct verify *verify) {
    uint32_t wanted = verify->config->height;
    uint32_t said = verify->document.proof.reads.block.height;
    if (wanted == SHR_UNSET || (verify->document.has_height && said == wanted)) {
        return 0;
    }
    return verify->document.has_height
               ? shr_fail(&verify->err, SHREWD_UNPROVEN,
                          "not proven: the document is of height %" PRIu32 ", and --height is "
                          "%" PRIu32,
                          said, wanted)
               : shr_fail(&verify->err, SHREWD_UNPROVEN,
                          "not proven: the document does not say of which height it is, and "
                          "--height is %" PRIu32,
                          wanted);
}

/* What --view and --input say was asked, if they do; with --view alone, no input. */
static int check_question(struct verify *verify) {
    const struct shr_config *config = verify->config;
    const struct shrewd_view_proof *proof = &verify->document.proof;
    struct shr_buf input = {0};
    if (config->view != NULL && (proof->view == NULL || strcmp(proof->view, config->view) != 0)) {
        return shr_fail(&verify->err, SHREWD_UNPROVEN,
                        "not proven: the document is of %s%.100s, and --view is %.100s",
                        proof->view == NULL ? "no view" : "the view ",
                        proof->view == NULL ? "" : proof->view, config->view);
    }
    if (config->view == NULL && config->input == NULL) {
        return 0;
    }
    int code =
        config->input != NULL ? shr_read_hex(&input, config->input, "--input", &verify->err) : 0;
    if (code == 0 &&
        !shr_bytes_eq(shr_buf_bytes(&input), shr_bytes(proof->input, proof->input_len))) {
        code = shr_fail(&verify->err, SHREWD_UNPROVEN,
                        "not proven: the document is of another input than %s",
                        config->input != NULL ? "--input" : "none, and there is no --input");
    }
    shr_buf_free(&input);
    return code;
}

static int check_keys(struct verify *verify) {
    const struct shrewd_proof *proof = &verify->document.proof.reads;
    return shr_proof_check(proof->block.root, shr_bytes(proof->proof, proof->proof_len),
                           proof->claims, proof->n, &verify->err);
}

/* On a stack that guests can run on. */
static int check_view(void *ctx) {
    struct verify *verify = ctx;
    const struct shr_config *config = verify->config;
    const struct shrewd_view_proof *proof = &verify->document.proof;
    struct shrewd_verifier *verifier = NULL;
    struct shrewd_view_options limits;
    if (config->indexer == NULL) {
        return shr_fail(&verify->err, SHREWD_INVALID,
                        "the document proves an answer of the view '%.100s': give the module, "
                        "which is to answer again, with --indexer FILE",
                        proof->view);
    }
    shr_config_views(&limits, config);
    int code =
        shrewd_verifier_open(&verifier, config->indexer, config->cache_dir, &limits, &verify->err);
    if (code == 0) {
        code = shrewd_verify_view(verifier, proof->reads.block.root, proof->reads.block.height,
                                  proof, &verify->err);
    }
    shrewd_verifier_close(verifier);
    return code;
}

static void print_json(const struct shr_config *config, const struct shr_document *document) {
    const struct shrewd_view_proof *proof = &document->proof;
    json_t *object = json_object();
    json_object_set_new(object, "proven", json_true());
    if (proof->view != NULL) {
        json_object_set_new(object, "view", json_string(proof->view));
        json_object_set_new(object, "input",
                            shr_json_hex(shr_bytes(proof->input, proof->input_len)));
        json_object_set_new(object, "height", json_integer(proof->reads.block.height));
        json_object_set_new(object, "result",
                            shr_json_hex(shr_bytes(proof->answer, proof->answer_len)));
    }
    json_object_set_new(object, "entries", json_integer((json_int_t)proof->reads.n));
    json_object_set_new(object, "root", shr_json_hex(shr_bytes(proof->reads.block.root, 32)));
    json_object_set_new(object, "root_given", json_boolean(config->root != NULL));
    shr_out_json(object);
}

static void print_proven(const struct shr_config *config, const struct shr_document *document) {
    const struct shrewd_view_proof *proof = &document->proof;
    char root[65];
    shr_hex_write(root, shr_bytes(proof->reads.block.root, 32));
    if (config->json) {
        print_json(config, document);
        return;
    }
    if (proof->view != NULL) {
        struct shr_buf input = {0};
        bool cut = proof->input_len > INPUT_SHOWN;
        shr_hex_encode(&input, shr_bytes(proof->input, cut ? INPUT_SHOWN : proof->input_len));
        shr_out_hex(shr_bytes(proof->answer, proof->answer_len));
        fprintf(stderr,
                "shrewd: proven: what the view '%s' answers to 0x%s%s at height %" PRIu32
                ", having read %zu %s, against the root 0x%s\n",
                proof->view, shr_buf_cstr(&input), cut ? ".." : "", proof->reads.block.height,
                proof->reads.n, proof->reads.n == 1 ? "key" : "keys", root);
        shr_buf_free(&input);
    } else {
        printf("proven: %zu %s, against the root 0x%s\n", proof->reads.n,
               proof->reads.n == 1 ? "entry" : "entries", root);
    }
    if (config->root == NULL) {
        fputs("shrewd: the root is the document's own: compare it with one you trust, or give that "
              "with --root\n",
              stderr);
    }
}

int shr_cmd_verify(struct shr_config *config) {
    struct verify verify = {.config = config};
    struct shrewd_view_proof *proof = &verify.document.proof;
    int code = shr_document_read(&verify.document, config->args[0], &verify.err);
    if (code == 0 && config->root != NULL) {
        code = shr_read_root(proof->reads.block.root, config->root, "--root", &verify.err);
    }
    if (code == 0) {
        code = check_height(&verify);
    }
    if (code == 0) {
        code = check_question(&verify);
    }
    if (code == 0) {
        code = proof->view != NULL ? shr_on_guest_stack(check_view, &verify, &verify.err)
                                   : check_keys(&verify);
    }
    int status = code == 0 ? SHR_EXIT_OK : shr_report(&verify.err);
    if (code == 0) {
        print_proven(config, &verify.document);
    }
    shr_document_free(&verify.document);
    return status;
}
