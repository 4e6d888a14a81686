/* Invariants as code: what must hold of the shared structures whenever no lock is held
 * (or its holder died). Used by tests and `procession` reports, never on a hot path. */
#ifndef PCN_VALIDATE_H
#define PCN_VALIDATE_H

#include "arena.h"
#include "channel.h"

/* Each returns NULL, or a static text that says what is wrong. */
const char *pcn_validate_arena(const struct pcn_arena *arena);
const char *pcn_validate_ring(const struct pcn_arena *arena, const struct pcn_ring *ring);
const char *pcn_validate_channel(const struct pcn_arena *arena,
                                 const struct pcn_channel *channel);

#endif
