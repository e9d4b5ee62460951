/* memory.c: the memories of guests, reserved whole and made accessible as they grow.
 *
 * Guests branch on a failed memory.grow, so it may fail only for reasons that are the same on
 * every machine. Wasmtime's own memories pass the host's ENOMEM on to the guest. Ours note it
 * for the thread that runs the guest, and the run is then given up as SHREWD_NO_MEMORY.
 */
#include "wasm/internal.h"

#include "base/alloc.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#define POOL_MAX 16 /* memories, of which each keeps at most SHR_POOL_KEEP bytes */

static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;
static struct shr_memory *pool[POOL_MAX];
static size_t pool_used;

static _Thread_local bool host_refused;
static _Thread_local struct shr_run *next_owner;

bool shr_memory_refused_clear(void) {
    bool was = host_refused;
    host_refused = false;
    return was;
}

bool shr_memory_refused(void) {
    return host_refused;
}

void shr_memory_refused_set(bool refused) {
    host_refused = refused;
}

void shr_memory_bind(struct shr_run *run) {
    next_owner = run;
}

/* From now on the watchdog leaves the marks alone. */
static void take_back(struct shr_memory *memory) {
    if (memory->owner != NULL) {
        shr_watch_marks(&memory->owner->watch, NULL);
        memory->owner->memory = NULL;
        memory->owner = NULL;
    }
}

static wasmtime_error_t *refuse(const char *what) {
    host_refused = true;
    return wasmtime_error_new(what);
}

static uint8_t *memory_get(void *env, size_t *size, size_t *capacity) {
    const struct shr_memory *memory = env;
    *size = memory->size;
    *capacity = memory->capacity;
    return memory->base;
}

static wasmtime_error_t *memory_grow(void *env, size_t new_size) {
    struct shr_memory *memory = env;
    if (new_size > memory->capacity) {
        /* Wasmtime has checked it against the limits already: this is the address space. */
        return refuse("a memory beyond its reservation");
    }
    if (new_size > memory->size &&
        mprotect(memory->base + memory->size, new_size - memory->size, PROT_READ | PROT_WRITE)) {
        return refuse("the host has no memory left");
    }
    memory->size = new_size;
    return NULL;
}

static void memory_unmap(struct shr_memory *memory) {
    munmap(memory->base, memory->mapped + SHR_MARKS_SIZE);
    free(memory);
}

/* For Wasmtime: the instance is gone. */
static void memory_free(void *env) {
    struct shr_memory *memory = env;
    take_back(memory);
    if (!shr_pool_zero(memory->base, &memory->size)) {
        memory_unmap(memory);
        return;
    }
    pthread_mutex_lock(&pool_lock);
    bool kept = pool_used < POOL_MAX;
    if (kept) {
        pool[pool_used++] = memory;
    }
    pthread_mutex_unlock(&pool_lock);
    if (!kept) {
        memory_unmap(memory);
    }
}

void shr_memory_pool_drain(void) {
    pthread_mutex_lock(&pool_lock);
    while (pool_used > 0) {
        memory_unmap(pool[--pool_used]);
    }
    pthread_mutex_unlock(&pool_lock);
}

/* A memory from the pool with at most `minimum` bytes accessible; NULL when there is none. */
static struct shr_memory *take_pooled(size_t mapped, size_t minimum) {
    struct shr_memory *memory = NULL;
    pthread_mutex_lock(&pool_lock);
    if (pool_used > 0 && pool[pool_used - 1]->mapped == mapped) {
        memory = pool[--pool_used];
    }
    pthread_mutex_unlock(&pool_lock);
    if (memory != NULL && memory->size > minimum) {
        if (mprotect(memory->base + minimum, memory->size - minimum, PROT_NONE) != 0) {
            memory_unmap(memory);
            return NULL;
        }
        memory->size = minimum;
    }
    return memory;
}

static struct shr_memory *reserve(size_t reserved, size_t guard) {
    size_t mapped = reserved + guard;
    uint8_t *base = mmap(NULL, mapped + SHR_MARKS_SIZE, PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) {
        return NULL;
    }
    if (mprotect(base + mapped, SHR_MARKS_SIZE, PROT_READ) != 0) {
        munmap(base, mapped + SHR_MARKS_SIZE);
        return NULL;
    }
    struct shr_memory *memory = shr_alloc(sizeof *memory);
    *memory = (struct shr_memory){.base = base, .mapped = mapped, .capacity = reserved};
    return memory;
}

static uint8_t *marks_get(void *env, size_t *size, size_t *capacity) {
    const struct shr_run *run = env;
    *size = SHR_MARKS_SIZE;
    *capacity = SHR_MARKS_SIZE;
    return atomic_load(&run->watch.marks);
}

/* No code of the guest grows it. */
static wasmtime_error_t *marks_grow(void *env, size_t new_size) {
    return wasmtime_error_new("the memory of the marks does not grow");
}

static void marks_free(void *env) {
    struct shr_run *run = env;
    shr_watch_marks(&run->watch, NULL);
    if (run->marks != NULL) {
        munmap(run->marks, SHR_MARKS_SIZE);
        run->marks = NULL;
    }
}

/* The memory that the marks of a run load from. Wasmtime takes it to be followed by a reservation
 * and a guard as all are; but only marks load from it, within its one page. For Wasmtime to tell
 * by its address whose memory a fault is in, it must not lie before the guest's memory. */
static wasmtime_error_t *marks_new(struct shr_run *run, wasmtime_linear_memory_t *out) {
    uint8_t *marks = NULL;
    if (run->memory != NULL) {
        marks = run->memory->base + run->memory->mapped;
    } else {
        marks = mmap(NULL, SHR_MARKS_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (marks == MAP_FAILED) {
            return refuse("the host has no address space left for a guest's memory");
        }
        run->marks = marks;
    }
    shr_watch_marks(&run->watch, marks);
    *out = (wasmtime_linear_memory_t){
        .env = run, .get_memory = marks_get, .grow_memory = marks_grow, .finalizer = marks_free};
    return NULL;
}

static wasmtime_error_t *memory_new(void *env, const wasm_memorytype_t *type, size_t minimum,
                                    size_t maximum, size_t reserved, size_t guard,
                                    wasmtime_linear_memory_t *out) {
    struct shr_run *run = next_owner;
    if (run->form->kind == SHR_ENGINE_MARKED && run->memories_made++ == run->form->map.memory) {
        return marks_new(run, out);
    }
    if (minimum > reserved) {
        return wasmtime_error_new("a memory larger than 4 GiB");
    }
    struct shr_memory *memory = take_pooled(reserved + guard, minimum);
    if (memory == NULL) {
        memory = reserve(reserved, guard);
    }
    if (memory == NULL) {
        return refuse("the host has no address space left for a guest's memory");
    }
    wasmtime_error_t *error = memory_grow(memory, minimum);
    if (error != NULL) {
        memory_unmap(memory);
        return error;
    }
    memory->owner = run;
    run->memory = memory;
    *out = (wasmtime_linear_memory_t){.env = memory,
                                      .get_memory = memory_get,
                                      .grow_memory = memory_grow,
                                      .finalizer = memory_free};
    return NULL;
}

wasmtime_memory_creator_t shr_memory_creator = {.new_memory = memory_new};
