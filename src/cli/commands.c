#include "cli/commands.h"

#include "cli/options.h"

#include <stdint.h>
#include <string.h>

const struct shr_command shr_commands[SHR_COMMAND_COUNT] = {
    [SHR_COMMAND_RUN] =
        {SHR_COMMAND_RUN, "run", NULL, 0, 0, NULL,
         "follow a Bitcoin node, index every block, answer JSON-RPC",
         "Runs the module over every block of the node's best chain, keeps every version\n"
         "of its state, follows reorgs, and answers the module's views over HTTP at any\n"
         "height. It is what shrewd does when no command is given. Ends on SIGTERM or\n"
         "Ctrl-C with nothing half-written.",
         "shrewd run --daemon-rpc-url http://127.0.0.1:8332 --auth user:password \\\n"
         "    --indexer module.wasm --db-path /var/lib/shrewd/db\n"
         "shrewd run --blocks bootstrap.dat --indexer module.wasm --db-path db --exit-at 1000\n"
         "shrewd run --config /etc/shrewd/shrewd.conf"},
    [SHR_COMMAND_VIEW] =
        {SHR_COMMAND_VIEW, "view", "NAME [HEX]", 1, 2, NULL,
         "ask one of the module's views, at any height",
         "Runs the view NAME on the input HEX (0x optional; empty when left out) and\n"
         "prints its answer as 0x hex: from a database, also while 'shrewd run' writes\n"
         "it, or from a running shrewd.",
         "shrewd view balance 0014abcd --db-path db --indexer balances.wasm\n"
         "shrewd view totals --height 840000 --server http://127.0.0.1:8080"},
    [SHR_COMMAND_PREVIEW] =
        {SHR_COMMAND_PREVIEW, "preview", "BLOCK NAME [HEX]", 2, 3, NULL,
         "ask a view as if one more block had been indexed",
         "Indexes BLOCK (a file of raw bytes or hex, hex itself, or - for standard\n"
         "input) on top of the state after --height, in memory, then runs the view NAME\n"
         "there. Nothing is stored.",
         "shrewd preview block.bin balance 0014abcd --db-path db --indexer balances.wasm\n"
         "bitcoin-cli getblock HASH 0 | shrewd preview - totals --server 127.0.0.1:8080"},
    [SHR_COMMAND_STATUS] =
        {SHR_COMMAND_STATUS, "status", NULL, 0, 0, NULL,
         "what a database holds, or how far a running shrewd is",
         "Shows the chain, module and start height a database belongs to, its tip, keys\n"
         "and size; or, of a running shrewd, its tip and how far behind the node it is.",
         "shrewd status --db-path /var/lib/shrewd/db\n"
         "shrewd status --server http://127.0.0.1:8080 --json"},
    [SHR_COMMAND_ROLLBACK] =
        {SHR_COMMAND_ROLLBACK, "rollback", NULL, 0, 0, NULL,
         "remove the newest blocks from a database",
         "Takes the database back to the state after --height, in one atomic write: an\n"
         "interrupted rollback has either happened or not. Stop 'shrewd run' first; it\n"
         "indexes the removed heights again when it is started.",
         "shrewd rollback --db-path db --height 840000\n"
         "shrewd rollback --db-path db --height 840000 --yes"},
    [SHR_COMMAND_DUMP] =
        {SHR_COMMAND_DUMP, "dump", NULL, 0, 0, NULL, "print every key and value at a height",
         "Prints one line for each key, in key order: the key and the value in hex, with\n"
         "one space between. Two databases of the same chain and module print the same\n"
         "bytes.",
         "shrewd dump --db-path db | sha256sum\n"
         "shrewd dump --db-path db --height 100 --prefix /blocks/ --json"},
    [SHR_COMMAND_LOAD] =
        {SHR_COMMAND_LOAD, "load", "FILE", 1, 1, NULL, "make a database of what dump printed",
         "Makes the database --db-path of a dump (- is standard input) taken at --height,\n"
         "whose block has the hash --block-hash: it begins at that height, and indexing\n"
         "goes on from there. A dump that is malformed, cut short, or has another state\n"
         "root than --expect-root is refused, and nothing is left.",
         "shrewd dump --db-path old --height 840000 > dump\n"
         "shrewd load dump --db-path new --indexer module.wasm --network main \\\n"
         "    --height 840000 --block-hash 0000..83a5 --expect-root 5d41..92"},
    [SHR_COMMAND_PROVE] =
        {SHR_COMMAND_PROVE, "prove", "[KEY...]", 0, 10000, NULL,
         "values of keys, or a view's answer, with a proof against the state root",
         "Prints a JSON document with each KEY (0x hex, or text), its value at a height or\n"
         "null, the state root there, and one proof of it all, from a database or a\n"
         "running shrewd. With --view and no KEY: what the view answers, and the keys it\n"
         "read for that, proven. 'shrewd verify' checks it, and needs neither.",
         "shrewd prove 0x00ab --server http://127.0.0.1:8080 > proof.json\n"
         "shrewd prove /totals /tip --height 840000 --db-path db\n"
         "shrewd prove --view balance --input 0014abcd --server 127.0.0.1:8080 > answer.json"},
    [SHR_COMMAND_VERIFY] =
        {SHR_COMMAND_VERIFY, "verify", "FILE", 1, 1, NULL,
         "check a proof of keys, or of a view's answer, against a state root",
         "Reads a proof document (JSON; - is standard input) and checks that a state with\n"
         "--root has the keys with these values, and lacks the ones said to be absent. A\n"
         "view's answer is checked by running the module of --indexer once more, on what\n"
         "the document proves it to have read. Needs no database and no server. Without\n"
         "--root the document's own is believed; --height, --view and --input say what it\n"
         "must be of.",
         "shrewd verify proof.json --root 0x92d508..4ca\n"
         "shrewd verify answer.json --root 0x92d508..4ca --height 840000 \\\n"
         "    --indexer balances.wasm --view balance --input 0014abcd\n"
         "shrewd verify - < proof.json"},
    [SHR_COMMAND_CHECK] =
        {SHR_COMMAND_CHECK, "check", NULL, 0, 0, NULL, "whether every row of a database is sound",
         "Reads the whole database, also while 'shrewd run' writes it, and compares every\n"
         "row with what the others say it must be: records and tip, the keys each block\n"
         "changed, every version and what it replaced, all counts. Ends with 0 when the\n"
         "database is sound, or prints a line for each finding and ends with 7.",
         "shrewd check --db-path /var/lib/shrewd/db\n"
         "shrewd check --db-path db --json --findings 10"},
    [SHR_COMMAND_DIFF] =
        {SHR_COMMAND_DIFF, "diff", "[A [B]]", 0, 2, NULL,
         "where two indexes part: height, keys, values",
         "Compares two indexes of one chain, each a database folder or the URL of a running\n"
         "shrewd: finds the first height from which on they differ, by their state roots,\n"
         "and the keys, by walking down both trees. --deep compares every value itself,\n"
         "without trusting the roots. With --compare, another module is run over the same\n"
         "blocks, beside the index A or the module --indexer. Ends with 0 when they are the same, "
         "with 1 when they\n"
         "differ, with more when that cannot be told.",
         "shrewd diff http://10.0.0.1:8080 http://10.0.0.2:8080\n"
         "shrewd diff /var/lib/shrewd/db http://10.0.0.2:8080 --prefix /balances/ --json\n"
         "shrewd diff db1 db2 --deep --height 840000\n"
         "shrewd diff db --compare new.wasm --daemon-rpc-url http://127.0.0.1:8332 \\\n"
         "    --auth user:password\n"
         "shrewd diff --indexer old.wasm --compare new.wasm --blocks bootstrap.dat"},
    [SHR_COMMAND_SNAPSHOT] =
        {SHR_COMMAND_SNAPSHOT, "snapshot", "create|restore|verify PLACE", 2, 2,
         "create restore verify", "take, restore or verify a snapshot",
         "create brings the snapshot in the folder PLACE up to the tip, or --height, also\n"
         "while 'shrewd run' writes the database. restore builds a database from the\n"
         "snapshot in a folder or at an http URL, verifies every part and the last state\n"
         "root, and then puts it at --db-path, which must not exist yet; broken off, the\n"
         "same command goes on. verify reads a folder's files and compares their hashes,\n"
         "and what its last state root is said to be with --expect-root.",
         "shrewd snapshot create /srv/snapshot --db-path db\n"
         "shrewd snapshot restore https://example.org/snapshot --db-path db \\\n"
         "    --indexer module.wasm\n"
         "shrewd snapshot verify /srv/snapshot --expect-root 5d41..92"},
    [SHR_COMMAND_INSPECT] =
        {SHR_COMMAND_INSPECT, "inspect", "MODULE", 1, 1, NULL,
         "what a module imports, exports and needs",
         "Prints a module's hash, imports, views and memory limits, and what would not\n"
         "work.",
         "shrewd inspect module.wasm\n"
         "shrewd inspect module.wat --json"},
    [SHR_COMMAND_IMPORT_ROCKSHREW] =
        {SHR_COMMAND_IMPORT_ROCKSHREW, "import-rockshrew", "DIR", 1, 1, NULL,
         "turn a database of rockshrew-mono into one of shrewd",
         "Reads rockshrew-mono's database in DIR, which stays as it is, and makes the\n"
         "database --db-path of it, with the whole history: nothing is synced again. The\n"
         "folder appears when it is whole. Stop rockshrew-mono first.",
         "shrewd import-rockshrew /var/lib/rockshrew --db-path /var/lib/shrewd/db \\\n"
         "    --indexer module.wasm"},
    [SHR_COMMAND_EXPORT_ROCKSHREW] =
        {SHR_COMMAND_EXPORT_ROCKSHREW, "export-rockshrew", "DIR", 1, 1, NULL,
         "write a database in the layout of rockshrew-mono",
         "Makes a RocksDB database in the new folder DIR with all that --db-path holds, in\n"
         "the layout of rockshrew-mono, for tools that read it directly.",
         "shrewd export-rockshrew rows --db-path db"},
    [SHR_COMMAND_BENCH] =
        {SHR_COMMAND_BENCH, "bench", "MODULE", 1, 1, NULL,
         "how fast a view answers, fresh and stateful",
         "Calls a view many times in this process, with a fresh instance a call and with\n"
         "warm ones, and prints totals, percentiles, and how much of it is the module's\n"
         "own time. On a database; or, without --db-path, on a state in memory that the\n"
         "module has indexed the first block of regtest into.",
         "shrewd bench benchmark.wasm --view benchmark_view\n"
         "shrewd bench balances.wasm --view balance --input 0014abcd --db-path db \\\n"
         "    --calls 10000 --clients 2"},
    [SHR_COMMAND_DEMO] =
        {SHR_COMMAND_DEMO, "demo", NULL, 0, 0, NULL, "see it work, without a node",
         "Generates a chain, indexes it, serves it, asks itself over HTTP and checks the\n"
         "answers.",
         "shrewd demo\n"
         "shrewd demo --keep --port 8080"},
    [SHR_COMMAND_COMPLETION] =
        {SHR_COMMAND_COMPLETION, "completion", "SHELL", 1, 1, "bash zsh fish",
         "print the completion script of a shell",
         "Prints a script that completes commands and flags in bash, zsh or fish.",
         "shrewd completion bash > /etc/bash_completion.d/shrewd\n"
         "shrewd completion zsh > ~/.zfunc/_shrewd\n"
         "shrewd completion fish > ~/.config/fish/completions/shrewd.fish"},
};

const struct shr_command *shr_command_find(const char *name) {
    for (size_t i = 0; i < SHR_COMMAND_COUNT; i++) {
        if (strcmp(shr_commands[i].name, name) == 0) {
            return &shr_commands[i];
        }
    }
    return NULL;
}

const char *shr_command_nearest(const char *name) {
    const char *nearest = NULL;
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < SHR_COMMAND_COUNT; i++) {
        const char *other = shr_commands[i].name;
        size_t distance = shr_edit_distance(name, strlen(name), other, strlen(other));
        if (distance < best) {
            best = distance;
            nearest = other;
        }
    }
    return shr_edit_near(best, strlen(name)) ? nearest : NULL;
}
