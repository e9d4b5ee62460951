#include "rpc/hangup.h"

#include "base/alloc.h"
#include "base/prompt.h"

#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LOOK_MS 100
#define IDLE_LOOKS 20 /* with nothing to watch; then the thread sleeps until there is */

struct shr_hangups {
    struct shr_hangups_options options;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    struct shr_hangup_item items; /* head of a ring */
    size_t n_items;
    bool asleep, ending;
    /* the thread's own */
    struct pollfd *fds;
    struct shr_hangup_item **looked_at; /* the items of fds */
    size_t cap;
};

bool shr_hangup_now(int fd) {
    struct pollfd one = {.fd = fd, .events = POLLRDHUP};
    return poll(&one, 1, 0) > 0 && (one.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

static void unlink_item(struct shr_hangups *watch, struct shr_hangup_item *item) {
    item->prev->next = item->next;
    item->next->prev = item->prev;
    watch->n_items--;
}

static void collect(struct shr_hangups *watch) {
    if (watch->cap < watch->n_items) {
        watch->cap = watch->n_items * 2;
        watch->fds = shr_realloc_array(watch->fds, watch->cap, sizeof *watch->fds);
        watch->looked_at =
            shr_realloc_array(watch->looked_at, watch->cap, sizeof(struct shr_hangup_item *));
    }
    size_t n = 0;
    for (struct shr_hangup_item *item = watch->items.next; item != &watch->items;
         item = item->next) {
        watch->fds[n] = (struct pollfd){.fd = item->fd, .events = POLLRDHUP};
        watch->looked_at[n++] = item;
    }
}

/* With the mutex held, so that no item goes meanwhile; poll returns at once. The list of claimed
 * items, by `next`. */
static struct shr_hangup_item *look(struct shr_hangups *watch) {
    struct shr_hangup_item *claimed = NULL;
    collect(watch);
    size_t n = watch->n_items;
    if (n == 0 || poll(watch->fds, n, 0) <= 0) {
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        struct shr_hangup_item *item = watch->looked_at[i];
        if ((watch->fds[i].revents & (POLLRDHUP | POLLHUP | POLLERR)) == 0) {
            continue;
        }
        atomic_store(&item->gone, true);
        if (watch->options.claim(watch->options.ctx, item)) {
            unlink_item(watch, item);
            item->next = claimed;
            claimed = item;
        }
    }
    return claimed;
}

static void wait_a_while(struct shr_hangups *watch, unsigned *idle_looks) {
    struct timespec until;
    *idle_looks = watch->n_items > 0 ? 0 : *idle_looks + 1;
    if (*idle_looks > IDLE_LOOKS) {
        watch->asleep = true;
        while (watch->asleep && !watch->ending) {
            pthread_cond_wait(&watch->wake, &watch->mutex);
        }
        *idle_looks = 0;
    }
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += LOOK_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    int rc = 0;
    while (rc == 0 && !watch->ending) {
        rc = pthread_cond_timedwait(&watch->wake, &watch->mutex, &until);
    }
}

static void *watch_main(void *ctx) {
    struct shr_hangups *watch = ctx;
    unsigned idle_looks = 0;
    shr_name_thread("hangups");
    pthread_mutex_lock(&watch->mutex);
    while (!watch->ending) {
        struct shr_hangup_item *claimed = look(watch);
        if (claimed != NULL) {
            pthread_mutex_unlock(&watch->mutex);
            while (claimed != NULL) {
                struct shr_hangup_item *next = claimed->next;
                watch->options.finish(watch->options.ctx, claimed);
                claimed = next;
            }
            pthread_mutex_lock(&watch->mutex);
        }
        wait_a_while(watch, &idle_looks);
    }
    pthread_mutex_unlock(&watch->mutex);
    return NULL;
}

int shr_hangups_start(struct shr_hangups **out, const struct shr_hangups_options *options,
                      struct shrewd_error *err) {
    struct shr_hangups *watch = shr_alloc(sizeof *watch);
    watch->options = *options;
    watch->items.next = watch->items.prev = &watch->items;
    pthread_mutex_init(&watch->mutex, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&watch->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    int failed = pthread_create(&watch->thread, NULL, watch_main, watch);
    if (failed != 0) {
        pthread_cond_destroy(&watch->wake);
        pthread_mutex_destroy(&watch->mutex);
        free(watch);
        return shr_fail(err, SHREWD_IO, "cannot start the thread that watches clients: %s",
                        strerror(failed));
    }
    *out = watch;
    return 0;
}

void shr_hangups_stop(struct shr_hangups *watch) {
    pthread_mutex_lock(&watch->mutex);
    bool running = !watch->ending;
    watch->ending = true;
    pthread_cond_signal(&watch->wake);
    pthread_mutex_unlock(&watch->mutex);
    if (running) {
        pthread_join(watch->thread, NULL);
    }
}

void shr_hangups_free(struct shr_hangups *watch) {
    if (watch == NULL) {
        return;
    }
    shr_hangups_stop(watch);
    pthread_cond_destroy(&watch->wake);
    pthread_mutex_destroy(&watch->mutex);
    free(watch->fds);
    free(watch->looked_at);
    free(watch);
}

void shr_hangups_add(struct shr_hangups *watch, struct shr_hangup_item *item) {
    pthread_mutex_lock(&watch->mutex);
    item->prev = &watch->items;
    item->next = watch->items.next;
    item->next->prev = item;
    watch->items.next = item;
    watch->n_items++;
    if (watch->asleep) {
        watch->asleep = false;
        pthread_cond_signal(&watch->wake);
    }
    pthread_mutex_unlock(&watch->mutex);
}

void shr_hangups_remove(struct shr_hangups *watch, struct shr_hangup_item *item) {
    pthread_mutex_lock(&watch->mutex);
    unlink_item(watch, item);
    pthread_mutex_unlock(&watch->mutex);
}

void shr_hangups_end_all(struct shr_hangups *watch) {
    pthread_mutex_lock(&watch->mutex);
    for (struct shr_hangup_item *item = watch->items.next; item != &watch->items;
         item = item->next) {
        atomic_store(&item->gone, true);
    }
    pthread_mutex_unlock(&watch->mutex);
}
