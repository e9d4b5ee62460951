/* Arbitrary bytes as a proof document, as `shrewd verify` reads one: nothing may crash, hang or
 * leak, every failure carries its code and a message, and what is read can be verified or not. */
#include "cli/document.h"
#include "shrewd/proof.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool held) {
    if (!held) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    struct shr_document document = {0};
    struct shrewd_error err = {0};
    char path[64];
    int fd = memfd_create("document", MFD_CLOEXEC);
    must(fd >= 0 && write(fd, data, len) == (ssize_t)len);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int code = shr_document_read(&document, path, &err);
    must(code <= 0 && (code == 0 || (err.code == code && err.message[0] != 0)));
    if (code == 0) {
        const struct shrewd_proof *reads = &document.proof.reads;
        must(reads->n == 0 || reads->claims != NULL);
        int verdict = shrewd_proof_verify(reads->block.root, reads->proof, reads->proof_len,
                                          reads->claims, reads->n, NULL);
        must(verdict <= 0);
    }
    shr_document_free(&document);
    close(fd);
    return 0;
}
