/* curl.h: a transfer of libcurl's, with what all of them have in common. */
#ifndef SHR_NODE_CURL_H
#define SHR_NODE_CURL_H

#include <curl/curl.h>

/* What takes a reply's bytes, as libcurl wants it; fewer than size * n end the transfer. */
typedef size_t shr_curl_take(char *data, size_t size, size_t n, void *ctx);

/* HTTP and HTTPS alone, no signals; `detail` is where libcurl says what went wrong. NULL when it
 * cannot be set up. To be given to curl_easy_cleanup. */
CURL *shr_curl_new(long connect_ms, char detail[CURL_ERROR_SIZE], shr_curl_take *take, void *ctx);

#endif
