/* files_scan.h: finding the blocks in files of records (magic, u32 LE length, block).
 *
 * Source: Bitcoin Core's blk*.dat, xor.dat (8 bytes XORed over each file, by offset modulo 8) and
 * the bootstrap.dat made from them. Only headers are read. One thread.
 */
#ifndef SHR_NODE_FILES_SCAN_H
#define SHR_NODE_FILES_SCAN_H

#include "base/stop.h"
#include "node/files_index.h"

#define SHR_FILES_KEY_SIZE 8

struct shr_files_file {
    char *path;
    uint8_t key[SHR_FILES_KEY_SIZE]; /* zeros: stored as it is */
};

/* Starts out zeroed. */
struct shr_files_scan {
    struct shr_files_index *index;
    struct shr_stop *stop;
    uint8_t magic[4];
    bool has_magic; /* found in the first record; others are not accepted after it */
};

/* Adds every whole block of the file to the index. What is neither a block nor zeros is passed
 * over with a warning that says where it lies. SHREWD_IO or SHREWD_STOPPED. */
int shr_files_scan(struct shr_files_scan *scan, const struct shr_files_file *file, uint32_t number,
                   struct shrewd_error *err);
/* True when a record begins at the file's first byte. */
bool shr_files_starts_with_record(const struct shr_files_file *file);

/* Reads `len` bytes at `offset` and takes the key off them. SHREWD_IO, also when the file ends
 * earlier. */
int shr_files_read(uint8_t *out, size_t len, int fd, uint64_t offset,
                   const struct shr_files_file *file, struct shrewd_error *err);

#endif
