/* light.c: a light client: an answer of a view, checked with the module and a state root alone.
 *
 *   light MODULE VIEW
 *
 * plays both sides. A server indexes regtest's genesis block in memory and answers the view with a
 * proof; the client, which trusts a root (here the server's own, elsewhere one that it has from
 * several operators, say), runs the module once more on what the proof holds, and prints the
 * answer. After `make install`:
 *
 *   cc light.c -o light $(pkg-config --cflags --libs shrewd)
 */
#include <shrewd/prove.h>

#include <stdio.h>
#include <string.h>

/* The hash of regtest's genesis block, in internal byte order, and that block. */
static const uint8_t genesis_hash[32] = {
    0x06, 0x22, 0x6e, 0x46, 0x11, 0x1a, 0x0b, 0x59, 0xca, 0xaf, 0x12, 0x60, 0x43, 0xeb, 0x5b, 0xbf,
    0x28, 0xc3, 0x4f, 0x3a, 0x5e, 0x33, 0x2a, 0x1f, 0xc7, 0xb2, 0xb7, 0x3c, 0xf1, 0x88, 0x91, 0x0f,
};
static const char genesis_hex[] =
    "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c"
    "3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4adae5494dffff7f200200000001010000000100000000000000"
    "00000000000000000000000000000000000000000000000000ffffffff4d04ffff001d0104455468652054696d65"
    "732030332f4a616e2f32303039204368616e63656c6c6f72206f6e206272696e6b206f66207365636f6e64206261"
    "696c6f757420666f722062616e6b73ffffffff0100f2052a01000000434104678afdb0fe5548271967f1a67130b7"
    "105cd6a828e03909a67962e0ea1f61deb649f6bc3f4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6b"
    "f11d5fac00000000";

/* --- The server --- */

static int index_genesis(struct shrewd *server, struct shrewd_error *err) {
    uint8_t block[sizeof genesis_hex / 2];
    size_t len = strlen(genesis_hex) / 2;
    for (size_t i = 0; i < len; i++) {
        unsigned byte = 0;
        sscanf(genesis_hex + 2 * i, "%2x", &byte);
        block[i] = (uint8_t)byte;
    }
    return shrewd_index_block(server, block, len, err);
}

static int answer(struct shrewd_view_proof **out, const char *module, const char *view,
                  struct shrewd_error *err) {
    struct shrewd *server = NULL;
    const struct shrewd_options options = {
        .flags = SHREWD_IN_MEMORY, .module_path = module, .genesis32 = genesis_hash};
    int code = shrewd_open(&server, &options, err);
    if (code == 0) {
        code = index_genesis(server, err);
    }
    if (code == 0) {
        code = shrewd_prove_view(server, out, view, NULL, 0, SHREWD_LATEST, err);
    }
    shrewd_close(server);
    return code;
}

/* --- The client --- */

static int check(const char *module, const uint8_t root[32], uint32_t height,
                 const struct shrewd_view_proof *proof, struct shrewd_error *err) {
    struct shrewd_verifier *verifier = NULL;
    int code = shrewd_verifier_open(&verifier, module, NULL, NULL, err);
    if (code == 0) {
        code = shrewd_verify_view(verifier, root, height, proof, err);
    }
    shrewd_verifier_close(verifier);
    return code;
}

int main(int argc, char **argv) {
    struct shrewd_view_proof *proof = NULL;
    struct shrewd_error err;
    if (argc != 3) {
        fprintf(stderr, "usage: %s MODULE VIEW\n", argv[0]);
        return 2;
    }
    int code = answer(&proof, argv[1], argv[2], &err);
    if (code == 0) {
        code = check(argv[1], proof->reads.block.root, proof->reads.block.height, proof, &err);
    }
    if (code != 0) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    for (size_t i = 0; i < proof->answer_len; i++) {
        printf("%02x", proof->answer[i]);
    }
    printf("\nproven: %zu read, %zu bytes of proof\n", proof->reads.n, proof->reads.proof_len);
    shrewd_view_proof_free(proof);
    return 0;
}
