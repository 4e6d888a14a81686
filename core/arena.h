/* The family arena: one sparse memory file, mapped by every process of a family. */
#ifndef PCN_ARENA_H
#define PCN_ARENA_H

#include "layout.h"

/* A process's view of the arena. Private memory; copied by fork, which is right: the
 * mapping is inherited at the same place. */
struct pcn_arena {
    uint8_t *base;
    int fd;
    uint64_t reserve;
    pcn_token me; /* this process's token; 0 until pcn_owner_join() */
};

/* Make a new arena of at most `reserve` bytes of address space (halved until the system
 * agrees). Its memory grows with use. PCN_OK, or PCN_NO_MEMORY with errno set. */
enum pcn_status pcn_arena_create(struct pcn_arena *arena, uint64_t reserve);

/* Map the arena behind `fd`. PCN_REFUSED if it is none, or has another layout stamp. The
 * descriptor becomes the arena's. */
enum pcn_status pcn_arena_attach(struct pcn_arena *arena, int fd);

/* Map the tables of the arena behind `fd` for reading only, without the blocks' bytes. As
 * pcn_arena_attach(); nothing but a census may be made of it. */
enum pcn_status pcn_arena_watch(struct pcn_arena *arena, int fd);

/* Unmap and close. The memory lives on while any process of the family maps it. */
void pcn_arena_detach(struct pcn_arena *arena);

uint64_t pcn_layout_stamp(void);

static inline struct pcn_head *pcn_head(const struct pcn_arena *arena)
{
    return (struct pcn_head *)(void *)arena->base;
}

static inline struct pcn_slot *pcn_slot_at(const struct pcn_arena *arena, uint32_t index)
{
    return (struct pcn_slot *)(void *)(arena->base + PCN_SLOTS_AT +
                                       (uint64_t)index * PCN_SLOT_SIZE);
}

static inline struct pcn_block *pcn_block_at(const struct pcn_arena *arena, uint32_t index)
{
    return (struct pcn_block *)(void *)(arena->base + PCN_BLOCKS_AT +
                                        (uint64_t)index * PCN_BLOCK_SIZE);
}

#endif
