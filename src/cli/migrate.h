/* migrate.h: what import-rockshrew and export-rockshrew say of what they did. */
#ifndef SHR_CLI_MIGRATE_H
#define SHR_CLI_MIGRATE_H

#include "cli/output.h"
#include "state/rockshrew.h"

/* An object with height, hash, keys and entries. */
json_t *shr_migrate_json(const struct shr_rockshrew_counts *counts,
                         const struct shr_block_record *tip);
/* The same as lines; the first begins with `done`. */
void shr_migrate_print(const char *done, const struct shr_rockshrew_counts *counts,
                       const struct shr_block_record *tip);

#endif
