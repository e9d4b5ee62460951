/* hangup.h: notices that clients hang up while their calls wait or run.
 *
 * The connection of such a call is suspended, so its HTTP thread does not look at its socket (and
 * does not close it either). A thread of its own looks at all of them ten times a second; nothing
 * is read from a socket. A client that closed only its sending side counts as gone: libmicrohttpd
 * would not answer it.
 */
#ifndef SHR_RPC_HANGUP_H
#define SHR_RPC_HANGUP_H

#include "base/error.h"

#include <stdatomic.h>
#include <stdbool.h>

struct shr_hangups;

/* Embedded in what is watched. */
struct shr_hangup_item {
    struct shr_hangup_item *next, *prev; /* private */
    int fd;                              /* open from add to remove */
    _Atomic bool gone;                   /* set once; ends the call that it is given to */
};

struct shr_hangups_options {
    /* The client of `item` has left. True: the item is now the watcher's, which forgets it and
     * then calls `finish`, outside its lock. `claim` must not call the watcher. */
    bool (*claim)(void *ctx, struct shr_hangup_item *item);
    void (*finish)(void *ctx, struct shr_hangup_item *item);
    void *ctx;
};

int shr_hangups_start(struct shr_hangups **out, const struct shr_hangups_options *options,
                      struct shrewd_error *err);
/* Ends the thread: what it has claimed is finished then. Items may still be added and removed. */
void shr_hangups_stop(struct shr_hangups *watch);
/* Nothing is watched any more. NULL is fine. */
void shr_hangups_free(struct shr_hangups *watch);

void shr_hangups_add(struct shr_hangups *watch, struct shr_hangup_item *item);
/* Before the connection is resumed. Not for what the watcher has claimed. */
void shr_hangups_remove(struct shr_hangups *watch, struct shr_hangup_item *item);
/* Sets `gone` in every item, as if all clients had left; claims nothing. */
void shr_hangups_end_all(struct shr_hangups *watch);

/* Whether the client behind a socket has left, now. */
bool shr_hangup_now(int fd);

#endif
