/* shrewd check: every row of a database against the others (state/check.h). It works below the
 * public API, because a database that would not open is what it is for. */
#include "state/check.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/hex.h"
#include "cli/config.h"
#include "cli/output.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define KEY_SHOWN 256 /* bytes of a row's key */

struct check {
    const struct shr_config *config;
    json_t *findings; /* NULL unless --json */
    bool bar;         /* a line of progress is on the terminal */
    uint64_t shown_ms;
};

static void wipe(struct check *check) {
    if (check->bar) {
        fputs("\r\033[K", stderr);
        check->bar = false;
    }
}

static void show_finding(void *ctx, const struct shr_check_finding *finding) {
    struct check *check = ctx;
    bool cut = finding->key.len > KEY_SHOWN;
    struct shr_buf key = {0};
    shr_buf_add_str(&key, "0x");
    shr_hex_encode(&key, shr_bytes(finding->key.data, cut ? KEY_SHOWN : finding->key.len));
    shr_buf_add_str(&key, cut ? "..." : "");
    const char *table = shr_check_table(finding->table);
    if (check->findings != NULL) {
        json_array_append_new(check->findings,
                              json_pack("{s:s, s:s, s:s, s:s}", "table", table, "key",
                                        shr_buf_cstr(&key), "expected", finding->expected, "found",
                                        finding->found));
    } else {
        wipe(check);
        printf("%s %s: expected %s; found %s\n", table, shr_buf_cstr(&key), finding->expected,
               finding->found);
    }
    shr_buf_free(&key);
}

static bool show_progress(void *ctx, uint64_t rows, uint64_t rows_about) {
    struct check *check = ctx;
    uint64_t now = shr_now_ms();
    if (isatty(STDERR_FILENO) && now - check->shown_ms >= 200) {
        uint64_t most = rows > rows_about ? rows : rows_about;
        fprintf(stderr, "\r\033[Kchecking  %5.1f%%  %" PRIu64 " of about %" PRIu64 " rows",
                (double)rows * 100 / (double)most, rows, most);
        check->bar = true;
        check->shown_ms = now;
    }
    return true;
}

static int open_store(struct shr_store **out, const char *dir, const struct shr_config *config,
                      struct shrewd_error *err) {
    struct shr_rocks_options rocks = {.read_only = true,
                                      .cache_bytes = (size_t)config->cache_mb << 20};
    return shr_store_open_rocks(out, dir, &rocks, err);
}

/* What a fork reads through to; it is not checked itself. */
static int open_base(struct shr_state **state, struct shr_reader **reader,
                     const struct shr_config *config, struct shrewd_error *err) {
    struct shr_store *store = NULL;
    if (config->fork == NULL) {
        return 0;
    }
    int code = open_store(&store, config->fork, config, err);
    if (code == 0) {
        code = shr_state_open(state, store, NULL, false, err);
    }
    if (code == 0) {
        code = shr_reader_open(reader, *state, err);
    }
    return code == 0 ? 0 : shr_fail_in(err, code, "the base ('%s')", config->fork);
}

static void print_json(const struct check *check, const struct shr_check_summary *summary,
                       double seconds) {
    char *dir = shr_config_db_dir(check->config);
    json_t *object = json_object();
    bool any = summary->has_tip;
    json_object_set_new(object, "database", json_string(dir));
    json_object_set_new(object, "ok", json_boolean(summary->findings == 0));
    json_object_set_new(object, "first_height",
                        any ? json_integer(summary->first_height) : json_null());
    json_object_set_new(object, "height", any ? json_integer(summary->tip_height) : json_null());
    json_object_set_new(object, "blocks", json_integer((json_int_t)summary->blocks));
    json_object_set_new(object, "keys", json_integer((json_int_t)summary->keys));
    json_object_set_new(object, "versions", json_integer((json_int_t)summary->versions));
    json_object_set_new(object, "bytes", json_integer((json_int_t)summary->bytes));
    json_object_set_new(object, "values_compared", json_boolean(summary->values));
    json_object_set_new(object, "seconds", json_real(seconds));
    json_object_set(object, "findings", check->findings);
    json_object_set_new(object, "cut", json_boolean(summary->findings >= check->config->findings));
    shr_out_json(object);
    free(dir);
}

static void print_text(const struct check *check, const struct shr_check_summary *summary,
                       double seconds) {
    char size[64];
    shr_human_bytes(size, summary->bytes);
    if (summary->findings == 0) {
        printf("sound: %" PRIu64 " blocks, %" PRIu64 " keys, %" PRIu64 " versions, %s",
               summary->blocks, summary->keys, summary->versions, size);
        if (summary->has_tip) {
            printf(", heights %" PRIu32 " to %" PRIu32, summary->first_height, summary->tip_height);
        }
        printf(", in %.1f s\n", seconds);
        if (!summary->values) {
            puts("values were not compared, as no state root is kept: one changed in place, its "
                 "length kept, is not found");
        }
    } else if (summary->findings >= check->config->findings) {
        printf("damaged: stopped after %zu findings (--findings)\n", summary->findings);
    } else {
        printf("damaged: %zu finding%s among %" PRIu64 " blocks, %" PRIu64
               " versions, %s, in %.1f s\n",
               summary->findings, summary->findings == 1 ? "" : "s", summary->blocks,
               summary->versions, size, seconds);
    }
}

int shr_cmd_check(struct shr_config *config) {
    struct shrewd_error err = {0};
    struct check check = {.config = config, .findings = config->json ? json_array() : NULL};
    struct shr_check_options options = {.findings_max = config->findings,
                                        .found = show_finding,
                                        .progress = show_progress,
                                        .ctx = &check};
    struct shr_check_summary summary = {0};
    struct shr_store *store = NULL;
    struct shr_state *base = NULL;
    char *dir = shr_config_db_dir(config);
    uint64_t start = shr_now_ns();
    int code = open_base(&base, &options.base, config, &err);
    if (code == 0) {
        code = open_store(&store, dir, config, &err);
    }
    if (code == 0) {
        code = shr_check(store, &options, &summary, &err);
    }
    double seconds = (double)(shr_now_ns() - start) / 1e9;
    wipe(&check);
    if (code == 0 && config->json) {
        print_json(&check, &summary, seconds);
    } else if (code == 0) {
        print_text(&check, &summary, seconds);
    }
    shr_store_close(store);
    shr_reader_close(options.base);
    shr_state_close(base);
    json_decref(check.findings);
    free(dir);
    if (code != 0) {
        return shr_report(&err);
    }
    return summary.findings == 0 ? SHR_EXIT_OK : SHR_EXIT_DAMAGED;
}
