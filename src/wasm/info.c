/* info.c: what a module imports and exports, as text and numbers. */
#include "wasm/internal.h"

#include "base/alloc.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

#define PAGES_MAX 65536u
#define SECTION_START 8

static const char *value_type(const wasm_valtype_t *type) {
    wasmtime_valtype_t full;
    wasmtime_valtype_new(type, &full);
    const char *text = "ref";
    switch (full.kind) {
    case WASMTIME_VALTYPE_KIND_I32:
        return "i32";
    case WASMTIME_VALTYPE_KIND_I64:
        return "i64";
    case WASMTIME_VALTYPE_KIND_F32:
        return "f32";
    case WASMTIME_VALTYPE_KIND_F64:
        return "f64";
    case WASMTIME_VALTYPE_KIND_V128:
        return "v128";
    default:
        if (full.reftype.nullable && full.reftype.heaptype.kind == WASMTIME_HEAPTYPE_KIND_FUNC) {
            text = "funcref";
        } else if (full.reftype.nullable &&
                   full.reftype.heaptype.kind == WASMTIME_HEAPTYPE_KIND_EXTERN) {
            text = "externref";
        }
        wasmtime_valtype_delete(&full);
        return text;
    }
}

static void add_types(struct shr_buf *out, const wasm_valtype_vec_t *types) {
    for (size_t i = 0; i < types->size; i++) {
        shr_buf_add_str(out, i > 0 ? ", " : "");
        shr_buf_add_str(out, value_type(types->data[i]));
    }
}

/* "(i32) -> i32", "() -> ()", "memory", ...; caller frees. */
static char *type_text(const wasm_externtype_t *type) {
    switch (wasm_externtype_kind(type)) {
    case WASM_EXTERN_FUNC:
        break;
    case WASM_EXTERN_GLOBAL:
        return shr_strdup("global");
    case WASM_EXTERN_TABLE:
        return shr_strdup("table");
    case WASM_EXTERN_MEMORY:
        return shr_strdup("memory");
    default:
        return shr_strdup("tag");
    }
    const wasm_functype_t *func = wasm_externtype_as_functype_const(type);
    const wasm_valtype_vec_t *results = wasm_functype_results(func);
    struct shr_buf text = {0};
    shr_buf_add_str(&text, "(");
    add_types(&text, wasm_functype_params(func));
    shr_buf_add_str(&text, results->size == 1 ? ") -> " : ") -> (");
    add_types(&text, results);
    shr_buf_add_str(&text, results->size == 1 ? "" : ")");
    return shr_buf_cstr(&text);
}

/* Names may hold any character, NUL too: such a name is escaped, and so is no view's name. */
static char *name_text(const wasm_name_t *name, bool *plain) {
    *plain = memchr(name->data, 0, name->size) == NULL;
    if (*plain) {
        return shr_strndup(name->data, name->size);
    }
    struct shr_buf text = {0};
    shr_escape(&text, shr_bytes(name->data, name->size));
    return shr_buf_cstr(&text);
}

static void fill_imports(struct shr_module *module) {
    struct shr_module_info *info = &module->info;
    wasm_importtype_vec_t types;
    wasmtime_module_imports(module->plain.compiled, &types);
    info->n_imports = types.size;
    info->imports = shr_alloc_array(types.size, sizeof *info->imports);
    for (size_t i = 0; i < types.size; i++) {
        struct shr_module_import *import = &info->imports[i];
        bool plain_module;
        bool plain_name;
        import->module = name_text(wasm_importtype_module(types.data[i]), &plain_module);
        import->name = name_text(wasm_importtype_name(types.data[i]), &plain_name);
        import->type = type_text(wasm_importtype_type(types.data[i]));
        if (import->type[0] != '(') {
            import->status = SHR_IMPORT_UNSUPPORTED;
        } else if (plain_module && plain_name &&
                   shr_abi_find(import->module, import->name, import->type) >= 0) {
            import->status = SHR_IMPORT_ABI;
        } else {
            import->status = SHR_IMPORT_TRAPS;
        }
    }
    wasm_importtype_vec_delete(&types);
}

