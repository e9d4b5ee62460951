/* root_impl.h: what the files of the state tree share; private to the room. */
#ifndef SHR_STATE_ROOT_IMPL_H
#define SHR_STATE_ROOT_IMPL_H

#include "state/root.h"
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
    struct shr_root_page *top; /* NULL: not in memory, or not there */
    /* The pages below, by the top page's slots: buckets, and inner pages. */
    struct shr_root_list lists[2][SHR_ROOT_SLOTS];
    size_t bytes;         /* of all pages in memory */
    unsigned hand;        /* the slot from which a page was dropped last */
    struct shr_hash hash; /* after the last update */
    bool has_hash;
};

#endif
