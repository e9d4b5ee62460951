/* memo.c: a hash table of offsets into a buffer that only grows. */
#include "wasm/memo.h"

#include "base/alloc.h"
#include "base/same.h"

#include <stdlib.h>

#define INDEX_MIN 256u                     /* slots; a power of two */
#define INDEX_MAX (SHR_MEMO_BYTES_MAX / 8) /* at 4 bytes a slot: half the entries' bytes */
#define ENTRY_MAX 4096u                    /* bytes of key and value */
#define PROBES 8u                          /* so many slots are looked at: no crowd hurts */
#define WEIGHED 4096u                      /* refusals between two judgements */
#define ABSENT UINT16_MAX                  /* as the length of a value */

struct head {
    uint32_t hash;
    uint16_t key_len;
    uint16_t value_len;
};

static uint64_t fold(uint64_t a, uint64_t b) {
    __extension__ unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t shr_memo_hash(struct shr_bytes key) {
    const uint8_t *at = key.data;
    size_t left = key.len;
    uint64_t hash = 0x9e3779b97f4a7c15u ^ left;
    for (; left > 8; at += 8, left -= 8) {
        hash = fold(hash ^ shr_word_at(at), 0xd6e8feb86659fd93u);
    }
    uint64_t rest = 0;
    if (key.len >= 8) {
        rest = shr_word_at(key.data + key.len - 8);
    } else if (left > 0) {
        memcpy(&rest, at, left);
    }
    return fold(hash ^ rest, 0xa0761d6478bd642fu);
}

void shr_memo_free(struct shr_memo *memo) {
    free(memo->index);
    shr_buf_free(&memo->entries);
    *memo = (struct shr_memo){0};
}

static void forget(struct shr_memo *memo) {
    if (memo->index != NULL) {
        memset(memo->index, 0, ((size_t)memo->mask + 1) * sizeof *memo->index);
    }
    memo->n = 0;
    memo->entries.len = 0;
}

void shr_memo_begin(struct shr_memo *memo, uint64_t version) {
    if (memo->version != version) {
        forget(memo);
        memo->version = version;
        memo->useless = false;
        memo->found = 0;
        memo->refused = 0;
    }
}

bool shr_memo_get(struct shr_memo *memo, struct shr_bytes *key, uint64_t hash,
                  struct shr_bytes *value) {
    for (uint32_t i = 0; i < PROBES && memo->index != NULL; i++) {
        uint32_t offset = memo->index[((uint32_t)(hash >> 32) + i) & memo->mask];
        if (offset == 0) {
            break;
        }
        struct head head;
        const uint8_t *at = memo->entries.data + offset - 1;
        memcpy(&head, at, sizeof head);
        at += sizeof head;
        if (head.hash == (uint32_t)hash && head.key_len == key->len &&
            shr_same(at, key->data, key->len)) {
            *key = shr_bytes(at, head.key_len);
            *value = head.value_len == ABSENT ? shr_bytes(NULL, 0)
                                              : shr_bytes(at + head.key_len, head.value_len);
            memo->found++;
            return true;
        }
    }
    return false;
}

/* Puts an offset where look-ups come by; false when there is no slot left there. */
static bool place(struct shr_memo *memo, uint64_t hash_high, uint32_t offset) {
    for (uint32_t i = 0; i < PROBES; i++) {
        uint32_t *slot = &memo->index[((uint32_t)hash_high + i) & memo->mask];
        if (*slot == 0) {
            *slot = offset;
            return true;
        }
    }
    return false;
}

/* Twice the slots, or the first ones. What finds no place any more is asked for again. */
static void grow_index(struct shr_memo *memo) {
    uint32_t slots = memo->index == NULL ? INDEX_MIN : (memo->mask + 1) * 2;
    free(memo->index);
    memo->index = shr_alloc_array(slots, sizeof *memo->index);
    memo->mask = slots - 1;
    memo->n = 0;
    for (size_t at = 0; at < memo->entries.len;) {
        struct head head;
        memcpy(&head, memo->entries.data + at, sizeof head);
        struct shr_bytes key = shr_bytes(memo->entries.data + at + sizeof head, head.key_len);
        memo->n += place(memo, shr_memo_hash(key) >> 32, (uint32_t)at + 1);
        at += sizeof head + head.key_len + (head.value_len == ABSENT ? 0 : head.value_len);
    }
}

/* No room: what is found in a full memo has to be worth the looking. If not, it is given up for
 * this version. */
static void refuse(struct shr_memo *memo) {
    if (++memo->refused < WEIGHED) {
        return;
    }
    if (memo->found < memo->refused / 4) {
        uint64_t version = memo->version;
        shr_memo_free(memo);
        memo->version = version;
        memo->useless = true;
    }
    memo->found = 0;
    memo->refused = 0;
}

void shr_memo_add(struct shr_memo *memo, struct shr_bytes key, uint64_t hash,
                  const struct shr_bytes *value) {
    size_t value_len = value == NULL ? 0 : value->len;
    if (memo->useless) {
        return;
    }
    if (key.len > ENTRY_MAX || value_len > ENTRY_MAX - key.len ||
        memo->entries.len + sizeof(struct head) + key.len + value_len > SHR_MEMO_BYTES_MAX) {
        refuse(memo);
        return;
    }
    if (memo->index == NULL || (memo->n * 2 > memo->mask && memo->mask + 1 < INDEX_MAX)) {
        grow_index(memo);
    }
    if (memo->n * 2 > memo->mask || !place(memo, hash >> 32, (uint32_t)memo->entries.len + 1)) {
        refuse(memo);
        return;
    }
    memo->n++;
    struct head head = {.hash = (uint32_t)hash,
                        .key_len = (uint16_t)key.len,
                        .value_len = value == NULL ? ABSENT : (uint16_t)value_len};
    shr_buf_append(&memo->entries, &head, sizeof head);
    shr_buf_add(&memo->entries, key);
    if (value != NULL) {
        shr_buf_add(&memo->entries, *value);
    }
}

uint64_t shr_memo_bytes(const struct shr_memo *memo) {
    uint64_t slots = memo->index == NULL ? 0 : (uint64_t)memo->mask + 1;
    return memo->entries.cap + slots * sizeof *memo->index;
}
