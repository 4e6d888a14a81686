/* What a death under the heap's lock may leave at worst: an orphaned lock, and nothing derived that
 * could be believed. For tests. */
#include "lock.h"

void orphan_the_heap(struct pcn_arena *arena, pcn_token dead, uint32_t noise);

void orphan_the_heap(struct pcn_arena *arena, pcn_token dead, uint32_t noise)
{
    struct pcn_head *head = pcn_head(arena);
    for (uint32_t i = 0; i < PCN_CLASSES; i++) {
        head->free_warm[i] = noise;
        head->free_cold[i] = noise;
    }
    pcn_store_relaxed64(&head->paged, noise);
    pcn_store_relaxed64(&head->warm_free, noise);
    uint32_t high = pcn_load_relaxed32(&head->blocks_high);
    for (uint32_t index = 0; index < high; index++) {
        struct pcn_block *block = pcn_block_at(arena, index);
        block->next_free = noise;
        if (pcn_load_relaxed32(&block->state) == PCN_BLOCK_FREE && index + 1 < high)
            pcn_store_relaxed64(&block->capacity, noise); /* it may have been joined */
    }
    pcn_store_relaxed64(&head->heap_lock.word, dead << 1);
}
