/* Files that are made beside the store, and taken later or never. */
#include "state_help.h"

#include "state/store.h"

#include <pthread.h>

struct counted {
    uint32_t next, end;
    char key[8];
};

static bool next_counted(void *ctx, struct shr_write *row) {
    struct counted *rows = ctx;
    if (rows->next == rows->end) {
        return false;
    }
    snprintf(rows->key, sizeof rows->key, "%05u", rows->next++);
    *row = (struct shr_write){.key = shr_bytes_str(rows->key), .value = shr_bytes_str(rows->key)};
    return true;
}

struct making {
    struct shr_store *store;
    enum shr_table table;
    int code;
};

static void *make_1000(void *ctx) {
    struct making *making = ctx;
    struct counted rows = {.end = 1000};
    making->code = shr_store_make_rows(making->store, making->table, next_counted, &rows, NULL);
    return NULL;
}

static void assert_counted(struct shr_store *store, enum shr_table table, bool held) {
    struct shr_buf value = {0};
    for (uint32_t i = 0; i < 1000; i += 111) {
        char key[8];
        snprintf(key, sizeof key, "%05u", i);
        int code = shr_store_get(store, NULL, table, &value, shr_bytes_str(key), NULL);
        assert_int_equal(code, held ? 0 : SHREWD_NOT_FOUND);
    }
    shr_buf_free(&value);
}

static void files_are_made_aside(void **state) {
    static const enum shr_table tables[] = {SHR_TABLE_HISTORY, SHR_TABLE_LATEST, SHR_TABLE_ROOT};
    char *dir = make_dir();
    struct shr_store *store = NULL;
    struct making making[3];
    pthread_t threads[3];
    struct shr_rocks_options options = {.create = true};
    assert_ok(shr_store_open_rocks(&store, dir, &options, err));
    for (int i = 0; i < 3; i++) {
        making[i] = (struct making){.store = store, .table = tables[i]};
        assert_int_equal(pthread_create(&threads[i], NULL, make_1000, &making[i]), 0);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(making[i].code, 0);
        assert_counted(store, tables[i], false);
    }
    shr_store_drop(store, SHR_TABLE_LATEST);
    for (int i = 0; i < 3; i++) {
        assert_ok(shr_store_take(store, tables[i], err)); /* what was dropped: nothing to do */
        assert_counted(store, tables[i], tables[i] != SHR_TABLE_LATEST);
    }
    struct counted none = {0}; /* makes no file, and no earlier one stays */
    make_1000(&making[1]);
    assert_ok(shr_store_make_rows(store, SHR_TABLE_LATEST, next_counted, &none, err));
    assert_ok(shr_store_take(store, SHR_TABLE_LATEST, err));
    assert_counted(store, SHR_TABLE_LATEST, false);
    shr_store_close(store);
    remove_dir(dir);
}

/* Files of its own in the folder, whose names begin with a dot. */
static unsigned files_left(const char *dir) {
    unsigned n = 0;
    DIR *items = opendir(dir);
    assert_non_null(items);
    for (struct dirent *item; (item = readdir(items)) != NULL;) {
        n += strncmp(item->d_name, ".shrewd", 7) == 0;
    }
    closedir(items);
    return n;
}

/* What a kill leaves of a group: it may be large, on a disk that is full, and no group may follow.
 */
static void files_left_behind_go(void **state) {
    char *dir = make_dir();
    struct shr_store *store = NULL;
    struct shr_rocks_options options = {.create = true};
    assert_ok(shr_store_open_rocks(&store, dir, &options, err));
    struct making making = {.store = store, .table = SHR_TABLE_ROOT};
    make_1000(&making);
    assert_int_equal(files_left(dir), 1);
    shr_store_close(store);
    struct shr_rocks_options reading = {.read_only = true};
    assert_ok(shr_store_open_rocks(&store, dir, &reading, err));
    shr_store_close(store);
    assert_int_equal(files_left(dir), 1); /* it may be a writer's, at work */
    assert_ok(shr_store_open_rocks(&store, dir, &options, err));
    assert_int_equal(files_left(dir), 0);
    assert_counted(store, SHR_TABLE_ROOT, false);
    shr_store_close(store);
    remove_dir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_made_aside),
        cmocka_unit_test(files_left_behind_go),
    };
    return cmocka_run_group_tests_name("load_files", tests, NULL, NULL);
}
