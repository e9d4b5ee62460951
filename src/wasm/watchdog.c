/* watchdog.c: the thread that ends calls. */
#include "wasm/watchdog.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/prompt.h"
#include "wasm/loops.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>

#define TICK_NS 4000000u       /* while calls with deadlines run */
#define IDLE_NS 200000000u     /* without calls, until the thread sleeps for good */
#define STACK_SIZE (64 * 1024) /* bytes of the thread's stack, at least */

struct shr_watchdog {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    bool started; /* with the lock, like what follows but `asleep` */
    bool stop;
    struct shr_watch *watches;
    void (*tick)(void *ctx);
    void *tick_ctx;
    _Atomic bool asleep;
};

static bool withdraw(uint8_t *marks) {
    return mprotect(marks, SHR_MARKS_SIZE, PROT_NONE) == 0;
}

static void give_back(uint8_t *marks) {
    if (mprotect(marks, SHR_MARKS_SIZE, PROT_READ) != 0) {
        abort(); /* they were accessible before: there is no reason for which this can fail */
    }
}

static bool take(struct shr_watch *watch, unsigned from) {
    return atomic_compare_exchange_strong(&watch->state, &from, SHR_WATCH_BUSY);
}

/* Why an armed watch that was made busy must end. */
static enum shr_watch_end reason(const struct shr_watch *watch, uint64_t now) {
    uint64_t at = atomic_load_explicit(&watch->at_ns, memory_order_relaxed);
    const _Atomic bool *cancel = atomic_load_explicit(&watch->cancel, memory_order_relaxed);
    if (cancel != NULL && atomic_load(cancel)) {
        return SHR_WATCH_CANCELLED;
    }
    return at != 0 && now >= at ? SHR_WATCH_LATE : SHR_WATCH_RUNS;
}

static void end(struct shr_watch *watch) {
    uint8_t *marks = atomic_load(&watch->marks);
    if (marks != NULL) {
        withdraw(marks); /* should it fail, the next look is the next try */
    }
    atomic_store(&watch->state, SHR_WATCH_ENDED);
}

static void look_at(struct shr_watch *watch, unsigned state, uint64_t now) {
    uint64_t at = atomic_load_explicit(&watch->at_ns, memory_order_relaxed);
    if (state == SHR_WATCH_ARMED && (at == 0 || now < at) &&
        atomic_load_explicit(&watch->cancel, memory_order_relaxed) == NULL) {
        return; /* the common case, without a write to what the call's thread uses */
    }
    if (!take(watch, state)) {
        return;
    }
    if (state == SHR_WATCH_ARMED) {
        watch->end = reason(watch, now);
        if (watch->end == SHR_WATCH_RUNS) {
            atomic_store(&watch->state, SHR_WATCH_ARMED);
            return;
        }
    }
    end(watch);
}

/* With the lock. How long until the next look; 0: nothing runs. */
static uint64_t look_at_all(struct shr_watchdog *dog) {
    uint64_t now = shr_now_ns();
    uint64_t pause = 0;
    for (struct shr_watch *watch = dog->watches; watch != NULL; watch = watch->next) {
        unsigned state = atomic_load(&watch->state);
        if (state == SHR_WATCH_ARMED || state == SHR_WATCH_ENDED) {
            look_at(watch, state, now);
            state = atomic_load(&watch->state);
        }
        if (state != SHR_WATCH_IDLE) {
            pause = TICK_NS;
        }
    }
    return pause;
}

static void sleep_for(struct shr_watchdog *dog, uint64_t ns) {
    uint64_t until = shr_now_ns() + ns;
    struct timespec at = {.tv_sec = (time_t)(until / 1000000000u),
                          .tv_nsec = (long)(until % 1000000000u)};
    pthread_cond_timedwait(&dog->wake, &dog->lock, &at);
}

static void *watch_over(void *ctx) {
    struct shr_watchdog *dog = ctx;
    uint64_t last_run_ns = shr_now_ns();
    shr_name_thread("view-limits");
    shr_prompt_thread(); /* what it ends is what keeps the processors busy */
    pthread_mutex_lock(&dog->lock);
    while (!dog->stop) {
        uint64_t pause = look_at_all(dog);
        if (dog->tick != NULL) {
            dog->tick(dog->tick_ctx);
        }
        if (pause != 0) {
            last_run_ns = shr_now_ns();
            sleep_for(dog, pause);
        } else if (shr_now_ns() - last_run_ns < IDLE_NS) {
            sleep_for(dog, TICK_NS);
        } else {
            /* A call that begins either is seen by the second look or sees `asleep`. */
            atomic_store(&dog->asleep, true);
            if (look_at_all(dog) == 0) {
                pthread_cond_wait(&dog->wake, &dog->lock);
            }
            atomic_store(&dog->asleep, false);
            last_run_ns = shr_now_ns();
        }
    }
    pthread_mutex_unlock(&dog->lock);
    return NULL;
}

struct shr_watchdog *shr_watchdog_new(void) {
    struct shr_watchdog *dog = shr_alloc(sizeof *dog);
    pthread_condattr_t attr;
    pthread_mutex_init(&dog->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&dog->wake, &attr);
    pthread_condattr_destroy(&attr);
    return dog;
}

