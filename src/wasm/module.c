/* module.c: from bytes to a module that is compiled, linked and ready to be instantiated. */
#include "wasm/internal.h"

#include "base/alloc.h"
#include "base/file.h"

#include <stdlib.h>
#include <string.h>

/* The wasm binary of `code`: itself, or its translation, which `translated` then owns. */
static int to_binary(struct shr_bytes *out, wasm_byte_vec_t *translated, struct shr_bytes code,
                     const char *name, struct shrewd_error *err) {
    if (code.len > SHR_MODULE_SIZE_MAX) {
        return shr_fail(err, SHREWD_MODULE, "'%s' has %zu bytes, more than the %u allowed", name,
                        code.len, SHR_MODULE_SIZE_MAX);
    }
    if (code.len == 0) {
        return shr_fail(err, SHREWD_MODULE, "'%s' is empty: expected a .wasm or .wat module", name);
    }
    if (code.len >= 4 && memcmp(code.data, "\0asm", 4) == 0) {
        *out = code;
        return 0;
    }
    if (memchr(code.data, 0, code.len) != NULL) {
        return shr_fail(err, SHREWD_MODULE,
                        "'%s' is neither wasm (it does not begin with \\0asm) nor wat text", name);
    }
    wasmtime_error_t *error = wasmtime_wat2wasm((const char *)code.data, code.len, translated);
    if (error != NULL) {
        return shr_module_error(err, name, "is not wasm, nor wat text", error);
    }
    *out = shr_bytes(translated->data, translated->size);
    return 0;
}

/* Why the module cannot run, naming the imports at fault; NULL when it can. Caller frees. */
static char *find_unsupported(const struct shr_module *module) {
    const struct shr_module_info *info = &module->info;
    struct shr_buf text = {0};
    for (size_t i = 0; i < info->n_imports && text.len < 600; i++) {
        const struct shr_module_import *import = &info->imports[i];
        if (import->status == SHR_IMPORT_UNSUPPORTED) {
            shr_buf_printf(&text, "%s%s %.100s.%.100s", text.len > 0 ? ", " : "", import->type,
                           import->module, import->name);
        }
    }
    if (text.len == 0) {
        return NULL;
    }
    char *why = shr_asprintf("'%s' imports what only a module can give itself: %s; only functions "
                             "can be imported",
                             module->name, shr_buf_cstr(&text));
    shr_buf_free(&text);
    return why;
}

static int make_runnable(struct shr_module *module, struct shr_bytes binary, const char *cache_dir,
                         struct shrewd_error *err) {
    int status = shr_form_endable(module, binary, cache_dir, err);
    if (status == 0) {
        status = shr_form_link(module, &module->plain, err);
    }
    if (status == 0) {
        status = shr_form_link(module, &module->endable, err);
    }
    return status;
}

/* Takes a module that cannot run, too. */
static int load(struct shr_module **out, struct shr_engine *engine, struct shr_bytes code,
                const char *name, const char *cache_dir, struct shrewd_error *err) {
    wasm_byte_vec_t translated = {0, NULL};
    struct shr_bytes binary = {NULL, 0};
    int status = to_binary(&binary, &translated, code, name, err);
    if (status != 0) {
        return status;
    }
    struct shr_module *module = shr_alloc(sizeof *module);
    module->engine = engine;
    module->name = shr_strdup(name);
    shr_sha256(&module->hash, binary);
    status = shr_form_plain(module, binary, cache_dir, err);
    if (status == 0) {
        shr_info_fill(module, binary);
        module->unusable = find_unsupported(module);
        status = module->unusable == NULL ? make_runnable(module, binary, cache_dir, err) : 0;
    }
    if (translated.data != NULL) {
        wasm_byte_vec_delete(&translated);
    }
    if (status != 0) {
        shr_module_free(module);
        return status;
    }
    *out = module;
    return 0;
}

int shr_module_new(struct shr_module **out, struct shr_engine *engine, struct shr_bytes code,
                   const char *name, const char *cache_dir, struct shrewd_error *err) {
    struct shr_module *module = NULL;
    int status = load(&module, engine, code, name, cache_dir, err);
    if (status == 0 && module->unusable != NULL) {
        status = shr_fail(err, SHREWD_MODULE, "%s", module->unusable);
        shr_module_free(module);
        return status;
    }
    if (status == 0) {
        *out = module;
    }
    return status;
}

static int read_module(struct shr_buf *out, const char *path, struct shrewd_error *err) {
    int status = shr_file_read(out, path, SHR_MODULE_SIZE_MAX, err);
    if (status != 0 && err != NULL) {
        err->code = SHREWD_MODULE;
    }
    return status != 0 ? SHREWD_MODULE : 0;
}

int shr_module_open(struct shr_module **out, struct shr_engine *engine, const char *path,
                    const char *cache_dir, struct shrewd_error *err) {
    struct shr_buf code = {0};
    int status = read_module(&code, path, err);
    if (status == 0) {
        status = shr_module_new(out, engine, shr_buf_bytes(&code), path, cache_dir, err);
    }
    shr_buf_free(&code);
    return status;
}

int shr_module_inspect(struct shr_module **out, struct shr_engine *engine, const char *path,
                       const char *cache_dir, struct shrewd_error *err) {
    struct shr_buf code = {0};
    int status = read_module(&code, path, err);
    if (status == 0) {
        status = load(out, engine, shr_buf_bytes(&code), path, cache_dir, err);
    }
    shr_buf_free(&code);
    return status;
}

const char *shr_module_unusable(const struct shr_module *module) {
    return module->unusable;
}

void shr_module_free(struct shr_module *module) {
    if (module == NULL) {
        return;
    }
    shr_form_free(&module->plain);
    shr_form_free(&module->endable);
    shr_info_free(&module->info);
    free(module->unusable);
    free(module->name);
    free(module);
}

const struct shr_hash *shr_module_hash(const struct shr_module *module) {
    return &module->hash;
}

const struct shr_module_info *shr_module_info(const struct shr_module *module) {
    return &module->info;
}
