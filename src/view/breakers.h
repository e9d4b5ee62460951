/* breakers.h: which views lately broke the instance they ran in.
 *
 * A call that traps or is ended costs its instance. A view that does so again and again must not
 * cost the others their warm ones: it runs in new instances until some of its calls have ended
 * well. A guess that answers do not depend on. Any thread may call.
 */
#ifndef SHR_VIEW_BREAKERS_H
#define SHR_VIEW_BREAKERS_H

#include <stdbool.h>
#include <stdint.h>

#define SHR_BREAKERS 512u /* names that meet in one slot share their fate */

struct shr_breakers {
    _Atomic uint32_t left[SHR_BREAKERS]; /* calls that must end well before it is trusted again */
};

bool shr_breakers_has(const struct shr_breakers *breakers, const char *view);
/* A call of it ended with this code of shrewd/error.h, in an instance of its own or a warm one. */
void shr_breakers_ended(struct shr_breakers *breakers, const char *view, int code);

#endif
