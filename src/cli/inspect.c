/* shrewd inspect: what a module is made of, and what of it would not work here. */
#include "base/hex.h"
#include "cli/config.h"
#include "cli/output.h"
#include "wasm/guest.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const status_words[] = {
    [SHR_IMPORT_ABI] = "provided",
    [SHR_IMPORT_TRAPS] = "traps when called",
    [SHR_IMPORT_UNSUPPORTED] = "not supported",
};

/* Everything that would not work, as sentences. */
static json_t *list_problems(const struct shr_module *module) {
    const struct shr_module_info *info = shr_module_info(module);
    json_t *problems = json_array();
    if (shr_module_unusable(module) != NULL) {
        json_array_append_new(problems, json_string(shr_module_unusable(module)));
    }
    for (size_t i = 0; i < info->n_imports; i++) {
        const struct shr_module_import *import = &info->imports[i];
        if (import->status == SHR_IMPORT_TRAPS) {
            json_array_append_new(
                problems, json_sprintf("a call of %s.%s %s traps: shrewd does not provide it",
                                       import->module, import->name, import->type));
        }
    }
    if (!info->has_start_export) {
        json_array_append_new(
            problems, json_string("it cannot index: it does not export _start with type () -> ()"));
    }
    if (info->n_views == 0) {
        json_array_append_new(problems, json_string("it has no view: no export of type () -> i32"));
    }
    if (!info->has_memory) {
        json_array_append_new(
            problems, json_string("it can exchange nothing: it does not export its memory as "
                                  "'memory'"));
    }
    return problems;
}

static json_t *list_names(const char *const *names, size_t n) {
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(list, json_string(names[i]));
    }
    return list;
}

static void print_json(const struct shr_module *module, const char *path) {
    const struct shr_module_info *info = shr_module_info(module);
    json_t *out = json_object();
    json_t *imports = json_array();
    json_t *memory = json_null();
    for (size_t i = 0; i < info->n_imports; i++) {
        const struct shr_module_import *import = &info->imports[i];
        json_array_append_new(imports, json_pack("{s:s, s:s, s:s, s:s}", "module", import->module,
                                                 "name", import->name, "type", import->type,
                                                 "status", status_words[import->status]));
    }
    if (info->has_memory) {
        memory = json_pack("{s:I, s:I, s:b}", "pages_min", (json_int_t)info->memory_pages_min,
                           "pages_max", (json_int_t)info->memory_pages_max, "own_max",
                           (int)info->memory_has_max);
    }
    json_object_set_new(out, "module", json_string(path));
    json_object_set_new(out, "sha256", shr_json_digest(shr_module_hash(module)->b));
    json_object_set_new(out, "size", json_integer((json_int_t)info->wasm_size));
    json_object_set_new(out, "runs", json_boolean(shr_module_unusable(module) == NULL));
    json_object_set_new(out, "memory", memory);
    json_object_set_new(out, "start_section", json_boolean(info->has_start_section));
    json_object_set_new(out, "indexes", json_boolean(info->has_start_export));
    json_object_set_new(out, "imports", imports);
    json_object_set_new(out, "views", list_names(info->views, info->n_views));
    json_object_set_new(out, "exports", list_names(info->others, info->n_others));
    json_object_set_new(out, "problems", list_problems(module));
    shr_out_json(out);
}

static void add_names(struct shr_buf *out, const char *label, const char *const *names, size_t n) {
    shr_buf_printf(out, "%-16s", label);
    for (size_t i = 0; i < n; i++) {
        shr_buf_add_str(out, i > 0 ? ", " : "");
        shr_escape(out, shr_bytes_str(names[i]));
    }
    shr_buf_add_str(out, n == 0 ? "none\n" : "\n");
}

static void add_imports(struct shr_buf *out, const struct shr_module_info *info) {
    shr_buf_add_str(out, info->n_imports > 0 ? "imports\n" : "imports         none\n");
    for (size_t i = 0; i < info->n_imports; i++) {
        const struct shr_module_import *import = &info->imports[i];
        struct shr_buf name = {0};
        shr_escape(&name, shr_bytes_str(import->module));
        shr_buf_add_str(&name, ".");
        shr_escape(&name, shr_bytes_str(import->name));
        shr_buf_printf(out, "  %-24s %-28s %s\n", shr_buf_cstr(&name), import->type,
                       status_words[import->status]);
        shr_buf_free(&name);
    }
}

static void add_memory(struct shr_buf *out, const struct shr_module_info *info) {
    char size[64];
    if (!info->has_memory) {
        shr_buf_add_str(out, "memory          not exported\n");
        return;
    }
    shr_human_bytes(size, info->memory_pages_max * 65536);
    shr_buf_printf(
        out, "memory          %" PRIu64 " pages of 64 KiB at first, %" PRIu64 " at most: %s%s\n",
        info->memory_pages_min, info->memory_pages_max, size,
        info->memory_has_max ? ", its own limit" : "");
}

static void print_text(const struct shr_module *module, const char *path) {
    const struct shr_module_info *info = shr_module_info(module);
    struct shr_buf out = {0};
    char hex[65];
    char size[64];
    shr_hex_write(hex, shr_bytes(shr_module_hash(module)->b, 32));
    shr_human_bytes(size, info->wasm_size);
    shr_buf_printf(&out, "module          %s\nSHA-256         %s\nsize            %s\n", path, hex,
                   size);
    add_memory(&out, info);
    shr_buf_printf(&out, "start section   %s\n", info->has_start_section ? "yes" : "no");
    add_imports(&out, info);
    add_names(&out, "views", info->views, info->n_views);
    add_names(&out, "other exports", info->others, info->n_others);
    json_t *problems = list_problems(module);
    size_t n = json_array_size(problems);
    shr_buf_add_str(&out, n > 0 ? "would not work\n" : "would not work  nothing found\n");
    for (size_t i = 0; i < n; i++) {
        shr_buf_add_str(&out, "  ");
        shr_escape(&out, shr_bytes_str(json_string_value(json_array_get(problems, i))));
        shr_buf_add_str(&out, "\n");
    }
    json_decref(problems);
    shr_out_put(shr_buf_bytes(&out));
    shr_buf_free(&out);
}

int shr_cmd_inspect(struct shr_config *config) {
    struct shr_engine *engine = NULL;
    struct shr_module *module = NULL;
    struct shrewd_error err = {0};
    const char *path = config->n_args > 0 ? config->args[0] : config->indexer;
    int status = SHR_EXIT_OK;
    int code = path != NULL ? shr_engine_new(&engine, &err)
                            : shr_fail(&err, SHREWD_INVALID,
                                       "inspect needs MODULE: a .wasm or "
                                       ".wat file");
    if (code == 0) {
        code = shr_module_inspect(&module, engine, path, config->cache_dir, &err);
    }
    if (code != 0) {
        status = shr_report(&err);
        goto out;
    }
    if (config->json) {
        print_json(module, path);
    } else {
        print_text(module, path);
    }
    if (shr_module_unusable(module) != NULL) {
        status = SHR_EXIT_GUEST;
    }
out:
    shr_module_free(module);
    shr_engine_free(engine);
    return status;
}
