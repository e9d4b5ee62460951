#include "cli/snapshots.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/prompt.h"
#include "cli/database.h"
#include "wasm/guest.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define NICE 10
#define RETRY_MS 60000

/* --- Beginning with one --- */

static int wanted_module(struct shr_hash *out, const char *path, struct shrewd_error *err) {
    struct shr_engine *engine = NULL;
    struct shr_module *module = NULL;
    int code = shr_engine_new(&engine, err);
    if (code == 0) {
        code = shr_module_open(&module, engine, path, NULL, err);
    }
    if (code == 0) {
        *out = *shr_module_hash(module);
    }
    shr_module_free(module);
    shr_engine_free(engine);
    return code;
}

static enum shr_keep_root wanted_roots(const struct shr_config *config) {
    /* In the order of the flag's words. */
    static const enum shr_keep_root wanted[] = {SHR_KEEP_ROOT_YES, SHR_KEEP_ROOT_NO};
    return config->state_root == SHR_UNSET ? SHR_KEEP_ROOT_ANY : wanted[config->state_root];
}

int shr_snapshot_fetch(struct shr_snap_summary *out, const struct shr_config *config,
                       const char *dir, const char *place, const struct shr_hash *genesis,
                       struct shr_stop *stop, struct shrewd_error *err) {
    struct shr_hash module, root;
    struct shr_snap_restore ask = {
        .from = place,
        .db_path = dir,
        .genesis = genesis,
        .start_height = config->start_block,
        .keep_root = wanted_roots(config),
        .grow_dir = config->snapshot_directory,
        .cache_bytes = (size_t)config->cache_mb << 20,
        .stop = stop,
    };
    int code = 0;
    if (config->indexer != NULL) {
        ask.module_hash = &module;
        code = wanted_module(&module, config->indexer, err);
    }
    if (code == 0 && config->expect_root != NULL) {
        ask.root = &root;
        code = shr_read_root(root.b, config->expect_root, "--expect-root", err);
    }
    return code != 0 ? code : shr_snap_restore(out, &ask, err);
}

/* --- Keeping one growing --- */

static bool has_manifest(const char *dir) {
    char *path = shr_asprintf("%s/" SHR_MANIFEST_NAME, dir);
    bool found = access(path, F_OK) == 0;
    free(path);
    return found;
}

int shr_snapshots_may_start(const struct shr_config *config, const struct shr_hash *genesis,
                            struct shrewd_error *err) {
    const char *dir = config->snapshot_directory;
    struct shr_identity identity = {
        .genesis = *genesis,
        .start_height = config->start_block,
        .keep_root =
            wanted_roots(config) == SHR_KEEP_ROOT_NO ? SHR_KEEP_ROOT_NO : SHR_KEEP_ROOT_YES,
    };
    int code = 0;
    if (dir != NULL && has_manifest(dir)) { /* without one the module need not be read again */
        code = wanted_module(&identity.module_hash, config->indexer, err);
        code = code != 0 ? code : shr_snap_may_grow(&identity, dir, err);
    }
    if (code == 0 && dir != NULL) {
        code = shr_dir_make_mode(dir, SHR_SNAP_DIR_MODE, err);
    }
    return code == 0 ? 0 : shr_fail_in(err, code, "--snapshot-directory");
}

struct shr_snapshots {
    struct shr_state *state;
    char *dir;
    uint32_t interval;
    struct shr_stop *stop;
    int bell; /* an eventfd */
    pthread_t thread;
    _Atomic uint32_t height; /* of the last one taken */
    bool failed;             /* the last try; it has been said */
    struct shr_stop last;    /* requested when the tip moves no more: one more try, and the end */
    bool joined;
    int code; /* of that try, once joined */
    struct shrewd_error err;
};

/* The height due, or 0 for none: a database begun above the interval's first multiple still has
 * its first one at the next. */
static uint32_t due(struct shr_snapshots *s) {
    struct shr_block_record tip;
    struct shr_identity identity;
    if (shr_state_tip(s->state, &tip, NULL) != 0) {
        return 0;
    }
    shr_state_identity(s->state, &identity);
    uint32_t height = tip.height - tip.height % s->interval;
    return height > atomic_load(&s->height) && height >= identity.start_height ? height : 0;
}

/* Whether another process has taken it that far, or further, meanwhile. */
static bool is_there(struct shr_snapshots *s, uint32_t height) {
    uint32_t held = 0;
    if (shr_snap_height(&held, s->state, s->dir, NULL) != 0 || held < height) {
        return false;
    }
    atomic_store(&s->height, held);
    return true;
}

