/* staging.h: a database folder that appears whole or not at all: it is made in a folder beside its
 * place, and renamed. What a run that was cut short has left there goes with the next one. */
#ifndef SHR_BASE_STAGING_H
#define SHR_BASE_STAGING_H

#include "base/error.h"

#include <stddef.h>

struct shr_staging {
    char *target; /* where it shall be */
    char *folder; /* target, ".partial" or another suffix: for whatever is needed on the way */
    char *made;   /* folder, "/db": to be made by the caller, then renamed to target */
    int lock;
    size_t made_from; /* of folder's path, the length up to the first folder made; 0: none was */
};

/* The target must be absent, or an empty folder; SHREWD_LOCKED when another process makes it.
 * Needs shr_staging_end also after a failure. */
int shr_staging_begin(struct shr_staging *out, const char *target, struct shrewd_error *err);
/* The same with another suffix; what an earlier run has left there is kept, to go on with. */
int shr_staging_resume(struct shr_staging *out, const char *target, const char *suffix,
                       struct shrewd_error *err);
/* Puts what was made in its place. */
int shr_staging_commit(struct shr_staging *staging, struct shrewd_error *err);
/* Removes what is left of the folder, and those above it that were made for it and are empty. */
void shr_staging_end(struct shr_staging *staging);
/* Leaves it for another run; instead of shr_staging_end. */
void shr_staging_leave(struct shr_staging *staging);

#endif
