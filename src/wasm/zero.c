/* zero.c: wiping a used memory, at the cost of the pages that were touched.
 *
 * Dropping pages (madvise) makes the next guest fault on each again, which costs more than ten
 * times what overwriting them does. Which ones were touched, the kernel tells in
 * /proc/self/pagemap: one u64 a page, bit 63 present, bit 62 swapped out; a page with neither was
 * never written since it was last dropped. Source: the kernel's admin-guide/mm/pagemap.
 */
#include "wasm/internal.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096u
#define PAGES_MAX (SHR_POOL_KEEP / PAGE)
#define TOUCHED (3ull << 62)

static int pagemap = -1;
static pthread_once_t pagemap_once = PTHREAD_ONCE_INIT;
static pid_t pagemap_of; /* the file goes on describing the process that opened it */

static void open_pagemap(void) {
    if (sysconf(_SC_PAGESIZE) == PAGE) {
        pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
        pagemap_of = getpid();
    }
}

/* False when the kernel does not tell. */
static bool read_touched(uint64_t entries[PAGES_MAX], const uint8_t *base, size_t n_pages) {
    pthread_once(&pagemap_once, open_pagemap);
    size_t bytes = n_pages * sizeof entries[0];
    off_t at = (off_t)((uintptr_t)base / PAGE * sizeof entries[0]);
    return pagemap >= 0 && pagemap_of == getpid() &&
           pread(pagemap, entries, bytes, at) == (ssize_t)bytes;
}

static bool drop(uint8_t *at, size_t len) {
    return madvise(at, len, MADV_DONTNEED) == 0;
}

bool shr_pool_zero(uint8_t *base, size_t *size) {
    uint64_t entries[PAGES_MAX];
    if (*size > SHR_POOL_KEEP) {
        uint8_t *rest = base + SHR_POOL_KEEP;
        size_t len = *size - SHR_POOL_KEEP;
        if (!drop(rest, len) || mprotect(rest, len, PROT_NONE) != 0) {
            return false;
        }
        *size = SHR_POOL_KEEP;
    }
    size_t n_pages = *size / PAGE;
    if (n_pages == 0) {
        return true;
    }
    if (!read_touched(entries, base, n_pages)) {
        return drop(base, *size);
    }
    for (size_t i = 0; i < n_pages;) {
        size_t end = i;
        while (end < n_pages && (entries[end] & TOUCHED) != 0) {
            end++;
        }
        memset(base + i * PAGE, 0, (end - i) * PAGE);
        i = end + 1;
    }
    return true;
}
