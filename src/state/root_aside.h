/* root_aside.h: buckets that memory has no room for, put aside in a file: to have one again is one
 * short read of the file, where ROOT keeps it as rows in several of its own. Private to the room.
 *
 * The file is no part of the database. It has no name, holds what one process has put there, and
 * is gone with it. What cannot be had from it is read from ROOT: it was overwritten, as the file is
 * a ring, or cannot be read, or is not what was written. So nothing depends on it but time.
 *
 * Threads: several may put buckets aside at once, or take them back; not one while another does the
 * other, nor while anything else is done.
 */
#ifndef SHR_STATE_ROOT_ASIDE_H
#define SHR_STATE_ROOT_ASIDE_H

#include "state/root_page.h"

struct shr_root_aside;

/* A ring of at most `bytes` in a file of the folder, which is copied. Nothing is written before the
 * first bucket is put aside; the ring grows while the disk has as much free as it may take. */
struct shr_root_aside *shr_root_aside_new(const char *folder, uint64_t bytes);
void shr_root_aside_free(struct shr_root_aside *aside); /* NULL is fine */
/* Where the bucket is now; 0: it could not be put aside. */
uint64_t shr_root_aside_put(struct shr_root_aside *aside, const struct shr_root_page *page);
/* The bucket that was put there; NULL: it is gone. */
struct shr_root_page *shr_root_aside_take(struct shr_root_aside *aside, uint64_t at,
                                          unsigned depth);
/* Nobody will ask for what was put aside until now: gives its space on the disk back. */
void shr_root_aside_clear(struct shr_root_aside *aside);

#endif
