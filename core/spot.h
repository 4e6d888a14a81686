/* Spots: where each thread that waits stands, and being notified there. Protocol: spot.md. */
#ifndef PCN_SPOT_H
#define PCN_SPOT_H

#include "object.h"
#include "platform.h"

/* In a spot's `op`: whoever stands there gives up at a deadline. */
#define PCN_SPOT_TIMED 0x80000000u

#define PCN_SPOTS_A_PAGE (PCN_PAGE / PCN_SPOT_SIZE)

/* The calling thread's spot, taken at its first wait and kept until the thread ends. NULL if
 * none is to be had: the caller then waits without being seen (and must re-check more often). */
struct pcn_spot *pcn_spot_mine(struct pcn_arena *arena, uint64_t thread);

/* While this thread waits, something else may wait in it, too: a signal handler. That gets a spot of
 * its own between these two. `owner`: arena->me before; not in a child that was forked meanwhile. */
struct pcn_spot *pcn_spot_put_aside(void);
void pcn_spot_take_back(struct pcn_arena *arena, struct pcn_spot *spot, pcn_token owner);

/* Stand at an object: visible to who lists the waiters. `place` may be NULL. */
void pcn_spot_stand(struct pcn_arena *arena, struct pcn_spot *spot, struct pcn_name name,
                    uint32_t op, const char *place);

/* The wait began earlier: standing was interrupted. */
static inline void pcn_spot_backdate(struct pcn_spot *spot, uint64_t began)
{
    if (spot)
        pcn_store_relaxed64(&spot->since, began);
}

/* Go away. */
void pcn_spot_leave(struct pcn_spot *spot);

static inline struct pcn_spot *pcn_spot_at(const struct pcn_arena *arena, uint32_t index)
{
    return (struct pcn_spot *)(void *)(arena->base + PCN_SPOTS_AT +
                                       (uint64_t)index * PCN_SPOT_SIZE);
}

/* The next spot at or behind `from` that stands at the object, or PCN_NO_RECORD. */
uint32_t pcn_spot_next(const struct pcn_arena *arena, struct pcn_name name, uint32_t from);

/* The object ends: what the dead still have there is of no use any more. */
void pcn_spot_forget(struct pcn_arena *arena, struct pcn_name name);

/* Free the spots of a dead process and those before it in its slot; not one that was notified
 * and did not leave: a living waiter takes that over. */
void pcn_spot_sweep(struct pcn_arena *arena, pcn_token dead);

#endif
