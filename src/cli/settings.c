/* Settings before they are checked, and the environment as a source of them. */
#include "cli/options.h"

#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

void shr_settings_free(struct shr_settings *settings) {
    for (size_t i = 0; i < SHR_OPTION_MAX; i++) {
        free(settings->at[i].value);
        free(settings->at[i].origin);
    }
    for (int i = 0; i < settings->n_args; i++) {
        free(settings->args[i]);
    }
    free(settings->args);
    *settings = (struct shr_settings){0};
}

void shr_settings_put(struct shr_settings *settings, const struct shr_option *option,
                      enum shr_layer layer, const char *value, char *origin) {
    struct shr_setting *setting = &settings->at[shr_option_slot(option)];
    if (setting->layer > layer) {
        free(origin);
        return;
    }
    free(setting->value);
    free(setting->origin);
    *setting = (struct shr_setting){shr_strdup(value), origin, layer};
}

/* An empty variable counts as unset: container tools pass those on for what nobody filled in. */
static const char *filled(const char *name) {
    const char *value = getenv(name);
    return value != NULL && *value != 0 ? value : NULL;
}

void shr_settings_from_env(struct shr_settings *settings) {
    for (size_t i = 0; i < shr_option_count; i++) {
        const struct shr_option *option = &shr_options[i];
        if (option->kind == SHR_OPTION_ACTION) {
            continue;
        }
        char name[64];
        shr_option_env(name, option);
        const char *value = filled(name);
        if (value != NULL) {
            shr_settings_put(settings, option, SHR_LAYER_ENV, value, shr_strdup(name));
        } else if (option->env != NULL && (value = filled(option->env)) != NULL) {
            shr_settings_put(settings, option, SHR_LAYER_ENV, value, shr_strdup(option->env));
        }
    }
}
