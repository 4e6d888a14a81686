#include "recover.h"

#include "block.h"
#include "failpoint.h"
#include "owner.h"
#include "platform.h"

static bool has_living_child(const struct pcn_arena *arena, pcn_token dead)
{
    /* SYNC(owner.slot): a counted slot is ready to be asked. */
    uint32_t high = pcn_load_acquire32(&pcn_head(arena)->slots_high);
    for (uint32_t index = 0; index < high; index++) {
        const struct pcn_slot *slot = pcn_slot_at(arena, index);
        if (pcn_load_relaxed32(&slot->state) != PCN_SLOT_TAKEN ||
            pcn_load_relaxed64(&slot->parent) != dead)
            continue;
        if (pcn_owner_alive(arena, pcn_token_make(pcn_load_relaxed64(&slot->generation), index)))
            return true;
    }
    return false;
}

enum pcn_status pcn_recover_slot(struct pcn_arena *arena, uint32_t index)
{
    struct pcn_slot *slot = pcn_slot_at(arena, index);
    uint64_t generation = pcn_load_relaxed64(&slot->generation);
    pcn_token dead = pcn_token_make(generation, index);
    if (has_living_child(arena, dead))
        return PCN_BUSY;
    /* A joiner sweeps before it has a token of its own: it locks under the dead one's
     * name, which is safe, for the dead one can not. */
    pcn_token me = arena->me;
    if (me == 0)
        arena->me = dead;
    PCN_FAILPOINT("recover.slot.begun");
    pcn_block_sweep(arena, dead);
    arena->me = me;
    PCN_FAILPOINT("recover.slot.swept");
    pcn_store_relaxed64(&slot->parent, 0);
    pcn_store_relaxed64(&slot->generation, generation + 1);
    PCN_FAILPOINT("recover.slot.ended");
    pcn_store_relaxed32(&slot->state, PCN_SLOT_FREE);
    return PCN_OK;
}

uint32_t pcn_recover_all(struct pcn_arena *arena)
{
    uint32_t freed = 0;
    /* SYNC(owner.slot): a counted slot's mutex is ready to use. */
    uint32_t high = pcn_load_acquire32(&pcn_head(arena)->slots_high);
    for (uint32_t index = 0; index < high; index++) {
        struct pcn_slot *slot = pcn_slot_at(arena, index);
        if (pcn_load_relaxed32(&slot->state) != PCN_SLOT_TAKEN ||
            index == pcn_token_slot(arena->me))
            continue;
        if (!pcn_life_try(&slot->life))
            continue;
        if (pcn_load_relaxed32(&slot->state) == PCN_SLOT_TAKEN &&
            pcn_recover_slot(arena, index) == PCN_OK)
            freed++;
        pcn_life_leave(&slot->life);
    }
    return freed;
}
