/* shrewd status: what a database holds, or how far a running server is. Both are gathered as one
 * JSON object, printed as it is or as lines. */
#include "base/alloc.h"
#include "chain/network.h"
#include "cli/client.h"
#include "cli/database.h"
#include "cli/output.h"
#include "state/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void set(json_t *object, const char *key, json_t *value) {
    json_object_set_new(object, key, value);
}

static void describe_database(json_t *out, const struct shrewd_info *info,
                              const struct shrewd_block *tip) {
    struct shr_hash genesis;
    memcpy(genesis.b, info->genesis, sizeof genesis.b);
    const struct shr_network *network = shr_network_by_genesis(&genesis);
    set(out, "chain", network != NULL ? json_string(network->name) : json_null());
    set(out, "genesis", shr_json_hash(info->genesis));
    set(out, "module", shr_json_digest(info->module_hash));
    set(out, "start_height", json_integer(info->start_height));
    set(out, "first_height", json_integer(info->first_height));
    set(out, "height", tip != NULL ? json_integer(tip->height) : json_null());
    set(out, "hash", tip != NULL ? shr_json_hash(tip->hash) : json_null());
    set(out, "root", tip != NULL && tip->has_root ? shr_json_digest(tip->root) : json_null());
    set(out, "keys", json_integer(tip != NULL ? (json_int_t)tip->total_keys : 0));
    set(out, "versions", json_integer((json_int_t)info->versions));
    set(out, "disk_bytes", json_integer((json_int_t)info->disk_bytes));
    json_t *tables = json_object();
    for (uint32_t i = 0; i < info->n_tables; i++) {
        set(tables, info->tables[i].name,
            json_pack("{s:I, s:I}", "bytes", (json_int_t)info->tables[i].bytes, "rows",
                      (json_int_t)info->tables[i].rows));
    }
    set(out, "tables", tables);
}

static int ask_database(json_t *out, const struct shr_config *config, struct shrewd_error *err) {
    struct shrewd *db = NULL;
    struct shrewd_info info;
    struct shrewd_block tip;
    int code = shr_database_open(&db, config, SHREWD_READ_ONLY, false, err);
    if (code != 0) {
        return code;
    }
    code = shrewd_info(db, &info, err);
    if (code == 0) {
        code = shrewd_tip(db, &tip, err);
        if (code == 0 || code == SHREWD_NOT_FOUND) {
            char *dir = shr_config_db_dir(config);
            set(out, "database", json_string(dir));
            describe_database(out, &info, code == 0 ? &tip : NULL);
            free(dir);
            code = 0;
        }
    }
    shrewd_close(db);
    return code;
}

/* A string result of a method that takes a height; null when the server has none to give. */
static json_t *at_height(struct shr_client *client, const char *method, uint32_t height) {
    json_t *result = NULL;
    json_t *params = json_array();
    json_array_append_new(params, json_integer(height));
    if (shr_client_call(client, &result, method, params, NULL) != 0) {
        return json_null();
    }
    /* A hash is shown as the node shows it, without 0x. */
    const char *text = json_string_value(result);
    json_t *bare =
        text != NULL && strncmp(text, "0x", 2) == 0 ? json_string(text + 2) : json_null();
    json_decref(result);
    return bare;
}

/* A line `NAME NUMBER`, or `NAME{table="TABLE"} NUMBER`; null when there is none. */
static json_t *metric(const char *page, const char *name, const char *table) {
    char *label = table != NULL ? shr_asprintf("\n%s{table=\"%s\"} ", name, table)
                                : shr_asprintf("\n%s ", name);
    const char *at = strstr(page, label);
    json_t *value =
        at != NULL ? json_integer((json_int_t)strtoull(at + strlen(label), NULL, 10)) : json_null();
    free(label);
    return value;
}

static void describe_stored(json_t *out, struct shr_client *client) {
    struct shr_buf page = {0};
    shr_client_metrics(client, &page);
    const char *text = shr_buf_cstr(&page);
    set(out, "first_height", metric(text, "shrewd_oldest_height", NULL));
    set(out, "keys", metric(text, "shrewd_keys", NULL));
    set(out, "versions", metric(text, "shrewd_versions", NULL));
    set(out, "disk_bytes", metric(text, "shrewd_database_bytes", NULL));
    json_t *tables = json_object();
    for (int table = 0; table < SHR_TABLE_COUNT; table++) {
        const char *name = shr_check_table((enum shr_table)table);
        json_t *bytes = metric(text, "shrewd_table_bytes", name);
        json_t *rows = metric(text, "shrewd_table_rows", name);
        if (json_is_integer(bytes) && json_is_integer(rows)) {
            set(tables, name, json_pack("{s:O, s:O}", "bytes", bytes, "rows", rows));
        }
        json_decref(rows);
        json_decref(bytes);
    }
    set(out, "tables", tables);
    shr_buf_free(&page);
}

