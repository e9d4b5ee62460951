/* rockshrew.h: the database of rockshrew-mono, read into a state and written from one.
 *
 * Its rows, in RocksDB's default column family. `<key>/length` is how many entries the key has, in
 * ASCII; `<key>/0`, `<key>/1`... are `HEIGHT:HEX`, in the order they were written. So a row's last
 * slash ends the key, and the key may be any bytes. `/__INTERNAL/tip-height` and
 * `__INTERNAL/height` are u32 LE, `/__INTERNAL/height-to-hash/<h>` 32 bytes in display order. Under
 * a label, `LABEL://` comes before keys and tip-height. doc/migration.md.
 */
#ifndef SHR_STATE_ROCKSHREW_H
#define SHR_STATE_ROCKSHREW_H

#include "state/state.h"

/* --- Rows; pure functions --- */

enum shr_rockshrew_kind {
    SHR_ROCKSHREW_LENGTH,   /* how many entries a key has */
    SHR_ROCKSHREW_ENTRY,    /* one of them */
    SHR_ROCKSHREW_INTERNAL, /* not the guest's */
    SHR_ROCKSHREW_OTHER,    /* none of these */
};
/* What a row (without its label) is, by its key alone; *key is the guest's, *n the entry's number,
 * of rows that have them. */
enum shr_rockshrew_kind shr_rockshrew_row(struct shr_bytes *key, uint32_t *n, struct shr_bytes row);
/* Decimal digits, without zeros before them, below 2^32. */
bool shr_rockshrew_number(uint32_t *out, struct shr_bytes text);
/* An entry's height and value, `HEIGHT:HEX`. Replaces `value`. */
bool shr_rockshrew_entry(uint32_t *height, struct shr_buf *value, struct shr_bytes entry);
/* The height alone. */
bool shr_rockshrew_entry_height(uint32_t *height, struct shr_bytes entry);

/* --- A whole database --- */

struct shr_rockshrew;

/* Opens it for reading; nothing in its folder is written. label: NULL or "" for none. `scratch`: an
 * existing folder of the caller's, for files that are needed until it is closed. Fails when it has
 * no whole block (SHREWD_NOT_FOUND) or is no such database (SHREWD_MISMATCH). */
int shr_rockshrew_open(struct shr_rockshrew **out, const char *path, const char *label,
                       const char *scratch, struct shrewd_error *err);
void shr_rockshrew_close(struct shr_rockshrew *old); /* NULL is fine */

/* The first height it has, the last, and the hash of the first block. */
void shr_rockshrew_range(const struct shr_rockshrew *old, uint32_t *start, uint32_t *tip,
                         struct shr_hash *first);

struct shr_rockshrew_counts {
    uint64_t keys;       /* with at least one entry taken */
    uint64_t entries;    /* taken: one a key and height at most */
    uint64_t superseded; /* the same height has a later one */
    uint64_t orphaned;   /* a lower height was written after them: a reorg took their block back */
    uint64_t above_tip;  /* of a block that was not finished */
    uint64_t unreached;  /* beyond the count of their key */
    uint64_t other_rows; /* rows of no known kind */
    char other_row[80];  /* the first of those */
    bool heights_differ; /* its two records of the tip: the lower one counts */
};

/* Puts every version of every key into `state`, which is empty and begins at the database's first
 * height. What it sorts, it keeps in the scratch folder, not in memory. Durable when it returns.
 * SHREWD_CORRUPT names the row that is wrong. */
int shr_rockshrew_import(struct shr_rockshrew *old, struct shr_state *state,
                         struct shr_rockshrew_counts *counts, struct shrewd_error *err);

/* Writes all that `state`, which is no fork, holds to a new database of that layout. The folder
 * must be absent or empty. */
int shr_rockshrew_export(struct shr_state *state, const char *path, const char *label,
                         struct shr_rockshrew_counts *counts, struct shrewd_error *err);

#endif
