#include "cli/migrate.h"

#include <inttypes.h>
#include <stdio.h>

json_t *shr_migrate_json(const struct shr_rockshrew_counts *counts,
                         const struct shr_block_record *tip) {
    json_t *object = json_object();
    json_object_set_new(object, "height", json_integer(tip->height));
    json_object_set_new(object, "hash", shr_json_hash(tip->hash.b));
    json_object_set_new(object, "keys", json_integer((json_int_t)counts->keys));
    json_object_set_new(object, "entries", json_integer((json_int_t)counts->entries));
    return object;
}

void shr_migrate_print(const char *done, const struct shr_rockshrew_counts *counts,
                       const struct shr_block_record *tip) {
    char hash[SHR_HASH_HEX_LEN + 1];
    shr_hash_hex(hash, &tip->hash);
    printf("%-14s %" PRIu64 " keys, %" PRIu64 " entries\n", done, counts->keys, counts->entries);
    printf("tip            %" PRIu32 " %s\n", tip->height, hash);
}
