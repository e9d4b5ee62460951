/* params.h: the parameters of a call: by position or by name, heights in every form, hex.
 *
 * Every failure is SHREWD_INVALID with a message that names the parameter, what came and what was
 * expected. Pure functions.
 */
#ifndef SHR_RPC_PARAMS_H
#define SHR_RPC_PARAMS_H

#include "rpc/json.h"

#define SHR_PARAMS_MAX 4

/* What a method takes, in order; names end with NULL. The first `required` must be there. */
struct shr_param_spec {
    const char *names[SHR_PARAMS_MAX + 1];
    int required;
};

/* Bound parameters: for each of the spec's names a value, or SHR_JSON_NONE when it is missing or
 * null. Borrows all of it. */
struct shr_params {
    const struct shr_json *json;
    const struct shr_param_spec *spec;
    uint32_t at[SHR_PARAMS_MAX];
};

/* `value`: an array, an object, or SHR_JSON_NONE (or null) for none. */
int shr_params_bind(struct shr_params *out, const struct shr_param_spec *spec,
                    const struct shr_json *json, uint32_t value, struct shrewd_error *err);

struct shr_height {
    bool latest;
    uint32_t height; /* when not latest */
};

/* A number, a decimal string, "0x.." hex, "latest"; missing or null means latest. */
int shr_param_height(struct shr_height *out, const struct shr_params *params, int i,
                     struct shrewd_error *err);
/* A whole number from 1 to `max`; missing or null means 0. */
int shr_param_count(uint32_t *out, const struct shr_params *params, int i, uint32_t max,
                    struct shrewd_error *err);
/* Replaces `out` with the bytes of a hex string, with or without 0x; "" and "0x" are empty. */
int shr_param_hex(struct shr_buf *out, const struct shr_params *params, int i,
                  struct shrewd_error *err);
/* Replaces `out` with a string that holds no NUL, NUL-terminated: out->data is a C string. */
int shr_param_string(struct shr_buf *out, const struct shr_params *params, int i,
                     struct shrewd_error *err);

#endif
