/* The sweep: what becomes of a dead process's things. Protocol: recover.md. */
#ifndef PCN_RECOVER_H
#define PCN_RECOVER_H

#include "arena.h"

/* Return all that the dead occupant of slot `index` owned, and free the slot. The caller
 * holds the slot's life lock; to be repeated after a death half-way.
 * PCN_OK; PCN_BUSY: a child of the dead process is there and may use its blocks. */
enum pcn_status pcn_recover_slot(const struct pcn_arena *arena, uint32_t index);

/* Sweep every slot whose process has died. Who sweeps need not be a member. Returns how
 * many were freed. */
uint32_t pcn_recover_all(const struct pcn_arena *arena);

#endif
