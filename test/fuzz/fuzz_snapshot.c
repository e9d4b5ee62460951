/* Arbitrary bytes as a manifest, and as the inside of a part: nothing may crash, hang or leak, and
 * every failure carries its code and a message. The first byte picks which: 255 is the inside of a
 * file of a base, packed well. */
#include "base/alloc.h"
#include "chain/digest.h"
#include "snapshot/base.h"
#include "snapshot/snapshot.h"
#include "snapshot/stream.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct shr_stop stop;

static void check(int code, const struct shrewd_error *err) {
    if (code > 0 || (code != 0 && (err->code != code || err->message[0] == 0))) {
        abort();
    }
}

static void manifest(struct shr_bytes text) {
    struct shr_manifest out;
    struct shr_buf again = {0};
    struct shrewd_error err = {0};
    int code = shr_manifest_decode(&out, text, "fuzz", &err);
    check(code, &err);
    if (code == 0) {
        shr_manifest_encode(&again, &out);
        if (!shr_bytes_eq(shr_buf_bytes(&again), text)) {
            abort(); /* there is one form only */
        }
        shr_manifest_free(&out);
    }
    shr_buf_free(&again);
}

enum inside { PART_RAW, PART, BASE };

static void apply_base(const struct shr_part *part, struct shr_state *state, const char *path) {
    struct shrewd_error err = {0};
    struct shr_found *found = NULL;
    struct shr_block_record made;
    check(shr_found_begin(&found, state, part->to, "/tmp", SHR_FOUND_MEMORY, &err), &err);
    int code = shr_base_apply(part, found, path, &stop, &err);
    check(code, &err);
    if (code == 0) {
        check(shr_found_end(found, &made, &err), &err);
    }
    shr_found_free(found);
}

/* Whatever is inside, packed well: what lies behind the check of the hash. */
static void apply(struct shr_bytes inside, enum inside kind) {
    static const struct shr_identity identity = {.start_height = 1};
    struct shr_part part = {.from = kind == BASE ? 3 : 1, .to = 3, .base = kind == BASE};
    struct shrewd_error err = {0};
    struct shr_zout *file = NULL;
    struct shr_state *state = NULL;
    int fd = memfd_create("part", MFD_CLOEXEC);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (kind != PART_RAW) {
        check(shr_zout_open(&file, path, &err), &err);
        check(shr_zout_put(file, inside, &err), &err);
        check(shr_zout_close(file, &part.sha256, &part.bytes, &err), &err);
    } else if (write(fd, inside.data, inside.len) != (ssize_t)inside.len) {
        abort();
    }
    check(shr_state_open(&state, shr_store_new_memory(), &identity, false, &err), &err);
    shr_state_set_cache(state, 0);
    if (kind == BASE) {
        apply_base(&part, state, path);
    } else {
        check(shr_part_apply(&part, state, path, &stop, &err), &err);
    }
    shr_state_close(state);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    static bool ready;
    if (!ready) {
        ready = shr_stop_init(&stop) == 0;
    }
    if (len == 0) {
        return 0;
    }
    struct shr_bytes rest = shr_bytes(data + 1, len - 1);
    if (data[0] == 255) {
        apply(rest, BASE);
    } else if (data[0] % 3 == 0) {
        manifest(rest);
    } else {
        apply(rest, data[0] % 3 == 1 ? PART : PART_RAW);
    }
    return 0;
}
