/* The pages that stay in memory from block to block, and the threads that share out a block's work.
 *
 * Each of the top page's slots has lists of its own, so that threads can work on different ones. */
#include "state/root_impl.h"

#include "base/alloc.h"
#include "base/tasks.h"

#include <stdlib.h>
#include <string.h>

#define THREADS_MAX (SHR_PIECES_HELPERS_MAX + 1)
/* Dropping less is not worth another thread. */
#define THREADED_BYTES ((size_t)1 << 20)

void shr_root_work(unsigned threads, size_t n, void (*piece)(void *ctx, size_t i), void *ctx) {
    struct shr_pieces pieces = {.piece = piece, .ctx = ctx, .n = n, .name = "commit-tree"};
    shr_pieces_begin(&pieces, threads - 1); /* and this one */
    shr_pieces_end(&pieces);
}

/* --- Lists --- */

static void leave_list(struct shr_root_list *list, struct shr_root_page *page) {
    *(page->older != NULL ? &page->older->newer : &list->oldest) = page->newer;
    *(page->newer != NULL ? &page->newer->older : &list->newest) = page->older;
}

static void join_list(struct shr_root_list *list, struct shr_root_page *page) {
    page->older = list->newest;
    page->newer = NULL;
    *(list->newest != NULL ? &list->newest->newer : &list->oldest) = page;
    list->newest = page;
}

void shr_root_hold(struct shr_root *root, struct shr_root_page *page, struct shr_root_page *above,
                   const struct shr_hash *path) {
    page->above = above;
    if (above != NULL) {
        page->slot = (uint8_t)shr_root_nibble(path, above->depth);
        if (above->depth > 0) { /* the top page is shared and not written */
            above->n++;
        }
        join_list(&root->lists[page->is_inner][shr_root_nibble(path, 0)], page);
    }
}

void shr_root_release(struct shr_root *root, struct shr_root_page *page,
                      const struct shr_hash *path) {
    if (page->above != NULL) {
        if (page->above->depth > 0) {
            page->above->n--;
        }
        leave_list(&root->lists[page->is_inner][shr_root_nibble(path, 0)], page);
    }
}

/* --- Dropping pages --- */

/* The bytes that were freed. */
static size_t drop(struct shr_root *root, struct shr_root_list *list, struct shr_root_page *page) {
    size_t bytes = shr_root_page_bytes(page);
    if (root->aside != NULL && !page->is_inner) {
        page->above->of.inner->aside[page->slot] = shr_root_aside_put(root->aside, page);
    }
    leave_list(list, page);
    page->above->n -= page->above->depth > 0;
    page->above->of.inner->pages[page->slot] = NULL;
    shr_root_page_free(page);
    return bytes;
}

/* The oldest of a list goes, unless it has been used since or a page below it is in memory. */
static size_t drop_oldest(struct shr_root *root, struct shr_root_list *list) {
    struct shr_root_page *page = list->oldest;
    if (page->used || (page->is_inner && page->n > 0)) {
        page->used = false;
        leave_list(list, page);
        join_list(list, page);
        return 0;
    }
    return drop(root, list, page);
}

struct drops {
    struct shr_root *root;
    struct shr_root_list *lists; /* of one kind */
    size_t share;                /* of each list, in bytes */
    size_t freed[SHR_ROOT_SLOTS];
};

static void drop_share(void *ctx, size_t i) {
    struct drops *drops = ctx;
    while (drops->freed[i] < drops->share && drops->lists[i].oldest != NULL) {
        drops->freed[i] += drop_oldest(drops->root, &drops->lists[i]);
    }
}

/* What was freed: 0 when there is nothing of this kind. */
static size_t drop_some(struct shr_root *root, struct shr_root_list *lists, size_t keep) {
    size_t excess = root->bytes - keep, freed = 0;
    struct drops drops = {.root = root, .lists = lists, .share = excess / SHR_ROOT_SLOTS + 1};
    shr_root_work(excess < THREADED_BYTES ? 1 : root->threads, SHR_ROOT_SLOTS, drop_share, &drops);
    for (unsigned i = 0; i < SHR_ROOT_SLOTS; i++) {
        freed += drops.freed[i];
    }
    root->bytes -= freed;
    return freed;
}

/* What the next blocks need comes on top of what is kept, until they are written: about as much as
 * these needed. A quarter is kept in any case. */
static size_t bytes_to_keep(const struct shr_root *root) {
    size_t grown = root->bytes > root->kept_bytes ? root->bytes - root->kept_bytes : 0;
    size_t least = root->cache_bytes / 4;
    return grown < root->cache_bytes - least ? root->cache_bytes - grown : least;
}

/* Buckets go before inner pages: each of those leads to many. */
void shr_root_written(struct shr_root *root) {
    size_t keep = bytes_to_keep(root);
    for (unsigned kind = 0; kind < 2; kind++) {
        while (root->bytes > keep && drop_some(root, root->lists[kind], keep) > 0) {
        }
    }
    root->kept_bytes = root->bytes;
}

void shr_root_forget(struct shr_root *root) {
    shr_root_page_free(root->top);
    root->top = NULL;
    memset(root->lists, 0, sizeof root->lists);
    root->bytes = root->kept_bytes = 0;
    root->has_hash = false;
    if (root->aside != NULL) {
        shr_root_aside_clear(root->aside);
    }
}

/* --- Making and freeing --- */

struct shr_root *shr_root_new(struct shr_store *store, size_t cache_bytes, unsigned threads) {
    struct shr_root *root = shr_alloc(sizeof *root);
    root->store = store;
    root->cache_bytes = cache_bytes;
    root->threads = threads < 1 ? 1 : threads > THREADS_MAX ? THREADS_MAX : threads;
    return root;
}

void shr_root_set_cache(struct shr_root *root, size_t cache_bytes) {
    root->cache_bytes = cache_bytes;
}

void shr_root_set_aside(struct shr_root *root, const char *folder, uint64_t bytes) {
    shr_root_forget(root);
    shr_root_aside_free(root->aside);
    root->aside = shr_root_aside_new(folder, bytes);
}

void shr_root_free(struct shr_root *root) {
    if (root != NULL) {
        shr_root_forget(root);
        shr_root_aside_free(root->aside);
        free(root);
    }
}
