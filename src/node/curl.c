#include "node/curl.h"

#include <pthread.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init(void) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

CURL *shr_curl_new(long connect_ms, char detail[CURL_ERROR_SIZE], shr_curl_take *take, void *ctx) {
    pthread_once(&once, init);
    CURL *easy = curl_easy_init();
    if (easy == NULL) {
        return NULL;
    }
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, connect_ms);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "shrewd");
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, detail);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, ctx);
    return easy;
}