static int ask_server(json_t *out, const struct shr_config *config, struct shrewd_error *err) {
    struct shr_client *client = NULL;
    uint32_t height = 0;
    int code = shr_client_open(&client, config->server, err);
    if (code != 0) {
        return code;
    }
    shr_client_hurry(client);
    code = shr_client_height(client, &height, err);
    bool empty = code == SHREWD_NOT_FOUND;
    if (code != 0 && !empty) {
        goto out;
    }
    json_t *health = shr_client_health(client);
    json_int_t node = json_integer_value(json_object_get(health, "node_tip"));
    set(out, "height", empty ? json_null() : json_integer(height));
    set(out, "hash", empty ? json_null() : at_height(client, "metashrew_getblockhash", height));
    set(out, "root", empty ? json_null() : at_height(client, "metashrew_stateroot", height));
    describe_stored(out, client);
    set(out, "node_height", node > 0 ? json_integer(node) : json_null());
    set(out, "behind",
        node > 0 && !empty ? json_integer(node > height ? node - height : 0) : json_null());
    static const char *const copied[] = {"status", "running", "at_tip", "error"};
    for (size_t i = 0; i < sizeof copied / sizeof copied[0]; i++) {
        json_t *value = json_object_get(health, copied[i]);
        set(out, copied[i], value != NULL ? json_incref(value) : json_null());
    }
    json_decref(health);
    code = 0;
out:
    shr_client_close(client);
    return code;
}

/* What a line of text says for null. */
static const char *nothing(const char *key) {
    static const char *const words[][2] = {
        {"chain", "unknown"},    {"root", "not kept"},      {"node_height", "not known"},
        {"behind", "not known"}, {"error", "none"},         {"running", "not known"},
        {"at_tip", "not known"}, {"status", "not known"},   {"disk_bytes", "not known"},
        {"keys", "not known"},   {"versions", "not known"}, {"first_height", "not known"},
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(key, words[i][0]) == 0) {
            return words[i][1];
        }
    }
    return "none yet";
}

static void print_tables(json_t *tables) {
    const char *name;
    json_t *table;
    json_object_foreach(tables, name, table) {
        char size[64];
        shr_human_bytes(size, (uint64_t)json_integer_value(json_object_get(table, "bytes")));
        printf("  %-17s%s, about %" JSON_INTEGER_FORMAT " rows\n", name, size,
               json_integer_value(json_object_get(table, "rows")));
    }
}

static void print_line(const char *key, json_t *value) {
    static const char *const labels[][2] = {
        {"start_height", "start"},        {"first_height", "held from"}, {"disk_bytes", "size"},
        {"versions", "versions (about)"}, {"node_height", "node"},       {"at_tip", "at the tip"}};
    const char *label = key;
    for (size_t i = 0; i < sizeof labels / sizeof labels[0]; i++) {
        label = strcmp(key, labels[i][0]) == 0 ? labels[i][1] : label;
    }
    char size[64];
    if (json_is_object(value)) {
        print_tables(value);
        return;
    }
    printf("%-19s", label);
    if (strcmp(key, "disk_bytes") == 0 && json_is_integer(value)) {
        shr_human_bytes(size, (uint64_t)json_integer_value(value));
        printf("%s\n", size);
    } else if (json_is_string(value)) {
        printf("%s\n", json_string_value(value));
    } else if (json_is_integer(value)) {
        printf("%" JSON_INTEGER_FORMAT "\n", json_integer_value(value));
    } else if (json_is_boolean(value)) {
        printf("%s\n", json_is_true(value) ? "yes" : "no");
    } else {
        printf("%s\n", nothing(key));
    }
}

int shr_cmd_status(struct shr_config *config) {
    struct shrewd_error err = {0};
    json_t *facts = json_object();
    int code = config->server != NULL ? ask_server(facts, config, &err)
                                      : ask_database(facts, config, &err);
    if (code != 0) {
        json_decref(facts);
        return shr_report(&err);
    }
    if (config->json) {
        shr_out_json(facts);
        return SHR_EXIT_OK;
    }
    const char *key;
    json_t *value;
    json_object_foreach(facts, key, value) {
        print_line(key, value);
    }
    json_decref(facts);
    return SHR_EXIT_OK;
}