static bool take(struct shr_snapshots *s, uint32_t height, bool last) {
    struct shr_snap_summary done;
    struct shrewd_error err = {0};
    int code = shr_snap_create(&done, s->state, s->dir, height, s->stop, &err);
    if (code == 0) {
        atomic_store(&s->height, height);
        s->failed = false;
        shr_info("snapshot", "'%s' has %zu part%s (%zu new), up to block %" PRIu32, s->dir,
                 done.parts, done.parts == 1 ? "" : "s", done.new_parts, height);
    } else if ((code == SHREWD_PRUNED && !last) ||
               ((code == SHREWD_INVALID || code == SHREWD_ABOVE_TIP) && is_there(s, height))) {
        return true; /* the tip, or the folder, has gone on meanwhile: another one is due */
    } else if (code != SHREWD_STOPPED && last) {
        s->code = shr_fail(&s->err, code, "no snapshot of block %" PRIu32 ": %.800s", height,
                           err.message);
    } else if (code != SHREWD_STOPPED && !s->failed) {
        shr_warn("snapshot", "no snapshot of block %" PRIu32 ": %s; trying again every minute",
                 height, err.message);
        s->failed = true;
    }
    return code == 0;
}

static void *grow(void *arg) {
    struct shr_snapshots *s = arg;
    shr_name_thread("snapshots");
    shr_patient_thread(NICE); /* taking one must not slow what users wait for */
    while (!shr_stopped(s->stop)) {
        bool last = shr_stopped(&s->last);
        uint32_t height = due(s);
        bool pause = height != 0 && !take(s, height, last);
        if (last) {
            break;
        }
        struct pollfd fds[3] = {{.fd = s->stop->fd, .events = POLLIN},
                                {.fd = s->last.fd, .events = POLLIN},
                                {.fd = s->bell, .events = POLLIN}};
        poll(fds, pause ? 2 : 3, pause ? RETRY_MS : -1);
        if (fds[2].revents & POLLIN) {
            eventfd_t rung;
            eventfd_read(s->bell, &rung);
        }
    }
    return NULL;
}

int shr_snapshots_start(struct shr_snapshots **out, struct shr_state *state, const char *dir,
                        uint32_t interval, struct shr_stop *stop, struct shrewd_error *err) {
    uint32_t height = 0;
    int code = shr_snap_height(&height, state, dir, err);
    code = code != 0 ? code : shr_dir_make_mode(dir, SHR_SNAP_DIR_MODE, err);
    if (code != 0) {
        return shr_fail_in(err, code, "--snapshot-directory");
    }
    struct shr_snapshots *s = shr_alloc(sizeof *s);
    s->state = state;
    s->interval = interval;
    s->stop = stop;
    s->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->dir = shr_strdup(dir);
    atomic_store(&s->height, height);
    if (shr_stop_init(&s->last) != 0 || s->bell < 0) {
        code = shr_fail_errno(err, SHREWD_IO, "cannot make an eventfd");
    } else {
        int bad = pthread_create(&s->thread, NULL, grow, s);
        if (bad != 0) {
            code = shr_fail(err, SHREWD_NO_MEMORY, "cannot start the snapshot thread: %s",
                            strerror(bad));
        }
    }
    if (code != 0) {
        s->joined = true;
        shr_snapshots_stop(s);
        return code;
    }
    *out = s;
    return 0;
}

void shr_snapshots_on_tip(struct shr_snapshots *s) {
    if (s != NULL && due(s) != 0) {
        eventfd_write(s->bell, 1);
    }
}

uint32_t shr_snapshots_height(struct shr_snapshots *s) {
    return s == NULL ? 0 : atomic_load(&s->height);
}

int shr_snapshots_finish(struct shr_snapshots *s, struct shrewd_error *err) {
    if (s == NULL) {
        return 0;
    }
    shr_stop_request(&s->last);
    pthread_join(s->thread, NULL);
    s->joined = true;
    return s->code == 0 ? 0
                        : shr_fail(err, s->code, "--snapshot-directory: %.900s", s->err.message);
}

void shr_snapshots_stop(struct shr_snapshots *s) {
    if (s != NULL) {
        if (!s->joined) {
            pthread_join(s->thread, NULL);
        }
        if (s->bell >= 0) {
            close(s->bell);
        }
        shr_stop_deinit(&s->last);
        free(s->dir);
        free(s);
    }
}
