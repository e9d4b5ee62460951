#include "node/files_index.h"

#include "base/alloc.h"
#include "base/endian.h"
#include "chain/work.h"

#include <assert.h>
#include <stdlib.h>

#define NO_RECORD UINT32_MAX

struct shr_files_link {
    struct shr_hash prev;
    uint32_t bits;
    uint32_t parent; /* NO_RECORD for a root */
    uint32_t root;   /* NO_RECORD until work is known */
    uint32_t depth;  /* blocks between the root and this one */
    struct shr_work work;
};

/* Hashes are uniform, but for their last bytes, which proof of work makes zero. */
static size_t slot_of(const struct shr_files_index *index, const struct shr_hash *hash) {
    size_t at = (size_t)shr_get_le64(hash->b) & (index->n_slots - 1);
    while (index->slots[at] != 0 &&
           !shr_hash_eq(&index->records[index->slots[at] - 1].hash, hash)) {
        at = (at + 1) & (index->n_slots - 1);
    }
    return at;
}

static uint32_t find(const struct shr_files_index *index, const struct shr_hash *hash) {
    if (index->n_slots == 0) {
        return NO_RECORD;
    }
    uint32_t slot = index->slots[slot_of(index, hash)];
    return slot == 0 ? NO_RECORD : slot - 1;
}

const struct shr_files_record *shr_files_index_find(const struct shr_files_index *index,
                                                    const struct shr_hash *hash) {
    uint32_t at = find(index, hash);
    return at == NO_RECORD ? NULL : &index->records[at];
}

static void grow(struct shr_files_index *index) {
    index->cap = index->cap == 0 ? 1024 : 2 * index->cap;
    index->records = shr_realloc_array(index->records, index->cap, sizeof *index->records);
    index->links = shr_realloc_array(index->links, index->cap, sizeof *index->links);
    free(index->slots);
    index->n_slots = 2 * index->cap; /* never more than half full */
    index->slots = shr_alloc_array(index->n_slots, sizeof *index->slots);
    for (size_t i = 0; i < index->n; i++) {
        index->slots[slot_of(index, &index->records[i].hash)] = (uint32_t)i + 1;
    }
}

bool shr_files_index_add(struct shr_files_index *index, const struct shr_files_record *record,
                         const struct shr_header *header) {
    assert(index->n < NO_RECORD / 2 && index->chain == NULL);
    if (index->n == index->cap) {
        grow(index);
    }
    size_t slot = slot_of(index, &record->hash);
    if (index->slots[slot] != 0) {
        return false;
    }
    index->records[index->n] = *record;
    index->links[index->n] = (struct shr_files_link){
        .prev = header->prev,
        .bits = header->bits,
        .parent = NO_RECORD,
        .root = NO_RECORD,
    };
    index->n++;
    index->slots[slot] = (uint32_t)index->n;
    return true;
}

static void supply_genesis(struct shr_files_index *index) {
    bool wanted = false;
    for (size_t i = 0; index->network != NULL && i < index->n && !wanted; i++) {
        wanted = shr_hash_eq(&index->links[i].prev, &index->network->genesis_hash);
    }
    if (!wanted || find(index, &index->network->genesis_hash) != NO_RECORD) {
        return;
    }
    struct shr_buf block = {0};
    struct shr_header header;
    shr_network_genesis(&block, index->network);
    int status = shr_header_parse(&header, shr_buf_bytes(&block), NULL);
    assert(status == 0);
    (void)status;
    const struct shr_files_record record = {
        .hash = index->network->genesis_hash,
        .len = (uint32_t)block.len,
        .file = SHR_FILES_BUILT,
    };
    shr_files_index_add(index, &record, &header);
    shr_buf_free(&block);
}

/* Work, root and depth of one record from its parent's. */
static void settle(struct shr_files_index *index, uint32_t at, struct shr_work *cached,
                   uint32_t *cached_bits) {
    struct shr_files_link *link = &index->links[at];
    if (link->bits != *cached_bits) { /* they change every 2016 blocks; a division each is dear */
        shr_work_of(cached, link->bits);
        *cached_bits = link->bits;
    }
    link->work = *cached;
    link->root = at;
    if (link->parent != NO_RECORD) {
        const struct shr_files_link *parent = &index->links[link->parent];
        shr_work_add(&link->work, &parent->work);
        link->root = parent->root;
        link->depth = parent->depth + 1;
    }
}

static void settle_all(struct shr_files_index *index) {
    uint32_t *path = shr_alloc_array(index->n, sizeof *path);
    struct shr_work cached = {{0}};
    uint32_t cached_bits = 0; /* no valid target, so its work is 0 indeed */
    for (size_t i = 0; i < index->n; i++) {
        index->links[i].parent = find(index, &index->links[i].prev);
    }
    for (size_t i = 0; i < index->n; i++) {
        size_t n_path = 0;
        for (uint32_t at = (uint32_t)i; at != NO_RECORD && index->links[at].root == NO_RECORD;
             at = index->links[at].parent) {
            path[n_path++] = at;
        }
        while (n_path > 0) {
            settle(index, path[--n_path], &cached, &cached_bits);
        }
    }
    free(path);
}

/* The record that the best chain ends with. */
static uint32_t best_tip(const struct shr_files_index *index, uint32_t genesis) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < index->n; i++) {
        const struct shr_files_link *link = &index->links[i];
        const struct shr_files_link *so_far = &index->links[best];
        bool anchored = link->root == genesis;
        bool best_anchored = so_far->root == genesis;
        if (anchored != best_anchored ? anchored : shr_work_cmp(&link->work, &so_far->work) > 0) {
            best = i;
        }
    }
    return best;
}

int shr_files_index_link(struct shr_files_index *index, uint32_t first_height,
                         struct shrewd_error *err) {
    if (index->n == 0) {
        return 0;
    }
    supply_genesis(index);
    settle_all(index);
    uint32_t genesis =
        index->network == NULL ? NO_RECORD : find(index, &index->network->genesis_hash);
    uint32_t at = best_tip(index, genesis);
    uint32_t root = index->links[at].root;
    index->n_chain = (size_t)index->links[at].depth + 1;
    index->first_height = genesis != NO_RECORD && root == genesis ? 0 : first_height;
    if (index->n_chain - 1 > UINT32_MAX - 1 - index->first_height) {
        return shr_fail(err, SHREWD_INVALID,
                        "%zu blocks from height %u on do not fit; give their first block's height",
                        index->n_chain, index->first_height);
    }
    index->chain = shr_alloc_array(index->n_chain, sizeof *index->chain);
    for (size_t i = index->n_chain; i-- > 0; at = index->links[at].parent) {
        index->chain[i] = at;
    }
    for (size_t i = 0; i < index->n; i++) {
        index->n_apart += index->links[i].root != root;
    }
    free(index->links);
    index->links = NULL;
    return 0;
}

void shr_files_index_deinit(struct shr_files_index *index) {
    free(index->chain);
    free(index->slots);
    free(index->links);
    free(index->records);
    *index = (struct shr_files_index){0};
}
