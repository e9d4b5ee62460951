/* What the operator is told of a sync: how fast it goes, or that it waits for space. */
#include "index/progress.h"
#include "state_help.h"

#include "base/clock.h"

#include <unistd.h>

/* What shr_progress_show prints when there was time enough since the last, on standard error. */
static char *shown(struct shr_report_state *report) {
    static char said[2000];
    FILE *file = tmpfile();
    int before = dup(STDERR_FILENO);
    assert_non_null(file);
    assert_true(before >= 0 && dup2(fileno(file), STDERR_FILENO) >= 0);
    report->shown_ns = shr_now_ns() - UINT64_C(6000000000);
    shr_progress_show(report);
    assert_true(dup2(before, STDERR_FILENO) >= 0);
    close(before);
    rewind(file);
    said[fread(said, 1, sizeof said - 1, file)] = 0;
    fclose(file);
    return said;
}

static void assert_says(struct shr_report_state *report, const char *part, bool wanted) {
    char *said = shown(report);
    if ((strstr(said, part) != NULL) != wanted) {
        fail_msg("\"%s\" %s \"%s\"", said, wanted ? "lacks" : "has", part);
    }
}

static void check(bool bar) {
    struct shr_progress progress = {.tip = 30, .node_tip = 60, .has_tip = true};
    struct shr_report_state report;
    shr_progress_start(&report, &progress, bar);
    assert_says(&report, "30 of 60 (50.0%)", true);
    atomic_store(&progress.blocks, 10);
    assert_says(&report, "slowest: ", true);
    assert_says(&report, "ETA ", true);
    shr_fail(&progress.trouble, SHREWD_DISK_FULL, "No space left on device");
    assert_says(&report, "30 of 60 (50.0%)", true);
    assert_says(&report, "waits for space on the disk", true);
    assert_says(&report, "ETA ", false);
    assert_says(&report, "slowest", false);
    assert_says(&report, "blocks/s", false);
    progress.trouble = (struct shrewd_error){0};
    assert_says(&report, "waits", false);
    assert_says(&report, "blocks/s", true);
    shr_progress_end(&report);
}

static void on_a_terminal(void **state) {
    check(true);
}

static void in_a_log(void **state) {
    check(false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_a_terminal),
        cmocka_unit_test(in_a_log),
    };
    return cmocka_run_group_tests_name("progress", tests, NULL, NULL);
}
