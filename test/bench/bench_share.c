/* bench_share BLOCKS MODULE DBDIR: which share of the time that blocks take is the state root's.
 * Full blocks (make_blocks writes them) are indexed from the first to the last, into RocksDB with
 * the budget that the daemon has by default, with a state root and without, in turns (off, on, on,
 * off); what the stages guest and commit were busy is a block's time, and what it takes more with
 * the root, the rows it writes included, is the root's. `root.share_of_commit`: the same of the
 * commit stage alone. */
#include "base/alloc.h"
#include "budget.h"

struct times {
    double guest_s, commit_s;
};

static struct times sync_once(const char *blocks, const char *module, const char *dir, bool root) {
    struct shrewd_error err;
    struct shr_stop stop;
    struct shr_source *source = NULL;
    struct shr_tip tip;
    struct shr_stage stages[SHR_STAGE_COUNT];
    if (shr_stop_init(&stop) != 0) {
        exit(1);
    }
    must(shr_files_open(&source, &stop, blocks, 0, &err), &err);
    must(shr_source_tip(source, &tip, &err), &err);
    struct shrewd *shrewd =
        open_in_budget(module, dir, root ? SHREWD_STATE_ROOT_ON : SHREWD_STATE_ROOT_OFF);
    follow_in_budget(shrewd, source, tip.height, stages);
    shrewd_close(shrewd);
    shr_source_close(source);
    return (struct times){.guest_s = (double)stages[SHR_STAGE_GUEST].busy_ns / 1e9,
                          .commit_s = (double)stages[SHR_STAGE_COMMIT].busy_ns / 1e9};
}

int main(int argc, char **argv) {
    static const bool turns[] = {false, true, true, false};
    struct times sum[2] = {{0, 0}, {0, 0}}; /* without, with */
    if (argc != 4) {
        fprintf(stderr, "usage: %s BLOCKS MODULE DBDIR\n", argv[0]);
        return 2;
    }
    shr_log_set_level(SHR_LOG_WARN);
    for (size_t i = 0; i < sizeof turns / sizeof turns[0]; i++) {
        char *dir = shr_asprintf("%s-%zu", argv[3], i);
        struct times took = sync_once(argv[1], argv[2], dir, turns[i]);
        sum[turns[i]].guest_s += took.guest_s;
        sum[turns[i]].commit_s += took.commit_s;
        free(dir);
    }
    double without = sum[0].guest_s + sum[0].commit_s;
    double with = sum[1].guest_s + sum[1].commit_s;
    print_result("root.share_of_apply", (with - without) / with, "x");
    print_result("root.share_of_commit", (sum[1].commit_s - sum[0].commit_s) / sum[1].commit_s,
                 "x");
    print_result("root.apply_s_on", with / 2, "s");
    print_result("root.apply_s_off", without / 2, "s");
    return 0;
}
