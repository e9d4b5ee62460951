#include "node/download.h"

#include "base/alloc.h"
#include "base/log.h"
#include "node/curl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FRUITLESS_TRIES 3
#define PAUSE_MS 500u
#define CONNECT_MS 10000L
#define SLOW_BYTES 1000L /* fewer than this a second, for SLOW_SECONDS: try again */
#define SLOW_SECONDS 30L

struct download {
    const char *url, *path;
    uint64_t max;
    struct shr_stop *stop;
    CURL *easy;
    FILE *file;
    uint64_t held;     /* bytes in the file */
    uint64_t furthest; /* the most it has held */
    bool started;      /* the first bytes of this try have come */
    bool too_large, disk_failed;
    char detail[CURL_ERROR_SIZE];
};

static bool empty(struct download *d) {
    d->held = 0;
    return fflush(d->file) == 0 && ftruncate(fileno(d->file), 0) == 0 &&
           fseek(d->file, 0, SEEK_SET) == 0;
}

/* A server may answer a range with the whole file: then what is held goes. */
static bool begin(struct download *d) {
    long status = 0;
    curl_easy_getinfo(d->easy, CURLINFO_RESPONSE_CODE, &status);
    d->started = true;
    return status == 206 || d->held == 0 || empty(d);
}

static size_t take_bytes(char *data, size_t size, size_t n, void *ctx) {
    struct download *d = ctx;
    size_t len = size * n;
    if (!d->started && !begin(d)) {
        d->disk_failed = true;
        return 0;
    }
    if (len > d->max - d->held) {
        d->too_large = true;
        return 0;
    }
    if (fwrite(data, 1, len, d->file) != len) {
        d->disk_failed = true;
        return 0;
    }
    d->held += len;
    return len;
}

static int on_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t e) {
    const struct download *d = ctx;
    (void)a, (void)b, (void)c, (void)e;
    return shr_stopped(d->stop);
}

static void set_options(struct download *d) {
    CURL *easy = d->easy;
    curl_easy_setopt(easy, CURLOPT_URL, d->url);
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, 5L);
    curl_easy_setopt(easy, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, SLOW_BYTES);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, SLOW_SECONDS);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(easy, CURLOPT_XFERINFODATA, d);
}

static bool can_pass(CURLcode result, long status) {
    if (result == CURLE_HTTP_RETURNED_ERROR) {
        return status >= 500 || status == 408 || status == 429;
    }
    return result != CURLE_URL_MALFORMAT && result != CURLE_UNSUPPORTED_PROTOCOL &&
           result != CURLE_PEER_FAILED_VERIFICATION && result != CURLE_TOO_MANY_REDIRECTS;
}

static CURLcode perform(struct download *d) {
    d->started = false;
    d->detail[0] = 0;
    curl_easy_setopt(d->easy, CURLOPT_RESUME_FROM_LARGE, (curl_off_t)d->held);
    return curl_easy_perform(d->easy);
}

/* One try; *again: it may be repeated. */
static int try_once(struct download *d, bool *again, struct shrewd_error *err) {
    long status = 0;
    *again = false;
    CURLcode result = perform(d);
    if (result == CURLE_RANGE_ERROR && d->held > 0) {
        /* A server without ranges: libcurl refuses the whole file before its first byte comes. */
        d->disk_failed = !empty(d);
        result = d->disk_failed ? result : perform(d);
    }
    curl_easy_getinfo(d->easy, CURLINFO_RESPONSE_CODE, &status);
    if (result == CURLE_OK) {
        return 0;
    }
    if (shr_stopped(d->stop)) {
        return shr_fail(err, SHREWD_STOPPED, "stopped while fetching '%s'", d->url);
    }
    if (d->disk_failed) {
        return shr_fail_errno(err, SHREWD_IO, "cannot write '%s'", d->path);
    }
    if (d->too_large) {
        return shr_fail(err, SHREWD_LIMIT, "'%s' is larger than the %llu bytes expected", d->url,
                        (unsigned long long)d->max);
    }
    /* Nothing lies past what is held: the file is whole. */
    if (result == CURLE_HTTP_RETURNED_ERROR && status == 416 && d->held > 0) {
        return 0;
    }
    *again = can_pass(result, status);
    return shr_fail(err,
                    status == 404 ? SHREWD_NOT_FOUND
                    : *again      ? SHREWD_NODE_BUSY
                                  : SHREWD_NODE,
                    "cannot fetch '%s': %s", d->url,
                    d->detail[0] != 0 ? d->detail : curl_easy_strerror(result));
}

static int run(struct download *d, struct shrewd_error *err) {
    bool again = true;
    int code = 0;
    for (unsigned fruitless = 0;;) {
        code = try_once(d, &again, err);
        /* Not whether bytes came: without ranges they may be the same ones for ever. */
        fruitless = d->held > d->furthest ? 0 : fruitless + 1;
        d->furthest = d->held > d->furthest ? d->held : d->furthest;
        if (code == 0 || !again || fruitless == FRUITLESS_TRIES) {
            break;
        }
        shr_warn("node", "the download of '%s' was broken off at byte %llu: %s; trying again",
                 d->url, (unsigned long long)d->held,
                 d->detail[0] != 0 ? d->detail : "no reason given");
        if (shr_stop_sleep(d->stop, PAUSE_MS << fruitless)) {
            return shr_fail(err, SHREWD_STOPPED, "stopped while fetching '%s'", d->url);
        }
    }
    return code;
}

int shr_download(const char *url, const char *path, uint64_t max, struct shr_stop *stop,
                 struct shrewd_error *err) {
    struct download d = {.url = url, .path = path, .max = max, .stop = stop};
    struct stat info;
    d.file = fopen(path, "abe");
    if (d.file == NULL || fstat(fileno(d.file), &info) != 0) {
        if (d.file != NULL) {
            fclose(d.file);
        }
        return shr_fail_errno(err, SHREWD_IO, "cannot write '%s'", path);
    }
    d.held = (uint64_t)info.st_size;
    d.furthest = d.held;
    d.easy = shr_curl_new(CONNECT_MS, d.detail, take_bytes, &d);
    int code;
    if (d.easy == NULL) {
        code = shr_fail(err, SHREWD_NODE, "libcurl cannot be set up");
    } else {
        set_options(&d);
        code = d.held < max ? run(&d, err) : 0; /* all there, or so much that it is wrong */
        curl_easy_cleanup(d.easy);
    }
    bool bad = fflush(d.file) != 0 || fsync(fileno(d.file)) != 0;
    bad = fclose(d.file) != 0 || bad;
    return code == 0 && bad ? shr_fail_errno(err, SHREWD_IO, "cannot write '%s'", path) : code;
}
