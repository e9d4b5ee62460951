/* download.h: one file over HTTP, taken up again where it was broken off. */
#ifndef SHR_NODE_DOWNLOAD_H
#define SHR_NODE_DOWNLOAD_H

#include "base/error.h"
#include "base/stop.h"

#include <stdint.h>

/* Brings `path` up to the file at `url`: what `path` holds already is not asked for again (HTTP
 * ranges; a server without them gives the whole file anew). At most `max` bytes. What can pass is
 * tried again, with growing pauses, as long as it comes further now and then. SHREWD_NOT_FOUND for
 * a 404, SHREWD_NODE for other refusals, SHREWD_NODE_BUSY after three tries that came no further
 * than the ones before, SHREWD_LIMIT, SHREWD_IO, SHREWD_STOPPED. Any thread. */
int shr_download(const char *url, const char *path, uint64_t max, struct shr_stop *stop,
                 struct shrewd_error *err);

#endif
