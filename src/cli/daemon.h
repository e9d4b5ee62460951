/* daemon.h: the running indexer: a database, a thread that follows a source, a server. Shared by
 * `run` and `demo`. One thread owns a daemon. */
#ifndef SHR_CLI_DAEMON_H
#define SHR_CLI_DAEMON_H

#include "cli/config.h"
#include "cli/snapshots.h"
#include "index/follow.h"
#include "lib/lib.h"
#include "rpc/server.h"

#include <pthread.h>

struct shr_daemon {
    const struct shr_config *config;
    struct shr_stop *stop;     /* asks everything to end; borrowed */
    struct shr_source *source; /* NULL until the node was reached; closed by the daemon */
    struct shrewd *shrewd;
    struct shr_server *server;
    struct shr_snapshots *snapshots; /* NULL without --snapshot-directory */
    uint32_t restored;               /* blocks that came from a snapshot at this start */
    struct shr_progress progress;
    pthread_t thread;
    bool threaded;
    struct shr_stop finished; /* requested when the indexing thread is done */
    int code;                 /* how it ended; valid once finished */
    struct shrewd_error error;
};

/* Opens the database (making it, once the source has told its chain, when it is not there),
 * starts the server and then indexing. `source` NULL: opened as the configuration says; the
 * server of an existing database does not wait for the node. Returns with everything running. */
int shr_daemon_start(struct shr_daemon *daemon, const struct shr_config *config,
                     struct shr_source *source, struct shr_stop *stop, struct shrewd_error *err);
/* Waits until indexing ended or stop is requested. */
void shr_daemon_wait(struct shr_daemon *daemon);
/* Ends everything within 2 s. A guest still at work then is left behind: its block is not
 * committed, and the process must end without freeing anything: false. */
bool shr_daemon_stop(struct shr_daemon *daemon);

#endif
