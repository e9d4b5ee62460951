/* form.c: a module's machine code, in two forms: as it is, for indexing, and so that its calls can
 * be ended, for views and previews. */
#include "wasm/internal.h"

#include "base/log.h"

#include <stdlib.h>
#include <string.h>

int shr_module_error(struct shrewd_error *err, const char *name, const char *doing,
                     wasmtime_error_t *error) {
    struct shr_buf text = {0};
    shr_error_text(&text, error);
    int code = shr_fail(err, SHREWD_MODULE, "'%s' %s: %s", name, doing, shr_buf_cstr(&text));
    shr_buf_free(&text);
    return code;
}

/* `hash` is that of the binary. */
static int compile(struct shr_module *module, struct shr_form *form, struct shr_bytes binary,
                   const struct shr_hash *hash, const char *cache_dir, struct shrewd_error *err) {
    form->wasm = shr_engine_wasm(module->engine, form->kind);
    if (form->wasm == NULL) {
        return shr_fail(err, SHREWD_NO_MEMORY, "cannot start the WebAssembly engine");
    }
    if (cache_dir != NULL) {
        form->compiled = shr_cache_load(form->wasm, form->kind, cache_dir, hash, module->name);
        if (form->compiled != NULL) {
            return 0;
        }
    }
    module->info.from_cache = false;
    wasmtime_error_t *error =
        wasmtime_module_new(form->wasm, binary.data, binary.len, &form->compiled);
    if (error != NULL) {
        return shr_module_error(err, module->name, "cannot be compiled", error);
    }
    if (cache_dir != NULL) {
        shr_cache_store(form->compiled, form->kind, cache_dir, hash, module->name);
    }
    return 0;
}

int shr_form_plain(struct shr_module *module, struct shr_bytes binary, const char *cache_dir,
                   struct shrewd_error *err) {
    module->info.from_cache = cache_dir != NULL;
    return compile(module, &module->plain, binary, &module->hash, cache_dir, err);
}

static int compile_marked(struct shr_module *module, struct shr_bytes binary, const char *cache_dir,
                          struct shrewd_error *err) {
    struct shr_form *form = &module->endable;
    struct shr_buf marked = {0};
    struct shr_hash hash;
    int code = shr_loops_mark(&marked, &form->map, binary, err);
    if (code == 0 && form->map.marks > 0) {
        form->kind = SHR_ENGINE_MARKED;
        shr_sha256(&hash, shr_buf_bytes(&marked));
        code = compile(module, form, shr_buf_bytes(&marked), &hash, cache_dir, err);
    }
    shr_buf_free(&marked);
    return code;
}

int shr_form_endable(struct shr_module *module, struct shr_bytes binary, const char *cache_dir,
                     struct shrewd_error *err) {
    struct shrewd_error why = {0};
    if (compile_marked(module, binary, cache_dir, &why) == 0) {
        return 0;
    }
    shr_info("wasm", "views of '%s' run with epoch checks, which cost time: %s", module->name,
             why.message);
    shr_form_free(&module->endable);
    module->endable = (struct shr_form){.kind = SHR_ENGINE_EPOCHS};
    return compile(module, &module->endable, binary, &module->hash, cache_dir, err);
}

static wasmtime_error_t *define(wasmtime_linker_t *linker, const wasm_importtype_t *type,
                                struct shr_module_import *import) {
    const wasm_name_t *module_name = wasm_importtype_module(type);
    const wasm_name_t *name = wasm_importtype_name(type);
    wasmtime_func_unchecked_callback_t call = shr_import_trap;
    if (import->status == SHR_IMPORT_ABI) {
        call = shr_abi_callback(shr_abi_find(import->module, import->name, import->type));
    }
    return wasmtime_linker_define_func_unchecked(
        linker, module_name->data, module_name->size, name->data, name->size,
        wasm_externtype_as_functype_const(wasm_importtype_type(type)), call, import, NULL);
}

static int link_imports(struct shr_module *module, const struct shr_form *form,
                        wasmtime_linker_t *linker, struct shrewd_error *err) {
    wasm_importtype_vec_t types;
    wasmtime_module_imports(form->compiled, &types);
    int code = 0;
    for (size_t i = 0; code == 0 && i < types.size; i++) {
        wasmtime_error_t *error = define(linker, types.data[i], &module->info.imports[i]);
        if (error != NULL) {
            code = shr_module_error(err, module->name, "cannot be linked", error);
        }
    }
    wasm_importtype_vec_delete(&types);
    return code;
}

int shr_form_link(struct shr_module *module, struct shr_form *form, struct shrewd_error *err) {
    if (form->compiled == NULL) {
        return 0;
    }
    wasmtime_linker_t *linker = wasmtime_linker_new(form->wasm);
    wasmtime_linker_allow_shadowing(linker, true); /* one function may be imported twice */
    int code = link_imports(module, form, linker, err);
    if (code == 0) {
        wasmtime_error_t *error =
            wasmtime_linker_instantiate_pre(linker, form->compiled, &form->pre);
        if (error != NULL) {
            code = shr_module_error(err, module->name, "cannot be linked", error);
        }
    }
    wasmtime_linker_delete(linker);
    return code;
}

void shr_form_free(struct shr_form *form) {
    if (form->pre != NULL) {
        wasmtime_instance_pre_delete(form->pre);
    }
    if (form->compiled != NULL) {
        wasmtime_module_delete(form->compiled);
    }
    shr_loops_map_free(&form->map);
}
