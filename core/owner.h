/* Slots and life locks: who is in the family, and whether he lives. Protocol: owner.md. */
#ifndef PCN_OWNER_H
#define PCN_OWNER_H

#include "arena.h"

/* Take a slot for the calling process and hold its life lock from now on. `parent` is the
 * token of the process that made this one (0 for the family's first). To be called once
 * in each process, again after a fork. Sets arena->me.
 * PCN_OK, or PCN_NO_MEMORY when all slots are taken by the living. */
enum pcn_status pcn_owner_join(struct pcn_arena *arena, pcn_token parent);

/* Does the process that `token` names live? False for ever once it died or was swept. May
 * say true for a moment while somebody else looks at the same dead slot. */
bool pcn_owner_alive(const struct pcn_arena *arena, pcn_token token);

static inline uint32_t pcn_token_slot(pcn_token token)
{
    return (uint32_t)(token & 0xffffu);
}

static inline uint64_t pcn_token_generation(pcn_token token)
{
    return token >> 16;
}

static inline pcn_token pcn_token_make(uint64_t generation, uint32_t slot)
{
    return (generation << 16) | slot;
}

#endif
