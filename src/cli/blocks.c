#include "cli/blocks.h"

#include <assert.h>

int shr_open_blocks(struct shr_source **out, const struct shr_config *config, struct shr_stop *stop,
                    _Atomic uint64_t *silent_since_ms, struct shrewd_error *err) {
    struct shr_source *node = NULL;
    struct shr_source *files = NULL;
    int code = 0;
    struct shr_node_options options = {
        .url = config->daemon_rpc_url,
        .auth = config->auth,
        .cookie_file = config->cookie_file,
        .zmq = config->zmq,
        .poll_ms = config->poll_ms,
        .timeout_ms = config->node_timeout_ms,
        .silent_since_ms = silent_since_ms,
    };
    *out = NULL;
    if (config->daemon_rpc_url != NULL) {
        code = shr_node_open(&node, stop, &options, err);
    }
    if (code == 0 && config->blocks != NULL) {
        code = shr_files_open(&files, stop, config->blocks, config->start_block, err);
    }
    if (code == 0 && node != NULL && files != NULL) {
        code = shr_handover_open(out, node, files, err);
    } else if (code == 0) {
        *out = node != NULL ? node : files;
    }
    if (code != 0) {
        shr_source_close(files);
        shr_source_close(node);
    }
    assert(code != 0 || *out != NULL);
    return code;
}
