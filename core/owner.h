/* Slots and life locks: who is in the family, and whether he lives. Protocol: owner.md. */
#ifndef PCN_OWNER_H
#define PCN_OWNER_H

#include "arena.h"

/* Take a slot for the calling process and hold its life lock from now on. `parent` is the
 * token of the process that made this one (0 for the family's first). To be called once
 * in each process, again after a fork. Sets arena->me; 0 if it was refused.
 * PCN_OK; PCN_NO_MEMORY when all slots are taken by the living; PCN_CLOSED when the parent
 * died and was swept: what this process counts on may be gone. */
enum pcn_status pcn_owner_join(struct pcn_arena *arena, pcn_token parent);

/* Does the process that `token` names live? False for ever once it died or was swept. May
 * say true for a moment while somebody else looks at the same dead slot. */
bool pcn_owner_alive(const struct pcn_arena *arena, pcn_token token);

/* Begin a new life of slot `index`, whose life lock the caller holds: from here on all
 * older tokens of the slot are dead for everybody. Returns the new token. */
pcn_token pcn_owner_begin(const struct pcn_arena *arena, uint32_t index);

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
