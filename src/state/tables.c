#include "state/tables.h"

#include <assert.h>

/* What an entry costs beside its bytes: the node, the entry's head, and malloc's own. */
#define ENTRY_OVERHEAD 112

void shr_tables_init(struct shr_tables *tables, bool tombstones) {
    int failed = pthread_rwlock_init(&tables->lock, NULL);
    assert(failed == 0); /* cannot fail with default attributes on Linux */
    (void)failed;
    tables->now = (struct shr_frozen){0};
    tables->tombstones = tombstones;
}

void shr_tables_deinit(struct shr_tables *tables) {
    shr_frozen_drop(&tables->now);
    pthread_rwlock_destroy(&tables->lock);
}

void shr_tables_write(struct shr_tables *tables, const struct shr_batch *batch) {
    pthread_rwlock_wrlock(&tables->lock);
    for (size_t i = 0; i < batch->n; i++) {
        const struct shr_write *write = &batch->writes[i];
        struct shr_tree *tree = &tables->now.trees[write->table];
        if (!write->remove) {
            shr_tree_put(tree, write->key, write->value, false);
        } else if (tables->tombstones) {
            shr_tree_put(tree, write->key, shr_bytes(NULL, 0), true);
        } else {
            shr_tree_remove(tree, write->key);
        }
    }
    pthread_rwlock_unlock(&tables->lock);
}

void shr_tables_freeze(struct shr_tables *tables, struct shr_frozen *out) {
    pthread_rwlock_rdlock(&tables->lock);
    for (int table = 0; table < SHR_TABLE_COUNT; table++) {
        out->trees[table] = shr_tree_share(&tables->now.trees[table]);
    }
    pthread_rwlock_unlock(&tables->lock);
}

void shr_frozen_drop(struct shr_frozen *frozen) {
    for (int table = 0; table < SHR_TABLE_COUNT; table++) {
        shr_tree_drop(&frozen->trees[table]);
    }
}

struct shr_entry *shr_tables_find(struct shr_tables *tables, const struct shr_frozen *frozen,
                                  enum shr_table table, struct shr_bytes key) {
    if (frozen != NULL) {
        struct shr_entry *entry = shr_tree_find(&frozen->trees[table], key);
        return entry == NULL ? NULL : shr_entry_ref(entry);
    }
    pthread_rwlock_rdlock(&tables->lock);
    struct shr_entry *entry = shr_tree_find(&tables->now.trees[table], key);
    if (entry != NULL) {
        shr_entry_ref(entry);
    }
    pthread_rwlock_unlock(&tables->lock);
    return entry;
}

void shr_tables_sizes(struct shr_tables *tables, struct shr_sizes *out) {
    pthread_rwlock_rdlock(&tables->lock);
    out->bytes = 0;
    for (int table = 0; table < SHR_TABLE_COUNT; table++) {
        const struct shr_tree *tree = &tables->now.trees[table];
        out->tables[table].rows = tree->n;
        out->tables[table].bytes = tree->bytes + tree->n * ENTRY_OVERHEAD;
        out->bytes += out->tables[table].bytes;
    }
    pthread_rwlock_unlock(&tables->lock);
}
