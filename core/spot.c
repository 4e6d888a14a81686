#include "spot.h"

#include <stdio.h>
#include <string.h>

#include "failpoint.h"
#include "lock.h"
#include "owner.h"

/* Which spot the calling thread has, and in whose name: a forked child has its parent's. */
static _Thread_local struct {
    struct pcn_spot *spot;
    pcn_token owner;
} mine;

static uint32_t high_spots(const struct pcn_arena *arena)
{
    /* SYNC(spot.table): a counted spot has its page. */
    return pcn_load_acquire32(&pcn_head(arena)->spots_high);
}

static void set_free(struct pcn_spot *spot, pcn_token owner)
{
    /* SYNC(spot.free): the next one's words are not written over by ours. */
    pcn_cas_acq_rel64(&spot->owner, &owner, 0);
}

static void leave_for_good(void *unused)
{
    (void)unused;
    pcn_token owner = mine.owner;
    if (mine.spot && owner != 0)
        set_free(mine.spot, owner);
    mine.spot = NULL;
}

struct pcn_spot *pcn_spot_put_aside(void)
{
    struct pcn_spot *spot = mine.spot;
    mine.spot = NULL;
    return spot;
}

void pcn_spot_take_back(struct pcn_arena *arena, struct pcn_spot *spot, pcn_token owner)
{
    if (arena->me != owner)
        return;
    if (mine.spot)
        set_free(mine.spot, mine.owner);
    mine.spot = spot;
    mine.owner = owner;
}

static enum pcn_status grow(struct pcn_arena *arena)
{
    struct pcn_head *head = pcn_head(arena);
    /* Nothing to repair after a death: a page that is not counted is reserved again. */
    bool died = pcn_lock_acquire(arena, &head->spots_lock, arena->me) == PCN_OWNER_DIED;
    (void)died;
    enum pcn_status status = PCN_OK;
    uint32_t high = pcn_load_relaxed32(&head->spots_high);
    uint64_t at = PCN_SPOTS_AT + (uint64_t)high * PCN_SPOT_SIZE;
    if (high + PCN_SPOTS_A_PAGE > PCN_MAX_SPOTS ||
        pcn_reserve_pages(arena->fd, at, PCN_PAGE) != 0)
        status = PCN_NO_MEMORY;
    PCN_FAILPOINT("spot.grow.reserved");
    if (status == PCN_OK)
        /* SYNC(spot.table): as above. */
        pcn_store_release32(&head->spots_high, high + PCN_SPOTS_A_PAGE);
    pcn_lock_release(&head->spots_lock);
    return status;
}

static struct pcn_spot *take(struct pcn_arena *arena)
{
    for (;;) {
        uint32_t high = high_spots(arena);
        for (uint32_t index = 0; index < high; index++) {
            struct pcn_spot *spot = pcn_spot_at(arena, index);
            uint64_t nobody = 0;
            /* SYNC(spot.free): what its last owner, or a sweeper, wrote is behind us. */
            if (pcn_load_relaxed64(&spot->owner) == 0 &&
                pcn_cas_acquire64(&spot->owner, &nobody, arena->me))
                return spot;
        }
        if (grow(arena) != PCN_OK)
            return NULL;
    }
}

struct pcn_spot *pcn_spot_mine(struct pcn_arena *arena, uint64_t thread)
{
    if (mine.spot && mine.owner == arena->me)
        return mine.spot;
    struct pcn_spot *spot = take(arena);
    if (!spot)
        return NULL;
    PCN_FAILPOINT("spot.take.taken");
    pcn_store_relaxed64(&spot->serial, 0);
    pcn_store_relaxed32(&spot->state, PCN_SPOT_IDLE);
    pcn_store_relaxed64(&spot->thread, thread);
    pcn_store_relaxed32(&spot->pid,
                        pcn_load_relaxed32(&pcn_slot_at(arena, pcn_token_slot(arena->me))->pid));
    mine.spot = spot;
    mine.owner = arena->me;
    pcn_at_thread_end(leave_for_good);
    return spot;
}

void pcn_spot_stand(struct pcn_arena *arena, struct pcn_spot *spot, struct pcn_name name,
                    uint32_t op, const char *place)
{
    (void)arena;
    if (!spot)
        return;
    snprintf(spot->place, sizeof spot->place, "%s", place ? place : "");
    pcn_store_relaxed64(&spot->since, pcn_now_ns());
    pcn_store_relaxed32(&spot->op, op);
    pcn_store_relaxed32(&spot->object, name.object);
    pcn_store_relaxed32(&spot->state, PCN_SPOT_WAITING);
    PCN_FAILPOINT("spot.stand.written");
    /* SYNC(spot.stand): who finds us at the object sees the rest. */
    pcn_store_release64(&spot->serial, name.serial);
}

void pcn_spot_leave(struct pcn_spot *spot)
{
    if (!spot)
        return;
    pcn_store_relaxed64(&spot->serial, 0);
    pcn_store_relaxed32(&spot->state, PCN_SPOT_IDLE);
}

uint32_t pcn_spot_next(const struct pcn_arena *arena, struct pcn_name name, uint32_t from)
{
    uint32_t high = high_spots(arena);
    for (uint32_t index = from; index < high; index++) {
        const struct pcn_spot *spot = pcn_spot_at(arena, index);
        /* SYNC(spot.stand): see pcn_spot_stand(). */
        if (pcn_load_acquire64(&spot->serial) == name.serial &&
            pcn_load_relaxed64(&spot->owner) != 0)
            return index;
    }
    return PCN_NO_RECORD;
}

void pcn_spot_forget(struct pcn_arena *arena, struct pcn_name name)
{
    for (uint32_t index = pcn_spot_next(arena, name, 0); index != PCN_NO_RECORD;
         index = pcn_spot_next(arena, name, index + 1)) {
        struct pcn_spot *spot = pcn_spot_at(arena, index);
        pcn_token owner = pcn_load_relaxed64(&spot->owner);
        if (!pcn_owner_alive(arena, owner)) {
            pcn_store_relaxed64(&spot->serial, 0);
            set_free(spot, owner);
        }
    }
}

void pcn_spot_sweep(struct pcn_arena *arena, pcn_token dead)
{
    uint32_t high = high_spots(arena);
    for (uint32_t index = 0; index < high; index++) {
        struct pcn_spot *spot = pcn_spot_at(arena, index);
        pcn_token owner = pcn_load_relaxed64(&spot->owner);
        if (owner == 0 || pcn_token_slot(owner) != pcn_token_slot(dead) || owner > dead)
            continue;
        if (pcn_load_relaxed32(&spot->state) == PCN_SPOT_NOTIFIED &&
            pcn_load_relaxed64(&spot->serial) != 0)
            continue; /* another waiter takes the notification over, or the object ends */
        pcn_store_relaxed64(&spot->serial, 0);
        PCN_FAILPOINT("spot.sweep.cleared");
        set_free(spot, owner);
    }
}
