/* Threads that can wait: each for itself, by so much more than it was, and those it starts. */
#include "base/prompt.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#define NICE_MAX 19

static int nice_now(void) {
    return getpriority(PRIO_PROCESS, (id_t)gettid());
}

static void *note(void *ctx) {
    *(int *)ctx = nice_now();
    return NULL;
}

static int of_one_it_starts(void) {
    pthread_t thread;
    int nice = -1;
    assert_int_equal(pthread_create(&thread, NULL, note, &nice), 0);
    pthread_join(thread, NULL);
    return nice;
}

struct seen {
    int first, both, started, most;
};

static void *stand_back(void *ctx) {
    struct seen *seen = ctx;
    shr_patient_thread(1);
    seen->first = nice_now();
    shr_patient_thread(2);
    seen->both = nice_now();
    seen->started = of_one_it_starts();
    shr_patient_thread(30);
    seen->most = nice_now();
    return NULL;
}

static int at_most(int nice) {
    return nice < NICE_MAX ? nice : NICE_MAX;
}

static void patient_threads(void **unused) {
    int before = nice_now();
    struct seen seen = {0};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, stand_back, &seen), 0);
    pthread_join(thread, NULL);
    assert_int_equal(seen.first, at_most(before + 1));
    assert_int_equal(seen.both, at_most(before + 3));
    assert_int_equal(seen.started, at_most(before + 3));
    assert_int_equal(seen.most, NICE_MAX);
    assert_int_equal(nice_now(), before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patient_threads),
    };
    return cmocka_run_group_tests_name("prompt", tests, NULL, NULL);
}
