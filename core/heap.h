/* The table of blocks under its lock: free lists, accounts, which blocks keep their pages, and what
 * is done when addresses or descriptors run short. For block.c alone. Protocol: block.md. */
#ifndef PCN_HEAP_H
#define PCN_HEAP_H

#include "block.h"

/* Free neighbours, as one: `count` descriptors from index `first` on. */
struct pcn_run {
    uint32_t first;
    uint32_t count;
    uint64_t bytes; /* of all */
    uint64_t cold;  /* of those without pages */
};

/* Take the heap's lock; all of what follows is to be called under it. The lists and accounts of
 * one whose holder died are built anew. PCN_OK; PCN_BUSY only unless `wait`. */
enum pcn_status pcn_heap_lock(struct pcn_arena *arena, bool wait);

/* Release it. `freed`: there is more room than before; who waits for that is woken. */
void pcn_heap_unlock(struct pcn_arena *arena, bool freed);

/* Free blocks for `length` bytes, off their lists and ours (OWNED), within what the budget allows
 * for `use`. Pages are accounted, but those of `run->cold` bytes are still to be reserved.
 * PCN_OK; PCN_NO_MEMORY (errno); PCN_BUSY: unless `wait`, if many are. */
enum pcn_status pcn_heap_take(struct pcn_arena *arena, enum pcn_use use, uint64_t length,
                              struct pcn_run *run, bool wait);

/* Free a block that is in use. It keeps its pages if it has them, unless `cold`, or free ones had
 * more than pcn_heap_most_warm() with it, or the budget has been lowered meanwhile. */
void pcn_heap_put(struct pcn_arena *arena, uint32_t index, bool cold);

/* Bytes of pages that free blocks may keep in all. */
uint64_t pcn_heap_most_warm(const struct pcn_arena *arena);

/* Give pages of free blocks back, the largest blocks first, but of one class last: `bytes` or a
 * little more, if there are as many. */
void pcn_heap_cool(struct pcn_arena *arena, uint64_t bytes, uint32_t last);

/* Give the pages of all free blocks back. */
void pcn_heap_trim(struct pcn_arena *arena);

/* Bytes that the class of the descriptor at `index` has: without what is joined to it. */
uint64_t pcn_heap_own_bytes(const struct pcn_arena *arena, uint32_t index);

/* Link all free blocks anew. */
void pcn_heap_relink(struct pcn_arena *arena);

/* joining.c: the run of free neighbours with the fewest bytes that are enough; false: none. */
bool pcn_heap_tightest(const struct pcn_arena *arena, uint64_t bytes, struct pcn_run *run);

/* joining.c: give the free descriptors at the table's end back, and their pages, if there are any
 * and so many bytes of addresses are free then. */
bool pcn_heap_retract(struct pcn_arena *arena, uint64_t bytes);

/* Does the descriptor belong to a block that somebody has? */
static inline bool pcn_heap_in_use(uint32_t state)
{
    return state != PCN_BLOCK_FREE && state != PCN_BLOCK_RAW;
}

static inline uint64_t pcn_heap_paged(const struct pcn_arena *arena)
{
    return pcn_load_relaxed64(&pcn_head(arena)->paged);
}

static inline uint64_t pcn_heap_warm_free(const struct pcn_arena *arena)
{
    return pcn_load_relaxed64(&pcn_head(arena)->warm_free);
}

static inline void pcn_heap_account(pcn_atomic64 *sum, uint64_t more, uint64_t less)
{
    pcn_store_relaxed64(sum, pcn_load_relaxed64(sum) + more - less);
}

#endif
