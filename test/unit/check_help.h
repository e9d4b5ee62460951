/* check_help.h: shr_check, with what it finds as text: for tests of it. */
#ifndef TEST_CHECK_HELP_H
#define TEST_CHECK_HELP_H

#include "root_rows.h"

#include "base/hex.h"
#include "state/check.h"

static struct shr_buf found; /* one line each */

static void take(void *ctx, const struct shr_check_finding *finding) {
    shr_buf_printf(&found, "%s ", shr_check_table(finding->table));
    shr_hex_encode(&found, finding->key);
    shr_buf_printf(&found, ": expected %s; found %s\n", finding->expected, finding->found);
}

static struct shr_check_summary check(struct shr_store *store) {
    struct shr_check_options options = {.findings_max = FINDINGS_MAX, .found = take};
    struct shr_check_summary summary;
    shr_buf_clear(&found);
    assert_ok(shr_check(store, &options, &summary, err));
    shr_buf_cstr(&found);
    return summary;
}

#endif
