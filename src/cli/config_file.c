/* The config file: `name = value` lines as inih reads them, names those of the flags. */
#include "cli/options.h"

#include "base/alloc.h"
#include "base/file.h"

#include <ctype.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX ((size_t)1 << 20) /* bytes */

struct config_file {
    const char *path;
    struct shr_settings *settings;
    struct shrewd_error *err;
    struct shr_buf text;
    size_t at;
    int line;                 /* the one inih has in hand; it does not say itself */
    int seen[SHR_OPTION_MAX]; /* by slot: the line that set it, 0 when none */
    int code;                 /* of the first fault */
    int bad_line;
};

static void fault(struct config_file *file, int code) {
    if (file->code == 0) {
        file->code = code;
        file->bad_line = file->line;
    }
}

/* Hands inih one line a call, without its leading space: inih would take an indented line for
 * the rest of the line before. */
static char *next_line(char *out, int size, void *stream) {
    struct config_file *file = stream;
    if (file->at >= file->text.len || file->code != 0) {
        return NULL;
    }
    const char *start = (const char *)file->text.data + file->at;
    size_t len = strcspn(start, "\n");
    file->at += len + 1;
    file->line++;
    while (len > 0 && isspace((unsigned char)*start)) {
        start++;
        len--;
    }
    if (len > 0 && (*start == '#' || *start == ';')) {
        len = 0;
    }
    if (len + 2 > (size_t)size) {
        fault(file, shr_fail(file->err, SHREWD_INVALID,
                             "%s:%d: the line is longer than %d bytes; give this one as a flag or "
                             "in the environment",
                             file->path, file->line, size - 2));
        return NULL;
    }
    memcpy(out, start, len);
    out[len] = '\n';
    out[len + 1] = 0;
    return out;
}

static int on_pair(void *user, const char *section, const char *name, const char *value) {
    struct config_file *file = user;
    if (file->code != 0) {
        return 1;
    }
    const struct shr_option *option = shr_option_find(name, strlen(name));
    if (option == NULL || option->kind == SHR_OPTION_ACTION) {
        const char *nearest = shr_option_nearest(name, strlen(name), NULL);
        fault(file,
              shr_fail(file->err, SHREWD_INVALID, "%s:%d: unknown key '%.60s'%s%s%s", file->path,
                       file->line, name, nearest != NULL ? "; did you mean '" : "",
                       nearest != NULL ? nearest : "; keys are flags without dashes",
                       nearest != NULL ? "'?" : ""));
        return 1;
    }
    if (strcmp(option->name, "config") == 0) {
        fault(file, shr_fail(file->err, SHREWD_INVALID, "%s:%d: a config file cannot name another",
                             file->path, file->line));
        return 1;
    }
    int *seen = &file->seen[shr_option_slot(option)];
    if (*seen != 0) {
        fault(file, shr_fail(file->err, SHREWD_INVALID, "%s:%d: '%s' was already set in line %d",
                             file->path, file->line, name, *seen));
        return 1;
    }
    *seen = file->line;
    shr_settings_put(file->settings, option, SHR_LAYER_FILE, value,
                     shr_asprintf("%s:%d: %s", file->path, file->line, name));
    return 1;
}

int shr_settings_from_file(struct shr_settings *settings, const char *path,
                           struct shrewd_error *err) {
    struct config_file file = {.path = path, .settings = settings, .err = err};
    int code = shr_file_read(&file.text, path, FILE_MAX, err);
    if (code != 0) {
        goto out;
    }
    if (file.text.len > 0 && memchr(file.text.data, 0, file.text.len) != NULL) {
        code = shr_fail(err, SHREWD_INVALID, "%s: a config file is text, but this has NUL bytes",
                        path);
        goto out;
    }
    shr_buf_cstr(&file.text);
    int first_bad = ini_parse_stream(next_line, &file, on_pair, &file);
    if (first_bad > 0 && (file.code == 0 || first_bad < file.bad_line)) {
        file.code =
            shr_fail(err, SHREWD_INVALID, "%s:%d: expected 'name = value'", path, first_bad);
    } else if (first_bad < 0) {
        file.code = shr_fail(err, SHREWD_IO, "cannot read '%s'", path);
    }
    code = file.code;
out:
    shr_buf_free(&file.text);
    return code;
}
