/* memo.h: what the calls of one warm instance have read, while they all see one version of the
 * state: its values cannot change, so they need not be looked up again. A few hundred KiB at most,
 * for the reads that a view makes in each of its calls; what it has no room for is asked for as
 * ever. One thread at a time, as its instance. */
#ifndef SHR_WASM_MEMO_H
#define SHR_WASM_MEMO_H

#include "base/buf.h"

#define SHR_MEMO_BYTES_MAX (256u * 1024u) /* of entries; the index takes half as much at most */

struct shr_memo {
    uint64_t version; /* of the state that the entries are of; 0: there are none */
    uint32_t *index;  /* a hash table of offsets in `entries`, plus 1 */
    uint32_t mask;
    uint32_t n;
    uint32_t found, refused; /* since they were last weighed */
    bool useless;            /* too little is found in it: ask no more */
    struct shr_buf entries;
};

void shr_memo_free(struct shr_memo *memo);
/* The entries are from now on of this version: what is of another one is forgotten. */
void shr_memo_begin(struct shr_memo *memo, uint64_t version);

/* The value of the key with this hash, valid until the next shr_memo_add; data NULL: the state has
 * none. *key becomes the memo's own copy. False when nothing is known. */
bool shr_memo_get(struct shr_memo *memo, struct shr_bytes *key, uint64_t hash,
                  struct shr_bytes *value);
/* value NULL: the state has none. Does nothing when there is no room. */
void shr_memo_add(struct shr_memo *memo, struct shr_bytes key, uint64_t hash,
                  const struct shr_bytes *value);
uint64_t shr_memo_hash(struct shr_bytes key);
uint64_t shr_memo_bytes(const struct shr_memo *memo);

#endif
