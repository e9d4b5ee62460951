/* root_sha.h: the hash of a node of the state tree, and of keys and values, with the CPU's SHA
 * instructions, two at a time; private to the room. */
#ifndef SHR_STATE_ROOT_SHA_H
#define SHR_STATE_ROOT_SHA_H

#include "state/root_page.h"

/* Whether this CPU has what the others need. */
bool shr_root_sha_able(void);
/* As shr_root_hash. No job's result may be what another of the same call reads. */
void shr_root_sha(uint8_t tag, const struct shr_root_job *jobs, size_t n);
/* As shr_root_hash_messages. */
void shr_root_sha_messages(const struct shr_root_message *messages, size_t n);

#endif
