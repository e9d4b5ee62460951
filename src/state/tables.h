/* tables.h: every table as a tree in memory, behind a lock: what the memory store and the
 * overlay are made of. Any thread may call anything but init and deinit. */
#ifndef SHR_STATE_TABLES_H
#define SHR_STATE_TABLES_H

#include "state/store.h"
#include "state/tree.h"

#include <pthread.h>

/* All tables at one moment. */
struct shr_frozen {
    struct shr_tree trees[SHR_TABLE_COUNT];
};

struct shr_tables {
    pthread_rwlock_t lock;
    struct shr_frozen now;
    bool tombstones; /* a removed key stays as a tombstone */
};

void shr_tables_init(struct shr_tables *tables, bool tombstones);
void shr_tables_deinit(struct shr_tables *tables);
/* All of the batch, or (to readers) nothing of it yet. */
void shr_tables_write(struct shr_tables *tables, const struct shr_batch *batch);
void shr_tables_freeze(struct shr_tables *tables, struct shr_frozen *out);
void shr_frozen_drop(struct shr_frozen *frozen);
/* As of `frozen`, or NULL for now. The caller drops the entry; NULL when absent. */
struct shr_entry *shr_tables_find(struct shr_tables *tables, const struct shr_frozen *frozen,
                                  enum shr_table table, struct shr_bytes key);
/* What one table holds and what all take, for shr_store_sizes. */
void shr_tables_sizes(struct shr_tables *tables, struct shr_sizes *out);

#endif
