#include "recover.h"

#include "block.h"
#include "failpoint.h"
#include "object.h"
#include "owner.h"
#include "platform.h"

static bool has_child(const struct pcn_arena *arena, uint32_t parent)
{
    /* SYNC(owner.slot): a counted slot is ready to be asked. */
    uint32_t high = pcn_load_acquire32(&pcn_head(arena)->slots_high);
    for (uint32_t index = 0; index < high; index++) {
        const struct pcn_slot *slot = pcn_slot_at(arena, index);
        uint32_t state = pcn_load_relaxed32(&slot->state);
        pcn_token token = pcn_load_relaxed64(&slot->parent);
        /* By the slot, not the token: an earlier sweeper may have ended the generation.
         * A dead child counts until it is swept itself: its own children may live. */
        if ((state == PCN_SLOT_TAKEN || state == PCN_SLOT_SWEEPING) && token != 0 &&
            pcn_token_slot(token) == parent)
            return true;
    }
    return false;
}

enum pcn_status pcn_recover_slot(const struct pcn_arena *arena, uint32_t index)
{
    struct pcn_slot *slot = pcn_slot_at(arena, index);
    pcn_store_relaxed32(&slot->state, PCN_SLOT_SWEEPING);
    PCN_FAILPOINT("recover.slot.marked");
    /* SYNC(owner.parent): marked before we look for children; a child is there before it
     * looks at its parent. One of the two sees the other. */
    pcn_fence_seq_cst();
    if (has_child(arena, index)) {
        /* SYNC(owner.parent): not before the generation that a dead sweeper may have begun. */
        pcn_store_release32(&slot->state, PCN_SLOT_TAKEN);
        return PCN_BUSY;
    }
    /* The dead one may have died inside the heap's lock, and we hold its life: without a
     * new generation everybody, and we too, would take it for alive. */
    pcn_token life = pcn_owner_begin(arena, index);
    PCN_FAILPOINT("recover.slot.ended");
    /* A joiner or an outsider has no token: it sweeps under the one that began just now,
     * which lives as long as we hold the slot, and is nobody's afterwards. */
    struct pcn_arena sweeper = *arena;
    if (sweeper.me == 0)
        sweeper.me = life;
    /* The parent is there: it is not swept while a slot names it. */
    pcn_object_sweep(&sweeper, life, pcn_load_relaxed64(&slot->parent));
    PCN_FAILPOINT("recover.slot.let_go");
    pcn_block_sweep(&sweeper, life);
    PCN_FAILPOINT("recover.slot.swept");
    pcn_store_relaxed64(&slot->parent, 0);
    pcn_store_relaxed32(&slot->state, PCN_SLOT_FREE);
    PCN_FAILPOINT("recover.slot.freed");
    return PCN_OK;
}

static bool sweep(const struct pcn_arena *arena, uint32_t index)
{
    struct pcn_slot *slot = pcn_slot_at(arena, index);
    if (pcn_load_relaxed32(&slot->state) == PCN_SLOT_FREE || !pcn_life_try(&slot->life))
        return false;
    /* Another one may have swept it before we had the mutex. */
    bool freed = pcn_load_relaxed32(&slot->state) != PCN_SLOT_FREE &&
                 pcn_recover_slot(arena, index) == PCN_OK;
    pcn_life_leave(&slot->life);
    return freed;
}

uint32_t pcn_recover_all(const struct pcn_arena *arena)
{
    uint32_t freed = 0, before;
    do { /* a child that was freed may have held its parent back */
        before = freed;
        /* SYNC(owner.slot): a counted slot's mutex is ready to use. */
        uint32_t high = pcn_load_acquire32(&pcn_head(arena)->slots_high);
        for (uint32_t index = 0; index < high; index++)
            freed += sweep(arena, index);
    } while (freed != before);
    return freed;
}
