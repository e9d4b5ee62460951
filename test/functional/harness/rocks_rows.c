/* Prints every row of a RocksDB database's default column family, key and value in hex; or, with
 * "write", makes a database of such lines; or, with "put FAMILY", puts such lines into one of the
 * column families of a database. For tests that read and make the layout of others, and that
 * damage ours. */
#include <rocksdb/c.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(const char *message) {
    if (message != NULL) {
        fprintf(stderr, "rocks_rows: %s\n", message);
        exit(1);
    }
}

static void print_hex(const char *bytes, size_t len) {
    for (size_t i = 0; i < len; i++) {
        printf("%02x", (unsigned char)bytes[i]);
    }
}

static void print_rows(rocksdb_t *db) {
    rocksdb_iterator_t *rows = rocksdb_create_iterator(db, rocksdb_readoptions_create());
    for (rocksdb_iter_seek_to_first(rows); rocksdb_iter_valid(rows); rocksdb_iter_next(rows)) {
        size_t key_len, value_len;
        const char *key = rocksdb_iter_key(rows, &key_len);
        const char *value = rocksdb_iter_value(rows, &value_len);
        print_hex(key, key_len);
        putchar(' ');
        print_hex(value, value_len);
        putchar('\n');
    }
    char *message = NULL;
    rocksdb_iter_get_error(rows, &message);
    fail(message);
    rocksdb_iter_destroy(rows);
}

/* The bytes of hex digits, in their place; how many there are. */
static size_t unhex(char *text, size_t digits) {
    for (size_t i = 0; i < digits / 2; i++) {
        char pair[3] = {text[2 * i], text[2 * i + 1], 0};
        text[i] = (char)strtoul(pair, NULL, 16);
    }
    return digits / 2;
}

/* Rows from standard input; `family` NULL: the default one. */
static void write_rows(rocksdb_t *db, rocksdb_column_family_handle_t *family) {
    rocksdb_writeoptions_t *writes = rocksdb_writeoptions_create();
    char *line = NULL, *message = NULL;
    size_t room = 0;
    for (ssize_t len; (len = getline(&line, &room, stdin)) > 0;) {
        size_t key_digits = strcspn(line, " ");
        char *value = line + key_digits + 1;
        size_t value_len = unhex(value, strcspn(value, "\n"));
        size_t key_len = unhex(line, key_digits);
        if (family == NULL) {
            rocksdb_put(db, writes, line, key_len, value, value_len, &message);
        } else {
            rocksdb_put_cf(db, writes, family, line, key_len, value, value_len, &message);
        }
        fail(message);
    }
    free(line);
    rocksdb_writeoptions_destroy(writes);
}

static void put_rows(const char *folder, const char *wanted) {
    char *message = NULL;
    size_t n = 0;
    rocksdb_options_t *options = rocksdb_options_create();
    char **names = rocksdb_list_column_families(options, folder, &n, &message);
    fail(message);
    const rocksdb_options_t **all = calloc(n, sizeof *all);
    rocksdb_column_family_handle_t **families = calloc(n, sizeof(rocksdb_column_family_handle_t *));
    for (size_t i = 0; i < n; i++) {
        all[i] = options;
    }
    rocksdb_t *db = rocksdb_open_column_families(
        options, folder, (int)n, (const char *const *)names, all, families, &message);
    fail(message);
    size_t at = 0;
    while (at < n && strcmp(names[at], wanted) != 0) {
        at++;
    }
    fail(at == n ? "no such column family" : NULL);
    write_rows(db, families[at]);
    for (size_t i = 0; i < n; i++) {
        rocksdb_column_family_handle_destroy(families[i]);
    }
    rocksdb_close(db);
}

int main(int argc, char **argv) {
    char *message = NULL;
    if (argc == 4 && strcmp(argv[1], "put") == 0) {
        put_rows(argv[2], argv[3]);
        return 0;
    }
    if (argc != 3) {
        fail("usage: rocks_rows print|write DIR, or rocks_rows put DIR FAMILY");
    }
    rocksdb_options_t *options = rocksdb_options_create();
    int write = strcmp(argv[1], "write") == 0;
    rocksdb_options_set_create_if_missing(options, (unsigned char)write);
    rocksdb_t *db = write ? rocksdb_open(options, argv[2], &message)
                          : rocksdb_open_for_read_only(options, argv[2], 0, &message);
    fail(message);
    if (write) {
        write_rows(db, NULL);
    } else {
        print_rows(db);
    }
    rocksdb_close(db);
    return 0;
}
