/* finite.h: what sources whose tip never changes (files, generated chains) have in common. */
#ifndef SHR_NODE_FINITE_H
#define SHR_NODE_FINITE_H

#include "node/source.h"

/* The `wait` of such a source: short at most, so that it needs neither wake nor halt. */
int shr_finite_wait(struct shr_source *source, uint32_t ms, struct shrewd_error *err);

#endif
