#include "base/prompt.h"

#include <pthread.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TURN_NS 200000u

/* The kernel's struct sched_attr, which not every C library has. */
struct attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period; /* runtime: of an ordinary thread, its turn */
};

void shr_prompt_thread(void) {
#if defined SYS_sched_getattr && defined SYS_sched_setattr
    struct attributes own = {.size = sizeof own};
    if (syscall(SYS_sched_getattr, 0, &own, sizeof own, 0) == 0) {
        own.runtime = TURN_NS;
        (void)syscall(SYS_sched_setattr, 0, &own, 0); /* what is refused is done without */
    }
#endif
}

void shr_patient_thread(unsigned nice) {
    id_t own = (id_t)gettid(); /* on Linux each thread has its own; it takes 19 for what is more */
    (void)setpriority(PRIO_PROCESS, own, getpriority(PRIO_PROCESS, own) + (int)nice);
}

void shr_name_thread(const char *name) {
    (void)pthread_setname_np(pthread_self(), name); /* what is refused is done without */
}