void shr_watchdog_free(struct shr_watchdog *dog) {
    if (dog == NULL) {
        return;
    }
    if (dog->started) {
        pthread_mutex_lock(&dog->lock);
        dog->stop = true;
        pthread_cond_signal(&dog->wake);
        pthread_mutex_unlock(&dog->lock);
        pthread_join(dog->thread, NULL);
    }
    pthread_cond_destroy(&dog->wake);
    pthread_mutex_destroy(&dog->lock);
    free(dog);
}

void shr_watchdog_on_tick(struct shr_watchdog *dog, void (*tick)(void *ctx), void *ctx) {
    pthread_mutex_lock(&dog->lock);
    dog->tick = tick;
    dog->tick_ctx = ctx;
    pthread_mutex_unlock(&dog->lock);
}

/* With the lock. Signals are for other threads. */
static bool start(struct shr_watchdog *dog) {
    sigset_t all;
    sigset_t before;
    pthread_attr_t attr;
    sigfillset(&all);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr,
                              STACK_SIZE > PTHREAD_STACK_MIN ? STACK_SIZE : PTHREAD_STACK_MIN);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool good = pthread_create(&dog->thread, &attr, watch_over, dog) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    if (good) {
        pthread_setname_np(dog->thread, "watchdog");
    }
    return good;
}

/* The watch's first call: from now on the watchdog looks at it. */
static int add(struct shr_watch *watch, struct shr_watchdog *dog, struct shrewd_error *err) {
    int code = 0;
    pthread_mutex_lock(&dog->lock);
    if (!dog->started && !(dog->started = start(dog))) {
        code = shr_fail(err, SHREWD_NO_MEMORY,
                        "cannot start the thread that ends calls at their deadline");
    } else {
        watch->dog = dog;
        watch->next = dog->watches;
        watch->self = &dog->watches;
        if (watch->next != NULL) {
            watch->next->self = &watch->next;
        }
        dog->watches = watch;
    }
    pthread_mutex_unlock(&dog->lock);
    return code;
}

void shr_watch_remove(struct shr_watch *watch) {
    struct shr_watchdog *dog = watch->dog;
    if (dog == NULL) {
        return;
    }
    pthread_mutex_lock(&dog->lock);
    *watch->self = watch->next;
    if (watch->next != NULL) {
        watch->next->self = watch->self;
    }
    pthread_mutex_unlock(&dog->lock);
    watch->dog = NULL;
}

static uint32_t allowed_ms(const struct shr_deadline *deadline) {
    if (deadline->allowed_ms != 0 || deadline->at_ns == 0) {
        return deadline->allowed_ms;
    }
    uint64_t now = shr_now_ns();
    return deadline->at_ns > now ? (uint32_t)((deadline->at_ns - now + 500000) / 1000000) : 0;
}

int shr_watch_begin(struct shr_watch *watch, struct shr_watchdog *dog,
                    const struct shr_deadline *deadline, struct shrewd_error *err) {
    watch->end = SHR_WATCH_RUNS;
    if (deadline == NULL || (deadline->at_ns == 0 && deadline->cancel == NULL)) {
        return 0;
    }
    if (watch->dog == NULL) {
        int code = add(watch, dog, err);
        if (code != 0) {
            return code;
        }
    }
    watch->allowed_ms = allowed_ms(deadline);
    atomic_store_explicit(&watch->at_ns, deadline->at_ns, memory_order_relaxed);
    atomic_store_explicit(&watch->cancel, deadline->cancel, memory_order_relaxed);
    atomic_store(&watch->state, SHR_WATCH_ARMED);
    if (atomic_load(&dog->asleep)) {
        pthread_mutex_lock(&dog->lock);
        pthread_cond_signal(&dog->wake);
        pthread_mutex_unlock(&dog->lock);
    }
    return 0;
}

/* Makes the watch busy, whatever it was, and returns that. Waits for the watchdog to let go. */
static unsigned take_any(struct shr_watch *watch) {
    for (;;) {
        unsigned state = atomic_load(&watch->state);
        if (state != SHR_WATCH_BUSY && take(watch, state)) {
            return state;
        }
        sched_yield();
    }
}

enum shr_watch_end shr_watch_finish(struct shr_watch *watch) {
    if (atomic_load(&watch->state) == SHR_WATCH_IDLE) {
        return watch->end;
    }
    unsigned state = SHR_WATCH_ARMED;
    if (!atomic_compare_exchange_strong(&watch->state, &state, SHR_WATCH_IDLE)) {
        state = take_any(watch);
        uint8_t *marks = atomic_load(&watch->marks);
        if (state == SHR_WATCH_ENDED && marks != NULL) {
            give_back(marks);
        }
        atomic_store(&watch->state, SHR_WATCH_IDLE);
    }
    return watch->end;
}

void shr_watch_marks(struct shr_watch *watch, uint8_t *marks) {
    unsigned state = take_any(watch);
    uint8_t *before = atomic_load(&watch->marks);
    if (state == SHR_WATCH_ENDED && before != NULL) {
        give_back(before);
    }
    atomic_store(&watch->marks, marks);
    atomic_store(&watch->state, state);
}
