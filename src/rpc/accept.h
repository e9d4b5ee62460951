/* accept.h: takes connections and deals them out to the HTTP threads.
 *
 * Left to themselves, whichever of those threads wakes first takes all that wait, and keeps them
 * for as long as their clients do: one processor is busy, the others idle.
 */
#ifndef SHR_RPC_ACCEPT_H
#define SHR_RPC_ACCEPT_H

#include "base/error.h"

#include <microhttpd.h>
#include <stdatomic.h>

/* An HTTP thread, and how many connections it has. */
struct shr_http_thread {
    struct MHD_Daemon *daemon; /* of one thread; listens nowhere itself */
    _Atomic uint32_t open;
};

struct shr_acceptor;

/* The notice of connections that each daemon must be started with; cls: the thread. */
void shr_acceptor_notice(void *cls, struct MHD_Connection *connection, void **socket_ctx,
                         enum MHD_ConnectionNotificationCode what);
/* A thread that takes connections from `fd`, a listening socket that does not block and stays the
 * caller's, for whoever has the fewest, while fewer than `open_max` are open; others wait. The n
 * threads, at least one, are borrowed. */
int shr_acceptor_start(struct shr_acceptor **out, struct shr_http_thread *threads, unsigned n,
                       int fd, uint32_t open_max, struct shrewd_error *err);
/* No connection is taken after that. NULL is fine. */
void shr_acceptor_stop(struct shr_acceptor *acceptor);

#endif
