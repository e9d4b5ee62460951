/* compare.h: what comparing two states asks of each (diff/diff.h): nodes of its tree; its keys in
 * order, with the hash of each value; the keys that a block changed.
 *
 * Each call is bounded, and says after which block its answer holds. `height`: UINT32_MAX for the
 * tip. SHREWD_ABOVE_TIP, SHREWD_BELOW_START, SHREWD_PRUNED. Any thread.
 */
#ifndef SHR_STATE_COMPARE_H
#define SHR_STATE_COMPARE_H

#include "state/root.h"

#define SHR_NODE_PATHS_MAX 256u  /* of one call */
#define SHR_NODE_NIBBLES_MAX 63u /* of one path */
#define SHR_KEY_LIST_MAX 50000u  /* keys in one list */
#define SHR_KEY_LIST_BYTES ((size_t)4 << 20)

/* Where a subtree begins: the keys whose SHA-256 begins with these half bytes. */
struct shr_node_path {
    struct shr_hash bits; /* zeros after the nibbles */
    unsigned nibbles;
};

/* out[16 * i] to out[16 * i + 15]: the nodes four levels below paths[i]. SHREWD_NO_ROOT when no
 * tree is kept; SHREWD_LIMIT above SHR_NODE_PATHS_MAX paths. */
int shr_reader_nodes(struct shr_reader *reader, struct shr_block_record *block,
                     struct shr_root_node *out, const struct shr_node_path *paths, size_t n,
                     uint32_t height, struct shrewd_error *err);

/* {0} is empty; shr_key_list_free. */
struct shr_key_list {
    struct shr_listed_key {
        size_t at, len;        /* in `bytes` */
        struct shr_hash value; /* SHA-256 of its value; zero in a list of changes */
    } * keys;
    size_t n, cap;
    struct shr_buf bytes;
    bool more; /* it was cut: the next list begins after its last key */
};
static inline struct shr_bytes shr_key_list_at(const struct shr_key_list *list, size_t i) {
    const uint8_t *bytes = list->bytes.data; /* NULL when all its keys are empty: there is one */
    return shr_bytes(bytes == NULL ? NULL : bytes + list->keys[i].at, list->keys[i].len);
}
void shr_key_list_add(struct shr_key_list *list, struct shr_bytes key,
                      const struct shr_hash *value);
void shr_key_list_clear(struct shr_key_list *list);
void shr_key_list_free(struct shr_key_list *list);

/* Which keys a list has. */
struct shr_key_range {
    struct shr_bytes prefix; /* that start with this */
    struct shr_bytes after;  /* and come after this one, */
    bool has_after;          /* if it is given */
    uint32_t height;
    uint32_t count; /* at most; 0: as many as a list takes. shr_reader_keys alone */
};

/* Keys and the hashes of their values after a block, in key order. Replaces `out`. */
int shr_reader_keys(struct shr_reader *reader, struct shr_block_record *block,
                    struct shr_key_list *out, const struct shr_key_range *range,
                    struct shrewd_error *err);
/* Keys that the block of the height changed, in key order; the height must be above the oldest
 * held, or the first. Replaces `out`. */
int shr_reader_changed(struct shr_reader *reader, struct shr_block_record *block,
                       struct shr_key_list *out, const struct shr_key_range *range,
                       struct shrewd_error *err);

#endif