static void fill_memory(struct shr_module_info *info, const wasm_externtype_t *type) {
    const wasm_memorytype_t *memory = wasm_externtype_as_memorytype_const(type);
    info->has_memory = true;
    info->memory_pages_min = wasmtime_memorytype_minimum(memory);
    info->memory_has_max = wasmtime_memorytype_maximum(memory, &info->memory_pages_max);
    if (!info->memory_has_max || info->memory_pages_max > PAGES_MAX) {
        info->memory_pages_max = PAGES_MAX;
    }
}

static void fill_export(struct shr_module *module, const wasm_exporttype_t *export) {
    struct shr_module_info *info = &module->info;
    const wasm_externtype_t *type = wasm_exporttype_type(export);
    bool plain;
    char *name = name_text(wasm_exporttype_name(export), &plain);
    char *text = type_text(type);
    bool is_action = plain && strcmp(text, "() -> ()") == 0;
    if (plain && strcmp(text, "() -> i32") == 0 && strcmp(name, "_start") != 0) {
        info->views[info->n_views++] = name;
    } else {
        info->others[info->n_others++] = name;
    }
    if (is_action && strcmp(name, "_start") == 0) {
        info->has_start_export = true;
    } else if (is_action && strcmp(name, "_initialize") == 0) {
        module->init = "_initialize";
    } else if (is_action && strcmp(name, "__wasm_call_ctors") == 0 && module->init == NULL) {
        module->init = "__wasm_call_ctors";
    } else if (plain && strcmp(text, "memory") == 0 && strcmp(name, "memory") == 0) {
        fill_memory(info, type);
    }
    free(text);
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void fill_exports(struct shr_module *module) {
    struct shr_module_info *info = &module->info;
    wasm_exporttype_vec_t types;
    wasmtime_module_exports(module->plain.compiled, &types);
    info->views = shr_alloc_array(types.size, sizeof *info->views);
    info->others = shr_alloc_array(types.size, sizeof *info->others);
    for (size_t i = 0; i < types.size; i++) {
        fill_export(module, types.data[i]);
    }
    wasm_exporttype_vec_delete(&types);
    qsort(info->views, info->n_views, sizeof *info->views, compare_names);
    qsort(info->others, info->n_others, sizeof *info->others, compare_names);
}

/* Wasmtime does not tell; sections are an id and a LEB128 length each, after 8 bytes. */
static bool has_start_section(struct shr_bytes binary) {
    size_t at = 8;
    while (at < binary.len) {
        uint8_t id = binary.data[at++];
        uint64_t len = 0;
        for (unsigned shift = 0; shift < 35; shift += 7) {
            if (at == binary.len) {
                return false;
            }
            uint8_t byte = binary.data[at++];
            len |= (uint64_t)(byte & 0x7f) << shift;
            if (byte < 0x80) {
                break;
            }
        }
        if (id == SECTION_START) {
            return true;
        }
        if (len > binary.len - at) {
            return false;
        }
        at += (size_t)len;
    }
    return false;
}

void shr_info_fill(struct shr_module *module, struct shr_bytes binary) {
    module->info.wasm_size = binary.len;
    module->info.has_start_section = has_start_section(binary);
    fill_imports(module);
    fill_exports(module);
}

static void free_text(const char *text) {
    union {
        const char *borrowed;
        void *owned;
    } both = {.borrowed = text};
    free(both.owned);
}

void shr_info_free(struct shr_module_info *info) {
    for (size_t i = 0; i < info->n_imports; i++) {
        free_text(info->imports[i].module);
        free_text(info->imports[i].name);
        free(info->imports[i].type);
    }
    for (size_t i = 0; i < info->n_views; i++) {
        free_text(info->views[i]);
    }
    for (size_t i = 0; i < info->n_others; i++) {
        free_text(info->others[i]);
    }
    free(info->imports);
    free(info->views);
    free(info->others);
}
