/* root_impl.h: what the files of the state tree share; private to the room. */
#ifndef SHR_STATE_ROOT_IMPL_H
#define SHR_STATE_ROOT_IMPL_H

#include "state/root.h"
#include "state/root_aside.h"
#include "state/root_page.h"
#include "state/state_impl.h"

/* Pages in the order they came into memory, or were passed over when pages were dropped. */
struct shr_root_list {
    struct shr_root_page *oldest, *newest;
};

struct shr_root {
    struct shr_store *store;
    size_t cache_bytes;
    unsigned threads;
    struct shr_root_aside *aside; /* NULL: what memory has no room for is read again */
    struct shr_root_page *top;    /* NULL: not in memory, or not there */
    /* The pages below, by the top page's slots: buckets, and inner pages. */
    struct shr_root_list lists[2][SHR_ROOT_SLOTS];
    size_t bytes;         /* of all pages in memory */
    size_t kept_bytes;    /* of those that were left when blocks were last written */
    struct shr_hash hash; /* after the last update */
    bool has_hash;
};

/* Calls piece(ctx, i) for each i below n, on up to so many threads, this one among them. */
void shr_root_work(unsigned threads, size_t n, void (*piece)(void *ctx, size_t i), void *ctx);

/* What a block writes. */
struct shr_root_news {
    struct shr_root_leaf *leaves; /* those of each of the top page's slots after each other */
    size_t n;
    size_t starts[SHR_ROOT_SLOTS + 1]; /* in `leaves`, of each slot's */
};
/* Of pairs in any order, each key once. */
void shr_root_news_make(struct shr_root_news *out, const struct shr_pair *const *pairs, size_t n,
                        unsigned threads);
/* Puts one slot's leaves in order; threads may do so with different ones at once. */
void shr_root_news_sort(struct shr_root_news *news, size_t slot);
void shr_root_news_free(struct shr_root_news *news);

/* A page is in memory now, below `above` (NULL: it is the top); path: of any leaf below. Threads
 * that work on different slots of the top page may call this at once. What it takes in memory is
 * the caller's to count. */
void shr_root_hold(struct shr_root *root, struct shr_root_page *page, struct shr_root_page *above,
                   const struct shr_hash *path);
/* It is not any more; its slot above is the caller's to set. */
void shr_root_release(struct shr_root *root, struct shr_root_page *page,
                      const struct shr_hash *path);

#endif
