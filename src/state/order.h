/* order.h: sorting by key, as tables are: items with equal keys stay in the order of their rank. */
#ifndef SHR_STATE_ORDER_H
#define SHR_STATE_ORDER_H

#include "base/buf.h"

struct shr_ordered {
    struct shr_bytes key; /* borrowed */
    uint64_t word;        /* for the sorting: eight bytes of the key */
    size_t rank;          /* each its own; says whose key it is */
};

void shr_order(struct shr_ordered *items, size_t n);

#endif
