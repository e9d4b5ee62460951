#include "cli/blocks.h"

#include "chain/hash.h"
#include "chain/network.h"

#include <assert.h>

/* Files do not tell heights: without --start-block their first block is taken for block 0. */
static int check_first(struct shr_source *files, const struct shr_config *config,
                       struct shrewd_error *err) {
    struct shr_hash first, genesis;
    char hash[SHR_HASH_HEX_LEN + 1];
    if (config->start_block != 0) {
        return 0;
    }
    int code = shr_source_hash_at(files, &first, 0, err);
    code = code != 0 ? code : shr_source_genesis(files, &genesis, err);
    if (code != 0 || shr_hash_eq(&first, &genesis)) {
        return code;
    }
    const struct shr_network *network = shr_network_by_genesis(&genesis);
    shr_hash_hex(hash, &first);
    return shr_fail(err, SHREWD_INVALID,
                    "--blocks: the first block of '%s', %s, is not the genesis block of %s, nor "
                    "does it follow that: give its height with --start-block",
                    config->blocks, hash, network != NULL ? network->name : "its network");
}

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
    if (code == 0 && files != NULL && node == NULL) {
        code = check_first(files, config, err);
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
